"""What a trait's unit, the coding of genotypes and the choice of the counted allele must not change, in any model."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from diploids import TRAITS, description, own_population, with_counts
from populations import QUIET, SMALL, Array, in_memory

from gpatlas.data.genotypes import MISSING
from gpatlas.data.population import Population
from gpatlas.models.evaluation import Evaluation, evaluate
from gpatlas.models.registry import MODELS

QUICK: dict[str, Any] = {
    **{**SMALL, "epochs": 3, "lasso_epochs": 3, "max_trees": 30},
    **{"min_importance": 0.0, "min_columns": 2, "max_columns": 12},
}
SCORES = ["pearson_r", "r_squared", "pearson_r_adjusted", "r_squared_adjusted", "covariates_r_squared"]


def cross_validated(model: str, population: Population) -> Evaluation:
    known = MODELS[model].settings.model_fields
    values = {name: value for name, value in QUICK.items() if name in known}
    return evaluate(MODELS[model], MODELS[model].settings(protocol="cross_validation", n_folds=3, **values), population, QUIET)


def scores(result: Evaluation) -> Array:
    """Of every model and trait."""
    return np.array([[row[name] for name in SCORES] for row in result.rows])


def inbred(missing: bool) -> tuple[Array, Population]:
    """Alleles 0 and 1 of inbred lines, and their population."""
    random = np.random.default_rng(4)
    alleles = random.integers(0, 2, (90, 12), dtype=np.uint8)
    x = 2.0 * alleles - 1
    phenotypes = np.column_stack([x[:, 0] + 2 * x[:, 2] * x[:, 5], x[:, 1] - x[:, 4]]) + 0.2 * random.standard_normal((90, 2))
    if missing:
        alleles[random.random(alleles.shape) < 0.05] = MISSING
    covariates = random.standard_normal((90, 1))
    return alleles, in_memory(alleles, phenotypes, description(90, 12, TRAITS[:2], family=3, covariates=covariates))


@pytest.mark.parametrize("model", MODELS)
def test_the_unit_of_a_trait_changes_no_score(model: str) -> None:
    """y and 170 + 10·y."""
    population = own_population()
    first, second = (cross_validated(model, one) for one in (population, replace(population, phenotypes=170 + 10 * population.phenotypes)))
    np.testing.assert_allclose(scores(second), scores(first), atol=1e-4)
    predicted, other = (result.tables["predictions"]["predicted"] for result in (first, second))
    np.testing.assert_allclose(other, 170 + 10 * predicted, rtol=1e-4)


@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("model", MODELS)
def test_0_and_1_coded_as_0_and_2_are_the_same_to_the_last_digit(model: str, missing: bool) -> None:
    alleles, population = inbred(missing)
    doubled = np.where(alleles == MISSING, MISSING, 2 * alleles).astype(np.uint8)
    first, second = cross_validated(model, population), cross_validated(model, with_counts(population, doubled))
    assert np.array_equal(scores(first), scores(second))
    for name, table in first.tables.items():
        durations = [column for column in table if "seconds" in str(column)]
        assert table.drop(columns=durations).equals(second.tables[name].drop(columns=durations))


@pytest.mark.parametrize(("population", "highest"), [(own_population(), 2), (inbred(True)[1], 1), (inbred(False)[1], 1)])
@pytest.mark.parametrize("model", ["ridge", "egblup", "pairwise"])
def test_which_allele_is_counted_changes_no_prediction_but_for_rounding(model: str, population: Population, highest: int) -> None:
    counts, chosen = population.genotypes.counts(), np.array([1, 4, 5, 11])
    swapped = counts.copy()
    swapped[:, chosen] = np.where(counts[:, chosen] == MISSING, MISSING, highest - counts[:, chosen])
    first, second = cross_validated(model, population), cross_validated(model, with_counts(population, swapped))
    np.testing.assert_allclose(scores(second), scores(first), atol=1e-6)
    if "loci" in first.tables:
        sign = np.where(np.isin(first.tables["loci"]["locus"] - 1, chosen), -1, 1)
        np.testing.assert_allclose(second.tables["loci"]["effect"] * sign, first.tables["loci"]["effect"], atol=1e-5)
