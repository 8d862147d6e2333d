"""Columns x over individuals, of which screening makes products: as bits where they are −1 and +1, else as numbers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from gpatlas.data.genotypes import ByteArray, FloatArray, Genotypes, Rows, blocks, pack
from gpatlas.models.contract import Part
from gpatlas.models.encoder import Dense, Encoded, Encoder, Numbers

Terms = npt.NDArray[np.intp]  # (k, 2), the smaller first; 0 is the constant, j the j-th locus
Singles = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
BLOCK_SIZE = 4096  # individuals held unpacked; a multiple of 8
LOCUS_BLOCK = 64  # loci of all individuals held unpacked; a multiple of 8
BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
EIGHT_SIGNS = (2 * BITS.astype(np.float32) - 1).view("V32")[:, 0]  # (256,): the eight numbers −1 and +1 of a byte, as one item


class Columns(ABC):
    """k columns over `n` individuals. `per_x`: what one unit of a column is in units of its `numbers`."""

    n: int
    per_x: ClassVar[float] = 1.0

    @abstractmethod
    def __len__(self) -> int:
        """k"""

    @abstractmethod
    def x(self, start: int, stop: int) -> Singles:
        """(k, stop − start), of the individuals from `start`, a multiple of 8."""

    @abstractmethod
    def products(self, terms: Terms) -> Self:
        """x_i·x_j of every term."""

    @abstractmethod
    def joined(self, kept: Mask, others: Self) -> Self:
        """The `kept` (k,) of these columns, and others of the same individuals."""

    @abstractmethod
    def numbers(self) -> Numbers:
        """The columns as if they were loci."""

    def blocks(self) -> Iterator[tuple[slice, Singles]]:
        """x, (k, b), of individuals after individuals, and which these are."""
        for start, stop in blocks(self.n, BLOCK_SIZE):
            yield slice(start, stop), self.x(start, stop)

    def weighted_sum(self, weights: FloatArray) -> FloatArray:
        """Σ weight·x of every individual, (n,), for weights (k,)."""
        total = np.empty(self.n)
        for rows, x in self.blocks():
            total[rows] = weights.astype(np.float32) @ x
        return total

    def dot(self, values: FloatArray) -> FloatArray:
        """Σ x·value over the individuals, (k,), for values (n,)."""
        total = np.zeros(len(self))
        for rows, x in self.blocks():
            total += x @ values[rows].astype(np.float32)
        return total

    def cross(self, others: "Columns") -> FloatArray:
        """Σ x·z over the individuals, (k, l), for l other columns z. Single precision holds the whole numbers of a block."""
        total = np.zeros((len(self), len(others)))
        for (_, x), (_, z) in zip(self.blocks(), others.blocks(), strict=True):
            total += x @ z.T
        return total


@dataclass(frozen=True)
class SignColumns(Columns):
    """Columns of −1 and +1, as bits, column after column: `bits` (k, ceil(n / 8)). Their numbers are 0 and 1."""

    bits: ByteArray
    n: int
    per_x = 0.5

    @classmethod
    def of(cls, genotypes: Genotypes) -> "SignColumns":
        """The constant 1, then the loci, of one bit each: (1 + n_loci) columns."""
        n, n_loci = genotypes.shape
        bits = np.full((1 + n_loci, -(-n // 8)), 255, np.uint8)
        for loci, alleles in genotypes.locus_blocks(LOCUS_BLOCK):
            bits[1 + loci.start : 1 + loci.stop] = pack(np.ascontiguousarray(alleles.T))
        return cls(bits, n)

    def __len__(self) -> int:
        return len(self.bits)

    def x(self, start: int, stop: int) -> Singles:
        """As Columns has it."""
        bits = self.bits[:, start // 8 : -(-stop // 8)]
        return EIGHT_SIGNS.take(bits, mode="clip").view(np.float32)[:, : stop - start]

    def products(self, terms: Terms) -> "SignColumns":
        """+1 where the two alleles agree."""
        return SignColumns(~(self.bits[terms[:, 0]] ^ self.bits[terms[:, 1]]), self.n)

    def joined(self, kept: Mask, others: "SignColumns") -> "SignColumns":
        """As Columns has it."""
        return SignColumns(np.concatenate([self.bits[kept], others.bits]), self.n)

    def numbers(self) -> Numbers:
        """Allele 1 for +1."""
        rows = [pack(np.ascontiguousarray(self._alleles(start, stop).T)) for start, stop in blocks(self.n, BLOCK_SIZE)]
        return Encoded(Genotypes(np.concatenate(rows), len(self)), np.empty(0))

    def _alleles(self, start: int, stop: int) -> ByteArray:
        return np.unpackbits(self.bits[:, start // 8 :], axis=1, count=stop - start, bitorder="little")


@dataclass(frozen=True)
class NumberColumns(Columns):
    """Columns of any numbers, `values` (k, n)."""

    values: Singles

    @property
    def n(self) -> int:  # type: ignore[override]
        return int(self.values.shape[1])

    def __len__(self) -> int:
        return len(self.values)

    def x(self, start: int, stop: int) -> Singles:
        """As Columns has it."""
        return self.values[:, start:stop]

    def products(self, terms: Terms) -> "NumberColumns":
        """As Columns has it."""
        return NumberColumns(self.values[terms[:, 0]] * self.values[terms[:, 1]])

    def joined(self, kept: Mask, others: "NumberColumns") -> "NumberColumns":
        """As Columns has it."""
        return NumberColumns(np.concatenate([self.values[kept], others.values]))

    def numbers(self) -> Numbers:
        """As they are."""
        return Dense(self.values.T)


@dataclass(frozen=True)
class Coding:
    """How loci become columns: (number − centre) / scale, by training individuals. `centre`, `scale` (n_loci,)."""

    encoder: Encoder
    centre: FloatArray
    scale: FloatArray

    @classmethod
    def fit(cls, train: Genotypes) -> "Coding":
        """−1 and +1 where genotypes have two values and are complete; else mean 0 and variance 1, and 0 where a locus does not vary."""
        encoder = Encoder.fit(train)
        if train.bits == 1:
            half = np.full(train.n_loci, 0.5)
            return cls(encoder, half, half)
        scale = np.concatenate([block.std(axis=0) for _, block in encoder.encode(train).locus_blocks(LOCUS_BLOCK)])
        return cls(encoder, encoder.mean, np.where(scale > 0, scale, np.inf))

    def columns(self, genotypes: Genotypes) -> Columns:
        """The constant 1, then the loci: (1 + n_loci) columns."""
        if genotypes.bits == 1 and (self.scale == 0.5).all():
            return SignColumns.of(genotypes)
        values = np.ones((1 + genotypes.n_loci, len(genotypes)), np.float32)
        for loci, block in self.encoder.encode(genotypes).locus_blocks(LOCUS_BLOCK):
            values[1 + loci.start : 1 + loci.stop] = ((block - self.centre[loci]) / self.scale[loci]).T
        return NumberColumns(values)


@dataclass(frozen=True)
class InnerFold:
    """Training individuals without some of them, the `rest`, and these, the `others`, with the `columns` of both, coded by the rest."""

    rest: Part
    others: Part
    coding: Coding
    columns: Columns
    other_columns: Columns

    @classmethod
    def of(cls, train: Part, held_out: Rows) -> "InnerFold":
        """Without the individuals `held_out`."""
        rest, others = train.rows(np.setdiff1d(np.arange(len(train.genotypes)), held_out)), train.rows(held_out)
        coding = Coding.fit(rest.genotypes)
        return cls(rest, others, coding, coding.columns(rest.genotypes), coding.columns(others.genotypes))
