"""gpatlas.figures: what is drawn is what the table says, and nothing covers it."""

import io
import itertools
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import AxLine, Line2D
from matplotlib.transforms import Bbox
from PIL import Image

from gpatlas.figures import FIGURES, draw, run, smooth
from gpatlas.progress import Progress
from gpatlas.settings import FigureSettings, n_qtl_for

FloatArray = npt.NDArray[np.float64]
REL_AA = (0.0, 0.1, 0.5, 1.0, 3.0)
SCALING = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 4.0, 7.0, 12.0, 20.0)
POPULATION = ["scenario", "replicate", "trait"]
PANELLED = [name for name in FIGURES if name != "s1"]


def make_table(replicates: int, counts: dict[int, list[int]], imported: bool = False) -> pd.DataFrame:
    """The collected table of a scaling experiment, with likely r; `counts`: n_individuals to its QTL counts."""
    random = np.random.default_rng(1)
    sizes = [(n, n_qtl) for n, of_size in counts.items() for n_qtl in of_size]
    grid = itertools.product(sizes, range(1, replicates + 1), enumerate(REL_AA, 1))
    rows = pd.DataFrame(
        [(n, n_qtl, replicate, trait, rel_aa) for (n, n_qtl), replicate, (trait, rel_aa) in grid],
        columns=["n_individuals", "n_qtl", "replicate", "trait", "rel_aa"],
    )
    n, n_qtl = rows["n_individuals"], rows["n_qtl"]
    additive, epistatic = random.chisquare(n_qtl), 4 * rows["rel_aa"] * random.chisquare(n_qtl // 2)
    share = additive / (additive + epistatic)
    learned = 1 / (1 + (n_qtl * (n_qtl - 1) / 5 / n) ** 2)
    linear = (share * 0.999 / (1 + 0.2 * n_qtl / n / share)) ** 0.5
    mlp = ((share + (1 - share) * learned) * 0.999) ** 0.5 * (0.95 + 0.05 * learned)
    rows = rows.assign(
        experiment="scaling", n_loci=n_qtl, n_traits=5, n_trait_groups=5, h2=0.999, genetic_correlation=0.0, protocol="paper"
    )
    rows = rows.assign(simulator="native", v_a=share, v_aa=1 - share, v_a_over_v_g=share)
    rows["scenario"] = [f"qhaplo_{q}qtl_{i}n_rep{r}" for q, i, r in zip(n_qtl, n, rows["replicate"], strict=True)]
    if imported:
        rows = rows.assign(simulator="alphasimr", rel_aa=np.nan)
    fits = [
        (model, r + random.normal(size=len(rows)) * (1 - r**2) / (0.15 * n) ** 0.5) for model, r in (("mlp", mlp), ("linear_sgd", linear))
    ]
    fits.append(("ridge", fits[1][1].where(n <= 10_000) * 0.99 + 0.005))
    table = pd.concat([rows.assign(model=model, pearson_r=r.clip(upper=0.9999)) for model, r in fits], ignore_index=True)
    return table[(table["model"] != "ridge") | table["pearson_r"].notna()]


@cache
def drawn(figure: str, name: str) -> Figure:
    """A figure of one of TABLES, drawn once for all tests that only look at it."""
    return draw(figure, table_of(name))


@cache
def table_of(name: str) -> pd.DataFrame:
    match name:
        case "one replicate":
            return make_table(1, {1000: [16, 46, 202]})
        case "one population":
            return make_table(1, {1000: [46]})
        case "imported":
            return make_table(3, {1000: [16, 46, 202], 10_000: [46, 142]}, imported=True)
    return make_table(10, {n: [n_qtl_for(n, s) for s in SCALING] for n in (1000, 10_000, 100_000)})


TABLES = ["one replicate", "one population", "imported", "ten replicates"]


def points(axes: Axes) -> dict[str, FloatArray]:
    """Label of each set of points to its visible (x, y), sorted."""
    offsets = {str(marks.get_label()): np.ma.filled(marks.get_offsets(), np.nan) for marks in axes.collections}
    return {label: np.array(sorted(map(tuple, xy[np.isfinite(xy).all(axis=1)]))) for label, xy in offsets.items()}


def line(axes: Axes, label: str) -> Line2D:
    (found,) = (curve for curve in axes.lines if curve.get_label() == label)
    return found


def path(axes: Axes, label: str) -> tuple[FloatArray, FloatArray]:
    """x and y of the line with this label."""
    found = line(axes, label)
    return np.asarray(found.get_xdata(), dtype=float), np.asarray(found.get_ydata(), dtype=float)


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
    table = table_of(name)
    means = [table.loc[(table["trait"] == trait) & (table["model"] == "mlp"), "v_a_over_v_g"].mean() for trait in range(1, 6)]
    assert [axes.get_title("left") for axes in drawn(figure, name).axes] == [f"$V_A/V_G$ = {mean:.2f}" for mean in means]


@pytest.mark.parametrize("name", TABLES)
def test_1a_shows_the_relative_gain_of_every_pair(name: str) -> None:
    mlp, linear = fits_of(table_of(name), "mlp"), fits_of(table_of(name), "linear_sgd")
    assert_points(drawn("1a", name), mlp, mlp["n_qtl"], mlp["pearson_r"] / linear["pearson_r"] - 1)


@pytest.mark.parametrize("name", TABLES)
def test_1b_shows_r_against_pairs_per_individual(name: str) -> None:
    mlp = fits_of(table_of(name), "mlp")
    assert_points(drawn("1b", name), mlp, mlp["n_qtl"] * (mlp["n_qtl"] - 1) / (2 * mlp["n_individuals"]), mlp["pearson_r"])


@pytest.mark.parametrize(("figure", "model", "title"), [("mlp", "mlp", "MLP"), ("linear", "linear_sgd", "linear model trained by SGD")])
def test_accessory_shows_r_of_its_model(figure: str, model: str, title: str) -> None:
    fits = fits_of(table_of("ten replicates"), model)
    accessory = drawn(f"accessory_{figure}", "ten replicates")
    assert_points(accessory, fits, fits["n_qtl"], fits["pearson_r"])
    assert accessory.get_suptitle() == f"Accuracy of the {title}"


@pytest.mark.parametrize("name", TABLES)
def test_s1_shows_both_linear_models_by_trait_where_both_exist(name: str) -> None:
    ridge, linear = fits_of(table_of(name), "ridge"), fits_of(table_of(name), "linear_sgd")
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
    rows = table_of("one replicate").query("model == 'mlp'").sort_values("n_qtl")
    for trait, axes in enumerate(drawn(figure, "one replicate").axes, 1):
        ours = rows[rows["trait"] == trait]
        x, y = path(axes, label)
        n_qtl = ours["n_qtl"].to_numpy(float)
        at = n_qtl * (n_qtl - 1) / 2000 if figure == "1b" else n_qtl
        np.testing.assert_allclose(np.interp(at, x, y), ceiling(ours), atol=0.01)
        assert (x[0], x[-1]) == axes.get_xlim()


@pytest.mark.parametrize(("figure", "label", "ceiling"), CEILINGS)
def test_a_ceiling_is_level_where_all_populations_have_the_same(
    figure: str, label: str, ceiling: Callable[[pd.DataFrame], FloatArray]
) -> None:
    table = table_of("imported").assign(v_a_over_v_g=lambda rows: 1 / rows["trait"], h2=0.5)
    for trait, axes in enumerate(draw(figure, table).axes, 1):
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


class Saved:
    """Window extents at the moment a figure is drawn into its file, where a tight box moves things."""

    def __init__(self, figure: Figure) -> None:
        self.legend, self.footer, self.axes, self.ticks = Bbox.null(), Bbox.null(), [Bbox.null()], [[Bbox.null()]]
        legend, paint = figure.legends[0], figure.legends[0].draw

        def note(renderer: Any) -> None:
            self.legend, self.footer = legend.get_window_extent(renderer), figure.texts[-1].get_window_extent(renderer)
            self.axes = [axes.get_tightbbox(renderer) or Bbox.null() for axes in figure.axes]
            labels = [[label for label in axes.get_xticklabels() if label.get_text()] for axes in figure.axes]
            self.ticks = [[label.get_window_extent(renderer) for label in of_axes] for of_axes in labels]
            paint(renderer)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(legend, "draw", note)
            figure.savefig(io.BytesIO(), format="png", dpi=100, bbox_inches="tight")


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("figure", FIGURES)
def test_nothing_overlaps_in_the_saved_figure(figure: str, name: str) -> None:
    saved = Saved(drawn(figure, name))
    assert saved.legend.width > 20
    assert len(saved.axes) == (1 if figure == "s1" else 5)
    for one, other in itertools.combinations([saved.legend, saved.footer, *saved.axes], 2):
        assert not one.overlaps(other)
    assert all(len(labels) >= 1 for labels in saved.ticks)
    for left, right in itertools.pairwise(itertools.chain.from_iterable(saved.ticks)):
        assert right.x0 - left.x1 > 2


@pytest.mark.parametrize("traits", [[1], [1, 2, 3, 4, 5, 6, 7]])
@pytest.mark.parametrize("figure", PANELLED)
def test_any_number_of_traits_fits(figure: str, traits: list[int]) -> None:
    table = table_of("one replicate")
    more = pd.concat([table, table[table["trait"] <= 2].assign(trait=table["trait"] + 5)])
    picture = draw(figure, more[more["trait"].isin(traits)])
    saved = Saved(picture)
    heights = [label.get_window_extent() for axes in picture.axes for label in axes.texts]
    assert len(saved.axes) == len(traits)
    assert len(heights) == 2
    assert not heights[0].overlaps(heights[1])
    for one, other in itertools.combinations([saved.legend, saved.footer, *saved.axes], 2):
        assert not one.overlaps(other)


@pytest.mark.parametrize(
    ("figure", "name", "labels"),
    [
        ("1a", "one replicate", ["16", "46", "202"]),
        ("accessory_linear", "one population", ["46"]),
        ("accessory_mlp", "ten replicates", ["30", "100", "300", "1000", "3000"]),
        ("1b", "one replicate", ["0.1", "0.3", "1", "3", "10", "30"]),
    ],
)
def test_x_ticks_are_plain_numbers(figure: str, name: str, labels: list[str]) -> None:
    assert [label.get_text() for label in drawn(figure, name).axes[0].get_xticklabels()] == labels


@pytest.mark.parametrize("figure", FIGURES)
def test_levels_differ_in_marker_and_get_darker(figure: str) -> None:
    marks = [mark for mark in drawn(figure, "ten replicates").legends[0].get_lines() if mark.get_marker() != "None"]
    lightness = [float(np.dot(to_rgb(mark.get_color()), (0.21, 0.72, 0.07))) for mark in marks]
    steps = np.diff(lightness) * (1 if figure == "s1" else -1)
    assert len({mark.get_marker() for mark in marks}) == len(marks) == (5 if figure == "s1" else 3)
    assert (steps > 0.08).all()


@pytest.mark.parametrize("figure", FIGURES)
def test_the_footer_says_where_the_data_come_from(figure: str) -> None:
    table = table_of("imported")
    assert drawn(figure, "imported").texts[-1].get_text().startswith("protocol: paper · simulator: alphasimr · 3 replicates")
    fewer = table[(table["n_individuals"] == 1000) | (table["replicate"] == 1)]
    assert "· 1 to 3 replicates ·" in draw(figure, fewer).texts[-1].get_text()


def test_gains_that_cannot_be_shown_are_counted() -> None:
    table = table_of("one replicate").copy()
    linear = table.index[table["model"] == "linear_sgd"]
    table.loc[linear[0], "pearson_r"] = -0.1
    table.loc[linear[1], "pearson_r"] = 0.01
    figure = draw("1a", table)
    assert figure.texts[-1].get_text().endswith("1 of 15 points undefined · 1 of 15 points beyond the axis")
    assert figure.axes[0].get_ylim()[1] < 10
    assert sum(len(xy) for axes in figure.axes for xy in points(axes).values()) == 14


@pytest.mark.parametrize("figure", FIGURES)
def test_other_experiments_change_nothing(figure: str) -> None:
    table = table_of("imported")
    both = pd.concat([table.assign(experiment="dilution", pearson_r=0.1), table])
    for alone, beside in zip(drawn(figure, "imported").axes, draw(figure, both).axes, strict=True):
        assert {label: xy.tolist() for label, xy in points(alone).items()} == {label: xy.tolist() for label, xy in points(beside).items()}


@pytest.mark.parametrize("figure", FIGURES)
def test_run_writes_a_png_of_the_asked_resolution(figure: str, tmp_path: Path) -> None:
    table_of("one replicate").to_csv(tmp_path / "results.csv", index=False)
    stream = io.StringIO()
    run(FigureSettings(figure=figure), tmp_path / "results.csv", tmp_path / "aside.tmp", Progress("figure", stream))
    with Image.open(tmp_path / "aside.tmp") as image:
        assert image.format == "PNG"
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert image.width > 200 * (5.5 if figure == "s1" else 13)
        assert image.height > 200 * 4.4
    assert '"done": 1, "total": 1' in stream.getvalue()


def test_an_unknown_figure_is_an_error_with_a_hint(tmp_path: Path) -> None:
    allowed = "1a, 1b, accessory_linear, accessory_mlp, s1"
    message = f"figure 'accessory_mpl' is not in FIGURES, did you mean 'accessory_mlp'? (allowed: {allowed})"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        run(FigureSettings(figure="accessory_mpl"), tmp_path / "absent.csv", tmp_path / "out.png", Progress("figure"))


def broken(table: pd.DataFrame, how: str) -> pd.DataFrame:
    match how:
        case "empty":
            return table.head(0)
        case "other experiment":
            return table.assign(experiment="dilution")
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
        ("empty", "no row of experiment 'scaling'; the table has nothing"),
        ("other experiment", "no row of experiment 'scaling'; the table has 'dilution'"),
        ("no model", r"no row of model '.*' in experiment 'scaling'; it has 'lasso'"),
        ("no column", r"no column 'h2', 'v_a_over_v_g'; the table has '.*', 'pearson_r'"),
        ("no r", r"every pearson_r is empty of model '\w+' in experiment 'scaling'"),
        ("no share", "a value that is not a positive number in column 'v_a_over_v_g' of experiment 'scaling'"),
        (
            "repeated",
            r"(15|30) rows of experiment 'scaling' repeat another one, the first is scenario qhaplo_16qtl_1000n_rep1, replicate 1",
        ),
    ],
)
def test_a_table_that_lacks_something_is_an_error_that_says_what(figure: str, how: str, message: str, tmp_path: Path) -> None:
    source = tmp_path / "results.csv"
    broken(table_of("one replicate"), how).to_csv(source, index=False)
    with pytest.raises(ValueError, match=f"^{re.escape(str(source))}: {message}"):
        run(FigureSettings(figure=figure), source, tmp_path / "out.png", Progress("figure"))
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(("figure", "missing", "left"), [("1a", "linear_sgd", "'mlp', 'ridge'"), ("s1", "ridge", "'mlp', 'linear_sgd'")])
def test_one_missing_model_is_named(figure: str, missing: str, left: str) -> None:
    table = table_of("one replicate")
    with pytest.raises(ValueError, match=f"^no row of model '{missing}' in experiment 'scaling'; it has {left}$"):
        draw(figure, table[table["model"] != missing])


def test_models_that_share_no_population_are_an_error() -> None:
    table = table_of("one replicate")
    apart = table[(table["model"] == "mlp") == (table["n_qtl"] == 16)]
    with pytest.raises(ValueError, match=r"^no scenario, replicate and trait has an r of both 'mlp' and 'linear_sgd'$"):
        draw("1a", apart)
