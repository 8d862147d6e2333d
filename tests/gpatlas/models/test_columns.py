"""gpatlas.models.columns, screening and pairwise on numbers: genotypes of three values, and with missing calls."""

import numpy as np
import pytest
from diploids import diploid_counts
from populations import QUIET, Array, part_of

from gpatlas.data.genotypes import MISSING, Genotypes
from gpatlas.models import columns as columns_module
from gpatlas.models import scan
from gpatlas.models.columns import Coding, NumberColumns, SignColumns
from gpatlas.models.pairwise import fit
from gpatlas.models.registry import PairwiseSettings
from gpatlas.models.screening import LeastSquares, ScreenedPart

EVERYTHING = 10**9
TERMS = np.array([[0, 0], [0, 3], [1, 19], [2, 2]])


def coded(counts: Array, train: Array) -> Array:
    """The constant, then every locus with mean 0 and variance 1 by those who train, missing calls at the mean: (n, 1 + m)."""
    called = np.where(train == MISSING, np.nan, train.astype(float))
    mean = np.nanmean(called, axis=0)
    sd = np.where(np.isnan(called), mean, called).std(axis=0)
    filled = np.where(counts == MISSING, mean, counts)
    return np.column_stack([np.ones(len(counts)), np.divide(filled - mean, sd, out=np.zeros(filled.shape), where=sd > 0)])


@pytest.mark.parametrize("n", [16, 21, 40])
def test_columns_are_standardised_by_those_who_train(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns_module, "BLOCK_SIZE", 16)
    monkeypatch.setattr(columns_module, "LOCUS_BLOCK", 8)
    train, counts = diploid_counts(60, 19, missing=0.2), diploid_counts(n, 19, seed=2, missing=0.2)
    train[:, 4] = 1
    columns, wanted = Coding.fit(Genotypes.of(train)).columns(Genotypes.of(counts)), coded(counts, train)
    assert isinstance(columns, NumberColumns)
    assert (len(columns), columns.n) == (20, n)
    np.testing.assert_allclose(columns.x(0, n).T, wanted, atol=1e-5)
    products = columns.products(TERMS)
    of_terms = wanted[:, TERMS[:, 0]] * wanted[:, TERMS[:, 1]]
    np.testing.assert_allclose(np.concatenate([block for _, block in products.numbers().blocks(7)]), of_terms, atol=1e-5)
    weights, values = np.array([0.5, -2.0, 1.0, 0.25]), np.random.default_rng(1).standard_normal(n)
    np.testing.assert_allclose(products.weighted_sum(weights), of_terms @ weights, atol=1e-4)
    np.testing.assert_allclose(products.dot(values), of_terms.T @ values, atol=1e-4)
    np.testing.assert_allclose(products.cross(columns), of_terms.T @ wanted, atol=1e-3)
    joined = products.joined(np.array([True, False, True, False]), columns.products(TERMS[:1]))
    np.testing.assert_allclose(joined.x(0, n).T, of_terms[:, [0, 2, 0]], atol=1e-5)


def test_haploids_that_are_complete_stay_bits() -> None:
    alleles = np.random.default_rng(1).integers(0, 2, (30, 9), dtype=np.uint8)
    coding = Coding.fit(Genotypes.of(alleles))
    assert isinstance(coding.columns(Genotypes.of(alleles)), SignColumns)
    np.testing.assert_array_equal(coding.scale, np.full(9, 0.5))


def test_scan_scores_all_pairs_and_loci(monkeypatch: pytest.MonkeyPatch) -> None:
    """|Σ r·x_i·x_j| / (sd(r)·√Σ(x_i·x_j)²), computed directly."""
    monkeypatch.setattr(scan, "SCAN_BLOCK", 5)
    counts, residual = diploid_counts(53, 17, missing=0.1), np.random.default_rng(2).standard_normal(53) + 3
    counts[:, 8] = 2
    genotypes = Genotypes.of(counts)
    population = ScreenedPart.of(Coding.fit(genotypes).columns(genotypes), True, PairwiseSettings(thresholds=(0.3,)))
    x = coded(counts, counts)
    products = np.einsum("ni,nj->nij", x, x)
    sizes = np.sqrt((products**2).sum(axis=0))
    wanted = abs(np.einsum("nij,n->ij", products, residual - residual.mean()))
    wanted = np.divide(wanted, sizes * residual.std(), out=np.zeros(sizes.shape), where=sizes > 0)
    terms, found = population.scan(residual, 0.3, EVERYTHING)
    np.testing.assert_allclose(found, wanted[tuple(terms.T)], rtol=1e-4)
    assert (np.diff(found) <= 0).all()
    level = 0.3 * population.noise_level
    assert set(map(tuple, terms.tolist())) == {(i, j) for i in range(18) for j in range(i + 1, 18) if wanted[i, j] > level}
    assert len(terms) > 20
    assert not (terms == 9).any(), "it does not vary"


def test_a_locus_that_does_not_vary_among_those_who_scan_stays_in_the_columns() -> None:
    counts = diploid_counts(53, 17, missing=0.1)
    counts[:20, 8] = 2
    genotypes = Genotypes.of(counts)
    columns = Coding.fit(genotypes).columns(genotypes)
    population = ScreenedPart.of(columns, True, PairwiseSettings(max_scan_individuals=20))
    assert not population.scanned[9].any()
    np.testing.assert_allclose(columns.x(0, 53), coded(counts, counts).T, atol=1e-5)


def test_scores_of_noise_are_standard_normal() -> None:
    """Their mean square is within 4 standard errors of 1, as it is for haploids."""
    genotypes = Genotypes.of(diploid_counts(4000, 60, missing=0.1))
    population = ScreenedPart.of(Coding.fit(genotypes).columns(genotypes), True, PairwiseSettings(thresholds=(1e-6,)))
    _, sizes = population.scan(np.random.default_rng(3).standard_normal(4000) * 7, 1e-6, EVERYTHING)
    assert abs((sizes**2).mean() - 1) < 4 * np.sqrt(2 / len(sizes))


def test_model_is_least_squares() -> None:
    counts, random = diploid_counts(150, 10, missing=0.1), np.random.default_rng(5)
    genotypes, phenotype = Genotypes.of(counts), random.standard_normal(150) + 100
    start = LeastSquares.start(ScreenedPart.of(Coding.fit(genotypes).columns(genotypes), True, PairwiseSettings()), phenotype)
    model = start.joined(np.array([[1, 2], [3, 9]])).changed(np.arange(13) != 4, np.array([[5, 6]]))
    x, centred = coded(counts, counts), phenotype - phenotype.mean()
    columns = x[:, model.terms[:, 0]] * x[:, model.terms[:, 1]]
    effects = np.linalg.lstsq(columns, centred, rcond=None)[0]
    np.testing.assert_allclose(model.effects, effects, atol=1e-4)
    np.testing.assert_allclose(model.residual, centred - columns @ effects, atol=1e-3)


def test_finds_a_pair_among_diploids_with_missing_calls() -> None:
    counts, random = diploid_counts(500, 25, missing=0.05), np.random.default_rng(6)
    x = np.where(counts == MISSING, 1.0, counts) - 1
    phenotypes = np.column_stack([x[:, 4] + 1.5 * x[:, 7] * x[:, 18], x[:, 2] - x[:, 11]]) + 0.3 * random.standard_normal((500, 2))
    train, test = part_of(counts[:400], phenotypes[:400]), part_of(counts[400:], phenotypes[400:])
    fitted = fit(train, train.rows(np.arange(0)), PairwiseSettings(threads=1), QUIET)["pairwise"]
    pairs = fitted.tables["pairs"]
    assert pairs[["trait", "locus_1", "locus_2"]].to_numpy().tolist() == [[1, 8, 19]]
    predicted = fitted.predict(test.genotypes)
    assert min(np.corrcoef(predicted[:, trait], test.phenotypes[:, trait])[0, 1] for trait in range(2)) > 0.9
    assert fitted.coefficients is not None
    additive = np.array([2.0, -2.0])  # of all counted alleles against none
    np.testing.assert_allclose(fitted.coefficients[[2, 11], 1], additive, atol=0.2)
    assert abs(np.delete(fitted.coefficients[:, 1], [2, 11])).max() < 0.2
