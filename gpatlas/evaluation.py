"""How a fit is scored: splits, predictions on individuals it never saw, a table with one row per trait."""

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gpatlas.dataset import Dataset, DatasetError, FloatArray, Genotypes, Rows
from gpatlas.progress import Progress
from gpatlas.settings import FitSettings, split_sizes


@dataclass(frozen=True)
class Part:
    """Some individuals: `genotypes` of n and `phenotypes` (n, T)."""

    genotypes: Genotypes
    phenotypes: FloatArray

    def rows(self, rows: Rows) -> "Part":
        return Part(self.genotypes.rows(rows), self.phenotypes[rows])


@dataclass(frozen=True)
class Fitted:
    """A fitted model: `predict` maps genotypes of n individuals to phenotypes (n, T).

    `coefficients` (n_loci, T): additive effects of the loci, but for a factor, where the model has such; `columns` are further
    results, each a number or one value per trait.
    """

    predict: Callable[[Genotypes], FloatArray]
    coefficients: FloatArray | None = None
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Split:
    """Row numbers of the individuals to train on, to choose by (early stopping), and to report on."""

    train: Rows
    validation: Rows
    test: Rows


Row = dict[str, Any]  # of a table; what it lacks, or is NaN, is missing
Fit = Callable[[Part, Part, Any, Progress], Fitted]
FitSeveral = Callable[[Part, Part, Any, Progress], dict[str, Fitted]]


def ordered_split(n_individuals: int, settings: FitSettings) -> list[Split]:
    """The networks' split: the first 85 % train, the rest test; under 'holdout' the last 15 % of the former validate."""
    n_train, n_validation, n_test = split_sizes(n_individuals, settings.protocol)
    rows = np.arange(n_individuals)
    test = rows[n_individuals - n_test :]
    validation = test if settings.protocol == "paper" else rows[n_train : n_train + n_validation]
    return [Split(rows[:n_train], validation, test)]


def training_splits(n_individuals: int) -> list[Split]:
    """The networks' split for a model that needs no validation part: under 'holdout' its individuals join the training part."""
    n_train, rows = split_sizes(n_individuals, "paper")[0], np.arange(n_individuals)
    return [Split(rows[:n_train], rows[:0], rows[n_train:])]


def random_splits(n_individuals: int, n_splits: int, rng: np.random.Generator | np.random.RandomState) -> list[Split]:
    """`n_splits` random splits with int(0.85·n) training individuals and no validation part."""
    orders = [rng.permutation(n_individuals) for _ in range(n_splits)]
    cut = int(0.85 * n_individuals)
    return [Split(order[:cut], order[:0], order[cut:]) for order in orders]


def pearson_r(first: FloatArray, second: FloatArray) -> FloatArray:
    """Correlation of each column of `first` with the same column of `second`, (n, T) each: (T,). NaN where one is constant."""
    varies = (np.ptp(first, axis=0) > 0) & (np.ptp(second, axis=0) > 0)
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    norms = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    r: FloatArray = np.divide((first * second).sum(axis=0), norms, out=np.full(norms.shape, np.nan), where=varies)
    return r


def score(fitted: Fitted, test: Part, true_effects: FloatArray) -> list[Row]:
    """One row per trait: r, mean and standard deviation of truth and prediction, and the model's own columns.

    `true_effects`: additive effects (n_loci, T), to correlate with the model's coefficients.
    """
    predicted = fitted.predict(test.genotypes)
    n_traits = predicted.shape[1]
    columns: dict[str, Any] = {"trait": np.arange(1, n_traits + 1), "pearson_r": pearson_r(test.phenotypes, predicted)}
    if fitted.coefficients is not None:
        columns["effect_correlation"] = pearson_r(true_effects, fitted.coefficients)
    for name, values in (("truth", test.phenotypes), ("prediction", predicted)):
        columns[f"{name}_mean"], columns[f"{name}_sd"] = values.mean(axis=0), values.std(axis=0)
    columns |= fitted.columns
    by_trait = zip(*(np.broadcast_to(values, n_traits).tolist() for values in columns.values()), strict=True)
    return [dict(zip(columns, values, strict=True)) for values in by_trait]


SPREAD = ("pearson_r", "effect_correlation", "penalty")


def summarise(tables: list[list[Row]]) -> list[Row]:
    """The mean of every column over splits; where there are several, also the standard deviation of those in SPREAD.

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
        if name in SPREAD:
            summary[f"{name}_sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return summary


def run_fit(
    model: str, fit: Fit, splits: list[Split], settings: FitSettings, data: Dataset, progress: Progress, traits: slice = slice(None)
) -> list[Row]:
    """`run_fits` for a fit of one model."""
    return run_fits(lambda *arguments: {model: fit(*arguments)}, splits, settings, data, progress, traits)


def run_fits(
    fit: FitSeveral, splits: list[Split], settings: FitSettings, data: Dataset, progress: Progress, traits: slice = slice(None)
) -> list[Row]:
    """Fit and score models on every split of `data`: a row per model and trait, with the population's parameters as columns.

    `fit` receives training and validation individuals only; the test part is predicted once, after it returns.
    `traits`: which of the dataset's traits to fit, together.
    """
    everyone = Part(data.genotypes(), data.phenotypes()[:, traits])
    _check(everyone, splits, data)
    true_effects, started = data.effects().additive[:, traits], time.perf_counter()
    scores: dict[str, list[list[Row]]] = {}
    for split in splits:
        models = fit(everyone.rows(split.train), everyone.rows(split.validation), settings, progress)
        for model, fitted in models.items():
            scores.setdefault(model, []).append(score(fitted, everyone.rows(split.test), true_effects))
    facts: Row = {"protocol": settings.protocol, "n_train": len(split.train), "n_test": len(split.test), "seed": settings.seed}
    facts["seconds"] = round(time.perf_counter() - started, 3)
    population = data.facts()[traits]
    return [
        {"model": model, **row, "trait": row["trait"] + (traits.start or 0), **facts, **of_trait}
        for model, of_splits in scores.items()
        for row, of_trait in zip(summarise(of_splits), population, strict=True)
    ]


def _check(everyone: Part, splits: list[Split], data: Dataset) -> None:
    broken = np.argwhere(~np.isfinite(everyone.phenotypes))
    if len(broken):
        raise DatasetError(f"{data.path}: phenotype of individual {broken[0][0] + 1}, trait {broken[0][1] + 1} is missing or not finite")
    n_train, n_test = min(len(split.train) for split in splits), min(len(split.test) for split in splits)
    if min(n_train, n_test) < 2:
        raise DatasetError(
            f"{data.path}: {data.n_individuals} individuals leave {n_train} to train on and {n_test} to test on; each must be at least 2"
        )


def beside(out: Path, what: str) -> Path:
    """Where a further table goes: `<out>.<what>.csv`, without `out`'s own .csv."""
    return out.with_name(f"{out.name.removesuffix('.csv')}.{what}.csv")


def write_table(rows: list[Row], out: Path) -> None:
    """CSV; numbers in their shortest exact form, what is missing or NaN empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: value for name, value in row.items() if value == value} for row in rows)
