"""What a stage needs of a machine while it runs, estimated from its sizes, so that as many run side by side as fit."""

import math
from dataclasses import dataclass

from gpatlas.settings import MlpSettings, NeuralSettings, PrunedSettings, Settings
from gpatlas.stages import Stage

MARGIN = 1.25
ALPHASIMR_THREADS = 2  # always, as r/simulate.R says why
BLOCK = 4096  # individuals that are unpacked at once, at most


@dataclass(frozen=True)
class Size:
    """A population: individuals, loci, traits."""

    n_individuals: int = 0
    n_loci: int = 0
    n_traits: int = 0


@dataclass(frozen=True)
class Needs:
    """Processor cores, memory in whole GB (10⁹ bytes), and GPUs (0 or 1: torch stages use one where there is one)."""

    cpu: int
    memory_gb: int
    gpu: int


def needs(stage: Stage, settings: Settings, size: Size) -> Needs:
    """What `stage` needs for a population of this size."""
    gpu = isinstance(settings, NeuralSettings) and settings.device != "cpu"
    cpu = ALPHASIMR_THREADS if stage.image == "r" else getattr(settings, "threads", None) or 1
    return Needs(cpu, math.ceil(MARGIN * memory_bytes(stage, settings, size) / 1e9), int(gpu))


def memory_bytes(stage: Stage, settings: Settings, size: Size) -> float:
    """Peak memory of the stage's process: its libraries, packed genotypes, vectors over individuals, matrices."""
    n, m, t = size.n_individuals, size.n_loci, size.n_traits
    libraries = 6e8 if "torch" in stage.packages else 2.5e8
    packed, vectors, block = n * m / 8, 8 * 8 * n * t, 16 * BLOCK * m
    if stage.name == "simulate-alphasimr":
        return libraries + 2 * packed + 2 * n * m + vectors + block
    if stage.name == "fit-ridge":
        return libraries + 3 * packed + vectors + block + 5 * 8 * min(n, m) ** 2
    if "torch" in stage.packages:
        hidden = settings.hidden_size if isinstance(settings, MlpSettings | PrunedSettings) else t
        weights = 2 * m * hidden + hidden**2
        return libraries + 3 * packed + vectors + 6 * 4 * weights + 3 * 4 * BLOCK * (2 * m + hidden)
    return libraries + 2 * packed + vectors + block
