"""Help for tests of models: populations in files and in memory, fits by their stage, and what a fit reports on its way."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from gpatlas.data import simulate
from gpatlas.data.genotypes import Genotypes
from gpatlas.data.population import Description, Population
from gpatlas.data.settings import SimulateSettings
from gpatlas.models.contract import Part
from gpatlas.models.settings import NeuralSettings
from gpatlas.progress import Progress
from gpatlas.settings import build
from gpatlas.stages import FITS

Array = npt.NDArray[Any]
QUIET = Progress("test", io.StringIO())

# For every model, those of these values that its settings have: small, on one thread
SMALL: dict[str, Any] = {"hidden_size": 32, "threads": 1, "device": "cpu", "n_penalties": 20, "n_trials": 3, "models": ("ridge", "egblup")}
NEURAL = [name for name, stage in FITS.items() if issubclass(stage.settings, NeuralSettings)]


class Recorder(Progress):
    """Keeps the steps, the facts of each and of the whole, and whatever `watch` returns at each."""

    def __init__(self, watch: Callable[[], Any] | None = None) -> None:
        super().__init__("test", io.StringIO())
        self.watch = watch
        self.steps: list[tuple[int, int]] = []
        self.facts: list[dict[str, Any]] = []
        self.watched: list[Any] = []
        self.reported: dict[str, Any] = {}

    def __call__(self, done: int, total: int, **facts: Any) -> None:
        self.steps.append((done, total))
        self.facts.append(facts)
        if self.watch:
            self.watched.append(self.watch())

    def report(self, **facts: Any) -> None:
        self.reported |= facts

    @property
    def losses(self) -> list[float]:
        return [facts["loss"] for facts in self.facts]


def write_dataset(folder: Path, name: str = "data.h5", **values: Any) -> Path:
    """A simulated dataset file."""
    path = folder / name
    simulate.run(build(SimulateSettings, values), None, path, QUIET)
    return path


def fit_by_stage(model: str, source: Path, progress: Progress = QUIET, out: str = "table.csv", **values: Any) -> pd.DataFrame:
    """The table that the model's stage writes beside `source`, of the study's values but for `values`."""
    stage, path = FITS[model], source.with_name(out)
    stage.load()(build(stage.settings, values), source, path, progress)
    return pd.read_csv(path)


def fit_small(model: str, source: Path, **values: Any) -> pd.DataFrame:
    """The same, of SMALL and those `values` that the model's settings have."""
    known = {name: value for name, value in {**SMALL, **values}.items() if name in FITS[model].settings.model_fields}
    return fit_by_stage(model, source, **known)


def random_population(n: int, n_loci: int, n_traits: int, seed: int = 1) -> tuple[Array, Array]:
    """Random alleles, and phenotypes that have nothing to do with them."""
    random = np.random.default_rng(seed)
    return random.integers(0, 2, (n, n_loci), dtype=np.uint8), random.standard_normal((n, n_traits))


def in_memory(counts: Array, phenotypes: Array, described: Description | None = None) -> Population:
    """A population without truth."""
    facts: list[dict[str, Any]] = [{} for _ in range(phenotypes.shape[1])]
    return Population("test", Genotypes.of(counts), phenotypes, None, None, facts, described)


def part_of(alleles: Array, phenotypes: Array) -> Part:
    return Part(Genotypes.of(alleles), phenotypes)


def random_part(n: int, n_loci: int, n_traits: int, seed: int = 1) -> Part:
    return part_of(*random_population(n, n_loci, n_traits, seed))


def one_hot(alleles: Array) -> Array:
    """[1, 0] for allele 0, [0, 1] for allele 1: (n, 2·n_loci)."""
    return np.stack([1.0 - alleles, alleles], axis=2).reshape(len(alleles), -1)


def tensors(part: Part) -> tuple[Tensor, Tensor]:
    """Inputs and phenotypes of everyone, float32."""
    return torch.from_numpy(one_hot(part.genotypes.counts())).float(), torch.from_numpy(part.phenotypes).float()


def random_tensors(n: int, n_loci: int, n_traits: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    return tensors(random_part(n, n_loci, n_traits, seed))


def best_rate(trials: pd.DataFrame) -> float:
    """The learning rate of the first trial with the smallest loss, among those that were not given up."""
    complete = trials[trials["state"] == "COMPLETE"]
    return float(complete["learning_rate"].iloc[int(complete["loss"].astype(float).argmin())])
