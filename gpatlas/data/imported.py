"""Writes the dataset file of an imported population, format 2 (gpatlas.data.layout lists what stands in it), a few loci at a time."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gpatlas.data.dataset import DESCRIBED_FORMAT, LOCKING, DatasetError
from gpatlas.data.genotypes import MISSING, ByteArray, FloatArray, blocks, pack, pack_counts, unpack_counts
from gpatlas.data.population import Loci, TextArray
from gpatlas.version import __version__

LOCI, ROWS = 1024, 4096  # of a chunk of the file


@dataclass(frozen=True)
class Individuals:
    """Who is imported: `ids` (n,), `phenotypes` (n, T) of the `traits`, NaN where not measured, `covariates` (n, C) in numbers."""

    ids: TextArray
    groups: TextArray | None
    traits: tuple[str, ...]
    phenotypes: FloatArray
    covariate_names: tuple[str, ...]
    covariates: FloatArray

    def rows(self, kept: Any) -> "Individuals":
        """Some of them, by a mask (n,) or row numbers."""
        groups = None if self.groups is None else self.groups[kept]
        return Individuals(self.ids[kept], groups, self.traits, self.phenotypes[kept], self.covariate_names, self.covariates[kept])


@dataclass
class PopulationWriter:
    """Streams the genotypes of `individuals` into `path`, locus after locus; the caller writes aside and renames."""

    path: Path
    individuals: Individuals
    n_loci: int = field(default=0, init=False)
    _file: h5py.File = field(init=False, repr=False)
    _waiting: list[ByteArray] = field(default_factory=list, init=False, repr=False)
    _loci: list[Loci] = field(default_factory=list, init=False, repr=False)

    def __enter__(self) -> "PopulationWriter":
        n = len(self.individuals.ids)
        self._file = h5py.File(self.path, "w", locking=LOCKING)
        self._genotypes = self._file.create_dataset(
            "genotypes", (n, 0), np.uint8, maxshape=(n, None), chunks=(min(n, ROWS), LOCI // 4), fillvalue=0
        )
        self._n_called, self._found = np.zeros(n, np.int64), np.zeros(4, bool)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, counts: ByteArray, loci: Loci) -> None:
        """Counts 0, 1, 2 or MISSING of further loci, (k, n)."""
        self._n_called += (counts != MISSING).sum(axis=0)
        self._found |= np.bincount(counts.ravel(), minlength=4) > 0
        self._waiting.append(counts)
        self._loci.append(loci)
        if sum(map(len, self._waiting)) >= LOCI:
            waiting = np.concatenate(self._waiting)
            whole = len(waiting) - len(waiting) % LOCI
            self._write_columns(waiting[:whole])
            self._waiting = [waiting[whole:]]

    def finish(self, ploidy: int, stage: str, attributes: dict[str, Any]) -> list[str]:
        """Write all but the genotypes. Returns the ids of those left out: without any call. DatasetError where no locus is left."""
        if self._waiting:
            self._write_columns(np.concatenate(self._waiting))
        if not self.n_loci:
            raise DatasetError(f"{attributes['source']}: no locus is left to import")
        kept = self._n_called > 0
        one_bit = ploidy == 1 and not self._found[2:].any()
        if one_bit or not kept.all():
            self._rewrite(kept, one_bit)
        individuals = self.individuals.rows(kept)
        write_tables(self._file, individuals, self._loci)
        bits = 1 if one_bit else 2
        facts = {"format_version": DESCRIBED_FORMAT, "n_loci": self.n_loci, "bits_per_locus": bits, "ploidy": ploidy}
        self._file.attrs.update({**facts, "simulator": stage, "simulator_version": __version__, **attributes})
        return [str(name) for name in self.individuals.ids[~kept]]

    def _write_columns(self, counts: ByteArray) -> None:
        packed, start = pack_counts(counts.T), self.n_loci // 4
        self.n_loci += len(counts)
        self._genotypes.resize(start + packed.shape[1], axis=1)
        self._genotypes[:, start:] = packed

    def _rewrite(self, kept: Any, one_bit: bool) -> None:
        """Rows that are not `kept` taken out, and the rest in one bit a locus where that does."""
        width, done = -(-self.n_loci // 8) if one_bit else self._genotypes.shape[1], 0
        for start, stop in blocks(len(kept), ROWS):
            rows = self._genotypes[start:stop][kept[start:stop]]
            rows = pack(unpack_counts(rows, self.n_loci)) if one_bit else rows
            self._genotypes[done : done + len(rows), :width] = rows
            done += len(rows)
        self._genotypes.resize((done, width))


def write_tables(file: h5py.File, individuals: Individuals, parts_of_loci: list[Loci]) -> None:
    """All of an open file of format 2 but genotypes, truth and attributes."""
    write_texts(file, "individuals/id", individuals.ids)
    if individuals.groups is not None:
        write_texts(file, "individuals/group", individuals.groups)
    file["phenotypes"] = individuals.phenotypes
    write_texts(file, "traits/name", np.array(individuals.traits))
    file["covariates"] = individuals.covariates
    file["covariates"].attrs["names"] = json.dumps(individuals.covariate_names)
    for name in (one.name for one in fields(Loci)):
        values = np.concatenate([getattr(loci, name) for loci in parts_of_loci])
        if values.dtype.kind == "U":
            write_texts(file, f"loci/{name}", values)
        else:
            file[f"loci/{name}"] = values


def write_texts(file: h5py.File, name: str, texts: TextArray) -> None:
    """A dataset of texts of any length."""
    file.create_dataset(name, data=texts.astype(object), dtype=h5py.string_dtype())
