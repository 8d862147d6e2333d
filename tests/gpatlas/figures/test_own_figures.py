"""The figures of real populations: nothing covers anything, whatever is drawn is told, what lacks is named."""

import io
import itertools
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from cross_validated import STRENGTHS, own_tables, write_tables
from figure_tables import STUDY, Saved
from matplotlib.figure import Figure
from PIL import Image

from gpatlas.figures.chart import chart_of, points_of
from gpatlas.figures.draw import draw, run
from gpatlas.figures.registry import FIGURES
from gpatlas.figures.rows import Beside
from gpatlas.figures.settings import FigureSettings
from gpatlas.progress import Progress

OWN = [name for name in FIGURES if name not in STUDY]
MODELS = list(STRENGTHS)
CASES = {"one trait, one model": (1, 1), "four traits": (4, 3), "many models": (2, 8), "many traits": (46, 2), "many of both": (46, 6)}

DRAWN = [(figure, case) for figure in OWN for case in CASES if figure != "gain" or CASES[case][1] > 1]  # a gain is over another model


@cache
def tables(case: str) -> dict[str, pd.DataFrame]:
    n_traits, n_models = CASES[case]
    return own_tables(n_traits, MODELS[:n_models])


def beside(found: dict[str, pd.DataFrame]) -> Beside:
    return lambda name: found.get(name, pd.DataFrame())


@cache
def drawn(figure: str, case: str) -> Figure:
    found = tables(case)
    return draw(figure, found["results"], beside=beside(found))


@pytest.mark.parametrize(("figure", "case"), DRAWN)
def test_nothing_overlaps(figure: str, case: str) -> None:
    saved = Saved(drawn(figure, case))
    for one, other in itertools.combinations([saved.legend, saved.footer, saved.title, *saved.axes], 2):
        assert not one.overlaps(other)
    for one, other in itertools.combinations(saved.labels, 2):
        assert not one.overlaps(other)
    for one, other in itertools.combinations(saved.ticks, 2):
        assert not one.overlaps(other)


@pytest.mark.parametrize(("figure", "case"), DRAWN)
def test_whatever_is_drawn_is_told(figure: str, case: str) -> None:
    found, chart = tables(case), chart_of(figure)
    points = points_of(figure, found["results"], beside=beside(found))
    sentence = chart.say(points)
    assert sentence.endswith(".")
    assert "nan" not in sentence
    assert len(sentence) < 1500
    assert len(chart.summary(points)) >= CASES[case][0]


@pytest.mark.parametrize("figure", OWN)
def test_the_footer_says_where_the_data_come_from(figure: str) -> None:
    text = drawn(figure, "four traits").texts[-1].get_text().replace("\n", " ")
    assert text.startswith("cross-validation: 5 folds · data: import-plink · 200 individuals · 60 loci · ")


@pytest.mark.parametrize("figure", OWN)
def test_run_reads_the_tables_beside(figure: str, tmp_path: Path) -> None:
    source = write_tables(tmp_path, tables("four traits"))
    run(FigureSettings(figure=figure, dpi=50), source, tmp_path / "out.png", Progress("figure", io.StringIO()))
    with Image.open(tmp_path / "out.png") as image:
        assert image.format == "PNG"


@pytest.mark.parametrize("figure", OWN)
def test_without_predictions_a_figure_says_what_lacks(figure: str) -> None:
    with pytest.raises(ValueError, match=r"^no (predictions|loci) of experiment 'own' beside the table, which protocol 'cross_validation'"):
        draw(figure, tables("four traits")["results"])


@pytest.mark.parametrize("figure", OWN)
def test_other_experiments_change_nothing(figure: str) -> None:
    ours = tables("four traits")
    both = {name: pd.concat([table, table.assign(experiment="other")]) for name, table in ours.items()}
    expected = points_of(figure, ours["results"], beside=beside(ours))
    pd.testing.assert_frame_equal(points_of(figure, both["results"], beside=beside(both)), expected)


@pytest.mark.parametrize("figure", OWN)
def test_several_populations_have_their_names_before_the_traits(figure: str) -> None:
    parts = own_tables(2), own_tables(2, scenario="theirs")
    both = {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in parts[0]}
    points = points_of(figure, both["results"], beside=beside(both))
    assert set(points["label"]) == {"mine: height", "mine: yield_2019", "theirs: height", "theirs: yield_2019"}
    assert chart_of(figure).say(points).endswith(".")
    draw(figure, both["results"], beside=beside(both))


def test_traits_without_names_are_numbered() -> None:
    """As those of a simulated population are."""
    found = {name: table.drop(columns="trait_name") for name, table in tables("four traits").items()}
    points = points_of("prediction", found["results"], beside=beside(found))
    assert points["label"].unique().tolist() == ["trait 1", "trait 2", "trait 3", "trait 4"]


def test_a_config_may_draw_what_its_populations_models_and_protocols_allow() -> None:
    folds = {"cross_validation"}
    assert FIGURES["prediction"].fault(["mlp"], "simulated", folds) is None
    assert FIGURES["loci"].fault(["ridge"], "imported", folds) is None
    assert FIGURES["loci"].fault(["ridge"], "simulated", folds) == "is of imported populations, and this experiment's are simulated"
    assert (
        FIGURES["1a"].fault(["mlp", "linear_sgd"], "imported", folds) == "is of simulated populations, and this experiment's are imported"
    )
    assert FIGURES["1a"].fault(["mlp"], "simulated", folds) == "needs the model linear_sgd, which is not among this experiment's models"
    needs = "needs one of the models ridge, egblup, and none is among this experiment's models"
    assert FIGURES["heritability"].fault(["mlp"], "imported", folds) == needs
    needs = "needs the protocol 'cross_validation', and this experiment has 'paper'"
    assert FIGURES["observed"].fault(["mlp"], "imported", ["paper", "cross_validation"]) == needs
