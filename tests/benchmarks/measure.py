"""What the benchmarks share: times of functions and of processes, in pairs, and the machine they were taken on."""

import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
from peers import PEERS, peer_version

Made = TypeVar("Made")

PROJECT = Path(__file__).parents[2]
LIBRARIES = ("numpy", "h5py", "pandas", "torch", "scikit-learn", "xgboost-cpu")
LONG = 60  # seconds: a pair that comes after as many is not taken


@dataclass(frozen=True)
class Run:
    """Wall time and largest resident memory of a finished process, and all it printed."""

    seconds: float
    peak_memory_mb: float
    output: str


def timed(function: Callable[[], Made]) -> tuple[Made, float]:
    """What one call returns, and its wall time."""
    started = time.perf_counter()
    made = function()
    return made, time.perf_counter() - started


def seconds(function: Callable[[], Any]) -> float:
    """Wall time of one call."""
    return timed(function)[1]


def paired(ours: Callable[[], float], peer: Callable[[], float] | None, repeats: int) -> dict[str, float]:
    """Medians of both times and of their ratio; each pair is taken one after the other, so that both meet the same load.

    `peer` is None where it is not installed: its time and the ratio are NaN. There are fewer pairs than `repeats` where they take long.
    """
    pairs: list[tuple[float, float]] = []
    started = time.perf_counter()
    while not pairs or (len(pairs) < repeats and time.perf_counter() - started < LONG):
        pairs.append((ours(), peer() if peer else math.nan))
    return {
        "ours_seconds": median(pair[0] for pair in pairs),
        "peer_seconds": median(pair[1] for pair in pairs),
        "ratio": median(pair[1] / pair[0] for pair in pairs),
    }


def paired_processes(ours: Callable[[], "Run"], peer: Callable[[], "Run"] | None, repeats: int) -> dict[str, float]:
    """As `paired`, and the largest peak memory of either side."""
    runs: dict[str, list[Run]] = {"peak_memory_mb": [], "peer_peak_memory_mb": []}

    def kept(side: str, process: Callable[[], Run]) -> float:
        runs[side].append(process())
        return runs[side][-1].seconds

    times = paired(partial(kept, "peak_memory_mb", ours), partial(kept, "peer_peak_memory_mb", peer) if peer else None, repeats)
    return times | {side: max(done.peak_memory_mb for done in of_side) for side, of_side in runs.items() if of_side}


def run(*command: str) -> Run:
    """Run a command to its end; RuntimeError, with what it printed, where it fails."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    launched = [sys.executable, str(Path(__file__).with_name("launch.py")), *command]
    done = subprocess.run(launched, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd=PROJECT, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}")
    *output, measured = done.stdout.splitlines()
    seconds, peak_memory_mb = map(float, measured.split())
    return Run(seconds, peak_memory_mb, "\n".join(output))


def stage(name: str, *flags: object) -> Run:
    """Run one of gpatlas's stages as a person does."""
    return run(sys.executable, "-m", "gpatlas", name, *map(str, flags), "--overwrite")


def peak_flops(size: int = 2048) -> float:
    """Double-precision floating-point operations a second of a large matrix product here, the best of five."""
    matrix = np.random.default_rng(1).standard_normal((size, size))
    return 2 * size**3 / min(seconds(lambda: matrix @ matrix) for _ in range(5))


def machine() -> dict[str, str]:
    """What a time depends on."""
    models = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{models[0]}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{memory:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "peers": ", ".join(f"{name} {peer_version(name) or 'is not installed'}" for name in PEERS),
    }
