"""How a stage's command is run. A runner is one class here and one line in RUNNERS."""

import ctypes
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from gpatlas.stages import Stage

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Outcome:
    """How a stage ended: exit code (negative: the signal that ended it), wall time in seconds, peak memory in MB."""

    exit_code: int
    wall_seconds: float
    peak_memory_mb: float


class Runner(Protocol):
    """What runs the command line of a stage, and knows in which environment."""

    name: str

    def environment(self, stage: Stage) -> dict[str, str]:
        """What, beside its settings and inputs, decides the stage's result; part of its key."""

    def command(self, arguments: Sequence[str]) -> str:
        """The command line that a person would type."""

    def run(self, arguments: Sequence[str], on_line: Callable[[str], None]) -> Outcome:
        """Run `python -m gpatlas <arguments>`, hand over every line it prints, wait for its end."""


class LocalRunner:
    """A stage is a subprocess in the driver's own Python."""

    name = "local"

    def environment(self, stage: Stage) -> dict[str, str]:
        return {package: _version(package) for package in stage.packages}

    def command(self, arguments: Sequence[str]) -> str:
        return shlex.join([sys.executable, "-m", "gpatlas", *arguments])

    def run(self, arguments: Sequence[str], on_line: Callable[[str], None]) -> Outcome:
        started, parent = time.monotonic(), os.getpid()
        process = subprocess.Popen(
            [sys.executable, "-m", "gpatlas", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)},
            start_new_session=True,
            preexec_fn=lambda: die_with(parent),
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                on_line(line)
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        return Outcome(process.returncode, time.monotonic() - started, peak)


RUNNERS: dict[str, Runner] = {runner.name: runner for runner in (LocalRunner(),)}
PROJECT = Path(__file__).resolve().parents[1]


@cache
def _version(package: str) -> str:
    return version(package)


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, however that ends (Linux; elsewhere a no-op)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
