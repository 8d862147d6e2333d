"""How predictions are scored, and how scores of several splits become one."""

import math
from typing import Any

import numpy as np

from gpatlas.data.genotypes import FloatArray
from gpatlas.models.contract import Fitted, Part

Row = dict[str, Any]  # of a table; what it lacks, or is NaN, is missing
WITH_SD = ("pearson_r", "effect_correlation", "penalty")  # columns whose spread over splits is told


def pearson_r(first: FloatArray, second: FloatArray) -> FloatArray:
    """Correlation of each column of `first` with the same column of `second`, (n, T) each: (T,). NaN where one is constant."""
    varies = (np.ptp(first, axis=0) > 0) & (np.ptp(second, axis=0) > 0)
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    norms = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    r: FloatArray = np.divide((first * second).sum(axis=0), norms, out=np.full(norms.shape, np.nan), where=varies)
    return r


def score(fitted: Fitted, test: Part, true_effects: FloatArray | None) -> list[Row]:
    """One row per trait: r, mean and standard deviation of truth and prediction, and the model's own columns.

    A model that found nothing, and predicts one value for all, has r 0: it is a result, and counts in every mean and choice. r is NaN
    only where the phenotypes of the test part do not vary, or too few are there.

    `true_effects`: additive effects (n_loci, T), where they are known, to correlate with the model's coefficients.
    """
    predicted = fitted.predict(test.genotypes)
    if predicted.shape != test.phenotypes.shape:
        raise ValueError(f"predictions have the shape {predicted.shape}, the phenotypes {test.phenotypes.shape}: individuals by traits")
    n_traits = predicted.shape[1]
    found_nothing = (np.ptp(predicted, axis=0) == 0) & (np.ptp(test.phenotypes, axis=0) > 0)
    r = np.where(found_nothing, 0.0, pearson_r(test.phenotypes, predicted))
    columns: dict[str, Any] = {"trait": np.arange(1, n_traits + 1), "pearson_r": r}
    if fitted.coefficients is not None and true_effects is not None:
        columns["effect_correlation"] = pearson_r(true_effects, fitted.coefficients)
    for name, values in (("truth", test.phenotypes), ("prediction", predicted)):
        columns[f"{name}_mean"], columns[f"{name}_sd"] = values.mean(axis=0), values.std(axis=0)
    columns |= fitted.columns
    by_trait = zip(*(np.broadcast_to(values, n_traits).tolist() for values in columns.values()), strict=True)
    return [dict(zip(columns, values, strict=True)) for values in by_trait]


def summarise(tables: list[list[Row]]) -> list[Row]:
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
