"""gpatlas.models.heritability: REML in the kernel's eigenbasis against its textbook form with whole matrices."""

import numpy as np
import pytest
from populations import Array
from scipy.optimize import minimize_scalar

from gpatlas.data.genotypes import Genotypes
from gpatlas.models.encoder import Encoder
from gpatlas.models.heritability import heritability_columns
from gpatlas.models.ridge import decompose


def population(n: int, n_loci: int, h2: float, seed: int = 1) -> tuple[Genotypes, Array]:
    random = np.random.default_rng(seed)
    counts = random.integers(0, 3, (n, n_loci), dtype=np.uint8)
    values = counts @ random.standard_normal(n_loci)
    noise = np.sqrt(1 - h2) * random.standard_normal(n)
    return Genotypes.of(counts), (170 + 10 * (np.sqrt(h2) * (values - values.mean()) / values.std() + noise))[:, None]


def estimated(genotypes: Genotypes, phenotypes: Array) -> tuple[float, float]:
    components = decompose(Encoder.fit(genotypes).encode(genotypes))
    target = phenotypes - phenotypes.mean(axis=0)
    contrasts = components.project(target) / np.sqrt(components.squares)[:, None]
    columns = heritability_columns(components.squares, contrasts, target)
    return float(columns["genomic_h2"][0]), float(columns["genomic_h2_se"][0])


def kernel_of(genotypes: Genotypes) -> Array:
    x = genotypes.counts() - genotypes.counts().mean(axis=0)
    kernel = x @ x.T
    return np.asarray(kernel / kernel.diagonal().mean())


def projection(variance: Array) -> Array:
    """P = V⁻¹ − V⁻¹1(1ᵀV⁻¹1)⁻¹1ᵀV⁻¹"""
    inverse = np.linalg.inv(variance)
    ones = inverse.sum(axis=0)
    return np.asarray(inverse - np.outer(ones, ones) / ones.sum())


@pytest.mark.parametrize(("n", "n_loci"), [(80, 30), (60, 200)])
@pytest.mark.parametrize("h2", [0.2, 0.6])
def test_estimate_and_error_are_those_of_the_textbook(n: int, n_loci: int, h2: float) -> None:
    genotypes, phenotypes = population(n, n_loci, h2)
    kernel, y = kernel_of(genotypes), phenotypes[:, 0]

    def minus_likelihood(share: float) -> float:
        variance = share * kernel + (1 - share) * np.eye(n)
        p = projection(variance)
        logs = np.linalg.slogdet(variance)[1] + np.log(np.linalg.inv(variance).sum())
        return float((n - 1) * np.log(y @ p @ y) + logs)

    wanted = minimize_scalar(minus_likelihood, bounds=(0, 0.999), method="bounded", options={"xatol": 1e-6}).x
    found, error = estimated(genotypes, phenotypes)
    assert found == pytest.approx(wanted, abs=1e-3)
    total = y @ projection(found * kernel + (1 - found) * np.eye(n)) @ y / (n - 1)
    p = projection(total * (found * kernel + (1 - found) * np.eye(n)))
    parts = [p @ kernel, p]
    information = np.array([[np.trace(a @ b) / 2 for a in parts] for b in parts])
    gradient = np.array([1 - found, -found]) / total
    assert error == pytest.approx(np.sqrt(gradient @ np.linalg.inv(information) @ gradient), rel=1e-6)


def test_known_heritability_is_found_within_its_error() -> None:
    found, error = zip(*(estimated(*population(600, 300, 0.5, seed)) for seed in range(8)), strict=True)
    assert abs(np.mean(found) - 0.5) < 4 * np.mean(error) / np.sqrt(8)


def test_a_trait_that_does_not_vary_has_none() -> None:
    found, error = estimated(population(30, 10, 0.5)[0], np.full((30, 1), 3.0))
    assert found == 0
    assert np.isnan(error)


def test_what_rounding_leaves_of_the_mean_is_no_contrast() -> None:
    """A centred kernel's eigenvalue 0 may come out above the limit below which eigenvalues are taken for rounding."""
    genotypes, phenotypes = population(60, 200, 0.5)
    target, squares_and_vectors = phenotypes - phenotypes.mean(axis=0), []
    for left in (0, 1e-9):
        squares_and_vectors.append(np.linalg.eigh(kernel_of(genotypes) + left / 60))
    exact, rounded = (heritability_columns(np.maximum(squares, 0), vectors.T @ target, target) for squares, vectors in squares_and_vectors)
    for name, value in exact.items():
        assert value[0] == pytest.approx(estimated(genotypes, phenotypes)[name == "genomic_h2_se"], rel=1e-6)
        assert rounded[name] == pytest.approx(value, rel=1e-6)
