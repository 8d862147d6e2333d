"""The settings of the simulators and importers, and the sizes that follow from them."""

import math
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from gpatlas.settings import Bool, Float, Int, Positive, Settings


class SimulateSettings(Settings):
    """One simulated scenario: haploid genomes without linkage, traits with additive and pairwise epistatic effects."""

    n_individuals: Int = Field(1000, description="haploid individuals", ge=2)
    n_loci: Positive = Field(46, description="segregating sites on the chromosome")
    n_qtl: Int = Field(46, description="causal loci of each trait; even, at most n_loci", ge=2)
    n_traits: Positive | None = Field(None, description="traits of the one rel_aa; left out, one trait per rel_aa value")
    rel_aa: tuple[Annotated[Float, Field(ge=0)], ...] = Field(
        (0.0, 0.1, 0.5, 1.0, 3.0),
        description="half the expected V_AA/V_A; several values: a trait group of one each",
        min_length=1,
    )
    genetic_correlation: Float = Field(0.0, description="correlation of the effects between the traits of a group", ge=-1, le=1)
    independent: Bool = Field(False, description="every trait a group of its own, with its own effects and pairs")
    h2: Float = Field(0.999, description="broad-sense heritability, V_G/V_P", gt=0, le=1)
    seed: Int = Field(1, description="seed of all random draws; the study uses the replicate number", ge=0, lt=2**63)
    block_size: Positive = Field(4096, description="individuals held in memory at once; does not change the result")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.n_qtl % 2:
            raise ValueError(f"n_qtl: must be even (loci are cut into pairs), got {self.n_qtl}")
        if self.n_qtl > self.n_loci:
            raise ValueError(f"n_qtl: must be at most n_loci ({self.n_loci}), got {self.n_qtl}")
        if self.n_traits is not None and len(self.rel_aa) > 1:
            raise ValueError(f"n_traits: goes with a single rel_aa, got {len(self.rel_aa)} values of rel_aa")
        if self.independent and self.n_traits is None:
            raise ValueError("independent: goes with n_traits; several values of rel_aa are independent anyway")
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


def dataset_bytes(settings: SimulateSettings) -> int:
    """Size on disk, in bytes, of the dataset file that these settings make."""
    n_traits = sum(size for _, size in settings.trait_groups())
    genotypes = settings.n_individuals * math.ceil(settings.n_loci / 8)
    per_trait = 16 * settings.n_individuals + 8 * settings.n_loci + 8 * settings.n_qtl
    return genotypes + n_traits * per_trait + 11_500
