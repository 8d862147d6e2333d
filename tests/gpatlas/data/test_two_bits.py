"""gpatlas.data.genotypes: two bits a call: diploids, missing calls, and homozygotes that count as alleles."""

import numpy as np
import pytest
from diploids import diploid_counts

from gpatlas.data.genotypes import MISSING, Genotypes, pack, pack_counts, unpack_counts

COUNTS = np.array([[0, 1, 2, MISSING, 1], [2, 2, 0, 0, MISSING], [1, 0, 1, 2, 2]], dtype=np.uint8)


def test_lowest_bits_first_and_spare_bits_zero() -> None:
    assert pack_counts(COUNTS).tolist() == [[0b11100100, 1], [0b00001010, 3], [0b10010001, 2]]


@pytest.mark.parametrize("n_loci", range(1, 14))
def test_round_trip(n_loci: int) -> None:
    counts = np.random.default_rng(n_loci).integers(0, 4, (6, n_loci), dtype=np.uint8)
    packed = pack_counts(counts)
    assert packed.shape == (6, (n_loci + 3) // 4)
    assert unpack_counts(packed, n_loci).tolist() == counts.tolist()


def test_of_counts() -> None:
    genotypes = Genotypes.of(COUNTS)
    assert (genotypes.bits, genotypes.highest, genotypes.shape, len(genotypes)) == (2, 2, (3, 5), 3)
    assert genotypes.packed.tolist() == pack_counts(COUNTS).tolist()
    assert genotypes.counts().tolist() == COUNTS.tolist()
    assert not genotypes.complete


@pytest.mark.parametrize("missing", [False, True])
def test_without_heterozygotes_0_and_2_are_0_and_1(missing: bool) -> None:
    """Also where calls are missing; and what was 0 and 1 stays so."""
    alleles = np.random.default_rng(1).integers(0, 2, (9, 7), dtype=np.uint8)
    doubled = 2 * alleles
    if missing:
        alleles[2, 3] = doubled[2, 3] = MISSING
    first, second = Genotypes.of_two_bits(pack_counts(alleles), 7), Genotypes.of_two_bits(pack_counts(doubled), 7)
    for genotypes in (first, second):
        assert (genotypes.bits, genotypes.highest) == (2 if missing else 1, 1)
        assert genotypes.packed.tolist() == (pack_counts(alleles) if missing else pack(alleles)).tolist()
        assert genotypes.counts().tolist() == alleles.tolist()
        assert genotypes.complete is not missing


def test_one_heterozygote_makes_them_diploids() -> None:
    counts = 2 * np.random.default_rng(1).integers(0, 2, (9, 7), dtype=np.uint8)
    counts[8, 6] = 1
    genotypes = Genotypes.of_two_bits(pack_counts(counts), 7)
    assert (genotypes.bits, genotypes.highest, genotypes.complete) == (2, 2, True)
    assert genotypes.counts().tolist() == counts.tolist()


def test_spare_bits_are_no_calls() -> None:
    """Of 5 loci, all of them heterozygous or homozygous for the counted allele, there is no 0 but in the spare bits."""
    counts = np.array([[1, 1, 1, 1, 1], [2, 2, 2, 2, 2]], dtype=np.uint8)
    assert Genotypes.of(counts).counts().tolist() == counts.tolist()
    assert Genotypes.of(counts[1:]).counts().tolist() == [[1] * 5]


def test_some_individuals_keep_the_coding_of_all() -> None:
    genotypes = Genotypes.of(COUNTS)
    some = genotypes.rows(np.array([1, 0, 1]))
    assert (some.bits, some.highest) == (2, 2)
    assert some.counts().tolist() == COUNTS[[1, 0, 1]].tolist()
    consecutive = genotypes.rows(np.array([1, 2]))
    assert np.shares_memory(consecutive.packed, genotypes.packed)
    assert consecutive.counts().tolist() == COUNTS[1:].tolist()
    assert genotypes.rows(np.array([2])).complete
    assert genotypes.rows(np.array([], dtype=int)).counts().shape == (0, 5)


@pytest.mark.parametrize("n_loci", [7, 8, 9, 21])
def test_blocks_of_individuals_and_of_loci(n_loci: int) -> None:
    counts = diploid_counts(10, n_loci)
    genotypes = Genotypes.of(counts)
    rows, of_rows = zip(*genotypes.blocks(4), strict=True)
    assert rows == (slice(0, 4), slice(4, 8), slice(8, 10))
    assert np.array_equal(np.concatenate(of_rows), counts)
    loci, of_loci = zip(*genotypes.locus_blocks(8), strict=True)
    assert [(part.start, part.stop) for part in loci] == [(start, min(start + 8, n_loci)) for start in range(0, n_loci, 8)]
    assert np.array_equal(np.concatenate(of_loci, axis=1), counts)
