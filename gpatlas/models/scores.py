"""How predictions are scored, and how scores of several splits become one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpatlas.data.genotypes import FloatArray
from gpatlas.models.contract import Fitted

Row = dict[str, Any]  # of a table; what it lacks, or is NaN, is missing
WITH_SD = ("pearson_r", "r_squared", "effect_correlation", "penalty")  # columns whose spread over splits is told


@dataclass(frozen=True)
class Predicted:
    """Test individuals, (n, T) each: phenotypes as `observed`, and as predicted `by_genome`, which includes the mean, and `by_covariates`.

    `mean` (n, T) or (T,): that of the training individuals' phenotypes. `by_covariates` is None where there are none.
    """

    observed: FloatArray
    by_genome: FloatArray
    by_covariates: FloatArray | None
    mean: FloatArray

    @property
    def whole(self) -> FloatArray:
        """By covariates and genome together."""
        return self.by_genome if self.by_covariates is None else self.by_genome + self.by_covariates

    @classmethod
    def pooled(cls, parts: "Sequence[Predicted]") -> "Predicted":
        """Of several splits, in their order."""
        means = [np.broadcast_to(part.mean, part.observed.shape) for part in parts]
        covariates = [part.by_covariates for part in parts if part.by_covariates is not None]
        observed, genome = (np.concatenate([getattr(part, name) for part in parts]) for name in ("observed", "by_genome"))
        return cls(observed, genome, np.concatenate(covariates) if covariates else None, np.concatenate(means))


def pearson_r(first: FloatArray, second: FloatArray) -> FloatArray:
    """Correlation of each column of `first` with the same column of `second`, (n, T) each: (T,). NaN where one is constant."""
    varies = (np.ptp(first, axis=0) > 0) & (np.ptp(second, axis=0) > 0)
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    norms = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    r: FloatArray = np.divide((first * second).sum(axis=0), norms, out=np.full(norms.shape, np.nan), where=varies)
    return r


def r_squared(observed: FloatArray, predicted: FloatArray, mean: FloatArray) -> FloatArray:
    """1 − SSE/SST against the training `mean`, (T,). NaN where nothing differs from it."""
    total = ((observed - mean) ** 2).sum(axis=0)
    share = np.divide(((observed - predicted) ** 2).sum(axis=0), total, out=np.full(total.shape, np.nan), where=total > 0)
    return np.asarray(1 - share)


def score(predicted: Predicted, constant: Any = None, with_r_squared: bool = True) -> dict[str, FloatArray]:
    """Columns of a table, a value per trait each: r, 1 − SSE/SST, mean and standard deviation of truth and prediction.

    A model that found nothing, and predicts one value for all, has r 0: it is a result, and counts in every mean and choice. r is NaN
    only where the phenotypes of the test part do not vary, or too few are there. `constant` (T,): for which traits that is so, where the
    predictions are pooled from several fits, whose values differ.

    With covariates, the scores are of the whole trait; `_adjusted` ones of what the covariates leave, `covariates_r_squared` of
    the covariates alone.
    """
    constant = np.ptp(predicted.whole, axis=0) == 0 if constant is None else constant
    columns = {"pearson_r": _r(predicted.observed, predicted.whole, constant)}
    if with_r_squared:
        columns["r_squared"] = r_squared(predicted.observed, predicted.whole, predicted.mean)
    if predicted.by_covariates is not None:
        left = predicted.observed - predicted.by_covariates
        columns["pearson_r_adjusted"] = _r(left, predicted.by_genome, np.ptp(predicted.by_genome, axis=0) == 0)
        columns["r_squared_adjusted"] = r_squared(left, predicted.by_genome, predicted.mean)
        columns["covariates_r_squared"] = r_squared(predicted.observed, predicted.by_covariates + predicted.mean, predicted.mean)
    return columns


def moments(predicted: Predicted) -> dict[str, FloatArray]:
    """Mean and standard deviation of phenotypes and predictions, as columns."""
    columns = {}
    for name, values in (("truth", predicted.observed), ("prediction", predicted.whole)):
        columns[f"{name}_mean"], columns[f"{name}_sd"] = values.mean(axis=0), values.std(axis=0)
    return columns


def _r(observed: FloatArray, predicted: FloatArray, constant: Any) -> FloatArray:
    return np.where(constant & (np.ptp(observed, axis=0) > 0), 0.0, pearson_r(observed, predicted))


def columns_of(predicted: Predicted, fitted: Fitted, true_effects: FloatArray | None, with_r_squared: bool) -> dict[str, Any]:
    """All columns of one fit: scores, moments, its own.

    `true_effects`: additive effects (n_loci, T), where they are known, to correlate with the fit's coefficients.
    """
    correlation = {}
    if fitted.coefficients is not None and true_effects is not None:
        correlation["effect_correlation"] = pearson_r(true_effects, fitted.coefficients)
    return {**score(predicted, with_r_squared=with_r_squared), **correlation, **moments(predicted), **fitted.columns}


def by_trait(columns: dict[str, Any], n_traits: int) -> list[Row]:
    """A row per trait, numbered from 1."""
    numbered = {"trait": np.arange(1, n_traits + 1), **columns}
    values_of_traits = zip(*(np.broadcast_to(values, n_traits).tolist() for values in numbered.values()), strict=True)
    return [dict(zip(numbered, values, strict=True)) for values in values_of_traits]


def cross_validated(predicted: Sequence[Predicted], of_fits: Sequence[dict[str, Any]], n_repeats: int) -> list[Row]:
    """A row per trait, of the `predicted` of every fold, repeat after repeat, and the columns `of_fits` of theirs.

    Scores and moments are those of the pooled predictions of a repeat, and their mean over repeats; a score's `_sd` is over all folds.
    All other columns are means over folds.
    """
    n_folds, n_traits = len(predicted) // n_repeats, predicted[0].observed.shape[1]
    constant = np.all([np.ptp(part.whole, axis=0) == 0 for part in predicted], axis=0)
    pooled = [Predicted.pooled(predicted[start : start + n_folds]) for start in range(0, len(predicted), n_folds)]
    of_folds = summarise([by_trait(columns, n_traits) for columns in of_fits])
    of_repeats = summarise([by_trait({**score(one, constant), **moments(one)}, n_traits) for one in pooled])
    spread = {f"{name}_sd" for name in WITH_SD}  # over folds, not over repeats
    return [
        {**folds, **{name: value for name, value in repeats.items() if name not in spread}}
        for folds, repeats in zip(of_folds, of_repeats, strict=True)
    ]


def summarise(tables: Sequence[list[Row]]) -> list[Row]:
    """The mean of every column over splits; where there are several, also the standard deviation of those in WITH_SD.

    A split whose value is NaN does not count.
    """
    if len(tables) == 1:
        return tables[0]
    return [{"trait": rows[0]["trait"], **_over_splits(rows)} for rows in zip(*tables, strict=True)]


def _over_splits(rows: tuple[Row, ...]) -> Row:
    summary: Row = {}
    for name in (name for name in rows[0] if name != "trait"):
        values = [row[name] for row in rows if not math.isnan(row[name])]
        summary[name] = float(np.mean(values)) if values else math.nan
        if name in WITH_SD:
            summary[f"{name}_sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return summary
