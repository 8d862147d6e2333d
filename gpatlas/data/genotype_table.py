"""Importer of genotype tables: a row per individual and a column per locus, or the other way round.

One coding in a file: counts 0, 1, 2 of an allele; 0 and 1 in haploids or inbred lines; a letter (A/B, B/R, nucleotides) in those; or two
letters (AA, AG, A/G) in diploids. Of letters the alphabetically later one is counted, of numbers the allele whose count they are.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np

from gpatlas.data.cells import NUMBERS, CellError, Cells, Letters
from gpatlas.data.genotypes import MISSING, ByteArray, Genotypes, blocks, pack_counts, unpack_counts
from gpatlas.data.importing import import_population, loci_at_once
from gpatlas.data.population import Loci
from gpatlas.data.settings import ImportTableSettings
from gpatlas.data.sources import SourceError
from gpatlas.data.text_tables import Person, TextTable
from gpatlas.progress import Progress

PLACE = re.compile(r"(?:^|[_.:-])(chr(?:[0-9]+[A-Z]?|[IVX]+|[XYZWM]|MT))[_.:-]([0-9]+)(?=$|[_.:-])")  # in a locus's name
CHROMOSOME, POSITION = frozenset({"chromosome", "chrom", "chr"}), frozenset({"position", "pos", "bp"})  # columns, where rows are loci
RAW = ("PAT", "MAT", "SEX", "PHENOTYPE")  # columns of PLINK's .raw that are no loci
EXAMPLES = 3


def run(settings: ImportTableSettings, source: Path, out: Path, progress: Progress) -> None:
    """Import the table `source`."""
    import_population("import-table", settings, lambda ids: GenotypeTable(source, settings.orientation, ids), source, out, progress)


class GenotypeTable:
    """A table of genotypes, read as a whole into two bits a call. `ids`: of individuals, by which it is seen what its rows are."""

    def __init__(self, path: Path, orientation: str, ids: frozenset[str]) -> None:
        self.path, self._table = path, TextTable.open(path)
        self.skipped: Counter[str] = Counter()
        named = self._table.columns(None)
        rows = [(line, named.person(fields)) for line, fields in self._table.rows()]
        if not rows:
            raise SourceError(f"{path}: has no row below its header")
        self._lines, down = [line for line, _ in rows], [person for _, person in rows]
        self._by_loci = self._found_orientation(down, ids) if orientation == "auto" else orientation == "loci"
        self._place = {
            kind: next((column for name, column in named.values.items() if self._by_loci and name.casefold() in kind), None)
            for kind in (CHROMOSOME, POSITION)
        }
        others = {*self._place.values(), *(named.values.get(name) for name in RAW if named.family is not None)}
        self._columns = [column for column in named.values.values() if column not in others]
        across = [Person(self._table.header[column]) for column in self._columns]
        self.people = across if self._by_loci else down
        self._loci = [person.id for person in (down if self._by_loci else across)]
        self._places: list[tuple[str, int]] = [_place_in(name) for name in self._loci]
        self._cells, self._letters = Cells(), Letters(len(self._loci))
        self._packed = self._read()
        self.ploidy = self._cells.ploidy
        self._handed_out = 0

    def where(self, row: int) -> str:
        return f"{self.path}, line 1, column {self._columns[row] + 1}" if self._by_loci else f"{self.path}, line {self._lines[row]}"

    def done(self) -> tuple[int, int]:
        return self._handed_out, len(self._loci)

    def blocks(self) -> Iterator[tuple[ByteArray, Loci]]:
        n, n_loci = len(self.people), len(self._loci)
        if self._by_loci:
            rows = ((slice(start, stop), unpack_counts(self._packed[start:stop], n)) for start, stop in blocks(n_loci, loci_at_once(n)))
        else:
            columns = Genotypes(self._packed, n_loci, bits=2, highest=2).locus_blocks(loci_at_once(n))
            rows = ((part, counts.T) for part, counts in columns)
        for part, counts in rows:
            self._handed_out = part.stop
            yield self._later_letter(counts, part), self._described(part)

    def _found_orientation(self, rows: list[Person], ids: frozenset[str]) -> bool:
        """Whether rows are loci."""
        down, across = [person.id for person in rows], list(self._table.header[1:])
        of_rows = sum(person.id in ids or person.joined in ids for person in rows)
        of_columns = sum(name in ids for name in across)
        if bool(of_rows) == bool(of_columns):
            found = f"of both {of_rows} rows and {of_columns} columns" if of_rows else "neither of rows nor of columns"
            raise SourceError(
                f"{self.path}: the ids of the phenotypes are {found}: individuals must have the same ids in both files, and what rows are "
                f"may be told by --orientation individuals or loci. Rows: {_examples(down)}; columns: {_examples(across)}; "
                f"phenotypes: {_examples(sorted(ids))}"
            )
        return not of_rows

    def _read(self) -> ByteArray:
        """All calls (rows, bytes), rows and columns as in the file; of letters, counts of the `second`."""
        packed = np.empty((len(self._lines), -(-len(self._columns) // 4)), np.uint8)
        pick = itemgetter(*self._columns) if len(self._columns) > 1 else lambda fields: (fields[self._columns[0]],)
        for row, (line, fields) in enumerate(self._table.rows()):
            try:
                codes = self._cells.codes(pick(fields))
            except CellError:
                raise self._explained(line, fields) from None
            counts = self._cells.counts[codes] if self._cells.coding == NUMBERS else self._count(row, line, codes)
            packed[row] = pack_counts(counts[None])
            if self._by_loci:
                self._places[row] = self._told(line, fields, self._places[row])
        return packed

    def _count(self, row: int, line: int, codes: ByteArray) -> ByteArray:
        alleles, letters = self._cells.alleles[codes], self._letters
        ploidy = self._cells.ploidy
        counts = letters.count_locus(row, alleles, ploidy) if self._by_loci else letters.count(alleles, ploidy)
        strange = letters.strange(alleles, slice(row, row + 1) if self._by_loci else slice(None))
        if strange.any():
            column = int(strange.argmax())
            locus = row if self._by_loci else column
            cell = "".join(map(chr, np.unique(alleles[column])))
            raise SourceError(
                f"{self.path}, line {line}, column {self._columns[column] + 1}: locus {self._loci[locus]!r} has a third letter, {cell!r} "
                f"beside {letters.text(locus)}; loci must have two (heterozygotes are two letters, AG, or counts 0, 1, 2)"
            )
        return counts

    def _explained(self, line: int, fields: list[str]) -> SourceError:
        """The error for the first cell that is no call."""
        for column in self._columns:
            try:
                self._cells.codes([fields[column]])
            except CellError as error:
                return SourceError(f"{self.path}, line {line}, column {column + 1} ({self._table.header[column]}): {error}")
        raise AssertionError("every cell is a call")

    def _told(self, line: int, fields: list[str], place: tuple[str, int]) -> tuple[str, int]:
        """Chromosome and position where columns tell them, else `place`."""
        chromosome, position = self._place[CHROMOSOME], self._place[POSITION]
        if position is not None and not fields[position].strip().isdecimal():
            raise SourceError(f"{self.path}, line {line}, column {position + 1}: position {fields[position][:40]!r} is no whole number")
        return (
            place[0] if chromosome is None else fields[chromosome].strip(),
            place[1] if position is None else int(fields[position]),
        )

    def _later_letter(self, counts: ByteArray, part: slice) -> ByteArray:
        """The same calls as counts of the alphabetically later letter."""
        first, second = self._letters.first[part], self._letters.second[part]
        other = np.where(counts == MISSING, MISSING, self.ploidy - counts).astype(np.uint8)
        return np.where(((second != 0) & (second < first))[:, None], other, counts)

    def _described(self, part: slice) -> Loci:
        chromosomes, positions = zip(*self._places[part], strict=True)
        first, second = self._letters.first[part], self._letters.second[part]
        if self._cells.coding == NUMBERS:
            counted, other = [str(self.ploidy)] * len(first), ["0"] * len(first)
        else:
            counted, other = _texts(np.maximum(first, second)), _texts(np.where(second, np.minimum(first, second), 0))
        texts = (np.array(values, np.str_) for values in (self._loci[part], chromosomes, counted, other))
        name, chromosome, counted_allele, other_allele = texts
        return Loci(name, chromosome, np.array(positions, np.int64), counted_allele, other_allele)


def _place_in(name: str) -> tuple[str, int]:
    """Chromosome and position where the name of a locus has them beyond doubt, else '' and 0."""
    found = PLACE.findall(name)
    return (found[0][0], int(found[0][1])) if len(found) == 1 else ("", 0)


def _texts(letters: ByteArray) -> list[str]:
    return [chr(letter) if letter else "" for letter in letters]


def _examples(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:EXAMPLES])) or "none"
