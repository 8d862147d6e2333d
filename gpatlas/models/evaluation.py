"""The one road of every model: splits, fit, predictions on individuals that it never saw, a table with a row per trait."""

import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from gpatlas.data.dataset import DatasetError
from gpatlas.data.population import Population
from gpatlas.models.contract import Fit, FitProgress, Fitted, Judge, Part
from gpatlas.models.registry import Model
from gpatlas.models.scale import Scale, simulated_in_standard_units
from gpatlas.models.scores import Row, score, summarise
from gpatlas.models.settings import FitSettings
from gpatlas.models.splits import Split, plan_splits
from gpatlas.settings import resolve

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Evaluation:
    """`rows`: one per fitted model and trait, with the population's parameters as columns; `tables`: further tables by name."""

    rows: list[Row]
    tables: "dict[str, pd.DataFrame]"


def evaluate(model: Model, settings: FitSettings, population: Population, progress: FitProgress) -> Evaluation:
    """Fit and score `model` on every split of `population` that the protocol says.

    The fit receives training and validation individuals only; the test part is predicted once, after it returns. Raises
    DatasetError where a phenotype is missing, or a part has fewer than two individuals.
    """
    plan = plan_splits(model, settings, population.n_individuals, population.n_traits)
    _check(population, [split for _, splits in plan for split in splits])
    done, total = count(), sum(len(splits) for _, splits in plan)
    rows: list[Row] = []
    tables: list[dict[str, pd.DataFrame]] = []
    for traits, splits in plan:
        some, first_trait, started = population.traits(traits), traits.start or 0, time.perf_counter()
        scores: dict[str, list[list[Row]]] = {}
        for number, split in enumerate(splits, 1):
            fitted = fit_split(model, settings, some, split, _Share(progress, next(done), total))
            for name, rows_of_split in _scores(fitted, some, split).items():
                scores.setdefault(name, []).append(rows_of_split)
            tables.append(_further_tables(fitted, first_trait, number if len(splits) > 1 else None))
        facts: Row = {"protocol": settings.protocol, "n_train": len(split.fitted), "n_test": len(split.test), "seed": settings.seed}
        rows += _rows(scores, {**facts, "seconds": round(time.perf_counter() - started, 3)}, some, first_trait)
    return Evaluation(rows, _joined(tables))


def fit_split(model: Model, settings: FitSettings, population: Population, split: Split, progress: FitProgress) -> dict[str, Fitted]:
    """The fitted models of one split, by name, in the population's own units."""
    everyone = Part(population.genotypes, population.phenotypes)
    train = everyone.rows(split.train)
    fitted = fit_scaled(model, settings, train, everyone.rows(split.validation), scale_of(train, settings, population), progress)
    if model.judge and population.effects:
        judge: Judge = resolve(model.judge)
        fitted = judge(fitted, population.effects)
    return fitted


def fit_scaled(
    model: Model, settings: FitSettings, train: Part, validation: Part, scale: Scale, progress: FitProgress
) -> dict[str, Fitted]:
    """The model fitted to phenotypes in standard units, by name, and what it says in the units that it was given."""
    fit: Fit = resolve(model.fit)
    fitted = fit(scale.standard(train), scale.standard(validation), settings, progress)
    return {name: scale.back(one) for name, one in fitted.items()}


def scale_of(train: Part, settings: FitSettings, population: Population) -> Scale:
    """By the training individuals. The study trains on its simulated phenotypes as they are, and so does its protocol, 'paper'."""
    as_they_are = np.zeros(population.n_traits, dtype=bool)
    if settings.protocol == "paper":
        as_they_are = simulated_in_standard_units(train.phenotypes, population.facts)
    return Scale.of(train.phenotypes, as_they_are)


def _scores(fitted: dict[str, Fitted], population: Population, split: Split) -> dict[str, list[Row]]:
    test = Part(population.genotypes, population.phenotypes).rows(split.test)
    true_effects = population.effects.additive if population.effects else None
    return {name: score(one, test, true_effects) for name, one in fitted.items()}


@dataclass(frozen=True)
class _Share:
    """The progress of one of several fits, as a share of the whole."""

    whole: FitProgress
    number: int
    of: int

    def __call__(self, done: int, total: int, **facts: Any) -> None:
        self.whole(self.number * total + done, self.of * total, **facts)

    def report(self, **facts: Any) -> None:
        self.whole.report(**facts)


def _rows(scores: dict[str, list[list[Row]]], facts: Row, population: Population, first_trait: int) -> list[Row]:
    return [
        {"model": model, **row, "trait": row["trait"] + first_trait, **facts, **of_trait}
        for model, of_splits in scores.items()
        for row, of_trait in zip(summarise(of_splits), population.facts, strict=True)
    ]


def _further_tables(fitted: dict[str, Fitted], first_trait: int, split: int | None) -> "dict[str, pd.DataFrame]":
    """The further tables of one fit, with the traits' own numbers, and the number of the split where there are several."""
    tables = dict(item for one in fitted.values() for item in one.tables.items())
    if first_trait:
        tables = {name: table.assign(trait=table["trait"] + first_trait) if "trait" in table else table for name, table in tables.items()}
    return tables if split is None else {name: table.assign(split=split) for name, table in tables.items()}


def _joined(tables: "list[dict[str, pd.DataFrame]]") -> "dict[str, pd.DataFrame]":
    """Those of all fits, joined by name."""
    if len(tables) == 1 or not any(tables):
        return tables[0]
    import pandas as pd  # only where a model has further tables: its import takes longer than many a fit

    names = dict.fromkeys(name for of_fit in tables for name in of_fit)
    return {name: pd.concat([of_fit[name] for of_fit in tables if name in of_fit], ignore_index=True) for name in names}


def _check(population: Population, splits: list[Split]) -> None:
    broken = np.argwhere(~np.isfinite(population.phenotypes))
    if len(broken):
        raise DatasetError(
            f"{population.name}: phenotype of individual {broken[0][0] + 1}, trait {broken[0][1] + 1} is missing or not finite"
        )
    n_train, n_test = min(len(split.train) for split in splits), min(len(split.test) for split in splits)
    if min(n_train, n_test) < 2:
        raise DatasetError(
            f"{population.name}: {population.n_individuals} individuals leave {n_train} to train on and {n_test} to test on; "
            "each must be at least 2"
        )
