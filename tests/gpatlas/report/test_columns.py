"""gpatlas.report.columns: every column of every table is explained, and what is explained is made."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from explained import unexplained
from own_files import load, small, write
from populations import QUIET, SMALL, write_dataset

from gpatlas.models.registry import MODELS, further_tables
from gpatlas.report.collect import OF_A_ROW
from gpatlas.report.columns import OF_A_FIT, OF_A_STUDY, OF_MODELS, POPULATION, SCORES, SPLITS, SPREAD, TABLES, column_of
from gpatlas.report.settings import COLLECTED_TABLES
from gpatlas.settings import beside, build
from gpatlas.stages import FITS, STAGES

QUICK: dict[str, Any] = {
    **SMALL,
    **{"protocol": "cross_validation", "n_folds": 2, "n_inner_folds": 3, "n_penalties": 5, "models": ("ridge",), "tune": True},
    **{"hidden_size": 8, "epochs": 2, "lasso_epochs": 2, "n_trials": 2, "min_importance": 0.0, "min_columns": 4, "max_columns": 8},
    **{"l1_ratios": (1.0,), "max_depths": (2,), "max_trees": 5, "n_forests": 1, "penalties": (1.0,), "n_permutations": 1},
}
SHARED = {**OF_A_FIT, **SCORES, **SPREAD, **SPLITS, **POPULATION}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """What every model writes, by population and model: of an F2 whose truth is known, and of imported data with covariates."""
    folder = tmp_path_factory.mktemp("tables")
    cross = {"population": "f2", "n_individuals": 60, "n_loci": 24, "n_qtl": 8, "n_chromosomes": 2, "rel_aa": (0.0, 3.0)}
    files = write(small(), folder / "files")
    populations = {
        "f2": write_dataset(folder, "f2.h5", **cross),
        "own": load(files / "X.bed", folder / "own.h5", covariates=files / "C.tsv"),
    }
    paths = {}
    for population, source in populations.items():
        for model, stage in FITS.items():
            out = paths[population, model] = folder / f"{population}_{model}.csv"
            known = {name: value for name, value in QUICK.items() if name in stage.settings.model_fields}
            stage.load()(build(stage.settings, known), source, out, QUIET)
    return paths


def columns_of(paths: list[Path]) -> set[str]:
    return {str(name) for path in paths if path.exists() for name in pd.read_csv(path, nrows=0)}


@pytest.mark.parametrize("model", MODELS)
def test_a_model_adds_the_columns_that_are_said_to_be_its_own(tables: dict[tuple[str, str], Path], model: str) -> None:
    made = columns_of([path for (_, name), path in tables.items() if name == model]) - set(SHARED)
    assert {name.replace("weight_ridge", "weight_<model>") for name in made} == set(OF_MODELS[model])


@pytest.mark.parametrize("table", sorted(further_tables()))
def test_the_columns_of_a_further_table_are_those_that_are_explained(tables: dict[tuple[str, str], Path], table: str) -> None:
    paths = [beside(path, table) for path in tables.values() if beside(path, table).exists()]
    assert paths
    assert not [unexplained(table, path) for path in paths if unexplained(table, path)]
    assert columns_of(paths) == set(TABLES[table])


def test_every_table_is_explained() -> None:
    assert set(TABLES) == {"results", *further_tables()}


def test_the_columns_of_collected_tables_are_those_that_are_explained(tables: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    entries = [
        {
            "table": str(path),
            "columns": {"experiment": "trial", "scenario": population, "replicate": 1, "plan_gain": 0.02, "plan_power": 0.8},
            **({"published": {"height": {"h2": 0.5}}} if population == "own" else {}),
            "beside": {name: str(beside(path, name)) for name in COLLECTED_TABLES if beside(path, name).exists()},
        }
        for (population, _), path in tables.items()
    ]
    (tmp_path / "manifest.json").write_text(json.dumps(entries))
    stage = STAGES["collect"]
    stage.load()(build(stage.settings, {}), tmp_path / "manifest.json", tmp_path / "results.csv", QUIET)
    assert not unexplained("results", tmp_path / "results.csv")
    made = columns_of([tmp_path / "results.csv"])
    names = {"published_h2": "published_<column>", "weight_ridge": "weight_<model>"}
    assert {names.get(name, name) for name in made} == set(TABLES["results"])
    for name in COLLECTED_TABLES:
        assert columns_of([tmp_path / f"results.{name}.csv"]) == set(OF_A_ROW) | set(TABLES[name])


def test_names_with_a_word_in_them_stand_for_any() -> None:
    assert column_of("results", "weight_elastic_net") is OF_MODELS["stack"]["weight_<model>"]
    assert column_of("results", "published_svm_r_squared") is OF_A_STUDY["published_<column>"]
    assert column_of("results", "weight_") is None
    assert column_of("pairs", "weight_ridge") is None


def test_every_column_says_what_it_means() -> None:
    said = [(table, name) for table, columns in TABLES.items() for name, column in columns.items() if not column.meaning or not column.kind]
    assert not said
