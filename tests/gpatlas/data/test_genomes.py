"""gpatlas.data.genomes: every population has the statistics that theory gives it, and blocks change nothing.

A tolerance is a number of standard errors (SE): of a share s of n individuals √(s(1 − s)/n), else the standard deviation of what is
averaged over individuals or replicates, over √n.
"""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gpatlas.data.genomes import GeneticMap, draw_counts, genetic_map, offspring, with_errors
from gpatlas.data.genotypes import unpack
from gpatlas.data.settings import SimulateSettings
from gpatlas.data.simulate import draw_genotypes
from gpatlas.settings import build

Array = npt.NDArray[Any]

POPULATIONS: dict[str, dict[str, Any]] = {
    "dh": {"population": "dh"},
    "ril": {"population": "ril"},
    "f2": {"population": "f2"},
    "bc": {"population": "bc"},
    "outbred": {"population": "outbred", "n_founders": 20},
    "haploid outbred": {"population": "outbred", "n_founders": 20, "ploidy": 1},
}


def settings_of(**values: Any) -> SimulateSettings:
    return build(SimulateSettings, {"n_qtl": 2, **values})


def simulate(seed: int = 1, **values: Any) -> tuple[Array, GeneticMap]:
    """Counts of all individuals, and where the loci are."""
    settings = settings_of(**values)
    genome = genetic_map(settings, np.random.default_rng(seed))
    return np.concatenate(list(draw_counts(settings, genome, np.random.SeedSequence(seed)))), genome


def haldane(cm: float) -> float:
    return (1 - np.exp(-2 * cm / 100)) / 2


def near(values: Array, wanted: float, bound: float = 3) -> None:
    """Their mean over individuals or replicates is what is wanted, within `bound` SE."""
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert error > 0
    assert abs(values.mean() - wanted) < bound * error


# The map


def test_loci_are_spread_evenly_from_end_to_end() -> None:
    genome = genetic_map(settings_of(population="dh", n_loci=8, n_chromosomes=3, chromosome_cm=60.0), np.random.default_rng(1))
    assert genome.chromosome.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert genome.cm.tolist() == [0, 30, 60, 0, 30, 60, 0, 60]
    assert not genome.hidden.any()


def test_one_locus_stands_in_the_middle_of_its_chromosome() -> None:
    genome = genetic_map(settings_of(population="f2", n_loci=3, n_chromosomes=2, chromosome_cm=80.0), np.random.default_rng(1))
    assert (genome.chromosome.tolist(), genome.cm.tolist()) == ([0, 0, 1], [0, 80, 40])


def test_hidden_qtl_stand_at_random_among_the_markers() -> None:
    """Of every trait group; uniform: SE of the mean place 100/√12/√k, of a chromosome's share √(¼·¾/k)."""
    values = {"population": "dh", "n_loci": 40, "n_chromosomes": 4}
    genome = genetic_map(settings_of(**values, hidden_qtl=True, n_qtl=1000, rel_aa=(0.0, 1.0, 3.0)), np.random.default_rng(1))
    without = genetic_map(settings_of(**values), np.random.default_rng(1))
    place, n_hidden = 1000 * genome.chromosome + genome.cm, 3000
    assert genome.hidden.sum() == n_hidden
    assert (np.diff(place) >= 0).all()
    assert np.array_equal(place[~genome.hidden], 1000 * without.chromosome + without.cm)
    cm = genome.cm[genome.hidden]
    assert cm.mean() == pytest.approx(50, abs=3 * 100 / np.sqrt(12 * n_hidden))
    assert cm.std() == pytest.approx(100 / np.sqrt(12), rel=0.05)
    shares = np.bincount(genome.chromosome[genome.hidden]) / n_hidden
    np.testing.assert_allclose(shares, 0.25, atol=3 * np.sqrt(3 / 16 / n_hidden))


# Crosses of two inbred parents


DISTANCES = (1, 2, 5, 10, 30, 100, 199)  # loci, of 1 cM each


@pytest.mark.parametrize("population", ["dh", "bc"])
def test_gametes_recombine_as_haldane_says(population: str) -> None:
    """From two places, so that words of 64 loci are crossed; 0.5 between chromosomes."""
    counts, _ = simulate(population=population, n_individuals=20_000, n_loci=402, n_chromosomes=2, chromosome_cm=200.0)
    for first in (0, 45):
        for distance in DISTANCES:
            if first + distance < 201:
                near(counts[:, first] != counts[:, first + distance], haldane(distance))
    near(counts[:, 200] != counts[:, 201], 0.5)


def test_f2_recombines_as_haldane_says() -> None:
    """Of two gametes: the mean product of counts − 1 is (1 − 2r)/2; ((1 − r)² + r²)/2 are heterozygous at both, ((1 − r)/2)² BB BB."""
    counts, _ = simulate(population="f2", n_individuals=20_000, n_loci=402, n_chromosomes=2, chromosome_cm=200.0)
    x = counts.astype(float) - 1
    for first, distance, r in [*((0, distance, haldane(distance)) for distance in DISTANCES), (200, 1, 0.5)]:
        one, other = x[:, first], x[:, first + distance]
        near(one * other, (1 - 2 * r) / 2)
        near((one == 0) & (other == 0), ((1 - r) ** 2 + r**2) / 2)
        near((one == 1) & (other == 1), ((1 - r) / 2) ** 2)


def test_crossovers_do_not_interfere() -> None:
    """Recombination in neighbouring intervals is independent; crossovers seen along 100 intervals vary as independent ones do."""
    counts, _ = simulate(population="dh", n_individuals=20_000, n_loci=101)
    switched = counts[:, 1:] != counts[:, :-1]
    r = haldane(1)
    assert switched.sum(axis=1).var() == pytest.approx(100 * r * (1 - r), rel=3 * np.sqrt(3 / 20_000))  # (kurtosis − 1)/n, 3 for Poisson(1)
    near((counts[:, 0] != counts[:, 20]) & (counts[:, 20] != counts[:, 40]), haldane(20) ** 2)


@pytest.mark.parametrize(
    ("population", "shares"),
    [("dh", (0.5, 0.5, 0.0)), ("bc", (0.5, 0.5, 0.0)), ("f2", (0.25, 0.5, 0.25)), ("ril", (255 / 512, 1 / 256, 255 / 512))],
)
def test_genotype_ratios(population: str, shares: tuple[float, ...]) -> None:
    """Each locus on a chromosome of its own, so that all calls are independent; 8 generations of selfing leave 2⁻⁸ heterozygous."""
    counts, _ = simulate(population=population, n_individuals=2000, n_loci=100, n_chromosomes=100)
    for count, share in enumerate(shares):
        found = (counts == count).mean(axis=0)
        assert abs(found.mean() - share) <= 3 * np.sqrt(share * (1 - share) / counts.size)
        assert (abs(found - share) <= 4.5 * np.sqrt(share * (1 - share) / len(counts))).all()
    assert counts.max() == (2 if population in ("f2", "ril") else 1)
    between = np.corrcoef(counts, rowvar=False)[np.triu_indices(100, 1)] * np.sqrt(len(counts))
    assert (between**2).mean() == pytest.approx(1, abs=4 * np.sqrt(2 / len(between)))


@pytest.mark.parametrize("n_generations", [1, 2, 3, 5, 8])
def test_heterozygosity_of_ril_is_halved_by_every_selfing(n_generations: int) -> None:
    counts, _ = simulate(population="ril", n_generations=n_generations, n_individuals=4000, n_loci=130, n_chromosomes=10)
    near((counts == 1).mean(axis=1), 0.5**n_generations)
    near(counts.mean(axis=1), 1)


def test_inbred_ril_recombine_as_haldane_and_waddington_say() -> None:
    """2r/(1 + 2r), by selfing (1931, Genetics 16: 357-374)."""
    counts, _ = simulate(population="ril", n_generations=40, n_individuals=10_000, n_loci=101)
    assert not (counts == 1).any()
    for distance in (1, 2, 5, 10, 30, 100):
        r = haldane(distance)
        near(counts[:, 0] != counts[:, distance], 2 * r / (1 + 2 * r))


# Outbred populations


@pytest.mark.parametrize("n_generations", [1, 4, 10])
@pytest.mark.parametrize("ploidy", [1, 2])
def test_drift_takes_heterozygosity(ploidy: int, n_generations: int) -> None:
    """By 1/(ploidy·N) a generation, from E 2p(1 − p) = 1/3 of uniform allele frequencies; of haploids the gene diversity of two of them."""
    n, n_founders, found = 40, 8, []
    for seed in range(60):
        values = {"n_individuals": n, "n_loci": 200, "n_chromosomes": 200, "n_founders": n_founders, "ploidy": ploidy}
        counts, _ = simulate(seed, population="outbred", n_generations=n_generations, **values)
        p = counts.mean(axis=0)
        found.append((counts == 1).mean() if ploidy == 2 else (2 * p * (1 - p)).mean() * n / (n - 1))
    near(np.array(found), (1 - 1 / (ploidy * n_founders)) ** n_generations / 3)


def test_allele_frequencies_are_those_of_the_founders() -> None:
    """Beta(2, 6): mean ¼, variance 2·6/(8²·9); drift and sampling add p(1 − p)·(2/(2·2000)), E p(1 − p) = ¼ − ¹⁄₄₈ − ¹⁄₁₆."""
    n = 2000
    values = {"n_individuals": n, "n_founders": n, "n_generations": 1, "n_loci": 400, "n_chromosomes": 400}
    counts, _ = simulate(population="outbred", allele_frequency_shape=(2.0, 6.0), **values)
    p = counts.mean(axis=0) / 2
    near(p, 0.25)
    near((p - 0.25) ** 2, 12 / 576 + (3 / 16 - 12 / 576) * 2 / (2 * n))
    near((counts == 1).mean(axis=0), 2 * (3 / 16 - 12 / 576))


def test_linkage_disequilibrium_falls_with_distance() -> None:
    """Drift makes it where recombination does not break it: r² at 1, 10 and 40 cM and between chromosomes, each 3 SE apart."""
    distances = (1, 10, 40, 101)
    squares: list[list[float]] = []
    for seed in range(20):
        values = {"n_individuals": 400, "n_founders": 25, "n_generations": 20, "n_loci": 202, "n_chromosomes": 2}
        counts, _ = simulate(seed, population="outbred", allele_frequency_shape=(5.0, 5.0), **values)
        kept = counts[:, counts.std(axis=0) > 0.3].shape[1]
        with np.errstate(invalid="ignore"):
            r2 = np.corrcoef(counts, rowvar=False) ** 2
        assert kept > 100
        squares.append([float(np.nanmean(np.diagonal(r2, distance)[: 101 - distance % 101])) for distance in distances])
    steps = np.diff(np.array(squares), axis=1)
    assert (-steps.mean(axis=0) > 3 * steps.std(axis=0, ddof=1) / np.sqrt(len(steps))).all()


# Offspring of any population


def test_haploid_offspring_recombine_as_haldane_says() -> None:
    """N parents, half of them all 0 and half all 1: two different ones differ at N/(2(N − 1)), and then show every recombination.

    Loci come in any order; without a place on a chromosome they are unlinked.
    """
    n_parents, share = 40, 40 / (2 * 39)
    parents = np.repeat(np.array([[0], [1]], np.uint8), n_parents // 2, axis=0).repeat(204, axis=1)
    chromosome, cm = np.array([*[0] * 101, *[7] * 101, -1, 7]), np.array([*range(101), *range(101), 5.0, np.nan])
    mixed = np.random.default_rng(2).permutation(204)
    mixed_counts = np.concatenate(list(offspring(parents, 1, chromosome[mixed], cm[mixed], 20_000, np.random.default_rng(3))))
    counts = mixed_counts[:, np.argsort(mixed)]
    assert (counts.shape, counts.dtype) == ((20_000, 204), np.uint8)
    for distance in (1, 5, 20, 70, 100):
        near(counts[:, 0] != counts[:, distance], share * haldane(distance))
    for unlinked in (101, 202, 203):
        near(counts[:, 100] != counts[:, unlinked], share / 2)
    near(counts[:, 202] != counts[:, 203], share / 2)


def test_haploid_offspring_keep_allele_frequencies() -> None:
    parents = (np.random.default_rng(1).random((30, 50)) < 0.3).astype(np.uint8)
    counts = np.concatenate(list(offspring(parents, 1, np.arange(50), np.zeros(50), 10_000, np.random.default_rng(2))))
    p = parents.mean(axis=0)
    assert (abs(counts.mean(axis=0) - p) <= 4 * np.sqrt(p * (1 - p) / len(counts))).all()


def test_diploid_offspring_mate_at_random() -> None:
    """Both alleles independent draws from the parents' 2N: genotypes in Hardy and Weinberg's shares of the parents' frequencies."""
    parents = np.random.default_rng(1).integers(0, 3, (30, 50), dtype=np.uint8)
    counts = np.concatenate(list(offspring(parents, 2, np.arange(50), np.zeros(50), 10_000, np.random.default_rng(2))))
    p = parents.mean(axis=0) / 2
    for count, share in enumerate([(1 - p) ** 2, 2 * p * (1 - p), p**2]):
        assert (abs((counts == count).mean(axis=0) - share) < 4 * np.sqrt(share * (1 - share) / len(counts))).all()


@pytest.mark.parametrize("generation", ["f2", "outbred"])
def test_diploid_offspring_keep_what_linkage_disequilibrium_recombination_leaves(generation: str) -> None:
    """A share 1 − r of it where phases are known. Drawn ones are right often enough that at most a twentieth is lost to 10 cM.

    Phases by chance alone would lose a half. The slope, over pairs of loci, of the offspring's correlations on the parents'.
    """
    values = {"outbred": {"n_founders": 50, "n_generations": 20}, "f2": {}}[generation]
    parents, genome = simulate(population=generation, n_individuals=1000, n_loci=201, **values)
    parents = parents[:, polymorphic] if not (polymorphic := parents.std(axis=0) > 0.2).all() else parents
    cm = genome.cm[polymorphic]
    counts = np.concatenate(list(offspring(parents, 2, np.zeros(len(cm), int), cm, 5000, np.random.default_rng(2))))
    before, after = (np.corrcoef(x, rowvar=False) for x in (parents, counts))
    apart = abs(cm[:, None] - cm)
    for distance in (0.5, 2, 5, 10):
        pairs = np.isclose(apart, distance)
        slope = (before[pairs] @ after[pairs]) / (before[pairs] @ before[pairs])
        assert slope == pytest.approx(1 - haldane(distance), abs=0.05)


def test_a_missing_call_of_a_parent_counts_as_the_most_frequent() -> None:
    parents = np.array([[3, 0, 1], [1, 3, 3], [1, 0, 1]], np.uint8)
    counts = np.concatenate(list(offspring(parents, 1, np.zeros(3, int), np.arange(3.0), 50, np.random.default_rng(1))))
    assert np.array_equal(np.unique(counts, axis=0), [[1, 0, 1]])


# Errors of calls


@pytest.mark.parametrize("ploidy", [1, 2])
def test_calls_are_wrong_and_missing_at_their_rates(ploidy: int) -> None:
    """Every allele by itself: a heterozygote is read right with both alleles right or both wrong."""
    e, missing, n = 0.1, 0.05, 100_000
    expected = {
        1: [[1 - e, e, 0], [e, 1 - e, 0]],
        2: [[(1 - e) ** 2, 2 * e * (1 - e), e**2], [e * (1 - e), (1 - e) ** 2 + e**2, e * (1 - e)], [e**2, 2 * e * (1 - e), (1 - e) ** 2]],
    }[ploidy]
    for count, shares in enumerate(expected):
        observed = with_errors(np.full((n // 100, 100), count, np.uint8), ploidy, e, missing, np.random.default_rng(count))
        found = np.bincount(observed.ravel(), minlength=4) / n
        wanted = np.array([*(1 - missing) * np.array(shares), missing])
        assert (abs(found - wanted) <= 4 * np.sqrt(wanted * (1 - wanted) / n)).all()


def test_errors_are_drawn_call_by_call() -> None:
    counts = np.random.default_rng(1).integers(0, 3, (300, 7), dtype=np.uint8)
    true = counts.copy()
    whole = with_errors(counts, 2, 0.2, 0.1, np.random.default_rng(2))
    random = np.random.default_rng(2)
    parts = [with_errors(counts[start : start + 77], 2, 0.2, 0.1, random) for start in range(0, 300, 77)]
    assert np.array_equal(whole, np.concatenate(parts))
    assert np.array_equal(counts, true)
    assert np.array_equal(with_errors(counts, 2, 0.0, 0.0, random), true)


# The same seed, whatever the blocks


@pytest.mark.parametrize("values", POPULATIONS.values(), ids=POPULATIONS)
def test_block_size_does_not_change_a_count(values: dict[str, Any]) -> None:
    values = {**values, "n_individuals": 150, "n_loci": 131, "n_chromosomes": 3, "hidden_qtl": True}
    whole, _ = simulate(**values)
    assert (whole.shape, whole.dtype) == ((150, 141), np.uint8)  # five trait groups of two hidden QTL each
    for block_size in (1, 7, 64):
        assert np.array_equal(simulate(**values, block_size=block_size)[0], whole)
    assert not np.array_equal(simulate(2, **values)[0], whole)


def test_counts_come_in_blocks_and_again_from_the_same_seed() -> None:
    settings, seed = settings_of(population="f2", n_individuals=10, n_loci=5, block_size=4), np.random.SeedSequence(3)
    genome = genetic_map(settings, np.random.default_rng(1))
    first, second = (list(draw_counts(settings, genome, seed)) for _ in range(2))
    assert [len(block) for block in first] == [4, 4, 2]
    assert np.array_equal(np.concatenate(first), np.concatenate(second))


CHECKSUMS = {
    "dh": "cd17fb5268a827f6",
    "ril": "2ef2b8457a05f313",
    "f2": "de8773d47a5873ca",
    "bc": "cd17fb5268a827f6",
    "outbred": "b17664017cbde43b",
    "haploid outbred": "0ee3dbf4f24fc5f9",
}


@pytest.mark.parametrize("population", POPULATIONS)
def test_a_seed_means_the_same_population_forever(population: str) -> None:
    counts, _ = simulate(7, **POPULATIONS[population], n_individuals=500, n_loci=83, n_chromosomes=2, hidden_qtl=True)
    assert hashlib.sha256(counts.tobytes()).hexdigest()[:16] == CHECKSUMS[population]


def test_individuals_are_drawn_independently() -> None:
    """Correlation of successive individuals over unlinked loci: SE 1/√(pairs·loci)."""
    counts, _ = simulate(population="f2", n_individuals=1000, n_loci=100, n_chromosomes=100)
    x = (counts - 1.0) * np.sqrt(2)
    assert abs((x[1:] * x[:-1]).mean()) < 3 / np.sqrt(999 * 100)
    assert len(np.unique(counts, axis=0)) == 1000


def test_unlinked_genomes_are_the_studys() -> None:
    settings = settings_of(n_individuals=50, n_loci=70, block_size=7)
    genome = genetic_map(settings, np.random.default_rng(1))
    counts = np.concatenate(list(draw_counts(settings, genome, np.random.SeedSequence(5))))
    packed = draw_genotypes(np.random.PCG64(np.random.SeedSequence(5)), 50, 70)
    assert np.array_equal(counts, unpack(packed, 70))
