"""What is trained by gradient descent: the models, and the one training loop that serves them all."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from gpatlas.dataset import Dataset, FloatArray, Genotypes
from gpatlas.evaluation import Fit, Fitted, Part, beside, ordered_split, run_fit, write_table
from gpatlas.progress import Progress
from gpatlas.settings import LinearSgdSettings, MlpSettings, NeuralSettings, TuningSettings
from gpatlas.steps import Columns, Inputs, Plateau, Step, adamw_step, mlp, pick_precision, sgd_step, shrink_squares

EVALUATION_BATCH = 1024
N = TypeVar("N", bound=nn.Module)
Steps = Callable[..., None]  # a Progress, or what stands for one: (done, total, **facts)


def silent(*_: object, **__: object) -> None:
    """The steps of a training that nobody follows."""


def run_mlp(settings: MlpSettings, source: Path, out: Path, progress: Progress) -> None:
    """Fit the multilayer perceptron to the dataset `source` and write its table; tuned, also `<out>.trials.csv`."""
    if not settings.tune:
        return run_network("mlp", fit_mlp, settings, source, out, progress)

    from gpatlas.tuning import fit_tuned_mlp  # Optuna is loaded only where it is used

    def fit(train: Part, validation: Part, settings: MlpSettings, progress: Progress) -> Fitted:
        fitted, trials = fit_tuned_mlp(train, validation, settings, progress)
        trials.to_csv(beside(out, "trials"), index=False)
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
    """Use as many threads as the settings say, and report what else they leave to this machine: the device and the precision."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    progress.report(device=str(pick_device(settings.device)), threads=torch.get_num_threads())
    if isinstance(settings, TuningSettings):
        progress.report(precision=precision_of(settings))


class Diverged(ValueError):
    """No epoch of a training ended with a finite loss."""


@dataclass(frozen=True)
class Recipe(Generic[N]):
    """How a model is built and trained: its network from (inputs, traits), and its training step."""

    network: Callable[[int, int], N]
    step: Callable[[N], Step]


@dataclass(frozen=True)
class Trained(Generic[N]):
    """A network on one-hot `columns` with its best weights, the loss they reached, and the number of epochs it took."""

    network: N
    columns: Columns | None
    device: torch.device
    training: "Training"

    def predict(self, genotypes: Genotypes) -> FloatArray:
        """Of n individuals: (n, T)"""
        return np.asarray(predict(self.network, Inputs.of(genotypes, self.columns, self.device)).double().cpu())

    def fitted(self) -> Fitted:
        return Fitted(self.predict, columns={"epochs": self.training.epochs})


class Training(NamedTuple):
    """How many epochs a training took, and the evaluation loss of the weights that were kept."""

    epochs: int
    loss: float


def fit_mlp(train: Part, validation: Part, settings: MlpSettings, progress: Steps) -> Fitted:
    """AdamW without a further penalty."""
    return train_recipe(mlp_recipe(settings), train, validation, settings, progress).fitted()


def mlp_recipe(settings: TuningSettings) -> Recipe[nn.Module]:
    """The multilayer perceptron under AdamW."""
    return Recipe(
        lambda n_inputs, n_traits: mlp(n_inputs, settings.hidden_size, n_traits, precision_of(settings)),
        lambda network: adamw_step(network, settings.weight_decay),
    )


def precision_of(settings: TuningSettings) -> str:
    """fp32 or bf16."""
    return pick_precision(settings.precision, pick_device(settings.device), settings.hidden_size)


def fit_linear_sgd(train: Part, validation: Part, settings: LinearSgdSettings, progress: Steps) -> Fitted:
    """Plain SGD with an L2 penalty on all parameters, the bias included."""
    recipe = Recipe(nn.Linear, lambda network: sgd_step(network, shrink_squares, settings.penalty))
    return train_recipe(recipe, train, validation, settings, progress).fitted()


def pick_device(name: str) -> torch.device:
    """The device a setting asks for; ValueError where it demands cuda and there is none."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ValueError("device: cuda was demanded, but PyTorch finds no CUDA device here; use cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def train_recipe(
    recipe: Recipe[N], train: Part, validation: Part, settings: NeuralSettings, progress: Steps, columns: Columns | None = None
) -> Trained[N]:
    """Train a model on one-hot alleles, or on those `columns` of them (k,), whose number 2·locus + allele says what they are."""
    device = pick_device(settings.device)
    if device.type == "cuda":  # the processor's kernels are deterministic as they are, and have no TF32
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cuda.matmul.fp32_precision = "tf32"
    torch.manual_seed(settings.seed)
    inputs, seen = (Inputs.of(part.genotypes, columns, device) for part in (train, validation))
    wanted, truth = (torch.from_numpy(part.phenotypes).to(device, torch.float32) for part in (train, validation))
    network = recipe.network(inputs.n_columns, wanted.shape[1]).to(device)
    take = recipe.step(network)
    evaluation_shuffle = torch.Generator().manual_seed(settings.seed)

    def step(rows: Tensor, rate: float) -> None:
        take(inputs.rows(rows), wanted.index_select(0, rows), rate)

    def evaluate() -> float:
        errors = (predict(network, seen) - truth).abs_().mean(dim=1)
        if settings.protocol == "paper":
            return mean_of_batches(errors, settings.batch_size, evaluation_shuffle)
        return float(errors.mean())

    return Trained(network, columns, device, train_network(network, step, evaluate, len(wanted), settings, progress))


def train_network(
    network: nn.Module,
    step: Callable[[Tensor, float], None],
    evaluate: Callable[[], float],
    n_individuals: int,
    settings: NeuralSettings,
    progress: Steps,
) -> Training:
    """Train on `n_individuals` until the loss stops falling, and restore the best weights.

    `step` takes the numbers of a batch's individuals and the learning rate, `evaluate` gives the loss. Raises Diverged
    where that never was a number.
    """
    rate, shuffle = Plateau(settings.learning_rate), torch.Generator().manual_seed(settings.seed)
    weights = list(network.state_dict().values())
    best_loss, best_weights, best_epoch = math.inf, [torch.empty_like(tensor) for tensor in weights], 0
    for epoch in range(1, settings.epochs + 1):
        network.train()
        for rows in batches(n_individuals, settings.batch_size, shuffle, weights[0].device):
            step(rows, rate.rate)
        current = evaluate()
        rate.see(current)
        progress(epoch, settings.epochs, loss=current)
        if current < best_loss - settings.min_delta:
            best_loss, best_epoch = current, epoch
            torch._foreach_copy_(best_weights, weights)
        elif epoch - best_epoch >= settings.patience:
            break
    if not best_epoch:
        raise Diverged(
            f"training diverged: the evaluation loss was never a finite number; learning_rate {settings.learning_rate:g} is too high"
        )
    torch._foreach_copy_(weights, best_weights)
    return Training(epoch, best_loss)


def batches(n: int, size: int, shuffle: torch.Generator, device: torch.device) -> Iterator[Tensor]:
    """Shuffled row numbers in batches; a left-over of one joins the batch before it (batch normalisation needs two)."""
    order = torch.randperm(n, generator=shuffle).to(device)
    cuts = list(range(size, n, size))
    if n % size == 1 and cuts:
        cuts.pop()
    yield from torch.tensor_split(order, cuts)


def mean_of_batches(errors: Tensor, size: int, shuffle: torch.Generator) -> float:
    """The study's evaluation loss: the mean over shuffled batches, of which a small last one counts as much as a full one.

    At 150 test individuals that is mostly noise from batches of 128 and 22, and it drives the schedule and early stopping.
    `errors` (n,): every individual's, its mean over traits.
    """
    order = torch.randperm(len(errors), generator=shuffle).to(errors.device)
    return float(torch.stack([batch.mean() for batch in torch.split(errors[order], size)]).mean())


@torch.no_grad()
def predict(network: nn.Module, inputs: Inputs) -> Tensor:
    """(n, T), in evaluation mode."""
    network.eval()
    return torch.cat([network(inputs.expand(bits)) for bits in torch.split(inputs.bits, EVALUATION_BATCH)])
