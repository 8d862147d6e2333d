"""An epoch of the networks, evaluation included, against an epoch of the study's training: a file read per individual, three loaders."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from measure import paired, run, seconds
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gpatlas.data.genotypes import Genotypes
from gpatlas.models import linear_sgd, mlp
from gpatlas.models.contract import Part
from gpatlas.models.mlp import PRECISIONS
from gpatlas.models.network_settings import LinearSgdSettings, MlpSettings
from gpatlas.models.settings import NeuralSettings
from gpatlas.progress import Progress

SIZES = ((1000, 46), (10_000, 102))  # individuals, loci; five traits
LARGE = (1_000_000, 6326)
STUDY = "the study's training"
N_TRAITS, BATCH, HIDDEN = 5, 128, 4096
CPU = torch.device("cpu")


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    """The table's rows; those in bf16 only where the processor multiplies in it."""
    repeats, hidden = (1, 64) if quick else (3, HIDDEN)
    precisions = PRECISIONS if torch.cpu.get_capabilities().get("avx512_bf16") else ("fp32",)
    for n, m in ((60, 12),) if quick else SIZES:
        with tempfile.TemporaryDirectory() as folder:
            population = Population.drawn(n, m, Path(folder))
            yield linear(population, repeats)
            for precision in precisions:
                yield perceptron(population, hidden, precision, repeats)
    for model in ("linear_sgd", "mlp"):
        yield large(model, *((400, 30, 2, 64) if quick else (*LARGE, 50, HIDDEN)))


@dataclass(frozen=True)
class Population:
    """Individuals without any signal, and the two files that the study's loaders read them from."""

    train: Part
    test: Part
    files: tuple[Path, Path]

    @classmethod
    def drawn(cls, n: int, m: int, folder: Path) -> "Population":
        random, cut = np.random.default_rng(1), round(0.85 * n)
        everyone = Part(Genotypes.of(random.integers(0, 2, (n, m), dtype=np.uint8)), random.standard_normal((n, N_TRAITS)))
        train, test = everyone.rows(np.arange(cut)), everyone.rows(np.arange(cut, n))
        files = folder / "train.hdf5", folder / "test.hdf5"
        for part, path in zip((train, test), files, strict=True):
            write(part, path)
        return cls(train, test, files)

    def __str__(self) -> str:
        return f"{len(self.train.phenotypes) + len(self.test.phenotypes)} × {self.train.genotypes.n_loci}, {N_TRAITS} traits"


def write(part: Part, path: Path) -> None:
    """The study's file: a group per individual."""
    alleles = part.genotypes.counts().astype(np.int8)
    with h5py.File(path, "w") as file:
        for number, (genotype, phenotype) in enumerate(zip(np.stack([1 - alleles, alleles], axis=2), part.phenotypes, strict=True)):
            group = file.create_group(f"strains/{number}")
            group.create_dataset("phenotype", data=phenotype)
            group.create_dataset("genotype", data=genotype, chunks=True, compression="gzip")


def linear(population: Population, repeats: int) -> dict[str, Any]:
    """Ours is timed over ten epochs, as one is too short."""
    network = nn.Linear(2 * population.train.genotypes.n_loci, N_TRAITS)
    study = StudyTraining(network, torch.optim.SGD(network.parameters(), 0.1), population.files, penalty=0.1)
    times = paired(lambda: epoch(linear_sgd.fit, LinearSgdSettings(epochs=11), population), study.epoch, repeats)
    return {"work": f"linear_sgd, {population}, an epoch", "peer": STUDY, **times}


def perceptron(population: Population, hidden: int, precision: str, repeats: int) -> dict[str, Any]:
    n_inputs = 2 * population.train.genotypes.n_loci
    network = study_network(n_inputs, hidden)
    study = StudyTraining(network, torch.optim.AdamW(network.parameters(), 0.01, weight_decay=1e-5), population.files)
    settings = MlpSettings(epochs=2 + 10_000 // len(population.train.phenotypes), hidden_size=hidden, precision=precision)
    times = paired(lambda: epoch(mlp.fit, settings, population), study.epoch, repeats)
    done = operations(population, n_inputs, hidden) / times["ours_seconds"]
    work = f"mlp, {precision}, {population}, {hidden} hidden, an epoch"
    return {"work": work, "peer": STUDY, **times, "fraction_of_peak": done / peak(PRECISIONS[precision], hidden)}


class Ends(Progress):
    """Keeps when each epoch ended."""

    def __init__(self) -> None:
        super().__init__("bench", lines=False)
        self.ends: list[float] = []

    def __call__(self, done: int, total: int, **facts: Any) -> None:
        self.ends.append(time.perf_counter())


def epoch(fit: Callable[..., Any], settings: NeuralSettings, population: Population) -> float:
    """Mean time of all epochs but the first, which also fetches the memory."""
    progress = Ends()
    fit(population.train, population.test, settings, progress)
    return sum(second - first for first, second in pairwise(progress.ends)) / (len(progress.ends) - 1)


def operations(population: Population, n_inputs: int, hidden: int) -> float:
    """Floating-point operations of an epoch's products: in training one forward, two backward a layer (one in the first); then forward."""
    forward = 2.0 * (n_inputs * hidden + hidden * hidden + hidden * N_TRAITS)
    training = 3 * forward - 2.0 * n_inputs * hidden
    return len(population.train.phenotypes) * training + len(population.test.phenotypes) * forward


def peak(dtype: torch.dtype, hidden: int) -> float:
    """Floating-point operations a second of the largest product of a training step, the best of nine."""
    inputs, weights = torch.ones(BATCH, hidden, dtype=dtype), torch.ones(hidden, hidden, dtype=dtype)
    return 2 * BATCH * hidden**2 / min(seconds(lambda: inputs @ weights.t()) for _ in range(9))


def large(model: str, n: int, m: int, n_steps: int, hidden: int) -> dict[str, Any]:
    """A process that holds the packed genotypes of everyone; the perceptron's epoch is worked out from some of its steps."""
    done = run(sys.executable, str(Path(__file__).with_name("large_networks.py")), model, *map(str, (n, m, N_TRAITS, n_steps, hidden)))
    work = f"{model}, {n} × {m}, {N_TRAITS} traits, an epoch" + (f" from {n_steps} steps" if model == "mlp" else "")
    return {"work": work, "ours_seconds": float(done.output), "peak_memory_mb": done.peak_memory_mb}


def study_network(n_inputs: int, hidden: int) -> nn.Module:
    """The study's perceptron."""
    return nn.Sequential(
        *(nn.Linear(n_inputs, hidden), nn.BatchNorm1d(hidden, momentum=0.8), nn.LeakyReLU(0.01, inplace=True)),
        *(nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden, momentum=0.8), nn.LeakyReLU(0.01, inplace=True)),
        *(nn.Linear(hidden, N_TRAITS), nn.BatchNorm1d(N_TRAITS, momentum=0.8)),
    )


class StudyDataset(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Reads an individual whenever it is asked for one."""

    def __init__(self, path: Path) -> None:
        self.path, self.strains = path, None
        with h5py.File(path, "r") as file:
            self.names = list(file["strains"])

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if self.strains is None:
            self.strains = h5py.File(self.path, "r")["strains"]
        strain = self.strains[self.names[index]]
        phenotypes = torch.tensor(strain["phenotype"][:], dtype=torch.float32)
        return phenotypes, torch.tensor(strain["genotype"][:], dtype=torch.float32).flatten()


class StudyTraining:
    """The study's training loop, an epoch at a time."""

    def __init__(self, network: nn.Module, optimiser: torch.optim.Optimizer, files: tuple[Path, Path], penalty: float = 0.0) -> None:
        self.network, self.optimiser, self.penalty = network, optimiser, penalty
        self.schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=3)
        self.train, self.test = (DataLoader(StudyDataset(path), BATCH, shuffle=True, num_workers=3) for path in files)
        self.best_loss, self.best_state = float("inf"), {}

    def epoch(self) -> float:
        """Its seconds."""
        return seconds(self._epoch)

    def _epoch(self) -> None:
        self.network.train()
        total = 0.0
        for phenotypes, inputs in self.train:
            self.optimiser.zero_grad()
            loss = nn.functional.l1_loss(self.network(inputs), phenotypes)
            if self.penalty:
                loss = loss + self.penalty * sum(0.5 * torch.sum(parameter**2) for parameter in self.network.parameters())
            loss.backward()
            self.optimiser.step()
            total += loss.item()
        self.network.eval()
        with torch.no_grad():
            losses = [nn.functional.l1_loss(self.network(inputs), phenotypes).item() for phenotypes, inputs in self.test]
        mean = sum(losses) / len(losses)
        self.schedule.step(mean)
        if mean < self.best_loss:
            self.best_loss = mean
            self.best_state = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
