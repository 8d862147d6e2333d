"""Names the driver's process, so that what a dead one left behind can be told from what a living one is doing."""

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_driver: int | None = None  # pid of the driver whose forked children run the tasks


@dataclass(frozen=True)
class Session:
    """One run of a driver: its host, that host's boot, and pid and start time of its process."""

    host: str
    boot: str
    pid: int
    start: str

    def __str__(self) -> str:
        return f"{self.host}/{self.boot}/{self.pid}/{self.start}"

    @classmethod
    def parse(cls, text: str) -> "Session":
        host, boot, pid, start = text.split("/")
        return cls(host, boot, int(pid), start)

    def ended(self) -> bool:
        """Whether the process is gone for certain; of another host's nothing is known."""
        here = (platform.node(), _boot())
        return self.host == here[0] and (self.boot != here[1] or _start_time(self.pid) != self.start)


def set_driver(pid: int | None) -> None:
    """Tie the life of every task process forked from now on to the driver `pid`."""
    global _driver
    _driver = pid


def driver() -> int | None:
    """The pid that `set_driver` was given."""
    return _driver


def session() -> Session:
    """The driver that this process is, or belongs to."""
    return _of(_driver or os.getpid())


def this_process() -> Session:
    """This process itself, whatever driver it belongs to."""
    return _of(os.getpid())


def _of(pid: int) -> Session:
    return Session(platform.node(), _boot(), pid, _start_time(pid))


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def _start_time(pid: int) -> str:
    """Field 22 of /proc/<pid>/stat; 'unknown' where there is no such process, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "unknown"
    return "unknown" if fields[0] == "Z" else fields[19]
