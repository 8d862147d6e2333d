"""gpatlas.models.decomposed: a kernel that shares another one's decomposition is as if decomposed itself, also where spectra degenerate."""

import numpy as np
import pytest
from populations import Array

from gpatlas.models.decomposed import Decomposed, leave_one_out_errors, separated
from gpatlas.models.heritability import heritability_columns

N = 60
PENALTIES = np.logspace(-5, 5, 21)


def mixture(rank: int, n_loci: int, weight: float, same: int = 0) -> tuple[Decomposed, Decomposed, Array]:
    """A kernel of this rank mixed with one of loci: as that shares its decomposition, as it is by itself; and two centred targets."""
    random = np.random.default_rng(rank)
    pairs, loci, target = (random.standard_normal((N, size)) for size in (rank, n_loci, 2))
    for matrix in (pairs, loci):
        matrix[:same] = matrix[0]
        matrix -= matrix.mean(axis=0)
        matrix *= (N / (matrix**2).sum()) ** 0.5
    kernel = pairs @ pairs.T
    whole = Decomposed.of(weight * kernel + (1 - weight) * loci @ loci.T)
    return Decomposed.of(kernel).mixed([0.7, weight], loci)[1], whole, target - target.mean(axis=0)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("rank", "n_loci", "same"), [(200, 5, 0), (20, 6, 0), (1, 1, 0), (200, 5, 30), (55, 4, 0)])
def test_a_shared_decomposition_tells_the_same(rank: int, n_loci: int, same: int, weight: float) -> None:
    shared, whole, target = mixture(rank, n_loci, weight, same)
    phenotypes, penalty = target + 3, np.array([0.01, 1.0])
    told = []
    for one in (shared, whole):
        projected = one.project(target)
        heritability = heritability_columns(one.squares, projected, target, one.columns)
        told.append(
            [
                leave_one_out_errors([one], projected, PENALTIES)[0],
                one.residuals(projected, penalty),
                one.inner_predictions(projected, phenotypes, penalty, 1),
                *heritability.values(),
            ]
        )
    for mine, theirs in zip(*told, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rank", [200, 20])
def test_leave_one_out_is_that_of_refits(rank: int) -> None:
    """With a free intercept, for penalties over ten orders of magnitude."""
    shared, whole, target = mixture(rank, 5, 0.4)
    kernel = (whole.vectors * whole.squares) @ whole.vectors.T
    errors = np.zeros((2, len(PENALTIES)))
    for number, penalty in enumerate(PENALTIES):
        for out in range(N):
            rest = np.arange(N) != out
            system = np.block([[kernel[np.ix_(rest, rest)] + penalty * np.eye(N - 1), np.ones((N - 1, 1))], [np.ones(N - 1), 0]])
            solved = np.linalg.solve(system, np.vstack([target[rest], np.zeros((1, 2))]))
            errors[:, number] += (kernel[out, rest] @ solved[:-1] + solved[-1] - target[out]) ** 2 / N
    np.testing.assert_allclose(leave_one_out_errors([shared], shared.project(target), PENALTIES)[0], errors, rtol=1e-6)


def test_several_kernels_are_told_as_each_by_itself() -> None:
    shared, _, target = mixture(200, 5, 0.3)
    kernels = Decomposed(shared.vectors, shared.squares / 0.3, shared.shared[:, :0]).mixed([0.0, 0.3, 1.0], shared.vectors @ shared.shared)
    projected = shared.project(target)
    together, alone = (leave_one_out_errors(some, projected, PENALTIES) for some in (kernels, kernels[1:2]))
    np.testing.assert_allclose(together[1], alone[0], rtol=1e-6)
    for number in (0, 2):
        np.testing.assert_allclose(together[number], leave_one_out_errors([kernels[number]], projected, PENALTIES)[0], rtol=1e-6)


@pytest.mark.parametrize("squares", [np.geomspace(1e-8, 1e3, 500), np.append(np.linspace(1, 50, 100), np.zeros(400))])
def test_separated_diagonals_are_few_and_make_up_all(squares: Array) -> None:
    penalties = np.logspace(-5, 5, 100)
    diagonals = penalties / (squares[:, None] + penalties)
    basis, shares = separated(diagonals)
    assert basis.shape[1] < 80
    np.testing.assert_allclose(basis @ shares, diagonals, atol=1e-11)
