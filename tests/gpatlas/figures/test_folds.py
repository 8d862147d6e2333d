"""gpatlas.figures.folds: scores, intervals and picks, worked out by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from cross_validated import own_tables

from gpatlas.figures.folds import choices, corrected_interval, fold_scores, intervals, model_differences
from gpatlas.models.scores import Predicted, score

NAN = float("nan")
# two folds of two individuals; the second has one prediction for both
BY_HAND = [(1, 1.0, 1.0), (1, 3.0, 2.0), (2, 2.0, 4.0), (2, 6.0, 4.0)]


def predictions(rows: list[tuple[int, float, float]], **more: Any) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["fold", "observed", "predicted"])
    return table.assign(**{"experiment": "own", "scenario": "mine", "model": "ridge", "trait": 1, "repeat": 1, **more})


def scores(by_model: dict[str, list[float]], **more: Any) -> pd.DataFrame:
    """R² of every fold, the models of one trait; a quarter of the training individuals is tested."""
    rows = [(model, fold, value) for model, values in by_model.items() for fold, value in enumerate(values, 1)]
    table = pd.DataFrame(rows, columns=["model", "fold", "r_squared"])
    return table.assign(**{"scenario": "mine", "trait": 1, "repeat": 1, "pearson_r": 0.5, "test_share": 0.25, **more})


def test_an_interval_by_hand() -> None:
    """Variance 0.01, standard error sqrt(0.01·(1/3 + 0.5)), t of 2 degrees of freedom 4.302653."""
    interval = corrected_interval([0.1, 0.2, 0.3], 0.5)
    assert (interval.mean, interval.n) == (pytest.approx(0.2), 3)
    assert interval.half == pytest.approx(4.302653 * (0.01 * (1 / 3 + 0.5)) ** 0.5, rel=1e-6)
    assert interval.low == pytest.approx(0.2 - interval.half)


@pytest.mark.parametrize(("values", "mean", "half", "n"), [([0.3], 0.3, NAN, 1), ([], NAN, NAN, 0), ([NAN, 0.2, 0.2], 0.2, 0.0, 2)])
def test_degenerate_intervals(values: list[float], mean: float, half: float, n: int) -> None:
    interval = corrected_interval(values, 0.1)
    np.testing.assert_allclose([interval.mean, interval.half], [mean, half], atol=1e-12)
    assert interval.n == n


def test_scores_of_folds_by_hand() -> None:
    """Fold 1: the others' mean is 4, SSE 1, SST 10; fold 2: 2, 8 and 16."""
    found = fold_scores(predictions(BY_HAND))
    assert found[["repeat", "fold"]].to_numpy().tolist() == [[1, 1], [1, 2]]
    np.testing.assert_allclose(found[["pearson_r", "r_squared", "test_share"]], [[1.0, 0.9, 1.0], [0.0, 0.5, 1.0]])


def test_scores_are_those_of_the_fit() -> None:
    table = own_tables(1, ("ridge",), n_repeats=2)["predictions"]
    found = fold_scores(table).set_index(["repeat", "fold"])
    for (repeat, fold), part in table.groupby(["repeat", "fold"]):
        rest = table[(table["repeat"] == repeat) & (table["fold"] != fold)]["observed"].mean()
        expected = score(Predicted(part[["observed"]].to_numpy(), part[["predicted"]].to_numpy(), None, np.array([rest])))
        np.testing.assert_allclose(found.loc[(repeat, fold), ["pearson_r", "r_squared"]].to_numpy(float), np.ravel([*expected.values()]))


def test_a_fold_without_variation_or_with_a_missing_prediction_has_no_score() -> None:
    constant = [(1, 1.0, 1.0), (1, 1.0, 2.0), (2, 1.0, 3.0), (2, 1.0, 4.0)]
    assert fold_scores(predictions(constant))[["pearson_r", "r_squared"]].isna().all(axis=None)
    found = fold_scores(predictions([(1, 1.0, NAN), *BY_HAND[1:]]))
    assert found[["pearson_r", "r_squared"]].isna().all(axis=1).tolist() == [True, False]


def test_intervals_of_models_and_differences_within_folds() -> None:
    found = scores({"egblup": [0.3, 0.5, 0.4], "ridge": [0.2, 0.3, 0.4], "forest": [0.1, 0.1, NAN]})
    by_model = intervals(found, "r_squared").set_index("model")
    assert by_model.loc["ridge", "half"] == pytest.approx(corrected_interval([0.2, 0.3, 0.4], 0.25).half)
    assert by_model.loc["forest", "n"] == 2
    both = model_differences(found, "r_squared")
    assert both[["model", "other"]].to_numpy().tolist() == [["ridge", "egblup"], ["ridge", "forest"], ["egblup", "forest"]]
    expected = corrected_interval([0.1, 0.2, 0.0], 0.25)
    np.testing.assert_allclose(both.loc[0, ["difference", "low", "high"]].to_numpy(float), [0.1, expected.low, expected.high], atol=1e-9)


PICKS = [
    ({"ridge": [0.1, 0.2, 0.3]}, "ridge", "ridge"),  # one model only
    ({"ridge": [0.1, 0.1, 0.1], "egblup": [0.3, 0.3, 0.3]}, "egblup", "egblup"),  # the same difference in every fold
    ({"mlp": [0.1, 0.2, 0.3], "ridge": [0.3, 0.2, 0.1]}, "ridge", "ridge"),  # equal means: the simplest is the best
    ({"ridge": [0.1, 0.3, 0.2], "egblup": [0.3, 0.2, 0.2]}, "egblup", "ridge"),  # within noise
    ({"ridge": [0.1, 0.1, 0.12], "egblup": [0.4, 0.5, 0.4], "pairwise": [0.5, 0.4, 0.45]}, "pairwise", "egblup"),
    ({"ridge": [0.2, 0.2, 0.2], "egblup": [0.2 + 1e-12, 0.2 + 2e-12, 0.2 + 1e-12]}, "ridge", "ridge"),  # rounding
    ({"forest": [0.4, 0.5, 0.45], "mlp": [0.1, 0.1, 0.1]}, "forest", "forest"),  # no ridge regression, and a model of no registry
    ({"ridge": [0.2, 0.3, 0.2], "egblup": [NAN, NAN, NAN]}, "ridge", "ridge"),  # a model without any score
]


@pytest.mark.parametrize(("by_model", "best", "pick"), PICKS)
def test_the_pick_is_the_simplest_within_noise_of_the_best(by_model: dict[str, list[float]], best: str, pick: str) -> None:
    (row,) = choices(scores(by_model)).to_dict("records")
    assert (row["best"], row["pick"]) == (best, pick)
    assert np.isnan(row["over_ridge"]) == ("ridge" not in by_model)


def test_every_trait_has_a_choice_among_the_models_that_it_has() -> None:
    found = pd.concat([scores({"ridge": [0.1, 0.2], "mlp": [0.9, 0.91]}), scores({"ridge": [0.3, 0.4]}, trait=2)])
    table = choices(found).set_index("trait")
    assert table["best"].tolist() == ["mlp", "ridge"]
    assert table.loc[1, "over_ridge"] == pytest.approx(0.755)
    assert choices(scores({"ridge": [NAN, NAN]})).empty
