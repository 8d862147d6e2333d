"""gpatlas.data.traits: effects as the settings say, values that follow from them to the last bit, phenotypes of the heritability.

A tolerance is a number of standard errors (SE), derived where it is used.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import Genotypes, Rows, pack_counts
from gpatlas.data.places import Places
from gpatlas.data.settings import TraitSettings
from gpatlas.data.traits import SimulatedTraits, causal_loci, draw_effects, traits_of
from gpatlas.settings import build

Array = npt.NDArray[Any]


def settings_of(**values: Any) -> TraitSettings:
    return build(TraitSettings, {"n_qtl": 20, "rel_aa": (1.0,), **values})


def drawn(n_loci: int = 40, chromosome: Array | None = None, seed: int = 1, candidates: Rows | None = None, **values: Any) -> Effects:
    candidates = np.arange(n_loci) if candidates is None else candidates
    return draw_effects(settings_of(**values), candidates, n_loci, np.random.default_rng(seed), chromosome)


def diploids(n: int, n_loci: int, frequency: float = 0.5, seed: int = 1) -> Array:
    return np.random.default_rng(seed).binomial(2, frequency, (n, n_loci)).astype(np.uint8)


def traits_on(counts: Array, highest: int = 2, **values: Any) -> SimulatedTraits:
    """Drawn and put on the counts of all loci."""
    settings, effects = settings_of(**values), drawn(counts.shape[1], **values)
    qtl = causal_loci(effects)
    return traits_of(settings, effects, Genotypes(pack_counts(counts[:, qtl]), len(qtl), 2, highest), np.random.default_rng(2))


def formula(effects: Effects, counts: Array, highest: int = 2) -> Array:
    """Genetic values, in plain numpy."""
    x, h = 2 * counts / highest - 1, (counts == 1) * 1.0 if highest == 2 else np.zeros(counts.shape)
    values = effects.intercept + x @ effects.additive
    for trait, (first, second) in enumerate(effects.pairs.transpose(0, 2, 1)):
        values[:, trait] += (x[:, first] * x[:, second]) @ effects.epistatic[trait]
        if effects.dominance is not None and effects.dominance_epistatic is not None:
            values[:, trait] += h @ effects.dominance[:, trait] + (h[:, first] * h[:, second]) @ effects.dominance_epistatic[trait]
    return values


DOMINANCE = {"dominance_degree_mean": 0.4, "dominance_degree_sd": 0.3, "rel_dd": 1.0}


@pytest.mark.parametrize(
    "values",
    [{}, DOMINANCE, {"n_pairs": 3}, {"n_qtl": 7, "n_pairs": 2, **DOMINANCE}, {"n_traits": 3, "genetic_correlation": 0.5, **DOMINANCE}],
    ids=["additive and epistatic", "dominance", "few pairs", "odd numbers", "correlated"],
)
def test_genetic_values_are_the_formula_of_the_effects(values: dict[str, Any]) -> None:
    counts = diploids(300, 40)
    traits = traits_on(counts, **values)
    np.testing.assert_allclose(traits.genetic_values, formula(traits.effects, counts), atol=1e-12)
    np.testing.assert_allclose(traits.genetic_values.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(traits.genetic_values.var(axis=0), 1, atol=1e-12)


@pytest.mark.parametrize("highest", [1, 2])
def test_genetic_values_are_the_same_to_the_last_bit_in_any_block_and_with_any_traits(highest: int) -> None:
    counts = diploids(101, 40) // (3 - highest)
    traits = traits_on(counts, highest, rel_aa=(0.5, 3.0), **(DOMINANCE if highest == 2 else {}))
    for size in (1, 7, 101):
        found = [traits.effects.total(traits.effects.parts_of(counts[at : at + size], highest)) for at in range(0, 101, size)]
        assert np.array_equal(np.concatenate(found), traits.genetic_values)
    alone = traits.effects.traits([1])
    assert np.array_equal(alone.total(alone.parts_of(counts, highest)), traits.genetic_values[:, [1]])
    qtl = causal_loci(traits.effects)
    local = traits.effects.of_loci(qtl)
    assert np.array_equal(local.total(local.parts_of(counts[:, qtl], highest)), traits.genetic_values)


def test_functional_components_are_the_variances_of_the_parts() -> None:
    counts = diploids(400, 40, 0.3)
    traits = traits_on(counts, **DOMINANCE)
    parts = traits.effects.parts_of(counts, 2)
    for name, part in zip(("v_a", "v_d", "v_aa", "v_dd"), parts, strict=True):
        assert traits.facts[name] == pytest.approx(part.var(axis=0))
        assert traits.facts[name][0] > 0
    assert traits.facts["v_a_over_v_g"] == pytest.approx(traits.facts["v_a"])


@pytest.mark.parametrize("h2", [0.3, 0.8])
def test_heritability_is_that_of_the_settings(h2: float) -> None:
    """SE of the variance of n normal values of variance v: v·√(2/n)."""
    n, wanted = 20_000, 1 / h2 - 1
    traits = traits_on(diploids(n, 40), h2=h2)
    noise = traits.phenotypes - traits.genetic_values
    assert noise.var() == pytest.approx(wanted, abs=4 * wanted * np.sqrt(2 / n))
    assert abs(np.corrcoef(noise[:, 0], traits.genetic_values[:, 0])[0, 1]) < 4 / np.sqrt(n)


def test_a_trait_without_variance_is_refused() -> None:
    with pytest.raises(ValueError, match="trait 1 has no genetic variance: its genetic value is the same in all 30 individuals"):
        traits_on(np.ones((30, 40), np.uint8))


@pytest.mark.parametrize(("distribution", "square"), [("normal", 1.0), ("gamma", 0.4 * 1.4), ("equal", 1.0)])
def test_effects_have_the_distribution(distribution: str, square: float) -> None:
    """Mean 0, and E[a²] = 1, or shape·(shape + 1) of a gamma distribution. A fourth moment of at most 30 gives the SE."""
    effects = drawn(20_000, n_qtl=20_000, effect_distribution=distribution).additive[:, 0]
    assert abs(effects.mean()) < 4 * np.sqrt(square / 20_000)
    assert (effects**2).mean() == pytest.approx(square, abs=4 * np.sqrt(30 / 20_000))
    assert (np.unique(np.abs(effects)).tolist() == [1.0]) == (distribution == "equal")
    if distribution == "gamma":  # half of the effects are below the median of the sizes, about 0.15
        assert (np.abs(effects) < 0.15).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("distribution", ["normal", "gamma", "equal"])
@pytest.mark.parametrize("n_pairs", [None, 500])
def test_epistatic_effects_keep_v_aa_whatever_the_number_of_pairs(distribution: str, n_pairs: int | None) -> None:
    """Σe² / Σa² is 2·rel_aa; the relative SE of a sum of k squares of gamma effects is √(30/k)."""
    effects = drawn(8000, n_qtl=8000, n_pairs=n_pairs, rel_aa=(1.5,), effect_distribution=distribution)
    ratio = (effects.epistatic**2).sum() / (effects.additive**2).sum()
    assert ratio == pytest.approx(3, rel=4 * np.sqrt(30 / (n_pairs or 4000)))


def test_pairs_are_disjoint_and_of_the_qtl() -> None:
    effects = drawn(n_qtl=11, n_pairs=4)
    assert effects.pairs.shape == (1, 4, 2)
    assert len(set(effects.pairs.ravel().tolist())) == 8
    assert set(effects.pairs.ravel().tolist()) < set(np.flatnonzero(effects.additive[:, 0]).tolist())
    assert np.count_nonzero(effects.additive) == 11


def test_dominance_effects_are_degrees_of_the_additive_ones() -> None:
    """d/|a| is normal; SE of its mean is sd/√q, of its standard deviation sd/√(2q)."""
    effects = drawn(10_000, n_qtl=10_000, dominance_degree_mean=0.2, dominance_degree_sd=0.3)
    assert effects.dominance is not None
    degrees = effects.dominance[:, 0] / np.abs(effects.additive[:, 0])
    assert degrees.mean() == pytest.approx(0.2, abs=4 * 0.3 / 100)
    assert degrees.std() == pytest.approx(0.3, abs=4 * 0.3 / np.sqrt(20_000))


@pytest.mark.parametrize("correlation", [0.7, -0.4])
def test_effects_of_a_group_are_correlated(correlation: float) -> None:
    effects = drawn(10_000, n_qtl=10_000, n_traits=2, genetic_correlation=correlation)
    for pair in (effects.additive.T, effects.epistatic):
        assert np.corrcoef(pair)[0, 1] == pytest.approx(correlation, abs=4 / np.sqrt(5000))
    assert np.array_equal(effects.pairs[0], effects.pairs[1])


@pytest.mark.parametrize("n_chromosomes", [2, 5])
@pytest.mark.parametrize("linkage", ["linked", "unlinked"])
def test_pairs_are_linked_or_not(n_chromosomes: int, linkage: Any) -> None:
    """Also where every locus is in a pair, of chromosomes of equal size."""
    chromosome = np.repeat(np.arange(n_chromosomes), 20)
    for seed, n_qtl in enumerate((6, 20 * n_chromosomes)):
        effects = drawn(len(chromosome), chromosome, seed, n_qtl=n_qtl, pair_linkage=linkage)
        first, second = chromosome[effects.pairs[0]].T
        assert ((first == second) == (linkage == "linked")).all()
        assert len(np.unique(effects.pairs)) == n_qtl


def test_loci_without_a_chromosome_are_linked_to_none() -> None:
    chromosome = np.repeat([-1, 0], [30, 10])
    effects = drawn(40, chromosome, n_qtl=10, pair_linkage="linked")
    assert (effects.pairs >= 30).all()
    assert drawn(40, chromosome, n_qtl=30, pair_linkage="unlinked").pairs.shape == (1, 15, 2)


@pytest.mark.parametrize(
    ("chromosome", "values", "message"),
    [
        ([-1] * 40, {"pair_linkage": "linked"}, "pair_linkage: .* the loci make 0 disjoint pairs that are linked, and 10 are needed"),
        ([0] * 30 + [1] * 10, {"pair_linkage": "unlinked", "n_qtl": 24}, "the loci make 10 disjoint pairs that are unlinked, and 12 are"),
        ([0] * 40, {"n_qtl": 42}, r"n_qtl: must be at most the number of loci that vary \(40\), got 42"),
    ],
)
def test_loci_that_do_not_do(chromosome: list[int], values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        drawn(40, np.array(chromosome), **values)


def test_qtl_are_drawn_of_the_candidates() -> None:
    candidates = np.arange(5, 40, 2)
    effects = drawn(candidates=candidates, n_qtl=10)
    assert np.isin(np.flatnonzero(effects.additive[:, 0]), candidates).all()


def test_markers_near_hidden_qtl() -> None:
    """Three markers at 0, 10 and 20 cM of one chromosome and one at 0 of another; QTL at 12 cM, and 1 cM of the other."""
    places = Places(np.array([0, 0, 0, 1, 0, 1]), np.array([0.0, 10, 20, 0, 12, 1]), 4)
    nearest, apart = places.nearest(np.array([4, 5, 2]))
    assert nearest.tolist() == [1, 3, 2]
    assert apart.tolist() == [2, 1, 0]


def test_settings_make_the_same_traits_again() -> None:
    first, again = (traits_on(diploids(50, 40), effect_distribution="gamma", **DOMINANCE) for _ in range(2))
    assert np.array_equal(first.phenotypes, again.phenotypes)
