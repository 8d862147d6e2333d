"""The mechanics that all stage tasks share: key, output folder, run, check, provenance."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import luigi

from gpatlas.models.settings import NeuralSettings
from gpatlas.needs import Needs, needs
from gpatlas.settings import Settings, Size
from gpatlas.stages import Stage
from images import PROJECT
from pipeline.console import emit
from pipeline.processes import die_with
from pipeline.registry import RUNNERS
from pipeline.runners import Job, Outcome, Runner
from pipeline.session import driver, session
from pipeline.store import LOG, PROVENANCE, Entry, read_json, short_hash, write_json

HIDDEN = luigi.parameter.ParameterVisibility.HIDDEN  # from the web view
ATTEMPTS = 3  # a stage whose process is killed, or whose driver dies, is tried again; one that fails by itself is not
SECONDS_BETWEEN_REPORTS = 0.5


class StageFailed(RuntimeError):
    """A stage ended without a result; the message says how."""


@cache
def git_commit() -> str:
    """Commit of the project's checkout, '+' behind it where files differ from it; 'unknown' outside a checkout."""
    command = ["git", "-C", str(PROJECT), "--git-dir=.git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
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

    results = luigi.PathParameter(absolute=True, visibility=HIDDEN, description="folder of all results")
    runner = luigi.Parameter(description="what runs the stage's command")
    memory_gb = luigi.IntParameter(significant=False, visibility=HIDDEN, description="memory of a stage in GB; 0: estimated from its size")
    retry_count = ATTEMPTS

    stage: Stage
    settings: Settings
    name: str
    folder: str  # below the store: experiment/scenario
    size = Size()
    files: tuple[Path, ...] = ()  # that the command reads beside the results and its source

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The hidden parameters tell tasks apart too: the web view is spared them, not the scheduler.
        self.task_id = luigi.task.task_id_str(self.get_task_family(), self.to_str_params(only_significant=True))

    def inputs(self) -> Mapping[str, "StageTask"]:
        """The tasks whose outputs this one reads, by label."""
        return {}

    def input_keys(self) -> dict[str, str]:
        """What the inputs contribute to the key."""
        return {label: task.key for label, task in self.inputs().items()}

    def prepare(self, folder: Path) -> None:
        """Write into the output folder what the command reads from there."""

    def told(self, folder: Path) -> Settings:
        """The settings that the command gets, which may name files of the output folder."""
        return self.settings

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
            "environment": {**self._runner.environment(self.stage), **self._computes_on()},
        }

    def _computes_on(self) -> dict[str, str]:
        """What `auto` comes to where the stage runs, where that decides the result: training makes much of a last digit."""
        if not isinstance(self.settings, NeuralSettings):
            return {}
        device = {"device": "cuda" if self.needs.gpu else "cpu"}
        return device | ({"processor": self._runner.processor()} if getattr(self.settings, "precision", "") == "auto" else {})

    @cached_property
    def key(self) -> str:
        return short_hash(self.ingredients)

    @cached_property
    def entry(self) -> Entry:
        return Entry(self.results / "store" / self.folder, self.name, self.key, self.stage.output)

    @property
    def _runner(self) -> Runner:
        return RUNNERS[self.runner]

    @property
    def estimate(self) -> Needs:
        """What the stage would like to use while it runs."""
        return needs(self.stage, self.told(self.results), self.size)

    @cached_property
    def needs(self) -> Needs:
        """What it may use."""
        return self._runner.granted(self.estimate, self.memory_gb)

    @property
    def resources(self) -> dict[str, int]:
        return self._runner.shares(self.needs)

    def requires(self) -> list["StageTask"]:
        return list(self.inputs().values())

    def output(self) -> EntryTarget:
        return EntryTarget(self.entry)

    def run(self) -> Iterator[list["StageTask"]]:
        """Fill the entry. Returns at once where it is full: a scheduler may hand over a task that is done.

        Yields the inputs that are damaged: Luigi has them made again, and then calls this anew.
        """
        if (pid := driver()) not in (None, os.getpid()):
            die_with(pid)
        with reporting(self.label):
            if self.complete():
                return
            if again := damaged(self.requires()):
                yield again
            self._refuse_repetition()
            why = self.entry.why_not(self.ingredients)
            with self.entry.claimed(self._runner.evict) as mine:
                if mine:
                    self._fill(why)

    def _refuse_repetition(self) -> None:
        """The scheduler tries a failed task again; a stage that failed by itself in this very run would only fail again."""
        before = read_json(self.entry.failed / PROVENANCE)
        if before.get("session") == str(session()) and before.get("exit_code", 0) > 0:
            raise StageFailed(f"{self.label} has failed in this run already")

    def tell(self, what: str, value: Any) -> None:
        """To the scheduler's web view, by the setters that Luigi's worker gives the task while it runs it."""
        if report := getattr(self, f"set_{what}", None):
            report(value)

    def _fill(self, why: str) -> None:
        emit("start", self.label)
        part, out = self.entry.part, self.entry.part / self.stage.output
        self.tell("tracking_url", (part / LOG).as_uri())
        self.prepare(part)
        started = datetime.now(UTC)
        facts: dict[str, Any] = {}
        with (part / LOG).open("w", encoding="utf-8") as log:
            outcome = self._runner.run(self.job(part, out), _LineReader(self, log, facts))
        self._record(part, outcome, started, facts)
        if outcome.exit_code or not (out.is_file() and out.stat().st_size):
            self._fail(outcome)
        self.entry.commit()
        self.tell("status_message", f"took {outcome.wall_seconds:.1f} s\nlog: {self.entry.path / LOG}")
        emit("done", self.label, seconds=outcome.wall_seconds, why=why)

    def job(self, folder: Path, out: Path | str) -> Job:
        """The run of its command that reads from and writes to its output folder `folder`, the output `out`."""
        source = self.source(folder) if self.stage.source else None
        read = (f"--{self.stage.source}", str(source)) if source else ()
        arguments = (self.stage.command, *read, "--out", str(out), *self.stage.flags(self.told(folder)))
        reads = {self.results, *(path for path in (source, *self.files) if path and not path.is_relative_to(self.results))}
        return Job(self.stage, arguments, folder, tuple(sorted(reads)), self.needs, {"task": self.label, "key": self.key})

    def _repeat(self, folder: Path) -> str:
        """The command that repeats the stage, into the current folder."""
        return self._runner.command(self.job(folder, self.stage.output))

    def _record(self, part: Path, outcome: Outcome, started: datetime, facts: dict[str, Any]) -> None:
        provenance = {
            "key": self.key,
            "ingredients": self.ingredients,
            "settings": self.settings.model_dump(mode="json"),
            "runner": self.runner,
            "image": outcome.image,
            "needs": asdict(self.needs),
            **outcome.facts,
            **facts,
            "git_commit": git_commit(),
            "python": platform.python_version(),
            "host": platform.node(),
            "session": str(session()),
            "started": started.isoformat(timespec="milliseconds"),
            "wall_seconds": round(outcome.wall_seconds, 3),
            "exit_code": outcome.exit_code,
            "out_of_memory": outcome.out_of_memory,
            "command": self._repeat(self.entry.path),
        }
        write_json(part / PROVENANCE, provenance)

    def _fail(self, outcome: Outcome) -> None:
        self.entry.fail()
        message = self._what_happened(outcome)
        self.tell("status_message", f"{message}\nlog: {self.entry.failed / LOG}")
        emit("fail", self.label, message=message, folder=str(self.entry.failed), command=self._repeat(self.entry.failed))
        raise StageFailed(f"{self.label} {message}, see {self.entry.failed / LOG}")

    def _what_happened(self, outcome: Outcome) -> str:
        if outcome.out_of_memory and not outcome.why:
            return f"ran out of memory at its limit of {self.needs.memory_gb} GB; give every stage more by the config's memory_gb"
        if outcome.exit_code < 0:
            return f"was killed by signal {-outcome.exit_code}"
        return outcome.why or (f"ended with exit code {outcome.exit_code}" if outcome.exit_code else "wrote no output")


def damaged(tasks: Iterable[StageTask]) -> list[StageTask]:
    """Those whose outputs, read to the last byte, are not what was recorded. Raises OSError where one was made by this run."""
    found = [task for task in tasks if not task.entry.verified()]
    for task in found:
        if task.entry.provenance().get("session") == str(session()):
            raise OSError(f"{task.entry.fault()} in {task.entry.path}, which was made in this run; is the disk sound?")
    return found


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
        self.task.tell("progress_percentage", round(100 * done / total))
        self.task.tell("status_message", f"{done}/{total}  {note}\nlog: {self.log.name}")


def _parse(line: str) -> dict[str, Any]:
    """The message of a progress line; {} for any other line."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
