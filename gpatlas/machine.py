"""What this process may use of its machine: a container, a batch job and `taskset` each give it less than there is."""

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def machine_memory(root: Path = ROOT) -> int:
    """Bytes of memory that the machine has, or this process's control groups where they allow less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for folder in _control_groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limits += [int(word) for word in _words(folder / name)[:1] if word != "max"]
    return min(limits)


def machine_cores(root: Path = ROOT) -> int:
    """Processor cores that this process may run on, or whole ones of the time that its control groups allow; at least 1."""
    limits: list[float] = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    for folder in _control_groups(root, "cpu"):
        quota = _words(folder / "cpu.max") or [*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us")]
        if len(quota) == 2 and quota[0] not in ("max", "-1"):
            limits.append(int(quota[0]) / int(quota[1]))
    return max(1, int(min(limits)))


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the process's group and of those around it, of version 1 and 2 (Linux; elsewhere none).

    In a container the listed path may be the host's; the group's own folder is then the mounted one, which comes last.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for name in {controllers, controller} if controllers else {"", "unified"}:
            mounted, inner = root / "sys/fs/cgroup" / name, Path(path.lstrip("/"))
            yield from (mounted / folder for folder in (inner, *inner.parents))


def _words(path: Path) -> list[str]:
    return [word for line in _lines(path) for word in line.split()]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
