"""gpatlas.figures_boxes: every gain over ridge regression is where its panel, group and level say, and the arms are told apart."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from figure_tables import (
    ARMS,
    LOCI,
    OWN,
    SHARED,
    FloatArray,
    dilution_table,
    drawn,
    line,
    path,
    pleiotropy_table,
    points,
    table_of,
    with_further,
)
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gpatlas.figures import draw

MODELS = {"mlp": "MLP", "pruned_linear": "pruned linear model", "pruned_mlp": "pruned MLP"}
LINES = ["no gain", "ceiling: perfect model"]
BOXES = "boxes: quartiles and median, whiskers within 1.5 interquartile ranges"


def titles(figure: Figure) -> list[str]:
    return [axes.get_title("left") for axes in figure.axes]


def footer(figure: Figure) -> str:
    return figure.texts[-1].get_text().replace("\n", " ")


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def groups(axes: Axes) -> list[str]:
    return [tick.get_text() for tick in axes.get_xticklabels()]


def boxes(axes: Axes, label: str) -> FloatArray:
    """Left, lower quartile, right and upper quartile of the boxes with this label, from left to right."""
    extents = [box.get_path().get_extents().extents for box in axes.patches if box.get_label() == label]
    return np.array(sorted(map(tuple, extents))).reshape(-1, 4)


def medians(axes: Axes, label: str) -> FloatArray:
    """Left, right and height of the medians of this level, from left to right."""
    lines = [np.asarray(found.get_xydata()) for found in axes.lines if found.get_label() == f"{label} median"]
    ends = np.concatenate([xy[np.isfinite(xy).all(axis=1)] for xy in lines]).reshape(-1, 2, 2)
    np.testing.assert_array_equal(ends[:, 0, 1], ends[:, 1, 1])
    return np.array(sorted((left, right, height) for (left, height), (right, _) in ends.tolist()))


def ceilings(axes: Axes) -> dict[int, float]:
    """Place of the group to the height of its ceiling, after checking that the line spans the group."""
    x, y = (values.reshape(-1, 3) for values in path(axes, "ceiling: perfect model"))
    np.testing.assert_allclose(x[:, :2] - np.round(x[:, :1] + 0.1), np.tile([-0.46, 0.46], (len(x), 1)))
    return {round(left + 0.1): height for left, height in zip(x[:, 0].tolist(), y[:, 0].tolist(), strict=True)}


def split(xy: FloatArray) -> dict[int, list[float]]:
    """Place of the group to the sorted heights of its points."""
    places = [round(x) for x in xy[:, 0].tolist()]
    return {place: sorted(y for at, y in zip(places, xy[:, 1].tolist(), strict=True) if at == place) for place in sorted(set(places))}


def values(table: pd.DataFrame, model: str, **where: Any) -> pd.Series:
    """The r of a model where the columns have these values, by scenario, replicate and trait."""
    rows = table[table["model"] == model].set_index(["scenario", "replicate", "trait"], drop=False)
    for name, value in where.items():
        rows = rows[rows[name] == value]
    return rows["pearson_r"]


def increases(table: pd.DataFrame, model: str, **where: Any) -> list[float]:
    return sorted(values(table, model, **where) - values(table, "ridge", **where))


def arm(figure: Figure, label: str, panel: int = 0) -> dict[int, list[float]]:
    return split(points(figure.axes[panel])[label])


@pytest.mark.parametrize("name", ["one replicate", "study"])
def test_2_has_a_panel_per_number_of_loci(name: str) -> None:
    figure = drawn("2", name)
    counts = [f"{count:,} loci" for count in (LOCI if name == "study" else (20, 100, 1000))]
    assert titles(figure) == counts
    assert footer(figure).count("causal") == 1
    assert f" · {100 if name == 'study' else 10} causal loci · 10,000 individuals · " in footer(figure)


def test_2_names_in_the_title_what_varies_beside_the_loci() -> None:
    few, many = dilution_table(1, [100, 20], n_qtl=10), dilution_table(1, [100], n_qtl=40)
    figure = draw("2", pd.concat([many, few]))
    assert titles(figure) == ["20 loci, 10 causal loci", "100 loci, 10 causal loci", "100 loci, 40 causal loci"]
    assert "causal" not in footer(figure)


@pytest.mark.parametrize("name", ["one replicate", "study"])
def test_2_shows_every_gain_in_r(name: str) -> None:
    table = table_of("dilution", name)
    for n_loci, axes in zip(sorted(table["n_loci"].unique()), drawn("2", name).axes, strict=True):
        assert list(points(axes)) == list(MODELS.values())
        for model, label in MODELS.items():
            for trait, shown in enumerate(split(points(axes)[label]).values(), 1):
                np.testing.assert_allclose(shown, increases(table, model, n_loci=n_loci, trait=trait))


def test_2_puts_the_models_side_by_side_within_each_trait() -> None:
    for axes in drawn("2", "study").axes:
        shown = [points(axes)[label][:, 0].reshape(2, 5) for label in MODELS.values()]
        for trait in (0, 1):
            left_to_right = np.concatenate([x[trait] for x in shown])
            assert (np.diff(left_to_right) > 0).all()
            assert (abs(left_to_right - trait) < 0.45).all()


@pytest.mark.parametrize(("name", "rel_aa"), [("study", [0, 1]), ("imported", [0, 0.1, 0.5, 1, 3])])
def test_2_labels_the_traits_by_their_mean_realised_share(name: str, rel_aa: list[float]) -> None:
    shares = table_of("dilution", name).query("model == 'mlp'").groupby("trait")["v_a_over_v_g"].mean()
    np.testing.assert_allclose(shares, [1 / (1 + 2 * value) for value in rel_aa], rtol=0.05)
    assert groups(drawn("2", name).axes[-1]) == [f"{share:.2f}" for share in shares]
    assert drawn("2", name).axes[-1].get_xlabel() == "$V_A/V_G$ of the trait"


def test_boxes_lie_at_the_quartiles_and_medians_of_their_points() -> None:
    table = table_of("dilution", "study")
    for n_loci, axes in zip(LOCI, drawn("2", "study").axes, strict=True):
        for model, label in MODELS.items():
            gains = [increases(table, model, n_loci=n_loci, trait=trait) for trait in (1, 2)]
            left, low, right, high = boxes(axes, label).T
            np.testing.assert_allclose([low, high], np.percentile(gains, [25, 75], axis=1))
            np.testing.assert_allclose(medians(axes, label), np.column_stack([left, right, np.median(gains, axis=1)]))
            x = points(axes)[label][:, 0].reshape(2, 5)
            assert (left < x.min(axis=1)).all()
            assert (x.max(axis=1) < right).all()
    assert footer(drawn("2", "study")).endswith(f"{BOXES} · points: all gains")


@pytest.mark.parametrize("replicates", [1, 2, 3])
def test_fewer_than_three_values_are_points_and_a_median_without_a_box(replicates: int) -> None:
    table = dilution_table(replicates, [100])
    figure = draw("2", table)
    (axes,) = figure.axes
    for model, label in MODELS.items():
        gains = [increases(table, model, trait=trait) for trait in (1, 2)]
        assert len(boxes(axes, label)) == (2 if replicates == 3 else 0)
        np.testing.assert_allclose(medians(axes, label)[:, 2], np.median(gains, axis=1))
        assert [len(shown) for shown in split(points(axes)[label]).values()] == [replicates] * 2
    assert footer(figure).endswith(f"{BOXES} · points: all gains" if replicates == 3 else "points: all gains · bars: medians")


def test_the_footer_explains_the_bars_beside_boxes() -> None:
    assert footer(drawn("2", "imported")).endswith(f"{BOXES} · points: all gains · bars: medians")


def literal(experiment: str) -> pd.DataFrame:
    """Two replicates of which ridge regression reaches 0.5 and 0.4, and every other model 0.6 and 0.3; h2 is 0.81."""
    table = dilution_table(2, [100], rel_aa=(1.0,)) if experiment == "dilution" else pleiotropy_table(2, [100], [1], [OWN])
    first, ridge = table["replicate"] == 1, table["model"] == "ridge"
    r = np.where(ridge, np.where(first, 0.5, 0.4), np.where(first, 0.6, 0.3))
    return table.assign(pearson_r=r, h2=0.81)


def test_gains_and_ceilings_worked_out_by_hand() -> None:
    (axes,) = draw("2", literal("dilution")).axes
    for label in MODELS.values():
        np.testing.assert_allclose(split(points(axes)[label])[0], [-0.1, 0.1])
    assert ceilings(axes) == pytest.approx({0: 0.9 - 0.45})
    figure = draw("3", literal("pleiotropy"))
    assert titles(figure) == ["1 trait"]
    np.testing.assert_allclose(arm(figure, "0, own pairs")[0], [-0.25, 0.2])
    assert ceilings(figure.axes[0]) == pytest.approx({0: (0.8 + 1.25) / 2})


def test_2_has_the_mean_ceiling_of_each_trait_in_each_panel() -> None:
    table = table_of("dilution", "study")
    for n_loci, axes in zip(LOCI, drawn("2", "study").axes, strict=True):
        expected = {trait - 1: 0.9999**0.5 - values(table, "ridge", n_loci=n_loci, trait=trait).mean() for trait in (1, 2)}
        assert ceilings(axes) == pytest.approx(expected)


def test_3_has_the_mean_ceiling_of_each_number_of_qtl_in_each_panel() -> None:
    table = table_of("pleiotropy", "study")
    for n_traits, axes in zip((10, 100), drawn("3", "study").axes, strict=True):
        counts = enumerate((100, 200, 300, 500, 1000))
        ridge = {place: values(table, "ridge", n_traits=n_traits, n_qtl=n_qtl) for place, n_qtl in counts}
        assert ceilings(axes) == pytest.approx({place: (0.999**0.5 / r - 1).mean() for place, r in ridge.items()})


@pytest.mark.parametrize("figure", ["2", "3"])
def test_the_dashed_line_lies_at_no_gain_and_all_is_within_the_axis(figure: str) -> None:
    for axes in drawn(figure, "study").axes:
        dashed = line(axes, "no gain")
        assert dashed.is_dashed()
        assert list(np.asarray(dashed.get_ydata(), dtype=float)) == [0, 0]
        assert dashed.get_transform() == axes.get_yaxis_transform(which="grid")
        low, high = axes.get_ylim()
        drawn_heights = [*ceilings(axes).values(), *(y for xy in points(axes).values() for y in xy[:, 1]), 0]
        assert low < min(drawn_heights)
        assert max(drawn_heights) < high


def test_a_gain_is_that_of_its_own_scenario_replicate_and_trait() -> None:
    table = table_of("dilution", "one replicate")
    shuffled = draw("2", table.sample(frac=1, random_state=1))
    for axes, other in zip(drawn("2", "one replicate").axes, shuffled.axes, strict=True):
        for label, xy in points(axes).items():
            np.testing.assert_array_equal(points(other)[label], xy)


def test_2_tells_the_models_apart_in_grey_and_says_what_its_lines_mean() -> None:
    figure = drawn("2", "study")
    assert legend(figure) == [*MODELS.values(), *LINES]
    assert figure.legends[0].get_title().get_text() == "Model"
    marks = [mark for mark in figure.legends[0].findobj(Line2D) if mark.get_marker() != "None"]
    lightness = [float(np.dot(to_rgb(mark.get_color()), (0.21, 0.72, 0.07))) for mark in marks]
    assert len({mark.get_marker() for mark in marks}) == 3
    assert (np.diff(lightness) < -0.08).all()


def test_missing_gains_are_counted() -> None:
    table = dilution_table(2, [20, 100]).query("n_loci == 20 or model != 'ridge' or replicate == 1").copy()
    table.loc[table.index[table["model"] == "pruned_mlp"][0], "pearson_r"] = np.nan
    figure = draw("2", table)
    assert footer(figure).endswith("7 of 24 gains undefined")
    assert sum(len(xy) for axes in figure.axes for xy in points(axes).values()) == 17


def test_3_has_a_panel_per_number_of_traits_and_a_group_per_number_of_qtl() -> None:
    figure = drawn("3", "study")
    assert titles(figure) == ["10 traits", "100 traits"]
    assert [groups(axes) for axes in figure.axes] == [["100", "200", "300", "500", "1000"]] * 2
    assert [axes.get_xlabel() for axes in figure.axes] == ["Number of QTL"] * 2
    assert " · 10,000 individuals · pairs of interacting QTL: each trait's own, or shared by all · " in footer(figure)


def test_2_draws_further_models_beside_the_studys() -> None:
    table = with_further(table_of("dilution", "study"))
    figure = draw("2", table, ("pairwise", "egblup"))
    assert legend(figure) == [*MODELS.values(), "pairwise screening", "EG-BLUP", *LINES]
    for n_loci, axes in zip(LOCI, figure.axes, strict=True):
        for model, label in {"egblup": "EG-BLUP", "mlp": "MLP"}.items():
            for trait, shown in enumerate(split(points(axes)[label]).values(), 1):
                np.testing.assert_allclose(shown, increases(table, model, n_loci=n_loci, trait=trait))


def test_3_has_a_further_row_of_panels_per_further_model() -> None:
    table = with_further(pleiotropy_table(1, [100, 200], [4, 8], [(0.5, False)]))
    figure = draw("3", table, ("egblup", "pairwise"))
    assert titles(figure) == ["4 traits", "8 traits"] * 3
    assert [axes.get_ylabel().split("\n")[0] for axes in figure.axes[::2]] == ["MLP", "EG-BLUP", "Pairwise screening"]
    assert figure.get_suptitle() == "Relative gain over ridge regression"
    for model, panels in (("mlp", (0, 1)), ("egblup", (2, 3)), ("pairwise", (4, 5))):
        for n_traits, panel in zip((4, 8), panels, strict=True):
            gains = values(table, model, n_traits=n_traits, n_qtl=100) / values(table, "ridge", n_traits=n_traits, n_qtl=100) - 1
            np.testing.assert_allclose(arm(figure, "0.5", panel)[0], sorted(gains))


def test_3_keeps_population_sizes_apart() -> None:
    tables = [pleiotropy_table(1, [100], [2], [(0.5, False)], n_individuals=n) for n in (10_000, 1000)]
    figure = draw("3", pd.concat(tables))
    assert titles(figure) == ["2 traits, 1,000 individuals", "2 traits, 10,000 individuals"]
    for table, axes in zip(reversed(tables), figure.axes, strict=True):
        np.testing.assert_allclose(split(points(axes)["0.5"])[0], sorted(values(table, "mlp") / values(table, "ridge") - 1))


CORRELATIONS = ["0.25", "0.5", "0.75", "0.95"]
LABELS = {
    (OWN, SHARED, *ARMS[1:]): ["0, own pairs", "0, shared pairs", *CORRELATIONS],
    tuple(ARMS): ["0, own pairs", *CORRELATIONS],
    (SHARED, (0.5, False)): ["0, shared pairs", "0.5"],
    ((0.5, False),): ["0.5"],
    (OWN,): ["0, own pairs"],
    ((-0.1, False), OWN): ["-0.1, shared pairs", "0, own pairs"],
}


@pytest.mark.parametrize("arms", LABELS)
def test_3_labels_every_arm_and_shows_its_own_gains(arms: tuple[tuple[float, bool], ...]) -> None:
    table = pleiotropy_table(1, [100, 200], [4], reversed(arms))
    figure = draw("3", table)
    assert legend(figure) == [*LABELS[arms], *LINES]
    assert list(points(figure.axes[0])) == LABELS[arms]
    for (correlation, own), label in zip(arms, LABELS[arms], strict=True):
        for place, n_qtl in enumerate((100, 200)):
            where = {"n_qtl": n_qtl, "genetic_correlation": correlation, "n_trait_groups": 4 if own else 1}
            gains = sorted(values(table, "mlp", **where) / values(table, "ridge", **where) - 1)
            np.testing.assert_allclose(arm(figure, label)[place], gains)
            np.testing.assert_allclose(medians(figure.axes[0], label)[place, 2], np.median(gains))
    lefts = [boxes(figure.axes[0], label)[:, 0] for label in LABELS[arms]]
    assert all((left < right).all() for left, right in itertools.pairwise(lefts))


def test_3_says_that_pairs_are_shared_only_where_an_arm_is_labelled_by_its_correlation_alone() -> None:
    title = "Genetic correlation\n(above 0: shared pairs)"
    assert drawn("3", "study").legends[0].get_title().get_text() == title
    assert drawn("3", "imported").legends[0].get_title().get_text() == "Genetic correlation"


def test_3_labels_shared_pairs_of_unknown_correlation() -> None:
    figure = drawn("3", "imported")
    assert legend(figure) == ["0, own pairs", "shared pairs, correlation unknown", *LINES]
    assert [len(boxes(axes, "shared pairs, correlation unknown")) for axes in figure.axes] == [1, 2, 2]


def test_3_labels_traits_in_several_groups() -> None:
    table = pleiotropy_table(1, [100], [4], [(0.5, False), (0.25, False)])
    some = table["genetic_correlation"] == 0.25
    figure = draw("3", table.assign(n_trait_groups=2, genetic_correlation=table["genetic_correlation"].mask(some)))
    assert legend(figure)[:2] == ["0.5, pairs shared in 2 groups", "pairs shared in 2 groups, correlation unknown"]


@pytest.mark.parametrize("replicates", [1, 10])
def test_3_tells_the_control_from_the_study_by_hatching_and_correlations_by_shade(replicates: int) -> None:
    figure = draw("3", pleiotropy_table(replicates, [100], [3], [OWN, SHARED, *ARMS[1:]]))
    faces = {box.get_label(): box for box in figure.axes[0].patches}
    assert list(faces) == legend(figure)[:-2]
    own, control = faces["0, own pairs"], faces["0, shared pairs"]
    assert {label for label, box in faces.items() if box.get_hatch()} == {"0, shared pairs"}
    assert to_rgb(control.get_facecolor()) == (1, 1, 1)
    assert to_rgb(own.get_facecolor()) != (1, 1, 1)
    assert to_rgb(control.get_edgecolor()) == pytest.approx(to_rgb(own.get_facecolor() if replicates > 1 else own.get_edgecolor()))
    shades = [to_rgb(box.get_facecolor()) for label, box in faces.items() if label != "0, shared pairs"]
    assert (np.diff(np.dot(shades, (0.21, 0.72, 0.07))) < -0.025).all()
    patches = [patch.get_hatch() for patch in figure.legends[0].get_patches()]
    assert patches == [None, "/////", None, None, None, None]


def test_3_shows_only_the_gains_beyond_the_whiskers_where_there_are_many() -> None:
    table = pleiotropy_table(7, [100], [3], [(0.5, False)])
    gains = (values(table, "mlp") / values(table, "ridge") - 1).to_numpy()
    low, high = np.percentile(gains, [25, 75])
    outside = gains[(gains < low - 1.5 * (high - low)) | (gains > high + 1.5 * (high - low))]
    table.loc[table.index[(table["model"] == "mlp")][0], "pearson_r"] *= 1.3
    figure = draw("3", table)
    assert len(arm(figure, "0.5")[0]) == len(outside) + 1
    assert len(boxes(figure.axes[0], "0.5")) == 1
    assert footer(figure).endswith("points: gains beyond the whiskers")


def test_3_counts_the_gains_and_ceilings_that_cannot_be_shown() -> None:
    table = pleiotropy_table(1, [100, 200], [4], [OWN, (0.5, False)])
    ridge = table["model"] == "ridge"
    table.loc[table.index[ridge][0], "pearson_r"] = -0.1
    table.loc[table.index[ridge][1], "pearson_r"] = 0
    table.loc[ridge & (table["n_qtl"] == 200) & (table["n_trait_groups"] == 4), "pearson_r"] = 0.01
    figure = draw("3", table)
    assert footer(figure).endswith("2 of 16 gains undefined · 4 of 16 gains beyond the axis · 1 of 2 ceilings beyond the axis")
    assert figure.axes[0].get_ylim()[1] < 2
    assert [len(shown) for shown in arm(figure, "0, own pairs").values()] == [2, 4]
    assert len(boxes(figure.axes[0], "0, own pairs")) == 1
    assert np.isfinite(list(ceilings(figure.axes[0]).values())).all()


def test_3_is_drawn_even_where_every_gain_is_undefined() -> None:
    table = pleiotropy_table(1, [100], [2], [OWN])
    figure = draw("3", table.assign(pearson_r=table["pearson_r"].where(table["model"] == "mlp", -0.1)))
    assert footer(figure).endswith("2 of 2 gains undefined")
    assert figure.axes[0].get_ylim() == pytest.approx((-0.005, 0.105))
