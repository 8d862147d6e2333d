"""Who of a user's files is imported: those with genotypes, a phenotype and, where asked for, a group and covariates."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpatlas.data.covariates import Covariates, coded, is_numeric, number
from gpatlas.data.genotypes import FloatArray, Rows
from gpatlas.data.imported import Individuals
from gpatlas.data.matching import IndividualTable, People, check_unique, match
from gpatlas.data.settings import OwnDataSettings
from gpatlas.data.sources import SourceError
from gpatlas.data.text_tables import MISSING_VALUES, TextTable, trait_names
from gpatlas.settings import nearest

FEWEST = 20  # individuals with a phenotype, of every trait
SUSPECT = -9.0  # missing in PLINK's own files
Matches = dict[int, int]  # row of the genotypes to row of a table


@dataclass(frozen=True)
class Tables:
    """The phenotypes (n, T) of the chosen `traits`, NaN where missing, and the covariates, as their files have them."""

    traits: tuple[str, ...]
    table: IndividualTable
    phenotypes: FloatArray
    groups: list[str] | None
    covariates: IndividualTable | None
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, settings: OwnDataSettings) -> "Tables":
        path, group = settings.phenotypes, settings.group_column
        traits = _chosen(settings)
        table = IndividualTable.read(path, settings.id_column, [*traits, *([group] if group else [])])
        phenotypes = np.column_stack([_numbers(table, trait) for trait in traits])
        suspects = {trait: int(n) for trait, n in zip(traits, (phenotypes == SUSPECT).sum(axis=0), strict=True) if n}
        warnings = [
            f"{path}: {n} values of {trait!r} are -9 and were taken as numbers; write NA where a value is missing"
            for trait, n in suspects.items()
        ]
        covariates = None
        if settings.covariates is not None:
            own_column = settings.id_column if settings.id_column in TextTable.open(settings.covariates).header else None
            covariates = IndividualTable.read(settings.covariates, own_column)
        return cls(traits, table, phenotypes, table.values[group] if group else None, covariates, warnings)

    def ids(self) -> frozenset[str]:
        """Every name by which the phenotypes' individuals may be found."""
        return frozenset(name for person in self.table.people for name in (person.id, person.joined) if name)


@dataclass(frozen=True)
class Joined:
    """The individuals to import, and which rows of the genotypes they are; `report`: how many are left out, and why."""

    individuals: Individuals
    rows: Rows
    report: dict[str, Any]


def join(genotyped: People, tables: Tables) -> Joined:
    """Ordered by the hashes of group and id: at random, whole groups together, and whatever the order in the files."""
    check_unique(genotyped)
    phenotyped = match(genotyped, tables.table)
    described = match(genotyped, tables.covariates) if tables.covariates else {}
    kept, report = _kept(genotyped, tables, phenotyped, described)
    names = tables.table.names()
    order = sorted(kept, key=lambda row: (_hash(tables.groups, kept[row]), _hash(names, kept[row])))
    own = [kept[row] for row in order]
    phenotypes = tables.phenotypes[own]
    check_traits(tables, phenotypes)
    ids = [names[row] for row in own]
    covariates = Covariates((), np.zeros((len(own), 0)))
    if tables.covariates:
        covariates = _covariates(tables.covariates, [described[row] for row in order], ids)
        report["constant_covariates"] = list(covariates.dropped)
    groups = None if tables.groups is None else np.array([tables.groups[row] for row in own], np.str_)
    individuals = Individuals(np.array(ids, np.str_), groups, tables.traits, phenotypes, covariates.names, covariates.values)
    return Joined(individuals, np.array(order, np.intp), report)


def _kept(genotyped: People, tables: Tables, phenotyped: Matches, described: Matches) -> tuple[Matches, dict[str, Any]]:
    """Of those `phenotyped`, who has all that is needed; and how many have not. `described`: those with covariates."""
    kept = {row: own for row, own in phenotyped.items() if not np.isnan(tables.phenotypes[own]).all()}
    report: dict[str, Any] = {
        "in_genotypes_only": len(genotyped.people) - len(phenotyped),
        "in_phenotypes_only": len(tables.table.people) - len(phenotyped),
        "without_phenotype": len(phenotyped) - len(kept),
    }
    if tables.groups is not None:
        before, kept = len(kept), {row: own for row, own in kept.items() if tables.groups[own] not in MISSING_VALUES}
        report["without_group"] = before - len(kept)
    if tables.covariates is not None:
        report["in_covariates_only"] = len(tables.covariates.people) - len(described.keys() & phenotyped.keys())
        columns = tables.covariates.values.values()
        complete = {row for row, own in described.items() if not any(column[own] in MISSING_VALUES for column in columns)}
        before, kept = len(kept), {row: own for row, own in kept.items() if row in complete}
        report["without_covariates"] = before - len(kept)
    return kept, report


def check_traits(tables: Tables, phenotypes: FloatArray) -> None:
    """SourceError where a trait is constant, or measured in too few of the individuals, whose `phenotypes` (n, T) these are."""
    for trait, values in zip(tables.traits, phenotypes.T, strict=True):
        values = values[~np.isnan(values)]
        if len(values) < FEWEST:
            raise SourceError(
                f"{tables.table.path}: {trait!r} has {len(values)} phenotypes of individuals that can be imported, "
                f"at least {FEWEST} are needed; leave it out with --traits, or check the ids"
            )
        if values.min() == values.max():
            raise SourceError(f"{tables.table.path}: {trait!r} is {values[0]:g} in every individual; leave it out with --traits")


def _chosen(settings: OwnDataSettings) -> tuple[str, ...]:
    path, group = settings.phenotypes, settings.group_column
    known = trait_names(path, settings.id_column, group)
    if settings.traits is None:
        return known
    for trait in settings.traits:
        if trait == group:
            raise SourceError(f"{path}: {trait!r} is the group column, not a trait")
        if trait not in known:
            raise SourceError(f"{path}: has no trait {trait!r}{nearest(trait, list(known))}")
    if len(set(settings.traits)) < len(settings.traits):
        raise SourceError(f"{path}: a trait is asked for twice: {', '.join(settings.traits)}")
    return settings.traits


def _numbers(table: IndividualTable, trait: str) -> FloatArray:
    values = np.full(len(table.people), np.nan)
    for row, text in enumerate(table.values[trait]):
        if text in MISSING_VALUES:
            continue
        value = number(text)
        if value is None:
            raise SourceError(
                f"{table.where(row)}: individual {table.people[row]}, {trait} is no finite number: {text[:40]!r}; "
                "write NA where it is missing, and choose the columns that are traits with --traits"
            )
        values[row] = value
    return values


def _covariates(table: IndividualTable, rows: list[int], ids: list[str]) -> Covariates:
    numeric = {name for name, column in table.values.items() if is_numeric(column)}
    return coded(table.path, {name: [column[row] for row in rows] for name, column in table.values.items()}, ids, numeric)


def _hash(names: Sequence[str] | None, row: int) -> str:
    return "" if names is None else hashlib.sha256(names[row].encode()).hexdigest()
