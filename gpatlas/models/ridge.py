"""Ridge regression on allele counts, every penalty judged by its leave-one-out error (stands for rrBLUP)."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from gpatlas.data.genotypes import FloatArray, blocks
from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.encoder import BLOCK_SIZE, Block, Encoder, Encoding, Numbers, times
from gpatlas.models.heritability import heritability_columns
from gpatlas.models.registry import RidgeSettings
from gpatlas.models.settings import PenaltySettings
from gpatlas.models.splits import told_folds

GRAM_BLOCK = 4096  # individuals, or loci, held as numbers


def penalties(settings: PenaltySettings) -> FloatArray:
    """The penalties tried, ascending."""
    return np.logspace(settings.log10_penalty_min, settings.log10_penalty_max, settings.n_penalties)


def fit(train: Part, validation: Part, settings: RidgeSettings, progress: FitProgress) -> dict[str, Fitted]:
    """Ridge regression on the training individuals."""
    encoder = Encoder.fit(train.genotypes)
    components = decompose(encoder.encode(train.genotypes))
    ridge = RidgeFit.of(components, train.phenotypes, penalties(settings))
    columns, inner = {"penalty": ridge.penalty}, None
    if settings.protocol == "cross_validation":
        target = train.phenotypes - train.phenotypes.mean(axis=0)
        projected = components.project(target)
        columns |= heritability_columns(components.squares, projected / np.sqrt(components.squares)[:, None], target)
        inner = inner_predictions(components, projected, train.phenotypes, ridge.penalty, settings.seed)
    progress(1, 1)
    return {"ridge": Fitted(Encoding(encoder, ridge.predict), ridge.coefficients, columns, inner_predictions=inner)}


@dataclass(frozen=True)
class RidgeFit:
    """`coefficients` (n_loci, T), `intercept` (T,), and the `penalty` chosen for each trait (T,)."""

    coefficients: FloatArray
    intercept: FloatArray
    penalty: FloatArray

    @classmethod
    def fit(cls, numbers: Numbers, phenotypes: FloatArray, penalties: FloatArray) -> "RidgeFit":
        """Memory grows with the square of the smaller of n and n_loci; the genotypes themselves stay packed."""
        return cls.of(decompose(numbers), phenotypes, penalties)

    @classmethod
    def of(cls, components: "ByLocus | ByIndividual", phenotypes: FloatArray, penalties: FloatArray) -> "RidgeFit":
        """One decomposition of the genotypes serves all traits and all penalties."""
        phenotype_mean = phenotypes.mean(axis=0)
        target = phenotypes - phenotype_mean
        projected = components.project(target)
        penalty = penalties[leave_one_out(components, projected, target, penalties).argmin(axis=1)]
        coefficients = components.coefficients(projected / (components.squares[:, None] + penalty))
        return cls(coefficients, phenotype_mean - components.mean @ coefficients, penalty)

    def predict(self, numbers: Numbers) -> FloatArray:
        """Of n individuals: (n, T)"""
        return times(numbers, self.coefficients) + self.intercept


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
class ByIndividual(Components):
    """Of a matrix X centred by `mean` (m,), from the Gram matrix of the individuals, XXᵀ, of which scores are eigenvectors."""

    numbers: Numbers
    mean: FloatArray

    def scores(self) -> Iterator[tuple[slice, FloatArray]]:
        for start, stop in blocks(len(self.vectors), BLOCK_SIZE):
            yield slice(start, stop), self.vectors[start:stop] * np.sqrt(self.squares)

    def project(self, target: FloatArray) -> FloatArray:
        return np.sqrt(self.squares)[:, None] * (self.vectors.T @ target)

    def coefficients(self, weights: FloatArray) -> FloatArray:
        """Coefficients of the loci (n_loci, T) that do what `weights` (rank, T) of the scores do."""
        duals = self.vectors @ (weights / np.sqrt(self.squares)[:, None])
        return transposed_product(self.numbers, duals) - np.outer(self.mean, duals.sum(axis=0))


@dataclass(frozen=True)
class ByLocus(Components):
    """Of a matrix X centred by `mean` (m,), from the Gram matrix of the loci, XᵀX: scores are X·vectors."""

    numbers: Numbers
    mean: FloatArray

    def scores(self) -> Iterator[tuple[slice, FloatArray]]:
        centre = self.mean @ self.vectors
        for rows, block in self.numbers.blocks(BLOCK_SIZE):
            yield rows, block @ self.vectors - centre

    def project(self, target: FloatArray) -> FloatArray:
        return self.vectors.T @ transposed_product(self.numbers, target)

    def coefficients(self, weights: FloatArray) -> FloatArray:
        """As ByIndividual has them."""
        return self.vectors @ weights


def decompose(numbers: Numbers) -> ByLocus | ByIndividual:
    """By the smaller Gram matrix. It is summed up from blocks and then centred; of whole numbers, and halves, it is exact."""
    n, n_columns = numbers.shape
    sums = transposed_product(numbers, np.ones((n, 1)))[:, 0]
    if n_columns <= n:
        gram = _gram((block for _, block in numbers.blocks(GRAM_BLOCK)), n_columns)
        gram = (n * gram - np.outer(sums, sums)) / n
        return ByLocus(*eigen(gram, n), numbers, sums / n)
    gram = _gram((block.T for _, block in numbers.locus_blocks(GRAM_BLOCK)), n)
    ones = gram.sum(axis=0)
    gram = (n**2 * gram - n * np.add.outer(ones, ones) + ones.sum()) / n**2
    return ByIndividual(*eigen(gram, n_columns), numbers, sums / n)


def transposed_product(numbers: Numbers, target: FloatArray) -> FloatArray:
    """Xᵀ·target, (m, T), of the matrix X (n, m), for a target (n, T)."""
    product = np.zeros((numbers.shape[1], target.shape[1]))
    for rows, block in numbers.blocks(BLOCK_SIZE):
        product += block.T @ target[rows]
    return product


def _gram(parts: Iterable[Block], size: int) -> FloatArray:
    """Σ partᵀ·part over parts (k, size). Single precision holds the whole numbers of a part: they are at most k."""
    total = np.zeros((size, size))
    for part in parts:
        factor = part.astype(np.float32) if part.dtype == np.uint8 else part
        total += factor.T @ factor
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


def inner_predictions(components: Components, projected: FloatArray, phenotypes: FloatArray, penalty: FloatArray, seed: int) -> FloatArray:
    """As Fitted has them, by the penalty (T,) that was chosen for each trait. `projected`: of the centred phenotypes (n, T).

    With the hat matrix H of everyone, the residuals of a fold without whose individuals is fitted are (1 − H of these)⁻¹·their residuals.
    """
    predicted = np.full(phenotypes.shape, np.nan)
    folds = told_folds(len(phenotypes), seed)
    wanted = np.zeros(len(phenotypes), bool)
    wanted[np.concatenate(folds)] = True
    scores = np.concatenate([some[wanted[rows]] for rows, some in components.scores()])
    places = np.cumsum(wanted) - 1
    for trait, mean in enumerate(phenotypes.mean(axis=0)):
        weights = 1 / (components.squares + penalty[trait])
        for fold in folds:
            mine, target = scores[places[fold]], phenotypes[fold, trait]
            hat = 1 / len(phenotypes) + (mine * weights) @ mine.T
            residuals = target - mean - mine @ (weights * projected[:, trait])
            predicted[fold, trait] = target - np.linalg.solve(np.eye(len(fold)) - hat, residuals)
    return predicted
