"""Traits simulated on the genotypes of a user's own files: what a config may say, and the stages that it comes to."""

import copy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from drivers import PROJECT, changed, run, write_study
from luigi.task_register import Register

from gpatlas.data.settings import SimulateTraitsSettings
from gpatlas.figures.settings import PlanTarget
from gpatlas.settings import Size
from pipeline import Data, Fit, RunAll
from pipeline.config import load_config
from pipeline.data_spec import DataSpec
from pipeline.faults import ConfigError
from pipeline.tasks import Collect, load_once

FILES = PROJECT / "tests" / "data" / "own"
T = "experiments.trial"
VALID: dict[str, Any] = {
    "protocol": "cross_validation",
    "n_folds": 5,
    "experiments": {
        "trial": {
            "scenario": "n{n_individuals}_h{h2:g}_{n_pairs}pairs_rep{replicate}",
            "genotypes": {"genotypes": "own.bed", "phenotypes": "own.pheno.tsv", "traits": ["height"], "min_maf": 0.05},
            "simulation": {"n_qtl": 20, "rel_aa": [0, 1], "replicates": 2},
            "grid": [{"n_individuals": [100, 400], "n_pairs": 4, "h2": 0.5}],
            "models": {"ridge": None, "pairwise": None, "egblup": {"max_n_individuals": 200}},
            "figures": ["plan"],
            "plan": {"gain": 0.05},
        }
    },
}


def study(folder: Path, key: str = "", value: Any = None) -> Path:
    """VALID as a file, with one value replaced, as `changed` does it."""
    return write_study(folder / "study.yaml", changed(VALID, key, value) if key else VALID)


def test_a_scenario_is_traits_on_the_genotypes_of_the_block(folder: Path) -> None:
    config = load_config(study(folder))
    assert [scenario.name for scenario in config.scenarios][::2] == ["n100_h0.5_4pairs_rep1", "n400_h0.5_4pairs_rep1"]
    first, *_, last = config.scenarios
    assert first.simulation == SimulateTraitsSettings(n_individuals=100, n_qtl=20, n_pairs=4, rel_aa=(0, 1), h2=0.5, seed=1)
    assert [scenario.size for scenario in (first, last)] == [Size(100, 390, 2, bits=2), Size(400, 390, 2, bits=2)]
    assert [[model for model, _ in scenario.models] for scenario in (first, last)] == [
        ["ridge", "pairwise", "egblup"],
        ["ridge", "pairwise"],
    ]
    assert last.sizes() == "400 390 20"
    assert {scenario.target for scenario in config.scenarios} == {PlanTarget(gain=0.05, power=0.8)}
    spec = config.data(first)
    assert (spec.stage, spec.reads, spec.population) == ("simulate-traits", (), "genotypes")
    assert spec.genotypes
    assert (spec.genotypes.stage, spec.genotypes.settings["traits"]) == ("import-plink", ["height"])
    assert DataSpec.read(spec.written()) == spec


def test_all_individuals_are_taken_where_none_are_said(folder: Path) -> None:
    grid = [{"h2": [0.5, 0.9], "n_pairs": 4}]
    scenarios = load_config(study(folder, f"{T}.grid", grid)).scenarios
    assert scenarios[0].name == "nall_h0.5_4pairs_rep1"
    assert scenarios[0].size == Size(288, 390, 2, bits=2)
    assert "n_individuals" not in load_config(study(folder, f"{T}.grid", grid)).data(scenarios[0]).settings


def tasks(config: Path, kind: type[Any] = Data) -> list[Any]:
    load_once.cache_clear()
    Register.clear_instance_cache()
    return [task for task in RunAll(config=config, results=config.parent / "results").stages() if isinstance(task, kind)]


def test_the_import_is_one_stage_that_all_scenarios_read(folder: Path) -> None:
    imported, *scenarios = tasks(study(folder))
    assert (imported.label, imported.name) == ("trial/genotypes import-plink", "import-plink")
    assert [task.label for task in scenarios] == [
        f"trial/n{n}_h0.5_4pairs_rep{replicate} simulate-traits" for n in (100, 400) for replicate in (1, 2)
    ]
    assert all(task.requires() == [imported] and task.source(folder) == imported.entry.output for task in scenarios)
    assert {task.input_keys()["genotypes"] for task in scenarios} == {imported.key}
    assert {fit.inputs()["data"].task_id for fit in tasks(study(folder), Fit)} == {task.task_id for task in scenarios}


def test_keys_follow_the_files_and_the_settings(folder: Path) -> None:
    def keys(path: Path) -> tuple[set[str], set[str]]:
        imported, *scenarios = tasks(path)
        return {imported.key}, {task.key for task in scenarios}

    first = keys(study(folder))
    other = keys(study(folder, f"{T}.genotypes.min_maf", 0.1))
    assert first == keys(study(folder, f"{T}.genotypes.name", "wheat"))
    assert not first[0] & other[0]
    assert not first[1] & other[1]
    traits = keys(study(folder, f"{T}.simulation.n_qtl", 10))
    assert first[0] == traits[0]
    assert not first[1] & traits[1]


def test_what_a_plan_asks_for_is_collected_and_decides_no_fit(folder: Path) -> None:
    def of(path: Path) -> tuple[set[str], str]:
        (collect,) = tasks(path, Collect)
        return {fit.key for fit in tasks(path, Fit)}, collect.key

    fits, collected = of(study(folder))
    others = of(study(folder, f"{T}.plan.power", 0.9))
    assert fits == others[0]
    assert collected != others[1]


FAULTS: list[tuple[str, Any, str]] = [
    ("genotypes", "own.bed", "genotypes: must be a mapping with the keys genotypes, phenotypes, …, got 'own.bed'"),
    ("genotypes.genotypes", "gone.bed", "genotypes.genotypes: 'gone.bed' does not exist"),
    ("genotypes.phenotypes", ..., "genotypes.phenotypes: is required: a file, from the config's folder"),
    ("genotypes.min_mav", 0.1, "genotypes.min_mav: unknown key, did you mean 'min_maf'?"),
    ("genotypes.traits", ["heigth"], "genotypes.traits: 'heigth' is no trait of the phenotypes, did you mean 'height'?"),
    ("simulation.population", "f2", "grid.0.population: goes with simulated genomes; 'genotypes' is given as well, leave one of them"),
    ("simulation.n_loci", 100, "grid.0.n_loci: goes with simulated genomes; 'genotypes' is given as well, leave one of them"),
    ("simulation.n_qlt", 100, "grid.0.n_qlt: unknown key, did you mean 'n_qtl'?"),
    ("simulation.n_qtl", 400, "grid.0.n_qtl: must be at most the 390 loci of the genotypes, got 400"),
    ("grid.0.n_pairs", 11, "grid.0.n_pairs: must be at most half of n_qtl (20), got 11"),
    ("grid.0.n_individuals", 8, "models.ridge: n_individuals 8 leaves less than 2 for each of n_folds 5"),
    ("scenario", "n{n_loci}_rep{replicate}", "scenario: unknown parameter 'n_loci' in 'n{n_loci}_rep{replicate}'"),
    ("plan", 0.05, "plan: must be a mapping with the keys gain and power, got 0.05"),
    ("plan.gain", 0, "plan.gain: must be greater than 0, got 0"),
    ("plan.power", 1, "plan.power: must be less than 1, got 1"),
    ("plan.gian", 0.1, "plan.gian: unknown key, did you mean 'gain'?"),
    ("figures", [], "plan: goes with the figure 'plan', which is not among this experiment's"),
    ("models", {"ridge": None}, "figures.0: figure 'plan' needs one of the models egblup, "),
    ("models", {"pairwise": None}, "figures.0: figure 'plan' needs the model ridge, which is not among this experiment's models"),
    ("data", {"genotypes": "own.bed"}, "genotypes: goes with simulated populations; 'data' is given as well, leave one of them"),
]


@pytest.mark.parametrize(("key", "value", "message"), FAULTS, ids=[f"{key} {value}" for key, value, _ in FAULTS])
def test_faults_are_named_before_any_work(folder: Path, key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(study(folder, f"{T}.{key}", value))
    assert f"{T}.{message}" in str(error.value)


def test_a_plan_on_own_genotypes_runs_from_end_to_end(folder: Path) -> None:
    content = copy.deepcopy(VALID)
    content["experiments"]["trial"] |= {
        "grid": [{"n_individuals": 60, "n_pairs": 4, "replicates": 1}],
        "models": {"ridge": None, "egblup": None},
    }
    config = write_study(folder / "study.yaml", content)
    code, output = run(config, folder / "results")
    assert code == 0, output
    table = pd.read_csv(folder / "results" / "study" / "results.csv")
    assert set(table["model"]) == {"ridge", "egblup"}
    assert table["rel_aa"].tolist() == [0, 1, 0, 1]
    assert {name: table[name].unique().tolist() for name in ("n_individuals", "n_pairs", "plan_gain", "plan_power")} == {
        "n_individuals": [60],
        "n_pairs": [4],
        "plan_gain": [0.05],
        "plan_power": [0.8],
    }
    assert (folder / "results" / "study" / "figures" / "figure_plan_trial.png").is_file()
    page = (folder / "results" / "study" / "report.html").read_text()
    assert 'id="plan"' in page
    assert 'id="imported"' in page
    assert "nothing to do: all 7 stages are done" in run(config, folder / "results")[1]


def test_alphasimr_simulates_no_traits_on_genotypes(folder: Path) -> None:
    with pytest.raises(ConfigError, match=f"{T}.genotypes: goes with simulator 'native', not 'alphasimr'"):
        load_config(study(folder, "simulator", "alphasimr"))
