"""Importer of VCF and BCF files, by cyvcf2. The counted allele is ALT; sites with several ALT alleles are left out."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cyvcf2
import numpy as np

from gpatlas.data.genotypes import MISSING, ByteArray
from gpatlas.data.importing import import_population, loci_at_once
from gpatlas.data.population import Loci
from gpatlas.data.settings import ImportVcfSettings
from gpatlas.data.sources import SourceError
from gpatlas.data.text_tables import Person
from gpatlas.progress import Progress

NO_CALL, NO_ALLELE = -1, -2  # as cyvcf2 has them; the second fills up calls of lower ploidy


def run(settings: ImportVcfSettings, source: Path, out: Path, progress: Progress) -> None:
    """Import the VCF or BCF file `source`."""
    import_population("import-vcf", settings, lambda ids: VcfFile(source), source, out, progress)


class VcfFile:
    """A VCF whose calls are all haploid or all diploid; a call is whole or missing."""

    ploidy = 0

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped: Counter[str] = Counter()
        try:
            self._file = path.open("rb")
            self._records = cyvcf2.VCF(self._file)
        except Exception as error:  # cyvcf2 has no class for it
            if path.is_file() and "parse VCF header" in str(error):
                error.args = (f"{error}: its #CHROM line must name every individual once, separated by tabs",)
            raise SourceError(f"{path}: not a readable VCF or BCF file ({error})") from error
        self.people = [Person(name) for name in self._records.samples]
        if not self.people:
            raise SourceError(f"{path}: holds no individuals")

    def where(self, row: int) -> str:
        return f"{self.path}, individual {row + 1} of the #CHROM line"

    def done(self) -> tuple[int, int]:
        return os.lseek(self._file.fileno(), 0, os.SEEK_CUR), self.path.stat().st_size

    def blocks(self) -> Iterator[tuple[ByteArray, Loci]]:
        counts: list[ByteArray] = []
        loci: list[tuple[str, str, int, str, str]] = []
        for record in self._each():
            if len(record.ALT) > 1:
                self.skipped["multi_allelic"] += 1
                continue
            counts.append(self._counts(record))
            loci.append((record.ID or ".", record.CHROM, record.POS, (record.ALT or ["."])[0], record.REF))
            if len(counts) == loci_at_once(len(self.people)):
                yield np.stack(counts), _columns(loci)
                counts, loci = [], []
        if counts:
            yield np.stack(counts), _columns(loci)

    def _each(self) -> Iterator[Any]:
        place = "the header"
        try:
            for record in self._records:
                yield record
                place = f"{record.CHROM}:{record.POS}"
        except SourceError:
            raise
        except Exception as error:  # cyvcf2 has no class for it
            raise SourceError(f"{self.path}: is cut short or broken after {place} ({error})") from error

    def _counts(self, record: Any) -> ByteArray:
        """(n,) how often ALT is there."""
        place = f"{self.path}, site {record.CHROM}:{record.POS}"
        if "GT" not in record.FORMAT:
            raise SourceError(f"{place}: the record has no genotypes (GT); leave such sites out")
        calls = record.genotype.array()[:, :-1]
        if calls.shape[1] > 2:
            raise SourceError(f"{place}: calls have {calls.shape[1]} alleles, only haploids and diploids can be imported")
        missing, absent = (calls == NO_CALL).any(axis=1), (calls == NO_ALLELE).any(axis=1)
        half = missing & (calls >= 0).any(axis=1)
        if half.any():
            who = self.people[int(half.argmax())]
            raise SourceError(f"{place}: individual {who} has a half-call, one allele of two; set such calls to missing, ./.")
        if not missing.all():
            self.ploidy = self.ploidy or calls.shape[1]
        mixed = absent & ~missing if calls.shape[1] == self.ploidy else ~missing
        if mixed.any():
            who = self.people[int(mixed.argmax())]
            raise SourceError(
                f"{place}: individual {who} has another number of alleles than others or than at other sites (a sex chromosome?); "
                "leave such sites out, or write haploid calls as homozygous ones"
            )
        return np.where(missing, MISSING, (calls > 0).sum(axis=1)).astype(np.uint8)


def _columns(loci: list[tuple[str, str, int, str, str]]) -> Loci:
    names, chromosomes, positions, counted, other = zip(*loci, strict=True)
    texts = (np.array(values, np.str_) for values in (names, chromosomes, counted, other))
    name, chromosome, counted_allele, other_allele = texts
    return Loci(name, chromosome, np.array(positions, np.int64), counted_allele, other_allele)
