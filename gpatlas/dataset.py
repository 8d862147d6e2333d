"""The dataset file: one simulated or imported population in HDF5, written once, read by every fit.

    /genotypes           uint8   (n_individuals, ceil(n_loci / 8))  alleles as bits, lowest bit first, spare bits 0
    /phenotypes          float64 (n_individuals, n_traits)
    /genetic_values      float64 (n_individuals, n_traits)          absent where the source does not give them
    /effects/additive    float64 (n_loci, n_traits)                 0 at neutral loci
    /effects/pairs       int32   (n_traits, n_qtl / 2, 2)           positions of the two loci, 0-based
    /effects/epistatic   float64 (n_traits, n_qtl / 2)
    /effects/intercept   float64 (n_traits,)

With x = 2·allele − 1, genetic value = intercept + Σ additive·x + Σ epistatic·x_i·x_j. The bits are AlphaSimR's own
packing. Attributes: format_version, n_loci, n_qtl, h2, seed (-1: unknown), simulator, simulator_version, trait_groups
(JSON), and per trait rel_aa (NaN: unknown), v_a, v_aa and v_a_over_v_g as realised in this population.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

FORMAT_VERSION = 1
LOOKUP_BLOCK = 4096  # individuals whose look-ups fit the processor's cache
SPREAD = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").view(np.uint64)[:, 0]  # a byte per bit
ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


class DatasetError(ValueError):
    """A file is not a dataset this version can read, or input data are broken. The message names the file."""


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


@dataclass(frozen=True)
class Effects:
    """What makes genetic values: `additive` (n_loci, T), `pairs` (T, P, 2), `epistatic` (T, P), `intercept` (T,)."""

    additive: FloatArray
    pairs: npt.NDArray[np.int32]
    epistatic: FloatArray
    intercept: FloatArray

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
        eight |= np.take(SPREAD << np.uint64(bit), differs[bit::8], mode="clip")
    return eight.view(np.uint8)


@dataclass(frozen=True)
class TraitFacts:
    """Per trait: declared rel_aa (NaN where unknown), realised V_A, V_AA and V_A/V_G in this population."""

    rel_aa: FloatArray
    v_a: FloatArray
    v_aa: FloatArray
    v_a_over_v_g: FloatArray


@dataclass
class DatasetWriter:
    """Streams one dataset into `path`; the caller writes aside and renames."""

    path: Path
    n_individuals: int
    n_loci: int
    n_traits: int
    with_genetic_values: bool = True
    _file: h5py.File = field(init=False, repr=False)

    def __enter__(self) -> "DatasetWriter":
        self._file = h5py.File(self.path, "w")
        self._file.create_dataset("genotypes", (self.n_individuals, -(-self.n_loci // 8)), np.uint8)
        names = ["phenotypes", "genetic_values"] if self.with_genetic_values else ["phenotypes"]
        for name in names:
            self._file.create_dataset(name, (self.n_individuals, self.n_traits), np.float64)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write_rows(self, name: str, start: int, rows: ByteArray | FloatArray) -> None:
        self._file[name][start : start + len(rows)] = rows

    def write_genotype_columns(self, start: int, columns: ByteArray) -> None:
        """Packed bytes (n_individuals, k) of the loci from 8·start on."""
        self._file["genotypes"][:, start : start + columns.shape[1]] = columns

    def read_rows(self, name: str, start: int, stop: int) -> Any:
        return self._file[name][start:stop]

    def finish(self, effects: Effects, facts: TraitFacts, attributes: dict[str, Any]) -> None:
        for name in ("additive", "pairs", "epistatic", "intercept"):
            self._file.create_dataset(f"effects/{name}", data=getattr(effects, name))
        for name in ("rel_aa", "v_a", "v_aa", "v_a_over_v_g"):
            self._file.attrs[name] = getattr(facts, name)
        self._file.attrs.update(attributes)
        self._file.attrs["n_loci"] = self.n_loci
        self._file.attrs["n_qtl"] = 2 * effects.pairs.shape[1]
        self._file.attrs["format_version"] = FORMAT_VERSION


class Dataset:
    """A dataset file opened for reading. Raises DatasetError where the file is not one, or of another version."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise DatasetError(f"{path}: not a readable HDF5 file ({error})") from error
        version = self._file.attrs.get("format_version")
        if version != FORMAT_VERSION:
            self._file.close()
            raise DatasetError(f"{path}: dataset format version {version}, this version of gpatlas reads {FORMAT_VERSION}")
        missing = [name for name in ("genotypes", "phenotypes", "effects") if name not in self._file]
        missing += [name for name in ("n_loci", "n_qtl", "h2", "trait_groups") if name not in self._file.attrs]
        if missing:
            self._file.close()
            raise DatasetError(f"{path}: not a whole dataset file, it lacks {', '.join(missing)}")
        self.path = path
        self.attributes: dict[str, Any] = dict(self._file.attrs)
        self.n_loci = int(self.attributes["n_loci"])
        self.n_individuals, self.n_traits = self._file["phenotypes"].shape

    def __enter__(self) -> "Dataset":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def phenotypes(self) -> FloatArray:
        """(n_individuals, n_traits)"""
        return np.asarray(self._file["phenotypes"][:])

    def genetic_values(self) -> FloatArray | None:
        """(n_individuals, n_traits), or None where the source does not give them."""
        return np.asarray(self._file["genetic_values"][:]) if "genetic_values" in self._file else None

    def genotypes(self) -> Genotypes:
        return Genotypes(np.asarray(self._file["genotypes"][:]), self.n_loci)

    def effects(self) -> Effects:
        group = self._file["effects"]
        return Effects(group["additive"][:], group["pairs"][:], group["epistatic"][:], group["intercept"][:])

    def facts(self) -> list[dict[str, Any]]:
        """One row per trait: the parameters of the population and of the trait, as columns of a table."""
        groups = json.loads(self.attributes["trait_groups"])
        correlations = [group["genetic_correlation"] for group in groups for _ in range(group["n_traits"])]
        shared = {
            "n_individuals": self.n_individuals,
            "n_loci": self.n_loci,
            "n_qtl": int(self.attributes["n_qtl"]),
            "n_traits": self.n_traits,
            "n_trait_groups": len(groups),
            "h2": float(self.attributes["h2"]),
            "simulator": str(self.attributes["simulator"]),
        }
        names = ("rel_aa", "v_a", "v_aa", "v_a_over_v_g")
        return [
            {**shared, "genetic_correlation": correlations[trait], **{name: float(self.attributes[name][trait]) for name in names}}
            for trait in range(self.n_traits)
        ]


def blocks(n: int, size: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of consecutive blocks of `size` that cover range(n)."""
    for start in range(0, n, size):
        yield start, min(start + size, n)
