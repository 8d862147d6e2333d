"""gpatlas.figures.gain: the gain over the best additive model by hand, its looks, names and sentence."""

import pandas as pd
import pytest
from cross_validated import own_tables
from figure_tables import Saved
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from gpatlas.figures.chart import chart_of, points_of
from gpatlas.figures.draw import draw
from gpatlas.figures.folds import corrected_interval, fold_scores, gains_over
from gpatlas.figures.gain import say_gain
from gpatlas.figures.registry import ADDITIVE, FIGURES, GAIN_OF
from gpatlas.models.registry import titles

MODELS = ("ridge", "lasso", "egblup", "pairwise")


def points(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return points_of("gain", tables["results"], beside=tables.__getitem__)


def figure(tables: dict[str, pd.DataFrame]) -> Figure:
    return draw("gain", tables["results"], beside=tables.__getitem__)


def scores(by_model: dict[str, list[float]]) -> pd.DataFrame:
    rows = [("mine", 1, model, 1, fold, value) for model, values in by_model.items() for fold, value in enumerate(values, 1)]
    return pd.DataFrame(rows, columns=["scenario", "trait", "model", "repeat", "fold", "r_squared"]).assign(test_share=0.5)


def test_additive_models_are_results_that_tables_may_have() -> None:
    assert set(ADDITIVE) <= set(titles())
    assert GAIN_OF[0] == ("ridge", "elastic_net", "linear_sgd", "pruned")
    assert {"egblup", "rkhs", "pairwise", "boosting", "mlp", "stack"} <= set(GAIN_OF[1])


def test_the_gain_by_hand() -> None:
    """Of either kind the highest mean: elastic net 0.4 and boosting 0.6; differences 0.1, 0.2, 0.3."""
    by_model = {"ridge": [0.0, 0.9, 0.0], "elastic_net": [0.4, 0.4, 0.4], "boosting": [0.5, 0.6, 0.7], "mlp": [0.9, 0.0, 0.0]}
    (row,) = gains_over(scores(by_model), ADDITIVE).to_dict("records")
    half = 4.302653 * (0.01 * (1 / 3 + 0.5)) ** 0.5
    assert (row["of_these"], row["other"]) == ("elastic_net", "boosting")
    assert (row["of_these_r_squared"], row["other_r_squared"], row["gain"]) == (pytest.approx(0.4), pytest.approx(0.6), pytest.approx(0.2))
    assert (row["low"], row["high"]) == (pytest.approx(0.2 - half, abs=1e-6), pytest.approx(0.2 + half, abs=1e-6))


def test_without_models_of_both_kinds_there_is_no_gain() -> None:
    assert gains_over(scores({"ridge": [0.1, 0.2], "lasso": [0.1, 0.2]}), ADDITIVE).empty
    assert gains_over(scores({"mlp": [0.1, 0.2], "ridge": [float("nan")] * 2}), ADDITIVE).empty


def test_a_point_per_trait_stands_at_the_published_difference() -> None:
    tables = own_tables(3, MODELS)
    tables["results"] = tables["results"].assign(published_broad_h2=0.8, published_narrow_h2=tables["results"]["trait"] / 10)
    found = points(tables).set_index("trait")
    assert found["x"].tolist() == pytest.approx([0.7, 0.6, 0.5])
    of_trait = fold_scores(tables["predictions"]).query("trait == 2").pivot(index="fold", columns="model", values="r_squared")
    row = found.loc[2]
    best, other = of_trait[["ridge", "lasso"]].mean().idxmax(), of_trait[["egblup", "pairwise"]].mean().idxmax()
    interval = corrected_interval(of_trait[other] - of_trait[best], 0.25)
    assert (row["of_these"], row["other"]) == (best, other)
    assert [row["value"], row["low"], row["high"]] == pytest.approx([interval.mean, interval.low, interval.high])


def test_traits_of_which_not_both_heritabilities_are_published_are_left_out() -> None:
    tables = own_tables(3, MODELS)
    narrow = tables["results"]["published_narrow_h2"].mask(tables["results"]["trait"] == 2)
    tables["results"] = tables["results"].assign(published_narrow_h2=narrow)
    assert points(tables)["trait"].tolist() == [1, 3]


def test_what_lacks_is_named() -> None:
    tables = own_tables(2, MODELS)
    with pytest.raises(
        ValueError, match=r"^no column published_narrow_h2: a config names the table `published` of its traits in the block"
    ):
        points({**tables, "results": tables["results"].drop(columns="published_narrow_h2")})
    lacks = r"^no trait of experiment 'own' has both published_broad_h2 and published_narrow_h2, an additive model and another one$"
    with pytest.raises(ValueError, match=lacks):
        points(own_tables(2, ("ridge", "lasso")))
    with pytest.raises(ValueError, match=lacks):
        points({**tables, "results": tables["results"].assign(published_broad_h2=None)})


def told(label: str, x: float, value: float, half: float) -> dict[str, object]:
    low, high = value - half, value + half
    level = "gain beyond noise" if low > 0 else "loss beyond noise" if high < 0 else "within noise"
    models = {"of_these": "elastic_net", "other": "boosting"}
    return {"label": label, "x": x, "value": value, "low": low, "high": high, "level": level, **models}


def test_the_sentence_by_hand() -> None:
    rows = [told("oil", 0.5, 0.02, 0.05), told("maltose", 0.4, 0.3, 0.1), told("copper", 0.2, 0.1, 0.02), told("lactate", 0.0, -0.1, 0.02)]
    assert say_gain(pd.DataFrame(rows)) == (
        "The best other model is beyond noise better than the best additive one for 2 of 4 traits, and worse for 1. "
        "The largest gain is +0.300 (+0.200 to +0.400), of maltose, by boosted trees over elastic net. "
        "The correlation of gain with H² − h² is 0.55. In the median, 50% of H² − h² is gained."
    )


def test_the_sentence_of_one_trait_has_no_correlation() -> None:
    assert say_gain(pd.DataFrame([told("oil", -0.1, 0.02, 0.05)])) == (
        "The best other model is beyond noise better than the best additive one for 0 of 1 traits. "
        "The largest gain is +0.020 (−0.030 to +0.070), of oil, by boosted trees over elastic net."
    )


def test_every_level_is_drawn_where_its_traits_are_beside_the_one_to_one_line() -> None:
    tables = own_tables(6, MODELS)
    found, (axes,) = points(tables), figure(tables).axes
    drawn = {str(one.get_label()): list(one.lines[0].get_ydata()) for one in axes.containers if isinstance(one, ErrorbarContainer)}
    assert drawn == {level: rows["value"].tolist() for level, rows in found.groupby("level")}
    (dashed,) = (line for line in axes.lines if line.get_label() == "1:1")
    assert dashed.get_slope() == 1  # type: ignore[attr-defined]
    assert axes.get_xlabel().startswith("H² − h², published")
    assert axes.get_ylabel() == "Gain in R²: best other model − best additive model"


@pytest.mark.parametrize("n_traits", [4, 46])
def test_names_of_the_largest_gains_cover_no_point_and_no_other_name(n_traits: int) -> None:
    tables = own_tables(n_traits, MODELS)
    drawn, found = figure(tables), points(tables)
    (axes,) = drawn.axes
    largest = [label[:25] for label in found.nlargest(6, "value")["label"]]
    names = [text.get_text() for text in axes.texts]
    assert names
    assert all(name.removesuffix("…") in largest for name in names)
    boxes = [text.get_window_extent() for text in axes.texts]
    places = axes.transData.transform(found[["x", "value"]].to_numpy(float))
    assert not any(box.contains(*place) for box in boxes for place in places)
    saved = Saved(drawn)
    assert not any(one.overlaps(other) for at, one in enumerate(saved.labels) for other in saved.labels[at + 1 :])


def test_the_table_has_the_largest_gain_first() -> None:
    rows = chart_of("gain").summary(points(own_tables(4, MODELS)))
    assert rows["gain"].is_monotonic_decreasing
    assert set(rows["additive"]) <= {"ridge regression", "lasso"}
    assert set(rows["other"]) <= {"EG-BLUP", "pairwise screening"}


def test_a_config_needs_published_values_and_models_of_both_kinds() -> None:
    gain, both = FIGURES["gain"], [{"broad_h2", "narrow_h2", "svm_r_squared"}]
    assert gain.fault(["ridge", "stack"], "imported", ["cross_validation"], both) is None
    assert gain.fault(["ridge", "stack"], "imported", ["cross_validation"], None) is None
    needs = (
        "needs a trait with values in the columns broad_h2 and narrow_h2 of the table 'published' of the block 'data', and there is none"
    )
    assert gain.fault(["ridge", "stack"], "imported", ["cross_validation"], [{"broad_h2"}, {"narrow_h2"}]) == needs
    assert gain.fault(["ridge", "stack"], "imported", ["cross_validation"]) == needs
    needs = "needs one of the models ridge, elastic_net, linear_sgd, pruned, and none is among this experiment's models"
    assert gain.fault(["stack"], "imported", ["cross_validation"], both) == needs
    assert str(gain.fault(["ridge"], "imported", ["cross_validation"], both)).startswith("needs one of the models egblup, rkhs, pairwise, ")
    assert gain.fault(["pruned"], "imported", ["cross_validation"], both) is None
