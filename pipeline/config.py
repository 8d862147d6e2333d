"""A config file, read whole and checked whole: what to simulate or import, which models to fit, which figures to draw.

A grid is written as lists and expanded here. Every fault of the file is reported at once, with its key, its value and
what would be right; numbers that are none before all others.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from gpatlas.data.settings import ImportSettings
from gpatlas.data.sources import fingerprint
from gpatlas.figures.registry import FIGURES
from gpatlas.models.registry import MODELS
from gpatlas.models.settings import Device, Protocol
from gpatlas.settings import Int, Positive, Settings, nearest
from gpatlas.stages import SIMULATE_ALPHASIMR, STAGES, Stage
from pipeline.faults import ConfigError, Faults, fault_of_name, faults_of_numbers
from pipeline.grid import MOST_STAGES, Experiment, Scenario, expand_scenarios, too_many

Simulator = Literal["native", "alphasimr", "import"]
SIMULATORS: dict[Simulator, Stage] = {
    "native": STAGES["simulate"],
    "alphasimr": SIMULATE_ALPHASIMR,
    "import": STAGES["import-alphasimr"],
}
NotNegative = Annotated[Int, Field(ge=0)]
MERGE = "tag:yaml.org,2002:merge"
COLLECTED = "collected"  # the store's folder for what belongs to all experiments


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    simulator: Simulator = "native"
    source: str | None = None
    runner: Literal["local", "docker"] = "local"
    memory_gb: NotNegative = 0
    protocol: Protocol = "paper"
    device: Device = "auto"
    threads: Positive = 1
    experiments: Annotated[dict[str, Any], Field(min_length=1)]

    def shared(self) -> dict[str, Any]:
        """What is said once for all models that have it."""
        return {"protocol": self.protocol, "device": self.device, "threads": self.threads}


@dataclass(frozen=True)
class Config:
    """A valid config. `source` is set, and `stage` the importer, where data are imported. `only`: the experiments asked for.

    `figures`: (experiment, figure); `further_models`: what those of an experiment draw beside the study's models.
    """

    path: Path
    only: tuple[str, ...]
    stage: Stage
    source: Path | None
    runner: str
    memory_gb: int
    scenarios: tuple[Scenario, ...]
    figures: tuple[tuple[str, str], ...]
    further_models: Mapping[str, tuple[str, ...]]
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Of the file, and of the experiments asked for."""
        return "-".join([self.path.stem, *self.only])

    def fingerprint(self, scenario: Scenario) -> str | None:
        """Hash of the files that `scenario` is imported from."""
        if self.source is None:
            return None
        return _fingerprint(self.source, scenario.name if self.source.is_dir() else "")

    def data_settings(self, scenario: Scenario) -> Settings:
        """The settings of the stage that makes the scenario's dataset file."""
        simulation = scenario.simulation
        if not self.source:
            return simulation
        return ImportSettings(
            scenario=scenario.name,
            n_individuals=simulation.n_individuals,
            n_loci=simulation.n_loci,
            n_qtl=simulation.n_qtl,
            rel_aa=tuple(rel_aa for rel_aa, size in simulation.trait_groups() for _ in range(size)),
            h2=simulation.h2 if "h2" in simulation.model_fields_set else None,
        )


def load_config(path: Path, only: tuple[str, ...] = ()) -> Config:
    """The config at `path`, or those of its experiments that `only` names; raises ConfigError with every fault it has."""
    faults = Faults(path)
    content = _read(path, faults)
    faults.stop_if_any()
    file = faults.build(_File, content, "")
    faults.stop_if_any()
    assert file is not None
    source = _source(file, path, faults)
    scenarios: list[Scenario] = []
    figures: list[tuple[str, str]] = []
    further_models: dict[str, tuple[str, ...]] = {}
    for name, block in file.experiments.items():
        where = f"experiments.{name}"
        experiment = faults.build(Experiment, block, where) if _is_experiment(name, block, where, faults) else None
        if experiment is not None:
            expanded = expand_scenarios(name, experiment, file.shared(), faults)
            scenarios += expanded
            figures += [(name, figure) for figure in _figures(name, experiment, faults)]
            _check_fits(name, experiment, expanded, faults)
            further_models[name] = experiment.further_models
    for unknown in (name for name in only if name not in file.experiments):
        faults.add("experiments", f"{unknown!r} is none of them" + nearest(unknown, list(file.experiments)))
    faults.stop_if_any()
    if only:
        scenarios = [scenario for scenario in scenarios if scenario.experiment in only]
        figures = [(name, figure) for name, figure in figures if name in only]
    config = Config(
        path,
        only,
        SIMULATORS[file.simulator],
        source,
        file.runner,
        file.memory_gb,
        tuple(scenarios),
        tuple(figures),
        further_models,
        content,
    )
    _check_run(config, faults)
    faults.stop_if_any()
    return config


@cache
def _fingerprint(source: Path, scenario: str) -> str:
    """An archive is one file for all its scenarios, so it is read once."""
    return fingerprint(source, scenario)


def shown(path: Path) -> Path:
    """The path as a person would type it here: relative where it lies below the current folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


class _Loader(yaml.SafeLoader):
    """YAML that takes every key as the text that is written, refuses one given twice, and reads 1e-4 as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a text that begins with a brace stands in quotes", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
            if key.tag != MERGE:
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _read(path: Path, faults: Faults) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
        for key, message in faults_of_numbers(content):
            faults.add(key, message)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a mapping with the key 'experiments', got {type(content).__name__}")
    return content


def _source(file: _File, path: Path, faults: Faults) -> Path | None:
    """The folder or archive to import from, relative to the config file."""
    if file.simulator != "import":
        if file.source is not None:
            faults.add("source", f"goes with simulator 'import', not {file.simulator!r}")
        return None
    if file.source is None:
        faults.add("source", "is required with simulator 'import': the folder or archive that holds the files")
        return None
    source = (path.parent / file.source).resolve()
    if not source.exists():
        faults.add("source", f"{file.source!r} does not exist (looked for {source})")
    return source


def _is_experiment(name: Any, block: Any, where: str, faults: Faults) -> bool:
    fault = fault_of_name(name) or (f"{COLLECTED!r} is the store's own name, give the experiment another" if name == COLLECTED else "")
    if fault:
        faults.add(where, fault)
    if not isinstance(block, dict):
        faults.add(where, f"must be a mapping with the keys {', '.join(Experiment.model_fields)}, got {block!r}")
    return not fault and isinstance(block, dict)


def _figures(name: str, experiment: Experiment, faults: Faults) -> list[str]:
    """The figures of an experiment; each must exist and find its models among those of the experiment. So must further models."""
    for position, figure in enumerate(experiment.figures):
        key = f"experiments.{name}.figures.{position}"
        if figure not in FIGURES:
            faults.add(key, f"{figure!r} is no figure" + nearest(figure, list(FIGURES)))
        elif missing := [model for model in FIGURES[figure].models if model not in experiment.models]:
            faults.add(key, f"figure {figure!r} needs the model {', '.join(missing)}, which is not among this experiment's models")
    for position, result in enumerate(experiment.further_models):
        (model,) = (model.name for model in MODELS.values() if result in model.titles)
        if model not in experiment.models:
            whose = "" if model == result else f" is a result of the model {model!r}, which"
            faults.add(f"experiments.{name}.further_models.{position}", f"{result!r}{whose} is not among this experiment's models")
    return experiment.figures


def _check_fits(name: str, experiment: Experiment, scenarios: list[Scenario], faults: Faults) -> None:
    """Every model that a figure draws must be fitted to some scenario: its `max_n_individuals` leaves the larger ones out."""
    sizes = sorted({scenario.simulation.n_individuals for scenario in scenarios})
    limits = {model: (given or {}).get("max_n_individuals") for model, given in experiment.models.items() if isinstance(given, dict | None)}
    unfitted = {model: limit for model, limit in limits.items() if type(limit) is int and sizes and limit < sizes[0]}
    drawn = [
        (f"figures.{place}", f"figure {figure!r}", FIGURES[figure].models)
        for place, figure in enumerate(experiment.figures)
        if figure in FIGURES
    ]
    for place, result in enumerate(experiment.further_models):
        drawn.append((f"further_models.{place}", f"{result!r}", tuple(model.name for model in MODELS.values() if result in model.titles)))
    for key, what, models in drawn:
        for model in (model for model in models if model in unfitted):
            below = f"max_n_individuals {unfitted[model]} is below every size of this experiment ({', '.join(map(str, sizes))})"
            faults.add(f"experiments.{name}.{key}", f"{what} needs the model {model}, whose {below}")
    if limits and unfitted.keys() == experiment.models.keys():
        faults.add(f"experiments.{name}.models", f"max_n_individuals of every model is below every size ({', '.join(map(str, sizes))})")


def _check_run(config: Config, faults: Faults) -> None:
    """What can't be said of one experiment alone: the folder of the run, its size, and the files that it reads."""
    if config.path.stem in (".", "..", "store"):
        faults.add("experiments", f"are published in a folder of the config's name, which can't be {config.path.stem!r}; rename the file")
    if len(config.name.encode()) > 200:
        faults.add("experiments", f"are published in a folder of at most 200 bytes, got {config.name!r}; run fewer at once")
    if (n_stages := sum(1 + len(scenario.models) for scenario in config.scenarios)) > MOST_STAGES:
        faults.add("experiments", too_many(f"{len(config.scenarios):,} scenarios and their fits", n_stages))
    for scenario in config.scenarios if config.source else ():
        try:
            config.fingerprint(scenario)
        except (OSError, ValueError) as error:
            faults.add("source", str(error))
