"""What this process may use of its machine, shared out among the stages that run at the same time."""

import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from gpatlas.machine import machine_cores, machine_memory
from gpatlas.needs import Needs

_limits: dict[str, int] = {}


@cache
def capacity() -> dict[str, int]:
    """Cores, memory in GB (10⁹ bytes), and 1 where there is a GPU: the stages use the first."""
    memory_gb = max(1, int(machine_memory() / 1e9))
    return {"cpu": machine_cores(), "memory_gb": memory_gb, "gpu": int(any(Path("/dev").glob("nvidia[0-9]*")))}


def limit(resources: Mapping[str, int]) -> None:
    """Keep the needs of every stage to what the scheduler has of each resource: a stage that wants more would wait for ever."""
    _limits.update(resources)


def fitted(needs: Needs, memory_gb: int) -> Needs:
    """The needs, with `memory_gb` of memory where that is given, kept to what there is."""
    limits = capacity() | _limits
    wanted = {"cpu": needs.cpu, "memory_gb": memory_gb or needs.memory_gb, "gpu": needs.gpu}
    return replace(needs, **{name: min(amount, limits[name]) for name, amount in wanted.items()})


@cache
def processor() -> str:
    """What the processor calls itself (Linux), which decides the precision that `auto` picks."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
