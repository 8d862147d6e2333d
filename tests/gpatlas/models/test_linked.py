"""Pairwise screening of linked genomes, and of more loci than individuals bear: pairs, background, noise, missing calls."""

import numpy as np
import pandas as pd
import pytest
from crosses import Cross
from populations import QUIET, Array, part_of

from gpatlas.data.genotypes import MISSING, FloatArray, Genotypes
from gpatlas.models import ridge
from gpatlas.models.clumps import Clumps
from gpatlas.models.columns import Coding
from gpatlas.models.contract import Fitted
from gpatlas.models.linked import LinkedModel, LinkedPart, linked_path
from gpatlas.models.pairwise import fit
from gpatlas.models.polygenic import LinkedTrial, discovery_rates, settle_step
from gpatlas.models.registry import PairwiseSettings, RidgeSettings
from gpatlas.models.scores import pearson_r

NOBODY = slice(0, 0)


def fitted(counts: Array, phenotypes: FloatArray, **values: object) -> Fitted:
    everyone = part_of(counts, phenotypes)
    settings = PairwiseSettings.model_validate({"protocol": "cross_validation", **values})
    return fit(everyone, everyone.rows(np.arange(0)), settings, QUIET)["pairwise"]


def ridge_of(counts: Array, phenotypes: FloatArray) -> Fitted:
    everyone = part_of(counts, phenotypes)
    return ridge.fit(everyone, everyone.rows(np.arange(0)), RidgeSettings(), QUIET)["ridge"]


def r_of(model: Fitted, counts: Array, phenotypes: FloatArray) -> FloatArray:
    return pearson_r(phenotypes, model.predict(Genotypes.of(counts)))


def loci_of(pairs: pd.DataFrame) -> Array:
    return np.asarray(pairs[["locus_1", "locus_2"]].to_numpy() - 1)


def test_finds_the_pairs_of_a_cross() -> None:
    """8 pairs that explain half of the genetic variance; beside ridge regression, which sees none of them."""
    cross = Cross.simulated(900, 1)
    phenotype, true = cross.trait(8, 0.5, 0.8, seed=2)
    train, test = cross.alleles[:700], cross.alleles[700:]
    model = fitted(train, phenotype[:700, None], n_permutations=4)
    pairs = model.tables["pairs"]
    hits = cross.hits(loci_of(pairs), true, 10)
    assert hits.any(axis=1).mean() >= 0.75
    assert hits.any(axis=0).mean() >= 0.6
    assert pairs["stability"].between(0, 1).all()
    assert pairs["stability"].mean() > 0.7
    assert pairs["false_discovery_rate"].between(0, 0.2).all(), "at best 1/5 of a pair of those found"
    for side in (1, 2):
        assert (pairs[f"locus_{side}_from"] <= pairs[f"locus_{side}"]).all()
        assert (pairs[f"locus_{side}"] <= pairs[f"locus_{side}_to"]).all()
    assert (pairs["locus_1"] < pairs["locus_2"]).all()
    ridge_r = r_of(ridge_of(train, phenotype[:700, None]), test, phenotype[700:, None])
    assert r_of(model, test, phenotype[700:, None])[0] > ridge_r[0] + 0.1


def test_permuted_traits_of_a_cross_are_not_predicted() -> None:
    """Ten of them; a correlation with noise has the standard error 1/√200."""
    cross = Cross.simulated(600, 3)
    phenotype, _ = cross.trait(8, 0.5, 0.8, seed=4)
    random = np.random.default_rng(5)
    phenotypes = np.column_stack([random.permutation(phenotype) for _ in range(10)])
    model = fitted(cross.alleles[:400], phenotypes[:400])
    predicted = model.predict(Genotypes.of(cross.alleles[400:]))
    squares = ((phenotypes[400:] - predicted) ** 2).sum(axis=0) / ((phenotypes[400:] - phenotypes[:400].mean(axis=0)) ** 2).sum(axis=0)
    assert 1 - squares.mean() < 2 / np.sqrt(200 * 10)
    assert model.tables["pairs"]["trait"].nunique() <= 2


@pytest.mark.parametrize("linked", [True, False])
def test_very_many_small_effects_are_ridge_regression(linked: bool) -> None:
    random = np.random.default_rng(6)
    alleles = Cross.simulated(500, 6).alleles if linked else random.integers(0, 2, (500, 700), dtype=np.uint8)
    genetic = (2.0 * alleles - 1) @ random.standard_normal(alleles.shape[1])
    phenotype = (genetic / genetic.std() + 0.7 * random.standard_normal(500))[:, None]
    model, plain = fitted(alleles[:350], phenotype[:350]), ridge_of(alleles[:350], phenotype[:350])
    r, ridge_r = (r_of(one, alleles[350:], phenotype[350:])[0] for one in (model, plain))
    assert ridge_r > 0.2
    assert r > ridge_r - 0.02
    if model.tables["pairs"].empty and np.isnan(model.columns["threshold"][0]):
        assert model.coefficients is not None
        assert plain.coefficients is not None
        np.testing.assert_allclose(model.coefficients, plain.coefficients, atol=1e-6)


def test_missing_calls_of_diploids() -> None:
    """Two meiotic products make a diploid; of its calls 2 % are missing."""
    mother, father = Cross.simulated(800, 8, loci_per_chromosome=60), Cross.simulated(800, 9, loci_per_chromosome=60)
    counts, random = mother.alleles + father.alleles, np.random.default_rng(10)
    x = counts - 1.0
    phenotype = (x[:, 30] + x[:, 100] + 2 * x[:, 30] * x[:, 200] + 0.7 * random.standard_normal(800))[:, None]
    called = np.where(random.random(counts.shape) < 0.02, MISSING, counts).astype(np.uint8)
    model = fitted(called[:600], phenotype[:600])
    hits = mother.hits(loci_of(model.tables["pairs"]), np.array([[30, 200]]), 10)
    assert hits[0, 0], "the strongest"
    assert (
        r_of(model, called[600:], phenotype[600:])[0]
        > r_of(ridge_of(called[:600], phenotype[:600]), called[600:], phenotype[600:])[0] + 0.1
    )


def part_of_cross(cross: Cross) -> LinkedPart:
    genotypes, settings = Genotypes.of(cross.alleles), PairwiseSettings()
    coding = Coding.fit(genotypes)
    columns = coding.columns(genotypes)
    return LinkedPart.of(columns, coding.encoder.encode(genotypes), Clumps.of(columns, 0.9, 1000), settings)


def test_scores_of_noise_are_standard_normal_before_a_background() -> None:
    part = part_of_cross(Cross.simulated(500, 11))
    noise = np.random.default_rng(12).standard_normal(500)
    start = LinkedModel.start(part, noise)
    terms, sizes = part.scan(start.mixed, np.zeros(len(part.columns), bool), 1e-9, 10**9)
    single, _, pair = part.levels(0)
    of_loci = terms[:, 0] == 0
    assert (sizes[of_loci] * single).std() < 1.2
    assert np.mean((sizes[~of_loci] * pair) ** 2) == pytest.approx(1, abs=0.25)


def test_levels_depend_on_what_the_model_has() -> None:
    part = part_of_cross(Cross.simulated(300, 13))
    m = part.n_independent
    assert part.levels(0) == pytest.approx((np.sqrt(2 * np.log(m)), np.sqrt(2 * np.log(m)), np.sqrt(2 * np.log(m * (m + 1) / 2))))
    assert part.levels(3)[1] == pytest.approx(np.sqrt(2 * np.log(3 * m)))
    assert part.levels(10_000)[1] == part.levels(0)[2]
    model = LinkedModel.start(part, np.random.default_rng(1).standard_normal(300))
    model = model.changed(np.array([True]), np.array([[0, 3], [3, 40], [50, 60]]))
    assert model.levels() == pytest.approx([0, *part.levels(4)])


def test_neighbours_do_not_enter_together() -> None:
    cross = Cross.simulated(500, 14)
    x = 2.0 * cross.alleles - 1
    phenotype = x[:, 300] * x[:, 700] + 0.5 * np.random.default_rng(15).standard_normal(500)
    model = LinkedModel.start(part_of_cross(cross), phenotype)
    entering = model.entering(1.0)
    above, _ = model.part.scan(model.mixed, np.zeros(len(model.part.columns), bool), 1.0, 10**9)
    assert len(above) > 50 * len(entering), "those around it are above the level too"
    steps = list(linked_path(model, (1.2, 1.0)))
    assert [threshold for threshold, _ in steps][1:] == [1.2, 1.0, 1.2]
    assert np.isnan(steps[0][0])
    assert steps[0][1].terms.tolist() == [[0, 0]]
    assert entering[0].tolist() in steps[1][1].terms.tolist()


def test_background_alone_is_chosen_where_terms_are_not_surely_better() -> None:
    random, terms = np.random.default_rng(1), [np.zeros((1, 2), np.intp), np.array([[0, 0], [1, 2]])]
    alone = 3 + random.random((1, 4, 3, 100))  # squares of misses
    noise = random.standard_normal(100)
    hardly, surely = alone - 0.01 + 0.5 * (noise - noise.mean()), alone - 0.5  # gains of 0.2 standard errors, and of all
    assert settle_step([LinkedTrial(terms, np.sqrt(np.concatenate([alone, hardly])))]).step == 0
    chosen = settle_step([LinkedTrial(terms, np.sqrt(np.concatenate([alone, surely])))])
    assert chosen.step == 1
    assert (chosen.misses**2).sum() == pytest.approx(surely.sum(axis=3).min())


def test_false_discovery_rates_by_hand() -> None:
    """Four permuted traits, with two pairs in all. Of 9, 7 and 5: none, one and two as strong, and one more to be on the safe side."""
    rates = discovery_rates(np.array([-9.0, 5.0, 7.0]), [np.array([7.5]), np.array([6.0]), np.array([]), np.array([])])
    np.testing.assert_allclose(rates, [1 / 5, 3 / 5 / 3, 2 / 5 / 2])
    assert np.isnan(discovery_rates(np.array([5.0]), [])).all()
    assert discovery_rates(np.array([]), [np.array([3.0])]).size == 0
