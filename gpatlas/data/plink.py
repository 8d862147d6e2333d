"""Importer of PLINK 1 files: .bed (two bits a call, locus after locus), .bim (a line per locus), .fam (a line per individual).

The counted allele is A1, the fifth column of the .bim. Phenotypes and parents of the .fam are not read.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gpatlas.data.genotypes import MISSING, TWO_BITS, ByteArray, blocks
from gpatlas.data.importing import import_population, loci_at_once
from gpatlas.data.population import Loci
from gpatlas.data.settings import ImportPlinkSettings
from gpatlas.data.sources import SourceError
from gpatlas.data.text_tables import Person, open_text, plink_files
from gpatlas.progress import Progress

MAGIC, LOCUS_MAJOR, INDIVIDUAL_MAJOR = b"\x6c\x1b", b"\x01", b"\x00"
HEADER_BYTES = 3
COUNTS = np.array([2, MISSING, 1, 0], np.uint8)  # of A1, by the two bits of a call
FOUR_COUNTS = COUNTS[TWO_BITS].view(np.uint32)[:, 0]  # by byte, the lowest bits first


def run(settings: ImportPlinkSettings, source: Path, out: Path, progress: Progress) -> None:
    """Import the .bed file `source` and its .bim and .fam."""
    import_population("import-plink", settings, lambda ids: PlinkFile(source), source, out, progress)


class PlinkFile:
    """A .bed with its .bim and .fam, whose sizes agree."""

    ploidy = 2

    def __init__(self, bed: Path) -> None:
        self.path, self._bim, self._fam = plink_files(bed)
        self.skipped: Counter[str] = Counter()
        self._read = 0
        self.people = [Person(fields[1], fields[0]) for _, fields in _lines(self._fam)]
        loci = [fields for _, fields in _lines(self._bim)]
        for path, count in ((self._fam, len(self.people)), (self._bim, len(loci))):
            if not count:
                raise SourceError(f"{path}: is empty")
        columns = [np.array([fields[column] for fields in loci], np.str_) for column in (1, 0, 4, 5)]
        self.loci = Loci(columns[0], columns[1], self._positions(loci), columns[2], columns[3])
        self._check_bed()

    def where(self, row: int) -> str:
        return f"{self._fam}, line {row + 1}"

    def done(self) -> tuple[int, int]:
        return self._read, len(self.loci.id)

    def blocks(self) -> Iterator[tuple[ByteArray, Loci]]:
        n, width = len(self.people), self._width()
        with self.path.open("rb") as bed:
            bed.seek(HEADER_BYTES)
            for start, stop in blocks(len(self.loci.id), loci_at_once(n)):
                packed = np.fromfile(bed, np.uint8, (stop - start) * width).reshape(-1, width)
                self._read = stop
                part = {name: values[start:stop] for name, values in vars(self.loci).items()}
                yield FOUR_COUNTS.take(packed).view(np.uint8).reshape(stop - start, -1)[:, :n], Loci(**part)

    def _width(self) -> int:
        """Bytes of a locus."""
        return -(-len(self.people) // 4)

    def _positions(self, loci: list[list[str]]) -> npt.NDArray[np.int64]:
        for line, fields in enumerate(loci, start=1):
            if not fields[3].lstrip("-").isdecimal():
                raise SourceError(f"{self._bim}, line {line}: position {fields[3][:40]!r} is no whole number")
        return np.array([int(fields[3]) for fields in loci], np.int64)

    def _check_bed(self) -> None:
        with self.path.open("rb") as bed:
            start = bed.read(HEADER_BYTES)
        if start == MAGIC + INDIVIDUAL_MAJOR:
            raise SourceError(f"{self.path}: stored by individuals, not by loci; write it anew with plink1.9 --make-bed")
        if start != MAGIC + LOCUS_MAJOR:
            raise SourceError(f"{self.path}: not a PLINK 1 .bed file, it starts with {start.hex(' ') or 'nothing'} instead of 6c 1b 01")
        n, n_loci, size = len(self.people), len(self.loci.id), self.path.stat().st_size
        expected = HEADER_BYTES + n_loci * self._width()
        if size != expected:
            raise SourceError(
                f"{self.path}: has {size} bytes, but {n} individuals of {self._fam.name} and {n_loci} loci of {self._bim.name} "
                f"make {expected}: it is cut short, or the files do not belong together"
            )


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line from 1, its six fields) of a .bim or .fam."""
    with open_text(path) as text:
        for line, content in enumerate(text, start=1):
            fields = content.split()
            if len(fields) != 6:
                raise SourceError(f"{path}, line {line}: has {len(fields)} fields separated by spaces, a {path.suffix} has 6")
            yield line, fields
