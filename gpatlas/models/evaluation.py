"""The one road of every model: splits, fit, predictions on individuals that it never saw, a table with a row per trait."""

import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from gpatlas.data.dataset import DatasetError
from gpatlas.data.population import Population
from gpatlas.models.beside import inner_table, loci_table, predictions_table, with_places
from gpatlas.models.contract import Fit, FitProgress, Fitted, Judge, Part
from gpatlas.models.covariates import CovariateEffects
from gpatlas.models.registry import Model
from gpatlas.models.scale import Scale, simulated_in_standard_units
from gpatlas.models.scores import Predicted, Row, by_trait, columns_of, cross_validated, summarise
from gpatlas.models.settings import FitSettings
from gpatlas.models.splits import Split, plan_splits
from gpatlas.settings import resolve

if TYPE_CHECKING:
    import pandas as pd

    from gpatlas.models.base_fits import BaseFits


@dataclass(frozen=True)
class Evaluation:
    """`rows`: one per fitted model and trait, with the population's parameters as columns; `tables`: further tables by name."""

    rows: list[Row]
    tables: "dict[str, pd.DataFrame]"


def evaluate(
    model: Model, settings: FitSettings, population: Population, progress: FitProgress, base_fits: "BaseFits | None" = None
) -> Evaluation:
    """Fit and score `model` on every split of `population` that the protocol says.

    The fit receives training and validation individuals only; the test part is predicted once, after it returns. A stack whose
    `base_fits` are at hand only weighs them. Raises
    DatasetError where a simulated phenotype is missing, a phenotype is infinite, or a part has fewer than two individuals.
    """
    plan = plan_splits(model, settings, population)
    _check(population, [split for _, splits in plan for split in splits], model.validates and settings.protocol != "paper")
    done, total = count(), sum(len(splits) for _, splits in plan)
    rows: list[Row] = []
    tables: list[dict[str, pd.DataFrame]] = []
    for traits, splits in plan:
        some, started = population.traits(traits), time.perf_counter()
        results: dict[str, list[tuple[Fitted, Predicted]]] = {}
        for number, split in enumerate(splits, 1):
            if base_fits:
                train, _, covariates = _parts(some, split)
                fitted = base_fits.combined(some, train.phenotypes, traits, split)
                progress(next(done) + 1, total)
            else:
                fitted, covariates = fit_split(model, settings, some, split, _Share(progress, next(done), total))
            for name, one in fitted.items():
                results.setdefault(name, []).append((one, predict_split(one, covariates, some, split)))
            tables.append(_further_tables(fitted, traits, number if len(splits) > 1 else None))
        facts = _facts(settings, splits, time.perf_counter() - started)
        for name, of_model in results.items():
            rows += _rows(name, of_model, facts, some, traits, settings)
            tables.append(_of_any_model(name, of_model, some, traits, splits, settings))
    return Evaluation(rows, _joined(tables, population))


def fit_split(
    model: Model, settings: FitSettings, population: Population, split: Split, progress: FitProgress
) -> tuple[dict[str, Fitted], CovariateEffects | None]:
    """The fitted models of one split, by name, in the population's own units, and what the covariates explain, where there are any."""
    train, validation, covariates = _parts(population, split)
    fitted = fit_scaled(model, settings, train, validation, scale_of(train, settings, population), progress)
    if model.judge and population.effects:
        judge: Judge = resolve(model.judge)
        fitted = judge(fitted, population.effects)
    return fitted, covariates


def _parts(population: Population, split: Split) -> tuple[Part, Part, CovariateEffects | None]:
    """Training and validation part, adjusted for what covariates explain among both: so it is the same for every model."""
    everyone = Part(population.genotypes, population.phenotypes)
    described = population.described
    if described is None or not described.covariates.shape[1]:
        return everyone.rows(split.train), everyone.rows(split.validation), None
    effects = CovariateEffects.fit(described.covariates[split.fitted], population.phenotypes[split.fitted])
    train, validation = (
        Part(population.genotypes.rows(rows), population.phenotypes[rows] - effects.of(described.covariates[rows]))
        for rows in (split.train, split.validation)
    )
    return train, validation, effects


def predict_split(fitted: Fitted, covariates: CovariateEffects | None, population: Population, split: Split) -> Predicted:
    """The test part of a split, as observed and as predicted."""
    observed, by_genome = population.phenotypes[split.test], fitted.predict(population.genotypes.rows(split.test))
    if by_genome.shape != observed.shape:
        raise ValueError(f"predictions have the shape {by_genome.shape}, the phenotypes {observed.shape}: individuals by traits")
    by_covariates = covariates.of(population.described.covariates[split.test]) if covariates and population.described else None
    return Predicted(observed, by_genome, by_covariates, population.phenotypes[split.fitted].mean(axis=0))


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


def _facts(settings: FitSettings, splits: list[Split], seconds: float) -> Row:
    facts: Row = {"protocol": settings.protocol}
    if settings.protocol == "cross_validation":
        facts |= {"n_folds": settings.n_folds, "n_repeats": settings.n_repeats}
    sizes = {"n_train": min(len(split.fitted) for split in splits), "n_test": len(splits[-1].test)}
    if settings.protocol == "cross_validation":
        sizes["n_test"] = sum(len(split.test) for split in splits) // settings.n_repeats
    return {**facts, **sizes, "seed": settings.seed, "seconds": round(seconds, 3)}


def _rows(
    model: str, results: list[tuple[Fitted, Predicted]], facts: Row, population: Population, traits: list[int], settings: FitSettings
) -> list[Row]:
    """A row per trait."""
    true_effects = population.effects.additive[: population.n_loci] if population.effects else None
    of_fits = [columns_of(predicted, fitted, true_effects, settings.protocol != "paper") for fitted, predicted in results]
    if settings.protocol == "cross_validation":
        scored = cross_validated([predicted for _, predicted in results], of_fits, settings.n_repeats)
    else:
        scored = summarise([by_trait(columns, population.n_traits) for columns in of_fits])
    return [
        {"model": model, **row, "trait": trait + 1, **facts, **of_trait}
        for row, trait, of_trait in zip(scored, traits, population.facts, strict=True)
    ]


def _of_any_model(
    name: str,
    results: list[tuple[Fitted, Predicted]],
    population: Population,
    traits: list[int],
    splits: list[Split],
    settings: FitSettings,
) -> "dict[str, pd.DataFrame]":
    """The out-of-fold predictions of a cross-validation, and of its inner folds; of a population with named loci, their effects."""
    tables = {}
    if settings.protocol == "cross_validation":
        tables["predictions"] = predictions_table(name, population, traits, splits, [predicted for _, predicted in results])
        inner = [fitted.inner_predictions for fitted, _ in results if fitted.inner_predictions is not None]
        if inner:
            tables["inner_predictions"] = inner_table(name, population, traits, splits, inner)
    coefficients = [fitted.coefficients for fitted, _ in results if fitted.coefficients is not None]
    if population.described and coefficients:
        tables["loci"] = loci_table(name, population.described, traits, coefficients)
    return tables


def _further_tables(fitted: dict[str, Fitted], traits: list[int], split: int | None) -> "dict[str, pd.DataFrame]":
    """The further tables of one fit, with the traits' own numbers, and the number of the split where there are several."""
    tables = dict(item for one in fitted.values() for item in one.tables.items())
    if traits != list(range(len(traits))):
        numbers = np.array(traits) + 1
        tables = {name: table.assign(trait=numbers[table["trait"] - 1]) if "trait" in table else table for name, table in tables.items()}
    return tables if split is None else {name: table.assign(split=split) for name, table in tables.items()}


def _joined(tables: "list[dict[str, pd.DataFrame]]", population: Population) -> "dict[str, pd.DataFrame]":
    """Those of all fits, joined by name; loci by name and place where these are known."""
    names = dict.fromkeys(name for of_fit in tables for name in of_fit)
    if not names:
        return {}
    import pandas as pd  # only where a model has further tables: its import takes longer than many a fit

    parts = {name: [of_fit[name] for of_fit in tables if name in of_fit] for name in names}
    joined = {name: one[0] if len(one) == 1 else pd.concat(one, ignore_index=True) for name, one in parts.items()}
    described = population.described
    return {name: with_places(table, described) for name, table in joined.items()} if described else joined


def _check(population: Population, splits: list[Split], validates: bool) -> None:
    fine = np.isfinite(population.phenotypes)
    measured = population.described is not None and population.effects is None
    broken = np.argwhere(~(fine | np.isnan(population.phenotypes)) if measured else ~fine)
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
    if validates and not all(len(split.validation) for split in splits):
        raise DatasetError(
            f"{population.name}: {population.n_individuals} individuals leave none to choose by (early stopping) beside {n_train} to train "
            f"on and {n_test} to test on; it takes more individuals with the trait, or more groups of them"
        )
