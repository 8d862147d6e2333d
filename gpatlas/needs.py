"""What a stage needs of a machine while it runs, estimated from its sizes, so that as many run side by side as fit."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from gpatlas.settings import EgblupSettings, MlpSettings, NeuralSettings, PairwiseSettings, PrunedSettings, Settings, split_sizes
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
    if isinstance(settings, EgblupSettings):
        return libraries + 3 * packed + vectors + egblup_bytes(split_sizes(n, "paper")[0], m, t, settings)
    if isinstance(settings, PairwiseSettings):
        return libraries + 3 * packed + vectors + pairwise_bytes(split_sizes(n, "paper")[0], m, settings)
    if "torch" in stage.packages:
        hidden = settings.hidden_size if isinstance(settings, MlpSettings | PrunedSettings) else t
        weights = 2 * m * hidden + hidden**2
        return libraries + 3 * packed + vectors + 6 * 4 * weights + 3 * 4 * BLOCK * (2 * m + hidden)
    return libraries + 2 * packed + vectors + block


def egblup_bytes(n_train: int, n_loci: int, n_traits: int, settings: EgblupSettings) -> float:
    """Memory of EG-BLUP's matrices: six of n × n while one is decomposed; the leave-one-out errors are few beside them."""
    choices = n_traits * settings.n_penalties
    return 8 * (6 * n_train**2 + 2 * n_train * min(n_loci, 1024) + (n_train + 512) * choices)


def pairwise_bytes(n_train: int, n_loci: int, settings: PairwiseSettings) -> float:
    """Memory of the screening at its largest: loci and terms as bits, the scanned individuals unpacked, five Gram matrices."""
    n_terms, n_scanned = most_terms(n_train, n_loci), min(n_train, settings.max_scan_individuals)
    bits = n_train / 8 * (2 * n_loci + 3 * n_terms)
    scan = 4 * n_scanned * (n_loci + 256) + 2048 * n_loci
    return bits + scan + 5 * 8 * n_terms**2 + 16 * BLOCK * n_terms


def most_terms(n_train: int, n_loci: int) -> int:
    """Terms of a pairwise model at most: fewer than half as many as individuals, and not many times as many as loci."""
    return min(n_train // 2, 2 * n_loci + 1000)


def check_memory(needed: float, what: str) -> None:
    """Raises ValueError where `what` needs more bytes than this machine, or this container, has."""
    if needed > (there := machine_memory()):
        raise ValueError(f"{what} need {needed / 1e9:,.1f} GB of memory; there are {there / 1e9:,.1f} GB")


def machine_memory() -> int:
    """Bytes of memory that the machine has, or the container where that may use less (Linux)."""
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return installed if text == "max" else min(installed, int(text))
