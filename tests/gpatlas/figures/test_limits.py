"""gpatlas.figures.limits: means, spreads, ceilings and picks are where the table says."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from figure_tables import REL_AA, curves, drawn, limits_table, path, points, rows_of_panels, table_of
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from gpatlas.figures.chart import chart_of, points_of
from gpatlas.figures.draw import draw

MODELS = {"ridge": "ridge regression", "egblup": "EG-BLUP", "pairwise": "pairwise screening", "mlp": "MLP"}
MEASURES = {"pair_precision": "precision: found pairs that are true", "pair_recall": "recall: true pairs that are found"}


def literal(r: dict[str, list[float]]) -> pd.DataFrame:
    """One trait at heritabilities 0.5 and 0.999, with these r of the models."""
    table = limits_table(1, [0.5], [1], [1000], (1.0,))
    values = {(model, h2): value for model, both in r.items() for h2, value in zip((0.5, 0.999), both, strict=True)}
    return table.assign(pearson_r=[values[key] for key in zip(table["model"], table["h2"], strict=True)], v_a_over_v_g=0.36)


def picks(axes: Axes) -> dict[float, str]:
    """x to the model that the bottom row names."""
    marks = {label.removeprefix("pick "): xy for label, xy in points(axes).items() if label.startswith("pick ")}
    return {float(x): label for label, xy in marks.items() if len(xy) for x in xy[:, 0]}


@pytest.mark.parametrize("name", ["one replicate", "study", "imported"])
def test_two_rows_of_panels_for_each_population_size(name: str) -> None:
    table, rows = table_of("limits", name), rows_of_panels(drawn("4", name))
    sizes = sorted(table["n_individuals"].unique())
    assert len(rows) == 2 * len(sizes)
    shares = table.groupby("trait")["v_a_over_v_g"].mean()
    for place, row in enumerate(rows):
        assert [axes.get_title("left") for axes in row] == [f"$V_A/V_G$ = {share:.2f}" for share in shares]
        assert row[0].get_ylabel() == f"{sizes[place // 2]:,} individuals\nPearson r on the test set"
        expected = r"QTL pairs per individual\n\(heritability 0.999\)" if place % 2 else r"Heritability\n\(pairs per individual: 1\)"
        assert all(re.fullmatch(expected, axes.get_xlabel()) for axes in row)


@pytest.mark.parametrize("name", ["one replicate", "study"])
def test_4_shows_mean_lowest_and_highest_r_of_every_model(name: str) -> None:
    table = table_of("limits", name)
    table = table.assign(pairs=table["n_qtl"] * (table["n_qtl"] - 1) / 2000)
    views = [("h2", table[table["n_qtl"] == 46]), ("pairs", table[table["h2"] == 0.999])]
    for (x, part), row in zip(views, rows_of_panels(drawn("4", name)), strict=True):
        for trait, axes in enumerate(row, 1):
            assert list(curves(axes)) == list(MODELS.values())
            for model, label in MODELS.items():
                r = part[(part["model"] == model) & (part["trait"] == trait)].groupby(x)["pearson_r"]
                at, mean, (low, high) = curves(axes)[label]
                np.testing.assert_allclose(mean, r.mean())
                np.testing.assert_allclose([low, high], [r.min(), r.max()])
                np.testing.assert_allclose(at, list(r.groups), rtol=0.1)


def test_the_axes_are_linear_in_heritability_and_logarithmic_in_pairs() -> None:
    by_h2, by_pairs = rows_of_panels(drawn("4", "one replicate"))
    assert [axes.get_xscale() for axes in (*by_h2, *by_pairs)] == ["linear"] * 3 + ["log"] * 3
    assert [label.get_text() for label in by_h2[0].get_xticklabels()] == ["0.2", "0.5", "0.999"]
    assert {axes.get_ylim() for axes in (*by_h2, *by_pairs)} == {by_h2[0].get_ylim()}


def test_ceilings_pass_through_those_of_the_populations() -> None:
    by_h2, by_pairs = rows_of_panels(draw("4", literal({model: [0.5, 0.6] for model in MODELS})))
    x, y = path(by_h2[0], "ceiling: any model")
    np.testing.assert_allclose(y, x**0.5)
    np.testing.assert_allclose([x[0], x[-1]], [0.5, 0.999])
    x, y = path(by_h2[0], "ceiling: linear model")
    np.testing.assert_allclose(y, 0.6 * x**0.5)
    np.testing.assert_allclose(path(by_pairs[0], "ceiling: any model")[1], 0.999**0.5)


def test_the_linear_ceiling_of_imported_populations_is_that_of_the_best_linear_fit() -> None:
    table = literal({model: [0.5, 0.6] for model in MODELS}).assign(linear_r_squared=0.81)
    x, y = path(rows_of_panels(draw("4", table))[0][0], "ceiling: linear model")
    np.testing.assert_allclose(y, 0.9 * x**0.5)


def test_the_pick_is_the_simplest_model_within_a_hundredth_of_the_best() -> None:
    table = literal({"ridge": [0.591, 0.7], "egblup": [0.60, 0.985], "pairwise": [0.55, 0.999], "mlp": [0.58, 0.995]})
    assert picks(rows_of_panels(draw("4", table))[0][0]) == {0.5: "ridge regression", 0.999: "pairwise screening"}
    table = literal({"ridge": [0.5, 0.7], "egblup": [0.60, 0.991], "pairwise": [0.55, 0.999], "mlp": [0.7, 0.995]})
    assert picks(rows_of_panels(draw("4", table))[0][0]) == {0.5: "MLP", 0.999: "EG-BLUP"}


def test_picks_lie_below_all_that_is_drawn_even_where_r_is_negative() -> None:
    figure = draw("4", literal({"ridge": [-0.3, 0.7], "egblup": [0.1, 0.9], "pairwise": [0.1, 0.9], "mlp": [0.1, 0.9]}))
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert min(ends.min() for _, _, ends in curves(axes).values()) > low + 0.1 * (high - low)


def test_a_model_that_is_fitted_to_some_populations_only_is_drawn_there() -> None:
    table = table_of("limits", "one replicate")
    figure = draw("4", table[(table["model"] != "egblup") | (table["h2"] < 0.9)])
    by_h2, by_pairs = rows_of_panels(figure)
    assert len(curves(by_h2[0])["EG-BLUP"][0]) == 2
    assert list(curves(by_pairs[0])) == [label for label in MODELS.values() if label != "EG-BLUP"]


def test_of_a_full_grid_each_row_shows_one_line_through_it() -> None:
    cells = [limits_table(1, [h2], [], [1000], (1.0,)) for h2 in (0.2, 0.5)]
    cells += [limits_table(1, [], [s], [1000], (1.0,)).assign(h2=h2) for s in (0.5, 4) for h2 in (0.2, 0.5, 0.8)]
    table = pd.concat(cells).assign(scenario=lambda rows: rows["n_qtl"].astype(str) + rows["h2"].astype(str))
    by_h2, by_pairs = rows_of_panels(draw("4", table))
    assert by_h2[0].get_xlabel() == "Heritability\n(pairs per individual: 0.5)"
    assert by_pairs[0].get_xlabel() == "QTL pairs per individual\n(heritability 0.5)"
    assert [len(curves(row[0])["MLP"][0]) for row in (by_h2, by_pairs)] == [3, 3]


def test_4_tells_the_models_apart_in_grey_and_says_what_lines_and_picks_mean() -> None:
    figure = drawn("4", "study")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*MODELS.values(), "ceiling: any model", "ceiling: linear model"]
    marks = [mark for mark in figure.legends[0].findobj(Line2D) if mark.get_marker() != "None"]
    lightness = [float(np.dot(to_rgb(mark.get_color()), (0.21, 0.72, 0.07))) for mark in marks]
    assert len({mark.get_marker() for mark in marks}) == 4
    assert (np.diff(lightness) < -0.08).all()
    footer = figure.texts[-1].get_text().replace("\n", " ")
    assert footer.endswith("lines: means, bars: lowest to highest · pick: the simplest model whose mean r is within 0.01 of the best")


def test_5_shows_precision_and_recall_of_the_traits_that_have_pairs() -> None:
    table = table_of("limits", "study").query("model == 'pairwise'")
    rows = rows_of_panels(drawn("5", "study"))
    assert [len(row) for row in rows] == [len(REL_AA) - 1] * 2
    for trait, axes in enumerate(rows[0], 2):
        part = table[(table["trait"] == trait) & (table["n_qtl"] == 46)].groupby("h2")
        assert list(curves(axes)) == list(MEASURES.values())
        for name, label in MEASURES.items():
            _, mean, (low, high) = curves(axes)[label]
            np.testing.assert_allclose([mean, low, high], [part[name].mean(), part[name].min(), part[name].max()])


def test_5_leaves_out_a_trait_of_which_only_false_pairs_were_found() -> None:
    table = table_of("limits", "one replicate")
    false = (table["model"] == "pairwise") & (table["trait"] == 1)
    table = table.assign(pair_precision=table["pair_precision"].mask(false, 0.0).mask((table["trait"] == 2) & (table["h2"] == 0.2)))
    figure = draw("5", table)
    assert [len(row) for row in rows_of_panels(figure)] == [2, 2]
    assert len(curves(figure.axes[0])[MEASURES["pair_precision"]][0]) == 2
    assert figure.texts[-1].get_text().endswith("1 of 20 shares undefined")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pair_recall": None}, "no column 'pair_recall'; the table has .*'pair_precision'"),
        (
            {"pair_recall": np.nan},
            "every pair_recall is empty of model 'pairwise' in experiment 'limits'",
        ),
    ],
)
def test_5_needs_its_columns(change: dict[str, Any], message: str) -> None:
    table = table_of("limits", "one replicate")
    gone = [name for name, value in change.items() if value is None]
    with pytest.raises(ValueError, match=message):
        draw("5", table.drop(columns=gone).assign(**{name: value for name, value in change.items() if value is not None}))


def test_4_draws_whatever_models_there_are_in_the_order_of_the_registry() -> None:
    table = table_of("limits", "one replicate")
    names = {"ridge": "forest", "mlp": "lasso", "pairwise": "linear_sgd"}
    table = table.assign(model=table["model"].replace(names))
    figure = draw("4", table.sample(frac=1, random_state=1))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[:4] == ["EG-BLUP", "linear model trained by SGD", "lasso", "forest"]
    assert list(curves(figure.axes[0])) == legend[:4]
    alone = draw("4", table[table["model"] == "forest"])
    assert [text.get_text() for text in alone.legends[0].get_texts()] == ["forest", "ceiling: any model", "ceiling: linear model"]
    assert set(picks(alone.axes[0]).values()) == {"forest"}
    chart = chart_of("4")
    points = points_of("4", table)
    assert {"forest", "lasso"} < set(chart.summary(points)["level"])
    assert " forest from " in chart.say(points)


def test_4_leaves_out_a_model_without_any_r() -> None:
    table = table_of("limits", "one replicate")
    figure = draw("4", table.assign(pearson_r=table["pearson_r"].mask(table["model"] == "ridge")))
    assert list(curves(figure.axes[0])) == [label for label in MODELS.values() if label != "ridge regression"]
