"""Genotypes as the numbers that models compute with: what a missing call becomes is learned from training individuals."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gpatlas.data.genotypes import MISSING, ByteArray, FloatArray, Genotypes

BLOCK_SIZE = 512  # individuals held as numbers
Block = ByteArray | FloatArray


class Numbers(Protocol):
    """A matrix (n, m) of individuals by columns that is handed out in blocks."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)"""

    def blocks(self, size: int) -> Iterator[tuple[slice, Block]]:
        """`size` individuals after the other, (k, m), and which these are."""

    def locus_blocks(self, size: int) -> Iterator[tuple[slice, Block]]:
        """At most `size` columns after the other, (n, k), and which these are."""


def times(numbers: Numbers, weights: FloatArray) -> FloatArray:
    """X·weights, (n, …), of the matrix X (n, m), for weights (m, …)."""
    return np.concatenate([block @ weights for _, block in numbers.blocks(BLOCK_SIZE)])


@dataclass(frozen=True)
class Encoder:
    """Codes a genotype by the share of its counted alleles: 0, ½ or 1, and a missing call by the training individuals' `mean` (n_loci,).

    A locus at which no training individual has a call has the mean 0.
    """

    mean: FloatArray

    @classmethod
    def fit(cls, train: Genotypes) -> "Encoder":
        """Learned from training individuals."""
        total, called = np.zeros(train.n_loci), np.zeros(train.n_loci)
        for _, counts in train.blocks(BLOCK_SIZE):
            there = counts != MISSING
            total += np.where(there, counts, 0).sum(axis=0)
            called += there.sum(axis=0)
        return cls(np.divide(total / train.highest, called, out=np.zeros(train.n_loci), where=called > 0))

    def encode(self, genotypes: Genotypes) -> "Encoded":
        """As numbers, block by block."""
        return Encoded(genotypes, self.mean)


@dataclass(frozen=True)
class Encoded:
    """`genotypes` as numbers. Those of one bit stay whole numbers, 0 and 1."""

    genotypes: Genotypes
    mean: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n_loci)"""
        return self.genotypes.shape

    def blocks(self, size: int) -> Iterator[tuple[slice, Block]]:
        """As Numbers has it."""
        for rows, counts in self.genotypes.blocks(size):
            yield rows, self._numbers(counts, slice(None))

    def locus_blocks(self, size: int) -> Iterator[tuple[slice, Block]]:
        """As Numbers has it; `size` is a multiple of 8."""
        for loci, counts in self.genotypes.locus_blocks(size):
            yield loci, self._numbers(counts, loci)

    def _numbers(self, counts: ByteArray, loci: slice) -> Block:
        if self.genotypes.bits == 1:
            return counts
        numbers = counts / self.genotypes.highest
        return np.where(counts == MISSING, self.mean[loci], numbers)


@dataclass(frozen=True)
class Dense:
    """A matrix (n, m) in memory, as Numbers has them."""

    values: npt.NDArray[np.floating]

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)"""
        return self.values.shape[0], self.values.shape[1]

    def blocks(self, size: int) -> Iterator[tuple[slice, Block]]:
        """As Numbers has it."""
        for start in range(0, len(self.values), size):
            yield slice(start, start + size), self.values[start : start + size].astype(np.float64)

    def locus_blocks(self, size: int) -> Iterator[tuple[slice, Block]]:
        """As Numbers has it."""
        for start in range(0, self.values.shape[1], size):
            yield slice(start, start + size), self.values[:, start : start + size].astype(np.float64)


@dataclass(frozen=True)
class Encoding:
    """Predictions (n, T) of genotypes by what predicts from their numbers."""

    encoder: Encoder
    of_numbers: Callable[[Numbers], FloatArray]

    def __call__(self, genotypes: Genotypes) -> FloatArray:
        return self.of_numbers(self.encoder.encode(genotypes))
