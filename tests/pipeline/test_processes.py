"""Stages that are forked from the driver: the same results as those of a process of their own, by the code that is on the disk."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from drivers import ENVIRONMENT, LOCAL, PROJECT, SLOW_STUDY, processes, run, small_study, start, wait_for, write_study

MODELS = {"ridge": None, "egblup": None, "mlp": {"hidden_size": 64, "epochs": 3, "device": "cpu"}, "pairwise": None}


def test_a_forked_stage_has_the_threads_and_results_of_its_own_process(tmp_path: Path) -> None:
    """The driver is told of one thread, its stages of two."""
    config = write_study(tmp_path / "study.yaml", {"threads": 2} | small_study(MODELS, 600, 60))
    code, output = run(config, tmp_path / "results", env={**ENVIRONMENT, "OMP_NUM_THREADS": "1"})
    assert code == 0, output
    for model in MODELS:
        (folder,) = (tmp_path / "results" / "store" / "scaling" / "qhaplo_60qtl_600n_rep1").glob(f"{model}-*")
        command = json.loads((folder / "provenance.json").read_text())["command"]
        assert "--threads 2" in command
        (tmp_path / model).mkdir()
        subprocess.run(shlex.split(command), cwd=tmp_path / model, env=ENVIRONMENT, check=True, capture_output=True)
        own, forked = pd.read_csv(tmp_path / model / "table.csv"), pd.read_csv(folder / "table.csv")
        pd.testing.assert_frame_equal(forked.drop(columns="seconds"), own.drop(columns="seconds"), check_exact=True)


def is_forked(stage: int) -> bool:
    """A process of its own is told where its modules are."""
    return b"PYTHONSAFEPATH" not in Path(f"/proc/{stage}/environ").read_bytes()


@pytest.mark.parametrize("edited", [False, True])
def test_a_stage_is_forked_unless_its_source_was_edited_since_the_driver_started(tmp_path: Path, edited: bool) -> None:
    project, results = tmp_path / "project", tmp_path / "results"
    for name in ("gpatlas", "images", "pipeline"):
        shutil.copytree(PROJECT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "luigi.cfg", project)
    driver = start(write_study(tmp_path / "study.yaml", SLOW_STUDY), results, *LOCAL, project=project)
    assert driver.stdout is not None
    assert driver.stdout.readline()  # what is to do: all is loaded
    if edited:
        with (project / "gpatlas" / "fit.py").open("a") as source:
            source.write('print("of the edited source")\n')
    stage, *_ = wait_for(lambda: processes("fit-ridge", str(results)))
    assert is_forked(stage) != edited
    output, _ = driver.communicate(timeout=600)
    assert driver.returncode == 0, output
    (log,) = results.glob("store/scaling/*/ridge-*/log.txt")
    assert ("of the edited source" in log.read_text()) == edited


SCRIPT = """
import os, sys
from pathlib import Path
from gpatlas.needs import Needs
from gpatlas.stages import STAGES
from pipeline.runners import Job, LocalRunner

folder = Path(sys.argv[1])
print("not the stage's", end="", flush=False)
held = bytearray(os.urandom(1)) * 600_000_000
del held
stage, runner = STAGES["simulate"], LocalRunner()
flags = ("--n-individuals", "10", "--n-loci", "4", "--n-qtl", "4", "--rel-aa", "1", *sys.argv[2:])
job = Job(stage, ("simulate", "--out", str(folder / "data.h5"), *flags), folder, (), Needs(1, 1, 0), {})
with runner.ready({folder: stage}, folder), (folder / "log.txt").open("w", buffering=1) as log:
    outcome = runner.run(job, log.write)
(folder / "exit_code").write_text(str(outcome.exit_code))
"""


def run_forked(folder: Path, *flags: str) -> tuple[int, list[str]]:
    """Exit code and log of a simulation, forked from a process that held much memory, and has not printed all it was told to."""
    ended = subprocess.run([sys.executable, "-c", SCRIPT, folder, *flags], env=ENVIRONMENT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "not the stage's", "")
    return int((folder / "exit_code").read_text()), (folder / "log.txt").read_text().splitlines()


def test_the_log_and_the_peak_memory_of_a_forked_stage_are_its_own(tmp_path: Path) -> None:
    code, lines = run_forked(tmp_path)
    assert code == 0
    assert {json.loads(line)["stage"] for line in lines} == {"simulate"}
    assert 10 < json.loads(lines[-1])["facts"]["peak_memory_mb"] < 400


def test_a_forked_stage_that_fails_says_why(tmp_path: Path) -> None:
    code, lines = run_forked(tmp_path, "--n-traits", "0")
    assert code == 2
    assert "n-traits" in lines[-1]


LARGE = ("--n-individuals", "1000000", "--n-loci", "2000", "--n-qtl", "2000")


@pytest.fixture
def large(tmp_path: Path) -> Iterator["tuple[subprocess.Popen[bytes], int]"]:
    """A process, and the simulation that is forked from it, which would take minutes."""
    with subprocess.Popen([sys.executable, "-c", SCRIPT, tmp_path, *LARGE], env=ENVIRONMENT, stdout=subprocess.DEVNULL) as task:
        stage, *_ = wait_for(lambda: processes("-m gpatlas simulate", str(tmp_path)))
        wait_for(lambda: "done" in (tmp_path / "log.txt").read_text())
        yield task, stage
        task.kill()


def test_a_forked_stage_dies_with_its_task(large: "tuple[subprocess.Popen[bytes], int]", tmp_path: Path) -> None:
    task, stage = large
    task.kill()
    task.wait()
    wait_for(lambda: not Path(f"/proc/{stage}").exists())
    assert not (tmp_path / "data.h5").exists()


def test_the_task_of_a_forked_stage_is_told_what_killed_it(large: "tuple[subprocess.Popen[bytes], int]", tmp_path: Path) -> None:
    task, stage = large
    os.kill(stage, signal.SIGKILL)
    assert task.wait() == 0
    assert int((tmp_path / "exit_code").read_text()) == -signal.SIGKILL


def test_a_forked_stage_can_be_told_to_end(large: "tuple[subprocess.Popen[bytes], int]", tmp_path: Path) -> None:
    """It removes what it has begun to write, as one of a process of its own does."""
    task, stage = large
    os.kill(stage, signal.SIGTERM)
    assert task.wait() == 0
    assert int((tmp_path / "exit_code").read_text()) == 128 + signal.SIGTERM
    assert {path.name for path in tmp_path.iterdir()} == {"exit_code", "log.txt"}
