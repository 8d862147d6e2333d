"""gpatlas.figures.boxes: every gain over ridge regression is where its panel, group and level say."""

import numpy as np
import pandas as pd
import pytest
from figure_boxes import BOXES, MODELS, arm, boxes, ceilings, footer, increases, medians, split, titles, values
from figure_tables import (
    LOCI,
    OWN,
    dilution_table,
    drawn,
    line,
    pleiotropy_table,
    points,
    table_of,
)

from gpatlas.figures.draw import draw


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


def test_missing_gains_are_counted() -> None:
    table = dilution_table(2, [20, 100]).query("n_loci == 20 or model != 'ridge' or replicate == 1").copy()
    table.loc[table.index[table["model"] == "pruned_mlp"][0], "pearson_r"] = np.nan
    figure = draw("2", table)
    assert footer(figure).endswith("7 of 24 gains undefined")
    assert sum(len(xy) for axes in figure.axes for xy in points(axes).values()) == 17


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
