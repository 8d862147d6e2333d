"""What a stage needs of a machine while it runs, estimated from its sizes, so that as many run side by side as fit."""

import math
from dataclasses import dataclass

from gpatlas.data.settings import ImportSettings, OwnDataSettings, SimulateTraitsSettings
from gpatlas.durations import seconds
from gpatlas.machine import machine_memory
from gpatlas.models.settings import FitSettings, NeuralSettings
from gpatlas.settings import BLOCK, Settings, Size
from gpatlas.stages import Stage

MARGIN = 1.25
ALPHASIMR_THREADS = 2  # always, as r/simulate.R says why
OFFSPRING_CELL = 6  # bytes of a parent's genotype, unpacked and phased
IMPORT_BLOCKS, IMPORT_LOCUS = 5e8, 1000  # bytes of an import: of blocks of calls, and of what is known of a locus


@dataclass(frozen=True)
class Needs:
    """Processor cores, memory in whole GB (10⁹ bytes), GPUs (0 or 1: torch stages use one where there is one), and minutes, roughly."""

    cpu: int
    memory_gb: int
    gpu: int
    minutes: int = 1


def needs(stage: Stage, settings: Settings, size: Size) -> Needs:
    """What `stage` needs for a population of this size."""
    gpu = isinstance(settings, NeuralSettings) and settings.device != "cpu"
    cpu = ALPHASIMR_THREADS if stage.image == "r" else getattr(settings, "threads", None) or 1
    minutes = math.ceil(seconds(settings, size, cpu, int(gpu)) / 60)
    return Needs(cpu, math.ceil(MARGIN * memory_bytes(stage, settings, size) / 1e9), int(gpu), minutes)


def memory_bytes(stage: Stage, settings: Settings, size: Size) -> float:
    """Peak memory of the stage's process: its libraries, packed genotypes, vectors over individuals, matrices."""
    n, m, t = size.n_individuals, size.n_loci, size.n_traits
    libraries = 6e8 if "torch" in stage.packages else 2.5e8
    packed, vectors, block = n * m * size.bits / 8, 8 * 8 * n * t, 16 * BLOCK * m
    if stage.name == "simulate-alphasimr":
        return libraries + 2 * packed + 2 * n * m + vectors + block
    if isinstance(settings, OwnDataSettings):
        return libraries + IMPORT_BLOCKS + IMPORT_LOCUS * m + vectors
    if isinstance(settings, SimulateTraitsSettings):
        return libraries + 3 * packed + OFFSPRING_CELL * n * m * bool(settings.n_individuals) + vectors + block
    if isinstance(settings, FitSettings):
        return libraries + 3 * packed + vectors + settings.memory(size)
    if isinstance(settings, ImportSettings):
        return libraries + 2 * packed + vectors + block + 5 * 8 * (settings.n_qtl or m) ** 2
    return libraries + 2 * packed + vectors + block


def check_memory(needed: float, what: str) -> None:
    """Raises ValueError where `what` needs more bytes than this machine, or this container, has."""
    if needed > (there := machine_memory()):
        raise ValueError(f"{what} needs {needed / 1e9:,.1f} GB of memory; there are {there / 1e9:,.1f} GB")
