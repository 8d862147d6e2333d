"""One of a driver's tasks asks Slurm for the jobs of all of them, and tells the others by files in a folder of this machine."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import slurm
from pipeline.locks import locked_at_once
from pipeline.slurm import LOST, Ended, NoAnswer, Queued, Refused
from pipeline.store import read_json, write_json

SECONDS_UNKNOWN = 120  # that long a job may be in neither the queue nor, ended, in the accounting; then it is lost
SECONDS_BETWEEN_HURRIES = 1.0
UNFINISHED = {"PENDING", "RUNNING", "REQUEUED", "RESIZING", "SUSPENDED", "COMPLETING", "CONFIGURING", ""}
ASKED, ASKING, HURRY, SILENT = "asked", "asking", "hurry", "silent"


class Board:
    """What is known of the jobs that tasks follow: a file per job, named by its id. Slurm is asked every `seconds`, sooner when hurried."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds

    def follow(self, job_id: str) -> None:
        """From now on Slurm is asked for this job. A controller that has lost its memory gives a number twice: nothing earlier counts."""
        write_json(self.folder / job_id, {})

    def hurry(self) -> None:
        """Ask soon: a job seems to have ended."""
        (self.folder / HURRY).touch()

    def waiting(self, job_id: str) -> str:
        """State of a job that has not ended, and why it waits; '' as long as nothing is known."""
        return str(read_json(self.folder / job_id).get("state", ""))

    def ended(self, job_id: str) -> Ended | None:
        """How the job ended; None as long as that is not known."""
        known = read_json(self.folder / job_id)
        return Ended(**known["ended"]) if "ended" in known else None

    def conclude(self, ended: Ended) -> None:
        """Whatever Slurm will say, this is how the job ended."""
        self._write(ended.id, {"ended": asdict(ended)})

    def open_ids(self) -> list[str]:
        """Of the jobs that are followed and have not ended."""
        return sorted(path.name for path in self.folder.iterdir() if path.name.isdecimal() and "ended" not in read_json(path))

    def ask_if_due(self) -> None:
        """Ask Slurm for all jobs, unless another task is at it. Whoever asks may be killed: then the next one does."""
        if self._is_due():
            with locked_at_once(self.folder / ASKING) as mine:
                if mine and self._is_due():
                    (self.folder / HURRY).unlink(missing_ok=True)
                    self._ask()
                    write_json(self.folder / ASKED, {"at": time.monotonic()})

    def _is_due(self) -> bool:
        seconds = SECONDS_BETWEEN_HURRIES if (self.folder / HURRY).exists() else self.seconds
        asked = read_json(self.folder / ASKED)
        return not asked or time.monotonic() - asked["at"] >= seconds

    def _ask(self) -> None:
        try:
            self.look()
            (self.folder / SILENT).unlink(missing_ok=True)
        except (NoAnswer, Refused) as error:
            if not (self.folder / SILENT).exists():
                print(f"Slurm does not answer ({error}); jobs go on, and are asked for again", file=sys.stderr, flush=True)
            (self.folder / SILENT).touch()

    def look(self) -> None:
        """What is in the queue has not ended, whatever the accounting says: a job that is requeued has failed there in between."""
        if not (ids := self.open_ids()):
            return
        queued = {job.id: job for job in slurm.queue()}
        for job_id in queued.keys() & ids:
            self._write(job_id, _waiting(queued[job_id]))
        if gone := sorted(set(ids) - queued.keys()):
            self._settle(gone)

    def _settle(self, gone: Sequence[str]) -> None:
        known = slurm.accounted(gone)
        for job_id in gone:
            ended = known.get(job_id)
            if ended is None or ended.state in UNFINISHED:
                since = read_json(self.folder / job_id).get("unknown_since", time.monotonic())
                if time.monotonic() - since < SECONDS_UNKNOWN:
                    self._write(job_id, {"unknown_since": since})
                    continue
                ended = Ended(job_id, LOST, "", 0, 0, 0, "", None)
            self.conclude(ended)

    def _write(self, job_id: str, known: dict[str, Any]) -> None:
        """Where it is news."""
        if known != read_json(self.folder / job_id):
            write_json(self.folder / job_id, known)


def _waiting(job: Queued) -> dict[str, Any]:
    return {"state": job.state.lower() + (f": {job.reason}" if job.state == "PENDING" else "")}
