"""What is trained by gradient descent: the models, and the one training loop that serves them all."""

import math
import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gpatlas.dataset import ByteArray, Dataset, FloatArray
from gpatlas.evaluation import Fit, Fitted, Part, beside, ordered_split, run_fit, write_table
from gpatlas.progress import Progress
from gpatlas.settings import LinearSgdSettings, MlpSettings, NeuralSettings, TuningSettings

EVALUATION_BATCH = 4096
Penalty = Callable[[nn.Module], Tensor]
Steps = Callable[..., None]  # a Progress, or what stands for one: (done, total, **facts)
Columns = npt.NDArray[np.int64]


def silent(*_: object, **__: object) -> None:
    """The steps of a training that nobody follows."""


def run_mlp(settings: MlpSettings, source: Path, out: Path, progress: Progress) -> None:
    """Fit the multilayer perceptron to the dataset `source` and write its table; tuned, also `<out>.trials.csv`."""
    if not settings.tune:
        return run_network("mlp", fit_mlp, settings, source, out, progress)

    from gpatlas.tuning import fit_tuned_mlp  # Optuna is loaded only where it is used

    def fit(train: Part, validation: Part, settings: MlpSettings, progress: Progress) -> Fitted:
        fitted, trials = fit_tuned_mlp(train, validation, settings, progress)
        write_table(trials, beside(out, "trials"))
        return fitted

    return run_network("mlp", fit, settings, source, out, progress)


def run_linear_sgd(settings: LinearSgdSettings, source: Path, out: Path, progress: Progress) -> None:
    """Fit the linear model to the dataset `source` and write its table."""
    run_network("linear_sgd", fit_linear_sgd, settings, source, out, progress)


def run_network(model: str, fit: Fit, settings: NeuralSettings, source: Path, out: Path, progress: Progress) -> None:
    """Fit and score on the networks' split."""
    set_threads(settings, progress)
    with Dataset(source) as data:
        table = run_fit(model, fit, ordered_split(data.n_individuals, settings), settings, data, progress)
    write_table(table, out)


def set_threads(settings: NeuralSettings, progress: Progress) -> None:
    """Use as many threads as the settings say, and report them and the device."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    progress.report(device=str(pick_device(settings.device)), threads=torch.get_num_threads())


class Diverged(ValueError):
    """No epoch of a training ended with a finite loss."""


@dataclass(frozen=True)
class Recipe:
    """How a model is built and trained: its network from (inputs, traits), its optimiser, and a penalty on the loss."""

    network: Callable[[int, int], nn.Module]
    optimiser: Callable[[nn.Module], torch.optim.Optimizer]
    penalty: Penalty | None = None


@dataclass(frozen=True)
class Trained:
    """A network on alleles with its best weights, the loss they reached, and the number of epochs it took."""

    network: nn.Module
    device: torch.device
    training: "Training"

    def predict(self, alleles: ByteArray) -> FloatArray:
        """(n, n_loci) to (n, T)"""
        return np.asarray(_predict(self.network, _to(alleles, self.device)).double().cpu())

    def fitted(self) -> Fitted:
        return Fitted(self.predict, columns={"epochs": self.training.epochs})


class Training(NamedTuple):
    """How many epochs a training took, and the evaluation loss of the weights that were kept."""

    epochs: int
    loss: float


def fit_mlp(train: Part, validation: Part, settings: MlpSettings, progress: Steps) -> Fitted:
    """AdamW without a further penalty."""
    return train_recipe(mlp_recipe(settings), train, validation, settings, progress).fitted()


def mlp_recipe(settings: TuningSettings) -> Recipe:
    """The multilayer perceptron under AdamW."""
    return Recipe(
        lambda n_inputs, n_traits: mlp(n_inputs, settings.hidden_size, n_traits),
        lambda network: torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True),
    )


def fit_linear_sgd(train: Part, validation: Part, settings: LinearSgdSettings, progress: Steps) -> Fitted:
    """Plain SGD with an L2 penalty on all parameters, the bias included."""
    recipe = Recipe(
        nn.Linear,
        lambda network: torch.optim.SGD(network.parameters(), settings.learning_rate),
        lambda network: settings.penalty * half_sum_of_squares(network),
    )
    return train_recipe(recipe, train, validation, settings, progress).fitted()


def mlp(n_inputs: int, hidden_size: int, n_traits: int) -> nn.Module:
    """Inputs → hidden → hidden → traits, each linear layer followed by batch normalisation, the output's too."""
    sizes = (n_inputs, hidden_size, hidden_size, n_traits)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs, momentum=0.8), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers[:-1])


def half_sum_of_squares(network: nn.Module) -> Tensor:
    """½·Σθ² over all parameters."""
    return 0.5 * torch.stack([parameter.square().sum() for parameter in network.parameters()]).sum()


def one_hot(alleles: Tensor) -> Tensor:
    """0/1 alleles (n, n_loci) to float32 (n, 2·n_loci): [1, 0] for allele 0, [0, 1] for allele 1, locus after locus."""
    ones = alleles.to(torch.float32)
    return torch.stack((1 - ones, ones), dim=2).flatten(1)


class OneHot(nn.Module):
    """The input layer: `one_hot`, or only some of its columns."""

    columns: Tensor | None

    def __init__(self, columns: Columns | None = None) -> None:
        super().__init__()
        self.register_buffer("columns", None if columns is None else torch.from_numpy(columns))

    def forward(self, alleles: Tensor) -> Tensor:
        """0/1 alleles (n, n_loci) to float32 (n, 2·n_loci), or (n, k) where there are k columns."""
        if self.columns is None:
            return one_hot(alleles)
        return (alleles[:, self.columns // 2] == self.columns % 2).to(torch.float32)


def pick_device(name: str) -> torch.device:
    """The device a setting asks for; ValueError where it demands cuda and there is none."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ValueError("device: cuda was demanded, but PyTorch finds no CUDA device here; use cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def train_recipe(
    recipe: Recipe, train: Part, validation: Part, settings: NeuralSettings, progress: Steps, columns: Columns | None = None
) -> Trained:
    """Train a model on one-hot alleles, or on those `columns` of them (k,), whose number 2·locus + allele says what they are."""
    device = pick_device(settings.device)
    if device.type == "cuda":  # the processor's kernels are deterministic as they are
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    torch.manual_seed(settings.seed)
    n_inputs = 2 * train.alleles.shape[1] if columns is None else len(columns)
    network = nn.Sequential(OneHot(columns), recipe.network(n_inputs, train.phenotypes.shape[1])).to(device)
    parts = [(_to(part.alleles, device), _to(part.phenotypes, device)) for part in (train, validation)]
    training = train_network(network, recipe.optimiser(network), nn.L1Loss(), recipe.penalty, parts[0], parts[1], settings, progress)
    return Trained(network, device, training)


def _to(values: ByteArray | FloatArray, device: torch.device) -> Tensor:
    """On the device, as bytes where they are bytes, else as float32."""
    tensor = torch.from_numpy(values).to(device)
    return tensor if tensor.dtype == torch.uint8 else tensor.float()


def train_network(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: nn.Module,
    penalty: Penalty | None,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    settings: NeuralSettings,
    progress: Steps,
) -> Training:
    """Train until the loss on `validation` stops falling, and restore the best weights.

    `train`, `validation`: alleles (n, n_loci) uint8 and phenotypes (n, T) float32. The learning rate is halved at the
    fourth epoch in a row without improvement. Raises Diverged where the loss never was a number.
    """
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=3)
    shuffle, evaluation_shuffle = (torch.Generator().manual_seed(settings.seed) for _ in range(2))
    best_loss, best_weights, best_epoch = math.inf, None, 0
    for epoch in range(1, settings.epochs + 1):
        _train_epoch(network, optimiser, loss, penalty, train, batches(len(train[0]), settings.batch_size, shuffle))
        predicted = _predict(network, validation[0])
        if settings.protocol == "paper":
            current = mean_of_batches(loss, predicted, validation[1], settings.batch_size, evaluation_shuffle)
        else:
            current = float(loss(predicted, validation[1]))
        schedule.step(current)
        progress(epoch, settings.epochs, loss=current)
        if current < best_loss - settings.min_delta:
            best_loss, best_weights, best_epoch = current, deepcopy(network.state_dict()), epoch
        elif epoch - best_epoch >= settings.patience:
            break
    if best_weights is None:
        raise Diverged(
            f"training diverged: the evaluation loss was never a finite number; learning_rate {settings.learning_rate:g} is too high"
        )
    network.load_state_dict(best_weights)
    return Training(epoch, best_loss)


def _train_epoch(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: nn.Module,
    penalty: Penalty | None,
    train: tuple[Tensor, Tensor],
    row_batches: Iterator[Tensor],
) -> None:
    alleles, phenotypes = train
    network.train()
    for batch in row_batches:
        rows = batch.to(alleles.device)
        error = loss(network(alleles[rows]), phenotypes[rows])
        optimiser.zero_grad()
        (error if penalty is None else error + penalty(network)).backward()
        optimiser.step()


def batches(n: int, size: int, shuffle: torch.Generator) -> Iterator[Tensor]:
    """Shuffled row numbers in batches; a left-over of one joins the batch before it (batch normalisation needs two)."""
    order = torch.randperm(n, generator=shuffle)
    cuts = list(range(size, n, size))
    if n % size == 1 and cuts:
        cuts.pop()
    yield from torch.tensor_split(order, cuts)


def mean_of_batches(loss: nn.Module, predicted: Tensor, truth: Tensor, size: int, shuffle: torch.Generator) -> float:
    """The study's evaluation loss: the mean over shuffled batches, of which a small last one counts as much as a full one.

    At 150 test individuals that is mostly noise from batches of 128 and 22, and it drives the schedule and early stopping.
    """
    order = torch.randperm(len(truth), generator=shuffle).to(truth.device)
    return float(torch.stack([loss(predicted[rows], truth[rows]) for rows in torch.split(order, size)]).mean())


@torch.no_grad()
def _predict(network: nn.Module, alleles: Tensor) -> Tensor:
    network.eval()
    return torch.cat([network(block) for block in torch.split(alleles, EVALUATION_BATCH)])
