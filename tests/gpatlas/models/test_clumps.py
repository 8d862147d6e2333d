"""gpatlas.models.clumps: neighbours that nearly agree, and how many independent loci there are."""

import numpy as np
import pytest
from crosses import Cross
from populations import Array

from gpatlas.data.genotypes import MISSING, Genotypes
from gpatlas.models import clumps as module
from gpatlas.models.clumps import Clumps, effective_number, standardised
from gpatlas.models.columns import Coding, Columns


def columns_of(counts: Array) -> Columns:
    genotypes = Genotypes.of(counts)
    return Coding.fit(genotypes).columns(genotypes)


def clumps_of(counts: Array, least: float = 0.9) -> Clumps:
    return Clumps.of(columns_of(counts), least, 10_000)


def by_hand() -> Array:
    """Loci from 1: 1 to 3 agree, 4 does not vary, 5 is 3 the other way round, 6 and 7 are their own, 8 to 9 agree."""
    random = np.random.default_rng(1)
    a, b, c, d = random.integers(0, 2, (4, 200), dtype=np.uint8)
    return np.column_stack([a, a, a, np.ones_like(a), 1 - a, b, c, d, d])


@pytest.mark.parametrize("block", [2, 256])
def test_clumps_by_hand(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCUS_BLOCK", block)
    clumps = clumps_of(by_hand())
    assert clumps.first.tolist() == [1, 6, 7, 8]
    assert clumps.last.tolist() == [5, 6, 7, 9]
    assert clumps.representative.tolist() == [2, 6, 7, 8]
    assert clumps.merged
    assert clumps.number_of(np.array([1, 5, 6, 9])).tolist() == [1, 1, 2, 4]


def test_unlinked_loci_stay_alone() -> None:
    alleles = np.random.default_rng(2).integers(0, 2, (100, 300), dtype=np.uint8)
    alleles[:, [0, 17]] = 1
    clumps = clumps_of(alleles)
    assert not clumps.merged, "a locus that does not vary goes with the one before it, but is no signal"
    assert len(clumps.first) == 298
    assert 1 not in clumps.representative


def test_a_representative_agrees_with_its_clump() -> None:
    cross = Cross.simulated(400, 3)
    columns, clumps = columns_of(cross.alleles), clumps_of(cross.alleles)
    assert 100 < len(clumps.first) < 400
    for first, last, middle in zip(clumps.first, clumps.last, clumps.representative, strict=True):
        x = standardised(columns, np.arange(first, last + 1))
        assert first <= middle <= last
        assert ((x @ x[middle - first]) ** 2).min() > 0.8
        assert len(set(cross.chromosome[first - 1 : last])) == 1


def test_independent_loci_are_counted() -> None:
    alleles = np.random.default_rng(4).integers(0, 2, (500, 80), dtype=np.uint8)
    assert effective_number(columns_of(alleles)) == pytest.approx(80, rel=0.02)
    twice = np.repeat(alleles, 2, axis=1)
    assert effective_number(columns_of(twice)) == pytest.approx(80, rel=0.02)
    with_missing = twice.copy()
    with_missing[0, 0] = MISSING
    assert effective_number(columns_of(with_missing)) == pytest.approx(80, rel=0.05)


def test_the_largest_score_of_a_cross_is_near_the_level_of_its_effective_number() -> None:
    """Of all pairs, in noise: sqrt(2·ln(M·(M + 1)/2)), within a tenth, where the number of loci would give much more."""
    cross = Cross.simulated(600, 5)
    columns = columns_of(cross.alleles)
    number = effective_number(columns)
    x, random, largest = columns.x(0, 600), np.random.default_rng(6), []
    for _ in range(10):
        noise = random.standard_normal(600).astype(np.float32)
        noise -= noise.mean()
        largest.append(np.abs(np.triu((x * (noise / np.linalg.norm(noise))) @ x.T, 1)).max())
    assert np.median(largest) == pytest.approx(np.sqrt(2 * np.log(number * (number + 1) / 2)), rel=0.1)
    assert number < 250 < cross.alleles.shape[1] == 1000
