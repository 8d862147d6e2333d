"""gpatlas.fit: the files that a fit writes, and the fits that are refused before they begin."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from populations import QUIET, fit_small, write_dataset

from gpatlas import needs
from gpatlas.data.dataset import Dataset
from gpatlas.fit import check_size, write_table
from gpatlas.models import evaluation
from gpatlas.models.registry import MODELS
from gpatlas.needs import memory_bytes
from gpatlas.settings import Size
from gpatlas.stages import FITS, Stage


def test_written_numbers_are_exact(tmp_path: Path) -> None:
    values = np.random.default_rng(1).standard_normal(200) * 10.0 ** np.arange(-100, 100)
    write_table([{"model": "x", "value": value} for value in values.tolist()], tmp_path / "table.csv")
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0] == "model,value"
    assert [float(line.split(",")[1]) for line in lines[1:]] == values.tolist()


def test_what_is_missing_is_empty(tmp_path: Path) -> None:
    write_table([{"model": "x", "penalty": np.nan}, {"model": "y, z", "note": 1}], tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == 'model,penalty,note\nx,,\n"y, z",,1\n'


@pytest.mark.parametrize(("out", "wanted"), [("table.csv", "table.pairs.csv"), ("a.b.csv", "a.b.pairs.csv"), ("table", "table.pairs.csv")])
def test_further_tables_go_beside_the_models_own(tmp_path: Path, out: str, wanted: str) -> None:
    assert Stage.beside(tmp_path / out, "pairs") == tmp_path / wanted


FURTHER: dict[tuple[str, bool], list[str]] = {
    ("pairwise", False): ["pairs"],
    ("mlp", True): ["trials"],
    ("pruned", False): ["columns", "trials"],
}


@pytest.mark.parametrize(("model", "tune"), [*((model, False) for model in MODELS), ("mlp", True)])
def test_a_stage_writes_its_table_and_the_further_ones(tmp_path: Path, model: str, tune: bool) -> None:
    source = write_dataset(tmp_path, n_individuals=100, n_loci=20, n_qtl=20, rel_aa=(0.0, 1.0))
    values: dict[str, Any] = {"tune": tune, "hidden_size": 8, "epochs": 2, "lasso_epochs": 2, "min_importance": 0.0}
    table = fit_small(model, source, **values)
    further = [f"table.{name}.csv" for name in FURTHER.get((model, tune), [])]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["data.h5", "table.csv", *further])
    assert table[["model", "trait"]].to_numpy().tolist() == [[name, trait] for name in MODELS[model].titles for trait in (1, 2)]
    assert all("split" not in pd.read_csv(tmp_path / name) for name in further)


@pytest.mark.parametrize("model", MODELS)
def test_a_population_that_does_not_fit_is_refused_before_work_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """With what it would need, which is what the driver is told too."""
    monkeypatch.setattr(needs, "machine_memory", lambda: 10_000_000)
    monkeypatch.setattr(evaluation, "resolve", lambda place: pytest.fail(f"{place} is loaded"))
    monkeypatch.setattr(Dataset, "population", lambda self: pytest.fail("the genotypes are read"))
    source, settings = write_dataset(tmp_path, n_individuals=1000, n_loci=46, n_qtl=46), FITS[model].settings()
    needed = memory_bytes(FITS[model], settings, Size(1000, 46, 5)) / 1e9
    with pytest.raises(ValueError, match="needs") as caught:
        FITS[model].load()(settings, source, tmp_path / "table.csv", QUIET)
    name = "fit-" + model.replace("_", "-")
    assert str(caught.value) == f"{source}: {name} of 1000 individuals and 46 loci needs {needed:.1f} GB of memory; there are 0.0 GB"
    assert [path.name for path in tmp_path.iterdir()] == ["data.h5"]


@pytest.mark.parametrize("model", MODELS)
def test_a_population_in_memory_is_refused_by_the_same_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    settings = FITS[model].settings()
    with Dataset(write_dataset(tmp_path, n_individuals=1000, n_loci=46, n_qtl=46)) as data:
        population = data.population()
    needed = memory_bytes(FITS[model], settings, Size(1000, 46, 5))
    monkeypatch.setattr(needs, "machine_memory", lambda: int(needed) + 1)
    check_size(MODELS[model], settings, Size(population.n_individuals, population.n_loci, population.n_traits), population.name)
    monkeypatch.setattr(needs, "machine_memory", lambda: int(needed) - 1)
    with pytest.raises(ValueError, match=rf"^.*data\.h5: fit-{model.replace('_', '-')} of 1000 individuals and 46 loci needs "):
        check_size(MODELS[model], settings, Size(population.n_individuals, population.n_loci, population.n_traits), population.name)


@pytest.mark.parametrize("model", MODELS)
def test_a_larger_population_needs_more(model: str) -> None:
    sizes = [Size(1000, 46, 5), Size(2000, 46, 5), Size(2000, 92, 5), Size(2000, 92, 10)]
    needed = [memory_bytes(FITS[model], FITS[model].settings(), size) for size in sizes]
    assert needed == sorted(set(needed))
