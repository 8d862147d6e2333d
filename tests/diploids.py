"""Populations as people have them, for tests: diploid, some calls and phenotypes missing, with families and covariates."""

from dataclasses import replace

import numpy as np
from populations import Array, in_memory

from gpatlas.data.genotypes import MISSING, Genotypes
from gpatlas.data.population import Description, Loci, Population

TRAITS = ("height", "weight", "yield")
COVARIATES = ("age", "sex_m")


def loci_of(n_loci: int, first: int = 0) -> Loci:
    """Locus j is called s<j>, on two chromosomes."""
    numbers = np.arange(first, first + n_loci)
    texts = [np.array([word.format(number) for number in numbers.tolist()], dtype=np.str_) for word in ("s{}", "A", "G")]
    return Loci(texts[0], (1 + numbers % 2).astype(np.str_), 100 * numbers, texts[1], texts[2])


def description(
    n: int, n_loci: int, trait_names: tuple[str, ...], *, family: int | None = None, covariates: Array | None = None, ploidy: int = 2
) -> Description:
    """Individuals i0, i1, …; `family` of them after the other are a group."""
    numbers = np.arange(n)
    ids = np.array([f"i{number}" for number in numbers], dtype=np.str_)
    groups = None if family is None else np.array([f"f{number // family}" for number in numbers], dtype=np.str_)
    values = np.zeros((n, 0)) if covariates is None else covariates
    return Description(ids, groups, trait_names, values, COVARIATES[: values.shape[1]], loci_of(n_loci), ploidy)


def diploid_counts(n: int, n_loci: int, seed: int = 1, missing: float = 0.05) -> Array:
    """Counts 0, 1, 2, of allele frequencies from 0.3 to 0.7, and MISSING."""
    random = np.random.default_rng(seed)
    counts = random.binomial(2, np.linspace(0.3, 0.7, n_loci), (n, n_loci)).astype(np.uint8)
    counts[random.random((n, n_loci)) < missing] = MISSING
    return counts


def own_population(n: int = 90, n_loci: int = 12, seed: int = 1, n_gaps: int = 15) -> Population:
    """Three traits of a few loci, of the first two loci's product, and of two covariates; `n_gaps` individuals lack the last trait."""
    random, counts = np.random.default_rng(seed), diploid_counts(n, n_loci, seed)
    x = np.where(counts == MISSING, 1.0, counts) - 1
    covariates = np.column_stack([random.normal(40, 10, n), random.integers(0, 2, n)])
    genetic = np.column_stack([x[:, 0] + 2 * x[:, 2] * x[:, 5], x[:, 1] - x[:, 4], x[:, 3] + x[:, 0]])
    phenotypes = 5 + genetic + covariates @ [[0.1, 0.0, 0.2], [1.0, -1.0, 0.0]] + 0.2 * random.standard_normal((n, 3))
    phenotypes[random.permutation(n)[:n_gaps], 2] = np.nan
    return in_memory(counts, phenotypes, description(n, n_loci, TRAITS, family=3, covariates=covariates))


def with_counts(population: Population, counts: Array) -> Population:
    """With other genotypes."""
    return replace(population, genotypes=Genotypes.of(counts))
