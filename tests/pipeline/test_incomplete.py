"""A study some of whose stages fail: what there is of it is published, is marked, and is never taken for the whole."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crates import Crate
from damage import truncate
from drivers import RIDGE_STUDY, entries, run, table, write_study

from pipeline import RunAll
from pipeline.stage_task import StageTask

SCALING = RIDGE_STUDY["experiments"]["scaling"]
SCENARIOS = ["qhaplo_10qtl_200n_rep1", "qhaplo_20qtl_200n_rep1"]
FIGURES = ["figure_4_scaling.png", "figure_5_scaling.png"]


def study(n_penalties: int) -> dict[str, Any]:
    models = {"ridge": None, "pairwise": {"n_penalties": n_penalties}}
    return {"protocol": "holdout", "experiments": {"scaling": SCALING | {"models": models, "figures": ["4", "5"]}}}


def stages(folder: Path, name: str) -> list[StageTask]:
    root = RunAll(config=folder / "study.yaml", results=folder / "results")
    return [task for task in root.stages() if task.name == name]


def block(*tasks: StageTask) -> list[Path]:
    """Files where the stages' folders should be: they fail until these are gone."""
    for task in tasks:
        task.entry.part.parent.mkdir(parents=True, exist_ok=True)
        task.entry.part.write_text("")
    return [task.entry.part for task in tasks]


def record(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "results" / "study" / "run.json").read_text()))


def figures(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "results" / "study" / "figures").iterdir())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    code, output = run(write_study(folder / "study.yaml", study(n_penalties=20)), folder / "results")
    assert code == 0, output
    assert (figures(folder), record(folder)["missing"]) == (FIGURES, {})
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_what_there_is_replaces_an_earlier_run_and_the_whole_replaces_it(folder: Path, faults_of_crate: Callable[[Path], str]) -> None:
    config, results = write_study(folder / "study.yaml", study(n_penalties=21)), folder / "results"
    blocks = block(*stages(folder, "pairwise"))
    code, output = run(config, results)
    assert code == 1
    fits, figure = [f"scaling/{scenario} pairwise" for scenario in SCENARIOS], "collected/study figure_5_scaling"
    last = output[output.index("INCOMPLETE") :].splitlines()
    assert last[0] == "INCOMPLETE, missing stages: 3; the same command tries them again"
    assert [line.split(": ")[0].strip() for line in last[1:]] == [*fits, figure]
    assert re.search(r"no column 'pair_precision', 'pair_recall'; .*; log: ", last[-1])
    assert list(record(folder)["missing"]) == [*fits, figure]
    assert set(table(results, "study")["model"]) == {"ridge"}
    assert figures(folder) == ["figure_4_scaling.png"]
    page = (results / "study" / "report.html").read_text()
    assert all(label in page.partition("<nav")[0] for label in (*fits, figure))

    crate = Crate(results / "study")
    statuses = {name: action["actionStatus"].rpartition("/")[2] for name, action in crate.actions.items()}
    failed = {*fits, figure, "Run of the study study"}
    assert statuses == {name: "FailedActionStatus" if name in failed else "CompletedActionStatus" for name in statuses}
    assert failed <= statuses.keys()
    assert crate.actions[figure]["error"].startswith("ended with exit code 1: ")
    assert str(folder) not in crate.text
    assert faults_of_crate(crate.folder) == ""

    before = entries(results)
    code, output = run(config, results)
    assert code == 1
    assert "INCOMPLETE, missing stages: 3" in output
    assert "nothing to do" not in output
    assert "[1/" not in output
    after = entries(results)
    assert {name for name in before if before[name] != after.get(name)} <= {name for name in before if name.endswith(".failed")}

    for path in blocks:
        path.unlink()
    code, output = run(config, results)
    assert code == 0, output
    assert (figures(folder), record(folder)["missing"]) == (FIGURES, {})
    assert set(table(results, "study")["model"]) == {"ridge", "pairwise"}
    assert "Incomplete" not in (results / "study" / "report.html").read_text()


def test_who_ran_a_study_is_told_by_its_crate_alone(folder: Path) -> None:
    """So it changes no key, and no stage runs again."""
    agent, license = {"name": "Ada Example", "orcid": "0000-0002-1825-0097"}, "https://creativecommons.org/licenses/by/4.0/"
    before, root = entries(folder / "results"), Crate(folder / "results" / "study").items["./"]
    assert ("author" in root, root["license"]) == (False, "None is given: ask who ran the study")
    config = write_study(folder / "study.yaml", study(n_penalties=20) | {"agent": agent, "license": license})
    code, output = run(config, folder / "results")
    assert code == 0, output
    assert "10 stages, 0 to do" in output
    assert entries(folder / "results") == before
    crate = Crate(folder / "results" / "study")
    person = {"@id": f"https://orcid.org/{agent['orcid']}", "@type": "Person", "name": agent["name"]}
    assert all(crate.of(item, "agent") == [person] for item in crate.actions.values())
    assert (crate.of(crate.items["./"], "author"), crate.items["./"]["license"]) == ([person], {"@id": license})
    assert run(config, folder / "results")[1].startswith("nothing to do: ")


def test_a_stage_that_is_made_again_is_told_again(folder: Path) -> None:
    """Its times and checksums are others, those of what is published are not."""
    before, fit = Crate(folder / "results" / "study").actions[f"scaling/{SCENARIOS[0]} ridge"], stages(folder, "ridge")[0]
    truncate(fit.entry.output)
    assert run(folder / "study.yaml", folder / "results")[0] == 0
    crate = Crate(folder / "results" / "study")
    again = crate.actions[fit.label]
    assert again["@id"] == before["@id"]
    assert again["startTime"] > before["startTime"]
    (made,) = crate.of(again, "result")
    assert made["sha256"] == hashlib.sha256(fit.entry.output.read_bytes()).hexdigest()


def test_what_is_gone_from_the_store_is_not_missed(folder: Path) -> None:
    """Datasets take the room; without them, a published study is done, and can be published again."""
    results, data = folder / "results", stages(folder, "simulate")[0].entry.path
    shutil.rmtree(data)
    assert run(folder / "study.yaml", results)[1].startswith("nothing to do: ")
    truncate(results / "study" / "results.csv")
    code, output = run(folder / "study.yaml", results)
    assert code == 0, output
    crate = Crate(results / "study")
    (read,) = crate.of(crate.actions[f"scaling/{SCENARIOS[0]} ridge"], "object")
    assert ("sha256" in read, data.exists()) == (False, False)


def test_a_whole_that_is_published_stays_where_a_damaged_stage_cannot_be_made_again(folder: Path) -> None:
    truncate(stages(folder, "pairwise")[0].entry.output)
    block(stages(folder, "pairwise")[0])
    before = record(folder)
    code, output = run(folder / "study.yaml", folder / "results")
    assert code == 1
    assert "not finished: " in output
    assert output.endswith("what is published is of an earlier run\n")
    assert (figures(folder), record(folder)) == (FIGURES, before)


def test_a_fit_that_is_done_outlives_its_data(folder: Path) -> None:
    """Its data are damaged and cannot be made again, and a fit of another model is to do."""
    more = study(n_penalties=20)
    more["experiments"]["scaling"]["models"]["egblup"] = None
    config, data = write_study(folder / "study.yaml", more), stages(folder, "simulate")[0]
    truncate(data.entry.output)
    block(data)
    code, output = run(config, folder / "results")
    assert code == 1
    assert list(record(folder)["missing"]) == [f"scaling/{SCENARIOS[0]} simulate", f"scaling/{SCENARIOS[0]} egblup"]
    assert output.count("Luigi's log") == 2
    rows = table(folder / "results", "study").groupby("model")["scenario"].unique().map(sorted).to_dict()
    assert rows == {"ridge": SCENARIOS, "pairwise": SCENARIOS, "egblup": SCENARIOS[1:]}


def test_a_figure_that_cannot_be_drawn_hides_nothing_else(tmp_path: Path) -> None:
    """Without epistasis there are no pairs to find."""
    experiment = SCALING | {"grid": [{"n_individuals": 200, "n_qtl": 10, "rel_aa": [0.0]}], "models": {"pairwise": None}}
    config = write_study(tmp_path / "study.yaml", {"experiments": {"scaling": experiment | {"figures": ["4", "5"]}}})
    code, output = run(config, tmp_path / "results")
    assert code == 1, output
    assert figures(tmp_path) == ["figure_4_scaling.png"]
    ((label, facts),) = record(tmp_path)["missing"].items()
    assert label == "collected/study figure_5_scaling"
    assert facts["why"].endswith("every pair_recall is empty of model 'pairwise' in experiment 'scaling'")
    assert "pair_recall" in (tmp_path / "results" / facts["log"]).read_text()
    page = (tmp_path / "results" / "study" / "report.html").read_text()
    assert f'<a href="../{facts["log"]}">log</a>' in page
    assert len(table(tmp_path / "results", "study")) == 1


def test_a_report_that_cannot_be_written_hides_nothing_else(tmp_path: Path) -> None:
    config, results = write_study(tmp_path / "study.yaml", RIDGE_STUDY), tmp_path / "results"
    (blocked,) = block(*stages(tmp_path, "report"))
    code, output = run(config, results)
    assert code == 1
    assert "INCOMPLETE, missing stages: 1" in output
    assert list(record(tmp_path)["missing"]) == ["collected/study report"]
    assert list(record(tmp_path)["published"]) == ["results.csv", "config.yaml", "ro-crate-metadata.json"]
    blocked.unlink()
    code, output = run(config, results)
    assert code == 0, output
    assert (results / "study" / "report.html").is_file()


def test_where_no_fit_is_done_nothing_is_published(tmp_path: Path) -> None:
    config = write_study(tmp_path / "study.yaml", RIDGE_STUDY)
    block(*stages(tmp_path, "simulate"))
    code, output = run(config, tmp_path / "results")
    assert code == 1
    assert output.count("FAILED") == 2
    assert "not finished: 6 stages are not done" in output
    assert [path.name for path in (tmp_path / "results" / "study").iterdir()] == ["luigi.log"]


def test_what_is_incomplete_has_keys_of_its_own(tmp_path: Path) -> None:
    whole = RunAll(config=write_study(tmp_path / "study.yaml", study(n_penalties=20)), results=tmp_path / "results")
    fit, figure = f"scaling/{SCENARIOS[0]} pairwise", "collected/study figure_5_scaling"
    why = {"why": "ended", "log": None}
    keys = [
        {task.label: task.key for task in root.stages()}
        for root in (whole, whole.without({fit: why}), whole.without({figure: why}), whole.without({figure: why | {"why": "other"}}))
    ]
    assert (fit in keys[1], figure in keys[2]) == (False, False)
    study_keys = [{label: key for label, key in of_root.items() if label.startswith("collected")} for of_root in keys]
    assert not set(study_keys[0].values()) & set(study_keys[1].values())
    assert {label for label, key in study_keys[2].items() if key != study_keys[0][label]} == {"collected/study report"}
    assert {label for label, key in study_keys[3].items() if key != study_keys[2][label]} == {"collected/study report"}
    assert {label: key for label, key in keys[0].items() if label.startswith("scaling") and label != fit}.items() <= keys[1].items()
