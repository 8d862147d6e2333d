"""Genotypes in memory, bit-packed, and handed out in blocks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


def pack(alleles: ByteArray) -> ByteArray:
    """0/1 alleles (n, n_loci) to bits (n, ceil(n_loci / 8)), lowest bit first, spare bits 0."""
    return np.packbits(alleles, axis=1, bitorder="little")


def unpack(packed: ByteArray, n_loci: int) -> ByteArray:
    """Bits (n, ceil(n_loci / 8)) to 0/1 alleles (n, n_loci)."""
    return np.unpackbits(packed, axis=1, count=n_loci, bitorder="little")


@dataclass(frozen=True)
class Genotypes:
    """Some individuals' alleles, eight loci a byte: `packed` (n, ceil(n_loci / 8)) of `n_loci` loci."""

    packed: ByteArray
    n_loci: int

    @classmethod
    def of(cls, alleles: ByteArray) -> "Genotypes":
        """From 0/1 alleles (n, n_loci)."""
        return cls(pack(alleles), alleles.shape[1])

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n_loci)"""
        return len(self.packed), self.n_loci

    def rows(self, rows: Rows | slice) -> "Genotypes":
        """Those individuals; consecutive ones without a copy."""
        if isinstance(rows, np.ndarray) and len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            rows = slice(int(rows[0]), int(rows[0]) + len(rows))
        return Genotypes(self.packed[rows], self.n_loci)

    def alleles(self) -> ByteArray:
        """0/1, (n, n_loci)"""
        return unpack(self.packed, self.n_loci)

    def blocks(self, size: int) -> Iterator[tuple[slice, ByteArray]]:
        """The 0/1 alleles (k, n_loci) of `size` individuals after the other, and which these are."""
        for start, stop in blocks(len(self), size):
            yield slice(start, stop), unpack(self.packed[start:stop], self.n_loci)

    def locus_blocks(self, size: int) -> Iterator[ByteArray]:
        """The 0/1 alleles (n, k) of at most `size` loci after the other; `size` is a multiple of 8."""
        for start, stop in blocks(self.n_loci, size):
            yield unpack(self.packed[:, start // 8 : -(-stop // 8)], stop - start)


def blocks(n: int, size: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of consecutive blocks of `size` that cover range(n)."""
    for start in range(0, n, size):
        yield start, min(start + size, n)
