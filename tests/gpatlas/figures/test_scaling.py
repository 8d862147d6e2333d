"""gpatlas.figures.scaling: what is drawn is what the table says."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pytest
from figure_tables import POPULATION, STUDY, TABLES, FloatArray, drawn, experiment_of, line, path, points, table_of, with_further
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import AxLine

from gpatlas.figures.draw import draw

SCALING = [name for name in STUDY if experiment_of(name) == "scaling"]
PANELLED = [name for name in SCALING if name != "s1"]
FURTHER = {"pairwise": "Pairwise screening", "egblup": "EG-BLUP"}


def fits_of(table: pd.DataFrame, model: str) -> pd.DataFrame:
    return table[table["model"] == model].set_index(POPULATION).sort_index()


def assert_points(figure: Figure, rows: pd.DataFrame, x: pd.Series, y: pd.Series) -> None:
    """Every panel shows exactly these points, under the label of their population size."""
    for trait, axes in enumerate(figure.axes, 1):
        shown = points(axes)
        ours = rows.index.get_level_values("trait") == trait
        assert list(shown) == [f"{n:,}" for n in sorted(rows["n_individuals"].unique())]
        for n in rows["n_individuals"].unique():
            mask = ours & (rows["n_individuals"] == n)
            expected = np.array(sorted(zip(x[mask], y[mask], strict=True)))
            np.testing.assert_allclose(shown[f"{n:,}"], expected)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("figure", PANELLED)
def test_a_panel_per_trait_titled_with_the_mean_realised_share(figure: str, name: str) -> None:
    table = table_of("scaling", name)
    means = table[table["model"] == "mlp"].groupby("trait")["v_a_over_v_g"].mean()
    assert len(means) == {"one population": 1, "imported": 7}.get(name, 5)
    assert [axes.get_title("left") for axes in drawn(figure, name).axes] == [f"$V_A/V_G$ = {mean:.2f}" for mean in means]


@pytest.mark.parametrize("name", TABLES)
def test_1a_shows_the_relative_gain_of_every_pair(name: str) -> None:
    mlp, linear = fits_of(table_of("scaling", name), "mlp"), fits_of(table_of("scaling", name), "linear_sgd")
    assert_points(drawn("1a", name), mlp, mlp["n_qtl"], mlp["pearson_r"] / linear["pearson_r"] - 1)


@pytest.mark.parametrize("name", TABLES)
def test_1b_shows_r_against_pairs_per_individual(name: str) -> None:
    mlp = fits_of(table_of("scaling", name), "mlp")
    assert_points(drawn("1b", name), mlp, mlp["n_qtl"] * (mlp["n_qtl"] - 1) / (2 * mlp["n_individuals"]), mlp["pearson_r"])


@pytest.mark.parametrize("figure", ["1a", "1b"])
def test_a_further_row_of_panels_per_further_model(figure: str) -> None:
    table = with_further(table_of("scaling", "study"))
    alone, further = drawn(figure, "study"), draw(figure, table, tuple(FURTHER))
    rows = np.array(further.axes, dtype=object).reshape(3, 5)
    assert [axes.get_ylabel().split("\n")[0] for axes in rows[:, 0]] == ["MLP", *FURTHER.values()]
    assert (further.get_suptitle() + "?").replace(" over", " of the MLP over").replace(
        " by", " of the MLP by"
    ) == alone.get_suptitle() + "?"
    for model, row in zip(("mlp", *FURTHER), rows, strict=True):
        other = draw(figure, table[table["model"] != "mlp"].replace({"model": {model: "mlp"}}) if model != "mlp" else table)
        for axes, same in zip(row, other.axes, strict=True):
            assert axes.get_title("left") == same.get_title("left")
            for label, xy in points(same).items():
                np.testing.assert_array_equal(points(axes)[label], xy)


def test_a_further_model_that_is_fitted_to_small_populations_only_is_drawn_there() -> None:
    table = with_further(table_of("scaling", "study"))
    figure = draw("1b", table[(table["model"] != "egblup") | (table["n_individuals"] == 1000)], ("egblup",))
    assert [list(points(axes)) for axes in (figure.axes[0], figure.axes[5])] == [["1,000", "10,000", "100,000"], ["1,000"]]


@pytest.mark.parametrize(("figure", "model", "title"), [("mlp", "mlp", "MLP"), ("linear", "linear_sgd", "linear model trained by SGD")])
def test_accessory_shows_r_of_its_model(figure: str, model: str, title: str) -> None:
    fits = fits_of(table_of("scaling", "study"), model)
    accessory = drawn(f"accessory_{figure}", "study")
    assert_points(accessory, fits, fits["n_qtl"], fits["pearson_r"])
    assert accessory.get_suptitle() == f"Accuracy of the {title}"


@pytest.mark.parametrize("name", TABLES)
def test_s1_shows_both_linear_models_by_trait_where_both_exist(name: str) -> None:
    ridge, linear = fits_of(table_of("scaling", name), "ridge"), fits_of(table_of("scaling", name), "linear_sgd")
    linear = linear.loc[ridge.index]
    figure = drawn("s1", name)
    (axes,) = figure.axes
    shares = ridge.groupby("trait")["v_a_over_v_g"].mean().sort_values(ascending=False)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*(f"{share:.2f}" for share in shares), "1:1"]
    for (trait, share), (label, shown) in zip(shares.items(), reversed(points(axes).items()), strict=True):
        assert label == f"{share:.2f}"
        pairs = zip(ridge.xs(trait, level="trait")["pearson_r"], linear.xs(trait, level="trait")["pearson_r"], strict=True)
        np.testing.assert_allclose(shown, np.array(sorted(pairs)))
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "Pearson r on the test set, ridge regression",
        "Pearson r on the test set, linear model trained by SGD",
    )


def test_the_dashed_lines_lie_at_no_gain_one_pair_and_equal_r() -> None:
    for axes in drawn("1a", "imported").axes:
        x, y = path(axes, "no gain")
        assert set(y) == {0.0}
        assert (x[0], x[-1]) == axes.get_xlim()
        assert line(axes, "no gain").is_dashed()
    for axes in drawn("1b", "imported").axes:
        x, _ = path(axes, "one QTL pair per individual")
        assert list(x) == [1, 1]
        assert line(axes, "one QTL pair per individual").is_dashed()
    diagonal = line(drawn("s1", "imported").axes[0], "1:1")
    assert isinstance(diagonal, AxLine)
    assert diagonal.is_dashed()
    assert (diagonal.get_xy1(), diagonal.get_slope()) == ((0, 0), 1)


CEILINGS = [
    ("1a", "ceiling: perfect model", lambda rows: np.asarray(rows["v_a_over_v_g"] ** -0.5 - 1)),
    ("1b", "ceiling: linear model", lambda rows: np.asarray((rows["v_a_over_v_g"] * rows["h2"]) ** 0.5)),
    ("1b", "ceiling: any model", lambda rows: np.asarray(rows["h2"] ** 0.5)),
    ("accessory_mlp", "ceiling: linear model", lambda rows: np.asarray((rows["v_a_over_v_g"] * rows["h2"]) ** 0.5)),
    ("accessory_linear", "ceiling: linear model", lambda rows: np.asarray((rows["v_a_over_v_g"] * rows["h2"]) ** 0.5)),
    ("accessory_linear", "ceiling: any model", lambda rows: np.asarray(rows["h2"] ** 0.5)),
]


@pytest.mark.parametrize(("figure", "label", "ceiling"), CEILINGS)
def test_a_ceiling_passes_through_that_of_each_population(figure: str, label: str, ceiling: Callable[[pd.DataFrame], FloatArray]) -> None:
    rows = table_of("scaling", "one replicate").query("model == 'mlp'").sort_values("n_qtl")
    for trait, axes in enumerate(drawn(figure, "one replicate").axes, 1):
        ours = rows[rows["trait"] == trait]
        x, y = path(axes, label)
        n_qtl = ours["n_qtl"].to_numpy(float)
        at = n_qtl * (n_qtl - 1) / 2000 if figure == "1b" else n_qtl
        np.testing.assert_allclose(np.interp(at, x, y), ceiling(ours), atol=0.01)
        assert (x[0], x[-1]) == axes.get_xlim()


@cache
def level(figure: str) -> Figure:
    """Drawn of populations that differ in V_A/V_G by trait alone."""
    table = table_of("scaling", "imported").query("trait <= 3")
    return draw(figure, table.assign(v_a_over_v_g=1 / table["trait"], h2=0.5))


@pytest.mark.parametrize(("figure", "label", "ceiling"), CEILINGS)
def test_a_ceiling_is_level_where_all_populations_have_the_same(
    figure: str, label: str, ceiling: Callable[[pd.DataFrame], FloatArray]
) -> None:
    for trait, axes in enumerate(level(figure).axes, 1):
        expected = ceiling(pd.DataFrame({"v_a_over_v_g": [1 / trait], "h2": [0.5]}))[0]
        np.testing.assert_allclose(path(axes, label)[1], float(expected), atol=1e-12)


@pytest.mark.parametrize(("figure", "label", "ceiling"), CEILINGS)
def test_a_ceiling_of_imported_populations_is_that_of_the_best_linear_fit(
    figure: str, label: str, ceiling: Callable[[pd.DataFrame], FloatArray]
) -> None:
    table = table_of("scaling", "imported").assign(v_a_over_v_g=0.2, linear_r_squared=0.9, h2=0.5)
    expected = ceiling(pd.DataFrame({"v_a_over_v_g": [0.9], "h2": [0.5]}))[0]
    for axes in draw(figure, table).axes:
        np.testing.assert_allclose(path(axes, label)[1], float(expected), atol=1e-12)
        assert axes.get_title("left") == "$V_A/V_G$ = 0.20"


@pytest.mark.parametrize("figure", SCALING)
def test_levels_differ_in_marker_and_get_darker(figure: str) -> None:
    marks = [mark for mark in drawn(figure, "study").legends[0].get_lines() if mark.get_marker() != "None"]
    lightness = [float(np.dot(to_rgb(mark.get_color()), (0.21, 0.72, 0.07))) for mark in marks]
    steps = np.diff(lightness) * (1 if figure == "s1" else -1)
    assert len({mark.get_marker() for mark in marks}) == len(marks) == (5 if figure == "s1" else 3)
    assert (steps > 0.08).all()


def test_gains_that_cannot_be_shown_are_counted() -> None:
    table = table_of("scaling", "one replicate").copy()
    linear = table.index[table["model"] == "linear_sgd"]
    table.loc[linear[0], "pearson_r"] = -0.1
    table.loc[linear[1], "pearson_r"] = 0.01
    figure = draw("1a", table)
    assert figure.texts[-1].get_text().endswith("1 of 15 points undefined · 1 of 15 points beyond the axis")
    assert figure.axes[0].get_ylim()[1] < 10
    assert sum(len(xy) for axes in figure.axes for xy in points(axes).values()) == 14
