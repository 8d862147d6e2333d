"""What a run would do, without doing it."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from pipeline.console import say
from pipeline.root import RunAll
from pipeline.stage_task import StageTask
from pipeline.tasks import Data

SECONDS_BETWEEN_LINES = 5.0


class Plan(RunAll):
    """Say what RunAll would do: stages done and to do, scenarios, disk. Runs nothing."""

    def run(self) -> None:  # type: ignore[override]
        say("\n".join(self.lines()))

    def lines(self) -> Iterator[str]:
        stages = self.stages()
        with looking_for(self, stages):
            done = {task.task_id for task in stages if task.complete()}
        yield f"{self.study.path}: {len(self.study.populations)} scenarios, {len(stages)} stages: {_counts(stages, done)}"
        width = max(len(task.name) for task in stages)
        for name, of_kind in _grouped(stages, lambda task: task.name).items():
            yield f"  {name:{width}} {_counts(of_kind, done, 5)}"
        yield "scenarios (individuals, loci, QTL; stages done)"
        disk, of_scenario = 0, _grouped(stages, lambda task: "/".join(task.folder.split("/")[:2]))
        for population in self.study.populations:
            folder = f"{population.experiment}/{population.name}"
            of_all = of_scenario.get(folder, [])
            yield f"  {folder}  {population.sizes()}; {len(_ids(of_all) & done)}/{len(of_all)}"
            if any(isinstance(task, Data) and task.task_id not in done for task in of_all):
                disk += population.dataset_bytes()
        yield f"disk: {disk / 1e6:,.1f} MB for the datasets to make; tables and figures a few kB each"


@contextmanager
def said_to_go_on(what: str) -> Iterator[None]:
    """While the block takes longer than a few seconds, say so on stderr."""
    ended = threading.Event()

    def say() -> None:
        while not ended.wait(SECONDS_BETWEEN_LINES):
            print(f"{what} …", file=sys.stderr, flush=True)

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def looking_for(root: RunAll, stages: list[StageTask]) -> AbstractContextManager[None]:
    """Around what looks whether each of the stages is done."""
    return said_to_go_on(f"{root.study.path}: looking for {len(stages):,} stages in {root.results}")


def laid_out(root: RunAll) -> list[StageTask]:
    """The stages of the study."""
    with said_to_go_on(f"{root.study.path}: laying out the stages of {len(root.study.populations):,} scenarios"):
        return root.stages()


def _grouped(stages: list[StageTask], by: Callable[[StageTask], str]) -> dict[str, list[StageTask]]:
    groups: dict[str, list[StageTask]] = {}
    for task in stages:
        groups.setdefault(by(task), []).append(task)
    return groups


def _ids(stages: list[StageTask]) -> set[str]:
    return {task.task_id for task in stages}


def _counts(stages: list[StageTask], done: set[str], width: int = 0) -> str:
    n_done = len(_ids(stages) & done)
    separator = " " if width else ", "
    return f"{n_done:{width}} done{separator}{len(stages) - n_done:{width}} to do"
