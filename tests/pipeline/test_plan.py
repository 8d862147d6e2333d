"""pipeline.plan: a plan that takes long says so; tests/pipeline/test_driver.py runs one. Commands whose reader has gone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from drivers import ENVIRONMENT, LOCAL, RIDGE_STUDY, run, start, write_study

from pipeline import plan

UNREAD = 128 + signal.SIGPIPE


def test_what_takes_long_is_said_on_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(plan, "SECONDS_BETWEEN_LINES", 0.001)
    said = ""
    with plan.said_to_go_on("study.yaml: looking for 3 stages"):
        while not said:
            time.sleep(0.001)
            said = capsys.readouterr().err
    assert said.startswith("study.yaml: looking for 3 stages …\n")


def test_what_is_quick_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(plan, "SECONDS_BETWEEN_LINES", 3600)
    with plan.said_to_go_on("study.yaml"):
        pass
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("words", ["gpatlas --help", "pipeline configs", "pipeline configs copy demo .", "pipeline plan --config {}"])
def test_a_command_whose_reader_has_gone_ends_silently(tmp_path: Path, words: str, buffered: str) -> None:
    config = write_study(tmp_path / "study.yaml", RIDGE_STUDY)
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", *words.format(config).split()]
    environment = {**ENVIRONMENT, "PYTHONUNBUFFERED": buffered}
    ended = subprocess.run(command, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, text=True, env=environment)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (UNREAD, "")


def test_a_run_whose_reader_has_gone_goes_on(tmp_path: Path) -> None:
    config, results = write_study(tmp_path / "study.yaml", RIDGE_STUDY), tmp_path / "results"
    driver = start(config, results, *LOCAL, stderr=subprocess.PIPE)
    assert driver.stdout
    assert driver.stderr
    assert driver.stdout.readline()
    driver.stdout.close()
    assert driver.stderr.read() == ""
    assert driver.wait() == UNREAD
    code, output = run(config, results)
    assert code == 0
    assert "nothing to do" in output
