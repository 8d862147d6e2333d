"""What the benchmarks share: times of functions and of processes, and the machine they were taken on."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

PROJECT = Path(__file__).parents[2]
LIBRARIES = ("numpy", "h5py", "pandas", "torch", "scikit-learn")


@dataclass(frozen=True)
class Run:
    """Wall time and largest resident memory of a finished process, and all it printed."""

    seconds: float
    peak_memory_mb: float
    output: str


def seconds(function: Callable[[], Any]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def paired(ours: Callable[[], float], study: Callable[[], float], repeats: int) -> dict[str, float]:
    """Medians of both times and of their ratio; each pair is taken one after the other, so that both meet the same load."""
    pairs = [(ours(), study()) for _ in range(repeats)]
    return {
        "ours_seconds": median(pair[0] for pair in pairs),
        "study_seconds": median(pair[1] for pair in pairs),
        "ratio": median(pair[1] / pair[0] for pair in pairs),
    }


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
    }
