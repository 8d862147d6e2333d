"""gpatlas.data.layout: every dataset and attribute of a dataset file is explained, and what is explained is there."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from drivers import PROJECT
from own_files import load, small, write
from populations import QUIET, write_dataset

from gpatlas.data.dataset import FACTS, FACTS_OF_TRAITS, WHOLE
from gpatlas.data.layout import ATTRIBUTES, ATTRIBUTES_OF_TRAITS, DESCRIBED, PLAIN
from gpatlas.settings import build
from gpatlas.stages import STAGES

ARCHIVE = PROJECT / "tests" / "data" / "alphasimr_scaling_input.tar.xz"
LAYOUTS = {1: PLAIN, 2: DESCRIBED}


def by_stage(name: str, source: Path, out: Path, **values: Any) -> Path:
    STAGES[name].load()(build(STAGES[name].settings, values), source, out, QUIET)
    return out


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A file of every stage that writes one."""
    folder = tmp_path_factory.mktemp("files")
    cross = {"population": "f2", "n_individuals": 30, "n_loci": 12, "n_qtl": 8, "n_chromosomes": 2, "hidden_qtl": True}
    own = write(small(), folder / "own")
    imported = load(own / "X.bed", folder / "plink.h5", covariates=own / "C.tsv")
    return [
        write_dataset(folder, "unlinked.h5", n_individuals=30, n_loci=12, n_qtl=8),
        write_dataset(folder, "cross.h5", **cross),
        by_stage("simulate-traits", imported, folder / "traits.h5", n_qtl=4),
        by_stage("subsample", imported, folder / "part.h5", trait="height", n_individuals=20),
        imported,
        by_stage("import-alphasimr", ARCHIVE, folder / "alphasimr.h5", scenario="qhaplo_46qtl_1000n_rep1"),
    ]


def datasets(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """By name: shape and kind."""
    found: dict[str, tuple[tuple[int, ...], str]] = {}

    def see(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = (item.shape, "text" if h5py.check_string_dtype(item.dtype) else str(item.dtype))

    with h5py.File(path) as file:
        file.visititems(see)
    return found


@pytest.mark.parametrize("version", LAYOUTS)
def test_datasets_are_those_that_are_explained(files: list[Path], version: int) -> None:
    made = set()
    for path in files:
        with h5py.File(path) as file:
            if file.attrs["format_version"] != version:
                continue
        for name, (shape, kind) in datasets(path).items():
            said = LAYOUTS[version][name].kind
            assert said.split(" ")[0] == kind, name
            assert said.count(",") + (",)" not in said) == len(shape), name
            made.add(name)
    assert made == set(LAYOUTS[version])


def test_attributes_are_those_that_are_explained(files: list[Path]) -> None:
    made: dict[str, list[int]] = {}
    for path in files:
        with h5py.File(path) as file:
            for name, value in file.attrs.items():
                made.setdefault(name, []).append(np.ndim(value))
    assert {name for name, dimensions in made.items() if dimensions == [0] * len(dimensions)} == set(ATTRIBUTES)
    assert {name for name, dimensions in made.items() if dimensions == [1] * len(dimensions)} == set(ATTRIBUTES_OF_TRAITS)


def test_what_is_read_is_explained() -> None:
    assert {name for _, attributes in WHOLE.values() for name in attributes} <= set(ATTRIBUTES)
    assert set(FACTS) <= set(ATTRIBUTES)
    assert set(FACTS_OF_TRAITS) == set(ATTRIBUTES_OF_TRAITS)
