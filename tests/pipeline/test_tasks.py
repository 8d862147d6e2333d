"""pipeline.tasks: what the tasks of a study are called and told, without running any."""

from pathlib import Path

from drivers import RIDGE_STUDY, write_study

from gpatlas.figures.settings import FigureSettings
from pipeline import RunAll
from pipeline.tasks import Figure


def test_a_figure_of_an_experiment_of_another_name_has_a_file_of_its_own(tmp_path: Path) -> None:
    experiment = RIDGE_STUDY["experiments"]["scaling"] | {"models": {"ridge": None, "mlp": None, "egblup": None}, "figures": ["1b", "4"]}
    further = experiment | {"further_models": ["egblup", "ridge"]}
    config = write_study(tmp_path / "study.yaml", {"experiments": {"scaling": experiment, "linked": further}})
    run = RunAll(config=config, results=tmp_path / "results")
    figures = [task for task in run.stages() if isinstance(task, Figure)]
    assert [figure.name for figure in figures] == ["figure_1b", "figure_4_scaling", "figure_1b_linked", "figure_4_linked"]
    assert [name for name in run.published() if "figures/" in name] == [f"figures/{figure.name}.png" for figure in figures]
    assert figures[2].settings == FigureSettings(figure="1b", experiment="linked", further_models=("egblup", "ridge"))
    assert figures[3].settings == FigureSettings(figure="4", experiment="linked")
    assert (figures[2].file().experiment, figures[2].file().further_models) == ("linked", ("egblup", "ridge"))
