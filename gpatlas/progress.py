"""How far a stage is: a bar for a person at a terminal, one JSON line per step on stderr for everything else."""

import json
import sys
from typing import Any, TextIO

import click


class Progress:
    """Call it with (done, total) and whatever facts the step has: a loss, a trial.

    `lines`: where no person looks on, write the JSON lines that the driver reads; a notebook's reader is a person.
    """

    def __init__(self, stage: str, stream: TextIO | None = None, lines: bool = True) -> None:
        self.stage = stage
        self.stream = stream or sys.stderr
        self.lines = lines
        self._terminal = self.stream.isatty() or (not lines and "ipykernel" in sys.modules)
        self._line_open = False

    def __call__(self, done: int, total: int, **facts: Any) -> None:
        if self._terminal:
            self._draw(done, total, facts)
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

    def _write(self, line: dict[str, Any]) -> None:
        if not self.lines:
            return
        self.stream.write(json.dumps(line) + "\n")
        self.stream.flush()

    def _draw(self, done: int, total: int, facts: dict[str, Any]) -> None:
        filled = round(30 * done / total) if total else 30
        tail = "  ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in facts.items())
        self._line_open = done < total
        click.echo(f"\r\x1b[K{self.stage} [{'#' * filled}{'-' * (30 - filled)}] {done}/{total}  {tail}", file=self.stream, nl=done >= total)
