"""Genomic heritability by restricted maximum likelihood, in the eigenbasis of a model's kernel."""

from typing import NamedTuple

import numpy as np

from gpatlas.data.genotypes import FloatArray
from gpatlas.models.decomposed import separated

TRIED = np.linspace(0, 1, 1001)[:-1]  # heritabilities


def heritability_columns(
    squares: FloatArray, contrasts: FloatArray, target: FloatArray, columns: FloatArray | None = None
) -> dict[str, FloatArray]:
    """`genomic_h2`, the share of a trait's variance that a kernel of mean diagonal 1 explains, and its standard error, (T,) each.

    `squares` (rank,): the kernel's eigenvalues; `contrasts` (rank, T): eigenvectorsᵀ·target, for a centred `target` (n, T). In this basis
    the likelihood of n − 1 contrasts is a product (Kang et al. 2008, doi 10.1534/genetics.107.080101); where the kernel is there not
    diag(squares) alone, but has columns·columnsᵀ besides, (rank, m), Woodbury's identity and the determinant's lemma add what they change.
    The error is that of the expected information, by the delta method. 0 and NaN where the trait does not vary.
    """
    n, rank = target.shape[0], len(squares)
    columns = np.empty((rank, 0)) if columns is None else columns
    scale = n / (squares.sum() + (columns**2).sum())
    kernel, columns = np.append(squares * scale, 0.0), np.vstack([columns * scale**0.5, np.zeros((1, columns.shape[1]))])
    counts = np.append(np.ones(rank), n - 1 - rank)  # the last: contrasts that the kernel says nothing of, less the mean's own
    left = (target**2).sum(axis=0) - (contrasts**2).sum(axis=0)
    contrasts = np.vstack([contrasts, np.sqrt(np.maximum(0, left))])
    inverses = 1 / (TRIED[:, None] * kernel + (1 - TRIED[:, None]))  # (H, rank + 1)
    logarithms, total = -np.log(inverses) @ counts, inverses @ contrasts**2  # (H,), (H, T)
    if columns.size:
        basis, shares = separated(inverses.T)
        grams = np.stack([columns.T @ (own[:, None] * columns) for own in basis.T])  # (r, m, m)
        for number, of_share in enumerate(shares.T):
            gram = np.tensordot(of_share, grams, 1)
            root = np.linalg.cholesky(np.eye(len(gram)) + TRIED[number] * gram)
            logarithms[number] += 2 * np.log(root.diagonal()).sum()
            of_columns = np.linalg.solve(root, columns.T @ (inverses[number][:, None] * contrasts))
            total[number] -= TRIED[number] * (of_columns**2).sum(axis=0)
    varies = (target != 0).any(axis=0)
    likelihood = -((n - 1) * np.log(np.where(varies, total, 1)) + logarithms[:, None])
    h2 = np.where(varies, TRIED[likelihood.argmax(axis=0)], 0.0)
    errors = np.array(
        [_standard_error(one, kernel, columns, counts) if some else np.nan for one, some in zip(h2, varies.tolist(), strict=True)]
    )
    return {"genomic_h2": h2, "genomic_h2_se": errors}


class _Matrix(NamedTuple):
    """diag(diagonal) + left·rightᵀ"""

    diagonal: FloatArray
    left: FloatArray
    right: FloatArray


def _standard_error(h2: float, kernel: FloatArray, columns: FloatArray, counts: FloatArray) -> float:
    """Of the heritability `h2`, by the expected information on both components of the variance."""
    inverse = 1 / (h2 * kernel + 1 - h2)
    weighted = inverse[:, None] * columns
    root = np.linalg.cholesky(np.eye(columns.shape[1]) + h2 * columns.T @ weighted)
    factor = h2**0.5 * np.linalg.solve(root, weighted.T).T
    left = np.hstack([weighted - factor @ (factor.T @ columns), -factor])
    of_kernel = _Matrix(inverse * kernel, left, np.hstack([columns, kernel[:, None] * factor]))  # V⁻¹·kernel
    parts = [of_kernel, _Matrix(inverse, -factor, factor)]  # and V⁻¹
    information = np.array([[_trace(one, other, counts) / 2 for other in parts] for one in parts])
    gradient = np.array([1 - h2, -h2])
    return float(np.sqrt(gradient @ np.linalg.pinv(information) @ gradient))


def _trace(one: _Matrix, other: _Matrix, counts: FloatArray) -> float:
    """Of the product of both; every row stands for so many."""
    crossed = one.diagonal @ (other.left * other.right).sum(axis=1) + other.diagonal @ (one.left * one.right).sum(axis=1)
    return float((counts * one.diagonal) @ other.diagonal + crossed + ((one.right.T @ other.left) * (one.left.T @ other.right)).sum())
