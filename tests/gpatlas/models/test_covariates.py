"""gpatlas.models.covariates: least squares on those who train, and what that says of others."""

import numpy as np
import pytest

from gpatlas.models.covariates import CovariateEffects


def test_least_squares_by_hand() -> None:
    """y = 3 + 2·age exactly; a second trait that has nothing to do with it."""
    age = np.array([[20.0], [30.0], [40.0]])
    effects = CovariateEffects.fit(age, np.column_stack([3 + 2 * age[:, 0], [1.0, 4.0, 1.0]]))
    assert effects.mean.tolist() == [30]
    np.testing.assert_allclose(effects.effects, [[2, 0]], atol=1e-12)
    np.testing.assert_allclose(effects.of(np.array([[20.0], [35.0]])), [[-20, 0], [10, 0]], atol=1e-12)


def test_is_numpys_least_squares_with_an_intercept() -> None:
    random = np.random.default_rng(1)
    covariates, phenotypes = random.normal([40, 0.5, 1e6], [10, 0.5, 1e4], (50, 3)), random.standard_normal((50, 2)) + 170
    effects = CovariateEffects.fit(covariates, phenotypes)
    design = np.column_stack([np.ones(50), covariates])
    wanted = np.linalg.lstsq(design, phenotypes, rcond=None)[0]
    np.testing.assert_allclose(effects.effects, wanted[1:], rtol=1e-6)
    np.testing.assert_allclose(effects.of(covariates) + phenotypes.mean(axis=0), design @ wanted, rtol=1e-9)
    np.testing.assert_allclose(effects.of(covariates).mean(axis=0), 0, atol=1e-9)


def test_a_level_that_none_of_those_who_train_has_says_nothing() -> None:
    """The factor a, b, c as two columns; c is not among them, so that who has c is predicted as a."""
    train = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    effects = CovariateEffects.fit(train, np.array([[1.0], [5.0], [1.0], [5.0]]))
    np.testing.assert_allclose(effects.effects, [[4], [0]], atol=1e-12)
    np.testing.assert_allclose(effects.of(np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])), [[-2], [-2], [2]], atol=1e-12)


@pytest.mark.parametrize("factor", [1.0, 1e-6, 1e6])
def test_collinear_covariates_share_an_effect(factor: float) -> None:
    first = np.random.default_rng(1).standard_normal(20)
    effects = CovariateEffects.fit(np.column_stack([first, factor * first]), 3 * first[:, None])
    np.testing.assert_allclose(effects.of(np.array([[1.0, factor]])), 3 * (1 - first.mean()), rtol=1e-9)
