"""What a model is to the rest of the package: a fit of training individuals, and what that gives.

A fit sees standardised phenotypes, never a path, a split, a unit, a true effect, or an individual of the test part.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import FloatArray, Genotypes, Rows

if TYPE_CHECKING:
    import pandas as pd


class FitProgress(Protocol):
    """How far a fit is: (steps done, steps in all) and facts of the step. `gpatlas.progress.Progress`, or what stands for it."""

    def __call__(self, done: int, total: int, **facts: Any) -> None: ...

    def report(self, **facts: Any) -> None:
        """Facts of the whole fit."""


class Silent:
    """A FitProgress that nobody follows."""

    def __call__(self, done: int, total: int, **facts: Any) -> None: ...

    def report(self, **facts: Any) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Part:
    """Some individuals: `genotypes` of n and `phenotypes` (n, T)."""

    genotypes: Genotypes
    phenotypes: FloatArray

    def rows(self, rows: Rows) -> "Part":
        return Part(self.genotypes.rows(rows), self.phenotypes[rows])

    def joined(self, other: "Part") -> "Part":
        """These individuals, then those of `other`."""
        packed = np.concatenate([self.genotypes.packed, other.genotypes.packed])
        return Part(replace(self.genotypes, packed=packed), np.concatenate([self.phenotypes, other.phenotypes]))


@dataclass(frozen=True)
class Fitted:
    """A fitted model, in the unit of the phenotypes that it was given.

    `predict`: genotypes of n individuals to phenotypes (n, T). `coefficients` (n_loci, T): additive effects of the loci, where the
    model has such: what an individual with all counted alleles has more than one with none. `columns`: further results, each a number or
    one value per trait (T,). `tables`: further tables by name, which are written beside the model's own; in a table with the column
    `trait` (from 1), `effect` is in the unit of that trait. `inner_predictions` (n, T), under cross-validation: of the individuals
    fitted, each by a fit of the same kind to others of them; NaN of those whom no such fit predicts.
    """

    predict: Callable[[Genotypes], FloatArray]
    coefficients: FloatArray | None = None
    columns: dict[str, Any] = field(default_factory=dict)
    tables: "dict[str, pd.DataFrame]" = field(default_factory=dict)
    inner_predictions: FloatArray | None = None


Fit = Callable[[Part, Part, Any, FitProgress], dict[str, Fitted]]
"""(training part, validation part, settings, progress) to the fitted models by name. The validation part is the test part under
protocol 'paper', and empty for a model that does not validate. Under any other protocol a fit that has chosen by it ends with
a fit of both parts together."""

Judge = Callable[[dict[str, Fitted], Effects], dict[str, Fitted]]
"""The fitted models, with what only the true effects can tell added to their columns and tables."""
