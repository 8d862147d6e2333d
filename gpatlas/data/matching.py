"""Finds the same individuals in different files, by their ids and, in PLINK's form, those of their families; never by their order."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gpatlas.data.sources import SourceError
from gpatlas.data.text_tables import FAMILY, INDIVIDUAL, Person, open_individuals

NO_FAMILY = "0"  # PLINK's word
EXAMPLES = 3


class People(Protocol):
    """A file of individuals; `where`: how messages call the place of one of them."""

    @property
    def path(self) -> Path: ...
    @property
    def people(self) -> Sequence[Person]: ...
    def where(self, row: int) -> str: ...


@dataclass(frozen=True)
class IndividualTable:
    """A table with a row per individual: who they are, in which lines, and the texts of the columns that were asked for."""

    path: Path
    people: list[Person]
    lines: list[int]
    values: dict[str, list[str]]

    @classmethod
    def read(cls, path: Path, id_column: str | None, chosen: Sequence[str] | None = None) -> "IndividualTable":
        """All columns, or those `chosen`. SourceError where an individual is there twice or has no id."""
        table, columns = open_individuals(path, id_column)
        people, lines, places = [], [], columns.groups()
        values: dict[str, list[str]] = {name: [] for name in (columns.values if chosen is None else chosen)}
        for line, fields in table.rows():
            person = columns.person(fields)
            if not person.id:
                raise SourceError(f"{path}, line {line}: the individual has no id")
            people.append(person)
            lines.append(line)
            for name, column in values.items():
                column.append(fields[places[name]].strip())
        found = cls(path, people, lines, values)
        check_unique(found)
        return found

    def where(self, row: int) -> str:
        return f"{self.path}, line {self.lines[row]}"

    def names(self) -> list[str]:
        """One for each individual: its id, or FID_IID where ids alone are there twice."""
        ids = [person.id for person in self.people]
        return ids if len(set(ids)) == len(ids) else [person.joined or person.id for person in self.people]


def check_unique(file: People) -> None:
    """SourceError where a file names an individual twice."""
    if len(set(file.people)) == len(file.people):
        return
    first: dict[Person, int] = {}
    for row, person in enumerate(file.people):
        if person in first:
            raise SourceError(f"{file.where(row)}: individual {person} is there twice, first in {file.where(first[person])}")
        first[person] = row


def match(genotyped: People, table: IndividualTable) -> dict[int, int]:
    """Row of the genotypes → row of the table, for every individual that both have.

    SourceError where there is none, and where an id is that of several.
    """
    named: dict[str, list[int]] = defaultdict(list)
    for row, person in enumerate(genotyped.people):
        for name in {person.id, person.joined} - {None}:
            named[str(name)].append(row)
    found: dict[int, int] = {}
    for row, person in enumerate(table.people):
        rows = named.get(person.joined or "", [])
        rows = rows or [other for other in named.get(person.id, []) if not _strangers(person, genotyped.people[other])]
        if len(rows) > 1:
            who = " and ".join(str(genotyped.people[other]) for other in rows[:EXAMPLES])
            raise SourceError(
                f"{table.where(row)}: {person} may be {who} of {genotyped.path}; give both columns, {FAMILY} and {INDIVIDUAL}"
            )
        for other in rows:
            if other in found:
                raise SourceError(f"{table.where(row)}: {person} is the same individual as {table.where(found[other])}")
            found[other] = row
    if not found:
        raise _nobody(genotyped, table)
    return found


def _strangers(one: Person, other: Person) -> bool:
    """Whether both have a family, and not the same."""
    families = {person.family for person in (one, other) if person.family not in (None, NO_FAMILY, person.id)}
    return len(families) > 1


def _nobody(genotyped: People, table: IndividualTable) -> SourceError:
    ours, theirs = genotyped.people, table.people
    hint = ""
    if {person.id.casefold() for person in ours} & {person.id.casefold() for person in theirs}:
        hint = "; the ids differ in upper and lower case, or in their families: write them alike"
    elif {part for person in ours for part in _ends(person.id)} & {person.id for person in theirs}:
        hint = f"; the genotypes' ids look like {FAMILY}_{INDIVIDUAL}: give the table columns {FAMILY} and {INDIVIDUAL}"
    elif {part for person in theirs for part in _ends(person.id)} & {person.id for person in ours}:
        hint = f"; the table's ids look like {FAMILY}_{INDIVIDUAL}: give it columns {FAMILY} and {INDIVIDUAL}"
    return SourceError(
        f"{table.path} and {genotyped.path} have no individual in common{hint}. "
        f"Ids of the table: {_examples(theirs)}; of the genotypes: {_examples(ours)}"
    )


def _ends(name: str) -> list[str]:
    """What may be the individual's id in FID_IID."""
    parts = name.split("_")
    return ["_".join(parts[start:]) for start in range(1, len(parts))]


def _examples(people: Sequence[Person]) -> str:
    return ", ".join(map(str, people[:EXAMPLES])) or "none"
