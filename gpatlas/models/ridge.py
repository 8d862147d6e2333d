"""Ridge regression on allele counts, every penalty judged by its leave-one-out error (stands for rrBLUP)."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from gpatlas.data.genotypes import ByteArray, FloatArray, Genotypes, blocks
from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.registry import RidgeSettings
from gpatlas.models.settings import PenaltySettings

BLOCK_SIZE, GRAM_BLOCK = 512, 4096  # individuals held unpacked


def penalties(settings: PenaltySettings) -> FloatArray:
    """The penalties tried, ascending."""
    return np.logspace(settings.log10_penalty_min, settings.log10_penalty_max, settings.n_penalties)


def fit(train: Part, validation: Part, settings: RidgeSettings, progress: FitProgress) -> dict[str, Fitted]:
    """Ridge regression on the training individuals."""
    ridge = RidgeFit.fit(train.genotypes, train.phenotypes, penalties(settings))
    progress(1, 1)
    return {"ridge": Fitted(ridge.predict, ridge.coefficients, {"penalty": ridge.penalty})}


@dataclass(frozen=True)
class RidgeFit:
    """`coefficients` (n_loci, T), `intercept` (T,), and the `penalty` chosen for each trait (T,)."""

    coefficients: FloatArray
    intercept: FloatArray
    penalty: FloatArray

    @classmethod
    def fit(cls, genotypes: Genotypes, phenotypes: FloatArray, penalties: FloatArray) -> "RidgeFit":
        """One decomposition of the genotypes serves all traits and all penalties.

        Memory grows with the square of the smaller of n and n_loci; the genotypes themselves stay packed.
        """
        phenotype_mean = phenotypes.mean(axis=0)
        target = phenotypes - phenotype_mean
        components = decompose(genotypes)
        projected = components.project(target)
        penalty = penalties[leave_one_out(components, projected, target, penalties).argmin(axis=1)]
        coefficients = components.coefficients(projected / (components.squares[:, None] + penalty))
        return cls(coefficients, phenotype_mean - components.allele_mean @ coefficients, penalty)

    def predict(self, genotypes: Genotypes) -> FloatArray:
        """Of n individuals: (n, T)"""
        return np.concatenate([alleles @ self.coefficients for _, alleles in genotypes.blocks(BLOCK_SIZE)]) + self.intercept


@dataclass(frozen=True)
class Components(ABC):
    """Principal components: their scores (n, rank) are orthogonal to each other, with the sums of squares `squares` (rank,).

    `vectors` are the eigenvectors of a Gram matrix that has these squares as eigenvalues.
    """

    squares: FloatArray
    vectors: FloatArray

    @abstractmethod
    def scores(self) -> Iterator[tuple[slice, FloatArray]]:
        """(k, rank) of individuals after individuals, and which these are."""

    @abstractmethod
    def project(self, target: FloatArray) -> FloatArray:
        """scoresᵀ·target, (rank, T), for a centred target (n, T)."""


@dataclass(frozen=True)
class OfIndividuals(Components):
    """From a Gram matrix of the individuals: its eigenvectors are the scores, but for their length."""

    def scores(self) -> Iterator[tuple[slice, FloatArray]]:
        for start, stop in blocks(len(self.vectors), BLOCK_SIZE):
            yield slice(start, stop), self.vectors[start:stop] * np.sqrt(self.squares)

    def project(self, target: FloatArray) -> FloatArray:
        return np.sqrt(self.squares)[:, None] * (self.vectors.T @ target)

    def duals(self, weights: FloatArray) -> FloatArray:
        """Weights of the individuals (n, T) in the Gram matrix that do what `weights` (rank, T) of the scores do."""
        return self.vectors @ (weights / np.sqrt(self.squares)[:, None])


@dataclass(frozen=True)
class ByIndividual(OfIndividuals):
    """Of genotypes X centred by `allele_mean` (n_loci,), from the Gram matrix of the individuals, XXᵀ."""

    genotypes: Genotypes
    allele_mean: FloatArray

    def coefficients(self, weights: FloatArray) -> FloatArray:
        """Coefficients of the loci (n_loci, T) that do what `weights` (rank, T) of the scores do."""
        duals = self.duals(weights)
        return transposed_product(self.genotypes, duals) - np.outer(self.allele_mean, duals.sum(axis=0))


@dataclass(frozen=True)
class ByLocus(Components):
    """Of genotypes X centred by `allele_mean` (n_loci,), from the Gram matrix of the loci, XᵀX: scores are X·vectors."""

    genotypes: Genotypes
    allele_mean: FloatArray

    def scores(self) -> Iterator[tuple[slice, FloatArray]]:
        centre = self.allele_mean @ self.vectors
        for rows, alleles in self.genotypes.blocks(BLOCK_SIZE):
            yield rows, alleles @ self.vectors - centre

    def project(self, target: FloatArray) -> FloatArray:
        return self.vectors.T @ transposed_product(self.genotypes, target)

    def coefficients(self, weights: FloatArray) -> FloatArray:
        """As ByIndividual has them."""
        return self.vectors @ weights


def decompose(genotypes: Genotypes) -> ByLocus | ByIndividual:
    """By the smaller Gram matrix. It is counted in whole numbers from blocks of packed genotypes and then centred, so it is exact."""
    n, n_loci = genotypes.shape
    allele_mean = transposed_product(genotypes, np.ones((n, 1)))[:, 0] / n
    if n_loci <= n:
        gram = _count((alleles for _, alleles in genotypes.blocks(GRAM_BLOCK)), n_loci)
        ones = gram.diagonal().copy()
        gram = (n * gram - np.outer(ones, ones)) / n
        return ByLocus(*eigen(gram, n), genotypes, allele_mean)
    gram = _count((alleles.T for alleles in genotypes.locus_blocks(GRAM_BLOCK)), n)
    ones = gram.sum(axis=0)
    gram = (n**2 * gram - n * np.add.outer(ones, ones) + ones.sum()) / n**2
    return ByIndividual(*eigen(gram, n_loci), genotypes, allele_mean)


def transposed_product(genotypes: Genotypes, target: FloatArray) -> FloatArray:
    """allelesᵀ·target, (n_loci, T), for a target (n, T)."""
    product = np.zeros((genotypes.n_loci, target.shape[1]))
    for rows, alleles in genotypes.blocks(BLOCK_SIZE):
        product += alleles.T @ target[rows]
    return product


def _count(blocks_of_alleles: Iterable[ByteArray], size: int) -> FloatArray:
    """Σ allelesᵀ·alleles over blocks (k, size). Single precision holds the whole numbers of a block: they are at most k."""
    total = np.zeros((size, size))
    for alleles in blocks_of_alleles:
        single = alleles.astype(np.float32)
        total += single.T @ single
    return total


def eigen(gram: FloatArray, other_size: int) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues above rounding, and their eigenvectors (size, rank), of a Gram matrix that sums over `other_size` products."""
    squares, vectors = np.linalg.eigh(gram)
    kept = squares > squares[-1] * max(len(gram), other_size) * np.finfo(float).eps
    return squares[kept], vectors[:, kept]


def leave_one_out(components: Components, projected: FloatArray, target: FloatArray, penalties: FloatArray) -> FloatArray:
    """Mean squared leave-one-out error of every trait and penalty, (T, P).

    For penalty p the hat matrix is 1/n + scores·diag(1/(squares + p))·scoresᵀ; the leave-one-out error of individual i
    is its residual divided by (1 − hat_ii). All individuals and penalties are computed, whatever n.
    """
    n, n_traits = len(target), target.shape[1]
    inverses = 1 / (components.squares[:, None] + penalties)  # (rank, P)
    errors: FloatArray = np.zeros((n_traits, len(penalties)))
    weights = (projected[:, :, None] * inverses[:, None]).reshape(len(inverses), errors.size)  # (rank, T·P)
    for rows, scores in components.scores():
        residuals = (scores @ weights).reshape(-1, *errors.shape)  # (k, T, P)
        residuals -= target[rows, :, None]
        residuals /= (1 - 1 / n - scores**2 @ inverses)[:, None]
        errors += np.einsum("ktp,ktp->tp", residuals, residuals)
    return errors / n
