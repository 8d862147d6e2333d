"""Traits of a user's own files as measured beside simulated ones: what a config may say, and the stages that it comes to."""

import copy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from drivers import changed, run, write_study
from luigi.task_register import Register

from gpatlas.data.settings import SubsampleSettings
from gpatlas.settings import Size
from pipeline import Data, RunAll
from pipeline.config import load_config
from pipeline.data_spec import DataSpec
from pipeline.faults import ConfigError
from pipeline.tasks import load_once

T = "experiments.trial"
TRAITS = ["height", "protein"]  # of 288 and 235 plants
VALID: dict[str, Any] = {
    "protocol": "cross_validation",
    "n_folds": 5,
    "experiments": {
        "trial": {
            "scenario": "n{n_individuals}_h{h2:g}_rep{replicate}",
            "genotypes": {"genotypes": "own.bed", "phenotypes": "own.pheno.tsv", "traits": TRAITS, "min_maf": 0.05},
            "measured": TRAITS,
            "simulation": {"n_qtl": 20, "n_pairs": 4, "rel_aa": [0, 1], "h2": [0.5, 0.8], "replicates": 2},
            "grid": [{"n_individuals": [100, 280, 400]}],
            "models": {"ridge": None, "pairwise": None, "egblup": {"max_n_individuals": 200}},
            "figures": ["plan"],
            "plan": {"gain": 0.05},
        }
    },
}


def study(folder: Path, key: str = "", value: Any = None) -> Path:
    """VALID as a file, with one value replaced, as `changed` does it."""
    return write_study(folder / "study.yaml", changed(VALID, key, value) if key else VALID)


def test_a_scenario_is_a_part_of_those_who_were_measured(folder: Path) -> None:
    """Once for every number and replicate, whatever is simulated; numbers above those measured are simulated alone."""
    config = load_config(study(folder))
    *simulated, first, _, large, _, protein, _ = config.scenarios
    assert len(simulated) == 3 * 2 * 2
    assert [scenario.name for scenario in config.scenarios[12:]] == [
        *(f"height_measured_{n}n_rep{replicate}" for n in (100, 280) for replicate in (1, 2)),
        *(f"protein_measured_100n_rep{replicate}" for replicate in (1, 2)),
    ]
    assert first.simulation == SubsampleSettings(trait="height", n_individuals=100, seed=1)
    assert (first.size, first.sizes()) == (Size(100, 390, 1, bits=2), "100 390 -")
    assert [[model for model, _ in scenario.models] for scenario in (first, large)] == [
        ["ridge", "pairwise", "egblup"],
        ["ridge", "pairwise"],
    ]
    assert [settings.seed for _, settings in config.scenarios[13].models] == [2, 2, 2]
    assert protein.target == simulated[0].target
    spec = config.data(first)
    assert (spec.stage, spec.settings) == ("subsample", {"trait": "height", "n_individuals": 100, "seed": 1})
    assert spec.genotypes == config.data(simulated[0]).genotypes
    assert DataSpec.read(spec.written()) == spec


def test_all_are_taken_where_no_number_is_said(folder: Path) -> None:
    config = load_config(study(folder, f"{T}.grid", [{"h2": 0.5}]))
    assert [scenario.name for scenario in config.scenarios[2:4]] == ["height_measured_all_rep1", "height_measured_all_rep2"]
    assert config.data(config.scenarios[2]).settings == {"trait": "height", "seed": 1}


def tasks(config: Path) -> list[Any]:
    load_once.cache_clear()
    Register.clear_instance_cache()
    return [task for task in RunAll(config=config, results=config.parent / "results").stages() if isinstance(task, Data)]


def test_they_are_drawn_from_the_import_that_all_share(folder: Path) -> None:
    imported, *scenarios = tasks(study(folder))
    drawn = [task for task in scenarios if task.name == "subsample"]
    assert [task.label for task in drawn[:2]] == [f"trial/height_measured_100n_rep{replicate} subsample" for replicate in (1, 2)]
    assert all(task.requires() == [imported] and task.source(folder) == imported.entry.output for task in drawn)
    assert len({task.key for task in drawn}) == len(drawn) == 6
    unchanged = {task.key for task in tasks(study(folder, f"{T}.simulation.n_qtl", 10)) if task.name == "subsample"}
    assert unchanged == {task.key for task in drawn}, "whatever is simulated"


FAULTS: list[tuple[str, Any, str]] = [
    ("measured", "height", "measured: must be a list of traits, got 'height'"),
    ("measured", [], "measured: must be a list of traits, got []"),
    (
        "measured",
        ["height", "protien"],
        "measured.1: 'protien' is no trait of 'genotypes', did you mean 'protein'? (allowed: height, protein)",
    ),
    ("measured", ["yield"], "measured.0: 'yield' is no trait of 'genotypes' (allowed: height, protein)"),
    ("measured", ["height", "height"], "measured.1: 'height' is given twice"),
    (
        "grid",
        [{"n_individuals": [280, 400]}],
        "measured.1: 'protein' was measured in at most 235 individuals, less than every n_individuals (280, 400)",
    ),
    ("genotypes", ..., "measured: goes with 'genotypes', a population of your own whose traits were measured; here genomes are simulated"),
    ("figures", ["4"], "measured: goes with the figure 'plan', which is not among this experiment's"),
    (
        "grid.0",
        {"scenario": "height_measured_{n_individuals}n_rep{replicate}", "n_individuals": 100, "h2": 0.5},
        "measured: a scenario is named 'height_measured_100n_rep1' as well; give it another name",
    ),
]


@pytest.mark.parametrize(("key", "value", "message"), FAULTS, ids=[message for _, _, message in FAULTS])
def test_faults_are_named_before_any_work(folder: Path, key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(study(folder, f"{T}.{key}", value))
    assert f"{T}.{message}\n" in f"{error.value}\n"


def test_a_fault_of_the_genotypes_is_the_only_one(folder: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(study(folder, f"{T}.genotypes.genotypes", "gone.bed"))
    assert len(str(error.value).splitlines()) == 1


def test_measured_and_simulated_traits_run_from_end_to_end(folder: Path) -> None:
    content = copy.deepcopy(VALID)
    content["experiments"]["trial"] |= {
        "measured": ["protein"],
        "grid": [{"n_individuals": [50, 60], "h2": 0.5, "rel_aa": [1], "replicates": 1}],
        "models": {"ridge": None, "egblup": None},
        "figures": ["plan", "4"],
    }
    config, published = write_study(folder / "study.yaml", content), folder / "results" / "study"
    code, output = run(config, folder / "results")
    assert code == 0, output
    table = pd.read_csv(published / "results.csv")
    measured = table[table["simulator"] == "subsample"]
    assert measured["scenario"].tolist() == [f"protein_measured_{n}n_rep1" for n in (50, 50, 60, 60)]
    assert measured["n_individuals"].tolist() == [50, 50, 60, 60]
    assert measured["model"].tolist() == ["ridge", "egblup"] * 2
    assert set(measured["trait_name"]) == {"protein"}
    assert measured["pearson_r"].notna().all()
    assert measured[["h2", "n_qtl", "rel_aa", "v_a_over_v_g", "population"]].isna().all(axis=None)
    assert set(measured["plan_gain"]) == {0.05}
    assert all((published / "figures" / f"figure_{name}_trial.png").is_file() for name in ("plan", "4"))
    page = (published / "report.html").read_text()
    assert "for protein, as measured" in page
    assert 'id="which"' not in page, "it has no section of populations of one's own"
    assert "nothing to do: all 17 stages are done" in run(config, folder / "results")[1]
