"""The stages as tasks: simulate (or import) → fit → collect → figure → report. What publishes them is in pipeline.root.

Every task carries all it needs as parameters, so two drivers with the same config name the same tasks and share the
work, and the scheduler's web view shows what each task is.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import luigi

from gpatlas.figures.registry import FIGURES
from gpatlas.figures.settings import FigureSettings
from gpatlas.report.run_record import FigureFile, MissingStage, RunRecord, StageRecord
from gpatlas.report.settings import COLLECTED_TABLES, CollectSettings, ReportSettings
from gpatlas.settings import Settings, build
from gpatlas.stages import DATA, FITS, SIMULATE_ALPHASIMR, STAGES
from pipeline.config import COLLECTED, Config, load_config, shown
from pipeline.data_spec import DataSpec, given
from pipeline.grid import Scenario
from pipeline.own import OwnScenario
from pipeline.record import command, cost, record
from pipeline.session import session
from pipeline.stage_task import HIDDEN, StageTask
from pipeline.store import canonical, short_hash, write_json

BASE_FITS = "base_fits.json"
DATA_STAGES = {stage.name: stage for stage in (*STAGES.values(), SIMULATE_ALPHASIMR) if stage.output == DATA}


class Data(StageTask):
    """Simulate or import one scenario's dataset file, or simulate traits on that of another population. `data`: a DataSpec, written."""

    experiment = luigi.Parameter()
    scenario = luigi.Parameter()
    data = luigi.Parameter(visibility=HIDDEN)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spec = DataSpec.read(self.data)
        self.stage = DATA_STAGES[self.spec.stage]
        self.settings = build(self.stage.settings, self.spec.settings)
        self.name, self.folder, self.size = self.stage.name, f"{self.experiment}/{self.scenario}", self.spec.size
        self.files = tuple(map(Path, self.spec.reads))

    @cached_property
    def genotypes(self) -> "Data | None":
        """The dataset file on whose genotypes traits are simulated."""
        if self.spec.genotypes is None:
            return None
        where = (self.results, self.runner, self.memory_gb, self.experiment, self.spec.population)
        return Data(*where, self.spec.genotypes.written())

    def inputs(self) -> Mapping[str, StageTask]:
        return {"genotypes": self.genotypes} if self.genotypes else {}

    def input_keys(self) -> dict[str, str]:
        return {**super().input_keys(), **self.spec.fingerprints}

    def source(self, folder: Path) -> Path | None:
        if self.genotypes:
            return self.genotypes.entry.output
        return self.files[0] if self.files else None


class Fit(StageTask):
    """Fit one model to one scenario. `settings_json`: the model's settings; `traits`: the store's name for those that it fits.

    `bases`: of a stack, the settings of the fits that it combines, {model: settings} in JSON.
    """

    experiment = luigi.Parameter()
    scenario = luigi.Parameter()
    data = luigi.Parameter(visibility=HIDDEN)
    model = luigi.Parameter()
    settings_json = luigi.Parameter(visibility=HIDDEN)
    traits = luigi.Parameter(default="")
    bases = luigi.Parameter(default="{}", visibility=HIDDEN)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stage = FITS[self.model]
        self.settings = build(self.stage.settings, json.loads(self.settings_json))
        self.dataset = Data(self.results, self.runner, self.memory_gb, self.experiment, self.scenario, self.data)
        self.name, self.folder, self.size = self.model, "/".join(filter(None, [self.dataset.folder, self.traits])), self.dataset.size

    @cached_property
    def base_fits(self) -> "dict[str, Fit]":
        """By model."""
        where = (self.results, self.runner, self.memory_gb, self.experiment, self.scenario, self.data)
        return {model: Fit(*where, model, canonical(settings), self.traits) for model, settings in json.loads(self.bases).items()}

    def inputs(self) -> Mapping[str, StageTask]:
        return {"data": self.dataset, **self.base_fits}

    def source(self, folder: Path) -> Path:
        return self.dataset.entry.output

    def prepare(self, folder: Path) -> None:
        if self.base_fits:
            write_json(folder / BASE_FITS, {model: str(fit.entry.output) for model, fit in self.base_fits.items()})

    def told(self, folder: Path) -> Settings:
        return self.settings.model_copy(update={"fits": folder / BASE_FITS}) if self.base_fits else self.settings


class StudyTask(StageTask):
    """A stage of the study as a whole: it knows its config."""

    config = luigi.PathParameter(absolute=True)
    experiments = luigi.Parameter()
    missing_json = luigi.Parameter(visibility=HIDDEN)

    @cached_property
    def missing(self) -> dict[str, Any]:
        """The stages that this study goes without, as `pipeline.root.Incomplete` has them."""
        return dict(json.loads(self.missing_json))

    @property
    def study(self) -> Config:
        return load_once(self.config, self.experiments)

    @property
    def folder(self) -> str:  # type: ignore[override]
        return f"{COLLECTED}/{self.study.name}"

    @property
    def common(self) -> tuple[Any, ...]:
        return (self.results, self.runner, self.memory_gb, self.config, self.experiments, self.missing_json)


class Collect(StudyTask):
    """Gather the tables of all fits into results.csv."""

    stage, settings, name = STAGES["collect"], CollectSettings(), "results"

    @cached_property
    def fits(self) -> list[tuple[Scenario | OwnScenario, Fit]]:
        return [
            (population, fit) for population in self.study.populations for fit in self._fits_of(population) if fit.label not in self.missing
        ]

    def _fits_of(self, population: Scenario | OwnScenario) -> Iterator[Fit]:
        data = self.study.data(population).written()
        where = (self.results, self.runner, self.memory_gb, population.experiment, population.name)
        for model, settings, traits, bases in population.fits():
            told = {base: given(of_base) for base, of_base in bases.items()}
            yield Fit(*where, data, model, canonical(given(settings)), traits, canonical(told))

    def inputs(self) -> Mapping[str, StageTask]:
        return {f"{fit.folder}/{fit.model}": fit for _, fit in self.fits}

    def input_keys(self) -> dict[str, str]:
        published = {f"{own.experiment}/{own.name}": own.published for own in self.study.own if own.published}
        plans = {scenario.experiment: _planned(scenario) for scenario in self.study.scenarios if scenario.target}
        told = {"published": published, "plan": plans}
        return {**super().input_keys(), **{name: short_hash(values) for name, values in told.items() if values}}

    def prepare(self, folder: Path) -> None:
        write_json(self.source(folder), [_listed(population, fit) for population, fit in self.fits])

    def tables(self) -> list[str]:
        """What it has collected beside the results; none as long as it has not run."""
        return [table for table in self.stage.tables if self.stage.beside(self.entry.output, table).exists()]

    def source(self, folder: Path) -> Path:
        return folder / "manifest.json"


class Figure(StudyTask):
    """Draw one figure of one experiment from results.csv."""

    experiment = luigi.Parameter()
    figure = luigi.Parameter()
    stage = STAGES["figure"]

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"figure_{FIGURES[self.figure].name_for(self.experiment)}"

    @property
    def settings(self) -> Settings:  # type: ignore[override]
        further_models = self.study.further_models[self.experiment] if FIGURES[self.figure].further_models else ()
        return build(FigureSettings, {"figure": self.figure, "experiment": self.experiment, "further_models": further_models})

    def file(self) -> FigureFile:
        """What the report is told of it."""
        return FigureFile(path=str(self.entry.output), **self.settings.model_dump(include={"figure", "experiment", "further_models"}))

    @cached_property
    def collect(self) -> Collect:
        return Collect(*self.common)

    def inputs(self) -> Mapping[str, StageTask]:
        return {"results": self.collect}

    def source(self, folder: Path) -> Path:
        return self.collect.entry.output


class Report(StudyTask):
    """Write the page on the whole run, from results.csv, the figures, and what the driver knows of every stage."""

    stage, settings, name = STAGES["report"], ReportSettings(), "report"

    @cached_property
    def collect(self) -> Collect:
        return Collect(*self.common)

    @cached_property
    def figures(self) -> list[Figure]:
        figures = [Figure(*self.common, *figure) for figure in self.study.figures]
        return [figure for figure in figures if figure.label not in self.missing]

    def stages(self) -> list[StageTask]:
        """Every stage before this one, inputs first."""
        fits = sorted((fit for _, fit in self.collect.fits), key=lambda fit: len(fit.base_fits) > 0)
        datasets = {data.task_id: data for fit in fits for data in (*fit.dataset.inputs().values(), fit.dataset)}
        there = [data for data in datasets.values() if data.label not in self.missing]
        return [*there, *fits, self.collect, *self.figures]

    def inputs(self) -> Mapping[str, StageTask]:
        return {"results": self.collect} | {figure.name: figure for figure in self.figures}

    def input_keys(self) -> dict[str, str]:
        missing = {"missing": short_hash(self.missing)} if self.missing else {}
        return {**super().input_keys(), "config": short_hash(self.study.content), **missing}

    def prepare(self, folder: Path) -> None:
        run = RunRecord(
            name=self.study.name,
            **record(self.study, self.runner),
            session=str(session()),
            command=command(self.study, self.runner, self.results),
            results=str(self.collect.entry.output),
            figures=tuple(figure.file() for figure in self.figures),
            stages=tuple(StageRecord(folder=task.folder, name=task.name, **cost(task, "versions", "report")) for task in self.stages()),
            missing=tuple(MissingStage(stage=label, **facts) for label, facts in self.missing.items()),
        )
        write_json(self.source(folder), run.model_dump(mode="json"))

    def source(self, folder: Path) -> Path:
        return folder / "run.json"


def _listed(population: Scenario | OwnScenario, fit: Fit) -> dict[str, Any]:
    """A fit, as the manifest lists it. Named loci and pairs are imported populations' alone."""
    columns = {"experiment": population.experiment, "scenario": population.name, "replicate": population.replicate, **_planned(population)}
    tables = COLLECTED_TABLES if isinstance(population, OwnScenario) else ("predictions",)
    paths = {table: fit.stage.beside(fit.entry.output, table) for table in tables}
    published = {"published": population.published} if isinstance(population, OwnScenario) and population.published else {}
    return {
        "table": str(fit.entry.output),
        "columns": columns,
        **published,
        "beside": {table: str(path) for table, path in paths.items() if path.exists()},
    }


def _planned(population: Scenario | OwnScenario) -> dict[str, Any]:
    """What a plan of it asks for, as columns."""
    target = population.target if isinstance(population, Scenario) else None
    return {f"plan_{name}": value for name, value in target.model_dump().items()} if target else {}


@lru_cache
def load_once(path: Path, experiments: str) -> Config:
    """A driver reads its config once: editing the file during a run changes nothing of that run."""
    return load_config(shown(path), tuple(filter(None, experiments.split(","))))
