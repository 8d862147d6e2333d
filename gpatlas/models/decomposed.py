"""A kernel of n individuals in an eigenbasis, where it is a diagonal and few columns: what ridge regression on it needs for any penalty.

Kernels that differ by a share of another one of low rank have one decomposition in common (by the identity of Woodbury).
"""

from dataclasses import dataclass

import numpy as np

from gpatlas.data.genotypes import FloatArray, blocks
from gpatlas.models.encoder import BLOCK_SIZE
from gpatlas.models.splits import told_folds

SEPARATED = 1e-14  # of the largest singular value: below, it is rounding


@dataclass(frozen=True)
class Decomposed:
    """The kernel U·(diag(squares) + columns·columnsᵀ)·Uᵀ: `vectors` U (n, n) are orthonormal, `squares` (n,), `columns` (n, m).

    It is centred. Of the penalty p, U·(diag(f) − factor·factorᵀ)·Uᵀ is p·(kernel + p)⁻¹, which makes the residuals of a centred target;
    f = p / (squares + p).
    """

    vectors: FloatArray
    squares: FloatArray
    columns: FloatArray

    @classmethod
    def of(cls, kernel: FloatArray) -> "Decomposed":
        """By its eigenvectors alone, without columns."""
        squares, vectors = np.linalg.eigh(kernel)
        squares[squares < squares[-1] * len(kernel) * np.finfo(float).eps] = 0
        return cls(vectors, squares, np.empty((len(kernel), 0)))

    def mixed(self, weight: float, others: FloatArray) -> "Decomposed":
        """weight·this + (1 − weight)·others·othersᵀ, for `others` (n, m)."""
        columns = self.vectors.T @ others if weight < 1 else self.columns
        return Decomposed(self.vectors, weight * self.squares, (1 - weight) ** 0.5 * columns)

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

    def leave_one_out(self, projected: FloatArray, penalties: FloatArray) -> FloatArray:
        """Mean squared leave-one-out error of every trait and penalty, (T, P), of `projected` targets.

        The error of individual i is its residual divided by 1 − hat_ii, where the hat matrix has the free intercept's 1/n.
        """
        n, n_traits = len(projected), projected.shape[1]
        shrunk = penalties / (self.squares[:, None] + penalties)  # (n, P)
        weights = shrunk[:, None] * projected[:, :, None]  # (n, T, P)
        roots = np.empty((len(penalties), *2 * self.columns.shape[1:]))  # S⁻¹ = rootᵀ·root
        if self.columns.size:
            basis, shares = separated(shrunk)
            for number, penalty in enumerate(penalties):
                roots[number] = root = np.linalg.inv(self._root(shrunk[:, number], penalty))
                explained = root.T @ (root @ (self.columns.T @ weights[:, :, number]))
                weights[:, :, number] -= shrunk[:, [number]] * (self.columns @ explained)
        errors: FloatArray = np.zeros((n_traits, len(penalties)))
        for start, stop in blocks(n, BLOCK_SIZE):
            rows = self.vectors[start:stop]
            unexplained = rows**2 @ shrunk - 1 / n  # (k, P): 1 − hat_ii
            if self.columns.size:
                parts = np.stack([(rows * own) @ self.columns for own in basis.T])  # (r, k, m)
                for number, of_penalty in enumerate(np.tensordot(shares.T, parts, 1)):
                    unexplained[:, number] -= ((of_penalty @ roots[number].T) ** 2).sum(axis=1)
            residuals = (rows @ weights.reshape(n, -1)).reshape(-1, *errors.shape) / unexplained[:, None]
            errors += np.einsum("ktp,ktp->tp", residuals, residuals)
        return errors / n

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


def separated(diagonals: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Few vectors (n, r), and the shares (r, P), by which they make up the columns of `diagonals` (n, P), but for rounding.

    Smooth functions of one number, as 1/(square + penalty) is for each penalty, span few dimensions: 20 to 70 for 100 penalties.
    """
    vectors, lengths, shares = np.linalg.svd(diagonals, full_matrices=False)
    kept = lengths > SEPARATED * lengths[0]
    return vectors[:, kept] * lengths[kept], shares[kept]
