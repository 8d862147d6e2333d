"""gpatlas.models.scan: what it finds is what scoring every pair by itself finds, in whole numbers as in single precision."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from crosses import Cross
from populations import QUIET, Array, part_of

from gpatlas.data.genotypes import MISSING, FloatArray, Genotypes
from gpatlas.models import scan
from gpatlas.models.columns import Coding
from gpatlas.models.pairwise import fit
from gpatlas.models.registry import PairwiseSettings
from gpatlas.models.scan import Scanned, SingleProduct, scanned_of

N = 300
EVERYTHING = 10**9
WAYS = ["single precision", "bytes"]


def unlinked() -> Array:
    return np.random.default_rng(1).integers(0, 2, (N, 40), dtype=np.uint8)


def linked() -> Array:
    return Cross.simulated(N, 2).alleles[:, ::25]


def twins() -> Array:
    """Every locus twice, and one of them turned round: equal scores everywhere."""
    alleles = np.repeat(unlinked()[:, :20], 2, axis=1)
    alleles[:, 7] = 1 - alleles[:, 7]
    return alleles


def diploid() -> Array:
    return np.random.default_rng(3).binomial(2, 0.4, (N, 40)).astype(np.uint8)


def missing() -> Array:
    """And a locus that does not vary."""
    counts = diploid()
    counts[np.random.default_rng(4).random(counts.shape) < 0.05] = MISSING
    counts[:, 8] = 2
    return counts


POPULATIONS = [unlinked, linked, twins, diploid, missing]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How columns of −1 and +1 are scanned, in small blocks."""
    for name, value in {"SCAN_BLOCK": 15, "SMALLEST_BLOCK": 15, "RESCORED": 7 * N}.items():
        monkeypatch.setattr(scan, name, value)
    choose(request.param, monkeypatch)
    return str(request.param)


def choose(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "LARGE", 0)
    monkeypatch.setattr(scan, "multiplies_bytes", lambda: way == "bytes")


def scanned(counts: Array) -> Scanned:
    genotypes = Genotypes.of(counts)
    columns = Coding.fit(genotypes).columns(genotypes)
    return Scanned(columns, scanned_of(columns, PairwiseSettings()))


def residual_of(counts: Array) -> FloatArray:
    """Of a trait with two loci, a strong pair and noise."""
    x, noise = counts.astype(float), np.random.default_rng(5).standard_normal(N)
    return np.asarray(x[:, 2] - x[:, 11] + 2 * x[:, 4] * x[:, 30] + noise)


def every_pair(population: Scanned, residual: FloatArray) -> FloatArray:
    """Its score, one after the other in double precision, (k, k): 0 where it is not a pair, or does not vary."""
    x, r = population.scanned.astype(float), residual - residual.mean()
    scores = np.zeros((len(x), len(x)))
    for first in range(len(x)):
        for second in range(first + 1, len(x)):
            product = x[first] * x[second]
            if product.any():
                scores[first, second] = abs(r @ product) / (r.std() * np.sqrt((product**2).sum()))
    return scores.round(9)


def ordered(scores: FloatArray) -> tuple[Array, FloatArray]:
    """The terms that are not 0, the strongest first, the first of equals before."""
    terms = np.argwhere(scores > 0)
    order = np.argsort(-scores[tuple(terms.T)], kind="stable")
    return terms[order], scores[tuple(terms[order].T)]


@pytest.mark.parametrize("counts_of", POPULATIONS)
@pytest.mark.parametrize("most", [9, EVERYTHING])
@pytest.mark.usefixtures("way")
def test_the_strongest_are_those_of_all_pairs(counts_of: Callable[[], Array], most: int) -> None:
    counts = counts_of()
    population, residual = scanned(counts), residual_of(counts)
    wanted = every_pair(population, residual)
    terms, relative = population.strongest(residual, np.full(len(wanted), 2.0), 0.8, most)
    wanted_terms, scores = ordered(np.where(wanted > 1.6, wanted, 0))
    assert len(scores) > 20
    np.testing.assert_array_equal(terms, wanted_terms[:most])
    np.testing.assert_allclose(relative, scores[:most] / 2, atol=1e-9)


@pytest.mark.usefixtures("way")
def test_a_pair_has_the_smaller_level_of_its_two_loci() -> None:
    population, residual = scanned(linked()), residual_of(linked())
    wanted, levels = every_pair(population, residual), np.where(np.arange(len(linked()[0]) + 1) % 3 == 0, 1.5, 3.0)
    relative = wanted / np.minimum.outer(levels, levels)
    relative[0] = 0
    terms, found = population.strongest(residual, levels, 0.9, 25, singles=False)
    wanted_terms, scores = ordered(np.where(relative > 0.9, relative, 0))
    np.testing.assert_array_equal(terms, wanted_terms[:25])
    np.testing.assert_allclose(found, scores[:25], atol=1e-9)


@pytest.mark.parametrize("counts_of", POPULATIONS)
def test_of_some_terms_alone_the_strongest(counts_of: Callable[[], Array]) -> None:
    """Every third term, in ascending order."""
    population, residual = scanned(counts_of()), residual_of(counts_of())
    wanted = every_pair(population, residual)
    among = np.argwhere(np.triu(np.ones(wanted.shape), k=1))[::3]
    some = np.zeros(wanted.shape, bool)
    some[tuple(among.T)] = True
    terms, relative = population.strongest(residual, np.full(len(wanted), 2.0), 0.5, 12, among=among)
    wanted_terms, scores = ordered(np.where(some & (wanted > 1.0), wanted, 0))
    assert len(scores) > 12
    np.testing.assert_array_equal(terms, wanted_terms[:12])
    np.testing.assert_allclose(relative, scores[:12] / 2, atol=1e-9)


@pytest.mark.usefixtures("way")
def test_a_level_between_two_scores_that_nearly_agree_parts_them() -> None:
    population, residual = scanned(unlinked()), residual_of(unlinked())
    scores = ordered(every_pair(population, residual))[1]
    for place in (0, 5, 50, 200):
        above, below = scores[place], scores[place] + 1e-8
        found = [len(population.strongest(residual, np.ones(41), level, EVERYTHING)[0]) for level in (above - 1e-8, below)]
        assert found == [place + 1, place]


def test_all_pairs_above_a_score_to_single_precision() -> None:
    population, residual = scanned(missing()), residual_of(missing())
    wanted = every_pair(population, residual)
    terms, scores = population.above(residual, 2.0)
    assert {tuple(term) for term in terms.tolist()} == {tuple(term) for term in np.argwhere(wanted > 2).tolist()}
    np.testing.assert_allclose(scores, wanted[tuple(terms.T)], rtol=1e-4)


def test_whole_numbers_err_by_less_than_the_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    choose("bytes", monkeypatch)
    population, residual = scanned(unlinked()), residual_of(unlinked())
    weights = population._weights(residual)
    whole = population._product(weights)
    assert not isinstance(whole, SingleProduct)
    for start, stop in ((0, 41), (3, 10), (40, 41)):
        errors = abs(whole.rows(start, stop) - SingleProduct(population.scanned, weights).rows(start, stop))
        assert errors.max() < whole.margin < 1
    assert abs(whole.rows(0, 41) - SingleProduct(population.scanned, weights).rows(0, 41)).max() > 1e-4


@pytest.mark.usefixtures("way")
def test_a_residual_that_whole_numbers_are_too_coarse_for_is_scanned_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "WIDEST", 0.1)
    population, residual = scanned(unlinked()), residual_of(unlinked())
    assert isinstance(population._product(population._weights(residual)), SingleProduct)
    wanted_terms, _ = ordered(every_pair(population, residual))
    np.testing.assert_array_equal(population.strongest(residual, np.ones(41), 0.0, 30)[0], wanted_terms[:30])


@pytest.mark.parametrize("counts_of", [unlinked, linked, twins])
def test_a_fit_is_the_same_any_way(counts_of: Callable[[], Array], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a twin, or a neighbour in perfect linkage, has the same score."""
    counts = counts_of()
    everyone = part_of(counts, np.column_stack([residual_of(counts), np.random.default_rng(6).standard_normal(N)]))
    tables, predicted = [], []
    for way in WAYS:
        choose(way, monkeypatch)
        model = fit(everyone, everyone.rows(np.arange(0)), PairwiseSettings(threads=1), QUIET)["pairwise"]
        tables.append(model.tables["pairs"])
        predicted.append(model.predict(everyone.genotypes))
    assert len(tables[0]) > 0
    for table, values in zip(tables[1:], predicted[1:], strict=True):
        pd.testing.assert_frame_equal(table, tables[0], check_exact=True)
        np.testing.assert_array_equal(values, predicted[0])
