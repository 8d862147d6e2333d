"""gpatlas.models.scores: correlations, a row per trait, and the mean over splits."""

import numpy as np
import pandas as pd
import pytest
from populations import Array

from gpatlas.models.contract import Fitted
from gpatlas.models.scores import Predicted, by_trait, columns_of, cross_validated, moments, pearson_r, r_squared, score, summarise

MOMENTS = ["truth_mean", "truth_sd", "prediction_mean", "prediction_sd"]


@pytest.mark.parametrize("n", [2, 3, 50])
def test_pearson_r_is_numpys(n: int) -> None:
    random = np.random.default_rng(n)
    first = random.standard_normal((n, 4)) * [1, 1e-6, 1e6, 1] + [0, 0, 0, 1e3]
    second = first * [1, -1, 0.5, 0.1] + random.standard_normal((n, 4))
    wanted = [np.corrcoef(first[:, trait], second[:, trait])[0, 1] for trait in range(4)]
    np.testing.assert_allclose(pearson_r(first, second), wanted, rtol=1e-10)


@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1, -1 / 3, 1e6 + 0.1])
@pytest.mark.parametrize("n", [7, 150])
def test_pearson_r_of_a_constant_is_nan(constant: float, n: int) -> None:
    """Also where the mean of n equal numbers is not that number, but for its last bit."""
    varied = np.random.default_rng(1).standard_normal((n, 2))
    half_constant = np.column_stack([np.full(n, constant), varied[:, 1]])
    for r in (pearson_r(half_constant, varied), pearson_r(varied, half_constant)):
        assert np.isnan(r[0])
        assert r[1] == pytest.approx(1)


def predicted(observed: Array, by_genome: Array, by_covariates: Array | None = None, mean: Array | float = 0.0) -> Predicted:
    """`mean`: the training individuals', of every trait."""
    return Predicted(observed, by_genome, by_covariates, np.broadcast_to(np.asarray(mean, dtype=float), observed.shape[1:]))


def table_of(of_test: Predicted, fitted: Fitted, true_effects: Array | None, with_r_squared: bool = True) -> pd.DataFrame:
    return pd.DataFrame(by_trait(columns_of(of_test, fitted, true_effects, with_r_squared), of_test.observed.shape[1]))


def test_score_by_hand() -> None:
    observed, answer = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 3.0]]), np.array([[3.0, 1.0], [2.0, 1.0], [1.0, 7.0]])
    fitted = Fitted(lambda genotypes: answer, np.array([[1.0, 2.0], [2.0, 4.0]]), {"epochs": 9, "penalty": np.array([0.1, 0.2])})
    of_test, true = predicted(observed, answer, mean=[2.0, 0.0]), np.array([[1.0, 2.0], [5.0, 1.0]])
    table = table_of(of_test, fitted, true)
    assert list(table) == ["trait", "pearson_r", "r_squared", "effect_correlation", *MOMENTS, "epochs", "penalty"]
    wanted = {
        "trait": [1, 2],
        "pearson_r": [-1, 1],
        "r_squared": [1 - 8 / 2, 1 - 18 / 9],
        "effect_correlation": [1, -1],
        "truth_mean": [2, 1],
        "truth_sd": [np.sqrt(2 / 3), np.sqrt(2)],
        "prediction_mean": [2, 3],
        "prediction_sd": [np.sqrt(2 / 3), np.sqrt(8)],
        "epochs": [9, 9],
        "penalty": [0.1, 0.2],
    }
    pd.testing.assert_frame_equal(table, pd.DataFrame(wanted), check_dtype=False)
    pd.testing.assert_frame_equal(table_of(of_test, fitted, true, with_r_squared=False), table.drop(columns="r_squared"))


def test_a_model_that_found_nothing_has_r_0() -> None:
    """One value for all is a result, not a gap; r is undefined only where the phenotypes do not vary."""
    observed = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    nothing, found = score(predicted(observed, np.full((3, 2), 0.1))), score(predicted(observed, np.tile(np.eye(3, 1), (1, 2))))
    np.testing.assert_array_equal(nothing["pearson_r"], [0.0, np.nan])
    np.testing.assert_allclose(found["pearson_r"], [-np.sqrt(0.75), np.nan])


def test_r_squared_is_against_the_training_mean_and_undefined_where_nothing_differs_from_it() -> None:
    observed = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    np.testing.assert_allclose(r_squared(observed, observed, np.array([7.0, 5.0])), [1, np.nan])
    np.testing.assert_allclose(r_squared(observed, np.full((3, 2), 7.0), np.array([7.0, 6.0])), [0, 1 - 12 / 3])


def test_scores_with_covariates_by_hand() -> None:
    """The whole trait is 1 2 6 and predicted as 2 2 5; covariates say −1 0 1 of it, which leaves 2 2 5, and the genome says 3 2 4."""
    columns = score(predicted(np.array([[1.0], [2.0], [6.0]]), np.array([[3.0], [2.0], [4.0]]), np.array([[-1.0], [0.0], [1.0]]), [2.0]))
    assert list(columns) == ["pearson_r", "r_squared", "pearson_r_adjusted", "r_squared_adjusted", "covariates_r_squared"]
    total = 1 + 0 + 16
    wanted = {
        "pearson_r": 9 / np.sqrt(14 * 6),  # (−2 −1 3)·(−1 −1 2) = 9
        "r_squared": 1 - (1 + 0 + 1) / total,
        "pearson_r_adjusted": 3 / np.sqrt(6 * 2),  # (−1 −1 2)·(0 −1 1) = 3
        "r_squared_adjusted": 1 - (1 + 0 + 1) / 9,
        "covariates_r_squared": 1 - (0 + 0 + 9) / total,  # they predict 1 2 3
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(columns[name], [value], err_msg=name)


def test_a_genome_that_says_nothing_has_an_adjusted_r_of_0() -> None:
    columns = score(predicted(np.array([[1.0], [2.0], [6.0]]), np.full((3, 1), 2.0), np.array([[-1.0], [0.0], [1.0]]), [2.0]))
    assert columns["pearson_r_adjusted"].tolist() == [0.0]
    assert columns["pearson_r"] > 0.9


@pytest.mark.parametrize(("coefficients", "true"), [(None, np.array([[1.0], [5.0]])), (np.array([[1.0]]), None)])
def test_no_correlation_of_effects_without_coefficients_or_a_truth(coefficients: Array | None, true: Array | None) -> None:
    observed = np.array([[1.0], [2.0], [3.0]])
    table = table_of(predicted(observed, observed), Fitted(lambda genotypes: observed, coefficients), true)
    assert list(table) == ["trait", "pearson_r", "r_squared", *MOMENTS]


def fold(observed: list[float], by_genome: list[float], mean: float) -> Predicted:
    return predicted(np.array(observed)[:, None], np.array(by_genome)[:, None], mean=[mean])


def test_cross_validation_pools_the_folds_of_a_repeat_and_tells_the_spread_over_all_folds() -> None:
    folds = [fold([0, 1, 2], [0, 1, 1], 1), fold([4, 6], [3, 3.5], 2), fold([0, 4], [1, 3], 2.5), fold([1, 2, 6], [2, 1, 5], 2)]
    of_fits = [{**score(one), **moments(one), "penalty": float(number)} for number, one in enumerate(folds)]
    (row,) = cross_validated(folds, of_fits, 2)
    repeats = [fold([0, 1, 2, 4, 6], [0, 1, 1, 3, 3.5], 0), fold([0, 4, 1, 2, 6], [1, 3, 2, 1, 5], 0)]
    r = [np.corrcoef(one.observed[:, 0], one.by_genome[:, 0])[0, 1] for one in repeats]
    totals = [1 + 0 + 1 + 4 + 16, 2.5**2 + 1.5**2 + 1 + 0 + 16]  # from the means of each fold's own training individuals
    errors = [0 + 0 + 1 + 1 + 2.5**2, 1 + 1 + 1 + 1 + 1]
    r_of_folds, r_squared_of_folds = ([float(columns[name][0]) for columns in of_fits] for name in ("pearson_r", "r_squared"))
    assert row["pearson_r"] == pytest.approx(np.mean(r))
    assert row["pearson_r_sd"] == pytest.approx(np.std(r_of_folds, ddof=1))
    assert row["r_squared"] == pytest.approx(np.mean([1 - error / total for error, total in zip(errors, totals, strict=True)]))
    assert row["r_squared_sd"] == pytest.approx(np.std(r_squared_of_folds, ddof=1))
    assert (row["penalty"], row["truth_mean"]) == (1.5, 2.6)
    assert row["truth_sd"] == pytest.approx(np.std([0, 1, 2, 4, 6]))
    (alone,) = cross_validated(folds[:2], of_fits[:2], 1)
    assert alone["pearson_r"] == pytest.approx(r[0])
    assert alone["pearson_r_sd"] == pytest.approx(np.std(r_of_folds[:2], ddof=1))


def test_a_model_that_finds_nothing_in_any_fold_has_r_0() -> None:
    """Though its predictions, the training means, differ from fold to fold."""
    folds = [fold([0, 1], [3, 3], 3), fold([4, 6], [0.5, 0.5], 0.5)]
    (row,) = cross_validated(folds, [score(one) for one in folds], 1)
    assert (row["pearson_r"], row["r_squared"]) == (0, 0)
    some = [*folds[:1], fold([4, 6], [0.5, 0.6], 0.5)]
    (row,) = cross_validated(some, [score(one) for one in some], 1)
    assert row["pearson_r"] < -0.9


def test_summary_is_mean_and_sample_sd_over_splits() -> None:
    tables = [
        [
            {"trait": 1, "pearson_r": r, "truth_mean": r, "penalty": 10 * r},
            {"trait": 2, "pearson_r": 2 * r, "truth_mean": r, "penalty": 0.0},
        ]
        for r in (0.1, 0.2, 0.6)
    ]
    table = pd.DataFrame(summarise(tables))
    assert list(table) == ["trait", "pearson_r", "pearson_r_sd", "truth_mean", "penalty", "penalty_sd"]
    sd = np.sqrt((0.2**2 + 0.1**2 + 0.3**2) / 2)
    np.testing.assert_allclose(table, [[1, 0.3, sd, 0.3, 3, 10 * sd], [2, 0.6, 2 * sd, 0.3, 0, 0]], atol=1e-12)


def test_one_split_has_no_spread() -> None:
    table = [{"trait": 1, "pearson_r": 0.5}]
    assert summarise([table]) == table


def test_splits_without_an_r_do_not_count() -> None:
    of_splits = [[{"trait": 1, "pearson_r": first, "truth_mean": 1.0}] for first in (0.2, np.nan, 0.4)]
    (row,) = summarise(of_splits)
    assert row == pytest.approx({"trait": 1, "pearson_r": 0.3, "pearson_r_sd": 0.2 / np.sqrt(2), "truth_mean": 1.0})
    (row,) = summarise([[{"trait": 1, "pearson_r": np.nan}]] * 2)
    assert np.isnan([row["pearson_r"], row["pearson_r_sd"]]).all()
