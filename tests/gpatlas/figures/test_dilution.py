"""gpatlas.figures.dilution: figure 2 shows every gain over ridge regression by number of loci, trait and model."""

import numpy as np
import pandas as pd
import pytest
from figure_boxes import LINES, MODELS, ceilings, footer, groups, increases, legend, split, titles, values
from figure_tables import (
    LOCI,
    dilution_table,
    drawn,
    points,
    table_of,
    with_further,
)
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from gpatlas.figures.draw import draw


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


def test_2_has_the_mean_ceiling_of_each_trait_in_each_panel() -> None:
    table = table_of("dilution", "study")
    for n_loci, axes in zip(LOCI, drawn("2", "study").axes, strict=True):
        expected = {trait - 1: 0.9999**0.5 - values(table, "ridge", n_loci=n_loci, trait=trait).mean() for trait in (1, 2)}
        assert ceilings(axes) == pytest.approx(expected)


def test_2_tells_the_models_apart_in_grey_and_says_what_its_lines_mean() -> None:
    figure = drawn("2", "study")
    assert legend(figure) == [*MODELS.values(), *LINES]
    assert figure.legends[0].get_title().get_text() == "Model"
    marks = [mark for mark in figure.legends[0].findobj(Line2D) if mark.get_marker() != "None"]
    lightness = [float(np.dot(to_rgb(mark.get_color()), (0.21, 0.72, 0.07))) for mark in marks]
    assert len({mark.get_marker() for mark in marks}) == 3
    assert (np.diff(lightness) < -0.08).all()


def test_2_draws_further_models_beside_the_studys() -> None:
    table = with_further(table_of("dilution", "study"))
    figure = draw("2", table, ("pairwise", "egblup"))
    assert legend(figure) == [*MODELS.values(), "pairwise screening", "EG-BLUP", *LINES]
    for n_loci, axes in zip(LOCI, figure.axes, strict=True):
        for model, label in {"egblup": "EG-BLUP", "mlp": "MLP"}.items():
            for trait, shown in enumerate(split(points(axes)[label]).values(), 1):
                np.testing.assert_allclose(shown, increases(table, model, n_loci=n_loci, trait=trait))
