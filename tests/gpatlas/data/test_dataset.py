"""gpatlas.data.dataset: what is written is read, and files that are not what they should be."""

import fcntl
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from by_hand import ALLELES, PACKED, by_hand

from gpatlas.data import simulate
from gpatlas.data.dataset import DESCRIBED_FORMAT, Dataset, DatasetError, DatasetWriter
from gpatlas.data.effects import TraitFacts
from gpatlas.data.settings import SimulateSettings
from gpatlas.progress import Progress


def write(path: Path, groups: list[dict[str, Any]], with_genetic_values: bool = True) -> Path:
    facts = TraitFacts(*(np.array(pair) for pair in ((0.5, np.nan), (0.6, 0.7), (0.3, 0.2), (0.65, 0.75))))
    with DatasetWriter(path, 3, 10, 2, with_genetic_values) as writer:
        writer.write_rows("genotypes", 0, PACKED)
        writer.write_rows("phenotypes", 0, np.arange(4.0).reshape(2, 2))
        writer.write_rows("phenotypes", 2, np.array([[4.0, 5.0]]))
        if with_genetic_values:
            writer.write_rows("genetic_values", 0, np.ones((3, 2)))
        writer.finish(by_hand(), facts, {"h2": 0.5, "seed": 7, "simulator": "by hand", "trait_groups": json.dumps(groups)})
    return path


TWO_GROUPS: list[dict[str, Any]] = [
    {"rel_aa": 0.5, "n_traits": 1, "genetic_correlation": 0.0},
    {"rel_aa": None, "n_traits": 1, "genetic_correlation": 0.25},
]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with Dataset(write(tmp_path / "data.h5", TWO_GROUPS)) as data:
        assert (data.n_individuals, data.n_loci, data.n_traits) == (3, 10, 2)
        assert data.genotypes().packed.tolist() == PACKED.tolist()
        assert data.genotypes().counts().tolist() == ALLELES.tolist()
        assert data.phenotypes().tolist() == [[0, 1], [2, 3], [4, 5]]
        values = data.genetic_values()
        assert values is not None
        assert values.tolist() == [[1, 1]] * 3
        effects = data.effects()
    for name in ("additive", "pairs", "epistatic", "intercept"):
        read, written = getattr(effects, name), getattr(by_hand(), name)
        assert read.dtype == written.dtype
        assert read.tolist() == written.tolist()


def test_genotypes_may_come_in_columns(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    with DatasetWriter(path, 3, 10, 2) as writer:
        writer.write_genotype_columns(1, PACKED[:, 1:])
        writer.write_genotype_columns(0, PACKED[:, :1])
        assert writer.read_rows("genotypes", 1, 3).tolist() == PACKED[1:].tolist()


def test_genetic_values_may_be_absent(tmp_path: Path) -> None:
    with Dataset(write(tmp_path / "data.h5", TWO_GROUPS, with_genetic_values=False)) as data:
        assert data.genetic_values() is None


def test_facts_are_a_row_per_trait(tmp_path: Path) -> None:
    with Dataset(write(tmp_path / "data.h5", TWO_GROUPS)) as data:
        first, second = data.facts()
    shared = {"n_individuals": 3, "n_loci": 10, "n_qtl": 4, "n_traits": 2, "n_trait_groups": 2, "h2": 0.5, "simulator": "by hand"}
    assert first == {**shared, "genetic_correlation": 0.0, "rel_aa": 0.5, "v_a": 0.6, "v_aa": 0.3, "v_a_over_v_g": 0.65}
    assert np.isnan(second.pop("rel_aa"))
    assert second == {**shared, "genetic_correlation": 0.25, "v_a": 0.7, "v_aa": 0.2, "v_a_over_v_g": 0.75}


def test_traits_of_a_group_share_its_correlation(tmp_path: Path) -> None:
    with Dataset(write(tmp_path / "data.h5", [{"rel_aa": 1.0, "n_traits": 2, "genetic_correlation": 0.95}])) as data:
        assert [(row["genetic_correlation"], row["n_trait_groups"]) for row in data.facts()] == [(0.95, 1)] * 2


def test_json_of_trait_groups_survives_the_file(tmp_path: Path) -> None:
    settings = SimulateSettings(n_individuals=40, n_loci=64, n_qtl=20, rel_aa=(1.0,), n_traits=3, genetic_correlation=0.25)
    simulate.run(settings, None, tmp_path / "data.h5", Progress("test", lines=False))
    with Dataset(tmp_path / "data.h5") as data:
        assert json.loads(data.attributes["trait_groups"])[0]["n_traits"] == 3
        assert [row["genetic_correlation"] for row in data.facts()] == [0.25] * 3


def test_no_lock_is_taken(tmp_path: Path) -> None:
    """Some file systems have none. Here somebody holds the one lock, so that nobody else can."""
    path = tmp_path / "data.h5"
    path.touch()
    with path.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="unable to lock file"):
            h5py.File(path, "w")
        with Dataset(write(path, TWO_GROUPS)) as data:
            assert data.n_loci == 10


def test_not_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a dataset")
    with pytest.raises(DatasetError) as caught:
        Dataset(path)
    assert str(caught.value).startswith(f"{path}: not a readable HDF5 file (")


def test_cut_short(tmp_path: Path) -> None:
    path = write(tmp_path / "data.h5", TWO_GROUPS)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DatasetError, match="not a readable HDF5 file"):
        Dataset(path)


@pytest.mark.parametrize("version", [DESCRIBED_FORMAT + 1, 0, None])
def test_another_format_version(tmp_path: Path, version: int | None) -> None:
    path = write(tmp_path / "data.h5", TWO_GROUPS)
    with h5py.File(path, "r+") as file:
        del file.attrs["format_version"]
        if version is not None:
            file.attrs["format_version"] = version
    with pytest.raises(DatasetError) as caught:
        Dataset(path)
    assert str(caught.value) == f"{path}: dataset format version {version}, this version of gpatlas reads 1 and 2"
    h5py.File(path, "r+").close()  # was left closed: HDF5 would not open it for writing otherwise
