"""gpatlas.estimators: scikit-learn's own checks, and the same answers as the fits behind the estimators."""

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator

import gpatlas
from gpatlas.data.genotypes import Genotypes
from gpatlas.estimators import Estimator, estimator_classes
from gpatlas.models.registry import MODELS
from gpatlas.settings import SettingsError

QUICK: dict[str, dict[str, Any]] = {
    "Ridge": {"n_penalties": 20},
    "Egblup": {"n_penalties": 20, "epistatic_weights": (0.0, 0.5)},
    "Rkhs": {"n_penalties": 20, "bandwidths": (0.5, 2.0), "arc_cosine_layers": 1},
    "Pairwise": {"n_inner_folds": 3, "n_penalties": 20},
    "ElasticNet": {"n_inner_folds": 3, "n_penalties": 20},
    "Boosting": {"n_inner_folds": 3, "max_trees": 40, "n_forests": 2},
    "Stack": {"models": ("ridge", "elastic_net"), "n_inner_folds": 2},
    "LinearSgd": {"epochs": 3},
    "Mlp": {"epochs": 2, "hidden_size": 8},
    "Network": {"epochs": 3, "penalties": (0.5,)},
    "Pruned": {
        "epochs": 2,
        "hidden_size": 8,
        "n_trials": 1,
        "lasso_epochs": 2,
        "min_importance": 0.0,
        "min_columns": 2,
        "max_columns": 8,
    },
}
CLASSES = estimator_classes()
RANDOM_ALLELES = "its data are made alleles here at random, which say nothing of y"
EXPECTED_TO_FAIL = {
    "check_regressors_train": RANDOM_ALLELES,
    "check_array_api_input": "it is skipped: alleles are packed in numpy",
}
OF_BATCHES = {"check_methods_subset_invariance": "single precision sums batches of another size in another order: 1e-7"}
OF_SOME = {
    "Egblup": {"check_fit2d_1feature": "EG-BLUP's relationships need two loci, and it says so"},
    "Mlp": OF_BATCHES,
    "Pruned": OF_BATCHES,
}


class OfAnyNumbers:
    """Stands before an estimator's own check of alleles: scikit-learn's checks bring numbers of every kind."""

    def _genotypes(self, X: Any) -> Genotypes:
        return Genotypes.of((np.floor(np.asarray(X, dtype=float) * 7.3) % 2).astype(np.uint8))


def of_any_numbers(name: str) -> Estimator:
    cls = CLASSES[name]
    members = {"__init__": cls.__init__, "__module__": __name__}
    globals()[name] = type(name, (OfAnyNumbers, cls), members)  # where pickle finds it
    estimator: Estimator = globals()[name](**QUICK[name])
    return estimator


def alleles_and_trait(n: int = 200, n_loci: int = 12) -> tuple[Any, Any]:
    random = np.random.default_rng(1)
    alleles = random.integers(0, 2, (n, n_loci))
    x = 2 * alleles - 1
    return alleles, 170 + 10 * (x[:, 0] + x[:, 1] * x[:, 2] + 0.1 * random.standard_normal(n))


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks(name: str) -> None:
    expected = EXPECTED_TO_FAIL | OF_SOME.get(name, {})
    failed = {}
    n_checks = 0
    for estimator, check in estimator_checks_generator(of_any_numbers(name), legacy=True):
        n_checks += 1
        try:
            check(estimator)
        except Exception as error:  # whatever it is, it is told below
            failed[check.func.__name__] = error
    assert n_checks > 40
    assert not failed.keys() - expected.keys(), failed


def test_every_model_has_one() -> None:
    assert list(CLASSES) == [
        "Ridge",
        "Egblup",
        "Rkhs",
        "Pairwise",
        "ElasticNet",
        "Boosting",
        "LinearSgd",
        "Mlp",
        "Network",
        "Pruned",
        "Stack",
    ]
    assert [cls.model for cls in CLASSES.values()] == list(MODELS.values())
    assert gpatlas.LinearSgd is CLASSES["LinearSgd"]
    assert set(CLASSES) <= set(dir(gpatlas))


@pytest.mark.parametrize("name", CLASSES)
def test_parameters_are_the_models_settings_without_those_of_splits(name: str) -> None:
    fields = CLASSES[name].model.settings.model_fields
    estimator = CLASSES[name]()
    assert set(estimator.get_params()) == set(fields) - {"protocol", "n_splits", "splits", "n_folds", "n_repeats", "traits", "fits"}
    assert all(value == fields[field].default for field, value in estimator.get_params().items())
    for field, value in QUICK[name].items():
        assert clone(CLASSES[name](**QUICK[name])).get_params()[field] == value
    for field in estimator.get_params():
        assert f"\n{field} : {fields[field].description}" in (CLASSES[name].__doc__ or "")


@pytest.mark.parametrize("name", CLASSES)
def test_values_are_counts_of_alleles(name: str) -> None:
    alleles, trait = alleles_and_trait(20)
    alleles[3, 5] = 3
    with pytest.raises(
        ValueError, match=r"^X\[3, 5\] is 3: every value must be a count of alleles, 0, 1 or NaN, as in the X that was fitted$"
    ):
        CLASSES[name](**QUICK[name]).fit(alleles, trait)
    alleles[7, 0] = 2
    with pytest.raises(ValueError, match=r"^X\[3, 5\] is 3: every value must be a count of alleles, 0, 1, 2 or NaN$"):
        CLASSES[name](**QUICK[name]).fit(alleles, trait)


def test_a_count_of_2_is_not_predicted_by_a_fit_of_0_and_1() -> None:
    alleles, trait = alleles_and_trait(20)
    ridge = gpatlas.Ridge().fit(alleles, trait)
    alleles[3, 5] = 2
    with pytest.raises(
        ValueError, match=r"^X\[3, 5\] is 2: every value must be a count of alleles, 0, 1 or NaN, as in the X that was fitted$"
    ):
        ridge.predict(alleles)


@pytest.mark.parametrize("name", CLASSES)
def test_diploids_with_missing_calls(name: str) -> None:
    """Coefficients are per counted allele; a missing call is the training mean to ridge, wherever it is predicted."""
    alleles, _ = alleles_and_trait(300)
    other, _ = alleles_and_trait(600)
    counts = (alleles + other[300:]).astype(float)
    trait = 170 + 10 * counts[:, 0] + np.random.default_rng(2).standard_normal(300)
    counts[::7, 3] = np.nan
    estimator = CLASSES[name](**QUICK[name], threads=1).fit(counts, trait)
    assert np.isfinite(estimator.predict(counts)).all()
    if name in ("Ridge", "Pairwise"):
        assert estimator.coef_[0] == pytest.approx(10, abs=0.5)
        change = estimator.predict(counts[:1]) - estimator.predict(np.where(np.arange(12) == 3, 0, counts[:1]))
        assert change == pytest.approx(estimator.coef_[3] * np.nanmean(counts[:, 3]), abs=1e-6)


def test_settings_are_checked_when_it_is_fitted() -> None:
    with pytest.raises(SettingsError, match="n_penalties: must be greater than or equal to 1, got 0"):
        gpatlas.Ridge(n_penalties=0).fit(*alleles_and_trait(20))
    with pytest.raises(SettingsError, match="n_penalties: must be less than or equal to 10000, got 10001"):
        gpatlas.Ridge(n_penalties=10_001).fit(*alleles_and_trait(20))
    with pytest.raises(TypeError, match="n_penaltys"):
        gpatlas.Ridge(n_penaltys=3)


def test_unknown_estimator() -> None:
    with pytest.raises(AttributeError, match="module 'gpatlas' has no attribute 'Rigde'; its estimators: Ridge, Egblup"):
        _ = gpatlas.Rigde


@pytest.mark.parametrize("name", CLASSES)
def test_predicts_in_the_unit_of_the_trait(name: str) -> None:
    """y and 1000·y − 5 have the same predictions but for the unit; a trait alone is what it is beside a copy of it, but for rounding."""
    alleles, trait = alleles_and_trait()
    estimator = CLASSES[name](**QUICK[name], threads=1)
    first = estimator.fit(alleles, trait).predict(alleles)
    other = clone(estimator).fit(alleles, 1000 * trait - 5).predict(alleles)
    assert first.shape == (200,)
    assert abs(first.mean() - trait.mean()) < trait.std()
    np.testing.assert_allclose(other, 1000 * first - 5, rtol=1e-4)


def test_several_traits_keep_their_shape() -> None:
    alleles, trait = alleles_and_trait()
    ridge = gpatlas.Ridge().fit(alleles, np.column_stack([trait, -trait, trait**2]))
    assert ridge.predict(alleles).shape == (200, 3)
    assert ridge.coef_.shape == (3, 12)
    np.testing.assert_allclose(ridge.coef_[1], -ridge.coef_[0])
    np.testing.assert_allclose(ridge.predict(alleles)[:, 0], gpatlas.Ridge().fit(alleles, trait).predict(alleles))


def test_coefficients_are_per_allele_in_the_unit_of_the_trait() -> None:
    alleles, trait = alleles_and_trait(400)
    coefficients = gpatlas.Ridge().fit(alleles, trait).coef_
    assert coefficients.shape == (12,)
    assert coefficients[0] == pytest.approx(20, abs=2)  # from x = −1 to x = 1
    assert np.abs(coefficients[3:]).max() < 4


def test_further_tables_are_in_the_unit_of_the_trait() -> None:
    alleles, trait = alleles_and_trait()
    pairs = gpatlas.Pairwise().fit(alleles, trait).tables_["pairs"]
    assert pairs[["locus_1", "locus_2"]].to_numpy().tolist() == [[2, 3]]
    assert pairs["effect"].item() == pytest.approx(10, abs=0.2)


def test_pairwise_finds_what_ridge_cannot_in_cross_validation() -> None:
    alleles, trait = alleles_and_trait()
    ridge, pairwise = (cross_val_score(estimator, alleles, trait, cv=5) for estimator in (gpatlas.Ridge(), gpatlas.Pairwise()))
    assert ridge.max() < 0.7
    assert pairwise.min() > 0.97


def test_in_a_pipeline_and_a_grid_search() -> None:
    alleles, trait = alleles_and_trait(60)
    search = GridSearchCV(gpatlas.Ridge(), {"n_penalties": [1, 20]}, cv=3).fit(alleles, trait)
    assert search.best_params_ == {"n_penalties": 20}
    halved = make_pipeline(FunctionTransformer(lambda dosages: dosages // 2), gpatlas.Ridge()).fit(2 * alleles, trait)
    np.testing.assert_array_equal(halved.predict(2 * alleles), gpatlas.Ridge().fit(alleles, trait).predict(alleles))


@pytest.mark.parametrize("name", CLASSES)
def test_is_pickled_as_fitted(name: str) -> None:
    alleles, trait = alleles_and_trait(60)
    estimator = CLASSES[name](**QUICK[name], threads=1).fit(alleles, trait)
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(again.predict(alleles), estimator.predict(alleles))


def test_the_order_of_individuals_does_no_harm() -> None:
    """Those to choose by are drawn, not the last ones: people sort their data."""
    alleles, trait = alleles_and_trait(400)
    order = np.argsort(trait)
    network = gpatlas.Mlp(hidden_size=32, epochs=30, threads=1)
    scores = [network.fit(alleles[rows], trait[rows]).score(alleles, trait) for rows in (np.arange(400), order)]
    assert min(scores) > 0.8


@pytest.mark.parametrize("name", CLASSES)
def test_every_individual_is_learned_from(name: str) -> None:
    """Those to choose by too, after the choice: of one epoch there is none. Of an error only the sign may matter."""
    alleles, trait = alleles_and_trait(24)
    known = {key: 1 for key in ("epochs", "lasso_epochs") if key in QUICK[name]}
    estimator = CLASSES[name](**{**QUICK[name], **known}, threads=1)
    first = estimator.fit(alleles, trait).predict(alleles)
    for individual in range(24):
        changes = [trait + shift * (np.arange(24) == individual) for shift in (1000, -1000)]
        assert any((clone(estimator).fit(alleles, changed).predict(alleles) != first).any() for changed in changes)


def test_numpy_grids_are_searched() -> None:
    alleles, trait = alleles_and_trait(60)
    search = GridSearchCV(gpatlas.Ridge(), {"n_penalties": np.arange(5, 8)}, cv=3, error_score="raise").fit(alleles, trait)
    assert search.best_params_["n_penalties"] in (5, 6, 7)


def test_memory_is_checked() -> None:
    with pytest.raises(ValueError, match=r"^X: fit-mlp of 60 individuals and 12 loci needs .* GB of memory; there are "):
        gpatlas.Mlp(hidden_size=10**6).fit(*alleles_and_trait(60))
