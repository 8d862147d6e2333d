"""gpatlas.figures.loci: effects along the genome by the best model that has any, their names, and arcs of pairs."""

import numpy as np
import pandas as pd
import pytest
from cross_validated import own_tables
from figure_tables import FloatArray
from matplotlib.axes import Axes

from gpatlas.figures.chart import chart_of, points_of
from gpatlas.figures.draw import draw


def tables(n_traits: int = 1, models: tuple[str, ...] = ("ridge", "egblup", "pairwise")) -> dict[str, pd.DataFrame]:
    return own_tables(n_traits, models)


def simple(better: str) -> dict[str, pd.DataFrame]:
    """One trait; effects 1, −3, 2 at loci 10, 30, 50 and 0 elsewhere, by ridge regression, half as large by pairwise screening."""
    found = tables()
    effect = pd.Series(0.0, range(1, 61))
    effect[[10, 30, 50]] = [1.0, -3.0, 2.0]
    half = found["loci"]["model"].map({"ridge": 1.0, "pairwise": 0.5})
    found["loci"] = found["loci"].assign(effect=found["loci"]["locus"].map(effect) * half)
    found["results"] = found["results"].assign(r_squared=found["results"]["model"].map({better: 0.5}).fillna(0.3))
    return found


def points(found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return points_of("loci", found["results"], beside=found.__getitem__)


def axes_of(found: dict[str, pd.DataFrame]) -> list[Axes]:
    return draw("loci", found["results"], beside=found.__getitem__).axes


def arcs(axes: Axes) -> list[tuple[FloatArray, float]]:
    return [(np.asarray(line.get_xdata(), float), line.get_linewidth()) for line in axes.lines if line.get_label() == "pair"]


@pytest.mark.parametrize("better", ["ridge", "pairwise"])
def test_effects_are_those_of_the_best_model_that_has_any(better: str) -> None:
    found = points(simple(better)).query("kind == 'locus'")
    assert set(found["model"]) == {better}
    assert found["value"].min() == (-3.0 if better == "ridge" else -1.5)
    assert len(found) == 60


def test_a_better_model_without_effects_does_not_count() -> None:
    assert set(points(simple("egblup")).query("kind == 'locus'")["model"]) == {"ridge"}


def test_pairs_have_both_places_and_in_how_many_fits_they_were_found() -> None:
    found = points(simple("ridge"))
    pairs = found.query("kind == 'pair'").set_index("id")
    assert pairs[["id_2", "found", "n_fits"]].to_dict("index") == {
        "snp_3": {"id_2": "snp_40", "found": 5, "n_fits": 5},
        "snp_17": {"id_2": "snp_18", "found": 2, "n_fits": 5},
    }
    at = found.query("kind == 'locus'").set_index("id")["x"]
    assert (pairs.loc["snp_3", "x"], pairs.loc["snp_3", "x_2"]) == (at["snp_3"], at["snp_40"])


def test_the_strongest_are_named_and_pairs_drawn_below_all_effects() -> None:
    found = simple("ridge")
    (axes,) = axes_of(found)
    assert sorted(text.get_text().strip() for text in axes.texts) == ["snp_10", "snp_30", "snp_50"]
    often, rarely = arcs(axes)
    at = points(found).query("kind == 'locus'").set_index("id")["x"]
    np.testing.assert_allclose(often[0][[0, -1]], at[["snp_3", "snp_40"]])
    assert often[1] > rarely[1]
    assert all(max(line.get_ydata()) < -3 for line in axes.lines if line.get_label() == "pair")


def test_chromosomes_follow_each_other_as_a_reader_counts_them() -> None:
    (axes,) = axes_of(simple("ridge"))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "10", "X"]
    assert axes.figure.get_supxlabel() == "Chromosome, and position on it"


@pytest.mark.parametrize("chromosome", ["", "0", np.nan])
def test_loci_without_a_place_stand_by_their_number(chromosome: object) -> None:
    found = simple("ridge")
    found["loci"] = found["loci"].assign(chromosome=chromosome, position=0)
    (axes,) = axes_of(found)
    assert axes.figure.get_supxlabel() == "Locus, by its number"
    assert axes.get_xticklabels()[-1].get_text() == "60"
    assert "snp_30 −3" in chart_of("loci").say(points(found))


def test_the_sentence_names_loci_and_pairs_that_half_of_the_fits_find() -> None:
    assert chart_of("loci").say(points(simple("ridge"))) == (
        "height, by ridge regression: largest effects snp_30 (2: 15,000,000) −3, snp_50 (X: 5,000,000) +2 and snp_10 (1: 10,000,000) +1; "
        "pairs snp_3 (1: 3,000,000) with snp_40 (10: 10,000,000) in 5 of 5 fits."
    )


def test_of_many_traits_the_sentence_counts() -> None:
    found = tables(6, ("ridge", "egblup"))
    assert chart_of("loci").say(points(found)) == (
        "Effects of 6 traits, by ridge regression for 6. Half or more of the fits find a pair for 0 traits."
    )


def test_a_trait_without_any_effect_is_told() -> None:
    found = tables(1, ("ridge",))
    found["loci"] = found["loci"].assign(effect=0.0)
    (axes,) = axes_of(found)
    assert axes.get_title("left") == "height, by ridge regression: no additive effect"
    assert chart_of("loci").say(points(found)) == "height, by ridge regression: no additive effect."
