"""A kernel of n individuals in an eigenbasis, where it is a diagonal and few columns: what ridge regression on it needs for any penalty.

Kernels that differ by a share of another one of low rank have one decomposition in common (by the identity of Woodbury).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gpatlas.data.genotypes import FloatArray, blocks
from gpatlas.models.encoder import BLOCK_SIZE
from gpatlas.models.splits import told_folds

SEPARATED = 1e-14  # of the largest singular value: below, it is rounding


@dataclass(frozen=True)
class Decomposed:
    """The kernel U·(diag(squares) + share·shared·sharedᵀ)·Uᵀ: `vectors` U (n, n) are orthonormal, `squares` (n,), `shared` (n, m).

    It is centred. Of the penalty p, U·(diag(f) − factor·factorᵀ)·Uᵀ is p·(kernel + p)⁻¹, which makes the residuals of a centred target;
    f = p / (squares + p).
    """

    vectors: FloatArray
    squares: FloatArray
    shared: FloatArray
    share: float = 0.0

    @classmethod
    def of(cls, kernel: FloatArray) -> "Decomposed":
        """By its eigenvectors alone, without columns."""
        squares, vectors = np.linalg.eigh(kernel)
        squares[squares < squares[-1] * len(kernel) * np.finfo(float).eps] = 0
        return cls(vectors, squares, np.empty((len(kernel), 0)))

    def mixed(self, weights: Sequence[float], others: FloatArray) -> list["Decomposed"]:
        """weight·this + (1 − weight)·others·othersᵀ for every weight, and `others` (n, m). Only of a kernel without shared columns."""
        shared = self.vectors.T @ others
        return [Decomposed(self.vectors, weight * self.squares, shared, 1 - weight) for weight in weights]

    @cached_property
    def columns(self) -> FloatArray:
        """share^½·shared, (n, m); of a share of 0 none."""
        return self.share**0.5 * self.shared if self.share else self.shared[:, :0]

    def project(self, target: FloatArray) -> FloatArray:
        """Uᵀ·target, (n, T)."""
        return self.vectors.T @ target

    def residuals(self, projected: FloatArray, penalty: FloatArray) -> FloatArray:
        """(n, T), with a penalty (T,) for each trait; of `projected` targets. Divided by the penalty they are the individuals' weights."""
        weights: FloatArray = np.empty(projected.shape)
        for trait, (of_trait, own) in enumerate(zip(projected.T, penalty, strict=True)):
            shrunk, factor = self._residual_parts(own)
            weights[:, trait] = shrunk * of_trait - factor @ (factor.T @ of_trait)
        return self.vectors @ weights

    def inner_predictions(self, projected: FloatArray, phenotypes: FloatArray, penalty: FloatArray, seed: int) -> FloatArray:
        """As Fitted has them, by the penalty (T,) that was chosen for each trait. `projected`: of the centred phenotypes (n, T).

        With the hat matrix H of everyone, the residuals of a fold that is left out are (1 − H of these)⁻¹·their residuals.
        """
        predicted, n = np.full(phenotypes.shape, np.nan), len(phenotypes)
        folds = told_folds(n, seed)
        residuals = self.residuals(projected, penalty)
        for trait, own in enumerate(penalty):
            shrunk, factor = self._residual_parts(own)
            for fold in folds:
                rows = self.vectors[fold]
                of_columns = rows @ factor
                unexplained = (rows * shrunk) @ rows.T - of_columns @ of_columns.T - 1 / n
                predicted[fold, trait] = phenotypes[fold, trait] - np.linalg.solve(unexplained, residuals[fold, trait])
        return predicted

    def roots(self, projected: FloatArray, penalties: FloatArray) -> tuple[FloatArray, FloatArray]:
        """For every penalty: root (m, m), rootᵀ·root the inverse of S of `_root`; and root·columnsᵀ·diag(f)·`projected`, (m, T)."""
        roots = np.empty((len(penalties), *2 * self.columns.shape[1:]))
        explained = np.empty((*roots.shape[:2], projected.shape[1]))
        for number, penalty in enumerate(penalties if self.columns.size else ()):
            shrunk = penalty / (self.squares + penalty)
            roots[number] = np.linalg.inv(self._root(shrunk, penalty))
            explained[number] = roots[number] @ (self.columns.T @ (shrunk[:, None] * projected))
        return roots, explained

    def _residual_parts(self, penalty: float) -> tuple[FloatArray, FloatArray]:
        """f (n,) and the factor (n, m)."""
        shrunk = penalty / (self.squares + penalty)
        factor: FloatArray = np.linalg.solve(self._root(shrunk, penalty), (shrunk[:, None] * self.columns).T).T.astype(float, copy=False)
        return shrunk, factor

    def _root(self, shrunk: FloatArray, penalty: float) -> FloatArray:
        """The Cholesky factor (m, m) of S = columnsᵀ·diag(f)·columns + p."""
        columns = np.sqrt(shrunk)[:, None] * self.columns
        root: FloatArray = np.linalg.cholesky(columns.T @ columns + penalty * np.eye(columns.shape[1])).astype(float, copy=False)
        return root


def leave_one_out_errors(kernels: Sequence[Decomposed], projected: FloatArray, penalties: FloatArray) -> FloatArray:
    """Mean squared leave-one-out error of every kernel, trait and penalty, (K, T, P), of `projected` targets.

    The kernels differ by `squares` and `share` alone, so that few products with the vectors serve all. The error of individual i is its
    residual divided by 1 − hat_ii, where the hat matrix has the free intercept's 1/n.
    """
    n, n_traits = projected.shape
    basis, shares = separated(np.hstack([penalties / (kernel.squares[:, None] + penalties) for kernel in kernels]))
    shares = shares.reshape(-1, len(kernels), len(penalties))
    roots, explained = zip(*(kernel.roots(projected, penalties) for kernel in kernels), strict=True)
    errors = np.zeros((len(kernels), n_traits, len(penalties)))
    for start, stop in blocks(n, BLOCK_SIZE):
        rows = kernels[0].vectors[start:stop]
        squared, targets = rows**2 @ basis, np.stack([rows @ (own[:, None] * projected) for own in basis.T])  # (k, r), (r, k, T)
        parts = np.stack([rows @ (own[:, None] * kernels[0].shared) for own in basis.T])  # (r, k, m)
        for number, kernel in enumerate(kernels):
            own = shares[:, number]
            unexplained, residuals = squared @ own - 1 / n, np.tensordot(own.T, targets, 1)  # (k, P): 1 − hat_ii; (P, k, T)
            if kernel.columns.size:
                for penalty, of_penalty in enumerate(np.tensordot(kernel.share**0.5 * own.T, parts, 1)):
                    of_columns = of_penalty @ roots[number][penalty].T
                    unexplained[:, penalty] -= (of_columns**2).sum(axis=1)
                    residuals[penalty] -= of_columns @ explained[number][penalty]
            errors[number] += ((residuals / unexplained.T[:, :, None]) ** 2).sum(axis=1).T / n
    return errors


def separated(diagonals: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Few vectors (n, r), and the shares (r, P), by which they make up the columns of `diagonals` (n, P), but for rounding.

    Smooth functions of one number, as 1/(square + penalty) is for each penalty, span few dimensions: 20 to 70 for 100 penalties.
    """
    vectors, lengths, shares = np.linalg.svd(diagonals, full_matrices=False)
    kept = lengths > SEPARATED * lengths[0]
    return vectors[:, kept] * lengths[kept], shares[kept]
