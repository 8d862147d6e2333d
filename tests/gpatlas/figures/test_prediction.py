"""gpatlas.figures.prediction: scores are the table's, intervals those of the folds, the sentence says which model to pick."""

import pandas as pd
import pytest
from cross_validated import own_tables
from figure_tables import FloatArray
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from gpatlas.figures.chart import chart_of, points_of
from gpatlas.figures.draw import draw
from gpatlas.figures.folds import corrected_interval, fold_scores
from gpatlas.figures.prediction import say_prediction


def points(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return points_of("prediction", tables["results"], beside=tables.__getitem__)


def figure(tables: dict[str, pd.DataFrame]) -> Figure:
    return draw("prediction", tables["results"], beside=tables.__getitem__)


def curves(axes: Axes) -> dict[str, FloatArray]:
    """Label to the x of every marker of a model, in the order of the rows."""
    return {str(found.get_label()): found.lines[0].get_xdata() for found in axes.containers if isinstance(found, ErrorbarContainer)}


def test_values_are_the_tables_and_intervals_those_of_the_folds() -> None:
    tables = own_tables(2, n_repeats=2)
    found = points(tables)
    assert len(found) == 2 * 3 * 2
    row = found[(found["trait"] == 2) & (found["model"] == "egblup") & (found["level"] == "R²")].iloc[0]
    result = tables["results"].query("trait == 2 and model == 'egblup'").iloc[0]
    folds = fold_scores(tables["predictions"]).query("trait == 2 and model == 'egblup'")
    half = corrected_interval(folds["r_squared"], 0.25).half
    assert len(folds) == 10
    assert row["value"] == result["r_squared"]
    assert (row["low"], row["high"]) == (pytest.approx(row["value"] - half), pytest.approx(row["value"] + half))


def test_an_r_is_never_above_one() -> None:
    tables = own_tables(1, ("ridge",))
    tables["predictions"]["predicted"] = tables["predictions"]["observed"] * 0.9
    tables["results"] = tables["results"].assign(pearson_r=1.0, r_squared=0.99)
    assert points(tables)["high"].max() <= 1.0


def test_a_panel_for_r_and_one_for_r_squared_with_the_best_trait_on_top() -> None:
    tables = own_tables(3)
    drawn = figure(tables)
    by_trait = tables["results"].groupby("trait_name")["pearson_r"].max().sort_values(ascending=False)
    assert [axes.get_xlabel() for axes in drawn.axes] == ["Predictive r", "Predictive R²"]
    assert [label.get_text() for label in drawn.axes[0].get_yticklabels()] == list(by_trait.index)
    assert drawn.axes[0].get_ylim()[0] > drawn.axes[0].get_ylim()[1]
    assert list(curves(drawn.axes[0])) == ["ridge regression", "EG-BLUP", "pairwise screening"]
    assert sorted(curves(drawn.axes[1])["EG-BLUP"]) == sorted(tables["results"].query("model == 'egblup'")["r_squared"])


def test_a_trait_that_a_model_lacks_and_an_empty_score_are_left_out() -> None:
    tables = own_tables(3)
    lacking = {name: table.query("not (model == 'egblup' and trait == 1)") for name, table in tables.items()}
    lacking["results"] = lacking["results"].assign(
        r_squared=lambda rows: rows["r_squared"].mask((rows["model"] == "pairwise") & (rows["trait"] == 2))
    )
    drawn = figure(lacking)
    assert [len(x) for x in curves(drawn.axes[1]).values()] == [3, 2, 2]
    assert chart_of("prediction").say(points(lacking)).count("pick") == 3


def test_only_the_best_of_very_many_traits_are_shown() -> None:
    drawn = figure(own_tables(65, ("ridge",)))
    assert len(drawn.axes[0].get_yticklabels()) == 60
    assert "60 of 65 traits shown, the best" in drawn.texts[-1].get_text().replace("\n", " ")


def test_a_failed_model_does_not_squeeze_the_others() -> None:
    tables = own_tables(2)
    failed = tables["results"]["model"] == "pairwise"
    tables["results"] = tables["results"].assign(r_squared=tables["results"]["r_squared"].mask(failed, -40.0))
    drawn = figure(tables)
    assert drawn.axes[1].get_xlim()[0] > -1
    assert "Predictive R²: 2 of 6 values beyond the axis" in drawn.texts[-1].get_text().replace("\n", " ")


def told(label: str, model: str, value: float, best: str | None = None, over_ridge: tuple[float, float, float] = (0, 0, 0)) -> pd.DataFrame:
    """Points of a trait whose model to pick is `model`."""
    row = {"label": label, "model": model, "pick": model, "best": best or model, "picked": True}
    row |= dict(zip(("over_pick", "over_pick_low", "over_pick_high"), (0.02, -0.01, 0.05), strict=True))
    row |= dict(zip(("over_ridge", "over_ridge_low", "over_ridge_high"), over_ridge, strict=True))
    ends = {"low": value - 0.1, "high": value + 0.1}
    other = {**row, "model": "ridge", "picked": False, "level": "R²", "value": 0.1, **ends}
    others = [other] if model != "ridge" else []
    return pd.DataFrame([{**row, "level": "r", "value": 0.7}, {**row, "level": "R²", "value": value, **ends}, *others])


def test_the_sentence_tells_few_traits_one_by_one() -> None:
    found = [told("oil", "ridge", 0.4, best="egblup"), told("height", "mlp", 0.5, over_ridge=(0.3, 0.1, 0.5))]
    assert say_prediction(pd.concat(found)) == (
        "height: pick MLP, R² 0.50 (0.40 to 0.60), r 0.70, beyond noise better than ridge regression by +0.300 (+0.100 to +0.500) in R². "
        "oil: pick ridge regression, R² 0.40 (0.30 to 0.50), r 0.70; EG-BLUP is higher by +0.020 (−0.010 to +0.050) in R², within noise."
    )


def test_the_sentence_counts_many_traits() -> None:
    found = [told(f"t{number}", "ridge", 0.1 * number) for number in range(1, 5)]
    found.append(told("maltose", "pairwise", 0.8, over_ridge=(0.3, 0.1, 0.5)))
    assert say_prediction(pd.concat(found)) == (
        "Of 5 traits, the model to pick is ridge regression for 4 and pairwise screening for 1. "
        "R² of the picked models runs from 0.10 (t1) to 0.80 (maltose), median 0.30. "
        "The best model is beyond noise better than ridge regression for 1 of them: maltose. "
        "R² of the picked model is not beyond noise above 0 for 1: t1."
    )


def test_without_any_score_there_is_nothing_to_pick() -> None:
    tables = own_tables(1, ("ridge",))
    tables["predictions"]["predicted"] = None
    assert say_prediction(points(tables)) == "No model has a score in every fold, so there is none to pick."
