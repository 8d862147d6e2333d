"""The effects that make genetic values, and what they give for bit-packed genotypes."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from gpatlas.data.genotypes import ByteArray, FloatArray, blocks

LOOKUP_BLOCK = 4096  # individuals whose look-ups fit the processor's cache
BYTE_PER_BIT = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").view(np.uint64)[:, 0]  # a byte per bit


@dataclass(frozen=True)
class Effects:
    """What makes genetic values: `additive` (n_loci, T), `pairs` (T, P, 2), `epistatic` (T, P), `intercept` (T,)."""

    additive: FloatArray
    pairs: npt.NDArray[np.int32]
    epistatic: FloatArray
    intercept: FloatArray

    def traits(self, chosen: list[int]) -> "Effects":
        """Those of some of the traits."""
        return Effects(self.additive.take(chosen, axis=1), self.pairs[chosen], self.epistatic[chosen], self.intercept[chosen])

    def parts(self, packed: ByteArray) -> tuple[FloatArray, FloatArray]:
        """Additive and epistatic part (n, T) of the genetic values, without the intercept, of bit-packed individuals.

        Eight loci, or eight pairs, are one look-up in a table of 256 sums, added in the order of the bytes: no matrix
        product, so the result does not depend on how many individuals are computed together.
        """
        additive, epistatic = np.empty((2, len(packed), self.additive.shape[1]))
        for start, stop in blocks(len(packed), LOOKUP_BLOCK):
            loci = np.zeros((packed.shape[1], -(-(stop - start) // 8) * 8), np.uint8)  # a row per byte of loci
            loci[:, : stop - start] = packed[start:stop].T
            additive[start:stop] = _look_up(self._additive_sums, loci)[: stop - start]
            alleles = _bits_by_locus(loci)
            for traits, sums in self._pair_sums:
                epistatic[start:stop, traits] = _look_up(sums, _differing(alleles, self.pairs[traits.start]))[: stop - start]
        return additive, epistatic

    @cached_property
    def _additive_sums(self) -> FloatArray:
        return _sums_of_signs(self.additive)

    @cached_property
    def _pair_sums(self) -> list[tuple[slice, FloatArray]]:
        """The traits that share their pairs, and their sums: x_i·x_j is −1 where the alleles of the pair differ."""
        starts = [trait for trait in range(len(self.pairs)) if not trait or (self.pairs[trait] != self.pairs[trait - 1]).any()]
        groups = [slice(start, stop) for start, stop in pairwise([*starts, len(self.pairs)])]
        # a trait at a time: numpy adds up several columns in another order, which would change the last bit
        columns = [-_sums_of_signs(weights[:, None]) for weights in self.epistatic]
        return [(traits, np.concatenate(columns[traits], axis=2)) for traits in groups]


def _sums_of_signs(weights: FloatArray) -> FloatArray:
    """Σ of weight·(2·bit − 1) over the eight bits, of every byte's 256 values: (ceil(m / 8), 256, T), for weights (m, T)."""
    n_bytes, n_traits = -(-len(weights) // 8), weights.shape[1]
    padded = np.zeros((n_bytes * 8, n_traits))
    padded[: len(weights)] = weights
    signs = 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little") - 1  # (256, 8)
    return np.stack([(signs[:, :, None] * part[None]).sum(axis=1) for part in padded.reshape(n_bytes, 8, n_traits)])


def _look_up(sums: FloatArray, columns: ByteArray) -> FloatArray:
    """What `sums` (k, 256, T) say of the bytes `columns` (k, n), added up: (n, T)."""
    total = np.zeros((columns.shape[1], sums.shape[2]))
    found = np.empty_like(total)
    for table, column in zip(sums, columns, strict=True):
        table.take(column, axis=0, out=found, mode="clip")
        total += found
    return total


def _bits_by_locus(loci: ByteArray) -> ByteArray:
    """Bytes (k, n) of eight loci each to bytes of eight individuals each: (8·k, n / 8)."""
    one_each = loci.view(np.uint64)[:, None] >> np.arange(8, dtype=np.uint64)[:, None]
    one_each &= np.uint64(0x0101010101010101)
    return np.packbits(one_each.view(np.uint8).reshape(-1, loci.shape[1]), axis=1, bitorder="little")


def _differing(alleles: ByteArray, pairs: npt.NDArray[np.int32]) -> ByteArray:
    """Whether the alleles of every pair differ, bytes (ceil(P / 8), n) of eight pairs each; `alleles` as `_bits_by_locus` has them."""
    differs = np.zeros((-(-len(pairs) // 8) * 8, alleles.shape[1]), np.uint8)
    np.bitwise_xor(alleles[pairs[:, 0]], alleles[pairs[:, 1]], out=differs[: len(pairs)])
    eight = np.zeros((len(differs) // 8, alleles.shape[1]), np.uint64)  # a byte per individual
    for bit in range(8):
        eight |= np.take(BYTE_PER_BIT << np.uint64(bit), differs[bit::8], mode="clip")
    return eight.view(np.uint8)


@dataclass(frozen=True)
class TraitFacts:
    """Per trait: declared rel_aa (NaN where unknown), realised V_A, V_AA and V_A/V_G in this population."""

    rel_aa: FloatArray
    v_a: FloatArray
    v_aa: FloatArray
    v_a_over_v_g: FloatArray
