"""The mechanics that all stage tasks share: key, output folder, run, check, provenance."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import luigi

from gpatlas.settings import Settings
from gpatlas.stages import Stage
from pipeline.console import emit
from pipeline.runners import PROJECT, RUNNERS, Outcome, Runner, die_with
from pipeline.store import LOG, PROVENANCE, Entry, read_json, short_hash, write_json

ATTEMPTS = 3  # a stage whose process is killed, or whose driver dies, is tried again; one that fails by itself is not
SECONDS_BETWEEN_REPORTS = 0.5
_driver: int | None = None  # pid of the driver whose forked children run the tasks


class StageFailed(RuntimeError):
    """A stage ended without a result; the message says how."""


def set_driver(pid: int | None) -> None:
    """Tie the life of every task process forked from now on to the driver `pid`."""
    global _driver
    _driver = pid


def session() -> str:
    """Names the driver: host, pid and start time of its process."""
    pid = _driver or os.getpid()
    return f"{platform.node()}-{pid}-{_start_time(pid)}"


@cache
def _start_time(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return "unknown"


@cache
def git_commit() -> str:
    """Commit of the project's checkout, '+' behind it where files differ from it; 'unknown' outside a checkout."""
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@contextmanager
def reporting(label: str) -> Iterator[None]:
    """Faults that are not a stage's own failure reach the console too."""
    try:
        yield
    except StageFailed:
        raise
    except Exception as error:
        emit("fail", label, message=f"{type(error).__name__}: {error}")
        raise


class EntryTarget(luigi.Target):
    """A finished output folder."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    def exists(self) -> bool:
        return self.entry.exists()

    def __str__(self) -> str:
        return str(self.entry.path)


class StageTask(luigi.Task):
    """One stage of one scenario. A subclass says which stage, which settings, which inputs, and where it belongs."""

    results = luigi.PathParameter(absolute=True, description="folder of all results")
    runner = luigi.Parameter(default="local", significant=False, description="what runs the stage's command")
    retry_count = ATTEMPTS

    stage: Stage
    settings: Settings
    name: str
    folder: str  # below the store: experiment/scenario
    size = 1  # in individuals, to estimate time by

    def inputs(self) -> Mapping[str, "StageTask"]:
        """The tasks whose outputs this one reads, by label."""
        return {}

    def input_keys(self) -> dict[str, str]:
        """What the inputs contribute to the key."""
        return {label: task.key for label, task in self.inputs().items()}

    def prepare(self, folder: Path) -> None:
        """Write into the output folder what the command reads from there."""

    def source(self, folder: Path) -> Path | None:
        """The one file or folder that the stage's command reads; `folder` is the output folder."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        return f"{self.folder} {self.name}"

    @cached_property
    def ingredients(self) -> dict[str, Any]:
        """Everything that decides the result."""
        return {
            "stage": self.stage.name,
            "version": self.stage.version,
            "settings": self.settings.identity(),
            "inputs": self.input_keys(),
            "environment": self._runner.environment(self.stage),
        }

    @cached_property
    def key(self) -> str:
        return short_hash(self.ingredients)

    @cached_property
    def entry(self) -> Entry:
        return Entry(self.results / "store" / self.folder, self.name, self.key, self.stage.output)

    @property
    def _runner(self) -> Runner:
        return RUNNERS[self.runner]

    def requires(self) -> list["StageTask"]:
        return list(self.inputs().values())

    def output(self) -> EntryTarget:
        return EntryTarget(self.entry)

    def run(self) -> None:
        """Fill the entry. Returns at once where it is full: a scheduler may hand over a task that is done."""
        if _driver is not None and os.getpid() != _driver:
            die_with(_driver)
        with reporting(self.label):
            self._refuse_repetition()
            why = self.entry.why_not(self.ingredients)
            with self.entry.claimed() as mine:
                if mine:
                    self._fill(why)

    def _refuse_repetition(self) -> None:
        """The scheduler tries a failed task again; a stage that failed by itself in this very run would only fail again."""
        before = read_json(self.entry.failed / PROVENANCE)
        if before.get("session") == session() and before.get("exit_code", 0) > 0:
            raise StageFailed(f"{self.label} has failed in this run already")

    def _fill(self, why: str) -> None:
        emit("start", self.label)
        part = self.entry.part
        self.prepare(part)
        started = datetime.now(UTC)
        facts: dict[str, Any] = {}
        with (part / LOG).open("w", encoding="utf-8") as log:
            outcome = self._runner.run(self._arguments(part, part / self.stage.output), _LineReader(self, log, facts))
        self._record(part, outcome, started, facts)
        if outcome.exit_code or not (part / self.stage.output).exists():
            self._fail(outcome)
        self.entry.commit()
        emit("done", self.label, seconds=outcome.wall_seconds, why=why)

    def _arguments(self, folder: Path, out: Path | str) -> list[str]:
        read = [f"--{self.stage.source}", str(self.source(folder))] if self.stage.source else []
        return [self.stage.name, *read, "--out", str(out), *self.stage.flags(self.settings)]

    def _repeat(self, folder: Path) -> str:
        """The command that repeats the stage, into the current folder."""
        return self._runner.command(self._arguments(folder, self.stage.output))

    def _record(self, part: Path, outcome: Outcome, started: datetime, facts: dict[str, Any]) -> None:
        provenance = {
            "key": self.key,
            "ingredients": self.ingredients,
            "settings": self.settings.model_dump(mode="json"),
            "runner": self.runner,
            "image": None,
            **facts,
            "git_commit": git_commit(),
            "python": platform.python_version(),
            "host": platform.node(),
            "session": session(),
            "started": started.isoformat(timespec="seconds"),
            "wall_seconds": round(outcome.wall_seconds, 3),
            "peak_memory_mb": round(outcome.peak_memory_mb, 1),
            "exit_code": outcome.exit_code,
            "command": self._repeat(self.entry.path),
        }
        write_json(part / PROVENANCE, provenance)

    def _fail(self, outcome: Outcome) -> None:
        self.entry.fail()
        code = outcome.exit_code
        message = "wrote no output" if code == 0 else f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        emit("fail", self.label, message=message, folder=str(self.entry.failed), command=self._repeat(self.entry.failed))
        raise StageFailed(f"{self.label} {message}, see {self.entry.failed / LOG}")


class _LineReader:
    """Takes a stage's output line by line: all of it to the log, its progress to console and scheduler."""

    def __init__(self, task: StageTask, log: Any, facts: dict[str, Any]) -> None:
        self.task, self.log, self.facts = task, log, facts
        self._next_report = 0.0

    def __call__(self, line: str) -> None:
        self.log.write(line)
        self.log.flush()
        message = _parse(line)
        self.facts.update(message.get("facts", {}))
        if "done" in message and (time.monotonic() >= self._next_report or message["done"] >= message["total"]):
            self._next_report = time.monotonic() + SECONDS_BETWEEN_REPORTS
            self._report(message)

    def _report(self, message: dict[str, Any]) -> None:
        done, total = message["done"], message["total"]
        note = "  ".join(f"{name} {value:.4g}" for name, value in message.items() if isinstance(value, float))
        emit("step", self.task.label, done=done, total=total, note=note)
        for name, value in (("set_progress_percentage", round(100 * done / total)), ("set_status_message", f"{done}/{total}  {note}")):
            report = getattr(self.task, name, None)  # there while Luigi's worker runs the task
            if report:
                report(value)


def _parse(line: str) -> dict[str, Any]:
    """The message of a progress line; {} for any other line."""
    if not line.startswith("{"):
        return {}
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
