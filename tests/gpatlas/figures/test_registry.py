"""gpatlas.figures.registry: an entry is all that names a figure; a toy figure comes in by an entry and a module alone."""

import io
from pathlib import Path

import pytest
import yaml
from PIL import Image
from runs import scaling, write_run

from gpatlas.figures.chart import Chart, chart_of
from gpatlas.figures.draw import run
from gpatlas.figures.registry import FIGURES, FigureEntry
from gpatlas.figures.settings import FigureSettings
from gpatlas.models.registry import MODELS
from gpatlas.progress import Progress
from gpatlas.report.page import run as write_page
from gpatlas.report.settings import ReportSettings
from pipeline.config import load_config
from pipeline.faults import ConfigError

TOY = """
from matplotlib.figure import Figure

from gpatlas.figures.chart import Chart
from gpatlas.figures.rows import rows_of


def points(table, experiment, further_models):
    rows = rows_of(table, experiment, ["n_qtl"], ["ridge"])
    return rows.assign(value=rows["pearson_r"])


def draw(points):
    figure = Figure()
    figure.add_subplot().scatter(points["n_qtl"], points["value"])
    return figure


CHART = Chart(points, draw, lambda points: f"{len(points)} toys.", ("n_qtl",), "r of toys")
"""


@pytest.mark.parametrize("name", FIGURES)
def test_every_entry_leads_to_a_chart_and_names_models(name: str) -> None:
    entry = FIGURES[name]
    assert entry.name == name
    assert isinstance(chart_of(name), Chart)
    assert set(entry.models) <= set(MODELS)


def test_names_and_titles_tell_the_experiment_where_it_is_not_the_usual_one() -> None:
    assert (FIGURES["1a"].name_for("scaling"), FIGURES["1a"].name_for("linked")) == ("1a", "1a_linked")
    assert FIGURES["1a"].title_for("scaling") == "Figure 1A: relative gain over the linear model"
    assert FIGURES["1a"].title_for("linked") == "Figure 1A, experiment linked: relative gain over the linear model"
    assert FIGURES["accessory_mlp"].title_for("linked") == "Accuracy of the MLP (accessory figure), experiment linked"


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "toy_figure.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(FIGURES, "toy", FigureEntry("toy", "Toys: r by QTL", "scaling", ("ridge",), "toy_figure:CHART"))


@pytest.mark.usefixtures("toy")
def test_a_toy_figure_is_drawn(tmp_path: Path) -> None:
    scaling().to_csv(tmp_path / "results.csv", index=False)
    run(FigureSettings(figure="toy"), tmp_path / "results.csv", tmp_path / "toy.png", Progress("figure", io.StringIO()))
    with Image.open(tmp_path / "toy.png") as image:
        assert image.format == "PNG"


@pytest.mark.usefixtures("toy")
def test_a_toy_figure_is_on_the_page(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    write_page(ReportSettings(), write_run(tmp_path, scaling(), ["toy"]), out, Progress("report", io.StringIO()))
    page = out.read_text()
    assert '<h3 id="figure-toy">Toys: r by QTL</h3>' in page
    assert "<figcaption>4 toys.</figcaption>" in page
    assert "Toys: r of toys; mean, standard deviation, number" in page


@pytest.mark.usefixtures("toy")
def test_a_config_may_name_a_toy_figure_where_its_models_are(tmp_path: Path) -> None:
    experiment = {
        "scenario": "rep{replicate}",
        "grid": [{"n_individuals": 100, "n_qtl": 10}],
        "models": {"ridge": None},
        "figures": ["toy"],
    }
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump({"experiments": {"any": experiment}}))
    assert load_config(path).figures == (("any", "toy"),)
    path.write_text(yaml.safe_dump({"experiments": {"any": {**experiment, "models": {"egblup": None}}}}))
    with pytest.raises(ConfigError, match="figure 'toy' needs the model ridge, which is not among"):
        load_config(path)
