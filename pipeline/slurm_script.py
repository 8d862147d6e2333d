"""The job of a stage: the flags that sbatch gets, the script that runs on the node, and what that tells of its end."""

import math
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from gpatlas.needs import Needs
from images import PROJECT
from pipeline.runners import Job
from pipeline.slurm import Ended
from pipeline.slurm_options import SlurmOptions
from pipeline.store import LOG

LEAST_MINUTES = 10
FILES = "job-"  # what the names begin with of a job's own files in the stage's folder
EXIT_UNWRITTEN = 74
# A controller that was killed, or that lost a node, may have forgotten a job that still runs: another one waits for it, and leaves alone
# what the driver has taken over meanwhile, or what of a shared job has ended. The folder may be of an attempt that was cut short. What
# was written is listed at the end: on another host it may appear late. The log is the driver's.
STAGE = """cd {folder} || exit 1
exec 9> {prefix}lock || exit {unwritten}
flock 9
[ {folder}/{prefix}lock -ef /dev/fd/9 ] || exit 1
[ -n "$stages" ] && [ -e {prefix}$SLURM_JOB_ID.end ] && exit
{prologue}
find . -mindepth 1 -maxdepth 1 {kept} -exec rm -rf {{}} +
export PYTHONPATH={path}{gpu}
started=$EPOCHREALTIME
{command}
code=$?
{{ echo "$code $started $EPOCHREALTIME ${{stages:-1}} $SLURMD_NODENAME" &&
    find . -type f ! -name {log} ! -name '{prefix}lock' ! -name '*.end*' -printf '%s %P\\n'
}} > {prefix}$SLURM_JOB_ID.end.aside && mv {prefix}$SLURM_JOB_ID.end.aside {prefix}$SLURM_JOB_ID.end || exit {unwritten}
exit $code
"""
SHARED = """(
{stage}) >> {log} 2>&1
"""


def resources(needs: Needs, options: SlurmOptions) -> list[str]:
    """The flags, of sbatch and srun, that say what a stage needs and where it is to run."""
    keys = {"partition": options.partition, "account": options.account, "qos": options.qos, "gres": options.gres if needs.gpu else None}
    memory = f"--mem={math.ceil(needs.memory_gb * 10**9 / 2**20)}M"
    said = [f"--{name}={value}" for name, value in keys.items() if value]
    return ["--nodes=1", "--ntasks=1", f"--cpus-per-task={needs.cpu}", memory, f"--time={needs.minutes}", *said, *options.flags]


def flags(name: str, comment: str, folder: Path, log: str, needs: Needs, options: SlurmOptions) -> list[str]:
    """Slurm itself keeps two jobs of one name, which is a stage's key, from running at once, should one be submitted twice."""
    own = [f"--job-name={name}", f"--comment={comment}", "--dependency=singleton", "--requeue"]
    return [*own, f"--chdir={folder}", f"--output={log}", "--open-mode=append", *resources(needs, options)]


def stage_script(job: Job, command: str, options: SlurmOptions) -> str:
    """What runs a stage on a node, in bash, as the command is."""
    prepared = [Path(word).name for flag, word in pairwise(job.arguments) if flag != "--out" and Path(word).parent == job.folder]
    return STAGE.format(
        folder=shlex.quote(str(job.folder)),
        prologue=options.prologue,
        kept=" ".join(f"! -name {shlex.quote(name)}" for name in (LOG, f"{FILES}*", *prepared)),
        path=shlex.quote(os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH", "")]))),
        gpu="" if job.needs.gpu else " CUDA_VISIBLE_DEVICES=",
        command=command,
        prefix=FILES,
        log=LOG,
        unwritten=EXIT_UNWRITTEN,
    )


def shared_script(stages: Mapping[Path, str]) -> str:
    """Runs the stages, by their folders, one after the other, whatever becomes of each; each has its own log and its own last words.

    A job that Slurm has started again, on another node, goes on where it was.
    """
    logs = {folder: f"{shlex.quote(str(folder))}/{FILES}$SLURM_JOB_ID.log" for folder in stages}
    return f"stages={len(stages)}\n" + "".join(SHARED.format(log=logs[folder], stage=text) for folder, text in stages.items())


@dataclass(frozen=True)
class Ending:
    """What the script wrote last: the command's exit code, its seconds, how many `stages` its job has, the node, and every file's size."""

    exit_code: int
    seconds: float
    stages: int
    node: str
    sizes: dict[str, int]

    def by_itself(self, job_id: str) -> Ended:
        """How the stage ended, of a job with several."""
        state = "FAILED" if self.exit_code else "COMPLETED"
        return Ended(job_id, state, "", self.exit_code, 0, round(self.seconds), self.node, None)

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
    code, started, ended, stages, *node = first.replace(",", ".").split()
    sizes = {name: int(size) for size, name in (line.split(" ", 1) for line in files)}
    return Ending(int(code), float(ended) - float(started), int(stages), "".join(node), sizes)


def finished(folder: Path) -> list[str]:
    """Ids of the jobs, the latest first, by which the stage has ended well in this folder, and whose files are all here."""
    ids = sorted((path.stem.removeprefix(FILES) for path in folder.glob(f"{FILES}*.end")), key=int, reverse=True)
    return [job_id for job_id in ids if (end := ending(folder, job_id)) and not end.exit_code and end.is_visible(folder)]


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
    """The jobs' own files: what they say is known. The lock first: a job that waits for it then ends."""
    for path in (folder / f"{FILES}lock", *folder.glob(f"{FILES}*")):
        path.unlink(missing_ok=True)
