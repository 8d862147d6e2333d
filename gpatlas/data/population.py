"""A population in memory: what a dataset file holds, and what a notebook works with."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import MISSING, FloatArray, Genotypes, Rows
from gpatlas.settings import nearest

TextArray = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Loci:
    """What is known of every locus, (n_loci,) each. `position` in base pairs; genotypes count the `counted_allele`."""

    id: TextArray
    chromosome: TextArray
    position: npt.NDArray[np.int64]
    counted_allele: TextArray
    other_allele: TextArray


@dataclass(frozen=True)
class Description:
    """What an imported population has beside genotypes and phenotypes.

    `ids` and, where there are families or the like, `groups` of n individuals; `trait_names` (T,); `covariates` (n, C) in numbers, called
    `covariate_names` (C,); `loci`; `ploidy` 1 or 2, as the genotypes were given.
    """

    ids: TextArray
    groups: TextArray | None
    trait_names: tuple[str, ...]
    covariates: FloatArray
    covariate_names: tuple[str, ...]
    loci: Loci
    ploidy: int

    def traits(self, chosen: list[int]) -> "Description":
        return replace(self, trait_names=tuple(self.trait_names[trait] for trait in chosen))

    def rows(self, rows: Rows) -> "Description":
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, ids=self.ids[rows], groups=groups, covariates=self.covariates[rows])


def numbers_from_1(n: int) -> TextArray:
    """As names."""
    return np.arange(1, n + 1).astype(np.str_)


def unnamed(n: int, n_loci: int, n_traits: int) -> Description:
    """Of the haploids of format 1: numbers for names, loci without places."""
    texts = [np.full(n_loci, text, np.str_) for text in ("", "B", "A")]
    loci = Loci(numbers_from_1(n_loci), texts[0], np.zeros(n_loci, np.int64), *texts[1:])
    traits = tuple(numbers_from_1(n_traits).tolist())
    return Description(numbers_from_1(n), None, traits, np.zeros((n, 0)), (), loci, 1)


@dataclass(frozen=True, repr=False)
class Population:
    """`genotypes` of n individuals and their `phenotypes` (n, T), in the unit of each trait, NaN where not measured.

    `effects` and `genetic_values` (n, T): the truth, of simulated populations only. `facts`: for each trait the parameters of the
    population and of the trait, as columns of a table. `described`: of imported populations only. `name`: the file that it was read from,
    for messages.
    """

    name: str
    genotypes: Genotypes
    phenotypes: FloatArray
    effects: Effects | None
    genetic_values: FloatArray | None
    facts: list[dict[str, Any]]
    described: Description | None = None

    @property
    def n_individuals(self) -> int:
        return len(self.phenotypes)

    @property
    def n_loci(self) -> int:
        return self.genotypes.n_loci

    @property
    def n_traits(self) -> int:
        return int(self.phenotypes.shape[1])

    @property
    def trait_names(self) -> tuple[str, ...]:
        """(T,); numbers from 1 where traits have no names."""
        return self.described.trait_names if self.described else tuple(numbers_from_1(self.n_traits).tolist())

    def trait_number(self, name: str | int) -> int:
        """From 0, of a trait by its name. Raises ValueError where there is none of this name."""
        if str(name) not in self.trait_names:
            raise ValueError(f"traits: {self.name} has no trait {str(name)!r}" + nearest(str(name), list(self.trait_names)))
        return self.trait_names.index(str(name))

    def arrays(self, trait: str | int) -> tuple[FloatArray, FloatArray, TextArray | None]:
        """What scikit-learn takes, of the k individuals that have the trait: X, y and, where there are families or the like, their groups.

        X (k, n_loci): counts of the counted allele, NaN where a call is missing. y (k,): the trait in its own unit. groups (k,) or None.
        `trait`: its name, or its number from 1 where traits have no names; ValueError where there is none.
        """
        y = self.phenotypes[:, self.trait_number(trait)]
        measured = np.flatnonzero(~np.isnan(y))
        counts = self.genotypes.rows(measured).counts()
        groups = self.described.groups if self.described else None
        return np.where(counts == MISSING, np.nan, counts), y[measured], None if groups is None else groups[measured]

    def traits(self, chosen: list[int]) -> "Population":
        """The same individuals with some of the traits, by number from 0; arrays stay in the order of rows, so that sums do too."""
        return replace(
            self,
            phenotypes=self.phenotypes.take(chosen, axis=1),
            effects=self.effects.traits(chosen) if self.effects else None,
            genetic_values=None if self.genetic_values is None else self.genetic_values.take(chosen, axis=1),
            facts=[self.facts[trait] for trait in chosen],
            described=self.described.traits(chosen) if self.described else None,
        )

    def rows(self, rows: Rows) -> "Population":
        """Some of the individuals."""
        return replace(
            self,
            genotypes=self.genotypes.rows(rows),
            phenotypes=self.phenotypes[rows],
            genetic_values=None if self.genetic_values is None else self.genetic_values[rows],
            described=self.described.rows(rows) if self.described else None,
        )

    def named(self, name: str) -> "Population":
        return replace(self, name=name)

    def __repr__(self) -> str:
        return f"Population({self.name}: {self.n_individuals:,} individuals, {self.n_loci:,} loci, {self.n_traits:,} traits)"
