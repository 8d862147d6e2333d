"""Genomic heritability by restricted maximum likelihood, from the principal components of a model's kernel."""

import numpy as np

from gpatlas.data.genotypes import FloatArray

TRIED = np.linspace(0, 1, 1001)[:-1]  # heritabilities


def heritability_columns(squares: FloatArray, projected: FloatArray, target: FloatArray) -> dict[str, FloatArray]:
    """`genomic_h2` and its standard error, (T,) each: `reml` of every trait, `projected` (rank, T) and `target` (n, T)."""
    estimates = [reml(squares, of_trait, values) for of_trait, values in zip(projected.T, target.T, strict=True)]
    h2, errors = np.array(estimates).T
    return {"genomic_h2": h2, "genomic_h2_se": errors}


def reml(squares: FloatArray, projected: FloatArray, target: FloatArray) -> tuple[float, float]:
    """The share of a trait's variance that a kernel of mean diagonal 1 explains, and its standard error.

    `squares` (rank,): of the kernel's components; `projected` (rank,): scoresᵀ·target, for a centred `target` (n,). In the kernel's
    eigenbasis the likelihood of n − 1 contrasts is a product (Kang et al. 2008, doi 10.1534/genetics.107.080101); the error is that of
    the expected information, by the delta method. 0 and NaN where the trait does not vary.
    """
    n, rank = len(target), len(squares)
    if not target.any():
        return 0.0, float("nan")
    kernel = np.append(squares * n / squares.sum(), 0.0)
    counts = np.append(np.ones(rank), max(0, n - 1 - rank))  # the last: contrasts that the kernel says nothing of
    explained = projected**2 / squares
    contrasts = np.append(explained, max(0.0, float(target @ target - explained.sum())))
    variances = TRIED[:, None] * kernel + (1 - TRIED[:, None])
    total = (contrasts / variances).sum(axis=1) / (n - 1)
    likelihood = -((n - 1) * np.log(total) + (counts * np.log(variances)).sum(axis=1))
    best = int(likelihood.argmax())
    h2, variance = float(TRIED[best]), total[best] * variances[best]
    by_parameter = np.stack([kernel, np.ones(rank + 1)]) / variance
    information = (counts * by_parameter) @ by_parameter.T / 2
    gradient = np.array([1 - h2, -h2]) / total[best]
    return h2, float(np.sqrt(gradient @ np.linalg.pinv(information) @ gradient))
