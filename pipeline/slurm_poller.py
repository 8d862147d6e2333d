"""One poller per driver: asks Slurm for all jobs at once, and tells the processes of the tasks by files in a folder of this machine."""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import slurm
from pipeline.runners import die_with
from pipeline.slurm import LOST, Ended, NoAnswer, Queued, Refused
from pipeline.store import read_json, write_json

FORK = multiprocessing.get_context("fork")
SECONDS_UNKNOWN = 120  # that long a job may be in neither the queue nor, ended, in the accounting; then it is lost
SECONDS_BETWEEN_HURRIES = 1.0
UNFINISHED = {"PENDING", "RUNNING", "REQUEUED", "RESIZING", "SUSPENDED", "COMPLETING", "CONFIGURING", ""}


class Board:
    """Where the poller writes what it knows, and a task that it follows a job: a file per job, named by its id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def follow(self, job_id: str) -> None:
        """From now on the poller asks for this job. A controller that has lost its memory gives a number twice: nothing earlier counts."""
        write_json(self.folder / job_id, {})

    def forget(self, job_id: str) -> None:
        """How the job ended is known."""
        (self.folder / job_id).unlink(missing_ok=True)

    def hurry(self) -> None:
        """Ask soon: a job seems to have ended."""
        (self.folder / "hurry").touch()

    def hurried(self) -> bool:
        """Whether anybody has asked that since this was last called."""
        there = (self.folder / "hurry").exists()
        (self.folder / "hurry").unlink(missing_ok=True)
        return there

    def waiting(self, job_id: str) -> str:
        """State of a job that has not ended, and why it waits; '' as long as nothing is known."""
        return str(read_json(self.folder / job_id).get("state", ""))

    def ended(self, job_id: str) -> Ended | None:
        """How the job ended; None as long as that is not known."""
        known = read_json(self.folder / job_id)
        return Ended(**known["ended"]) if "ended" in known else None

    def open_ids(self) -> list[str]:
        """Of the jobs that are followed and have not ended."""
        return sorted(path.name for path in self.folder.iterdir() if path.name.isdecimal() and "ended" not in read_json(path))

    def write(self, job_id: str, known: dict[str, Any]) -> None:
        """Where it is news."""
        if known != read_json(self.folder / job_id):
            write_json(self.folder / job_id, known)


class Poller:
    """Asks every `seconds`, and sooner when a task hurries it."""

    def __init__(self, board: Board, seconds: float) -> None:
        self.board, self.seconds = board, seconds
        self._unknown_since: dict[str, float] = {}
        self._silent = False

    def run(self, parent: int) -> None:
        """As long as the process `parent` lives. Ctrl-C is the parent's to hear."""
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        die_with(parent)
        due = 0.0
        while True:
            time.sleep(SECONDS_BETWEEN_HURRIES)
            if time.monotonic() >= due or self.board.hurried():
                due = time.monotonic() + self.seconds
                self._ask()

    def _ask(self) -> None:
        try:
            self.look()
            self._silent = False
        except (NoAnswer, Refused, OSError) as error:
            if not self._silent:
                print(f"Slurm does not answer ({error}); jobs go on, and are asked for again", file=sys.stderr, flush=True)
            self._silent = True

    def look(self) -> None:
        """What is in the queue has not ended, whatever the accounting says: a job that is requeued has failed there in between."""
        if not (ids := self.board.open_ids()):
            return
        queued = {job.id: job for job in slurm.queue()}
        for job_id in queued.keys() & ids:
            self._unknown_since.pop(job_id, None)
            self.board.write(job_id, _waiting(queued[job_id]))
        if gone := sorted(set(ids) - queued.keys()):
            self._settle(gone)

    def _settle(self, gone: Sequence[str]) -> None:
        known = slurm.accounted(gone)
        for job_id in gone:
            ended = known.get(job_id)
            if ended is None or ended.state in UNFINISHED:
                since = self._unknown_since.setdefault(job_id, time.monotonic())
                if time.monotonic() - since < SECONDS_UNKNOWN:
                    continue
                ended = Ended(job_id, LOST, "", 0, 0, 0, "", None)
            self.board.write(job_id, {"ended": asdict(ended)})


def _waiting(job: Queued) -> dict[str, Any]:
    return {"state": job.state.lower() + (f": {job.reason}" if job.state == "PENDING" else "")}


@contextmanager
def polling(seconds: float) -> Iterator[Board]:
    """While the block runs, a process asks for the jobs of the board.

    No thread: the tasks are forked without exec, and would inherit, and hold open, the pipes that it reads its commands from.
    """
    with tempfile.TemporaryDirectory(prefix="gpatlas-slurm-") as folder:
        board = Board(Path(folder))
        poller = FORK.Process(target=Poller(board, seconds).run, args=(os.getpid(),), daemon=True)
        poller.start()
        try:
            yield board
        finally:
            poller.kill()
            poller.join()
