"""EG-BLUP: kernel ridge regression on additive and pairwise epistatic relationships of the individuals.

Extended genomic best linear unbiased prediction (Jiang & Reif 2015, doi 10.1534/genetics.115.177907): every locus and
every pair of loci has an effect, all of one variance each, but only the relationships of the individuals are computed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gpatlas.data.genotypes import FloatArray
from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.decomposed import Decomposed
from gpatlas.models.kernel_ridge import ChosenKernels, KernelPredictor
from gpatlas.models.kernels import Kernel, KernelCoding, Sums, centre_and_scale
from gpatlas.models.registry import EgblupSettings
from gpatlas.models.settings import MAX_LOCI_PER_INDIVIDUAL, MIN_INDIVIDUALS

ADDITIVE, EPISTATIC = Kernel("additive"), Kernel("epistatic")


def fit(train: Part, validation: Part, settings: EgblupSettings, progress: FitProgress) -> dict[str, Fitted]:
    """EG-BLUP on the training individuals."""
    egblup = EgblupFit.fit(train, settings, progress)
    columns = {"penalty": egblup.penalty, "epistatic_weight": egblup.epistatic_weight, **egblup.heritability}
    return {"egblup": Fitted(egblup.predict, columns=columns, inner_predictions=egblup.inner_predictions)}


@dataclass(frozen=True)
class EgblupFit:
    """`predict`: phenotypes (n, T) of genotypes; `penalty` and `epistatic_weight` (T,): those chosen for each trait.

    By the kernel chosen for each trait, under cross-validation: the columns `heritability`, and `inner_predictions` (n, T).
    """

    predict: KernelPredictor
    penalty: FloatArray
    epistatic_weight: FloatArray
    heritability: dict[str, FloatArray]
    inner_predictions: FloatArray | None

    @classmethod
    def fit(cls, train: Part, settings: EgblupSettings, progress: FitProgress) -> "EgblupFit":
        """With the weight w the relationship is (1 − w)·additive + w·epistatic, both of mean diagonal 1; per trait, weight and penalty are
        chosen by leave-one-out. Memory grows with the square of n.

        Of many individuals with few loci the additive relationship is of low rank, and one decomposition, of the epistatic relationship,
        serves all weights; else there is one for each. Both are exact.
        """
        coding = KernelCoding.centred(train.genotypes)
        sums = Sums.of(train.genotypes, train.genotypes, coding, squares=True)
        kernels = [kernel(sums) for kernel in (ADDITIVE, EPISTATIC)]
        del sums
        centres = kernels[1].mean(axis=0)
        scales = [centre_and_scale(kernel) for kernel in kernels]
        if not all(scales):
            raise ValueError("the training individuals do not differ; EG-BLUP needs two loci at least of which both alleles occur")
        weights = np.array(settings.epistatic_weights)
        n, n_loci = len(train.genotypes), train.genotypes.n_loci
        shared = n >= MIN_INDIVIDUALS and n_loci <= MAX_LOCI_PER_INDIVIDUAL * n
        loci = coding.numbers(train.genotypes) / scales[0] ** 0.5 if shared else None
        chosen = ChosenKernels.of(_mixtures(kernels, loci, weights), len(weights), train.phenotypes, settings, progress)
        weight = weights[chosen.number]
        additive, epistatic = chosen.duals * (1 - weight) / scales[0], chosen.duals * weight / scales[1]
        intercept = train.phenotypes.mean(axis=0) - centres @ epistatic
        predict = KernelPredictor(train.genotypes, coding, ((ADDITIVE, additive), (EPISTATIC, epistatic)), intercept)
        return cls(predict, chosen.penalty, weight, chosen.heritability, chosen.inner_predictions)


def _mixtures(kernels: list[FloatArray], loci: FloatArray | None, weights: FloatArray) -> Iterator[list[Decomposed]]:
    """Of each epistatic weight, from the list of both kernels, which is emptied; or with numbers of `loci` that make the additive one."""
    epistatic, additive = kernels.pop(), kernels.pop()
    if loci is None:
        yield from ([Decomposed.of((1 - weight) * additive + weight * epistatic)] for weight in weights)
        return
    del additive
    decomposed = Decomposed.of(epistatic)
    del epistatic
    yield decomposed.mixed(weights.tolist(), loci)
