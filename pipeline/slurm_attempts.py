"""What a job's end means: whether another attempt helps, with what, and what to say of it."""

import pwd
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace

from gpatlas.needs import Needs
from pipeline.runners import Outcome
from pipeline.slurm import LOST, Ended
from pipeline.slurm_options import SlurmOptions
from pipeline.slurm_script import EXIT_UNWRITTEN, Ending

MOST_LOSSES = 5  # of jobs of one stage, by fault of the cluster
MOST_RAISES = 3  # of the time or memory of one stage
BY_CLUSTER = {"NODE_FAIL": "lost its node", "BOOT_FAIL": "lost its node", "PREEMPTED": "was preempted", LOST: "was lost by Slurm"}
EXIT_LOST, EXIT_TIMEOUT, EXIT_MEMORY, EXIT_CANCELLED = 75, 124, 137, 143  # not negative: Luigi is not to try again


@dataclass
class Attempts:
    """The jobs of one stage so far, and what the next one may take. `shared`: whether the stage is in a job with others."""

    needs: Needs
    options: SlurmOptions
    shared: bool = False
    earlier: list[str] = field(default_factory=list)
    losses: int = 0
    raises: int = 0

    def again(self, ended: Ended, end: Ending | None) -> bool:
        """Whether another attempt helps; raises what it may take where that was too little. `end`: what the script said last."""
        what, before = self._what_happened(ended), self.needs
        if self.shared and not _own_doing(ended, end):
            self.shared = False  # by itself it shows what it takes
            self.earlier.append(what)
            return True
        if ended.state == LOST and end:
            return False  # Slurm has forgotten a job that ran to its end
        if ended.state in BY_CLUSTER:
            self.losses += 1
            helps = self.losses < MOST_LOSSES
        else:
            self.needs = self._raised(ended.state)
            self.raises += 1
            helps = self.needs != before and self.raises <= MOST_RAISES
        if helps:
            self.earlier.append(what)
        else:
            self.needs = before
        return helps

    def _raised(self, state: str) -> Needs:
        needs = self.needs
        if state == "TIMEOUT":
            return replace(needs, minutes=max(needs.minutes, min(2 * needs.minutes, self.options.max_minutes)))
        if state == "OUT_OF_MEMORY":
            most = self.options.max_memory_gb or 2 * needs.memory_gb
            return replace(needs, memory_gb=max(needs.memory_gb, min(2 * needs.memory_gb, most)))
        return needs

    def outcome(self, ended: Ended, end: Ending | None) -> Outcome:
        """Of the stage, by the last of its jobs."""
        facts = {"job": ended.id, "state": ended.state, "node": ended.node, "elapsed_seconds": ended.seconds}
        facts |= {"stages": end.stages if end else 1}
        facts |= {"peak_memory_mb": ended.memory_mb, "earlier_jobs": self.earlier, "granted": asdict(self.needs)}
        code, why = self._verdict(ended, end)
        seconds = end.seconds if end else ended.seconds
        return Outcome(code, seconds, out_of_memory=ended.state == "OUT_OF_MEMORY", why=why, facts={"slurm": facts})

    def _verdict(self, ended: Ended, end: Ending | None) -> tuple[int, str]:
        """Exit code, and what to say where that does not say it."""
        if ended.state == "COMPLETED":
            return (0, "") if end else (EXIT_LOST, f"ended well on {ended.node}, by its job {ended.id}, but its files do not appear here")
        if ended.exit_code == EXIT_UNWRITTEN and not end:
            return EXIT_UNWRITTEN, f"could not write on {ended.node}, by its job {ended.id}; is the disk, or a quota, full?"
        if ended.state == "FAILED" or (ended.state == LOST and end):
            code = -ended.signal or ended.exit_code or (end.exit_code if end else 1)
            return (128 - code if 128 < code < 160 else code), ""  # how a shell says that a signal ended the command
        advice = {"TIMEOUT": "; raise slurm.max_minutes", "OUT_OF_MEMORY": "; raise slurm.max_memory_gb, or the config's memory_gb"}
        codes = {"TIMEOUT": EXIT_TIMEOUT, "OUT_OF_MEMORY": EXIT_MEMORY, "CANCELLED": EXIT_CANCELLED}
        times = f", after {len(self.earlier)} others" if self.earlier else ""
        return codes.get(ended.state, EXIT_LOST), f"failed: its {self._what_happened(ended)}{times}{advice.get(ended.state, '')}"

    def _what_happened(self, ended: Ended) -> str:
        how = {
            **BY_CLUSTER,
            "TIMEOUT": f"ran longer than its {self.needs.minutes} minutes",
            "OUT_OF_MEMORY": f"ran out of memory at its limit of {self.needs.memory_gb} GB",
            "CANCELLED": f"was cancelled by {_user(ended.by)}",
        }
        return f"job {ended.id} on {ended.node or 'no node'} {how.get(ended.state, f'ended as {ended.state}')}"


def _own_doing(ended: Ended, end: Ending | None) -> bool:
    """Whether the stage, of several in a job, came to its own end, or somebody wanted it ended."""
    return ended.state == "CANCELLED" or (end is not None and end.exit_code < 128)


def _user(uid: str) -> str:
    with suppress(KeyError, ValueError):
        return pwd.getpwuid(int(uid)).pw_name
    return uid or "somebody"
