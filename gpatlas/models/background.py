"""What many small effects explain: a random polygenic background behind a few terms that a model names.

phenotype = Σ term·effect + background + noise, the background with the covariance X·Xᵀ/penalty of ridge regression on all loci. The
background is never computed itself: in the principal components of X, V⁻¹ of the covariance V = X·Xᵀ/penalty + 1 is diagonal.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gpatlas.data.genotypes import FloatArray
from gpatlas.models.encoder import Numbers, times
from gpatlas.models.ridge import ByIndividual, ByLocus, decompose

LOCUS_BLOCK = 1024  # a multiple of 8
# Shares of the variance that the background is tried with; the first is none, but for its name
SHARES = np.array([1e-6, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999])
JITTER = 1e-6  # on the mean squares of the terms


@dataclass(frozen=True)
class Background:
    """Of n individuals: the principal components of their loci."""

    components: ByLocus | ByIndividual

    @classmethod
    def of(cls, numbers: Numbers) -> "Background":
        """Of the loci as ridge regression has them."""
        return cls(decompose(numbers))

    @cached_property
    def scores(self) -> FloatArray:
        """(n, rank)"""
        return np.concatenate([scores for _, scores in self.components.scores()])

    def scores_of(self, numbers: Numbers) -> FloatArray:
        """Of other individuals: (k, rank)"""
        components = self.components
        if isinstance(components, ByLocus):
            return times(numbers, components.vectors) - components.mean @ components.vectors
        shared = np.zeros((numbers.shape[0], components.numbers.shape[0]))
        both = zip(numbers.locus_blocks(LOCUS_BLOCK), components.numbers.locus_blocks(LOCUS_BLOCK), strict=True)
        for (loci, theirs), (_, mine) in both:
            shared += (theirs - components.mean[loci]) @ (mine - components.mean[loci]).T
        return np.asarray(shared @ components.vectors / np.sqrt(components.squares))

    @property
    def penalties(self) -> FloatArray:
        """Those of SHARES of the variance."""
        return np.asarray(self.components.squares.sum() / len(self.scores) * (1 - SHARES) / SHARES)


@dataclass(frozen=True)
class Mixed:
    """Generalised least squares of a centred `phenotype` (n,) on `terms` (n, k), in front of a background with a `penalty`.

    `projected` (rank, k) and `projected_phenotype` (rank,): scoresᵀ·terms and scoresᵀ·phenotype. `shrinkage`: on the squares of the effects
    but the first, which is the intercept's.
    """

    background: Background
    penalty: float
    phenotype: FloatArray
    terms: FloatArray
    projected: FloatArray
    projected_phenotype: FloatArray
    shrinkage: float = 0.0

    @cached_property
    def weights(self) -> FloatArray:
        """V⁻¹ = 1 − scores·diag(weights)·scoresᵀ, (rank,)"""
        return 1 / (self.background.components.squares + self.penalty)

    @cached_property
    def information(self) -> FloatArray:
        """termsᵀ·V⁻¹·terms, (k, k)."""
        matrix = self.terms.T @ self.terms - self.projected.T @ (self.weights[:, None] * self.projected)
        matrix[np.diag_indices(len(matrix))] += JITTER * len(self.phenotype)
        if self.shrinkage:
            matrix[np.diag_indices(len(matrix))] += self.shrinkage * (np.arange(len(matrix)) > 0)
        return np.asarray(matrix)

    @cached_property
    def inverse(self) -> FloatArray:
        """Of the information: the covariance of the effects in units of the noise."""
        return np.asarray(np.linalg.inv(self.information))

    @cached_property
    def effects(self) -> FloatArray:
        """Of the terms, (k,)."""
        moments = self.terms.T @ self.phenotype - self.projected.T @ (self.weights * self.projected_phenotype)
        return np.asarray(self.inverse @ moments)

    @cached_property
    def left(self) -> FloatArray:
        """scoresᵀ·(phenotype − terms·effects), (rank,)"""
        return np.asarray(self.projected_phenotype - self.projected @ self.effects)

    @cached_property
    def residual(self) -> FloatArray:
        """V⁻¹·(phenotype − terms·effects): what neither terms nor background explain, (n,)."""
        return np.asarray(self.phenotype - self.terms @ self.effects - self.background.scores @ (self.weights * self.left))

    @cached_property
    def variance(self) -> float:
        """Of the noise."""
        rest = self.phenotype - self.terms @ self.effects
        return float((rest @ rest - self.left @ (self.weights * self.left)) / max(1, len(rest) - self.terms.shape[1]))

    @cached_property
    def z(self) -> FloatArray:
        """Of the terms, (k,): effect / standard error."""
        errors = np.sqrt(self.variance * np.clip(self.inverse.diagonal(), 0, None))
        return np.divide(self.effects, errors, out=np.zeros(len(errors)), where=errors > 0)

    @property
    def component_effects(self) -> FloatArray:
        """Of the background's components, (rank,)."""
        return self.weights * self.left

    @property
    def deviance(self) -> float:
        """−2·log of the restricted likelihood, less a constant."""
        n, k = self.terms.shape
        of_background = np.log1p(self.background.components.squares / self.penalty).sum()
        return float(of_background + np.linalg.slogdet(self.information)[1] + (n - k) * np.log(max(self.variance, 1e-12)))
