"""How far a stage is: a bar for a person at a terminal, one JSON line per step on stderr for everything else."""

import json
import sys
import time
from typing import Any, TextIO

import click

from gpatlas.settings import resolve

REDRAWN = 1.0  # seconds between two bars in a notebook


class Progress:
    """Call it with (done, total) and whatever facts the step has: a loss, a trial.

    `lines`: where no person looks on, write the JSON lines that the driver reads. Else a notebook has a bar, which goes at the end.
    """

    def __init__(self, stage: str, stream: TextIO | None = None, lines: bool = True) -> None:
        self.stage = stage
        self.stream = stream or sys.stderr
        self.lines = lines
        self._terminal = self.stream.isatty()
        self._notebook = not lines and "ipykernel" in sys.modules
        self._output: Any = None  # of the notebook's cell, once there is a bar
        self._shown = time.monotonic()
        self._line_open = False

    def __call__(self, done: int, total: int, **facts: Any) -> None:
        if self._notebook:
            self._show(_bar(self.stage, done, total, facts))
        elif self._terminal:
            self._line_open = done < total
            click.echo(f"\r\x1b[K{_bar(self.stage, done, total, facts)}", file=self.stream, nl=done >= total)
        else:
            self._write({"stage": self.stage, "done": done, "total": total, **facts})

    def report(self, **facts: Any) -> None:
        """Facts of the whole stage (device, versions), for the provenance."""
        if not self._terminal:
            self._write({"stage": self.stage, "facts": facts})

    def close(self) -> None:
        """End the bar's line, where the stage ended before its last step."""
        if self._line_open:
            click.echo(file=self.stream)
            self._line_open = False
        if self._output:
            self._output.update({"text/plain": ""}, raw=True)

    def _write(self, line: dict[str, Any]) -> None:
        if not self.lines:
            return
        self.stream.write(json.dumps(line) + "\n")
        self.stream.flush()

    def _show(self, bar: str) -> None:
        """In the output of the notebook's cell, every second."""
        if time.monotonic() - self._shown < REDRAWN:
            return
        self._shown = time.monotonic()
        if self._output is None:
            self._output = resolve("IPython.display:display")({"text/plain": bar}, raw=True, display_id=True)
        else:
            self._output.update({"text/plain": bar}, raw=True)


def _bar(stage: str, done: int, total: int, facts: dict[str, Any]) -> str:
    filled = round(30 * done / total) if total else 30
    tail = "  ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in facts.items())
    return f"{stage} [{'#' * filled}{'-' * (30 - filled)}] {done}/{total}  {tail}"
