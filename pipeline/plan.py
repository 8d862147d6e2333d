"""What a run would do, without doing it."""

from collections.abc import Callable, Iterator

from gpatlas.data.settings import dataset_bytes
from pipeline.stage_task import StageTask
from pipeline.tasks import Data, RunAll


class Plan(RunAll):
    """Say what RunAll would do: stages done and to do, scenarios, disk. Runs nothing."""

    def run(self) -> None:  # type: ignore[override]
        print("\n".join(self.lines()))

    def lines(self) -> Iterator[str]:
        stages = self.stages()
        done = {task.task_id for task in stages if task.complete()}
        yield f"{self.study.path}: {len(self.study.scenarios)} scenarios, {len(stages)} stages: {_counts(stages, done)}"
        width = max(len(task.name) for task in stages)
        for name, of_kind in _grouped(stages, lambda task: task.name).items():
            yield f"  {name:{width}} {_counts(of_kind, done, 5)}"
        yield "scenarios (individuals, loci, QTL; stages done)"
        disk, of_scenario = 0, _grouped(stages, lambda task: task.folder)
        for scenario in self.study.scenarios:
            folder, size = f"{scenario.experiment}/{scenario.name}", scenario.simulation
            own = of_scenario.get(folder, [])
            yield f"  {folder}  {size.n_individuals} {size.n_loci} {size.n_qtl}; {len(_ids(own) & done)}/{len(own)}"
            if any(isinstance(task, Data) and task.task_id not in done for task in own):
                disk += dataset_bytes(size)
        yield f"disk: {disk / 1e6:,.1f} MB for the datasets to make; tables and figures a few kB each"


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
