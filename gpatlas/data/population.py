"""A population in memory: what a dataset file holds, and what a notebook works with."""

from dataclasses import dataclass, replace
from typing import Any

from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import FloatArray, Genotypes


@dataclass(frozen=True, repr=False)
class Population:
    """`genotypes` of n individuals and their `phenotypes` (n, T), in the unit of each trait.

    `effects` and `genetic_values` (n, T): the truth, of simulated populations only. `facts`: for each trait the parameters of the
    population and of the trait, as columns of a table. `name`: the file that it was read from, for messages.
    """

    name: str
    genotypes: Genotypes
    phenotypes: FloatArray
    effects: Effects | None
    genetic_values: FloatArray | None
    facts: list[dict[str, Any]]

    @property
    def n_individuals(self) -> int:
        return len(self.phenotypes)

    @property
    def n_loci(self) -> int:
        return self.genotypes.n_loci

    @property
    def n_traits(self) -> int:
        return int(self.phenotypes.shape[1])

    def traits(self, chosen: slice) -> "Population":
        """The same individuals with some of the traits."""
        return replace(
            self,
            phenotypes=self.phenotypes[:, chosen],
            effects=self.effects.traits(chosen) if self.effects else None,
            genetic_values=None if self.genetic_values is None else self.genetic_values[:, chosen],
            facts=self.facts[chosen],
        )

    def named(self, name: str) -> "Population":
        return replace(self, name=name)

    def __repr__(self) -> str:
        return f"Population({self.name}: {self.n_individuals:,} individuals, {self.n_loci:,} loci, {self.n_traits:,} traits)"
