"""Slurm's commands: what is asked of them, and what their answers mean.

`sbatch --wait` and `srun` end with 0 when a node dies, so neither is used: what is in the queue runs, of what is not the
accounting knows how it ended.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pipeline.processes import die_with

COMMANDS = ("sbatch", "squeue", "sacct", "scancel")
NO_ANSWER = re.compile(
    "unable to contact slurm|connect failure|connection (refused|reset|timed out)|socket timed out|timed out on send|zero bytes"
    "|temporarily un|backup controller|in standby|transport endpoint|communication|munge|authentication|slurmdbd|try again"
    "|unspecified error",
    re.IGNORECASE,
)
FULL = re.compile("(Max|Grp)Submit")
SECONDS_BETWEEN_TRIES = 2.0
SECONDS_FOR_AN_ANSWER = 120  # of one command
# Of a job that will never start.
HOPELESS = {
    *(
        "AccountNotAllowed",
        "BadConstraints",
        "DependencyNeverSatisfied",
        "InvalidAccount",
        "InvalidQOS",
        "JobHeldAdmin",
        "JobHoldMaxRequeue",
    ),
    *("PartitionNodeLimit", "PartitionTimeLimit", "QOSNotAllowed", "launch failed requeued held"),
}
LOST = "LOST"  # our word for the state of a job that Slurm has forgotten
T = TypeVar("T")


class NoAnswer(RuntimeError):
    """The controller or the accounting does not answer; it may later."""


class NoRoom(NoAnswer):
    """So many jobs are submitted that Slurm takes no more; it will when some have ended."""


class Refused(RuntimeError):
    """Slurm does not do what it was asked; the message is its own."""


@dataclass(frozen=True)
class Queued:
    """A job that waits or runs. `reason`: why it waits; `comment`: its driver; `folder`: where it works."""

    id: str
    state: str
    reason: str
    comment: str
    folder: Path


@dataclass(frozen=True)
class Ended:
    """How a job ended, by the accounting; `state` is one word. `memory_mb`: the peak that was seen, if any."""

    id: str
    state: str
    by: str
    exit_code: int
    signal: int
    seconds: int
    node: str
    memory_mb: float | None

    def ran_to_its_end(self) -> bool:
        """Whether its script ended by itself."""
        return self.state in ("COMPLETED", "FAILED") and not self.signal


def call(*command: str, stdin: str | None = None, preexec_fn: Callable[[], None] | None = None) -> str:
    """What the command prints. Raises NoAnswer or Refused."""
    # A driver may itself run in a job, whose variables are not meant for others.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_") or name == "SLURM_CONF"}
    try:
        answer = subprocess.run(
            command,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS_FOR_AN_ANSWER,
            env=environment,
            start_new_session=True,  # Ctrl-C is the driver's to hear
            preexec_fn=preexec_fn,
        )
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{command[0]} took longer than {SECONDS_FOR_AN_ANSWER} s") from None
    if answer.returncode:
        said = " ".join(answer.stderr.split()) or f"exit code {answer.returncode}"
        raise NoRoom(said) if FULL.search(said) else NoAnswer(said) if NO_ANSWER.search(said) else Refused(said)
    return answer.stdout


def patient(ask: Callable[[], T], seconds: float) -> T:
    """What `ask` returns, asked again while nobody answers, for so long, or while there is no room; says once that it waits."""
    deadline, said = time.monotonic() + seconds, False
    while True:
        try:
            return ask()
        except NoAnswer as error:
            if time.monotonic() >= deadline and not isinstance(error, NoRoom):
                raise
            if not said:
                print(f"waiting for Slurm ({error})", file=sys.stderr, flush=True)
                said = True
        time.sleep(SECONDS_BETWEEN_TRIES)


def submit(flags: Sequence[str], script: str) -> str:
    """Id of the new job. The command dies with this process, so that nothing is submitted for a dead one."""
    parent = os.getpid()
    answer = call("sbatch", "--parsable", *flags, stdin=script, preexec_fn=lambda: die_with(parent))
    return answer.strip().partition(";")[0]


def queue() -> list[Queued]:
    """This user's jobs that wait or run."""
    lines = call("squeue", "--me", "--noheader", "--format=%A|%T|%r|%k|%Z").splitlines()
    rows = [line.split("|", 4) for line in lines]
    return [Queued(job_id, state, reason, comment, Path(folder)) for job_id, state, reason, comment, folder in rows]


def accounted(ids: Iterable[str]) -> dict[str, Ended]:
    """What the accounting knows of these jobs, by id; not all of it is an end."""
    fields = "JobIDRaw,State,ExitCode,ElapsedRaw,NodeList,MaxRSS"
    answer = call("sacct", "--noheader", "--parsable2", f"--format={fields}", "--jobs", ",".join(ids))
    rows = [line.split("|") for line in answer.splitlines()]
    memory = {row[0].partition(".")[0]: value for row in rows if "." in row[0] and (value := _megabytes(row[5])) is not None}
    return {row[0]: _ended(row, memory.get(row[0])) for row in rows if "." not in row[0]}


def cancel(ids: Sequence[str]) -> None:
    """Stop these jobs; those that have ended already are no fault."""
    if ids:
        call("scancel", *ids)


def _ended(row: list[str], memory_mb: float | None) -> Ended:
    state, _, by = row[1].partition(" ")  # 'CANCELLED by 1000'
    exit_code, _, number = row[2].partition(":")
    return Ended(row[0], state, by.removeprefix("by "), int(exit_code or 0), int(number or 0), int(row[3] or 0), row[4], memory_mb)


def _megabytes(text: str) -> float | None:
    """Of '211824K'; None of ''."""
    found = re.fullmatch(r"([\d.]+)([KMGT]?)", text)
    return round(float(found[1]) * {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}[found[2]] / 1e6, 1) if found else None
