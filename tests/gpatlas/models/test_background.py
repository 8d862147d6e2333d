"""gpatlas.models.background: the textbook's mixed model, in principal components."""

from dataclasses import replace

import numpy as np
import pytest
from populations import Array

from gpatlas.data.genotypes import FloatArray, Genotypes
from gpatlas.models.background import Background, Mixed
from gpatlas.models.encoder import Encoder
from gpatlas.models.ridge import RidgeFit

N = 60


def made(n_loci: int) -> tuple[Array, Background, FloatArray, FloatArray]:
    """Alleles, their background, terms with an intercept, a centred phenotype."""
    random = np.random.default_rng(1)
    alleles = random.integers(0, 2, (N, n_loci), dtype=np.uint8)
    genotypes = Genotypes.of(alleles)
    phenotype = random.standard_normal(N) + alleles[:, :20].sum(axis=1)
    terms = np.column_stack([np.ones(N), random.choice([-1.0, 1.0], (N, 3))])
    return alleles, Background.of(Encoder.fit(genotypes).encode(genotypes)), terms, phenotype - phenotype.mean()


def mixed_of(background: Background, terms: FloatArray, phenotype: FloatArray, penalty: float = 7.0) -> Mixed:
    return Mixed(background, penalty, phenotype, terms, background.scores.T @ terms, background.scores.T @ phenotype)


@pytest.mark.parametrize("n_loci", [25, 150])
def test_generalised_least_squares(n_loci: int) -> None:
    alleles, background, terms, phenotype = made(n_loci)
    mixed = mixed_of(background, terms, phenotype)
    centred = alleles - alleles.mean(axis=0)
    inverse = np.linalg.inv(centred @ centred.T / 7.0 + np.eye(N))
    information = terms.T @ inverse @ terms
    effects = np.linalg.solve(information, terms.T @ inverse @ phenotype)
    rest = phenotype - terms @ effects
    variance = rest @ inverse @ rest / (N - 4)
    np.testing.assert_allclose(mixed.effects, effects, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(mixed.residual, inverse @ rest, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(mixed.z, effects / np.sqrt(variance * np.linalg.inv(information).diagonal()), rtol=1e-4, atol=1e-5)
    likelihood = np.linalg.slogdet(information)[1] - np.linalg.slogdet(inverse)[1] + (N - 4) * np.log(variance)
    assert mixed.deviance == pytest.approx(likelihood, abs=1e-3)


@pytest.mark.parametrize("n_loci", [25, 150])
def test_background_alone_is_ridge_regression(n_loci: int) -> None:
    alleles, background, terms, phenotype = made(n_loci)
    mixed = mixed_of(background, terms[:, :1], phenotype)
    others = Genotypes.of(np.random.default_rng(2).integers(0, 2, (9, n_loci), dtype=np.uint8))
    numbers = Encoder.fit(Genotypes.of(alleles)).encode(others)
    ridge = RidgeFit.of(background.components, phenotype[:, None], np.array([7.0]))
    np.testing.assert_allclose(background.scores_of(numbers) @ mixed.component_effects, ridge.predict(numbers)[:, 0], atol=1e-8)
    np.testing.assert_allclose(background.components.coefficients(mixed.component_effects[:, None]), ridge.coefficients, atol=1e-8)


def test_shrinkage_is_on_all_but_the_intercept() -> None:
    _, background, terms, phenotype = made(25)
    mixed = mixed_of(background, terms, phenotype)
    shrunk = replace(mixed, shrinkage=1e9)
    np.testing.assert_allclose(shrunk.effects[1:], 0, atol=1e-5)
    assert shrunk.effects[0] == pytest.approx(mixed_of(background, terms[:, :1], phenotype).effects[0], abs=1e-5)


def test_penalties_stand_for_shares_of_the_variance() -> None:
    _, background, *_ = made(150)
    shares = background.components.squares.sum() / N / (background.components.squares.sum() / N + background.penalties)
    assert shares[0] == pytest.approx(1e-6)
    assert shares[-1] == pytest.approx(0.999)
    assert (np.diff(shares) > 0).all()
