"""The console's channel: every message arrives whole, whatever is in it, and nothing that goes wrong in showing it stops the stages."""

import json
import multiprocessing
import os
import select
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import console
from pipeline.console import Console, Work, emit

TODO = {f"stage {number}": Work("ridge", 10) for number in range(4)}


def shown(capsys: pytest.CaptureFixture[str], report: Callable[[], object]) -> tuple[str, Console]:
    """What a console prints of the events that `report` sends, and the console."""
    with Console(TODO, workers=2) as drawn:
        report()
    return capsys.readouterr().out, drawn


def test_a_message_longer_than_a_pipe_takes_at_once_is_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    output, drawn = shown(capsys, lambda: emit("fail", "stage 1", message="no \U0001d6ba" * 100_000))
    assert output.startswith("FAILED stage 1: no \U0001d6bano")
    assert output.endswith("…\n")
    assert list(drawn.failed) == ["stage 1"]


@pytest.mark.parametrize("text", ["", "x" * 3900, "x" * 3990, "x" * 4096, '\n"\\' * 5000, "\udcff" * 5000, "é" * 100_000])
def test_a_line_is_one_atomic_write_of_json(text: str) -> None:
    line = console._line({"event": "fail", "label": "a stage", "message": text, "command": text, "folder": "/results/store"})
    assert len(line) <= select.PIPE_BUF
    assert line.count(b"\n") == 1
    message = json.loads(line)
    assert message.keys() == {"event", "label", "message", "command", "folder"}
    assert (message["label"], message["folder"]) == ("a stage", "/results/store")
    assert text.startswith(message["message"].removesuffix("…").rstrip("…"))


@pytest.mark.parametrize(
    "line", [b'{"event": "do\n', b"[1]\n", b"{}\n", b"\xff\xfe\n", b'{"event": "none"}\n', b'{"event": "done", "label": 3}\n']
)
def test_a_broken_line_is_passed_over(line: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    def report() -> None:
        assert console._channel is not None
        os.write(console._channel, line)
        emit("done", "stage 1", seconds=1.0, why="")

    output, _ = shown(capsys, report)
    assert output == "[1/4] stage 1  1.0 s\n"


def test_a_fault_in_drawing_stops_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """More messages than the pipe holds: were nobody reading, this would not end."""

    def print_badly(self: Console, text: str) -> None:
        raise BrokenPipeError(text)

    monkeypatch.setattr(Console, "print", print_badly)
    _, drawn = shown(capsys, lambda: [emit("done", f"stage {number % 4}", seconds=1.0, why="x" * 3000) for number in range(200)])
    assert drawn.todo == {}


def test_what_the_terminal_cannot_show_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "screen").open("w", encoding="ascii") as screen:
        monkeypatch.setattr("sys.stdout", screen)
        with Console(TODO, workers=2):
            emit("done", "stage 1", seconds=1.0, why="rate 0.01 → 0.02")
    assert (tmp_path / "screen").read_text() == "[1/4] stage 1  1.0 s  (again: rate 0.01 ? 0.02)\n"


def test_a_stage_that_was_found_damaged_on_the_way_counts(capsys: pytest.CaptureFixture[str]) -> None:
    def report() -> None:
        for label in ("stage 1", "another", "stage 2"):
            emit("done", label, seconds=1.0, why="")

    output, _ = shown(capsys, report)
    assert output == "[1/4] stage 1  1.0 s\n[2/5] another  1.0 s\n[3/5] stage 2  1.0 s\n"


@pytest.mark.parametrize(
    ("log", "why"),
    [('{"done": 1}\nError: too hot\n{"done": 2}\n\n', "ended: Error: too hot"), ('{"done": 1}\n', "ended"), (None, "ended")],
)
def test_a_failure_is_kept_with_the_last_words_of_its_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], log: str | None, why: str
) -> None:
    if log is not None:
        (tmp_path / "log.txt").write_text(log)
    output, drawn = shown(capsys, lambda: emit("fail", "stage 1", message="ended", folder=str(tmp_path), command="again"))
    assert drawn.failed == {"stage 1": why}
    assert output.startswith("FAILED stage 1: ended\n")
    assert f"  log:    {tmp_path / 'log.txt'}\n  repeat: again\n" in output


def _write_many(name: str) -> None:
    for number in range(200):
        emit("fail", f"{name} {number}", message=name * 5000)


def test_messages_of_several_processes_do_not_mix(capsys: pytest.CaptureFixture[str]) -> None:
    def report() -> None:
        writers = [multiprocessing.get_context("fork").Process(target=_write_many, args=(name,)) for name in "abcd"]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

    output, drawn = shown(capsys, report)
    assert sorted(drawn.failed) == sorted(f"{name} {number}" for name in "abcd" for number in range(200))
    assert all(set(line.split(": ")[1]) == {line.split()[1], "…"} for line in output.splitlines())
