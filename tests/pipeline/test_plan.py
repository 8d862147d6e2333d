"""pipeline.plan: a plan that takes long says so; tests/pipeline/test_driver.py runs one."""

import time

import pytest

from pipeline import plan


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
