"""Training by gradient descent: the one loop that serves every network, its learning rate, and the device it runs on."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from gpatlas.data.genotypes import FloatArray, Genotypes
from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.inputs import InputColumns, Inputs
from gpatlas.models.settings import NeuralSettings

EVALUATION_BATCH = 1024
HOPELESS = 10_000  # times the mean absolute phenotype, or 1: a larger loss is that of a training that diverged
N = TypeVar("N", bound=nn.Module)
OnEpoch = Callable[..., None]  # hears of every epoch: (epoch, epochs at most, loss=…); a FitProgress, or what stands for one
TrainingStep = Callable[[Tensor, Tensor, float], None]  # inputs (B, k), phenotypes (B, T), learning rate


def silent(*_: object, **__: object) -> None:
    """Of a training that nobody follows."""


@contextmanager
def torch_state(settings: NeuralSettings) -> Iterator[torch.device]:
    """The device that the settings ask for, with their threads and with deterministic kernels.

    PyTorch's own settings and its random numbers are what they were when the block ends. Raises ValueError where cuda is
    demanded and there is none.
    """
    device, threads, dtype = pick_device(settings.device), torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(settings.threads or threads)
    torch.set_default_dtype(torch.float32)
    random = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    try:
        with torch.inference_mode(False), torch.enable_grad(), random, _kernels(device):
            yield device
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)


@contextmanager
def _kernels(device: torch.device) -> Iterator[None]:
    """Deterministic, in TF32 where there is such; the processor's are deterministic as they are, and have no TF32."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    deterministic, precision = torch.are_deterministic_algorithms_enabled(), torch.backends.cuda.matmul.fp32_precision
    torch.use_deterministic_algorithms(True)
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cuda.matmul.fp32_precision = precision


class Diverged(ValueError):
    """A training ended with no finite loss, or with a hopeless one."""


@dataclass(frozen=True)
class Recipe(Generic[N]):
    """How a model is built and trained: its network from (inputs, traits), and its training step."""

    network: Callable[[int, int], N]
    step: Callable[[N], TrainingStep]


@dataclass(frozen=True)
class Trained(Generic[N]):
    """A network on one-hot `columns` with its best weights, the loss they reached, and the number of epochs it took."""

    network: N
    columns: InputColumns | None
    settings: NeuralSettings
    training: "Training"

    def predict(self, genotypes: Genotypes) -> FloatArray:
        """Of n individuals: (n, T)"""
        with torch_state(self.settings) as device:
            return np.asarray(outputs(self.network, Inputs.of(genotypes, self.columns, device)).double().cpu())

    def fitted(self) -> Fitted:
        return Fitted(self.predict, columns={"epochs": self.training.epochs})


class Training(NamedTuple):
    """How many epochs a training took, the evaluation loss of the weights that were kept, and the learning rates up to these."""

    epochs: int
    loss: float
    rates: tuple[float, ...]


def pick_device(name: str) -> torch.device:
    """The device a setting asks for; ValueError where it demands cuda and there is none."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ValueError("device: cuda was demanded, but PyTorch finds no CUDA device here; use cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def tell_machine(settings: NeuralSettings, progress: FitProgress, **facts: str) -> None:
    """Report what the settings leave to this machine: the device, the threads, and further `facts`."""
    with torch_state(settings) as device:
        progress.report(device=str(device), threads=torch.get_num_threads(), **facts)


def train_recipe(
    recipe: Recipe[N], train: Part, validation: Part, settings: NeuralSettings, on_epoch: OnEpoch, columns: InputColumns | None = None
) -> Trained[N]:
    """Train a model on one-hot alleles, or on those `columns` of them (k,), whose number 2·locus + allele says what they are."""
    with torch_state(settings) as device:
        network, step = _start(recipe, train, settings, device, columns)
        seen, truth = _tensors(validation, device, columns)
        evaluation_shuffle = torch.Generator().manual_seed(settings.seed)

        def evaluate() -> float:
            errors = (outputs(network, seen) - truth).abs_().mean(dim=1)
            if settings.protocol == "paper":
                return mean_of_batches(errors, settings.batch_size, evaluation_shuffle)
            return float(errors.mean())

        training = train_network(network, step, evaluate, len(train.phenotypes), settings, on_epoch)
        network.zero_grad()  # frees the gradients
    return Trained(network, columns, settings, training)


def refit(
    recipe: Recipe[N], trained: Trained[N], train: Part, validation: Part, on_epoch: OnEpoch = silent, columns: InputColumns | None = None
) -> Trained[N]:
    """Train anew on both parts together, for as many epochs as were best and at their learning rates.

    Under protocol 'paper' the validation part is the test part: what was trained stays as it is.
    """
    settings, rates = trained.settings, trained.training.rates
    if settings.protocol == "paper":
        return trained
    everyone = train.joined(validation)
    with torch_state(settings) as device:
        network, step = _start(recipe, everyone, settings, device, columns)
        shuffle = torch.Generator().manual_seed(settings.seed)
        for epoch, rate in enumerate(rates, 1):
            train_epoch(network, step, len(everyone.phenotypes), settings, shuffle, rate)
            on_epoch(round(settings.epochs * epoch / len(rates)), settings.epochs)
        network.zero_grad()
        inputs, wanted = _tensors(everyone, device, columns)
        refuse_hopeless(float((outputs(network, inputs) - wanted).abs_().mean()), everyone, settings)
    return Trained(network, columns, settings, trained.training._replace(epochs=len(rates)))


def train_and_refit(recipe: Recipe[N], train: Part, validation: Part, settings: NeuralSettings, on_epoch: OnEpoch) -> Trained[N]:
    """Both, on all columns; each is half of the progress where there are two trainings."""
    halves = [on_epoch] if settings.protocol == "paper" else [share_of(on_epoch, number, 2) for number in (0, 1)]
    trained = train_recipe(recipe, train, validation, settings, halves[0])
    refuse_hopeless(trained.training.loss, validation, settings)
    return refit(recipe, trained, train, validation, halves[-1])


def refuse_hopeless(loss: float, part: Part, settings: NeuralSettings) -> None:
    """Raises Diverged where the loss is no number, or many times that of predicting 0."""
    if not loss <= HOPELESS * max(1.0, float(np.abs(part.phenotypes).mean())):
        raise Diverged(f"training diverged: it ended with a loss of {loss:.3g}; learning_rate {settings.learning_rate:g} is too high")


def share_of(on_epoch: OnEpoch, number: int, of: int) -> OnEpoch:
    """The progress of one of several trainings, numbered from 0, as a share of the whole."""
    return lambda done, total, **facts: on_epoch(number * total + done, of * total, **facts)


def _start(
    recipe: Recipe[N], part: Part, settings: NeuralSettings, device: torch.device, columns: InputColumns | None
) -> tuple[N, Callable[[Tensor, float], None]]:
    """An untrained network, and its training step on those rows of the part."""
    torch.manual_seed(settings.seed)
    inputs, wanted = _tensors(part, device, columns)
    network = recipe.network(inputs.n_columns, wanted.shape[1]).to(device)
    if settings.protocol != "paper":  # an allele that no one here has says nothing, also where others have it
        next(network.parameters()).detach()[:, inputs.absent()] = 0
    step = recipe.step(network)
    return network, lambda rows, rate: step(inputs.rows(rows), wanted.index_select(0, rows), rate)


def _tensors(part: Part, device: torch.device, columns: InputColumns | None) -> tuple[Inputs, Tensor]:
    """Inputs and phenotypes."""
    return Inputs.of(part.genotypes, columns, device), torch.from_numpy(part.phenotypes).to(device, torch.float32)


def train_network(
    network: nn.Module,
    step: Callable[[Tensor, float], None],
    evaluate: Callable[[], float],
    n_individuals: int,
    settings: NeuralSettings,
    on_epoch: OnEpoch,
) -> Training:
    """Train on `n_individuals` until the loss stops falling, and restore the best weights.

    `step` takes the numbers of a batch's individuals and the learning rate, `evaluate` gives the loss. Raises Diverged
    where that never was a number.
    """
    rate, shuffle = Plateau(settings.learning_rate), torch.Generator().manual_seed(settings.seed)
    weights = list(network.state_dict().values())
    best_loss, best_weights, best_epoch = math.inf, [torch.empty_like(tensor) for tensor in weights], 0
    rates: list[float] = []
    for epoch in range(1, settings.epochs + 1):
        rates.append(rate.rate)
        train_epoch(network, step, n_individuals, settings, shuffle, rate.rate)
        current = evaluate()
        rate.see(current)
        on_epoch(epoch, settings.epochs, loss=current)
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
    return Training(epoch, best_loss, tuple(rates[:best_epoch]))


def train_epoch(
    network: nn.Module,
    step: Callable[[Tensor, float], None],
    n_individuals: int,
    settings: NeuralSettings,
    shuffle: torch.Generator,
    rate: float,
) -> None:
    """Every individual once, in shuffled batches."""
    network.train()
    for rows in batches(n_individuals, settings.batch_size, shuffle, next(network.parameters()).device):
        step(rows, rate)


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
def outputs(network: nn.Module, inputs: Inputs) -> Tensor:
    """(n, T), in evaluation mode."""
    network.eval()
    return torch.cat([network(inputs.expand(bits)) for bits in torch.split(inputs.bits, EVALUATION_BATCH)])


@dataclass
class Plateau:
    """A learning rate, halved at the fourth loss in a row that is not 0.01 % below the best.

    As `torch.optim.lr_scheduler.ReduceLROnPlateau(factor=0.5, patience=3)` has it, which also leaves rates below 2e-8 alone.
    """

    rate: float
    best: float = math.inf
    waited: int = 0

    def see(self, loss: float) -> None:
        if loss < self.best * (1 - 1e-4):
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > 3:
            self.waited = 0
            self.rate *= 0.5 if self.rate > 2e-8 else 1
