"""The effects that make genetic values, and what they give for genotypes: bit-packed alleles, or counts."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from gpatlas.data.genotypes import TWO_BITS, ByteArray, FloatArray, Rows, blocks, pack_counts
from gpatlas.data.places import Places

LOOKUP_BLOCK = 4096  # individuals whose look-ups fit the processor's cache
BYTE_PER_BIT = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").view(np.uint64)[:, 0]  # a byte per bit


@dataclass(frozen=True)
class Effects:
    """What makes genetic values: `additive` (m, T), `pairs` (T, P, 2), `epistatic` (T, P), `intercept` (T,).

    Of populations that may be diploid also `dominance` (m, T) and `dominance_epistatic` (T, P), of the same pairs. With the count of an
    allele as x = 2·count / ploidy − 1 (AlphaSimR's coding) and h = 1 in heterozygotes, else 0, the genetic value is
    intercept + Σ additive·x + Σ dominance·h + Σ epistatic·x_i·x_j + Σ dominance_epistatic·h_i·h_j. The m loci are the n_loci of the
    genotypes, and after them those QTL that the genotypes lack. `places`: where they are, in a population whose loci have places.
    """

    additive: FloatArray
    pairs: npt.NDArray[np.int32]
    epistatic: FloatArray
    intercept: FloatArray
    dominance: FloatArray | None = None
    dominance_epistatic: FloatArray | None = None
    places: Places | None = None

    def traits(self, chosen: list[int]) -> "Effects":
        """Those of some of the traits."""
        return replace(
            self,
            additive=self.additive.take(chosen, axis=1),
            pairs=self.pairs[chosen],
            epistatic=self.epistatic[chosen],
            intercept=self.intercept[chosen],
            dominance=None if self.dominance is None else self.dominance.take(chosen, axis=1),
            dominance_epistatic=None if self.dominance_epistatic is None else self.dominance_epistatic[chosen],
        )

    def of_loci(self, loci: Rows) -> "Effects":
        """Those of some of the loci, in ascending order, all QTL among them; the loci of pairs are numbered anew."""
        return replace(
            self,
            additive=self.additive[loci],
            pairs=np.searchsorted(loci, self.pairs).astype(np.int32),
            dominance=None if self.dominance is None else self.dominance[loci],
            places=None,
        )

    def scaled(self, values: FloatArray) -> "Effects":
        """By which genetic values that are now `values` (n, T) have variance 1 (denominator n) and mean 0."""
        scale = 1 / values.std(axis=0)
        return replace(
            self,
            additive=self.additive * scale,
            epistatic=self.epistatic * scale[:, None],
            intercept=-values.mean(axis=0) * scale,
            dominance=None if self.dominance is None else self.dominance * scale,
            dominance_epistatic=None if self.dominance_epistatic is None else self.dominance_epistatic * scale[:, None],
        )

    def qtl(self, trait: int) -> Rows:
        """The loci of a trait, in ascending order."""
        causal = self.additive[:, trait] != 0
        if self.dominance is not None:
            causal |= self.dominance[:, trait] != 0
        causal[self.pairs[trait]] = True
        return np.flatnonzero(causal)

    @cached_property
    def groups(self) -> list[slice]:
        """Consecutive traits that share their QTL and their pairs."""
        qtl = [self.qtl(trait) for trait in range(len(self.pairs))]
        starts = [
            trait
            for trait, loci in enumerate(qtl)
            if not trait or not np.array_equal(loci, qtl[trait - 1]) or (self.pairs[trait] != self.pairs[trait - 1]).any()
        ]
        return [slice(start, stop) for start, stop in pairwise([*starts, len(qtl)])]

    def parts_of(self, counts: ByteArray, highest: int) -> FloatArray:
        """Of individuals with the counts (n, m), 0 to `highest`, none missing: additive, dominance, epistatic and dominance epistatic part.

        (4, n, T), without the intercept. Four QTL, or two pairs, are one look-up in a table of 256 sums, as in `parts`: the
        result does not depend on how many individuals, or traits, are computed together.
        """
        parts = np.zeros((4, len(counts), len(self.pairs)))
        x, het = np.array([0, 1, 2, 0]) * 2.0 / highest - 1, np.array([0.0, float(highest == 2), 0.0, 0.0])
        for traits in self.groups:
            qtl, pairs = self.qtl(traits.start), self.pairs[traits.start]
            loci, partners = (np.ascontiguousarray(pack_counts(counts[:, of]).T) for of in (qtl, pairs.ravel()))
            parts[0][:, traits] = _look_up(_sums_of_loci(self.additive[qtl, traits], x), loci)
            parts[2][:, traits] = _look_up(_sums_of_pairs(self.epistatic[traits].T, x), partners)
            if self.dominance is not None and self.dominance_epistatic is not None and highest == 2:
                parts[1][:, traits] = _look_up(_sums_of_loci(self.dominance[qtl, traits], het), loci)
                parts[3][:, traits] = _look_up(_sums_of_pairs(self.dominance_epistatic[traits].T, het), partners)
        return parts

    def total(self, parts: FloatArray) -> FloatArray:
        """Genetic values (n, T) of what `parts_of` gives."""
        return np.asarray(self.intercept + parts[0] + parts[1] + parts[2] + parts[3])

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


def _sums_of_loci(weights: FloatArray, code: FloatArray) -> FloatArray:
    """Σ weight·code of the four counts of a byte, of every byte's 256 values: (ceil(q / 4), 256, T), for weights (q, T)."""
    four = _padded(weights, 4)
    sums = four[:, 0, None] * code[TWO_BITS[:, 0], None]
    for place in (1, 2, 3):
        sums += four[:, place, None] * code[TWO_BITS[:, place], None]
    return sums


def _sums_of_pairs(weights: FloatArray, code: FloatArray) -> FloatArray:
    """Σ weight·code·code of the two pairs of counts of a byte, of every byte's 256 values: (ceil(P / 2), 256, T), for weights (P, T)."""
    two, products = _padded(weights, 2), code[TWO_BITS[:, 0::2]] * code[TWO_BITS[:, 1::2]]
    return two[:, 0, None] * products[:, 0, None] + two[:, 1, None] * products[:, 1, None]


def _padded(weights: FloatArray, size: int) -> FloatArray:
    """Weights (m, T) in parts of `size`, 0 where there are too few: (ceil(m / size), size, T)"""
    n_parts, n_traits = -(-len(weights) // size), weights.shape[1]
    padded = np.zeros((n_parts * size, n_traits))
    padded[: len(weights)] = weights
    return padded.reshape(n_parts, size, n_traits)


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
