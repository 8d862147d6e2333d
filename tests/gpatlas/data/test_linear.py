"""gpatlas.data.linear: what a linear model can explain, against closed forms and least squares on many more individuals."""

from collections.abc import Callable

import numpy as np
import pytest

from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import ByteArray, FloatArray, pack
from gpatlas.data.linear import linear_r_squared

Make = Callable[[int, int], ByteArray]


def drawn(n_qtl: int, rel_aa: float, n_traits: int = 1) -> Effects:
    """Every trait with its own pairs of all loci."""
    rng = np.random.default_rng(1)
    pairs = np.array([rng.permutation(n_qtl).reshape(-1, 2) for _ in range(n_traits)], dtype=np.int32)
    epistatic = 2 * np.sqrt(rel_aa) * rng.standard_normal((n_traits, n_qtl // 2))
    return Effects(rng.standard_normal((n_qtl, n_traits)), pairs, epistatic, np.zeros(n_traits))


def values_of(alleles: ByteArray, effects: Effects) -> FloatArray:
    values = sum(effects.parts(pack(alleles)))
    return np.asarray(values - np.mean(values, axis=0))


def found(alleles: ByteArray, effects: Effects, block: int = 97) -> FloatArray:
    packed = pack(alleles)
    return linear_r_squared(lambda: (packed[at : at + block] for at in range(0, len(packed), block)), effects, values_of(alleles, effects))


def unlinked(frequency: float, n_qtl: int) -> Make:
    return lambda n, seed: (np.random.default_rng(seed).random((n, n_qtl)) < frequency).astype(np.uint8)


def mosaic(frequency: float, n_qtl: int) -> Make:
    """Mosaics of six founders, one in twenty of them switches before the next locus: linked loci, whose products are linked to others."""
    founders = (np.random.default_rng(5).random((6, n_qtl)) < frequency).astype(np.uint8)

    def make(n: int, seed: int) -> ByteArray:
        rng = np.random.default_rng(seed)
        founder, alleles = rng.integers(0, 6, n), np.empty((n, n_qtl), np.uint8)
        for locus in range(n_qtl):
            founder = np.where(rng.random(n) < 0.05, rng.integers(0, 6, n), founder)
            alleles[:, locus] = founders[founder, locus]
        return alleles

    return make


def in_the_long_run(make: Make, effects: Effects) -> float:
    """R² of least squares on 30,000 individuals."""
    alleles = make(30_000, 0)
    values, design = values_of(alleles, effects)[:, 0], np.column_stack([np.ones(len(alleles)), alleles])
    rest = values - design @ np.linalg.lstsq(design, values)[0]
    return float(1 - rest.var() / values.var())


@pytest.mark.parametrize(
    ("make", "n_qtl", "n", "within"),
    [
        (unlinked(0.5, 200), 200, 1000, 0.01),
        (unlinked(0.1, 40), 40, 1000, 0.02),
        (unlinked(0.1, 200), 200, 150, 0.05),
        (mosaic(0.5, 60), 60, 1000, 0.02),
        (mosaic(0.2, 60), 60, 1000, 0.02),
    ],
    ids=["frequency 0.5", "frequency 0.1", "fewer individuals than QTL", "linked", "linked, frequency 0.2"],
)
def test_the_mean_of_small_populations_is_that_of_a_large_one(make: Make, n_qtl: int, n: int, within: float) -> None:
    """The standard deviation of one population's value is at most 0.06, that of the mean of twenty a fourth of it."""
    effects = drawn(n_qtl, rel_aa=3.0)
    shares = [found(make(n, seed), effects)[0] for seed in range(1, 21)]
    assert np.mean(shares) == pytest.approx(in_the_long_run(make, effects), abs=within)


def test_at_frequency_one_half_without_linkage_it_is_v_a_over_v_g() -> None:
    effects = drawn(100, rel_aa=1.0)
    for seed in range(1, 21):
        alleles = unlinked(0.5, 100)(1000, seed)
        additive = effects.parts(pack(alleles))[0]
        assert found(alleles, effects)[0] == pytest.approx(additive.var() / values_of(alleles, effects).var(), abs=0.015)


def test_closed_form_of_unlinked_loci() -> None:
    """The average effect of a locus is a_i + e·mean(x_j)."""
    effects, alleles = drawn(6, rel_aa=3.0), unlinked(0.1, 6)(200_000, 1)
    mean, variance = -0.8, 1 - 0.8**2
    average = effects.additive[:, 0].copy()
    for pair, effect in zip(effects.pairs[0], effects.epistatic[0], strict=True):
        average[pair] += effect * mean
    linear = (average**2).sum() * variance
    assert found(alleles, effects)[0] == pytest.approx(linear / (linear + (effects.epistatic[0] ** 2).sum() * variance**2), abs=0.005)


def test_additive_traits_are_linear_whatever_the_loci() -> None:
    """Also with a locus that does not vary and two that are the same."""
    alleles = mosaic(0.3, 20)(400, 1)
    alleles[:, 0], alleles[:, 5] = 1, alleles[:, 6]
    assert found(alleles, drawn(20, rel_aa=0.0)).tolist() == pytest.approx([1])


def test_traits_of_other_loci_in_one_population() -> None:
    """Neutral loci among the QTL, and traits with the same ones or others: each trait as if it were alone."""
    alleles, alone = unlinked(0.2, 30)(500, 1), drawn(10, rel_aa=1.0, n_traits=3)
    places = [np.arange(0, 20, 2), np.arange(10, 20), np.arange(0, 20, 2)]
    additive = np.zeros((30, 3))
    for trait, loci in enumerate(places):
        additive[loci, trait] = alone.additive[:, trait]
    pairs = np.array([loci[alone.pairs[trait]] for trait, loci in enumerate(places)], dtype=np.int32)
    together = found(alleles, Effects(additive, pairs, alone.epistatic, np.zeros(3)))
    for trait, loci in enumerate(places):
        assert together[trait] == pytest.approx(found(alleles[:, loci], alone.traits([trait]))[0], rel=1e-9)


@pytest.mark.parametrize("block", [1, 64, 1000])
def test_the_block_size_does_not_matter(block: int) -> None:
    alleles, effects = mosaic(0.2, 20)(500, 1), drawn(20, rel_aa=1.0)
    assert found(alleles, effects, block) == pytest.approx(found(alleles, effects), rel=1e-9)
