"""gpatlas.models.stack: weights by hand, and what a stack makes of models of which each sees another part of a trait."""

from typing import Any

import numpy as np
import pytest
from populations import QUIET, Array, part_of

from gpatlas.models.contract import Fitted
from gpatlas.models.registry import MODELS, StackSettings
from gpatlas.models.scores import pearson_r
from gpatlas.models.stack import fit, weigh
from gpatlas.settings import SettingsError, build, resolve


def population(n: int, seed: int) -> tuple[Array, Array]:
    """Twenty small additive effects and one strong pair; a second trait of noise."""
    random = np.random.default_rng(seed)
    alleles = random.integers(0, 2, (n, 40), dtype=np.uint8)
    x = 2.0 * alleles - 1
    trait = x[:, :20] @ np.linspace(0.2, 0.4, 20) + 1.5 * x[:, 30] * x[:, 35]
    return alleles, np.column_stack([trait + 0.5 * random.standard_normal(n), random.standard_normal(n)])


TRAIN, TEST = part_of(*population(400, 1)), part_of(*population(300, 2))


def stack(*models: str) -> Fitted:
    return fit(TRAIN, TRAIN.rows(np.arange(0)), build(StackSettings, {"models": models, "n_inner_folds": 3}), QUIET)["stack"]


def alone(model: str) -> Array:
    one = MODELS[model]
    fitted = resolve(one.fit)(TRAIN, TRAIN.rows(np.arange(0)), build(one.settings, {"protocol": "holdout"}), QUIET)[model]
    return np.asarray(fitted.predict(TEST.genotypes))


def test_weights_are_those_of_the_parts_and_never_negative() -> None:
    random = np.random.default_rng(1)
    predicted = random.standard_normal((3, 500, 2)) + 7
    phenotypes = 7 + np.column_stack([0.7 * (predicted[0, :, 0] - 7) + 0.3 * (predicted[2, :, 0] - 7), -(predicted[1, :, 1] - 7)])
    weights = weigh(predicted, phenotypes)
    np.testing.assert_allclose(weights[:, 0], [0.7, 0, 0.3], atol=0.02)
    assert weights[1, 1] == 0
    assert (weights >= 0).all()


def test_a_stack_of_one_model_is_that_model_shrunk() -> None:
    single = stack("ridge")
    predicted, ridge = single.predict(TEST.genotypes), alone("ridge")
    weight, mean = single.columns["weight_ridge"], TRAIN.phenotypes.mean(axis=0)
    np.testing.assert_allclose(predicted, mean + weight * (ridge - mean), atol=1e-10)


def test_a_stack_is_as_good_as_its_best_model_and_says_which_that_is() -> None:
    both = stack("ridge", "pairwise")
    r = pearson_r(TEST.phenotypes, both.predict(TEST.genotypes))[0]
    assert r > pearson_r(TEST.phenotypes, alone("ridge"))[0] + 0.2
    assert r > pearson_r(TEST.phenotypes, alone("pairwise"))[0] - 0.01
    assert both.columns["weight_pairwise"][0] > 0.8


def test_a_model_that_validates_can_be_a_part() -> None:
    with_network = stack("ridge", "linear_sgd")
    assert list(with_network.columns) == ["weight_ridge", "weight_linear_sgd"]
    assert with_network.predict(TEST.genotypes).shape == TEST.phenotypes.shape


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (("ridge", "boostin"), "models: 'boostin' is no model to combine, did you mean 'boosting'?"),
        (("stack",), "models: 'stack' is no model to combine"),
        (("ridge", "ridge"), "models: names one twice, got ridge, ridge"),
        ((), "models: "),
    ],
)
def test_faults(models: tuple[str, ...], message: str) -> None:
    values: dict[str, Any] = {"models": models}
    with pytest.raises(SettingsError) as error:
        build(StackSettings, values)
    assert message in str(error.value)
