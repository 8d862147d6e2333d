"""Genotypes in memory, packed to bits, and handed out in blocks."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

MISSING = 3  # in the place of a count
BLOCK_SIZE = 4096  # individuals unpacked at once
TWO_BITS = ((np.arange(256)[:, None] >> [0, 2, 4, 6]) & 3).astype(np.uint8).copy()  # (256, 4): the four counts of a byte
FOUR = TWO_BITS.view(np.uint32)[:, 0]


def pack(alleles: ByteArray) -> ByteArray:
    """0/1 alleles (n, n_loci) to bits (n, ceil(n_loci / 8)), lowest bit first, spare bits 0."""
    return np.packbits(alleles, axis=1, bitorder="little")


def unpack(packed: ByteArray, n_loci: int) -> ByteArray:
    """Bits (n, ceil(n_loci / 8)) to 0/1 alleles (n, n_loci)."""
    return np.unpackbits(packed, axis=1, count=n_loci, bitorder="little")


def pack_counts(counts: ByteArray) -> ByteArray:
    """Counts 0, 1, 2 or MISSING (n, n_loci) to two bits each (n, ceil(n_loci / 4)), lowest bits first, spare bits 0."""
    n, n_loci = counts.shape
    padded = np.zeros((n, -(-n_loci // 4) * 4), np.uint8)
    padded[:, :n_loci] = counts
    packed: ByteArray = padded[:, 0::4] | padded[:, 1::4] << 2 | padded[:, 2::4] << 4 | padded[:, 3::4] << 6
    return packed


def unpack_counts(packed: ByteArray, n_loci: int) -> ByteArray:
    """The inverse of `pack_counts`: (n, n_loci)."""
    return FOUR.take(packed, mode="clip").view(np.uint8).reshape(len(packed), 4 * packed.shape[1])[:, :n_loci]


@dataclass(frozen=True)
class Genotypes:
    """Some individuals' counts of the counted allele: `packed` (n, bytes) of `n_loci` loci, with `bits` 1 or 2 for each.

    One bit where every call is there and has one of two values, 0 and 1: alleles of haploids, or of inbred lines. Two bits where there are
    three values, 0, 1 and 2, or where calls are missing. `highest`: the largest count, 1 or 2.
    """

    packed: ByteArray
    n_loci: int
    bits: int = 1
    highest: int = 1

    @classmethod
    def of(cls, counts: ByteArray) -> "Genotypes":
        """From counts 0, 1, 2 or MISSING (n, n_loci), in as few bits as hold them."""
        if counts.max(initial=0) < 2:
            return cls(pack(counts), counts.shape[1])
        return cls.of_two_bits(pack_counts(counts), counts.shape[1])

    @classmethod
    def of_two_bits(cls, packed: ByteArray, n_loci: int) -> "Genotypes":
        """From `packed` counts of two bits. Where no individual is heterozygous, homozygotes count as alleles: 0 and 1, not 0 and 2.

        Then a population that is coded 0/2 is the one that is coded 0/1, to every model.
        """
        genotypes, found = cls(packed, n_loci, 2, 2), np.zeros(4, bool)
        for _, counts in genotypes.blocks(BLOCK_SIZE):
            found |= np.bincount(counts.ravel(), minlength=4) > 0
        if found[1] and found[2]:
            return genotypes
        recode = np.array([0, 1, 1, MISSING], np.uint8)
        recoded = (recode[counts] for _, counts in genotypes.blocks(BLOCK_SIZE))
        if found[MISSING]:
            return cls(np.concatenate([pack_counts(counts) for counts in recoded]), n_loci, 2, 1)
        return cls(np.concatenate([pack(counts) for counts in recoded]), n_loci)

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n_loci)"""
        return len(self.packed), self.n_loci

    @cached_property
    def complete(self) -> bool:
        """Whether no call is missing."""
        return self.bits == 1 or not any((counts == MISSING).any() for _, counts in self.blocks(BLOCK_SIZE))

    def rows(self, rows: Rows | slice) -> "Genotypes":
        """Those individuals; consecutive ones without a copy."""
        if isinstance(rows, np.ndarray) and len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            rows = slice(int(rows[0]), int(rows[0]) + len(rows))
        return Genotypes(self.packed[rows], self.n_loci, self.bits, self.highest)

    def counts(self) -> ByteArray:
        """0 to `highest`, or MISSING, (n, n_loci)"""
        return self._unpacked(self.packed, self.n_loci)

    def blocks(self, size: int) -> Iterator[tuple[slice, ByteArray]]:
        """The counts (k, n_loci) of `size` individuals after the other, and which these are."""
        for start, stop in blocks(len(self), size):
            yield slice(start, stop), self._unpacked(self.packed[start:stop], self.n_loci)

    def locus_blocks(self, size: int) -> Iterator[tuple[slice, ByteArray]]:
        """The counts (n, k) of at most `size` loci after the other, and which these are; `size` is a multiple of 8."""
        for start, stop in blocks(self.n_loci, size):
            part = slice(start * self.bits // 8, -(-stop * self.bits // 8))
            yield slice(start, stop), self._unpacked(self.packed[:, part], stop - start)

    def _unpacked(self, packed: ByteArray, n_loci: int) -> ByteArray:
        return unpack(packed, n_loci) if self.bits == 1 else unpack_counts(packed, n_loci)


def blocks(n: int, size: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of consecutive blocks of `size` that cover range(n)."""
    for start in range(0, n, size):
        yield start, min(start + size, n)
