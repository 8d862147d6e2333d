"""pipeline.tasks: what the tasks of a study are called and told, without running any."""

from pathlib import Path

import pytest
from damage import flip_a_bit
from drivers import RIDGE_STUDY, write_study

from gpatlas.figures.settings import FigureSettings
from pipeline import RunAll
from pipeline.registry import RUNNERS
from pipeline.runners import Job, LocalRunner, OnLine, Outcome
from pipeline.session import session
from pipeline.stage_task import StageFailed, StageTask, damaged
from pipeline.store import write_json
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


@pytest.fixture
def stage(tmp_path: Path) -> StageTask:
    config = write_study(tmp_path / "study.yaml", RIDGE_STUDY)
    return RunAll(config=config, results=tmp_path / "results").stages()[0]


@pytest.mark.parametrize("made_in_this_run", [True, False])
def test_damage_to_what_this_run_has_made_is_a_fault_and_not_made_again_for_ever(stage: StageTask, made_in_this_run: bool) -> None:
    with stage.entry.claimed():
        (stage.entry.part / stage.stage.output).write_bytes(b"data")
        write_json(stage.entry.part / "provenance.json", {"key": stage.key, "session": str(session()) if made_in_this_run else "another"})
        stage.entry.commit()
    assert damaged([stage]) == []
    flip_a_bit(stage.entry.output)
    if made_in_this_run:
        with pytest.raises(OSError, match=r"data.h5 is damaged \(checksum\) in .* made in this run"):
            damaged([stage])
    else:
        assert damaged([stage]) == [stage]


class EmptyHanded(LocalRunner):
    """Ends well, with a file without content."""

    def run(self, job: Job, on_line: OnLine) -> Outcome:
        (job.folder / job.stage.output).touch()
        return Outcome(0, 0.1)


def test_an_output_without_content_is_none(stage: StageTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNNERS, "local", EmptyHanded())
    with pytest.raises(StageFailed, match="wrote no output"):
        list(stage.run())
    assert not stage.complete()
