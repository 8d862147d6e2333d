"""gpatlas.models.encoder: counts as numbers, and missing calls by the mean of those who train; the inputs of networks beside it."""

import numpy as np
import pytest
import torch
from diploids import diploid_counts
from populations import Array

from gpatlas.data.genotypes import MISSING, Genotypes, pack_counts
from gpatlas.models.encoder import Dense, Encoder
from gpatlas.models.inputs import Inputs

CPU = torch.device("cpu")
TRAIN = np.array([[0, 2, MISSING, 1], [1, MISSING, MISSING, 2], [2, 2, MISSING, 1]], dtype=np.uint8)
TEST = np.array([[MISSING, MISSING, 1, 0], [2, 1, MISSING, MISSING]], dtype=np.uint8)


def numbers_of(encoder: Encoder, genotypes: Genotypes) -> Array:
    return np.concatenate([block for _, block in encoder.encode(genotypes).blocks(2)])


def test_missing_calls_take_the_mean_of_those_who_train() -> None:
    """By hand; the third locus was never called among them."""
    encoder = Encoder.fit(Genotypes.of(TRAIN))
    assert encoder.mean.tolist() == [0.5, 1.0, 0.0, pytest.approx(2 / 3)]
    assert numbers_of(encoder, Genotypes.of(TRAIN)).tolist() == [[0, 1, 0, 0.5], [0.5, 1, 0, 1], [1, 1, 0, 0.5]]
    wanted = [[0.5, 1, 0.5, 0], [1, 0.5, 0, pytest.approx(2 / 3)]]
    assert numbers_of(encoder, Genotypes.of(TEST)).tolist() == wanted


def test_a_part_of_a_population_has_the_coding_of_the_whole() -> None:
    """Test individuals without heterozygotes are still counted up to 2."""
    everyone = Genotypes.of(np.concatenate([TRAIN, [[2, 0, MISSING, 2]]]).astype(np.uint8))
    encoder = Encoder.fit(everyone.rows(np.arange(3)))
    assert encoder.mean.tolist() == Encoder.fit(Genotypes.of(TRAIN)).mean.tolist()
    assert numbers_of(encoder, everyone.rows(np.array([3]))).tolist() == [[1, 0, 0, 1]]


def test_haploids_with_missing_calls() -> None:
    alleles = np.array([[0, 1], [1, MISSING], [1, 0], [1, 1]], dtype=np.uint8)
    encoder = Encoder.fit(Genotypes.of(alleles))
    assert encoder.mean.tolist() == [0.75, pytest.approx(2 / 3)]
    assert numbers_of(encoder, Genotypes.of(alleles)).tolist() == [[0, 1], [1, pytest.approx(2 / 3)], [1, 0], [1, 1]]


def test_complete_haploids_stay_whole_numbers() -> None:
    alleles = np.random.default_rng(1).integers(0, 2, (5, 9), dtype=np.uint8)
    encoder = Encoder.fit(Genotypes.of(alleles))
    np.testing.assert_allclose(encoder.mean, alleles.mean(axis=0))
    numbers = numbers_of(encoder, Genotypes.of(alleles))
    assert numbers.dtype == np.uint8
    assert numbers.tolist() == alleles.tolist()


def test_blocks_of_loci_are_the_same_numbers() -> None:
    genotypes = Genotypes.of(diploid_counts(30, 21, missing=0.2))
    encoder = Encoder.fit(genotypes.rows(np.arange(20)))
    encoded = encoder.encode(genotypes)
    of_loci = list(encoded.locus_blocks(8))
    assert [(loci.start, loci.stop) for loci, _ in of_loci] == [(0, 8), (8, 16), (16, 21)]
    assert np.array_equal(np.concatenate([block for _, block in of_loci], axis=1), numbers_of(encoder, genotypes))
    assert encoded.shape == (30, 21)


def test_numbers_in_memory() -> None:
    values = np.arange(35.0).reshape(5, 7)
    dense = Dense(values)
    assert dense.shape == (5, 7)
    assert np.array_equal(np.concatenate([block for _, block in dense.blocks(2)]), values)
    assert np.array_equal(np.concatenate([block for _, block in dense.locus_blocks(3)], axis=1), values)


# The inputs of networks


def one_hot_counts(counts: Array, highest: int) -> Array:
    """One of `highest` + 1 columns of each locus, none where the call is missing."""
    return (counts[:, :, None] == np.arange(highest + 1)).reshape(len(counts), -1).astype(float)


def inputs_of(genotypes: Genotypes, columns: Array | None = None) -> Array:
    inputs = Inputs.of(genotypes, columns, CPU)
    expanded = inputs.rows(torch.arange(len(genotypes)))
    assert expanded.dtype == torch.float32
    assert expanded.shape == (len(genotypes), inputs.n_columns)
    return np.asarray(expanded)


def test_inputs_by_hand() -> None:
    found = inputs_of(Genotypes.of(TRAIN[:2]))
    assert found.tolist() == [[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]


@pytest.mark.parametrize("n_loci", [3, 4, 9])
def test_inputs_are_one_hot_per_genotype_and_zero_where_missing(n_loci: int) -> None:
    counts = diploid_counts(12, n_loci, missing=0.3)
    assert np.array_equal(inputs_of(Genotypes.of(counts)), one_hot_counts(counts, 2))
    haploid = np.where(counts == 2, 1, counts).astype(np.uint8)
    genotypes = Genotypes.of_two_bits(pack_counts(haploid), n_loci)
    assert (genotypes.bits, genotypes.highest) == (2, 1)
    assert np.array_equal(inputs_of(genotypes), one_hot_counts(haploid, 1))


@pytest.mark.parametrize("columns", [[0], [2, 3, 17, 26], list(range(27)), [26, 0, 13]])
def test_some_columns_of_the_inputs(columns: list[int]) -> None:
    counts = diploid_counts(12, 9, missing=0.3)
    assert np.array_equal(inputs_of(Genotypes.of(counts), np.array(columns)), one_hot_counts(counts, 2)[:, columns])
