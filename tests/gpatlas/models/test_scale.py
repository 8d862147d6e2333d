"""gpatlas.models.scale: a trait's mean and unit are nothing to any model, and the study's simulated traits stay as they are."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gpatlas
from gpatlas.data.genotypes import FloatArray, Genotypes
from gpatlas.data.population import Population
from gpatlas.models.contract import Fitted, Part
from gpatlas.models.evaluation import evaluate, scale_of
from gpatlas.models.registry import MODELS
from gpatlas.models.scale import Scale, simulated_in_standard_units
from gpatlas.models.settings import FitSettings
from gpatlas.progress import Progress
from gpatlas.settings import build

QUIET = Progress("test", lines=False)
GENOTYPES = Genotypes.of(np.array([[0], [1], [1], [0]], dtype=np.uint8))
QUICK: dict[str, dict[str, Any]] = {
    "linear_sgd": {"epochs": 20},
    "mlp": {"epochs": 20, "hidden_size": 32},
    "network": {"epochs": 20},
    "boosting": {"max_trees": 30},
    "stack": {"models": ("ridge", "linear_sgd")},
    "pruned": {"epochs": 5, "hidden_size": 8, "n_trials": 1, "lasso_epochs": 20, "min_importance": 0.0, "min_columns": 4, "max_columns": 8},
}
UNITS = {"centimetres": (170.0, 10.0), "tonnes": (0.0, 0.01), "days": (-2000.0, 30.0)}


def simulated(**more: Any) -> Population:
    return gpatlas.simulate(**{"n_individuals": 400, "n_loci": 12, "n_qtl": 12, "rel_aa": [0.0, 1.0], **more})


def in_unit(population: Population, mean: float, factor: float) -> Population:
    return replace(population, phenotypes=mean + factor * population.phenotypes)


def table(model: str, population: Population, protocol: str) -> pd.DataFrame:
    settings = build(MODELS[model].settings, {"protocol": protocol, "threads": 1, **QUICK.get(model, {})})
    return pd.DataFrame(evaluate(MODELS[model], settings, population, QUIET).rows)


@cache
def plain_table(model: str, protocol: str) -> pd.DataFrame:
    """Of the population in the simulators' unit."""
    return table(model, simulated(), protocol)


def as_they_are(*chosen: bool) -> Any:
    return np.array(chosen)


def test_scale_by_hand() -> None:
    phenotypes = np.array([[1.0, 7.0, 1.0], [3.0, 7.0, 3.0], [1.0, 7.0, 1.0], [3.0, 7.0, 3.0]])
    scale = Scale.of(phenotypes, as_they_are(False, False, True))
    assert scale.mean.tolist() == [2, 7, 0]
    assert scale.sd.tolist() == [1, 1, 1]  # of a constant trait too
    assert scale.standard(Part(GENOTYPES, phenotypes)).phenotypes[:2].tolist() == [[-1, 0, 1], [1, 0, 3]]


def test_back_by_hand() -> None:
    """Predictions, coefficients and the effects in tables are in the trait's unit; ratios and scores are none of these."""
    pairs = pd.DataFrame({"trait": [2, 1], "locus_1": [1, 1], "effect": [0.5, 0.5], "score": [9.0, 8.0]})
    trials = pd.DataFrame({"trial": [1], "loss": [0.5]})
    standard = Fitted(
        lambda genotypes: np.array([[1.0, -1.0]]), np.array([[2.0, 2.0]]), {"penalty": 0.1}, {"pairs": pairs, "trials": trials}
    )
    fitted = Scale(np.array([100.0, 0.0]), np.array([10.0, 3.0])).back(standard)
    assert fitted.predict(GENOTYPES).tolist() == [[110, -3]]
    assert fitted.coefficients is not None
    assert fitted.coefficients.tolist() == [[20, 6]]
    assert fitted.columns == {"penalty": 0.1}
    assert fitted.tables["pairs"]["effect"].tolist() == [1.5, 5.0]
    assert fitted.tables["pairs"]["score"].tolist() == [9, 8]
    assert fitted.tables["trials"] is trials


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("model", MODELS)
def test_the_unit_of_a_trait_changes_no_r(model: str, unit: str) -> None:
    plain, other = plain_table(model, "holdout"), table(model, in_unit(simulated(), *UNITS[unit]), "holdout")
    np.testing.assert_allclose(other["pearson_r"], plain["pearson_r"], atol=1e-5)
    mean, factor = UNITS[unit]
    np.testing.assert_allclose(other["prediction_mean"], mean + factor * plain["prediction_mean"], rtol=1e-3, atol=1e-2 * abs(factor))
    np.testing.assert_allclose(other["truth_sd"], abs(factor) * plain["truth_sd"])


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("model", ["linear_sgd", "mlp"])
def test_under_protocol_paper_a_unit_does_no_harm(model: str, unit: str) -> None:
    """Traits in the unit of the simulators are as they are, others are scaled: near, not equal."""
    plain, other = plain_table(model, "paper"), table(model, in_unit(simulated(), *UNITS[unit]), "paper")
    assert plain["pearson_r"].iloc[0] > 0.97
    np.testing.assert_allclose(other["pearson_r"], plain["pearson_r"], atol=0.08)


@pytest.mark.parametrize("h2", [0.2, 0.999])
def test_simulated_traits_are_known_by_mean_and_variance(h2: float) -> None:
    population = simulated(h2=h2)
    train = population.phenotypes[:340]
    assert simulated_in_standard_units(train, population.facts).all()
    for mean, factor in ((2.0 / h2, 1.0), (0.0, 1.5), (0.0, 0.5)):
        assert not simulated_in_standard_units(mean + factor * train, population.facts).any()
    own = [{name: value for name, value in fact.items() if name != "h2"} for fact in population.facts]
    assert not simulated_in_standard_units(train, own).any()


def test_only_protocol_paper_leaves_simulated_traits_as_they_are() -> None:
    population = simulated()
    train = Part(population.genotypes, population.phenotypes)
    left, scaled = (scale_of(train, FitSettings(protocol=protocol), population) for protocol in ("paper", "holdout"))  # type: ignore[arg-type]
    assert left.mean.tolist() == [0, 0]
    assert left.sd.tolist() == [1, 1]
    np.testing.assert_array_equal(scaled.mean, population.phenotypes.mean(axis=0))
    np.testing.assert_array_equal(scaled.sd, population.phenotypes.std(axis=0))


def test_the_test_part_has_no_say_in_the_scale() -> None:
    population = simulated()
    nonsense = population.phenotypes.copy()
    nonsense[340:] = 1e6
    plain, other = (table("ridge", one, "holdout") for one in (population, replace(population, phenotypes=nonsense)))
    columns: list[str] = ["prediction_mean", "prediction_sd"]
    pd.testing.assert_frame_equal(plain[columns], other[columns])


def test_predictions_are_in_the_unit_of_the_trait() -> None:
    population = in_unit(simulated(), 170, 10)
    rows = table("pairwise", population, "holdout")
    errors: FloatArray = rows["prediction_mean"].to_numpy() - rows["truth_mean"].to_numpy()
    assert np.abs(errors).max() < 1
