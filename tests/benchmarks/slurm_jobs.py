"""What the driver adds to a job: `PYTHONPATH=tests python tests/benchmarks/slurm_jobs.py` runs stages of a second
on a test cluster of 8 cores.

Beside them a bare `sbatch --array` of as many jobs. A function of bash stands in for Python on the nodes, so that a stage is its sleep.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from drivers import ENVIRONMENT, LOCAL, start, write_study
from slurm_cluster import Cluster

SLOTS = 8
STAND_IN = f'function {sys.executable} {{ while [ "$1" != --out ]; do shift; done; sleep 1; echo x > "$2"; }}'


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--stages", type=int, default=500)
    arguments.add_argument("--workers", type=int, default=64)
    arguments.add_argument("--stages-per-job", type=int, default=20)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder) / "slurm") as cluster:
        ideal = options.stages / SLOTS
        bare = array(cluster, options.stages)
        print(f"sbatch --array of {options.stages} jobs of 1 s on {SLOTS} cores: {bare:.1f} s, ideal {ideal:.1f} s", flush=True)
        seconds, memory, processes = driven(cluster, Path(folder), options.stages, options.workers, options.stages_per_job)
        how = f"{options.workers} workers, up to {options.stages_per_job} stages a job"
        print(f"runner slurm, {how}: {seconds:.1f} s; at most {memory:.0f} MB in {processes} processes")
        print(f"a stage costs {(seconds - bare) / options.stages:.3f} s more than a bare job")


def array(cluster: Cluster, n: int) -> float:
    """Seconds of n bare jobs."""
    started = time.monotonic()
    submit = ["sbatch", f"--array=1-{n}", "--mem=10M", "--output=/dev/null", "--wait"]
    subprocess.run(submit, input="#!/bin/bash\nsleep 1\n", text=True, env=cluster.environment, check=True, capture_output=True)
    return time.monotonic() - started


def driven(cluster: Cluster, folder: Path, n: int, workers: int, stages_per_job: int) -> tuple[float, float, int]:
    """Seconds of n stages by the driver, and two that collect and report; its peak memory in MB (shared pages once), and its processes."""
    scaling = {
        "scenario": "qhaplo_{n_qtl}qtl_{n_individuals}n_rep{replicate}",
        "grid": [{"n_individuals": 200, "n_qtl": 10, "replicates": n // 2}],
        "models": {"ridge": None},
    }
    slurm = {"prologue": STAND_IN, "seconds_between_polls": 2, "stages_per_job": stages_per_job}
    config = write_study(
        folder / "study.yaml", {"protocol": "holdout", "memory_gb": 1, "slurm": slurm, "experiments": {"scaling": scaling}}
    )
    started = time.monotonic()
    flags = (*LOCAL, "--runner", "slurm", "--workers", str(workers))
    driver = start(
        config,
        folder / "results",
        *flags,
        env={**cluster.environment, **ENVIRONMENT, "SLURM_CONF": cluster.environment["SLURM_CONF"]},
        stdout=(folder / "out").open("w"),
    )
    peak, most = 0.0, 0
    while driver.poll() is None:
        family = [driver.pid, *_children(driver.pid)]
        peak, most = max(peak, sum(map(_proportional_mb, family))), max(most, len(family))
        time.sleep(2)
    assert driver.returncode == 0, (folder / "out").read_text()[-2000:]
    return time.monotonic() - started, peak, most


def _children(pid: int) -> Iterator[int]:
    try:
        yield from map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    except OSError:
        return


def _proportional_mb(pid: int) -> float:
    try:
        return int(re.findall(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)[0]) / 1024
    except (OSError, IndexError):
        return 0.0


if __name__ == "__main__":
    main()
