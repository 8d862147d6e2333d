"""What covariates explain, around every model: their effects are learned from training individuals, and taken off before a fit."""

from dataclasses import dataclass

import numpy as np

from gpatlas.data.genotypes import FloatArray


@dataclass(frozen=True)
class CovariateEffects:
    """`effects` (C, T) on covariates centred by `mean` (C,)."""

    mean: FloatArray
    effects: FloatArray

    @classmethod
    def fit(cls, covariates: FloatArray, phenotypes: FloatArray) -> "CovariateEffects":
        """Least squares of training individuals' phenotypes (n, T) on covariates (n, C) and an intercept.

        A covariate that is constant among them, such as a level of a factor which none of them has, has no effect.
        """
        mean = covariates.mean(axis=0)
        effects = np.linalg.lstsq(covariates - mean, phenotypes - phenotypes.mean(axis=0), rcond=None)[0]
        return cls(mean, effects)

    def of(self, covariates: FloatArray) -> FloatArray:
        """What they add to the phenotypes of n individuals, (n, T)."""
        added: FloatArray = (covariates - self.mean) @ self.effects
        return added
