"""Nothing of the individuals who are tested is in a fit: nonsense in their place changes no prediction of others, in any model."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from diploids import own_population
from populations import QUIET, SMALL, Array

from gpatlas.data.genotypes import MISSING, Genotypes
from gpatlas.data.population import Population
from gpatlas.models import evaluation
from gpatlas.models.contract import Fitted
from gpatlas.models.covariates import CovariateEffects
from gpatlas.models.evaluation import evaluate
from gpatlas.models.registry import MODELS
from gpatlas.models.scores import Predicted
from gpatlas.models.settings import FitSettings
from gpatlas.models.splits import Split, plan_splits

POPULATION, OTHERS = own_population(), own_population(n=20, seed=2)
QUICK: dict[str, Any] = {**SMALL, "epochs": 3, "lasso_epochs": 3, "min_importance": 0.0, "min_columns": 2, "max_columns": 12}
PROTOCOLS = {"holdout": 1, "cross_validation": 3}  # and how many splits each has


def settings_of(model: str, protocol: str) -> FitSettings:
    known = MODELS[model].settings.model_fields
    values = {name: value for name, value in QUICK.items() if name in known}
    return MODELS[model].settings(protocol=protocol, n_folds=PROTOCOLS["cross_validation"], **values)


def nonsense(population: Population, rows: Array) -> Population:
    """Genotypes, covariates and phenotypes of these individuals replaced by what none of the others has; gaps in traits stay."""
    random, described = np.random.default_rng(9), population.described
    assert described is not None
    counts, phenotypes, covariates = population.genotypes.counts().copy(), population.phenotypes.copy(), described.covariates.copy()
    counts[rows] = random.choice([1, 2, MISSING], (len(rows), population.n_loci), p=[0.1, 0.3, 0.6])
    phenotypes[rows] = np.where(np.isnan(phenotypes[rows]), np.nan, 1e3 + 100 * random.standard_normal((len(rows), population.n_traits)))
    covariates[rows] = 1e4 * random.standard_normal((len(rows), covariates.shape[1]))
    return replace(population, genotypes=Genotypes.of(counts), phenotypes=phenotypes, described=replace(described, covariates=covariates))


@dataclass
class Trace:
    """What a fit leaves: `numbers` by name, among them predictions of individuals of another population, and its tables."""

    numbers: dict[str, Array]
    tables: dict[str, pd.DataFrame]


def traces_of(
    model: str, settings: FitSettings, population: Population, traits: list[int], split: Split, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Trace]:
    """Of one split, by the road that every fit goes, for all that it returns."""
    traces: dict[str, Trace] = {}
    predict_split = evaluation.predict_split

    def traced(fitted: Fitted, covariates: CovariateEffects | None, some: Population, of: Split) -> Predicted:
        assert covariates is not None
        assert OTHERS.described is not None
        predicted = predict_split(fitted, covariates, some, of)
        numbers = {f"column {name}": np.asarray(value) for name, value in fitted.columns.items()}
        numbers |= {"genome": fitted.predict(OTHERS.genotypes), "covariates": covariates.of(OTHERS.described.covariates)}
        numbers |= {"mean": predicted.mean, "coefficients": np.zeros(0) if fitted.coefficients is None else fitted.coefficients}
        traces[f"model {len(traces) + 1}"] = Trace(numbers, fitted.tables)
        return predicted

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "predict_split", traced)
        patch.setattr(evaluation, "plan_splits", lambda *_: [(traits, [split])])
        evaluate(MODELS[model], settings, population, QUIET)
    return traces


def differences(first: dict[str, Trace], second: dict[str, Trace]) -> list[str]:
    """What is not the same in both, to the last digit."""
    found = []
    for name, trace in first.items():
        other = second[name]
        found += [
            f"{name}: {one}" for one, values in trace.numbers.items() if not np.array_equal(values, other.numbers[one], equal_nan=True)
        ]
        found += [f"{name}: table {one}" for one, table in trace.tables.items() if not table.equals(other.tables[one])]
    return found


def outside(split: Split) -> Array:
    """Whoever neither trains nor validates: those tested, and those of the fold who lack the trait."""
    return np.setdiff1d(np.arange(POPULATION.n_individuals), np.concatenate([split.train, split.validation]))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("model", MODELS)
def test_nonsense_in_the_test_part_changes_nothing_for_others(model: str, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(model, protocol)
    plan = plan_splits(MODELS[model], settings, POPULATION)
    assert [traits for traits, _ in plan] == [[0, 1], [2]]
    assert [len(splits) for _, splits in plan] == [PROTOCOLS[protocol]] * 2
    for number, (traits, splits) in enumerate(plan):
        for place, split in enumerate(splits):
            assert set(split.test) <= set(outside(split))
            changed = nonsense(POPULATION, outside(split))
            again = plan_splits(MODELS[model], settings, changed)[number][1][place]
            assert all(np.array_equal(getattr(split, part), getattr(again, part)) for part in ("train", "validation", "test"))
            before = traces_of(model, settings, POPULATION, traits, split, monkeypatch)
            after = traces_of(model, settings, changed, traits, again, monkeypatch)
            assert len(before) == len(MODELS[model].titles)
            assert differences(before, after) == []


@pytest.mark.parametrize("model", MODELS)
def test_nonsense_among_those_who_train_is_noticed(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above looks where it must: one individual is enough."""
    settings = settings_of(model, "holdout")
    traits, (split,) = plan_splits(MODELS[model], settings, POPULATION)[0]
    before = traces_of(model, settings, POPULATION, traits, split, monkeypatch)
    after = traces_of(model, settings, nonsense(POPULATION, split.train[:1]), traits, split, monkeypatch)
    assert {f"{name}: {what}" for name in before for what in ("genome", "covariates", "mean")} <= set(differences(before, after))
