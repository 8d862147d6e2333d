"""How long a stage takes at most, roughly, from its sizes alone: for an engine that ends what runs longer than was said."""

import math

from gpatlas.data.settings import ImportSettings, OwnDataSettings, SubsampleSettings, TraitSettings
from gpatlas.models.settings import FitSettings, NeuralSettings
from gpatlas.settings import Settings, Size

FLOPS_OF_CORE, FLOPS_OF_GPU = 2e10, 1e12  # a second, of the products of matrices that most of the time goes into
SECONDS_OF_CELL = 2e-7  # to simulate or read the genotype of an individual at a locus
FITS_WITHIN = 5  # inner folds, kernels, passes: what a fit does several times
SWEEPS = 1000  # over all genotypes: of coordinate descent, of trees
FLOPS_OF_READING = 40  # to unpack a genotype for a network
SECONDS_TO_START = 20


def seconds(settings: Settings, size: Size, cpu: int, gpu: int) -> float:
    """Of a stage with these settings on so many cores, on a GPU where it has one."""
    n, m, t = size.n_individuals, size.n_loci, size.n_traits
    if isinstance(settings, TraitSettings | ImportSettings | OwnDataSettings | SubsampleSettings):
        return SECONDS_TO_START + SECONDS_OF_CELL * n * (m + t)
    if isinstance(settings, NeuralSettings):
        reading = FLOPS_OF_READING * n * m * settings.epochs / FLOPS_OF_CORE
        training = _training(settings, size) / (FLOPS_OF_GPU if gpu else FLOPS_OF_CORE * cpu)
        return SECONDS_TO_START + _splits(settings) * (reading + training)
    if isinstance(settings, FitSettings):
        products, matrices = FITS_WITHIN * 2.0 * n * m * min(n, m), math.pow(settings.memory(size) / 8, 1.5)
        return SECONDS_TO_START + _splits(settings) * (products + matrices + SWEEPS * n * m * t) / (FLOPS_OF_CORE * cpu)
    return SECONDS_TO_START


def _splits(settings: FitSettings) -> int:
    """How often the model is fitted for its scores."""
    if settings.protocol == "cross_validation":
        return settings.n_folds * settings.n_repeats
    return int(getattr(settings, "n_splits", 1)) if settings.protocol == "paper" else 1


def _training(settings: NeuralSettings, size: Size) -> float:
    """Multiplications and additions of all epochs and trials: forward once, backward twice."""
    width, k = getattr(settings, "hidden_size", 0), min(size.n_loci, getattr(settings, "max_product_loci", 0))
    weights = (size.n_loci + width + size.n_traits) * width if width else (size.n_loci + k**2) * size.n_traits
    trials = 1 + getattr(settings, "n_trials", 0) * bool(getattr(settings, "tune", True)) + len(getattr(settings, "penalties", ()))
    return 6.0 * size.n_individuals * weights * settings.epochs * trials
