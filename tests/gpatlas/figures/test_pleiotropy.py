"""gpatlas.figures.pleiotropy: figure 3 shows every gain over ridge regression, and the arms are told apart."""

import itertools

import numpy as np
import pandas as pd
import pytest
from figure_boxes import LINES, arm, boxes, ceilings, footer, groups, legend, medians, split, titles, values
from figure_tables import (
    ARMS,
    OWN,
    SHARED,
    drawn,
    pleiotropy_table,
    points,
    table_of,
    with_further,
)
from matplotlib.colors import to_rgb

from gpatlas.figures.draw import draw


def test_3_has_the_mean_ceiling_of_each_number_of_qtl_in_each_panel() -> None:
    table = table_of("pleiotropy", "study")
    for n_traits, axes in zip((10, 100), drawn("3", "study").axes, strict=True):
        counts = enumerate((100, 200, 300, 500, 1000))
        ridge = {place: values(table, "ridge", n_traits=n_traits, n_qtl=n_qtl) for place, n_qtl in counts}
        assert ceilings(axes) == pytest.approx({place: (0.999**0.5 / r - 1).mean() for place, r in ridge.items()})


def test_3_has_a_panel_per_number_of_traits_and_a_group_per_number_of_qtl() -> None:
    figure = drawn("3", "study")
    assert titles(figure) == ["10 traits", "100 traits"]
    assert [groups(axes) for axes in figure.axes] == [["100", "200", "300", "500", "1000"]] * 2
    assert [axes.get_xlabel() for axes in figure.axes] == ["Number of QTL"] * 2
    assert " · 10,000 individuals · pairs of interacting QTL: each trait's own, or shared by all · " in footer(figure)


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
