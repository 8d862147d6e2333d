"""A config file, read whole and checked whole: what to simulate or import, which models to fit, which figures to draw.

A grid is written as lists and expanded here. Every fault of the file is reported at once, with its key, its value and
what would be right; numbers that are none before all others.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from gpatlas.data.settings import ImportSettings, SimulateSettings
from gpatlas.data.sources import fingerprint
from gpatlas.figures.registry import Populations
from gpatlas.models.settings import Device, Protocol
from gpatlas.settings import Int, Positive, Settings, nearest
from gpatlas.stages import SIMULATE_ALPHASIMR, STAGES, Stage
from pipeline.credits import Credits
from pipeline.data_spec import DataSpec, given
from pipeline.faults import ConfigError, Faults, fault_of_name, faults_of_numbers
from pipeline.figures import check_fits, chosen_figures
from pipeline.grid import MOST_STAGES, Experiment, Scenario, expand_scenarios, too_many
from pipeline.measured import measured_scenarios
from pipeline.models import FittedBlock, Folds
from pipeline.own import OwnExperiment, OwnScenario, expand_own
from pipeline.slurm_options import SlurmOptions

Simulator = Literal["native", "alphasimr", "import"]
SIMULATORS: dict[Simulator, Stage] = {
    "native": STAGES["simulate"],
    "alphasimr": SIMULATE_ALPHASIMR,
    "import": STAGES["import-alphasimr"],
}
NotNegative = Annotated[Int, Field(ge=0)]
MERGE = "tag:yaml.org,2002:merge"
COLLECTED = "collected"  # the store's folder for what belongs to all experiments


class _File(Credits):
    simulator: Simulator = "native"
    source: str | None = None
    runner: Literal["local", "docker", "slurm"] = "local"
    slurm: dict[str, Any] = {}
    memory_gb: NotNegative = 0
    protocol: Protocol | None = None
    n_folds: Folds | None = None
    n_repeats: Positive | None = None
    device: Device = "auto"
    threads: Positive = 1
    experiments: Annotated[dict[str, Any], Field(min_length=1)]

    def shared(self) -> dict[str, Any]:
        """What is said once for all models that have it."""
        names = ("protocol", "n_folds", "n_repeats", "device", "threads")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@dataclass(frozen=True)
class Config:
    """A valid config. `source` is set, and `stage` the importer, where AlphaSimR's data are imported. `only`: the experiments asked for.

    `scenarios`: what is simulated; `own`: populations of a user's own files. `figures`: (experiment, figure); `further_models`: what those
    of an experiment draw beside the study's models. `content`: of the file, but for the `credits`.
    """

    path: Path
    only: tuple[str, ...]
    stage: Stage
    source: Path | None
    runner: str
    slurm: SlurmOptions
    memory_gb: int
    scenarios: tuple[Scenario, ...]
    own: tuple[OwnScenario, ...]
    figures: tuple[tuple[str, str], ...]
    further_models: Mapping[str, tuple[str, ...]]
    content: Mapping[str, Any]
    credits: Credits

    @property
    def name(self) -> str:
        """Of the file, and of the experiments asked for."""
        return "-".join([self.path.stem, *self.only])

    @property
    def populations(self) -> tuple[Scenario | OwnScenario, ...]:
        """All that is fitted, simulated or not."""
        return (*self.scenarios, *self.own)

    def fingerprint(self, scenario: Scenario) -> str | None:
        """Hash of the files that `scenario` is imported from."""
        if self.source is None:
            return None
        return _fingerprint(self.source, scenario.name if self.source.is_dir() else "")

    def data(self, population: Scenario | OwnScenario) -> DataSpec:
        """How the population's dataset file is made."""
        if isinstance(population, OwnScenario):
            return population.data
        if population.genotypes is not None:
            return population.from_genotypes(population.genotypes)
        settings = given(self._settings(population))
        if not self.source:
            return DataSpec(self.stage.name, settings, (), {}, population.size)
        return DataSpec(self.stage.name, settings, (str(self.source),), {"files": str(self.fingerprint(population))}, population.size)

    def _settings(self, scenario: Scenario) -> Settings:
        simulation = scenario.simulation
        if not self.source or not isinstance(simulation, SimulateSettings):
            return simulation
        return ImportSettings(
            scenario=scenario.name,
            n_individuals=simulation.n_individuals,
            n_loci=simulation.n_loci,
            n_qtl=simulation.n_qtl,
            rel_aa=tuple(rel_aa for rel_aa, size in simulation.trait_groups() for _ in range(size)),
            h2=simulation.h2 if "h2" in simulation.model_fields_set else None,
        )


@dataclass
class _Found:
    """What the experiments of a config come to."""

    scenarios: list[Scenario] = field(default_factory=list)
    own: list[OwnScenario] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)
    further_models: dict[str, tuple[str, ...]] = field(default_factory=dict)
    protocols: set[str] = field(default_factory=set)

    def add(self, name: str, experiment: Experiment | OwnExperiment, shared: dict[str, Any], folder: Path, faults: Faults) -> None:
        """`shared`: settings given once for all its models; `folder`: where the config is."""
        populations: Sequence[Scenario | OwnScenario]
        published: list[set[str]] | None = []
        if isinstance(experiment, OwnExperiment):
            populations = own = expand_own(name, experiment, shared, folder, faults)
            published = [columns for population in own for columns in population.published_columns()] if own else None
            self.own += own
        else:
            scenarios = expand_scenarios(name, experiment, shared, folder, faults)
            populations = scenarios = [*scenarios, *measured_scenarios(name, experiment, scenarios, faults)]
            self.scenarios += scenarios
        kind: Populations = "imported" if isinstance(experiment, OwnExperiment) else "simulated"
        protocols = {settings.protocol for population in populations for _, settings in population.models} or {shared["protocol"]}
        self.figures += [(name, figure) for figure in chosen_figures(name, experiment, kind, protocols, published, faults)]
        check_fits(name, experiment, sorted({population.size.n_individuals for population in populations}), faults)
        self.further_models[name] = experiment.further_models
        self.protocols |= protocols


def load_config(path: Path, only: tuple[str, ...] = ()) -> Config:
    """The config at `path`, or those of its experiments that `only` names; raises ConfigError with every fault it has."""
    faults = Faults(path)
    content = _read(path, faults)
    faults.stop_if_any()
    file = faults.build(_File, content, "")
    faults.stop_if_any()
    assert file is not None
    source = _source(file, path, faults)
    slurm = faults.build(SlurmOptions, file.slurm, "slurm")
    found = _Found()
    for name, block in file.experiments.items():
        experiment = _experiment(name, block, faults)
        if experiment is not None:
            found.add(name, experiment, experiment.shared(file.shared(), f"experiments.{name}", faults), path.parent, faults)
    _check_folds(file, found.protocols, faults)
    for unknown in (name for name in only if name not in file.experiments):
        faults.add("experiments", f"{unknown!r} is none of them" + nearest(unknown, list(file.experiments)))
    faults.stop_if_any()
    config = Config(
        path,
        only,
        SIMULATORS[file.simulator],
        source,
        file.runner,
        slurm,
        file.memory_gb,
        tuple(scenario for scenario in found.scenarios if scenario.experiment in (only or file.experiments)),
        tuple(population for population in found.own if population.experiment in (only or file.experiments)),
        tuple((name, figure) for name, figure in found.figures if name in (only or file.experiments)),
        found.further_models,
        {key: value for key, value in content.items() if key not in Credits.model_fields},
        Credits(agent=file.agent, license=file.license),
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


def _check_folds(file: _File, protocols: set[str], faults: Faults) -> None:
    for key in ("n_folds", "n_repeats") if "cross_validation" not in protocols else ():
        if getattr(file, key) is not None:
            faults.add(key, "goes with protocol 'cross_validation', which no experiment has")


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


def _experiment(name: Any, block: Any, faults: Faults) -> Experiment | OwnExperiment | None:
    """A block on simulated populations, or on one's own where it has the key `data`."""
    where = f"experiments.{name}"
    fault = fault_of_name(name) or (f"{COLLECTED!r} is the store's own name, give the experiment another" if name == COLLECTED else "")
    if fault:
        faults.add(where, fault)
    if not isinstance(block, dict):
        keys = ", ".join(("data, or scenario, genotypes, plan, measured, simulation, grid", *FittedBlock.model_fields))
        faults.add(where, f"must be a mapping with the keys {keys}, got {block!r}")
    if fault or not isinstance(block, dict):
        return None
    if "data" not in block:
        found: Experiment | None = faults.build(Experiment, block, where)
        return found
    simulated = [key for key in Experiment.model_fields if key in block and key not in FittedBlock.model_fields]
    for key in simulated:
        faults.add(f"{where}.{key}", "goes with simulated populations; 'data' is given as well, leave one of them")
    own: OwnExperiment | None = faults.build(OwnExperiment, {key: value for key, value in block.items() if key not in simulated}, where)
    return own


def _check_run(config: Config, faults: Faults) -> None:
    """What can't be said of one experiment alone: the folder of the run, its size, and the files that it reads."""
    if config.path.stem in (".", "..", "store"):
        faults.add("experiments", f"are published in a folder of the config's name, which can't be {config.path.stem!r}; rename the file")
    if len(config.name.encode()) > 200:
        faults.add("experiments", f"are published in a folder of at most 200 bytes, got {config.name!r}; run fewer at once")
    if (n_stages := sum(1 + len(list(population.fits())) for population in config.populations)) > MOST_STAGES:
        faults.add("experiments", too_many(f"{len(config.populations):,} scenarios and their fits", n_stages))
    if config.stage is not SIMULATORS["native"]:
        for name in dict.fromkeys(scenario.experiment for scenario in config.scenarios if scenario.genotypes):
            faults.add(f"experiments.{name}.genotypes", f"goes with simulator 'native', not {config.content['simulator']!r}")
    for scenario in config.scenarios if config.source else ():
        try:
            config.fingerprint(scenario)
        except (OSError, ValueError) as error:
            faults.add("source", str(error))
