"""Each stage a job of a Slurm cluster, which places, limits and restarts it.

The driver runs on a host that has Slurm's commands; it and the nodes see the project, its virtual environment and the
results at the same paths.
"""

import multiprocessing
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gpatlas.needs import Needs
from gpatlas.stages import Stage
from pipeline import slurm
from pipeline.console import emit
from pipeline.docker_runner import DockerRunner
from pipeline.runners import Job, LocalRunner, OnLine, Outcome, RunnerError, local_command
from pipeline.session import session
from pipeline.slurm import HOPELESS, Ended, NoAnswer, Refused
from pipeline.slurm_attempts import Attempts
from pipeline.slurm_board import Board
from pipeline.slurm_comment import jobs_in, of_results
from pipeline.slurm_containers import check_images, contained, image_path
from pipeline.slurm_options import SlurmOptions
from pipeline.slurm_script import (
    EXIT_UNWRITTEN,
    FILES,
    LEAST_MINUTES,
    Ending,
    Tail,
    ending,
    finished,
    remove_files,
    resources,
    stage_script,
)
from pipeline.slurm_submit import Pool, Request, asked, submitted

NO_SUCH_NODE = "node configuration is not available"  # also said while a controller that was started again has not heard of its nodes
JOBS = "slurm_jobs"  # what the scheduler counts
SECONDS_FOR_FILES = 60  # how long files of an ended job may take to appear here
SECONDS_BETWEEN_LOOKS = 0.2
LONGEST_PAUSE = 2.0  # between two looks at a job's log


class SlurmRunner:
    """`options`: the config's, which the driver sets before it asks for anything."""

    name = "slurm"

    def __init__(self) -> None:
        self.options = SlurmOptions()
        self._board: Board | None = None
        self._pool: Pool | None = None
        self._inherited: dict[Path, tuple[str, bool]] = {}  # of a folder: the job that works there, and whether it is shared

    def environment(self, stage: Stage) -> dict[str, str]:
        return (DockerRunner() if self.options.container else LocalRunner()).environment(stage)

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
        words = ["bash", "-c", contained(job, self.options)] if self.options.container else local_command(job)
        return shlex.join(["srun", *resources(job.needs, self.options), *words])

    @contextmanager
    def ready(self, folders: Mapping[Path, Stage], results: Path) -> Iterator[None]:
        if self.options.container:
            check_images(folders.values(), self.options)
        with _explained("Slurm refuses the jobs of this study"):
            self._refuse_what_cannot_be_run()
            left = [job for job in asked(lambda: of_results(results)) if job.comment.driver.ended()]
            slurm.cancel([job.id for job in left if not any(map(job.comment.has, folders))])
        with tempfile.TemporaryDirectory(prefix="gpatlas-slurm-") as folder:
            self._board = board = Board(Path(folder), self.options.seconds_between_polls)
            self._pool = Pool(Path(folder), self.options)
            try:
                yield
            finally:
                self._cancel_all(board, results)

    def _refuse_what_cannot_be_run(self) -> None:
        if missing := [command for command in slurm.COMMANDS if shutil.which(command) is None]:
            raise RunnerError(f"runner 'slurm' needs Slurm's commands on this host; not on PATH: {', '.join(missing)}")
        least = resources(Needs(1, 1, 0, LEAST_MINUTES), self.options)
        asked(lambda: slurm.accounted(["1"]))
        try:
            asked(lambda: slurm.call("sbatch", "--test-only", *least, stdin="#!/bin/bash\n"))
        except Refused as error:
            if NO_SUCH_NODE not in str(error):
                raise

    def _cancel_all(self, board: Board, results: Path) -> None:
        """What this driver has submitted or adopted; its tasks first end, so that none submits more."""
        for child in multiprocessing.active_children():
            child.join(10)
        try:
            adopted = board.open_ids()
            slurm.cancel([job.id for job in of_results(results) if job.comment.driver == session() or job.id in adopted])
        except (NoAnswer, Refused) as error:
            print(f"jobs may be left, which the next run takes over or cancels: Slurm does not answer ({error})", file=sys.stderr)

    def evict(self, folder: Path) -> bool:
        """A job that a dead driver left in the folder does just what is to be done there, or has done it. An empty folder has none."""
        if not any(folder.iterdir()):
            return False
        with _explained(f"the jobs in {folder} cannot be told"):
            found = sorted(((job.id, job.comment.is_shared()) for job in asked(lambda: jobs_in(folder))), key=lambda one: not one[1])
            slurm.cancel([job_id for job_id, shared in found[1:] if not shared])
        found += [(job_id, False) for job_id in finished(folder)]
        if found:
            self._inherited[folder] = found[0]
        return bool(found)

    def run(self, job: Job, on_line: OnLine) -> Outcome:
        attempts = Attempts(job.needs, self.options)
        job_id, attempts.shared = self._inherited.pop(job.folder, ("", self._may_share(job.needs)))
        while True:
            job_id = job_id or self._submit(job, attempts)
            ended, end = self._follow(job, job_id, attempts.shared, on_line)
            if not attempts.again(ended, end):
                break
            on_line(f"slurm: {attempts.earlier[-1]}; again\n")
            job_id = ""
        remove_files(job.folder)
        image = str(image_path(job.stage, self.options)) if self.options.container else None
        return replace(attempts.outcome(ended, end), image=image)

    def _may_share(self, needs: Needs) -> bool:
        """Whether a stage is so short that several go into a job."""
        return self.options.stages_per_job > 1 and needs.minutes <= LEAST_MINUTES and not needs.gpu

    def _submit(self, job: Job, attempts: Attempts) -> str:
        """Id of the job, which the stage may share with others."""
        assert self._pool is not None
        command = contained(job, self.options) if self.options.container else shlex.join(local_command(job))
        request = Request(job.folder, job.labels["key"], attempts.needs, stage_script(job, command, self.options))
        if attempts.shared and (job_id := self._pool.job_of(request)):
            return job_id
        attempts.shared = False
        with _explained("Slurm does not take the stage's job"):
            return submitted([request], self.options)

    def _follow(self, job: Job, job_id: str, shared: bool, on_line: OnLine) -> tuple[Ended, Ending | None]:
        """Hand over the lines of the stage's log until it has ended; returns how, by Slurm and by its own last words.

        One of several stages in a job has ended with its last words, whatever becomes of the job.
        """
        assert self._board is not None
        self._board.follow(job_id)
        tail, told, pause = Tail(job.folder / f"{FILES}{job_id}.log", on_line), "", 0.1
        while (ended := self._board.ended(job_id)) is None:
            tail.read()
            if end := ending(job.folder, job_id):
                if end.stages > 1:
                    ended = end.by_itself(job_id)
                    break
                self._board.hurry()
            self._board.ask_if_due()
            if (state := self._board.waiting(job_id)) and state != told:
                told = state
                on_line(f"slurm: job {job_id} is {state}\n")
                emit("step", job.labels["task"], done=0, total=1, note=state)
                self._refuse_hopeless(job_id, state, shared)
            time.sleep(pause)
            pause = min(LONGEST_PAUSE, 1.2 * pause)
        end = _arrived(job.folder, ended)
        tail.close()
        return (end.by_itself(job_id) if end and end.stages > 1 else ended), end

    def _refuse_hopeless(self, job_id: str, state: str, shared: bool) -> None:
        """A job that will never start is a fault where its stage had it for itself; of several stages each then tries by itself."""
        reason = state.partition(": ")[2]
        if reason not in HOPELESS:
            return
        assert self._board is not None
        if shared:
            self._board.conclude(Ended(job_id, reason, "", 0, 0, 0, "", None))
        slurm.cancel([job_id])
        if not shared:
            raise RunnerError(f"Slurm will never start job {job_id} ({reason}): see the config's block slurm")


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except NoAnswer as error:
        raise RunnerError(f"Slurm does not answer ({error})") from None
    except Refused as error:
        raise RunnerError(f"{what} ({error}): see the config's block slurm") from None


def _arrived(folder: Path, ended: Ended) -> Ending | None:
    """The job's last words, once all files that they list are here; None where it was killed, or they do not come."""
    expected = ended.ran_to_its_end() and ended.exit_code != EXIT_UNWRITTEN
    deadline = time.monotonic() + (SECONDS_FOR_FILES if expected else 0)
    while True:
        end = ending(folder, ended.id)
        if end and end.is_visible(folder):
            return end
        if time.monotonic() >= deadline:
            return None
        time.sleep(SECONDS_BETWEEN_LOOKS)
