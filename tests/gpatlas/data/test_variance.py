"""gpatlas.data.variance: statistical components against theory and against least squares of many individuals; effective segments.

A tolerance is a number of standard errors, or what was seen over many seeds; either is said.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gpatlas.data import variance
from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import MISSING, Genotypes, pack_counts
from gpatlas.data.variance import effective_segments, statistical_components

Array = npt.NDArray[Any]


def effects_of(n_loci: int, *, epistatic: float = 0.0, dominance: float = 0.0, both: float = 0.0, seed: int = 1) -> Effects:
    """Of every locus, all in pairs."""
    random = np.random.default_rng(seed)
    pairs = random.permutation(n_loci).reshape(1, -1, 2).astype(np.int32)
    drawn = [random.standard_normal(shape) for shape in ((n_loci, 1), (n_loci, 1), (1, n_loci // 2), (1, n_loci // 2))]
    return Effects(drawn[0], pairs, epistatic * drawn[2], np.zeros(1), dominance * drawn[1], both * drawn[3])


def components(counts: Array, effects: Effects, highest: int = 2) -> tuple[Array, float]:
    """V_A, V_D, V_I (3,), and V_G."""
    values = effects.total(effects.parts_of(counts, highest))
    values -= values.mean(axis=0)
    found = statistical_components(effects, Genotypes(pack_counts(counts), counts.shape[1], 2, highest), values)
    return found[:, 0], float(values.var())


def in_hardy_weinberg(n: int, n_loci: int, frequency: float, seed: int = 1) -> Array:
    return np.random.default_rng(seed).binomial(2, frequency, (n, n_loci)).astype(np.uint8)


def mosaic(n: int, n_loci: int, seed: int = 1) -> Array:
    """Diploids, each haplotype a mosaic of four founders: linked loci, and pairs that others are linked to."""
    random, founders = np.random.default_rng(seed), (np.random.default_rng(9).random((4, n_loci)) < 0.3).astype(np.uint8)
    founder, alleles = random.integers(0, 4, 2 * n), np.empty((2 * n, n_loci), np.uint8)
    for locus in range(n_loci):
        founder = np.where(random.random(2 * n) < 0.1, random.integers(0, 4, 2 * n), founder)
        alleles[:, locus] = founders[founder, locus]
    return alleles[:n] + alleles[n:]


def least_squares(counts: Array, effects: Effects) -> Array:
    """V_A, V_D, V_I of many individuals."""
    values = effects.total(effects.parts_of(counts, 2))[:, 0]
    one, rests = np.ones((len(counts), 1)), [values - values.mean()]
    for design in (np.hstack([one, counts]), np.hstack([one, counts, counts == 1])):
        rests.append(values - design @ np.linalg.lstsq(design, values)[0])
    variances = [rest.var() for rest in rests]
    return np.array([variances[0] - variances[1], variances[1] - variances[2], variances[2]])


ALL = {"epistatic": 1.0, "dominance": 0.7, "both": 1.0}


@pytest.mark.parametrize("n", [40, 200, 2000])
@pytest.mark.parametrize("make", [mosaic, lambda n, m: in_hardy_weinberg(n, m, 0.3)], ids=["linked", "unlinked"])
def test_components_sum_to_v_g(make: Any, n: int) -> None:
    """Also with fewer individuals than 2·46 columns."""
    found, v_g = components(make(n, 46), effects_of(46, **ALL))
    assert found.sum() == pytest.approx(v_g, rel=1e-12)
    assert (found >= 0).all()


def test_average_effect_with_dominance_in_hardy_weinberg_proportions() -> None:
    """Fisher 1918: V_A = Σ2pq·(a + d(q − p))², V_D = Σ(2pq·d)². The relative SE of 2pq is below 0.01 at n = 20,000."""
    p, effects = 0.2, effects_of(20, dominance=0.7)
    assert effects.dominance is not None
    q = 1 - p
    wanted = (2 * p * q * (effects.additive + effects.dominance * (q - p)) ** 2).sum(), ((2 * p * q * effects.dominance) ** 2).sum()
    (v_a, v_d, v_i), _ = components(in_hardy_weinberg(20_000, 20, p), effects)
    assert (v_a, v_d) == pytest.approx(wanted, rel=0.03)
    assert v_i == pytest.approx(0, abs=1e-9 * v_a)


def test_average_effect_with_additive_by_additive_pairs() -> None:
    """Cockerham 1954: with x of mean m = p − q and variance 2pq in Hardy-Weinberg proportions, a_i + e·m, and V_I = Σe²·(2pq)²."""
    p, effects = 0.2, effects_of(20, epistatic=1.0)
    average = effects.additive[:, 0].copy()
    for pair, effect in zip(effects.pairs[0], effects.epistatic[0], strict=True):
        average[pair] += effect * (2 * p - 1)
    (v_a, v_d, v_i), _ = components(in_hardy_weinberg(20_000, 20, p), effects)
    spread = 2 * p * (1 - p)
    assert (v_a, v_i) == pytest.approx(((average**2).sum() * spread, (effects.epistatic**2).sum() * spread**2), rel=0.05)
    assert v_d < 0.001 * v_a


def test_functional_and_statistical_components_differ_away_from_one_half() -> None:
    counts, effects = in_hardy_weinberg(5000, 20, 0.2), effects_of(20, **ALL)
    found, _ = components(counts, effects)
    functional = effects.parts_of(counts, 2).var(axis=1)[:, 0]
    assert abs(found[0] - functional[0]) > 0.2 * functional[0]


@pytest.mark.parametrize("make", [mosaic, lambda n, m, seed: in_hardy_weinberg(n, m, 0.2, seed)], ids=["linked", "unlinked"])
def test_the_mean_of_small_populations_is_that_of_a_large_one(make: Any) -> None:
    """Ten populations of 600 with 2·40 columns of least squares: chance alone would move a tenth of V_I to V_A and V_D."""
    effects = effects_of(40, **ALL)
    wanted = least_squares(make(20_000, 40, 0), effects)
    found = np.array([share / v_g for share, v_g in (components(make(600, 40, seed), effects) for seed in range(1, 11))])
    assert found.mean(axis=0) == pytest.approx(wanted / wanted.sum(), abs=0.025)


def test_in_a_backcross_dominance_is_additive() -> None:
    """A heterozygote, or not: heterozygosity tells nothing that the count does not."""
    counts = np.random.default_rng(1).integers(0, 2, (500, 20)).astype(np.uint8)
    (v_a, v_d, v_i), v_g = components(counts, effects_of(20, dominance=0.7))
    assert v_a == pytest.approx(v_g)
    assert (v_d, v_i) == pytest.approx((0, 0), abs=1e-9)


def test_haploids_have_no_dominance_variance() -> None:
    counts = np.random.default_rng(1).integers(0, 2, (500, 20)).astype(np.uint8)
    (v_a, v_d, v_i), v_g = components(counts, effects_of(20, epistatic=1.0), highest=1)
    assert v_d == 0
    assert v_a + v_i == pytest.approx(v_g)


def test_blocks_and_traits_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, one = mosaic(300, 20), effects_of(20, **ALL)
    wanted, _ = components(counts, one)
    monkeypatch.setattr(variance, "BLOCK_SIZE", 37)
    assert components(counts, one)[0] == pytest.approx(wanted, rel=1e-9)


def test_with_very_many_qtl_least_squares_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlinked loci: what the terms' own regressions explain is the answer anyway, but for the correlations of a sample."""
    counts, effects = in_hardy_weinberg(4000, 20, 0.3), effects_of(20, **ALL)
    wanted, v_g = components(counts, effects)
    monkeypatch.setattr(variance, "MOST_COLUMNS", 39)
    found, _ = components(counts, effects)
    assert found == pytest.approx(wanted, abs=0.01 * v_g)


def test_unlinked_loci_are_as_many_segments() -> None:
    """The variance of N = n(n − 1)/2 relationships has the relative SE √(2/N), here below 0.01; these are nearly independent."""
    counts = np.random.default_rng(1).integers(0, 2, (400, 300)).astype(np.uint8)
    assert effective_segments(counts) == pytest.approx(300, rel=0.04)


def test_copies_of_a_locus_are_one_segment_and_missing_calls_are_none() -> None:
    counts = np.random.default_rng(1).integers(0, 2, (400, 100)).astype(np.uint8)
    copied = np.repeat(counts, 3, axis=1)
    constant = np.hstack([copied, np.ones((400, 5), np.uint8)])
    assert effective_segments(copied) == pytest.approx(effective_segments(counts))
    assert effective_segments(constant) == pytest.approx(effective_segments(counts))
    copied[np.random.default_rng(2).random(copied.shape) < 0.02] = MISSING
    assert effective_segments(copied) == pytest.approx(100, rel=0.1)


def test_two_individuals_tell_no_segments() -> None:
    assert np.isnan(effective_segments(np.array([[0, 1], [1, 0]], np.uint8)))
