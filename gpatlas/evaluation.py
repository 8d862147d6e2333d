"""How a fit is scored: splits, predictions on individuals it never saw, a table with one row per trait."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

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


def score(fitted: Fitted, test: Part, true_effects: FloatArray) -> pd.DataFrame:
    """One row per trait: r, mean and standard deviation of truth and prediction, and the model's own columns.

    `true_effects`: additive effects (n_loci, T), to correlate with the model's coefficients.
    """
    predicted = fitted.predict(test.genotypes)
    columns: dict[str, Any] = {"trait": np.arange(1, predicted.shape[1] + 1), "pearson_r": pearson_r(test.phenotypes, predicted)}
    if fitted.coefficients is not None:
        columns["effect_correlation"] = pearson_r(true_effects, fitted.coefficients)
    for name, values in (("truth", test.phenotypes), ("prediction", predicted)):
        columns[f"{name}_mean"], columns[f"{name}_sd"] = values.mean(axis=0), values.std(axis=0)
    return pd.DataFrame({**columns, **fitted.columns})


SPREAD = ("pearson_r", "effect_correlation", "penalty")


def summarise(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """The mean of every column over splits; where there are several, also the standard deviation of those in SPREAD."""
    if len(tables) == 1:
        return tables[0]
    by_trait = pd.concat(tables).groupby("trait")
    table = by_trait.mean()
    for name in SPREAD:
        if name in table:
            table.insert(list(table).index(name) + 1, f"{name}_sd", by_trait[name].std())
    return table.reset_index()


def run_fit(
    model: str, fit: Fit, splits: list[Split], settings: FitSettings, data: Dataset, progress: Progress, traits: slice = slice(None)
) -> pd.DataFrame:
    """`run_fits` for a fit of one model."""
    return run_fits(lambda *arguments: {model: fit(*arguments)}, splits, settings, data, progress, traits)


def run_fits(
    fit: FitSeveral, splits: list[Split], settings: FitSettings, data: Dataset, progress: Progress, traits: slice = slice(None)
) -> pd.DataFrame:
    """Fit and score models on every split of `data`: a row per model and trait, with the population's parameters as columns.

    `fit` receives training and validation individuals only; the test part is predicted once, after it returns.
    `traits`: which of the dataset's traits to fit, together.
    """
    everyone = Part(data.genotypes(), data.phenotypes()[:, traits])
    _check(everyone, splits, data)
    true_effects, started = data.effects().additive[:, traits], time.perf_counter()
    scores: dict[str, list[pd.DataFrame]] = {}
    for split in splits:
        models = fit(everyone.rows(split.train), everyone.rows(split.validation), settings, progress)
        for model, fitted in models.items():
            scores.setdefault(model, []).append(score(fitted, everyone.rows(split.test), true_effects))
    facts: dict[str, Any] = {"protocol": settings.protocol, "n_train": len(split.train), "n_test": len(split.test), "seed": settings.seed}
    facts["seconds"] = round(time.perf_counter() - started, 3)
    tables = []
    for model, of_splits in scores.items():
        table = summarise(of_splits).assign(**facts)
        table["trait"] += traits.start or 0
        table.insert(0, "model", model)
        tables.append(pd.concat([table, pd.DataFrame(data.facts()[traits])], axis=1))
    return pd.concat(tables, ignore_index=True)


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


def write_table(table: pd.DataFrame, out: Path) -> None:
    """CSV; numbers in their shortest exact form."""
    table.to_csv(out, index=False)
