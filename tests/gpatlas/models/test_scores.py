"""gpatlas.models.scores: correlations, a row per trait, and the mean over splits."""

import numpy as np
import pandas as pd
import pytest

from gpatlas.data.genotypes import Genotypes
from gpatlas.models.contract import Fitted, Part
from gpatlas.models.scores import pearson_r, score, summarise

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


def test_score_by_hand() -> None:
    test = Part(Genotypes.of(np.zeros((3, 2), dtype=np.uint8)), np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 3.0]]))
    predicted = np.array([[3.0, 1.0], [2.0, 1.0], [1.0, 7.0]])
    fitted = Fitted(lambda genotypes: predicted, np.array([[1.0, 2.0], [2.0, 4.0]]), {"epochs": 9, "penalty": np.array([0.1, 0.2])})
    table = pd.DataFrame(score(fitted, test, np.array([[1.0, 2.0], [5.0, 1.0]])))
    assert list(table) == ["trait", "pearson_r", "effect_correlation", *MOMENTS, "epochs", "penalty"]
    wanted = {
        "trait": [1, 2],
        "pearson_r": [-1, 1],
        "effect_correlation": [1, -1],
        "truth_mean": [2, 1],
        "truth_sd": [np.sqrt(2 / 3), np.sqrt(2)],
        "prediction_mean": [2, 3],
        "prediction_sd": [np.sqrt(2 / 3), np.sqrt(8)],
        "epochs": [9, 9],
        "penalty": [0.1, 0.2],
    }
    pd.testing.assert_frame_equal(table, pd.DataFrame(wanted), check_dtype=False)


def test_a_model_that_found_nothing_has_r_0() -> None:
    """One value for all is a result, not a gap; r is undefined only where the phenotypes do not vary."""
    test = Part(Genotypes.of(np.zeros((3, 1), dtype=np.uint8)), np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]))
    answers = np.full((3, 2), 0.1), np.tile(np.eye(3, 1), (1, 2))
    found_nothing, found = (Fitted(lambda genotypes, answer=answer: answer) for answer in answers)
    assert [row["pearson_r"] for row in score(found_nothing, test, None)] == [0.0, pytest.approx(np.nan, nan_ok=True)]
    assert [row["pearson_r"] for row in score(found, test, None)] == [pytest.approx(-np.sqrt(0.75)), pytest.approx(np.nan, nan_ok=True)]


def test_score_without_coefficients() -> None:
    test = Part(Genotypes.of(np.zeros((3, 1), dtype=np.uint8)), np.array([[1.0], [2.0], [3.0]]))
    table = pd.DataFrame(score(Fitted(lambda genotypes: test.phenotypes), test, np.array([[1.0], [5.0]])))
    assert list(table) == ["trait", "pearson_r", *MOMENTS]


def test_score_where_the_true_effects_are_unknown() -> None:
    test = Part(Genotypes.of(np.zeros((3, 1), dtype=np.uint8)), np.array([[1.0], [2.0], [3.0]]))
    table = pd.DataFrame(score(Fitted(lambda genotypes: test.phenotypes, np.array([[1.0]])), test, None))
    assert list(table) == ["trait", "pearson_r", *MOMENTS]


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
