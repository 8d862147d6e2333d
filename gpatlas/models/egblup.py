"""EG-BLUP: kernel ridge regression on additive and pairwise epistatic relationships of the individuals.

Extended genomic best linear unbiased prediction (Jiang & Reif 2015, doi 10.1534/genetics.115.177907): every locus and
every pair of loci has an effect, all of one variance each, but only the relationships of the individuals are computed.
"""

from dataclasses import dataclass

import numpy as np

from gpatlas.data.genotypes import FloatArray, Genotypes, blocks
from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.encoder import BLOCK_SIZE, Encoder
from gpatlas.models.heritability import heritability_columns
from gpatlas.models.registry import EgblupSettings
from gpatlas.models.ridge import OfIndividuals, eigen, leave_one_out, penalties

LOCUS_BLOCK = 1024  # loci held unpacked; a multiple of 8


def fit(train: Part, validation: Part, settings: EgblupSettings, progress: FitProgress) -> dict[str, Fitted]:
    """EG-BLUP on the training individuals."""
    egblup = EgblupFit.fit(train, settings, progress)
    return {
        "egblup": Fitted(
            egblup.predict, columns={"penalty": egblup.penalty, "epistatic_weight": egblup.epistatic_weight, **egblup.heritability}
        )
    }


@dataclass(frozen=True)
class EgblupFit:
    """`additive` and `epistatic` (n, T): what each of the `trained` individuals' relationships adds to a genetic value.

    `intercept` (T,); `penalty` and `epistatic_weight` (T,): those chosen for each trait. `heritability`: columns, by the
    kernel chosen for each trait, under cross-validation.
    """

    trained: Genotypes
    encoder: Encoder
    additive: FloatArray
    epistatic: FloatArray
    intercept: FloatArray
    penalty: FloatArray
    epistatic_weight: FloatArray
    heritability: dict[str, FloatArray]

    @classmethod
    def fit(cls, train: Part, settings: EgblupSettings, progress: FitProgress) -> "EgblupFit":
        """One decomposition per weight serves all traits and penalties; per trait, both are chosen by leave-one-out.

        With the weight w the relationship is (1 − w)·additive + w·epistatic, both of mean diagonal 1, and the penalty is
        the ratio of the residual's variance to that of the genetic values. Memory grows with the square of n.
        """
        n, n_traits = train.phenotypes.shape
        encoder = Encoder.fit(train.genotypes)
        kernels = relationships(train.genotypes, train.genotypes, encoder)
        centres = kernels[1].mean(axis=0)
        scales = [centre_and_scale(kernel) for kernel in kernels]
        mean, tried = train.phenotypes.mean(axis=0), penalties(settings)
        best, penalty, chosen = np.full(n_traits, np.inf), np.zeros(n_traits), np.zeros(n_traits)
        duals, heritability = np.zeros((n, n_traits)), dict[str, FloatArray]()
        for number, weight in enumerate(settings.epistatic_weights, 1):
            components = OfIndividuals(*eigen((1 - weight) * kernels[0] + weight * kernels[1], n))
            projected = components.project(train.phenotypes - mean)
            errors = leave_one_out(components, projected, train.phenotypes - mean, tried)  # (T, P)
            better = errors.min(axis=1) < best
            best[better], chosen[better] = errors.min(axis=1)[better], weight
            penalty[better] = tried[errors.argmin(axis=1)][better]
            duals[:, better] = components.duals(projected[:, better] / (components.squares[:, None] + penalty[better]))
            if settings.protocol == "cross_validation":
                for name, values in heritability_columns(components.squares, projected, train.phenotypes - mean).items():
                    heritability[name] = np.where(better, values, heritability.get(name, values))
            progress(number, len(settings.epistatic_weights))
        additive, epistatic = duals * (1 - chosen) / scales[0], duals * chosen / scales[1]
        return cls(train.genotypes, encoder, additive, epistatic, mean - centres @ epistatic, penalty, chosen, heritability)

    def predict(self, genotypes: Genotypes) -> FloatArray:
        """Of n individuals: (n, T)"""
        predicted = np.empty((len(genotypes), len(self.intercept)))
        for start, stop in blocks(len(genotypes), BLOCK_SIZE):
            additive, epistatic = relationships(genotypes.rows(slice(start, stop)), self.trained, self.encoder)
            predicted[start:stop] = additive @ self.additive + epistatic @ self.epistatic + self.intercept
        return predicted


def relationships(individuals: Genotypes, others: Genotypes, encoder: Encoder) -> tuple[FloatArray, FloatArray]:
    """Additive and pairwise relationships, (n, others) each, of genotypes x coded by `encoder` and centred by its mean.

    Σ_i x_i·z_i, and Σ_{i<j} x_i·x_j·z_i·z_j: half the square of the former without its terms i = j.
    """
    additive, squares = (np.zeros((len(individuals), len(others))) for _ in range(2))
    locus_blocks = (encoder.encode(genotypes).locus_blocks(LOCUS_BLOCK) for genotypes in (individuals, others))
    for (loci, mine), (_, theirs) in zip(*locus_blocks, strict=True):
        x, z = mine - encoder.mean[loci], theirs - encoder.mean[loci]
        additive += x @ z.T
        squares += x**2 @ (z**2).T
    np.subtract(additive**2, squares, out=squares)
    squares /= 2
    return additive, squares


def centre_and_scale(kernel: FloatArray) -> float:
    """Centre a relationship matrix (n, n), so that the fit has a free intercept, and give it mean diagonal 1; both in place.

    Returns what it was divided by. Raises ValueError where the relationships do not vary.
    """
    magnitude, means = np.abs(kernel).max(), kernel.mean(axis=0)
    kernel -= means + (means[:, None] - means.mean())
    scale = float(kernel.diagonal().mean())
    if not scale > 1e-10 * magnitude:
        raise ValueError("the training individuals do not differ; EG-BLUP needs two loci at least of which both alleles occur")
    kernel /= scale
    return scale
