"""The job of a stage: the flags that sbatch gets, the script that runs on the node, and what that tells of its end."""

import math
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from gpatlas.needs import Needs
from pipeline.runners import PROJECT, Job
from pipeline.slurm_options import SlurmOptions
from pipeline.store import LOG

LEAST_MINUTES = 10
FILES = "job-"  # what the names begin with of a job's own files in the stage's folder
# The folder may be of an attempt that was cut short. What was written is listed at the end: on another host it may appear late.
SCRIPT = """#!/bin/bash
cd {folder} || exit 1
{prologue}
find . -mindepth 1 -maxdepth 1 {kept} -exec rm -rf {{}} +
export PYTHONPATH={path}{gpu}
started=$EPOCHREALTIME
{command}
code=$?
{{ echo "$code $started $EPOCHREALTIME"; find . -type f ! -name '*.end*' -printf '%s %P\\n'; }} > {prefix}$SLURM_JOB_ID.end.aside
mv {prefix}$SLURM_JOB_ID.end.aside {prefix}$SLURM_JOB_ID.end
exit $code
"""


def resources(needs: Needs, options: SlurmOptions) -> list[str]:
    """The flags, of sbatch and srun, that say what a stage needs and where it is to run."""
    keys = {"partition": options.partition, "account": options.account, "qos": options.qos, "gres": options.gres if needs.gpu else None}
    memory = f"--mem={math.ceil(needs.memory_gb * 10**9 / 2**20)}M"
    said = [f"--{name}={value}" for name, value in keys.items() if value]
    return ["--nodes=1", "--ntasks=1", f"--cpus-per-task={needs.cpu}", memory, f"--time={needs.minutes}", *said, *options.flags]


def flags(job: Job, needs: Needs, options: SlurmOptions, comment: str) -> list[str]:
    """Slurm itself keeps two jobs of one stage from running at once, should one be submitted twice: both have the key for their name."""
    own = [f"--job-name={job.labels['key']}", f"--comment={comment}", "--dependency=singleton", "--requeue"]
    files = [f"--chdir={job.folder}", f"--output={FILES}%j.log", "--open-mode=append"]
    return [*own, *files, *resources(needs, options)]


def script(job: Job, command: Sequence[str], options: SlurmOptions) -> str:
    """What the job runs, in bash."""
    prepared = [Path(word).name for flag, word in pairwise(job.arguments) if flag != "--out" and Path(word).parent == job.folder]
    return SCRIPT.format(
        folder=shlex.quote(str(job.folder)),
        prologue=options.prologue,
        kept=" ".join(f"! -name {shlex.quote(name)}" for name in (LOG, f"{FILES}*", *prepared)),
        path=shlex.quote(os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH", "")]))),
        gpu="" if job.needs.gpu else " CUDA_VISIBLE_DEVICES=",
        command=shlex.join(command),
        prefix=FILES,
    )


@dataclass(frozen=True)
class Ending:
    """What the script wrote last: the command's exit code, its seconds, and the size of every file by name."""

    exit_code: int
    seconds: float
    sizes: dict[str, int]

    def is_visible(self, folder: Path) -> bool:
        """Whether all files are here, whole."""
        return all((folder / name).is_file() and (folder / name).stat().st_size >= size for name, size in self.sizes.items())


def ending(folder: Path, job_id: str) -> Ending | None:
    """None as long as the script has not ended, or not been seen to; for ever, where it was killed."""
    os.listdir(folder)  # over NFS a file that was looked for in vain stays unseen until the folder is read
    try:
        first, *files = (folder / f"{FILES}{job_id}.end").read_text().splitlines()
    except (FileNotFoundError, ValueError):
        return None
    code, started, ended = first.replace(",", ".").split()
    sizes = {name: int(size) for size, name in (line.split(" ", 1) for line in files)}
    return Ending(int(code), float(ended) - float(started), sizes)


class Tail:
    """Hands over the lines of a job's log as they come; the log may not be there yet."""

    def __init__(self, path: Path, on_line: Callable[[str], None]) -> None:
        self.path, self.on_line = path, on_line
        self._place, self._rest = 0, b""

    def read(self) -> None:
        """All lines that have come since."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._place)
                new = file.read()
        except FileNotFoundError:
            return
        self._place += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            self.on_line(line.decode(errors="replace") + "\n")

    def close(self) -> None:
        """The rest, whether or not it is a whole line."""
        self.read()
        if self._rest:
            self.on_line(self._rest.decode(errors="replace"))


def remove_files(folder: Path) -> None:
    """The jobs' own files: what they say is known."""
    for path in folder.glob(f"{FILES}*"):
        path.unlink(missing_ok=True)
