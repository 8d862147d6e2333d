"""Each stage a job of a Slurm cluster, which places, limits and restarts it.

The driver runs on a host that has Slurm's commands; it and the nodes see the project, its virtual environment and the
results at the same paths.
"""

import multiprocessing
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from gpatlas.needs import Needs
from gpatlas.stages import Stage
from pipeline import slurm
from pipeline.console import emit
from pipeline.runners import Job, LocalRunner, OnLine, Outcome, RunnerError, local_command
from pipeline.session import Session, session
from pipeline.slurm import HOPELESS, Ended, NoAnswer, Queued, Refused
from pipeline.slurm_attempts import Attempts
from pipeline.slurm_options import SlurmOptions
from pipeline.slurm_poller import Board, polling
from pipeline.slurm_script import FILES, LEAST_MINUTES, Ending, Tail, ending, flags, remove_files, resources, script

NO_SUCH_NODE = "node configuration is not available"  # also said while a controller that was started again has not heard of its nodes
JOBS = "slurm_jobs"  # what the scheduler counts
OURS = "gpatlas "  # what the comments of our jobs begin with
SECONDS_FOR_CONTROLLER = 3600  # how long to wait for one that does not answer
SECONDS_FOR_FILES = 60  # how long files of an ended job may take to appear here
SECONDS_BETWEEN_LOOKS = 0.2
LONGEST_PAUSE = 2.0  # between two looks at a job's log
T = TypeVar("T")


class SlurmRunner:
    """`options`: the config's, which the driver sets before it asks for anything."""

    name = "slurm"

    def __init__(self) -> None:
        self.options = SlurmOptions()
        self._board: Board | None = None
        self._inherited: dict[Path, str] = {}

    def environment(self, stage: Stage) -> dict[str, str]:
        return LocalRunner().environment(stage)

    def capacity(self) -> dict[str, int]:
        return {JOBS: self.options.max_jobs}

    def processor(self) -> str:
        return "of a node of a Slurm cluster"

    def shares(self, needs: Needs) -> dict[str, int]:
        return {JOBS: 1}

    def granted(self, needs: Needs, memory_gb: int) -> Needs:
        minutes = max(LEAST_MINUTES, round(self.options.minutes_factor * needs.minutes))
        gpu = needs.gpu if self.options.gres else 0
        return Needs(needs.cpu, memory_gb or needs.memory_gb, gpu, min(minutes, self.options.max_minutes))

    def command(self, job: Job) -> str:
        return shlex.join(["srun", *resources(job.needs, self.options), *local_command(job)])

    @contextmanager
    def ready(self, folders: Mapping[Path, Stage], results: Path) -> Iterator[None]:
        with _explained("Slurm refuses the jobs of this study"):
            self._refuse_what_cannot_be_run()
            slurm.cancel([job.id for job in _asked(lambda: _ours(results)) if job.folder not in folders and _owner(job).ended()])
        with polling(self.options.seconds_between_polls) as board:
            self._board = board
            try:
                yield
            finally:
                self._cancel_all(board, results)

    def _refuse_what_cannot_be_run(self) -> None:
        if missing := [command for command in slurm.COMMANDS if shutil.which(command) is None]:
            raise RunnerError(f"runner 'slurm' needs Slurm's commands on this host; not on PATH: {', '.join(missing)}")
        least = resources(Needs(1, 1, 0, LEAST_MINUTES), self.options)
        _asked(lambda: slurm.accounted(["1"]))
        try:
            _asked(lambda: slurm.call("sbatch", "--test-only", *least, stdin="#!/bin/bash\n"))
        except Refused as error:
            if NO_SUCH_NODE not in str(error):
                raise

    def _cancel_all(self, board: Board, results: Path) -> None:
        """What this driver has submitted or adopted; its tasks first end, so that none submits more."""
        for child in multiprocessing.active_children():
            if not child.daemon:  # as the poller is
                child.join(10)
        try:
            adopted = board.open_ids()
            slurm.cancel([job.id for job in _ours(results) if job.comment == OURS + str(session()) or job.id in adopted])
        except (NoAnswer, Refused) as error:
            print(f"jobs may be left, which the next run takes over or cancels: Slurm does not answer ({error})", file=sys.stderr)

    def evict(self, folder: Path) -> bool:
        """A job that a dead driver left in the folder does just what is to be done there. An empty folder has none."""
        if not any(folder.iterdir()):
            return False
        with _explained(f"the jobs in {folder} cannot be told"):
            found = _asked(lambda: _working_in(folder))
            slurm.cancel(found[1:])
        if found:
            self._inherited[folder] = found[0]
        return bool(found)

    def run(self, job: Job, on_line: OnLine) -> Outcome:
        attempts = Attempts(job.needs, self.options)
        job_id = self._inherited.pop(job.folder, None)
        while True:
            job_id = job_id or self._submit(job, attempts.needs)
            ended, end = self._follow(job, job_id, on_line)
            if not attempts.again(ended, end):
                break
            on_line(f"slurm: {attempts.earlier[-1]}; again\n")
            job_id = None
        remove_files(job.folder)
        return attempts.outcome(ended, end)

    def _submit(self, job: Job, needs: Needs) -> str:
        """Id of the job. Where nobody answered, it may have been taken all the same: before each further try it is looked for."""
        tried = False

        def attempt() -> str:
            nonlocal tried
            if tried and (found := _working_in(job.folder)):
                return found[0]
            tried = True
            return slurm.submit(flags(job, needs, self.options, OURS + str(session())), text)

        text = script(job, local_command(job), self.options)
        with _explained("Slurm does not take the stage's job"):
            return _asked(attempt)

    def _follow(self, job: Job, job_id: str, on_line: OnLine) -> tuple[Ended, Ending | None]:
        """Hand over the lines of the job's log until it has ended; returns how, by Slurm and by its own last words."""
        assert self._board is not None
        self._board.follow(job_id)
        tail, told, pause = Tail(job.folder / f"{FILES}{job_id}.log", on_line), "", 0.1
        while (ended := self._board.ended(job_id)) is None:
            tail.read()
            if ending(job.folder, job_id):
                self._board.hurry()
            if (state := self._board.waiting(job_id)) and state != told:
                told = state
                on_line(f"slurm: job {job_id} is {state}\n")
                emit("step", job.labels["task"], done=0, total=1, note=state)
                _refuse_hopeless(job_id, state)
            time.sleep(pause)
            pause = min(LONGEST_PAUSE, 1.2 * pause)
        self._board.forget(job_id)
        end = _arrived(job.folder, ended)
        tail.close()
        return ended, end


def _asked(ask: Callable[[], T]) -> T:
    """What `ask` returns, as soon as Slurm answers."""
    return slurm.patient(ask, SECONDS_FOR_CONTROLLER)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except NoAnswer as error:
        raise RunnerError(f"Slurm does not answer ({error})") from None
    except Refused as error:
        raise RunnerError(f"{what} ({error}): see the config's block slurm") from None


def _owner(job: Queued) -> Session:
    return Session.parse(job.comment.removeprefix(OURS))


def _ours(results: Path) -> list[Queued]:
    """The jobs in the queue that drivers have submitted for these results."""
    return [job for job in slurm.queue() if job.comment.startswith(OURS) and job.folder.is_relative_to(results)]


def _working_in(folder: Path) -> list[str]:
    """Ids of the jobs in the queue that work in the stage's folder."""
    return [job.id for job in slurm.queue() if job.comment.startswith(OURS) and job.folder == folder]


def _refuse_hopeless(job_id: str, state: str) -> None:
    reason = state.partition(": ")[2]
    if reason in HOPELESS:
        slurm.cancel([job_id])
        raise RunnerError(f"Slurm will never start job {job_id} ({reason}): see the config's block slurm")


def _arrived(folder: Path, ended: Ended) -> Ending | None:
    """The job's last words, once all files that they list are here; None where it was killed, or they do not come."""
    deadline = time.monotonic() + (SECONDS_FOR_FILES if ended.ran_to_its_end() else 0)
    while True:
        end = ending(folder, ended.id)
        if end and end.is_visible(folder):
            return end
        if time.monotonic() >= deadline:
            return None
        time.sleep(SECONDS_BETWEEN_LOOKS)
