"""What a driver runs: a study, published whole, or what there is of it."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import luigi

from pipeline.config import Config, shown
from pipeline.console import emit
from pipeline.publish import CONFIG, CRATE, RUN, is_published, publish, published_fault, refuse_namesake
from pipeline.record import cost, record
from pipeline.registry import RUNNERS
from pipeline.stage_task import HIDDEN, StageTask, damaged, reporting
from pipeline.store import read_json, short_hash
from pipeline.tasks import Report, load_once

CRATE_VERSION = 1  # raised when a crate says other things of the same run


class RunAll(luigi.Task):
    """The study of one config, published: results.csv and tables, figures/*.png, report.html, run.json and the metadata of a run crate
    under results/<config name>/."""

    config = luigi.PathParameter(default="configs/demo.yaml", absolute=True, description="config file")
    experiments = luigi.Parameter(default="", description="run these experiments only, separated by commas; default: all")
    results = luigi.PathParameter(default="results", absolute=True, description="folder of all results")
    runner = luigi.ChoiceParameter(
        choices=["", *RUNNERS], default="", description="local, docker or slurm, in place of the config's runner"
    )
    retry_count = 1
    missing_json = "{}"

    @cached_property
    def study(self) -> Config:
        return load_once(self.config, self.experiments)

    @cached_property
    def report(self) -> Report:
        return Report(self.results, self.chosen_runner, self.study.memory_gb, self.config, self.experiments, self.missing_json)

    @property
    def chosen_runner(self) -> str:
        return self.runner or self.study.runner

    @property
    def folder(self) -> Path:
        return shown(self.results / self.study.name)

    @property
    def missing(self) -> dict[str, Any]:
        """The stages that the study goes without."""
        return self.report.missing

    def without(self, missing: Mapping[str, Any]) -> "Incomplete":
        """The study without these stages."""
        return Incomplete(self.config, self.experiments, self.results, self.runner, json.dumps(missing))

    def stages(self) -> list[StageTask]:
        """Every stage of the study, inputs first."""
        return [*self.report.stages(), *self._page().values()]

    def _page(self) -> dict[str, StageTask]:
        return {} if self.report.label in self.missing else {"report.html": self.report}

    def requires(self) -> list[StageTask]:
        """What is published, and what else is damaged, though nobody may read it in this run."""
        return [*self.published().values(), *(task for task in self.stages() if task.entry.fault())]

    def published(self) -> dict[str, StageTask]:
        """The files of the folder, and the stage each is the output of."""
        figures = {f"figures/{figure.name}.png": figure for figure in self.report.figures}
        collect = self.report.collect
        tables = {f"{table}.csv": collect for table in collect.tables()}
        return {"results.csv": collect, **tables, **figures, **self._page()}

    @property
    def keys(self) -> dict[str, str]:
        return {name: task.key for name, task in self.published().items()} | dict.fromkeys((CONFIG, CRATE), self._crate_key())

    def _crate_key(self) -> str:
        """Of all that decides what the crate tells, but for what the stages were when they ran."""
        stages = {task.label: task.key for task in self.stages()}
        told = {"content": self.study.content, "credits": self.study.credits.model_dump(), "missing": self.missing}
        return short_hash({"version": CRATE_VERSION, "stages": stages, **told})

    def _tells_of_last_runs(self) -> bool:
        """Whether run.json, and so the crate, has every stage as it ran last; of one that is gone from the store nobody can tell."""
        told = {stage["stage"]: stage.get("started") for stage in read_json(self.folder / RUN).get("stages", [])}
        ran = {task.label: task.entry.provenance() for task in self.stages()}
        return all(told.get(label) == provenance.get("started") for label, provenance in ran.items() if provenance)

    def is_published(self) -> bool:
        """Whether the folder holds just this."""
        return is_published(self.folder, self.keys)

    def complete(self) -> bool:
        """Raises ConfigError where the folder is another config's."""
        refuse_namesake(self.folder, self.config, self.study.content)
        return self.is_published() and self._tells_of_last_runs() and not any(task.entry.fault() for task in self.stages())

    def run(self) -> Iterator[list[StageTask]]:
        """Yields what to publish where it is damaged: Luigi has it made again, and then calls this anew."""
        with reporting("publish"):
            if self.complete():
                return
            if again := damaged(self.published().values()):
                yield again
            sources = {name: _file(name, task) for name, task in self.published().items()}
            started, why, record = time.monotonic(), published_fault(self.folder), self._record()
            publish(self.folder, {**sources, **self._crate(sources, record["finished"])}, self.keys, record)
            if why:
                emit("done", "publish", seconds=time.monotonic() - started, why=why)

    def _crate(self, sources: Mapping[str, Path], finished: str) -> dict[str, str]:
        """The texts of the run crate's files."""
        from pipeline.crate import RunCrate  # which no other task needs

        crate = RunCrate(self.study, self.results, self.stages(), {source: name for name, source in sources.items()})
        whole = RunAll(self.config, self.experiments, self.results, self.runner).stages() if self.missing else []
        return {CONFIG: crate.config, CRATE: crate.metadata(finished, self.missing, {task.label: task for task in whole})}

    def _record(self) -> dict[str, Any]:
        stages = [{"stage": task.label, "path": str(task.entry.path), **cost(task)} for task in self.stages()]
        return {
            **record(self.study, self.chosen_runner),
            "config": os.path.relpath(self.config.resolve(), self.folder.resolve()),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "stages": stages,
            "missing": self.missing,
        }


def _file(name: str, task: StageTask) -> Path:
    """The file of the stage that is published under this name."""
    table = name.removesuffix(".csv")
    return task.stage.beside(task.entry.output, table) if table in task.stage.tables else task.entry.output


class Incomplete(RunAll):
    """What there is of a study some of whose stages failed: one of fewer fits, figures or without report, so with keys of its own.

    `missing_json`: {label of the stage: {"why": reason, "log": path below the results, or null}}.
    """

    missing_json = luigi.Parameter(visibility=HIDDEN)
