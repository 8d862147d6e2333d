"""A study on a cluster, predicted: `PYTHONPATH=. python tests/benchmarks/cluster_schedule.py configs/paper.yaml` simulates its schedule.

Every stage takes what docs/benchmarks.md measured of its kind, by its work; networks train all their epochs, on one core. Each job starts
as soon as its input is there and a node has room, the longest first; `OVERHEAD` goes to the driver and Slurm.
"""

import argparse
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpatlas.models.settings import FitSettings, NeuralSettings
from gpatlas.needs import needs
from gpatlas.settings import Size
from gpatlas.stages import FITS
from pipeline.config import load_config

OVERHEAD = 1.0  # seconds of a job: docs/cluster.md
SECONDS_OF_CELL = 1.6e-7  # to simulate a genotype: r/simulate.R, 100,000 × 2002
FLOPS_OF_RIDGE, FLOPS_OF_NETWORK = 2.5e10, 1.0e11  # a second and core: 10,000 × 1000 in ten splits; 1000 × 46 to 1,000,000 × 6326
SECONDS_OF_READING = 1.6e-9  # a genotype in an epoch: linear_sgd, 1,000,000 × 6326
NODES, CORES, MEMORY_GB = (1, 4, 16, 64), 32, 256


@dataclass(frozen=True)
class Work:
    """A stage: how long it takes, with what, and the one that it waits for."""

    seconds: float
    cpu: int
    memory_gb: int
    after: int | None


def stages(path: Path) -> Iterator[Work]:
    """Of the study, each behind the one that it reads."""
    config = load_config(path)
    place = 0
    for population in config.populations:
        data, size = place, population.size
        granted = needs(config.stage, config.stage.settings(), size)
        yield Work(OVERHEAD + 1 + SECONDS_OF_CELL * size.n_individuals * size.n_loci, granted.cpu, granted.memory_gb, None)
        place += 1
        for model, settings, _ in population.fits():
            granted = needs(FITS[model], settings, size)
            yield Work(OVERHEAD + 1 + seconds(settings, size), granted.cpu, granted.memory_gb, data)
            place += 1


def seconds(settings: FitSettings, size: Size) -> float:
    """Of a fit on one core."""
    n, m, t = size.n_individuals, size.n_loci, size.n_traits
    if not isinstance(settings, NeuralSettings):
        return 10 * 2.0 * n * m * min(n, m) / FLOPS_OF_RIDGE
    width = getattr(settings, "hidden_size", 0)
    epoch = SECONDS_OF_READING * n * m + 6.0 * n * width * (m + width + t) / FLOPS_OF_NETWORK
    trials = 1 + (settings.n_trials if getattr(settings, "tune", hasattr(settings, "n_trials")) else 0)
    return epoch * settings.epochs * trials


def schedule(work: list[Work], n_nodes: int) -> float:
    """Seconds from the first start to the last end on so many nodes."""
    followers: dict[int | None, list[int]] = {}
    for place, one in enumerate(work):
        followers.setdefault(one.after, []).append(place)
    ready = [(-work[place].seconds, place) for place in followers.get(None, [])]
    heapq.heapify(ready)
    free = [[CORES, MEMORY_GB] for _ in range(n_nodes)]
    running: list[tuple[float, int, int]] = []
    now = 0.0
    while ready or running:
        waiting = []
        while ready:
            _, place = entry = heapq.heappop(ready)
            one = work[place]
            node = next(
                (node for node in range(n_nodes) if free[node][0] >= one.cpu and free[node][1] >= min(one.memory_gb, MEMORY_GB)), None
            )
            if node is None:
                waiting.append(entry)
                if len(waiting) > CORES:
                    break  # what is shorter seldom fits either
                continue
            free[node] = [free[node][0] - one.cpu, free[node][1] - min(one.memory_gb, MEMORY_GB)]
            heapq.heappush(running, (now + one.seconds, place, node))
        for entry in waiting:
            heapq.heappush(ready, entry)
        now, place, node = heapq.heappop(running)
        free[node] = [free[node][0] + work[place].cpu, free[node][1] + min(work[place].memory_gb, MEMORY_GB)]
        for follower in followers.get(place, []):
            heapq.heappush(ready, (-work[follower].seconds, follower))
    return now


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("config", type=Path)
    work = list(stages(arguments.parse_args().config))
    hours = sum(one.seconds * one.cpu for one in work) / 3600
    print(f"{len(work)} stages, {hours:,.0f} core hours, the longest {max(one.seconds for one in work) / 3600:,.1f} h")
    for n_nodes in NODES:
        print(f"{n_nodes} nodes of {CORES} cores: {schedule(work, n_nodes) / 3600:,.1f} h")


if __name__ == "__main__":
    main()
