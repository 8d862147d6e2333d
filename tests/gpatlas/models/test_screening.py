"""gpatlas.models.screening: scores of all pairs, least squares on the terms found, and what enters and leaves."""

from typing import Any

import numpy as np
import pytest
from populations import Array

from gpatlas.data.genotypes import FloatArray, Genotypes
from gpatlas.models import columns as columns_module
from gpatlas.models import scan
from gpatlas.models.columns import Coding, SignColumns
from gpatlas.models.registry import PairwiseSettings
from gpatlas.models.screening import LeastSquares, ScreenedPart, bordered, path, without

EVERYTHING = 10**9


def alleles_of(n: int, m: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).integers(0, 2, (n, m), dtype=np.uint8)


def with_constant(alleles: Array) -> Array:
    """x = 2·allele − 1, and the constant 1 before it: (n, 1 + m)"""
    return np.column_stack([np.ones(len(alleles)), 2.0 * alleles - 1])


def population_of(alleles: Array, with_loci: bool = True, **values: Any) -> ScreenedPart:
    genotypes = Genotypes.of(alleles)
    return ScreenedPart.of(Coding.fit(genotypes).columns(genotypes), with_loci, PairwiseSettings(**values))


def products(alleles: Array, terms: Array) -> Array:
    x = with_constant(alleles)
    return np.asarray(x[:, terms[:, 0]] * x[:, terms[:, 1]])


@pytest.mark.parametrize("n", [16, 21, 40])
def test_columns_are_the_products_whatever_the_blocks(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns_module, "BLOCK_SIZE", 16)
    monkeypatch.setattr(columns_module, "LOCUS_BLOCK", 8)
    alleles, terms = alleles_of(n, 19), np.array([[0, 0], [0, 3], [1, 19], [2, 2]])
    columns = SignColumns.of(Genotypes.of(alleles))
    assert np.array_equal(np.concatenate([x for _, x in columns.blocks()], axis=1).T, with_constant(alleles))
    of_terms, wanted = columns.products(terms), products(alleles, terms)
    assert np.array_equal(np.concatenate([block for _, block in of_terms.numbers().blocks(7)]), wanted > 0)
    weights = np.array([0.5, -2.0, 1.0, 0.25])
    np.testing.assert_allclose(of_terms.weighted_sum(weights), wanted @ weights)


def test_scan_scores_all_pairs_and_loci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "SCAN_BLOCK", 5)
    alleles, residual = alleles_of(53, 17), np.random.default_rng(2).standard_normal(53) + 3
    population = population_of(alleles, thresholds=(0.3,))
    assert population.noise_level == pytest.approx(np.sqrt(2 * np.log(17 * 18 / 2)))
    x = with_constant(alleles)
    wanted = abs(np.einsum("ni,nj,n->ij", x, x, residual - residual.mean())) / (residual.std() * np.sqrt(53))
    terms, sizes = population.scan(residual, population.lowest_threshold, EVERYTHING)
    np.testing.assert_allclose(sizes, wanted[tuple(terms.T)], rtol=1e-5)
    assert (np.diff(sizes) <= 0).all()
    first, second = np.nonzero(np.triu(wanted > 0.3 * population.noise_level, k=1))
    assert 20 < len(terms) < 17 * 18 / 2
    assert set(map(tuple, terms.tolist())) == set(zip(first.tolist(), second.tolist(), strict=True))


def test_scores_of_noise_are_standard_normal() -> None:
    """With N scores, their mean square is within 4 standard errors, sqrt(2/N), of 1 (n is large, so they are nearly independent)."""
    population = population_of(alleles_of(4000, 60))
    _, sizes = population.scan(np.random.default_rng(3).standard_normal(4000) * 7, 1e-6, EVERYTHING)
    assert abs((sizes**2).mean() - 1) < 4 * np.sqrt(2 / len(sizes))
    assert sizes[0] < 1.25 * population.noise_level


def test_only_the_first_individuals_scan() -> None:
    alleles, residual = alleles_of(50, 6), np.random.default_rng(2).standard_normal(50)
    few, same = population_of(alleles, max_scan_individuals=20), population_of(alleles[:20])
    assert few.scanned.shape == (7, 20)
    assert few.columns.n == 50
    np.testing.assert_array_equal(few.scan(residual, 0.8, EVERYTHING)[1], same.scan(residual[:20], 0.8, EVERYTHING)[1])


def test_a_locus_that_does_not_vary_is_never_found() -> None:
    alleles = alleles_of(200, 12)
    alleles[:, 3], alleles[:, 8] = 0, 1
    terms, _ = population_of(alleles).scan(np.random.default_rng(1).standard_normal(200), 1e-6, EVERYTHING)
    assert not np.isin(terms, [4, 9]).any()
    assert len(terms) == 10 * 11 / 2


def least_squares(columns: Array, phenotype: FloatArray) -> tuple[Array, Array]:
    """Effects, and effects / standard error."""
    effects = np.linalg.lstsq(columns, phenotype, rcond=None)[0]
    variance = ((phenotype - columns @ effects) ** 2).sum() / (len(phenotype) - columns.shape[1])
    return effects, effects / np.sqrt(variance * np.linalg.inv(columns.T @ columns).diagonal())


def test_model_is_least_squares_after_terms_have_come_and_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns_module, "BLOCK_SIZE", 64)
    alleles, random = alleles_of(150, 10), np.random.default_rng(5)
    phenotype = random.standard_normal(150) + 100
    model = LeastSquares.start(population_of(alleles), phenotype)
    assert model.terms.tolist() == [[0, locus] for locus in range(11)]
    for _ in range(6):
        entering = np.unique(np.sort(np.array([random.choice(10, 2, replace=False) + 1 for _ in range(5)])), axis=0)
        model = model.changed(random.random(len(model.terms)) < 0.8, entering[~model.contains(entering)])
    model = model.joined(np.array([[0, 0], [0, 1]]))
    columns, centred = products(alleles, model.terms), phenotype - phenotype.mean()
    effects, scores = least_squares(columns, centred)
    np.testing.assert_allclose(model.effects, effects, atol=1e-5)
    np.testing.assert_allclose(model.scores, scores, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(model.residual, centred - columns @ effects, atol=1e-4)
    others = alleles_of(9, 10, seed=6)
    np.testing.assert_allclose(model.predict(SignColumns.of(Genotypes.of(others))), products(others, model.terms) @ effects, atol=1e-4)


@pytest.mark.parametrize("left", [0, 1, 3])
def test_updated_inverses(left: int) -> None:
    square = np.random.default_rng(1).standard_normal((9, 6))
    matrix, kept = square.T @ square, np.arange(6) >= left
    smaller = without(np.linalg.inv(matrix), kept)
    np.testing.assert_allclose(smaller, np.linalg.inv(matrix[left:, left:]), atol=1e-10)
    order = [*range(left, 6), *range(left)]
    back = bordered(smaller, matrix[left:, :left], matrix[:left, :left])
    np.testing.assert_allclose(back, np.linalg.inv(matrix[np.ix_(order, order)]), atol=1e-10)


def test_what_is_there_settles_and_what_is_not_leaves() -> None:
    """Planted: two loci, an intercept, two pairs, one of them hidden by the other's variance at first."""
    alleles, random = alleles_of(400, 30), np.random.default_rng(4)
    planted = np.array([[0, 0], [0, 5], [0, 9], [2, 7], [11, 30]])
    phenotype = products(alleles, planted) @ [8.0, 1.0, -2.0, 5.0, 0.35] + 0.3 * random.standard_normal(400)
    start = LeastSquares.start(population_of(alleles, with_loci=False, thresholds=(1.0,)), phenotype)
    assert [11, 30] not in start.entering(start.population.noise_level).tolist()
    settled = start.joined(np.array([[3, 4], [5, 6]])).settled(1.0)
    assert sorted(settled.terms.tolist()) == sorted(planted.tolist())
    np.testing.assert_allclose(settled.effects[settled.terms[:, 1] == 30], 0.35, atol=5 * 0.3 / 20)
    assert settled.settled(1.0) is settled


def test_few_scans_find_the_same_where_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: loci and pairs of falling size, of which the small are hidden by the variance of the large at first."""
    alleles, random = alleles_of(500, 60), np.random.default_rng(8)
    pairs = np.sort(random.permutation(60).reshape(30, 2) + 1)
    phenotype = products(alleles, pairs) @ np.geomspace(1.5, 0.5, 30) + 0.3 * random.standard_normal(500)
    scans: list[list[int]] = []
    found, steps = ScreenedPart._found, []

    def counted(*arguments: Any) -> Any:
        scans[-1][0] += 1
        return found(*arguments)

    monkeypatch.setattr(ScreenedPart, "_found", counted)
    for large in (1e99, 0):
        monkeypatch.setattr(scan, "LARGE", large)
        scans.append([0])
        population = population_of(alleles, with_loci=False, thresholds=(1.1, 1.0, 0.9))
        steps.append([model for _, model in path(LeastSquares.start(population, phenotype), (1.1, 1.0, 0.9))])
    for one, other in zip(*steps, strict=True):
        assert sorted(one.terms.tolist()) == sorted(other.terms.tolist())
    assert sorted(steps[1][0].terms[1:].tolist()) == sorted(pairs.tolist())
    assert scans[1][0] < scans[0][0]


@pytest.mark.parametrize("seed", range(12))
def test_where_scans_are_large_a_level_ends_where_scans_of_all_lead_back_to(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of linked loci, of which terms come and go: after no change, or after a round of some models."""
    monkeypatch.setattr(scan, "LARGE", 0)
    random = np.random.default_rng(seed)
    alleles = np.logical_xor.accumulate(random.random((80, 16)) < 0.2, axis=1).astype(np.uint8)
    population = population_of(alleles, with_loci=False, thresholds=(0.7,))
    settled = model = LeastSquares.start(population, random.standard_normal(80)).settled(0.7)
    level = 0.7 * population.noise_level
    followed = []
    for _ in range(50):
        model = model.changed(model.kept(level), model.entering(level))
        followed.append(sorted(model.terms.tolist()))
    assert sorted(settled.terms.tolist()) in followed


def test_path_goes_down_and_up_again_and_terms_only_leave_on_the_way_up() -> None:
    alleles = alleles_of(300, 40)
    start = LeastSquares.start(population_of(alleles, thresholds=(1.2, 0.9, 0.6)), np.random.default_rng(2).standard_normal(300))
    steps = list(path(start, (1.2, 0.9, 0.6)))
    assert [threshold for threshold, _ in steps] == [1.2, 0.9, 0.6, 0.9, 1.2]
    sizes = [len(model.terms) - 41 for _, model in steps]
    assert sizes[0] == sizes[4] == 0, "noise"
    assert sizes[2] > 0
    assert (steps[2][1].contains(steps[3][1].terms)).all()


def test_no_more_terms_enter_than_the_individuals_can_bear() -> None:
    """Of noise, at a threshold that every score passes."""
    population = population_of(alleles_of(120, 25), thresholds=(0.01,))
    model = LeastSquares.start(population, np.random.default_rng(2).standard_normal(120))
    assert len(model.entering(0.0)) == 3, "one per 50 individuals, rounded up"
    assert len(model.settled(0.01).terms) == PairwiseSettings.most_terms(120, 25) == 60


def test_a_phenotype_that_does_not_vary_has_no_effects() -> None:
    """0.1 less its mean is not 0 but for its last bit, and noise to the screening."""
    model = LeastSquares.start(population_of(alleles_of(100, 10)), np.full(100, 0.1)).settled(0.8)
    np.testing.assert_allclose(model.effects, 0, atol=1e-12)
