"""Phenotypes in standard units around every model: a trait's mean and unit are the user's business, not a model's."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpatlas.data.genotypes import FloatArray, Genotypes
from gpatlas.models.contract import Fitted, Part

STANDARD_ERRORS = 6


@dataclass(frozen=True)
class Scale:
    """The `mean` and the standard deviation `sd` of every trait, (T,), in the user's unit."""

    mean: FloatArray
    sd: FloatArray

    @classmethod
    def of(cls, phenotypes: FloatArray, as_they_are: npt.NDArray[np.bool_]) -> "Scale":
        """Of training individuals' phenotypes (n, T); mean 0 and sd 1 for the traits that stay `as_they_are` (T,), sd 1 for a constant."""
        mean, sd = phenotypes.mean(axis=0), phenotypes.std(axis=0)
        return cls(np.where(as_they_are, 0.0, mean), np.where(as_they_are | (np.ptp(phenotypes, axis=0) == 0), 1.0, sd))

    def standard(self, part: Part) -> Part:
        """With phenotypes in units of `sd`, as distances from `mean`."""
        return Part(part.genotypes, (part.phenotypes - self.mean) / self.sd)

    def back(self, fitted: Fitted) -> Fitted:
        """What was fitted to standardised phenotypes, in the user's unit."""
        return replace(
            fitted,
            predict=InUserUnits(fitted.predict, self.mean, self.sd),
            coefficients=None if fitted.coefficients is None else fitted.coefficients * self.sd,
            tables={name: self._table(table) for name, table in fitted.tables.items()},
            inner_predictions=None if fitted.inner_predictions is None else fitted.inner_predictions * self.sd + self.mean,
        )

    def _table(self, table: Any) -> Any:
        """Its column `effect` belongs to the trait of its row, numbered from 1."""
        if not {"trait", "effect"} <= set(table):
            return table
        return table.assign(effect=table["effect"] * self.sd[table["trait"].to_numpy(dtype=int) - 1])


@dataclass(frozen=True)
class InUserUnits:
    """The predictions (n, T) of `standard`, times `sd` plus `mean`, (T,)."""

    standard: Callable[[Genotypes], FloatArray]
    mean: FloatArray
    sd: FloatArray

    def __call__(self, genotypes: Genotypes) -> FloatArray:
        return self.standard(genotypes) * self.sd + self.mean


def simulated_in_standard_units(phenotypes: FloatArray, facts: list[dict[str, Any]]) -> npt.NDArray[np.bool_]:
    """Which traits, (T,), are as our simulators and AlphaSimR make them: genetic values of mean 0 and variance 1, and noise.

    The phenotypes (n, T) then have mean 0 and variance 1/h2. Both are believed within STANDARD_ERRORS of a normal sample: the
    mean's is sqrt(1/(h2·n)), the variance's sqrt(2/n)/h2. A trait whose h2 is not in its `facts` was not simulated.
    """
    h2 = np.array([fact.get("h2", np.nan) for fact in facts], dtype=float)
    n = len(phenotypes)
    mean_agrees = np.abs(phenotypes.mean(axis=0)) <= STANDARD_ERRORS * np.sqrt(1 / (h2 * n))
    variance_agrees = np.abs(phenotypes.var(axis=0) * h2 - 1) <= STANDARD_ERRORS * np.sqrt(2 / n)
    return np.asarray(mean_agrees & variance_agrees, dtype=bool)
