"""gpatlas.dataset: bits, effects worked out by hand, and files that are not what they should be."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from gpatlas import dataset
from gpatlas.dataset import FORMAT_VERSION, Dataset, DatasetError, DatasetWriter, Effects, Genotypes, TraitFacts, blocks, pack, unpack

# 3 individuals, 10 loci, 2 traits; the pairs of trait 1 are loci (0, 9) and (1, 2), of trait 2 loci (1, 9) and (2, 0)
ALLELES = np.array([[1, 0, 0, 0, 0, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0, 0, 1, 0, 1], [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]], dtype=np.uint8)
PACKED = np.array([[1, 1], [2 + 128, 2], [1 + 2 + 4, 0]], dtype=np.uint8)


def by_hand() -> Effects:
    additive = np.zeros((10, 2))
    additive[[0, 1, 2, 9], 0] = 1, 2, 4, 8
    additive[[0, 1, 2, 9], 1] = 1, -1, 0.5, 0
    return Effects(
        additive=additive,
        pairs=np.array([[[0, 9], [1, 2]], [[1, 9], [2, 0]]], dtype=np.int32),
        epistatic=np.array([[16.0, 32.0], [3.0, 5.0]]),
        intercept=np.array([0.25, -0.25]),
    )


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


def test_lowest_bit_first_and_spare_bits_zero() -> None:
    assert pack(ALLELES).tolist() == PACKED.tolist()
    assert pack(np.ones((1, 10), dtype=np.uint8)).tolist() == [[255, 3]]


def test_unpack_by_hand() -> None:
    assert unpack(np.array([[0b10000110, 0b11]], dtype=np.uint8), 9).tolist() == [[0, 1, 1, 0, 0, 0, 0, 1, 1]]


@pytest.mark.parametrize("n_loci", range(1, 18))
def test_round_trip(n_loci: int) -> None:
    alleles = np.random.default_rng(n_loci).integers(0, 2, (5, n_loci), dtype=np.uint8)
    packed = pack(alleles)
    assert packed.shape == (5, (n_loci + 7) // 8)
    assert unpack(packed, n_loci).tolist() == alleles.tolist()


def test_genotypes_of_some_individuals() -> None:
    genotypes = Genotypes.of(ALLELES)
    assert (len(genotypes), genotypes.shape, genotypes.packed.tolist()) == (3, (3, 10), PACKED.tolist())
    assert genotypes.rows(np.array([2, 0, 2])).alleles().tolist() == ALLELES[[2, 0, 2]].tolist()
    assert genotypes.rows(np.array([], dtype=int)).alleles().shape == (0, 10)


@pytest.mark.parametrize("rows", [np.array([1, 2]), slice(1, 3)], ids=["numbers", "slice"])
def test_consecutive_individuals_are_not_copied(rows: Any) -> None:
    genotypes = Genotypes.of(ALLELES)
    some = genotypes.rows(rows)
    assert some.alleles().tolist() == ALLELES[1:].tolist()
    assert np.shares_memory(some.packed, genotypes.packed)


def test_blocks_of_individuals_and_of_loci() -> None:
    genotypes = Genotypes.of(ALLELES)
    found = [(rows, alleles.tolist()) for rows, alleles in genotypes.blocks(2)]
    assert found == [(slice(0, 2), ALLELES[:2].tolist()), (slice(2, 3), ALLELES[2:].tolist())]
    assert [alleles.tolist() for alleles in genotypes.locus_blocks(8)] == [ALLELES[:, :8].tolist(), ALLELES[:, 8:].tolist()]


def test_parts_by_hand() -> None:
    additive, epistatic = by_hand().parts(PACKED)
    # individual 1: x0 = 1, x1 = x2 = x9 = −1; individual 2: x1 = x9 = 1, x0 = x2 = −1; individual 3: x0 = x1 = x2 = 1, x9 = −1
    assert additive.tolist() == [[1 - 2 - 4 - 8, 1 + 1 - 0.5], [-1 + 2 - 4 + 8, -1 - 1 - 0.5], [1 + 2 + 4 - 8, 1 - 1 + 0.5]]
    assert epistatic.tolist() == [[-16 + 32, 3 - 5], [-16 - 32, 3 + 5], [-16 + 32, -3 + 5]]


def test_parts_ignore_the_spare_bits() -> None:
    """AlphaSimR's spare bits are random."""
    spoilt = PACKED.copy()
    spoilt[:, 1] |= 0b11111100
    for part, clean in zip(by_hand().parts(spoilt), by_hand().parts(PACKED), strict=True):
        assert part.tolist() == clean.tolist()


@pytest.mark.parametrize("n", [1, 8, 100])
@pytest.mark.parametrize("lookup_block", [3, 16])
def test_parts_are_the_formula(n: int, lookup_block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traits 1 and 2 share their pairs, of which there are 9: more than a byte holds."""
    monkeypatch.setattr(dataset, "LOOKUP_BLOCK", lookup_block)
    random = np.random.default_rng(n)
    alleles, pairs = random.integers(0, 2, (n, 21), dtype=np.uint8), [random.permutation(21)[:18].reshape(-1, 2) for _ in range(2)]
    effects = Effects(
        random.standard_normal((21, 3)), np.array(pairs, dtype=np.int32)[[0, 0, 1]], random.standard_normal((3, 9)), np.zeros(3)
    )
    x = 2.0 * alleles - 1
    additive, epistatic = effects.parts(pack(alleles))
    np.testing.assert_allclose(additive, x @ effects.additive, atol=1e-12)
    for trait, (first, second) in enumerate(effects.pairs.transpose(0, 2, 1)):
        np.testing.assert_allclose(epistatic[:, trait], (x[:, first] * x[:, second]) @ effects.epistatic[trait], atol=1e-12)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with Dataset(write(tmp_path / "data.h5", TWO_GROUPS)) as data:
        assert (data.n_individuals, data.n_loci, data.n_traits) == (3, 10, 2)
        assert data.genotypes().packed.tolist() == PACKED.tolist()
        assert data.genotypes().alleles().tolist() == ALLELES.tolist()
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


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 0, None])
def test_another_format_version(tmp_path: Path, version: int | None) -> None:
    path = write(tmp_path / "data.h5", TWO_GROUPS)
    with h5py.File(path, "r+") as file:
        del file.attrs["format_version"]
        if version is not None:
            file.attrs["format_version"] = version
    with pytest.raises(DatasetError) as caught:
        Dataset(path)
    assert str(caught.value) == f"{path}: dataset format version {version}, this version of gpatlas reads 1"
    h5py.File(path, "r+").close()  # was left closed: HDF5 would not open it for writing otherwise


def test_blocks_cover_everything_once() -> None:
    assert list(blocks(10, 4)) == [(0, 4), (4, 8), (8, 10)]
    assert list(blocks(8, 4)) == [(0, 4), (4, 8)]
    assert list(blocks(3, 4)) == [(0, 3)]
