"""A grid, written as lists, expanded into scenarios: every combination of its values, with the models to fit to it."""

import itertools
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gpatlas.data.settings import SimulateSettings, n_qtl_for
from gpatlas.figures.settings import FurtherModels
from gpatlas.models.registry import MODELS
from gpatlas.models.settings import FitSettings, Protocol, split_sizes
from gpatlas.settings import Settings, nearest
from pipeline.faults import Faults

GIVEN_BY_DRIVER = {"seed", "block_size"}
GRID_KEYS = sorted(set(SimulateSettings.model_fields) - GIVEN_BY_DRIVER | {"qtl_pairs_per_individual", "replicates"})


class Experiment(BaseModel):
    """A block of the config: populations, what is fitted to them, and the figures of them. `scenario`: a format for their names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scenario: str
    simulation: dict[str, Any] = {}
    grid: Annotated[list[dict[str, Any]], Field(min_length=1)]
    models: Annotated[dict[str, Any], Field(min_length=1)]
    protocol: Protocol | None = None
    figures: list[str] = []
    further_models: FurtherModels = ()


@dataclass(frozen=True)
class Scenario:
    """One population: where its data come from and what to fit to it."""

    experiment: str
    name: str
    replicate: int
    simulation: SimulateSettings
    models: tuple[tuple[str, Settings], ...]

    @property
    def n_traits(self) -> int:
        """Of all trait groups together."""
        return sum(size for _, size in self.simulation.trait_groups())


def expand_scenarios(name: str, experiment: Experiment, shared: Mapping[str, Any], faults: Faults) -> list[Scenario]:
    """The scenarios of one experiment, in the order of its grid. `shared`: settings given once for all models."""
    where = f"experiments.{name}"
    if experiment.protocol:
        shared = {**shared, "protocol": experiment.protocol}
    models = {model: _model(model, given, shared, f"{where}.models.{model}", faults) for model, given in experiment.models.items()}
    scenarios: dict[str, Scenario] = {}
    for position, block in enumerate(experiment.grid):
        key = f"{where}.grid.{position}"
        template = block.get("scenario", experiment.scenario)
        if not _template_is_valid(template, key if "scenario" in block else where, faults):
            continue
        values_of_block = {name: value for name, value in block.items() if name != "scenario"}
        for values, replicate in _combinations({**experiment.simulation, **values_of_block}, key, faults):
            simulation = faults.build(SimulateSettings, {**values, "seed": replicate}, key)
            if simulation is None:
                continue
            label = _label(template, simulation, replicate, where, faults)
            if label and label in scenarios:
                faults.add(f"{where}.scenario", f"two scenarios are named {label!r}; name every parameter that the grid varies")
            fits = tuple(
                (model, fit.settings.model_copy(update={"seed": replicate}))
                for model, fit in models.items()
                if fit is not None and fit.takes(simulation.n_individuals, f"{where}.models.{model}", faults)
            )
            scenarios[label] = Scenario(name, label, replicate, simulation, fits)
    return list(scenarios.values())


def _label(template: str, simulation: SimulateSettings, replicate: int, where: str, faults: Faults) -> str:
    try:
        return template.format(**{**simulation.model_dump(), "replicate": replicate})
    except (ValueError, TypeError) as error:
        faults.add(f"{where}.scenario", f"{error}, got {template!r}")
        return ""


@dataclass(frozen=True)
class _ChosenModel:
    """A model's settings, and the largest population it is fitted to."""

    settings: FitSettings
    max_n_individuals: int | None

    def takes(self, n_individuals: int, key: str, faults: Faults) -> bool:
        """Whether to fit a population of this size; a fault where it is too small to be split."""
        if self.max_n_individuals is not None and n_individuals > self.max_n_individuals:
            return False
        protocol = self.settings.protocol
        for part, size in zip(("train", "validation", "test"), split_sizes(n_individuals, protocol), strict=True):
            if size < 2:
                message = f"leaves a {part} part of {size} under protocol {protocol!r}; it must hold at least 2"
                faults.add(key, f"n_individuals {n_individuals} {message}")
        return True


def _model(name: str, given: Any, shared: Mapping[str, Any], key: str, faults: Faults) -> _ChosenModel | None:
    if name not in MODELS:
        faults.add(key, "unknown model" + nearest(name, list(MODELS)))
        return None
    if not isinstance(given, dict | None):
        faults.add(key, f"must be a mapping of settings, got {given!r}")
        return None
    own = dict(given or {})
    limit = own.pop("max_n_individuals", None)
    if limit is not None and type(limit) is not int:
        faults.add(f"{key}.max_n_individuals", f"must be a whole number, got {limit!r}")
    if "seed" in own:
        faults.add(f"{key}.seed", "is the replicate number; choose replicates in the grid")
    common = {setting: value for setting, value in shared.items() if setting in MODELS[name].settings.model_fields}
    settings = faults.build(MODELS[name].settings, {**common, **own}, key)
    return _ChosenModel(settings, limit) if settings is not None and type(limit) in (int, type(None)) else None


def _template_is_valid(template: Any, where: str, faults: Faults) -> bool:
    allowed = [*SimulateSettings.model_fields, "replicate"]
    if not isinstance(template, str):
        faults.add(f"{where}.scenario", f"must be a text that names a scenario, got {template!r}")
        return False
    try:
        names = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        faults.add(f"{where}.scenario", f"{error}, got {template!r}")
        return False
    for unknown in (field for field in names if field not in allowed):
        faults.add(f"{where}.scenario", f"unknown parameter {unknown!r} in {template!r}" + nearest(unknown, allowed))
    if "/" in template:
        faults.add(f"{where}.scenario", f"is the name of a folder, so it holds no '/', got {template!r}")
    return "/" not in template and all(field in allowed for field in names)


def _combinations(block: dict[str, Any], key: str, faults: Faults) -> Iterator[tuple[dict[str, Any], int]]:
    """Every combination of the lists of a grid block: (simulation settings, replicate)."""
    unknown = [name for name in block if name not in GRID_KEYS]
    for name in unknown:
        faults.add(f"{key}.{name}", "unknown key" + nearest(str(name), GRID_KEYS))
    replicates = _replicates(block.get("replicates", 1))
    if replicates is None:
        faults.add(
            f"{key}.replicates", f"must be a number of replicates or a list of replicate numbers, from 1 on, got {block['replicates']!r}"
        )
    if "n_qtl" in block and "qtl_pairs_per_individual" in block:
        faults.add(f"{key}.qtl_pairs_per_individual", "n_qtl is given as well; give one of the two")
    if unknown or replicates is None:
        return
    names = [name for name in block if name != "replicates"]
    axes = [block[name] if isinstance(block[name], list) and name != "rel_aa" else [block[name]] for name in names]
    for empty in (name for name, axis in zip(names, axes, strict=True) if not axis):
        faults.add(f"{key}.{empty}", "must have at least one value, got []")
    for values in itertools.product(*axes):
        combination = _with_loci(dict(zip(names, values, strict=True)), key, faults)
        if combination is not None:
            yield from ((combination, replicate) for replicate in replicates)


def _replicates(given: Any) -> list[int] | None:
    numbers = given if isinstance(given, list) else [given]
    if not numbers or not all(type(number) is int and number >= 1 for number in numbers):
        return None
    return given if isinstance(given, list) else list(range(1, given + 1))


def _with_loci(values: dict[str, Any], key: str, faults: Faults) -> dict[str, Any] | None:
    """QTL from the scaling value where one is given; as many loci as QTL where nothing else is said."""
    if "qtl_pairs_per_individual" in values:
        scaling, n = values.pop("qtl_pairs_per_individual"), values.get("n_individuals")
        if type(scaling) not in (int, float) or not scaling > 0:
            faults.add(f"{key}.qtl_pairs_per_individual", f"must be a number greater than 0, got {scaling!r}")
            return None
        if type(n) is int and n >= 1:
            values["n_qtl"] = n_qtl_for(n, scaling)
    if "n_qtl" in values:
        values.setdefault("n_loci", values["n_qtl"])
    return values
