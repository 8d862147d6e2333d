"""The settings of the simulators and importers, and the sizes that follow from them."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from gpatlas.settings import Bool, Float, Int, Positive, Settings, Size


class TraitSettings(Settings):
    """Traits on the genotypes of a population: additive and dominance effects of QTL, and pairs of QTL that interact."""

    n_qtl: Int = Field(46, description="causal loci of each trait; even where n_pairs is left out", ge=2)
    n_pairs: Positive | None = Field(None, description="pairs of them that interact, of disjoint loci; left out, n_qtl / 2: all of them")
    n_traits: Positive | None = Field(None, description="traits of the one rel_aa; left out, one trait per rel_aa value")
    rel_aa: tuple[Annotated[Float, Field(ge=0)], ...] = Field(
        (0.0, 0.1, 0.5, 1.0, 3.0),
        description="half the expected V_AA/V_A; several values: a trait group of one each",
        min_length=1,
    )
    genetic_correlation: Float = Field(0.0, description="correlation of the effects between the traits of a group", ge=-1, le=1)
    independent: Bool = Field(False, description="every trait a group of its own, with its own effects and pairs")
    effect_distribution: Literal["normal", "gamma", "equal"] = Field("normal", description="of the sizes of effects; signs are even")
    gamma_shape: Float = Field(0.4, description="shape of the gamma distribution of effects; small: few large ones", gt=0)
    dominance_degree_mean: Float = Field(0.0, description="mean of the dominance effects relative to |additive effect|; diploids only")
    dominance_degree_sd: Float = Field(0.0, description="standard deviation of these degrees of dominance; diploids only", ge=0)
    rel_dd: Float = Field(0.0, description="dominance x dominance effects of the pairs, in the scale of rel_aa; diploids only", ge=0)
    pair_linkage: Literal["any", "linked", "unlinked"] = Field("any", description="whether the loci of a pair are on one chromosome")
    h2: Float = Field(0.999, description="broad-sense heritability, V_G/V_P", gt=0, le=1)
    seed: Int = Field(1, description="seed of all random draws; the study uses the replicate number", ge=0, lt=2**63)
    block_size: Positive = Field(4096, description="individuals held in memory at once; does not change the result")

    @model_validator(mode="after")
    def _pairs_fit(self) -> Self:
        if self.n_pairs is None and self.n_qtl % 2:
            raise ValueError(f"n_qtl: must be even where n_pairs is left out (loci are cut into pairs), got {self.n_qtl}")
        if self.n_pairs is not None and 2 * self.n_pairs > self.n_qtl:
            raise ValueError(f"n_pairs: must be at most half of n_qtl ({self.n_qtl}), got {self.n_pairs}")
        return self

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        if self.n_traits is not None and len(self.rel_aa) > 1:
            raise ValueError(f"n_traits: goes with a single rel_aa, got {self.n_traits} with the rel_aa {_listed(self.rel_aa)}")
        if self.independent and self.n_traits is None:
            raise ValueError("independent: goes with n_traits, which is not given; traits of several rel_aa are independent anyway")
        self._positive_definite()
        return self

    def _positive_definite(self) -> None:
        """The correlation matrix (1 on the diagonal, r elsewhere) of T traits is positive definite where −1/(T − 1) < r < 1."""
        largest = max(size for _, size in self.trait_groups())
        if self.genetic_correlation and largest == 1:
            raise ValueError(f"genetic_correlation: must be 0 where every trait is a group of its own, got {self.genetic_correlation:g}")
        lowest = -1 / (largest - 1) if largest > 1 else -1.0
        if self.genetic_correlation and not lowest < self.genetic_correlation < 1:
            raise ValueError(
                f"genetic_correlation: the correlation matrix of {largest} traits must be positive definite, "
                f"so between {lowest:.4g} and 1, got {self.genetic_correlation:g}"
            )

    def trait_groups(self) -> list[tuple[float, int]]:
        """(rel_aa, traits in the group), in trait order. A group shares its QTL and its pairs."""
        if self.n_traits is None:
            return [(rel_aa, 1) for rel_aa in self.rel_aa]
        if self.independent:
            return [(self.rel_aa[0], 1)] * self.n_traits
        return [(self.rel_aa[0], self.n_traits)]

    def dominance(self) -> dict[str, float]:
        """The settings of dominance that are not 0, by name."""
        names = ("dominance_degree_mean", "dominance_degree_sd", "rel_dd")
        return {name: value for name in names if (value := getattr(self, name))}


def _listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _either(names: Iterable[str]) -> str:
    """'a, b or c', by the alphabet."""
    *others, last = sorted(names)
    return f"{', '.join(others)} or {last}" if others else last


SUBSAMPLE = "subsample"  # the stage that draws individuals with a trait as measured, and the simulator of its files
BYTES_OF_TEXT = 44  # of an HDF5 file, for a name
PLOIDY = {"unlinked": 1, "dh": 1, "ril": 2, "f2": 2, "bc": 2, "outbred": 2}  # by population; an outbred one can have 1


class SimulateSettings(TraitSettings):
    """One simulated scenario: genomes of a population, by default the study's haploids without linkage, and traits on them."""

    n_individuals: Int = Field(1000, description="individuals", ge=2)
    n_loci: Positive = Field(46, description="segregating sites in the file, spread evenly over the chromosomes")
    population: Literal["unlinked", "dh", "ril", "f2", "bc", "outbred"] = Field(
        "unlinked", description="haploids with unlinked loci; a cross of two inbred parents; or random mating of founders"
    )
    n_chromosomes: Positive = Field(1, description="chromosomes of a linked genome")
    chromosome_cm: Float = Field(100.0, description="length of each in centimorgans; crossovers by Haldane's model", gt=0)
    n_generations: Positive | None = Field(
        None, description="ril: of selfing, 1 gives an F2, default 8; outbred: of random mating, default 10"
    )
    n_founders: Int = Field(100, description="founders of an outbred population, and its size until the last generation", ge=2)
    allele_frequency_shape: tuple[Annotated[Float, Field(gt=0)], ...] = Field(
        (1.0, 1.0), description="the two shapes of the beta distribution of the founders' allele frequencies"
    )
    ploidy: Literal[1, 2] | None = Field(None, description="1: haploid or inbred lines; left out, what the population has")
    hidden_qtl: Bool = Field(False, description="QTL are loci of their own at random places, which the genotypes of the file lack")
    error_rate: Float = Field(0.0, description="share of allele calls that are wrong", ge=0, lt=0.5)
    missing_rate: Float = Field(0.0, description="share of genotype calls that are missing", ge=0, lt=1)

    @model_validator(mode="after")
    def _loci_fit(self) -> Self:
        if self.n_qtl > self.n_loci and not self.hidden_qtl:
            raise ValueError(f"n_qtl: must be at most n_loci ({self.n_loci}), got {self.n_qtl}")
        if self.population != "unlinked" and self.n_loci < self.n_chromosomes:
            raise ValueError(f"n_loci: must be at least n_chromosomes ({self.n_chromosomes}), got {self.n_loci}")
        return self

    @model_validator(mode="after")
    def _population_fits(self) -> Self:
        """What only some populations have is not given for others."""
        if len(self.allele_frequency_shape) != 2:
            raise ValueError(f"allele_frequency_shape: must be two numbers, got {_listed(self.allele_frequency_shape)}")
        own = PLOIDY[self.population]
        if self.ploidy not in (None, own) and self.population != "outbred":
            raise ValueError(f"ploidy: must be {own} for the population {self.population!r}, got {self.ploidy}")
        linked = {name for name in PLOIDY if name != "unlinked"}
        of_some: tuple[tuple[str, set[str]], ...] = (
            *((name, linked) for name in ("n_chromosomes", "chromosome_cm", "hidden_qtl", "error_rate", "missing_rate")),
            ("n_generations", {"ril", "outbred"}),
            *((name, {"outbred"}) for name in ("n_founders", "allele_frequency_shape")),
        )
        for name, populations in of_some:
            value, default = getattr(self, name), type(self).model_fields[name].default
            if value != default and self.population not in populations:
                got = "" if value is True else f"{_listed(value if isinstance(value, tuple) else [value])} with "
                raise ValueError(f"{name}: goes with population {_either(populations)}, got {got}population {self.population!r}")
        for name, value in self.dominance().items() if self.n_alleles == 1 else ():
            diploid = _either(population for population, ploidy in PLOIDY.items() if ploidy == 2)
            found = f"got {value:g} with population {self.population!r} of ploidy 1"
            raise ValueError(f"{name}: goes with diploids (population {diploid}), {found}")
        if self.pair_linkage == "unlinked" and self.population != "unlinked" and self.n_chromosomes == 1:
            raise ValueError("pair_linkage: 'unlinked' takes more than one chromosome, got it with n_chromosomes 1")
        if self.pair_linkage == "linked" and self.population == "unlinked":
            raise ValueError(f"pair_linkage: 'linked' goes with population {_either(linked)}, got it with population 'unlinked'")
        return self

    @property
    def of_the_study(self) -> bool:
        """Whether the population is of the study's kind: haploid and unlinked, effects normal, every QTL in a pair."""
        return self.population == "unlinked" and self.effect_distribution == "normal" and self.n_pairs in (None, self.n_qtl / 2)

    @property
    def n_alleles(self) -> int:
        """Of an individual at a locus: the ploidy."""
        return self.ploidy or PLOIDY[self.population]

    @property
    def bits(self) -> int:
        """Of a genotype in the dataset file."""
        return 1 if self.n_alleles == 1 and not self.missing_rate else 2


class SimulateTraitsSettings(TraitSettings):
    """Traits on the genotypes of a population that is there, imported or simulated; a missing call of a QTL counts as its most frequent."""

    n_individuals: Int | None = Field(
        None, description="drawn from the population; more than it has: its offspring by random mating; left out, all", ge=2
    )
    cm_per_mb: Float = Field(1.0, description="centimorgans per million base pairs, for offspring, and for how near found pairs are", gt=0)


class SubsampleSettings(Settings):
    """Some individuals of a population that is there, at random, with one trait as measured; those without it are not drawn."""

    trait: str = Field(description="name of the trait, or its number from 1 where traits have no names", min_length=1)
    n_individuals: Int | None = Field(None, description="so many of those that have the trait; left out, all", ge=2)
    seed: Int = Field(1, description="seed of the random draw; of one seed, fewer individuals are among more", ge=0, lt=2**63)


class ImportSettings(Settings):
    """One scenario of AlphaSimR's text files. The sizes, where given, are checked against the files."""

    scenario: str = Field(description="stem of the files: <scenario>_g.txt, <scenario>_p.txt, <scenario>_eff.txt", min_length=1)
    n_individuals: Positive | None = Field(None, description="individuals the files must hold")
    n_loci: Positive | None = Field(None, description="loci the files must hold")
    n_qtl: Positive | None = Field(None, description="causal loci each trait must have")
    rel_aa: tuple[Annotated[Float, Field(ge=0)], ...] | None = Field(None, description="rel_aa of every trait, which the files do not tell")
    h2: Float | None = Field(None, description="heritability the data were simulated with; left out, estimated from the files", gt=0, le=1)
    allow_unexplained: Bool = Field(
        False, description="keep phenotypes that the effects do not explain, which takes h2; genetic values are then left out"
    )

    @model_validator(mode="after")
    def _h2_known(self) -> Self:
        if self.allow_unexplained and self.h2 is None:
            raise ValueError("h2: is required with allow_unexplained: only phenotypes that the effects explain tell it")
        return self


class OwnDataSettings(Settings):
    """A population of one's own: which phenotypes, covariates and loci are taken. Loci are judged on the individuals that are imported."""

    resources: ClassVar[frozenset[str]] = Settings.resources | {"phenotypes", "covariates"}  # files; their content decides, not their names

    phenotypes: Path = Field(description="table with a row per individual: its id, traits, and the group where there are any")
    covariates: Path | None = Field(None, description="table with a row per individual: its id, and numbers or levels of factors")
    id_column: str | None = Field(None, description="column with the ids; left out, the first one, or FID and IID", min_length=1)
    group_column: str | None = Field(None, description="column of the phenotypes with the family, cage or the like", min_length=1)
    traits: tuple[str, ...] | None = Field(None, description="columns that are traits; left out, all but ids and group", min_length=1)
    min_maf: Float = Field(0.0, description="loci with a lower frequency of the rarer allele are left out", ge=0, le=0.5)
    max_missing: Float = Field(1.0, description="loci with a larger share of missing calls are left out", ge=0, le=1)


class NewConfigSettings(OwnDataSettings):
    """Write a config for your own files, ready to run, with what was found in them: individuals, loci, traits, groups."""


class ImportPlinkSettings(OwnDataSettings):
    """Import genotypes from PLINK 1 files (.bed, .bim, .fam). They count allele A1, the fifth column of the .bim."""


class ImportVcfSettings(OwnDataSettings):
    """Import genotypes from a VCF or BCF file. They count the ALT allele; sites with several of them are left out."""


class ImportTableSettings(OwnDataSettings):
    """Import genotypes from a table: counts 0, 1, 2, alleles 0, 1, or letters, of which the alphabetically later one is counted."""

    orientation: Literal["auto", "individuals", "loci"] = Field("auto", description="what the rows are; auto: found by the ids")


def n_qtl_for(n_individuals: int, qtl_pairs_per_individual: float) -> int:
    """The study's QTL count: the number of loci whose n(n − 1)/2 pairs are `qtl_pairs_per_individual` per individual, made even."""
    count = round((1 + math.sqrt(1 + 8 * qtl_pairs_per_individual * n_individuals)) / 2)
    return count + count % 2


def dataset_bytes(settings: TraitSettings, size: Size) -> int:
    """Size on disk, in bytes, of the dataset file that these settings make of a population of this size."""
    n, n_loci, n_groups = size.n_individuals, size.n_loci, len(settings.trait_groups())
    simulated = settings if isinstance(settings, SimulateSettings) else None
    if simulated and simulated.of_the_study:
        return n * math.ceil(n_loci / 8) + size.n_traits * (16 * n + 8 * n_loci + 8 * settings.n_qtl) + 11_500
    n_hidden = n_groups * settings.n_qtl if simulated and simulated.hidden_qtl else 0
    genotypes = n * (math.ceil(n_loci * size.bits / 8) + math.ceil(n_hidden * size.bits / 8))
    texts = BYTES_OF_TEXT * (n + 4 * n_loci + n_hidden)
    per_trait = 16 * n + 16 * (n_loci + n_hidden) + 12 * settings.n_qtl
    return genotypes + texts + size.n_traits * per_trait + 8 * (n_loci + n_hidden) + 20_000
