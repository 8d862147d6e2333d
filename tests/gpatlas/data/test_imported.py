"""gpatlas.data.imported and the reading of format 2: a population by hand, written a few loci at a time."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from diploids import diploid_counts, loci_of
from populations import Array, write_dataset

from gpatlas.data.dataset import Dataset, DatasetError
from gpatlas.data.genotypes import MISSING
from gpatlas.data.imported import LOCI, Individuals, PopulationWriter
from gpatlas.data.population import Population

COUNTS = np.array([[0, 1, 2, MISSING, 0], [2, 1, 0, 0, MISSING], [1, 1, 2, 2, 0]], dtype=np.uint8)
ATTRIBUTES = {"source": "own.bed", "report": '{"n": 3}'}


def individuals(n: int, *, groups: bool = True) -> Individuals:
    """Anna, Björn, … with one gap in the second trait, and covariates."""
    names = np.array(["Anna", "Björn", "c-3", *(f"i{number}" for number in range(3, n))][:n], dtype=np.str_)
    phenotypes = np.column_stack([np.arange(n, dtype=float), 10.0 - np.arange(n)])
    phenotypes[0, 1] = np.nan
    families = np.array(["x", "y"], dtype=np.str_)[np.arange(n) % 2]
    return Individuals(names, families if groups else None, ("height", "Ertrag (t)"), phenotypes, ("age",), 30.0 + np.arange(n)[:, None])


def write(path: Path, counts: Array, who: Individuals, *, ploidy: int = 2, at_once: int = 2) -> list[str]:
    """The counts (n, n_loci), `at_once` loci after the other. Returns who was left out."""
    with PopulationWriter(path, who) as writer:
        for start in range(0, counts.shape[1], at_once):
            part = np.ascontiguousarray(counts[:, start : start + at_once].T)
            writer.write(part, loci_of(len(part), start))
        return writer.finish(ploidy, "import-plink", dict(ATTRIBUTES))


def read(path: Path) -> Population:
    with Dataset(path) as data:
        return data.population()


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_what_is_written_is_read(tmp_path: Path, at_once: int) -> None:
    path, who = tmp_path / "own.h5", individuals(3)
    assert write(path, COUNTS, who, at_once=at_once) == []
    population = read(path)
    assert (population.n_individuals, population.n_loci, population.n_traits) == (3, 5, 2)
    assert (population.genotypes.bits, population.genotypes.highest) == (2, 2)
    assert population.genotypes.counts().tolist() == COUNTS.tolist()
    np.testing.assert_array_equal(population.phenotypes, who.phenotypes)
    assert (population.effects, population.genetic_values) == (None, None)
    described = population.described
    assert described is not None
    assert described.ids.tolist() == ["Anna", "Björn", "c-3"]
    assert described.groups is not None
    assert described.groups.tolist() == ["x", "y", "x"]
    assert (described.trait_names, described.covariate_names, described.ploidy) == (("height", "Ertrag (t)"), ("age",), 2)
    assert described.covariates.tolist() == [[30], [31], [32]]
    wanted = loci_of(5)
    for name in ("id", "chromosome", "position", "counted_allele", "other_allele"):
        assert getattr(described.loci, name).tolist() == getattr(wanted, name).tolist()
    shared = {"n_individuals": 3, "n_loci": 5, "n_traits": 2, "ploidy": 2, "simulator": "import-plink"}
    assert population.facts == [{"trait_name": name, **shared} for name in ("height", "Ertrag (t)")]


def test_some_of_an_imported_population(tmp_path: Path) -> None:
    write(tmp_path / "own.h5", COUNTS, individuals(3))
    some = read(tmp_path / "own.h5").traits([1]).rows(np.array([2, 0]))
    assert some.described is not None
    assert some.described.groups is not None
    assert (some.described.ids.tolist(), some.described.groups.tolist()) == (["c-3", "Anna"], ["x", "x"])
    assert (some.described.trait_names, some.described.covariates.tolist()) == (("Ertrag (t)",), [[32], [30]])
    np.testing.assert_array_equal(some.phenotypes, [[8], [np.nan]])
    assert some.genotypes.counts().tolist() == COUNTS[[2, 0]].tolist()


def test_without_groups(tmp_path: Path) -> None:
    write(tmp_path / "own.h5", COUNTS, individuals(3, groups=False))
    described = read(tmp_path / "own.h5").described
    assert described is not None
    assert described.groups is None


@pytest.mark.parametrize("ploidy", [1, 2])
def test_an_individual_without_any_call_is_left_out(tmp_path: Path, ploidy: int) -> None:
    counts = np.where(COUNTS == 2, 1, COUNTS) if ploidy == 1 else COUNTS.copy()
    counts[1] = MISSING
    assert write(tmp_path / "own.h5", counts, individuals(3), ploidy=ploidy) == ["Björn"]
    population = read(tmp_path / "own.h5")
    assert population.genotypes.counts().tolist() == counts[[0, 2]].tolist()
    assert population.phenotypes[:, 0].tolist() == [0, 2]
    assert population.described is not None
    assert population.described.ids.tolist() == ["Anna", "c-3"]
    assert population.described.covariates.tolist() == [[30], [32]]


@pytest.mark.parametrize(("ploidy", "missing", "bits"), [(1, False, 1), (1, True, 2), (2, False, 2)])
def test_haploids_that_are_complete_take_one_bit(tmp_path: Path, ploidy: int, missing: bool, bits: int) -> None:
    """Also more than a chunk of individuals. Inbred lines of ploidy 2 keep two bits in the file, and take one in memory."""
    alleles = np.random.default_rng(1).integers(0, 2, (4100, 21), dtype=np.uint8)
    alleles[7, 3] = MISSING if missing else 1
    counts = np.where(alleles == 1, ploidy, alleles)
    assert write(tmp_path / "own.h5", counts, individuals(4100), ploidy=ploidy, at_once=21) == []
    with h5py.File(tmp_path / "own.h5") as file:
        assert file["genotypes"].shape == (4100, 3 if bits == 1 else 6)
        assert file.attrs["bits_per_locus"] == bits
    genotypes = read(tmp_path / "own.h5").genotypes
    assert (genotypes.bits, genotypes.highest) == (2 if missing else 1, 1)
    assert np.array_equal(genotypes.counts(), alleles)


@pytest.mark.parametrize("at_once", [1, 100, 1024, 3000])
@pytest.mark.parametrize("n_loci", [LOCI - 1, LOCI, LOCI + 1, 2 * LOCI + 5])
def test_borders_of_chunks(tmp_path: Path, n_loci: int, at_once: int) -> None:
    counts = diploid_counts(4, n_loci)
    write(tmp_path / "own.h5", counts, individuals(4), at_once=at_once)
    population = read(tmp_path / "own.h5")
    assert np.array_equal(population.genotypes.counts(), counts)
    assert population.described is not None
    assert population.described.loci.id.tolist() == [f"s{number}" for number in range(n_loci)]


def test_no_locus_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"^own\.bed: no locus is left to import$"):
        write(tmp_path / "own.h5", COUNTS[:, :0], individuals(3))


@pytest.mark.parametrize("lost", ["covariates", "individuals", "traits", "loci", "ploidy", "bits_per_locus"])
def test_a_file_that_lacks_something(tmp_path: Path, lost: str) -> None:
    write(tmp_path / "own.h5", COUNTS, individuals(3))
    with h5py.File(tmp_path / "own.h5", "r+") as file:
        holder: Any = file if lost in file else file.attrs
        del holder[lost]
    with pytest.raises(DatasetError, match=rf"own\.h5: not a whole dataset file, it lacks {lost}$"):
        read(tmp_path / "own.h5")


def test_format_1_is_still_read(tmp_path: Path) -> None:
    population = read(write_dataset(tmp_path, n_individuals=30, n_loci=12, n_qtl=10))
    assert population.described is None
    assert population.effects is not None
    assert (population.genotypes.bits, population.genotypes.highest) == (1, 1)
