"""gpatlas.data.genotypes: alleles as bits, of some individuals or in blocks."""

from typing import Any

import numpy as np
import pytest
from by_hand import ALLELES, PACKED

from gpatlas.data.genotypes import Genotypes, blocks, pack, unpack


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
    assert genotypes.rows(np.array([2, 0, 2])).counts().tolist() == ALLELES[[2, 0, 2]].tolist()
    assert genotypes.rows(np.array([], dtype=int)).counts().shape == (0, 10)


@pytest.mark.parametrize("rows", [np.array([1, 2]), slice(1, 3)], ids=["numbers", "slice"])
def test_consecutive_individuals_are_not_copied(rows: Any) -> None:
    genotypes = Genotypes.of(ALLELES)
    some = genotypes.rows(rows)
    assert some.counts().tolist() == ALLELES[1:].tolist()
    assert np.shares_memory(some.packed, genotypes.packed)


def test_blocks_of_individuals_and_of_loci() -> None:
    genotypes = Genotypes.of(ALLELES)
    found = [(rows, alleles.tolist()) for rows, alleles in genotypes.blocks(2)]
    assert found == [(slice(0, 2), ALLELES[:2].tolist()), (slice(2, 3), ALLELES[2:].tolist())]
    found = [(loci, alleles.tolist()) for loci, alleles in genotypes.locus_blocks(8)]
    assert found == [(slice(0, 8), ALLELES[:, :8].tolist()), (slice(8, 10), ALLELES[:, 8:].tolist())]


def test_blocks_cover_everything_once() -> None:
    assert list(blocks(10, 4)) == [(0, 4), (4, 8), (8, 10)]
    assert list(blocks(8, 4)) == [(0, 4), (4, 8)]
    assert list(blocks(3, 4)) == [(0, 3)]
