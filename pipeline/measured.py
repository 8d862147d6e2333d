"""Traits of a user's own population as they were measured, beside those that a grid simulates on its genotypes: their learning curves."""

from dataclasses import replace
from itertools import chain
from typing import Any

from gpatlas.data.own_files import n_measured
from gpatlas.data.settings import SubsampleSettings
from gpatlas.settings import nearest
from pipeline.faults import Faults, fault_of_name
from pipeline.grid import Experiment, Scenario
from pipeline.own import OwnScenario, folders_of


def measured_scenarios(name: str, experiment: Experiment, scenarios: list[Scenario], faults: Faults) -> list[Scenario]:
    """Of every trait that the experiment calls `measured`, what is fitted to its `scenarios`, on as many individuals at random.

    Sizes above the number of individuals that have the trait are left out: these are simulated alone.
    """
    if experiment.measured is None:
        return []
    key = f"experiments.{name}.measured"
    if experiment.genotypes is None:
        faults.add(key, "goes with 'genotypes', a population of your own whose traits were measured; here genomes are simulated")
    if "plan" not in experiment.figures:
        faults.add(key, "goes with the figure 'plan', which is not among this experiment's")
    genotypes = next((scenario.genotypes for scenario in scenarios), None)
    traits = _traits(experiment.measured, genotypes, key, faults)
    if genotypes is None or not traits:
        return []
    draws = {(scenario.simulation.n_individuals, scenario.replicate): scenario for scenario in scenarios}
    found: list[Scenario] = []
    for position, (trait, folder) in enumerate(zip(traits, folders_of(tuple((trait,) for trait in traits)), strict=True)):
        most = min(n_measured(genotypes.settings.phenotypes, genotypes.settings.id_column, trait), genotypes.size.n_individuals)
        drawn = [(*draw, scenario) for draw, scenario in draws.items() if (draw[0] or most) <= most]
        if not drawn:
            sizes = ", ".join(str(n) for n in dict.fromkeys(scenario.size.n_individuals for scenario in scenarios))
            faults.add(
                f"{key}.{position}", f"{trait!r} was measured in at most {most} individuals, less than every n_individuals ({sizes})"
            )
        for n, replicate, scenario in drawn:
            label = f"{folder}_measured_{f'{n}n' if n else 'all'}_rep{replicate}"
            settings = SubsampleSettings(trait=trait, n_individuals=n, seed=replicate)
            found.append(replace(scenario, name=label, simulation=settings))
    names = {scenario.name for scenario in scenarios}
    for label in (scenario.name for scenario in found):
        if fault := fault_of_name(label) or (f"a scenario is named {label!r} as well; give it another name" if label in names else ""):
            faults.add(key, fault)
    return found


def _traits(given: Any, genotypes: OwnScenario | None, key: str, faults: Faults) -> list[str]:
    """Those that are named, where all of them are traits of the population."""
    if not isinstance(given, list) or not given:
        faults.add(key, f"must be a list of traits, got {given!r}")
        return []
    traits, known = [str(trait) for trait in given], list(chain(*genotypes.trait_sets)) if genotypes else []
    for position, trait in enumerate(traits if genotypes else ()):
        if trait not in known:
            faults.add(f"{key}.{position}", f"{trait!r} is no trait of 'genotypes'" + nearest(trait, known))
        elif trait in traits[:position]:
            faults.add(f"{key}.{position}", f"{trait!r} is given twice")
    return traits if genotypes and set(traits) <= set(known) and len(set(traits)) == len(traits) else []
