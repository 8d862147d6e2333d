"""How a stage's command is run. A runner is one class and one line in RUNNERS."""

import csv
import io
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import gpatlas
from gpatlas.needs import Needs
from gpatlas.stages import Stage
from images import PROJECT
from pipeline.machine import capacity, fitted, processor
from pipeline.processes import ForkedStage, die_with, preload

SIMULATE_R = PROJECT / "r" / "simulate.R"
OnLine = Callable[[str], None]


class RunnerError(RuntimeError):
    """A stage can't be run here, or its environment failed it; the message says what to do."""


@dataclass(frozen=True)
class Job:
    """One run of a stage: its arguments, the one `folder` that it writes to, what it `reads`, and what it needs."""

    stage: Stage
    arguments: tuple[str, ...]
    folder: Path
    reads: tuple[Path, ...]
    needs: Needs
    labels: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """How a stage ended: exit code (negative: the signal that ended it), wall time in seconds, and the image it ran in.

    `why`: what the exit code does not say; `facts`: more for the provenance.
    """

    exit_code: int
    wall_seconds: float
    image: str | None = None
    out_of_memory: bool = False
    why: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


class Runner(Protocol):
    """What runs the command line of a stage, and knows in which environment."""

    name: str

    def environment(self, stage: Stage) -> dict[str, str]:
        """What, beside its settings and inputs, decides the stage's result; part of its key. Raises RunnerError where it can't be run."""

    def command(self, job: Job) -> str:
        """The command line that a person would type to run the job into the current folder."""

    def capacity(self) -> dict[str, int]:
        """What the stages that run at the same time share, and how much there is of it."""

    def processor(self) -> str:
        """What stages compute on, as far as that is known before they run."""

    def granted(self, needs: Needs, memory_gb: int) -> Needs:
        """What a stage gets that has these needs; `memory_gb`: the config's word on its memory, where that is not 0."""

    def shares(self, granted: Needs) -> dict[str, int]:
        """What of the capacity a stage takes that is granted this."""

    @contextmanager
    def ready(self, folders: Mapping[Path, Stage], results: Path) -> Iterator[None]:
        """Around a driver's run of stages, by the folder that each will write to: refuse what can't be run, remove what a dead driver
        left, leave nothing behind."""

    def evict(self, folder: Path) -> bool:
        """Stop whatever still writes to `folder`, on which the caller holds the lock; True where it goes on, as the next `run`'s own."""

    def run(self, job: Job, on_line: OnLine) -> Outcome:
        """Run the job, hand over every line it prints, wait for its end."""


class OnThisMachine:
    """What the runners share whose stages use the machine that the driver is on."""

    def capacity(self) -> dict[str, int]:
        return capacity()

    def processor(self) -> str:
        return processor()

    def granted(self, needs: Needs, memory_gb: int) -> Needs:
        return fitted(needs, memory_gb)

    def shares(self, granted: Needs) -> dict[str, int]:
        return {name: amount for name, amount in asdict(granted).items() if name in capacity()}


class LocalRunner(OnThisMachine):
    """A stage is a process in the driver's own environment; a kernel's word ties its life to the task's process."""

    name = "local"

    def __init__(self) -> None:
        self._loaded: dict[Path, int] = {}  # the sources that stages are forked with

    def environment(self, stage: Stage) -> dict[str, str]:
        return _r_versions() if stage.image == "r" else {package: _version(package) for package in stage.packages}

    def command(self, job: Job) -> str:
        return shlex.join(local_command(job))

    @contextmanager
    def ready(self, folders: Mapping[Path, Stage], results: Path) -> Iterator[None]:
        if sys.platform == "linux":  # elsewhere a forked process can't use every library
            self._loaded = self._loaded or _sources()
            preload(stage for stage in folders.values() if stage.image != "r")
        yield

    def evict(self, folder: Path) -> bool:
        """Its processes died with the one that held the lock."""
        return False

    def run(self, job: Job, on_line: OnLine) -> Outcome:
        started = time.monotonic()
        process = self._start(job)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                on_line(line)
        except BaseException:
            process.kill()
            raise
        finally:
            exit_code = process.wait()
        return Outcome(exit_code, time.monotonic() - started)

    def _start(self, job: Job) -> "ForkedStage | subprocess.Popen[str]":
        """By a fork, unless what the stage would run has been edited since it was loaded."""
        if job.stage.image != "r" and self._loaded == _sources():
            return ForkedStage(job.arguments, local_command(job))
        parent = os.getpid()
        path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        return subprocess.Popen(
            local_command(job),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"},  # nothing is imported from the working directory
            start_new_session=True,
            preexec_fn=lambda: die_with(parent),
        )


def local_command(job: Job) -> list[str]:
    """The words that run the job in the driver's own environment."""
    program = ["Rscript", "--vanilla", str(SIMULATE_R)] if job.stage.image == "r" else [sys.executable, "-m", "gpatlas"]
    return [*program, *job.arguments]


def shown_read_only(job: Job) -> list[tuple[str, str]]:
    """What a container sees beside its own folder, and where: what the job reads, and the files that links in its sources name."""
    binds = {str(path): str(path) for path in job.reads}
    sources = [path for path in job.reads if path.is_dir() and not job.folder.is_relative_to(path)]
    for link in (Path(root) / name for source in sources for root, _, names in os.walk(source) for name in names):
        if link.is_symlink() and link.exists():
            named = os.path.normpath(link.parent.resolve() / link.readlink())
            if not any(Path(named).is_relative_to(path) for path in job.reads):
                binds[named] = str(link.resolve())
    return [(path, there) for there, path in binds.items()]


def csv_fields(*fields: str) -> str:
    """The value of a container tool's --mount, where a path may hold commas and quotes."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(fields)
    return text.getvalue()


def _sources() -> dict[Path, int]:
    """When each source file of the stages was changed last, in ns."""
    return {path: path.stat().st_mtime_ns for path in Path(gpatlas.__file__).parent.rglob("*.py")}


@cache
def _version(package: str) -> str:
    return version(package)


@cache
def _r_versions() -> dict[str, str]:
    """Versions of R and of the packages that r/simulate.R needs; RunnerError where one is missing."""
    code = "cat(as.character(getRversion()), as.character(packageVersion('AlphaSimR')), as.character(packageVersion('hdf5r')))"
    try:
        answer = subprocess.run(["Rscript", "--vanilla", "-e", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[0]
        raise RunnerError(
            f"simulator 'alphasimr' needs Rscript with AlphaSimR 1.4.2 and hdf5r for runner 'local' ({reason}); or use --runner docker"
        ) from error
    return dict(zip(("R", "AlphaSimR", "hdf5r"), answer.stdout.split(), strict=True))
