"""RKHS regression: kernel ridge regression in the reproducing kernel Hilbert space that suits each trait best.

Gaussian kernels of several bandwidths (de los Campos et al. 2010, doi 10.1017/S0016672310000285), arc-cosine kernels (Cuevas et al.
2019, doi 10.1534/g3.119.400493), a dominance kernel where individuals are heterozygous: each alone, and mixed with the additive one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gpatlas.data.genotypes import FloatArray
from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.decomposed import Decomposed
from gpatlas.models.kernel_ridge import ChosenKernels, KernelPredictor
from gpatlas.models.kernels import Kernel, KernelCoding, Sums, centre_and_scale
from gpatlas.models.registry import RkhsSettings

ADDITIVE = Kernel("additive")


@dataclass(frozen=True)
class KernelMixture:
    """`kernel` and the additive one, of which the share is `additive_weight`; both centred and of mean diagonal 1.

    `bandwidth` and `layers`: of a Gaussian and of an arc-cosine kernel, NaN for others.
    """

    kernel: Kernel
    additive_weight: float
    bandwidth: float = np.nan
    layers: float = np.nan


def fit(train: Part, validation: Part, settings: RkhsSettings, progress: FitProgress) -> dict[str, Fitted]:
    """RKHS regression on the training individuals; per trait, kernel and penalty are chosen by leave-one-out."""
    coding = KernelCoding.symmetric(train.genotypes)
    sums = Sums.of(train.genotypes, train.genotypes, coding, dominance=coding.heterozygous is not None)
    tried = mixtures(sums, settings)
    chosen = ChosenKernels.of(_decomposed(tried, sums), len(tried), train.phenotypes, settings, progress)
    of_traits = [tried[number] for number in chosen.number]
    columns = {
        "penalty": chosen.penalty,
        "bandwidth": np.array([mixture.bandwidth for mixture in of_traits]),
        "arc_cosine_layers": np.array([mixture.layers for mixture in of_traits]),
        "additive_weight": np.array([mixture.additive_weight for mixture in of_traits]),
    }
    predict = _predictor(train, coding, sums, of_traits, chosen.duals)
    return {"rkhs": Fitted(predict, columns={**columns, **chosen.heritability}, inner_predictions=chosen.inner_predictions)}


def mixtures(sums: Sums, settings: RkhsSettings) -> list[KernelMixture]:
    """Those that are tried; the mixtures of a kernel stand together. A bandwidth is in units of the typical squared distance.

    Raises ValueError where the individuals do not differ.
    """
    distance = sums.typical_distance()
    if not distance > 0:
        raise ValueError("the training individuals do not differ; RKHS regression needs a locus at least of which both alleles occur")
    kernels = [(Kernel("gaussian", bandwidth / distance), bandwidth, np.nan) for bandwidth in settings.bandwidths]
    kernels += [(Kernel("arc_cosine", layers), np.nan, layers) for layers in range(1, settings.arc_cosine_layers + 1)]
    if sums.dominance is not None:
        kernels.append((Kernel("dominance"), np.nan, np.nan))
    mixed = [KernelMixture(kernel, weight, *own) for kernel, *own in kernels for weight in settings.additive_weights]
    return [KernelMixture(ADDITIVE, 1.0), *mixed]


def _decomposed(tried: list[KernelMixture], sums: Sums) -> Iterator[list[Decomposed]]:
    """Of one mixture after the other."""
    additive, last, matrix = ADDITIVE(sums), ADDITIVE, np.empty(0)
    centre_and_scale(additive)
    for mixture in tried:
        if mixture.additive_weight == 1:
            yield [Decomposed.of(additive)]
            continue
        if mixture.kernel != last:
            last, matrix = mixture.kernel, mixture.kernel(sums)
            centre_and_scale(matrix)
        yield [Decomposed.of(mixture.additive_weight * additive + (1 - mixture.additive_weight) * matrix)]


def _predictor(train: Part, coding: KernelCoding, sums: Sums, of_traits: list[KernelMixture], duals: FloatArray) -> KernelPredictor:
    """By the kernels that some trait needs. Weights sum to 0, so of the centring only that by the columns' means is left."""
    share = np.array([mixture.additive_weight for mixture in of_traits])
    intercept, weights = train.phenotypes.mean(axis=0), []
    for kernel in dict.fromkeys([ADDITIVE, *(mixture.kernel for mixture in of_traits)]):
        own = np.array([mixture.kernel == kernel for mixture in of_traits]) * (1 - share)
        matrix = kernel(sums)
        means = matrix.mean(axis=0)
        of_kernel = duals * (share if kernel == ADDITIVE else own) / centre_and_scale(matrix)
        if of_kernel.any():
            weights.append((kernel, of_kernel))
            intercept = intercept - means @ of_kernel
    return KernelPredictor(train.genotypes, coding, tuple(weights), intercept)
