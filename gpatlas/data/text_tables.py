"""A user's own files: which they are, and the tables among them, as the importers and the driver read them.

Standard library only on purpose: the driver fingerprints files and lists traits without numpy.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gpatlas.data.sources import BROKEN, SourceError, decompressed
from gpatlas.settings import nearest

MISSING_VALUES = frozenset({"", "NA", "NaN", "nan"})
DELIMITERS = "\t,;"  # the first that the header has; else any number of spaces
FAMILY, INDIVIDUAL = "FID", "IID"  # the ids' columns in tables of PLINK's form


def files_of(stage: str, source: Path) -> tuple[Path, ...]:
    """The files with the genotypes that an import stage reads where it is given `source`. SourceError where PLINK's are incomplete."""
    return plink_files(source) if stage == "import-plink" else (source,)


def plink_files(bed: Path) -> tuple[Path, Path, Path]:
    """The .bed, .bim and .fam of one PLINK data set."""
    if bed.suffix != ".bed":
        raise SourceError(f"{bed}: name the .bed file; its .bim and .fam are looked for beside it")
    files = bed, bed.with_suffix(".bim"), bed.with_suffix(".fam")
    for path in files:
        if not path.is_file():
            raise SourceError(f"{path}: no such file; a .bed needs its .bim and .fam beside it, with the same name")
    return files


def trait_names(phenotypes: Path, id_column: str | None = None, group_column: str | None = None) -> tuple[str, ...]:
    """The columns of a phenotype table that are traits: all but the ids and the group."""
    _, columns = open_individuals(phenotypes, id_column)
    if group_column is not None and group_column not in columns.groups():
        raise SourceError(f"{phenotypes}: has no column {group_column!r} for the groups{nearest(group_column, list(columns.groups()))}")
    return tuple(name for name in columns.values if name != group_column)


def open_individuals(path: Path, id_column: str | None) -> "tuple[TextTable, TableColumns]":
    """A table with a row per individual, and its columns. SourceError where it starts with an individual instead of column names."""
    table = TextTable.open(path)
    columns = table.columns(id_column)
    value = next((name for name in columns.values if name in MISSING_VALUES or _is_value(name)), None)
    if value is not None:
        raise SourceError(f"{path}, line 1: {value!r} is a value, not the name of a column; a table starts with a line of column names")
    return table, columns


def _is_value(name: str) -> bool:
    """Whether it is a number that nobody takes for a name: not a year."""
    try:
        float(name)
    except ValueError:
        return False
    return not name.isdecimal()


@contextmanager
def open_text(path: Path) -> Iterator[io.TextIOWrapper]:
    """A text, compressed or not, as UTF-8. SourceError where it is none, also while it is read."""
    if path.is_dir():
        raise SourceError(f"{path}: is a folder, expected a file")
    if not path.exists():
        raise SourceError(f"{path}: no such file")
    with path.open("rb") as file:
        try:
            with io.TextIOWrapper(decompressed(file), "utf-8-sig", newline="") as text:
                yield text
        except UnicodeDecodeError as error:
            raise SourceError(f"{path}: is no text in UTF-8 ({error.reason}); save tables as CSV or tab-separated text") from error
        except BROKEN as error:
            raise SourceError(f"{path}: compressed file is cut short or broken: {error}") from error


class Person(NamedTuple):
    """How a file names an individual; `family`: PLINK's FID, None in files that have none."""

    id: str
    family: str | None = None

    @property
    def joined(self) -> str | None:
        """FID_IID, as PLINK writes it into files that have one id."""
        return None if self.family is None else f"{self.family}_{self.id}"

    def __str__(self) -> str:
        return repr(self.id) if self.family in (None, self.id) else f"{self.id!r} of family {self.family!r}"


@dataclass(frozen=True)
class TableColumns:
    """Where a table has the ids of its individuals and, in PLINK's form, of their families; `values`: its other columns, by name."""

    id: int
    family: int | None
    values: dict[str, int]

    def groups(self) -> dict[str, int]:
        """The columns that may be the group: those of values, and FID."""
        return self.values if self.family is None else {FAMILY: self.family, **self.values}

    def person(self, fields: Sequence[str]) -> Person:
        """Whose row these fields are."""
        return Person(fields[self.id].strip(), None if self.family is None else fields[self.family].strip())


@dataclass(frozen=True)
class TextTable:
    """A table in text, compressed or not: its delimiter and the fields of its header. Fields may be quoted."""

    path: Path
    delimiter: str
    header: tuple[str, ...]

    @classmethod
    def open(cls, path: Path) -> "TextTable":
        """A header with one field less than the first row, as R writes it, lacks the name of its first column."""
        with open_text(path) as text:
            first = text.readline()
        if not first.strip():
            raise SourceError(f"{path}: is empty, or its first line is; a table starts with a line of column names")
        delimiter = next((one for one in DELIMITERS if one in first), " ")
        rows = _rows(path, delimiter)
        header, second = next(rows)[1], next(rows, (0, []))[1]
        if len(second) == len(header) + 1:
            header.insert(0, "")
        return cls(path, delimiter, tuple(name.strip() for name in header))

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(line from 1, fields) of every row below the header, all as long as it; empty lines are passed over."""
        rows = _rows(self.path, self.delimiter)
        next(rows)
        for line, fields in rows:
            if len(fields) != len(self.header):
                raise SourceError(f"{self.path}, line {line}: has {len(fields)} fields, the header has {len(self.header)}")
            yield line, fields

    def columns(self, id_column: str | None) -> TableColumns:
        """Columns FID and IID hold the ids where there are both; else the column `id_column`, or the first, does."""
        repeated = [name for name, count in Counter(self.header).items() if count > 1]
        if repeated:
            raise SourceError(f"{self.path}, line 1: column {repeated[0]!r} is there twice; columns need names of their own")
        names = [name.removeprefix("#") for name in self.header]
        paired = FAMILY in names and INDIVIDUAL in names and id_column in (None, INDIVIDUAL)
        if id_column is not None and id_column not in names:
            raise SourceError(f"{self.path}: has no column {id_column!r} for the ids{nearest(id_column, names)}")
        own = names.index(INDIVIDUAL if paired else id_column or names[0])
        family = names.index(FAMILY) if paired else None
        values = {name: column for column, name in enumerate(names) if column not in (own, family)}
        if not values:
            raise SourceError(f"{self.path}: has no column beside the ids; columns are separated by tabs, commas, semicolons or spaces")
        if "" in values:
            raise SourceError(f"{self.path}, line 1: column {values[''] + 1} has no name")
        return TableColumns(own, family, values)


def _rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    with open_text(path) as text:
        lines = (line.strip() for line in text) if delimiter == " " else text
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != "\t")
        try:
            for fields in reader:
                if fields:
                    yield reader.line_num, fields
        except csv.Error as error:
            raise SourceError(f"{path}, line {reader.line_num}: not a table in text ({error})") from error
