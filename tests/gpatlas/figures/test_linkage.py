"""gpatlas.figures.linkage: a column of panels per population, along one quantity where all else is the same."""

import numpy as np
import pytest
from figure_tables import curves, drawn, linkage_table, rows_of_panels, table_of
from matplotlib.figure import Figure

from gpatlas.figures.chart import points_of
from gpatlas.figures.draw import draw
from gpatlas.figures.linkage import slices_of

KINDS = ["unlinked haploids", "doubled haploids", "inbred lines", "F2", "backcross", "outbred"]


def test_a_row_of_panels_per_quantity_and_a_column_per_population() -> None:
    rows = rows_of_panels(drawn("linkage", "study"))
    assert [[axes.get_title("left") for axes in row] for row in rows] == [KINDS] * 3
    labels = [row[1].get_xlabel() for row in rows]
    assert labels == [
        "Heritability\n(30 QTL, 300 loci)",
        "QTL pairs per individual\n(heritability 0.8, 300 loci)",
        "QTL to nearest marker, cM\n(heritability 0.8, 30 QTL)",
    ]
    assert [[axes.get_title("left") for axes in row] for row in rows_of_panels(drawn("linkage_pairs", "study"))] == [KINDS[1:]] * 3


def test_the_curves_are_means_along_a_line_through_the_grid() -> None:
    table = table_of("linkage", "study")
    table = table[(table["rel_aa"] == 1) & (table["population"] == "f2") & (table["model"] == "pairwise")]
    at_markers = table["marker_qtl_cm"] == 0
    parts = [
        table[(table["n_qtl"] == 30) & at_markers].groupby("h2"),
        table[(table["h2"] == 0.8) & at_markers].groupby("n_qtl"),
        table[(table["h2"] == 0.8) & (table["n_qtl"] == 30)].groupby("marker_qtl_cm"),
    ]
    for row, part in zip(rows_of_panels(drawn("linkage", "study")), parts, strict=True):
        _, mean, (low, high) = curves(row[KINDS.index("F2")])["pairwise screening"]
        r = part["pearson_r"]
        np.testing.assert_allclose([mean, low, high], [r.mean(), r.min(), r.max()])


def test_unlinked_populations_have_no_distances() -> None:
    *_, row = rows_of_panels(drawn("linkage", "study"))
    assert [text.get_text() for text in row[0].texts] == ["no chromosomes"]
    assert not curves(row[0])


def levels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_precision_and_recall_by_distance() -> None:
    figure = drawn("linkage_pairs", "study")
    names = [f"{measure} within {cm} cM" for measure in ("recall", "precision") for cm in (1, 5, 10)]
    assert levels(figure) == names
    table = table_of("linkage", "study")
    at_markers = table["marker_qtl_cm"] == 0
    table = table[(table["rel_aa"] == 1) & (table["population"] == "bc") & (table["n_qtl"] == 30) & at_markers]
    found = curves(rows_of_panels(figure)[0][KINDS.index("backcross") - 1])
    for name in names:
        measure, _, cm, _ = name.split()
        np.testing.assert_allclose(found[name][1], table.groupby("h2")[f"{measure}_{cm}cm"].mean())


def test_a_quantity_that_does_not_vary_has_no_row() -> None:
    only_h2 = draw("linkage", linkage_table(1, ["f2", "dh"], [0.3, 0.8], [], []))
    assert [axes.get_xlabel().partition("\n")[0] for axes in only_h2.axes] == ["Heritability"] * 2
    one = slices_of(points_of("linkage", linkage_table(1, ["f2"], [], [], [50])))
    assert [part.x for part in one] == ["h2"]


def test_pairs_need_a_linked_population() -> None:
    with pytest.raises(ValueError, match=r"^every one of 'recall_1cm', .* is empty of model 'pairwise' in experiment 'linkage'$"):
        draw("linkage_pairs", linkage_table(1, ["unlinked"], [0.3], [], []))
