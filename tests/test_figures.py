"""gpatlas.figures: what is drawn is what the table says, and nothing covers it."""

import io
import itertools
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_tables import POPULATION, TABLES, FloatArray, Saved, drawn, experiment_of, line, path, points, table_of, with_further
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import AxLine
from PIL import Image

from gpatlas import stages
from gpatlas.figures import FIGURES, draw, run
from gpatlas.figures_scaling import smooth
from gpatlas.progress import Progress
from gpatlas.settings import FigureSettings

SCALING = [name for name in FIGURES if experiment_of(name) == "scaling"]
PANELLED = [name for name in SCALING if name != "s1"]


def test_every_figure_that_a_config_may_name_can_be_drawn() -> None:
    assert set(FIGURES) == set(stages.FIGURES)


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


FURTHER = {"pairwise": "Pairwise screening", "egblup": "EG-BLUP"}


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


@pytest.mark.parametrize("figure", ["1a", "1b", "2", "3"])
def test_nothing_overlaps_beside_further_models(figure: str) -> None:
    for name in ("one replicate", "imported"):
        saved = Saved(draw(figure, with_further(table_of(experiment_of(figure), name)), tuple(FURTHER)))
        assert len(saved.axes) == n_panels(figure, name) * (1 if figure == "2" else 3)
        for one, other in itertools.combinations([saved.legend, saved.footer, saved.title, *saved.axes], 2):
            assert not one.overlaps(other)
        assert saved.columns == saved.labelled_columns


def test_further_models_are_checked() -> None:
    with pytest.raises(ValueError, match=r"^figure 's1' draws no further models; those that do: '1a', '1b', '2', '3'$"):
        draw("s1", table_of("scaling", "one replicate"), ("egblup",))
    with pytest.raises(ValueError, match=r"^no row of model 'egblup' in experiment 'dilution'; it has 'ridge', "):
        draw("2", table_of("dilution", "one replicate"), ("egblup",))


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


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("figure", PANELLED)
def test_a_curve_per_size_stays_among_its_points(figure: str, name: str) -> None:
    for axes in drawn(figure, name).axes:
        for label, xy in points(axes).items():
            x, y = path(axes, f"{label} mean")
            np.testing.assert_allclose([np.min(x), np.max(x)], [xy[:, 0].min(), xy[:, 0].max()])
            assert xy[:, 1].min() - 1e-9 <= np.min(y)
            assert np.max(y) <= xy[:, 1].max() + 1e-9


def test_smooth_meets_lone_means_and_ignores_missing_values() -> None:
    x, y = smooth(pd.Series([10.0, 10, 100, 1000]), pd.Series([1.0, 3, 8, np.nan]), 0.1)
    np.testing.assert_allclose((x[0], x[-1], y[0], y[-1]), (10, 100, 2, 8))
    assert (np.diff(y) > 0).all()
    assert [list(axis) for axis in smooth(pd.Series([100]), pd.Series([0.5]), 0.1)] == [[100], [0.5]]


def n_panels(figure: str, name: str) -> int:
    table = table_of(experiment_of(figure), name)
    if experiment_of(figure) == "limits":
        shown = table if figure == "4" else table[table["pair_recall"].notna()]
        return 2 * table["n_individuals"].nunique() * shown["trait"].nunique()
    column = {"scaling": "trait", "dilution": "n_loci", "pleiotropy": "n_traits"}[experiment_of(figure)]
    return 1 if figure == "s1" else table[column].nunique()


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("figure", FIGURES)
def test_nothing_overlaps_in_the_saved_figure(figure: str, name: str) -> None:
    saved = Saved(drawn(figure, name))
    assert saved.legend.width > 20
    assert len(saved.axes) == n_panels(figure, name)
    picks = 2 * table_of("limits", name)["n_individuals"].nunique()
    assert len(saved.labels) == (2 if figure in PANELLED else picks if figure == "4" else 0)
    for one, other in itertools.combinations([saved.legend, saved.footer, saved.title, *saved.axes], 2):
        assert not one.overlaps(other)
    for one, other in itertools.combinations(saved.labels, 2):
        assert not one.overlaps(other)
    assert saved.columns == saved.labelled_columns
    for one, other in itertools.combinations(saved.ticks, 2):
        assert not one.padded(1).overlaps(other.padded(1))


@pytest.mark.parametrize(
    ("figure", "name", "labels"),
    [
        ("1a", "one replicate", ["16", "46", "202"]),
        ("accessory_linear", "one population", ["46"]),
        ("accessory_mlp", "study", ["30", "100", "300", "1000", "3000"]),
        ("1b", "one replicate", ["0.1", "0.3", "1", "3", "10", "30"]),
    ],
)
def test_x_ticks_are_plain_numbers(figure: str, name: str, labels: list[str]) -> None:
    assert [label.get_text() for label in drawn(figure, name).axes[0].get_xticklabels()] == labels


@pytest.mark.parametrize("figure", SCALING)
def test_levels_differ_in_marker_and_get_darker(figure: str) -> None:
    marks = [mark for mark in drawn(figure, "study").legends[0].get_lines() if mark.get_marker() != "None"]
    lightness = [float(np.dot(to_rgb(mark.get_color()), (0.21, 0.72, 0.07))) for mark in marks]
    steps = np.diff(lightness) * (1 if figure == "s1" else -1)
    assert len({mark.get_marker() for mark in marks}) == len(marks) == (5 if figure == "s1" else 3)
    assert (steps > 0.08).all()


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("one replicate", "protocol: paper · simulator: native · 1 replicate · "),
        ("imported", "protocol: paper · simulator: alphasimr · 1 to 3 replicates · "),
        ("study", "protocol: paper · simulator: native · {study} replicates · "),
    ],
)
@pytest.mark.parametrize("figure", FIGURES)
def test_the_footer_says_where_the_data_come_from(figure: str, name: str, start: str) -> None:
    text = drawn(figure, name).texts[-1].get_text().replace("\n", " ")
    assert text.startswith(start.format(study=10 if figure in SCALING else 5))


def test_gains_that_cannot_be_shown_are_counted() -> None:
    table = table_of("scaling", "one replicate").copy()
    linear = table.index[table["model"] == "linear_sgd"]
    table.loc[linear[0], "pearson_r"] = -0.1
    table.loc[linear[1], "pearson_r"] = 0.01
    figure = draw("1a", table)
    assert figure.texts[-1].get_text().endswith("1 of 15 points undefined · 1 of 15 points beyond the axis")
    assert figure.axes[0].get_ylim()[1] < 10
    assert sum(len(xy) for axes in figure.axes for xy in points(axes).values()) == 14


@pytest.mark.parametrize("figure", FIGURES)
def test_other_experiments_change_nothing(figure: str) -> None:
    table = table_of(experiment_of(figure), "one population")
    both = pd.concat([table.assign(experiment="other", pearson_r=0.1), table])
    for alone, beside in zip(drawn(figure, "one population").axes, draw(figure, both).axes, strict=True):
        assert {label: xy.tolist() for label, xy in points(alone).items()} == {label: xy.tolist() for label, xy in points(beside).items()}


@pytest.mark.parametrize("figure", FIGURES)
def test_run_writes_a_png_of_the_asked_resolution(figure: str, tmp_path: Path) -> None:
    table_of(experiment_of(figure), "one population").to_csv(tmp_path / "results.csv", index=False)
    stream = io.StringIO()
    run(FigureSettings(figure=figure), tmp_path / "results.csv", tmp_path / "aside.tmp", Progress("figure", stream))
    size = drawn(figure, "one population").get_size_inches()
    with Image.open(tmp_path / "aside.tmp") as image:
        assert image.format == "PNG"
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert image.size == pytest.approx(tuple(200 * size), rel=0.15)
    assert '"done": 1, "total": 1' in stream.getvalue()


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_of_many_panels_is_wide(figure: str) -> None:
    width, height = drawn(figure, "study").get_size_inches()
    assert width > (5.5 if figure == "s1" else 12.5)
    assert height > 4.3


def test_an_unknown_figure_is_an_error_with_a_hint(tmp_path: Path) -> None:
    allowed = "1a, 1b, 2, 3, 4, 5, accessory_linear, accessory_mlp, s1"
    message = f"figure 'accessory_mpl' is not in FIGURES, did you mean 'accessory_mlp'? (allowed: {allowed})"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        run(FigureSettings(figure="accessory_mpl"), tmp_path / "absent.csv", tmp_path / "out.png", Progress("figure"))


MODELS = {
    "1a": ["mlp", "linear_sgd"],
    "1b": ["mlp"],
    "2": ["ridge", "mlp", "pruned_linear", "pruned_mlp"],
    "3": ["ridge", "mlp"],
    "4": ["ridge", "egblup", "pairwise", "mlp"],
    "5": ["pairwise"],
    "accessory_mlp": ["mlp"],
    "accessory_linear": ["linear_sgd"],
    "s1": ["linear_sgd", "ridge"],
}


def broken(table: pd.DataFrame, how: str) -> pd.DataFrame:
    match how:
        case "empty":
            return table.head(0)
        case "other experiment":
            return table.assign(experiment="other")
        case "no model":
            return table.assign(model="lasso")
        case "no column":
            return table.drop(columns=["h2", "v_a_over_v_g"])
        case "no r":
            return table.assign(pearson_r=np.nan)
        case "no share":
            return table.assign(v_a_over_v_g=np.nan)
    return pd.concat([table, table])


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("empty", "no row of experiment '{experiment}'; the table has nothing"),
        ("other experiment", "no row of experiment '{experiment}'; the table has 'other'"),
        ("no model", r"no row of model '.*' in experiment '{experiment}'; it has 'lasso'"),
        ("no column", r"no column 'h2', 'v_a_over_v_g'; the table has '.*', 'pearson_r'"),
        ("no r", r"every pearson_r is empty of model '\w+' in experiment '{experiment}'"),
        ("no share", "a value that is not a positive number in column 'v_a_over_v_g' of experiment '{experiment}'"),
        ("repeated", "{rows} rows of experiment '{experiment}' repeat another one, the first is scenario {first}, replicate 1"),
    ],
)
def test_a_table_that_lacks_something_is_an_error_that_says_what(figure: str, how: str, message: str, tmp_path: Path) -> None:
    source, experiment = tmp_path / "results.csv", experiment_of(figure)
    table = table_of(experiment, "one replicate")
    broken(table, how).to_csv(source, index=False)
    rows = table[table["model"].isin(MODELS[figure])]
    message = message.format(experiment=experiment, rows=len(rows), first=rows["scenario"].iloc[0])
    with pytest.raises(ValueError, match=f"^{re.escape(str(source))}: {message}"):
        run(FigureSettings(figure=figure), source, tmp_path / "out.png", Progress("figure"))
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("figure", "missing", "left"),
    [
        ("1a", "linear_sgd", "'mlp', 'ridge'"),
        ("s1", "ridge", "'mlp', 'linear_sgd'"),
        ("2", "pruned_mlp", "'ridge', 'mlp', 'lasso', 'pruned_linear'"),
        ("3", "ridge", "'mlp'"),
        ("4", "egblup", "'ridge', 'pairwise', 'mlp'"),
        ("5", "pairwise", "'ridge', 'egblup', 'mlp'"),
    ],
)
def test_one_missing_model_is_named(figure: str, missing: str, left: str) -> None:
    table = table_of(experiment_of(figure), "one replicate")
    with pytest.raises(ValueError, match=f"^no row of model '{missing}' in experiment '{experiment_of(figure)}'; it has {left}$"):
        draw(figure, table[table["model"] != missing])


@pytest.mark.parametrize(("figure", "other"), [("1a", "linear_sgd"), ("2", "ridge"), ("3", "ridge")])
def test_models_that_share_no_population_are_an_error(figure: str, other: str) -> None:
    table = table_of(experiment_of(figure), "one replicate")
    apart = table[(table["model"] == "mlp") == (table["scenario"] == table["scenario"].iloc[0])]
    with pytest.raises(ValueError, match=rf"^no scenario, replicate and trait has an r of both 'mlp' and '{other}'$"):
        draw(figure, apart)
