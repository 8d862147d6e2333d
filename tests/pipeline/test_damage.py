"""A store that came to harm, run again: what is damaged is said and made again, and the tables are those of an undisturbed run."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from damage import DAMAGES, flip_a_bit, truncate
from drivers import RIDGE_STUDY, run, table, write_study

from pipeline import RunAll

SCALING = RIDGE_STUDY["experiments"]["scaling"]
MODELS: dict[str, Any] = {"ridge": None, "pairwise": None, "egblup": {"n_penalties": 20}}
STUDY = RIDGE_STUDY | {"experiments": {"scaling": SCALING | {"models": MODELS, "figures": ["4", "5"]}}}
FIRST, SECOND = "store/scaling/qhaplo_10qtl_200n_rep1", "store/scaling/qhaplo_20qtl_200n_rep1"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    code, output = run(write_study(folder / "study.yaml", STUDY), folder / "results")
    assert code == 0, output
    return folder


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    """A folder with the finished study, to be damaged."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


def one(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(f"results/{pattern}")
    return path


def remove(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        shutil.rmtree(one(folder, pattern))


def run_again(folder: Path, finished: Path) -> str:
    """What the next run says; it ends with whole results, the right ones, and leaves nothing to do."""
    code, output = run(folder / "study.yaml", folder / "results")
    assert code == 0, output
    assert "FAILED" not in output
    pd.testing.assert_frame_equal(table(folder / "results", "study"), table(finished / "results", "study"))
    stages = RunAll(config=folder / "study.yaml", results=folder / "results").stages()
    assert all(task.entry.verified() for task in stages)
    assert run(folder / "study.yaml", folder / "results")[1].startswith("nothing to do")
    return output


@pytest.mark.parametrize("first", [0, 2, 4])
def test_whatever_was_damaged_is_made_again(study: Path, finished: Path, first: int) -> None:
    """Each file's reader is to do again, so that even what keeps size and time is found. In a run every file comes to another harm."""
    names = [
        f"{FIRST}/simulate-*/data.h5",
        f"{FIRST}/egblup-*/table.csv",
        f"{SECOND}/pairwise-*/table.pairs.csv",
        f"{SECOND}/simulate-*/provenance.json",
        "store/collected/study/figure_5_scaling-*/figure.png",
        "study/results.csv",
        "study/figures/figure_5_scaling.png",
    ]
    for damage, name in zip(DAMAGES[first:] + DAMAGES[:first], names, strict=True):
        damage(one(study, name))
    remove(study, f"{FIRST}/ridge-*", f"{SECOND}/ridge-*", "store/collected/study/results-*", "store/collected/study/report-*")
    output = run_again(study, finished)
    for name in ("data.h5", "table.csv", "table.pairs.csv", "provenance.json", "figure.png", "results.csv"):
        assert f"(again: {name} is " in output


def test_damage_is_mended_though_nobody_would_read_it(study: Path, finished: Path) -> None:
    truncate(one(study, f"{FIRST}/simulate-*/data.h5"))
    output = run_again(study, finished)
    assert "(again: data.h5 is damaged (size))" in output
    assert "ridge" not in output


def test_what_is_published_is_verified_before(study: Path, finished: Path) -> None:
    flip_a_bit(one(study, "store/collected/study/results-*/table.csv"))
    shutil.rmtree(study / "results" / "study")
    assert "(again: table.csv is damaged (checksum))" in run_again(study, finished)


def test_the_figures_of_an_earlier_config_go_and_a_users_stay(study: Path) -> None:
    figures = study / "results" / "study" / "figures"
    (figures / "mine.png").write_bytes(b"a user's")
    write_study(study / "study.yaml", STUDY | {"experiments": {"scaling": SCALING | {"models": MODELS, "figures": ["5"]}}})
    code, output = run(study / "study.yaml", study / "results")
    assert code == 0, output
    assert sorted(path.name for path in figures.iterdir()) == ["figure_5_scaling.png", "mine.png"]


def test_two_configs_of_one_name_are_refused(study: Path) -> None:
    (study / "other").mkdir()
    other = write_study(study / "other" / "study.yaml", RIDGE_STUDY)
    code, output = run(other, study / "results")
    assert code == 2
    assert str(other) in output
    assert "Traceback" not in output
