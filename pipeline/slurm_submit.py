"""How stages become jobs, one each or, where they take seconds, several in one."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from gpatlas.needs import Needs
from pipeline import slurm
from pipeline.locks import locked_at_once
from pipeline.session import session
from pipeline.slurm import NoAnswer, Refused
from pipeline.slurm_comment import Comment, jobs_in, submitted_jobs
from pipeline.slurm_options import SlurmOptions
from pipeline.slurm_script import FILES, flags, shared_script
from pipeline.store import read_json, write_json

SECONDS_FOR_CONTROLLER = 3600  # how long to wait for one that does not answer
SECONDS_FOR_COMPANY = 2.0  # how long a stage that takes seconds waits for others
SECONDS_BETWEEN_LOOKS = 0.2
WANTED, GIVEN = ".wanted", ".given"  # what the names of the pool's files end with
T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """A stage that is to run: its folder, its key, what it may take, and the script that runs it."""

    folder: Path
    key: str
    needs: Needs
    script: str


def asked(ask: Callable[[], T]) -> T:
    """What `ask` returns, as soon as Slurm answers."""
    return slurm.patient(ask, SECONDS_FOR_CONTROLLER)


def submitted(requests: Sequence[Request], options: SlurmOptions) -> str:
    """Id of the job. Where nobody answered, it may have been taken all the same: before each further try it is looked for."""
    first, folders, tried = requests[0], [request.folder for request in requests], False
    alone = len(requests) == 1
    text = "#!/bin/bash\n" + (first.script if alone else shared_script({request.folder: request.script for request in requests}))
    where = (first.folder, f"{FILES}%j.log") if alone else (Path(os.path.commonpath(folders)), os.devnull)
    said = flags(first.key, str(Comment.of(session(), folders)), *where, _together(requests, options), options)

    def attempt() -> str:
        nonlocal tried
        if tried and (found := jobs_in(first.folder)):
            return found[0].id
        tried = True
        return slurm.submit(said, text)

    return asked(attempt)


def _together(requests: Sequence[Request], options: SlurmOptions) -> Needs:
    """What stages may take that run one after the other."""
    needs = [request.needs for request in requests]
    minutes, memory_gb = sum(one.minutes for one in needs), max(one.memory_gb for one in needs)
    return replace(needs[0], memory_gb=memory_gb, minutes=min(minutes, options.max_minutes))


class Pool:
    """Where a driver's tasks leave, in a folder of this machine, the stages that may share a job. One of them submits for all."""

    def __init__(self, folder: Path, options: SlurmOptions) -> None:
        self.folder, self.options = folder, options

    def job_of(self, request: Request) -> str | None:
        """Id of the job that the stage is in with others; None where none came in time, or Slurm takes no such job."""
        wanted = self.folder / f"{uuid4().hex}{WANTED}"
        answer, since = wanted.with_suffix(GIVEN), time.monotonic()
        write_json(wanted, {**asdict(request), "folder": str(request.folder)})
        while not answer.exists():
            time.sleep(SECONDS_BETWEEN_LOOKS)
            if time.monotonic() - since >= SECONDS_FOR_COMPANY or len(self._waiting()) >= self.options.stages_per_job:
                with locked_at_once(self.folder / "submitting") as mine:
                    if mine and not answer.exists():
                        self._submit_with(wanted)
        job: str | None = read_json(answer)["job"]
        return job

    def _waiting(self) -> list[Path]:
        return [path for path in sorted(self.folder.glob(f"*{WANTED}")) if not path.with_suffix(GIVEN).exists()]

    def _submit_with(self, own: Path) -> None:
        """A job for this stage, and those that may share it. A task that died here may have submitted one: that is looked for first."""
        waiting = {path: _read(path) for path in [own, *self._waiting()]}
        alike = {path: request for path, request in waiting.items() if request.needs.cpu == waiting[own].needs.cpu}
        stages = dict(list({request.folder: request for request in alike.values()}.items())[: self.options.stages_per_job])
        jobs: dict[Path, str | None] = dict.fromkeys(stages)
        try:
            jobs |= {folder: job.id for job in asked(submitted_jobs) for folder in stages if job.comment.has(folder)}
            if len(rest := [request for folder, request in stages.items() if jobs[folder] is None]) > 1:
                jobs |= dict.fromkeys((request.folder for request in rest), submitted(rest, self.options))
        except (NoAnswer, Refused) as error:
            print(f"Slurm takes no job of several stages ({error}); each gets its own", file=sys.stderr, flush=True)
        for path, request in alike.items():
            if request.folder in jobs:
                write_json(path.with_suffix(GIVEN), {"job": jobs[request.folder]})


def _read(path: Path) -> Request:
    """As `Pool.job_of` wrote it."""
    wanted = read_json(path)
    return Request(Path(wanted["folder"]), wanted["key"], Needs(**wanted["needs"]), wanted["script"])
