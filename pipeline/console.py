"""What a run shows: one line per finished stage, and at a terminal what is running, a total and the time left.

Stages run in forked processes; they report through a pipe (`emit`), and a thread of the driver draws.
"""

import json
import logging
import os
import select
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rich.console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from pipeline.store import LOG

LOG_LINES = 20
_logger = logging.getLogger(__name__)
_channel: int | None = None


def emit(event: str, label: str, **facts: Any) -> None:
    """Tell the driver's console; nothing where there is none."""
    if _channel is not None:
        os.write(_channel, _line({"event": event, "label": label, **facts}))


def _line(message: dict[str, Any]) -> bytes:
    """The message as a line that a pipe takes in one piece, whoever else writes: where it is longer, its longest text is halved."""
    while len(line := json.dumps(message).encode() + b"\n") > select.PIPE_BUF:
        longest = max(message, key=lambda name: len(str(message[name])))
        text = str(message[longest])
        message[longest] = text[: len(text) // 2] + "…"
    return line


@dataclass(frozen=True)
class Work:
    """A stage to do: its kind (the model, or the stage's name) and its size in individuals, to estimate time by."""

    kind: str
    size: int


class Unread(Exception):
    """Nobody reads what is printed, as behind `| head`."""


def say(text: str) -> None:
    """Print it at once. Raises Unread where stdout has no reader."""
    try:
        print(text, flush=True)
    except BrokenPipeError as error:
        raise Unread from error


class _Terminal(rich.console.Console):
    """Where nobody reads any more, as behind `| head`, the run goes on silently; rich itself would end the thread."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Console:
    """Draws the events of one run. `todo`: the stages to do, by label; `failed`: those that did, and why."""

    def __init__(self, todo: Mapping[str, Work], workers: int) -> None:
        self.todo = dict(todo)
        self.total = len(todo)
        self.workers = workers
        self.failed: dict[str, str] = {}
        self._running: dict[str, TaskID] = {}
        self._spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._console = _Terminal(highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self._console.is_terminal,
        )
        self._total_line = self._progress.add_task("[bold]stages", total=self.total, note="")
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "Console":
        global _channel
        self._read_end, _channel = os.pipe()
        self._progress.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        global _channel
        assert _channel is not None
        os.write(_channel, b"\n")  # an empty line: no more events
        self._thread.join()
        os.close(_channel)
        os.close(self._read_end)
        _channel = None
        self._progress.stop()

    def print(self, text: str) -> None:
        """Show the text; what the terminal's encoding lacks becomes '?'."""
        encoding = self._console.encoding
        self._console.print(text.encode(encoding, "replace").decode(encoding), markup=False)

    def _listen(self) -> None:
        """Draw until an empty line comes, whatever comes before: stages that write wait for ever where nobody reads."""
        with os.fdopen(os.dup(self._read_end), errors="replace") as lines:
            for line in lines:
                if not line.strip():
                    return
                try:
                    event = json.loads(line)
                    getattr(self, "_" + event.pop("event"))(**event)
                except Exception:
                    _logger.exception("could not be shown: %s", line.rstrip())

    def _start(self, label: str) -> None:
        self._running[label] = self._progress.add_task(label, total=1, note="")

    def _step(self, label: str, done: int, total: int, note: str) -> None:
        if label in self._running:
            self._progress.update(self._running[label], completed=done, total=total, note=note)

    def _done(self, label: str, seconds: float, why: str) -> None:
        self._end(label)
        if label in self.todo:
            work = self.todo.pop(label)
            self._spent[work.kind][0] += seconds
            self._spent[work.kind][1] += work.size
        else:
            self.total += 1  # found damaged by a stage that reads from it
        finished = self.total - len(self.todo)
        self._progress.update(self._total_line, total=self.total, completed=finished, note=self._time_left())
        reason = f"  (again: {why})" if why else ""
        self.print(f"[{finished}/{self.total}] {label}  {seconds:.1f} s{reason}")

    def _fail(self, label: str, message: str, folder: str = "", command: str = "") -> None:
        self._end(label)
        if label in self.failed and not folder:
            return  # the scheduler's second attempt at a fault that has been shown
        self.print(f"FAILED {label}: {message}")
        log = Path(folder) / LOG
        lines = log.read_text(errors="replace").splitlines() if folder and log.exists() else []
        self.failed[label] = ": ".join([message, *[line for line in lines if line and not line.startswith("{")][-1:]])
        if folder:
            self.print("\n".join(f"    {line}" for line in lines[-LOG_LINES:]))
            self.print(f"  log:    {log}\n  repeat: {command}")

    def _end(self, label: str) -> None:
        if label in self._running:
            self._progress.remove_task(self._running.pop(label))

    def _time_left(self) -> str:
        """From the seconds per individual of the finished stages of each kind; '>' while a kind has none yet."""
        known = [work for work in self.todo.values() if self._spent[work.kind][1]]
        seconds = sum(work.size * self._spent[work.kind][0] / self._spent[work.kind][1] for work in known) / self.workers
        return f"{'' if len(known) == len(self.todo) else '> '}{seconds / 60:.1f} min left" if self.todo else ""
