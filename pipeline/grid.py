"""A grid, written as lists, expanded into scenarios: every combination of its values, with the models to fit to it."""

import itertools
import math
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from gpatlas.data.settings import SUBSAMPLE, SimulateSettings, SimulateTraitsSettings, SubsampleSettings, dataset_bytes, n_qtl_for
from gpatlas.figures.settings import PlanTarget
from gpatlas.models.settings import FitSettings
from gpatlas.settings import Settings, Size, nearest
from gpatlas.stages import STAGES
from pipeline.data_spec import DataSpec, given
from pipeline.faults import Faults, fault_of_name
from pipeline.models import ChosenModel, FittedBlock, chosen_models, combined
from pipeline.own import OwnScenario, bytes_but_names, genotyped

GIVEN_BY_DRIVER = {"seed", "block_size"}
LARGEST = {"n_individuals": 10**9, "n_loci": 10**9, "n_qtl": 10**9, "n_traits": 10_000}
MOST_STAGES = 50_000  # of a run: its driver takes about half a GB for so many
OF_GRIDS = {"qtl_pairs_per_individual", "replicates"}
SIMULATE_TRAITS = STAGES["simulate-traits"].name
Simulation = SimulateSettings | SimulateTraitsSettings


class Experiment(FittedBlock):
    """A block of the config: populations, what is fitted to them, and the figures of them. `scenario`: a format for their names.
    A block of its `grid` may have a `scenario` of its own, and a list `models` of those to fit to its populations.

    `genotypes`: a user's own population, on which the traits are simulated; left out, genomes are simulated too. `plan`: what the
    figure of that name asks for; `measured`: traits of `genotypes` that it draws as they were measured, beside the simulated ones.
    """

    usual_protocol = "paper"

    scenario: str
    genotypes: Any = None
    plan: Any = None
    measured: Any = None
    simulation: dict[str, Any] = {}
    grid: Annotated[list[dict[str, Any]], Field(min_length=1)]


@dataclass(frozen=True)
class Scenario:
    """One population: where its data come from and what to fit to it. `genotypes`: the population that has them, where they are not
    simulated, and from which it is drawn where nothing is; `target`: what a plan of it asks for."""

    experiment: str
    name: str
    replicate: int
    simulation: Simulation | SubsampleSettings
    models: tuple[tuple[str, FitSettings], ...]
    genotypes: OwnScenario | None = None
    target: PlanTarget | None = None

    def sizes(self) -> str:
        """Individuals, loci and QTL, for a person."""
        n_qtl = "-" if isinstance(self.simulation, SubsampleSettings) else self.simulation.n_qtl
        return f"{self.size.n_individuals} {self.size.n_loci} {n_qtl}"

    def dataset_bytes(self) -> int:
        """Size on disk of its dataset file; where genotypes are a user's own, at most and but for names."""
        if isinstance(self.simulation, SubsampleSettings):
            return bytes_but_names(self.size)
        return dataset_bytes(self.simulation, self.size)

    def from_genotypes(self, genotypes: OwnScenario) -> DataSpec:
        """How its dataset file is made of the population that has its genotypes."""
        stage = SUBSAMPLE if isinstance(self.simulation, SubsampleSettings) else SIMULATE_TRAITS
        return DataSpec(stage, given(self.simulation), (), {}, self.size, genotypes.name, genotypes.data)

    def fits(self) -> Iterator[tuple[str, Settings, str, Mapping[str, Settings]]]:
        """(model, its settings, '': all traits are fitted together, the settings of the fits that it combines) of every fit."""
        yield from ((model, settings, "", combined(settings, dict(self.models))) for model, settings in self.models)

    @property
    def size(self) -> Size:
        """With the traits of all trait groups together; at most, where genotypes are a user's own."""
        simulation = self.simulation
        n_traits = 1 if isinstance(simulation, SubsampleSettings) else sum(size for _, size in simulation.trait_groups())
        if isinstance(simulation, SimulateSettings):
            return Size(simulation.n_individuals, simulation.n_loci, n_traits, simulation.bits)
        there = self.genotypes.size if self.genotypes else Size()
        return Size(simulation.n_individuals or there.n_individuals, there.n_loci, n_traits, there.bits)


def expand_scenarios(name: str, experiment: Experiment, shared: Mapping[str, Any], folder: Path, faults: Faults) -> list[Scenario]:
    """The scenarios of one experiment, in the order of its grid. `shared`: settings given once for all its models; `folder`: where the
    config is."""
    where = f"experiments.{name}"
    models = chosen_models(experiment, shared, where, faults)
    genotypes = None if experiment.genotypes is None else genotyped(name, experiment.genotypes, folder, faults)
    target = _target(experiment, f"{where}.plan", faults)
    kind: type[Simulation] = SimulateSettings if experiment.genotypes is None else SimulateTraitsSettings
    scenarios: dict[str, Scenario] = {}
    for position, block in enumerate(experiment.grid):
        key = f"{where}.grid.{position}"
        template, key_of_name = block.get("scenario", experiment.scenario), f"{key if 'scenario' in block else where}.scenario"
        if not _template_is_valid(template, kind, key_of_name, faults):
            continue
        values_of_block = {name: value for name, value in block.items() if name not in ("scenario", "models")}
        fitted = _fitted(block, experiment, models, key, faults)
        named_well = True  # as long as it is: one fault of a template is enough
        for values, replicate in _combinations({**experiment.simulation, **values_of_block}, kind, len(fitted), key, faults):
            simulation = faults.build(kind, {**values, "seed": replicate}, key)
            if simulation is None:
                continue
            scenario = Scenario(name, "", replicate, simulation, (), genotypes, target)
            if genotypes and simulation.n_qtl > genotypes.size.n_loci:
                faults.add(f"{key}.n_qtl", f"must be at most the {genotypes.size.n_loci} loci of the genotypes, got {simulation.n_qtl}")
            n = scenario.size.n_individuals  # 0 where the genotypes have a fault
            fits = tuple(
                (model, fit.settings.model_copy(update={"seed": replicate}))
                for model, fit in fitted.items()
                if n and fit.takes(n, f"{where}.models.{model}", faults)
            )
            if named_well:
                label, fault = _label(template, simulation, replicate, scenarios)
                named_well = not fault
                if fault:
                    faults.add(key_of_name, fault)
            scenarios[label if named_well else f"unnamed {len(scenarios)}"] = replace(scenario, name=label, models=fits)
    _check_named(experiment, where, list(scenarios.values()), faults)
    return list(scenarios.values())


def _check_named(experiment: Experiment, where: str, scenarios: list[Scenario], faults: Faults) -> None:
    """Where blocks of the grid name models, each of the experiment's must be fitted to something; told where nothing else is wrong."""
    if faults.lines or not any("models" in block for block in experiment.grid):
        return
    fitted = {model for scenario in scenarios for model, _ in scenario.models}
    for model in (model for model in experiment.models if model not in fitted):
        faults.add(
            f"{where}.models.{model}", "is fitted to nothing: no block of the grid names it and has a population small enough for it"
        )


def _fitted(
    block: Mapping[str, Any], experiment: Experiment, models: Mapping[str, ChosenModel], key: str, faults: Faults
) -> Mapping[str, ChosenModel]:
    """Those of `models`, the experiment's valid ones, that a grid block names; all, where it names none."""
    if "models" not in block:
        return models
    names = block["models"]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        faults.add(f"{key}.models", f"must be a list of names of the experiment's models, got {names!r}")
        return {}
    for name in names:
        if name not in experiment.models:
            faults.add(f"{key}.models", f"{name!r} is no model of the experiment" + nearest(name, list(experiment.models)))
    return {name: model for name, model in models.items() if name in names}


def _target(experiment: Experiment, key: str, faults: Faults) -> PlanTarget | None:
    """What a plan of the experiment asks for, where it says so."""
    if experiment.plan is None:
        return None
    if "plan" not in experiment.figures:
        faults.add(key, "goes with the figure 'plan', which is not among this experiment's")
    if not isinstance(experiment.plan, dict):
        faults.add(key, f"must be a mapping with the keys gain and power, got {experiment.plan!r}")
        return None
    target: PlanTarget | None = faults.build(PlanTarget, experiment.plan, key)
    return target


def _label(template: str, simulation: Simulation, replicate: int, scenarios: Mapping[str, Scenario]) -> tuple[str, str]:
    """The name of a scenario beside these, and what is wrong with it, or ''."""
    values = _values_of(simulation, replicate)
    try:
        label = template.format(**values)
    except (ValueError, TypeError) as error:
        return "", f"{error}, got {template!r}"
    if label not in scenarios:
        return label, fault_of_name(label)
    others = _values_of(scenarios[label].simulation, scenarios[label].replicate)
    differing = [name for name in sorted(values) if values[name] != others[name] and name not in GIVEN_BY_DRIVER]
    if not differing:
        return label, f"the scenario {label!r} is given twice"
    one, other = (", ".join(f"{name} {of[name]}" for name in differing) for of in (others, values))
    absent = [f"{{{name}}}" for name in differing if name not in dict(_fields(template))]
    lack = f"the name lacks {' or '.join(absent)}" if absent else "the name writes both the same"
    return label, f"two scenarios are named {label!r}, that of {one} and that of {other}; {lack}"


def _values_of(simulation: Simulation | SubsampleSettings, replicate: int) -> dict[str, Any]:
    """What a name may tell of a scenario."""
    return {**simulation.model_dump(), "n_individuals": simulation.n_individuals or "all", "replicate": replicate}


def _fields(template: str) -> list[tuple[str, str]]:
    """The parameters that a template names, each with its format."""
    return [(field, form or "") for _, field, form, _ in string.Formatter().parse(template) if field is not None]


def _template_is_valid(template: Any, kind: type[Simulation], key: str, faults: Faults) -> bool:
    allowed = [*kind.model_fields, "replicate"]
    if not isinstance(template, str):
        faults.add(key, f"must be a text that names a scenario, in quotes where it begins with a brace, got {template!r}")
        return False
    try:
        fields = _fields(template)
    except ValueError as error:
        faults.add(key, f"{error}, got {template!r}")
        return False
    unknown = [field for field, _ in fields if field not in allowed]
    for field in unknown:
        faults.add(key, f"unknown parameter {field!r} in {template!r}" + nearest(field, allowed))
    refused = [form for _, form in fields if re.search(r"\{|\d{4}", form)]
    for form in refused:
        faults.add(key, f"the format {form!r} holds another parameter or a number of four digits, got {template!r}")
    return not unknown and not refused


def _combinations(
    block: dict[str, Any], kind: type[Simulation], n_models: int, key: str, faults: Faults
) -> Iterator[tuple[dict[str, Any], int]]:
    """Every combination of the lists of a grid block: (simulation settings, replicate). None where they are too many to run."""
    allowed = sorted(set(kind.model_fields) - GIVEN_BY_DRIVER | OF_GRIDS)
    unknown = [name for name in block if name not in allowed]
    for name in unknown:
        of_genomes = name in set(SimulateSettings.model_fields) - GIVEN_BY_DRIVER
        twice = "goes with simulated genomes; 'genotypes' is given as well, leave one of them"
        faults.add(f"{key}.{name}", twice if of_genomes else "unknown key" + nearest(str(name), allowed))
    replicates = _replicates(block.get("replicates", 1))
    if replicates is None:
        faults.add(
            f"{key}.replicates",
            f"must be a number of replicates or a list of replicate numbers, from 1 to 2^32 - 1, got {block['replicates']!r}",
        )
    if "n_qtl" in block and "qtl_pairs_per_individual" in block:
        faults.add(f"{key}.qtl_pairs_per_individual", "n_qtl is given as well; give one of the two")
    if unknown or replicates is None:
        return
    names = [name for name in block if name != "replicates"]
    axes = [block[name] if isinstance(block[name], list) and name != "rel_aa" else [block[name]] for name in names]
    for empty in (name for name, axis in zip(names, axes, strict=True) if not axis):
        faults.add(f"{key}.{empty}", "must have at least one value, got []")
    count = math.prod(map(len, axes)) * len(replicates)
    if count * (1 + n_models) > MOST_STAGES:
        faults.add(key, too_many(f"{count:,} scenarios and their fits", count * (1 + n_models)))
        return
    for values in itertools.product(*axes):
        combination = _with_loci(dict(zip(names, values, strict=True)), kind, key, faults)
        if combination is not None:
            yield from ((combination, replicate) for replicate in replicates)


def too_many(what: str, n_stages: int) -> str:
    """The fault of a study with more than MOST_STAGES stages."""
    return f"{what} are {n_stages:,} stages, and a run has at most {MOST_STAGES:,}; split them between config files, or --experiments"


def _replicates(given: Any) -> Sequence[int] | None:
    numbers = given if isinstance(given, list) else [given]
    if not numbers or not all(type(number) is int and 1 <= number < 2**32 for number in numbers):
        return None
    return given if isinstance(given, list) else range(1, given + 1)


def _with_loci(values: dict[str, Any], kind: type[Simulation], key: str, faults: Faults) -> dict[str, Any] | None:
    """QTL from the scaling value where one is given; as many simulated loci as QTL where nothing else is said."""
    for name, most in LARGEST.items():
        if type(values.get(name)) is int and values[name] > most:
            faults.add(f"{key}.{name}", f"must be at most {most:,}, got {values[name]}")
            return None
    if "qtl_pairs_per_individual" in values:
        scaling, n = values.pop("qtl_pairs_per_individual"), values.get("n_individuals")
        if type(scaling) not in (int, float) or not scaling > 0:
            faults.add(f"{key}.qtl_pairs_per_individual", f"must be a number greater than 0, got {scaling!r}")
            return None
        if n is None:
            faults.add(f"{key}.qtl_pairs_per_individual", "needs n_individuals, by which it tells n_qtl")
            return None
        if type(n) is int and n >= 1:
            if scaling * n > LARGEST["n_qtl"] ** 2 / 2:
                faults.add(f"{key}.qtl_pairs_per_individual", f"takes more than {LARGEST['n_qtl']:,} QTL, got {scaling!r}")
                return None
            values["n_qtl"] = n_qtl_for(n, scaling)
    if "n_qtl" in values and "n_loci" in kind.model_fields:
        values.setdefault("n_loci", values["n_qtl"])
    return values
