"""What stands in a dataset file: every dataset and attribute of either format, with its form, unit and meaning.

`gpatlas.data.dataset` reads and writes it; the pages are made from this.
"""

from dataclasses import dataclass

TEXT, WHOLE, NUMBER, FLAG = "text", "whole number", "number", "True or False"
SHARE, OF_TRAIT, OF_TRAIT_SQUARED, BASE_PAIRS, CENTIMORGANS = "share", "the trait's", "the trait's, squared", "bp", "cM"


@dataclass(frozen=True)
class Column:
    """A column of a table, or a dataset or attribute of a file: its `kind` (and shape), what it means, and its unit where it has one."""

    kind: str
    meaning: str
    unit: str = ""


# Format 1: haploid individuals without linkage, simulated or AlphaSimR's
PLAIN: dict[str, Column] = {
    "genotypes": Column("uint8 (n_individuals, ceil(n_loci / 8))", "alleles 0 and 1 as bits, the lowest first; spare bits are 0"),
    "phenotypes": Column("float64 (n_individuals, n_traits)", "phenotypes", OF_TRAIT),
    "genetic_values": Column("float64 (n_individuals, n_traits)", "genetic values; absent where the source does not give them", OF_TRAIT),
    "effects/additive": Column(
        "float64 (n_loci, n_traits)", "additive effects a: an individual has +a with allele 1, −a with 0; 0 at neutral loci", OF_TRAIT
    ),
    "effects/pairs": Column("int32 (n_traits, n_qtl / 2, 2)", "the two loci of every pair that interacts, from 0"),
    "effects/epistatic": Column("float64 (n_traits, n_qtl / 2)", "effects of the pairs: +e where the two alleles agree, else −e", OF_TRAIT),
    "effects/intercept": Column("float64 (n_traits,)", "what all genetic values of a trait have in common", OF_TRAIT),
}

# Format 2: imported populations, and simulated ones that are linked, diploid, or on imported genotypes
DESCRIBED: dict[str, Column] = {
    "genotypes": Column(
        "uint8 (n_individuals, bytes)",
        "of haploids without missing calls as in format 1; else two bits a locus, the lowest first: how often the counted allele is there, "
        "3 = missing",
    ),
    "phenotypes": Column("float64 (n_individuals, n_traits)", "phenotypes; NaN where not measured", OF_TRAIT),
    "covariates": Column("float64 (n_individuals, n_covariates)", "covariates in numbers; their names in the attribute 'names' (JSON)"),
    "individuals/id": Column("text (n_individuals,)", "names of the individuals"),
    "individuals/group": Column("text (n_individuals,)", "family, cage or the like; absent where there are none"),
    "traits/name": Column("text (n_traits,)", "names of the traits"),
    "loci/id": Column("text (n_loci,)", "names of the loci"),
    "loci/chromosome": Column("text (n_loci,)", "their chromosomes; empty where not known"),
    "loci/position": Column("int64 (n_loci,)", "their positions, from 1; 0 where not known", BASE_PAIRS),
    "loci/counted_allele": Column("text (n_loci,)", "the allele that genotypes count: A1 of PLINK, ALT of a VCF file"),
    "loci/other_allele": Column("text (n_loci,)", "the other one"),
    "truth/genetic_values": Column("float64 (n_individuals, n_traits)", "genetic values, of the true genotypes", OF_TRAIT),
    "truth/additive": Column("float64 (m, n_traits)", "additive effects a, of x = 2·count / ploidy − 1; 0 at neutral loci", OF_TRAIT),
    "truth/dominance": Column("float64 (m, n_traits)", "dominance effects d, of h = 1 in heterozygotes, else 0", OF_TRAIT),
    "truth/pairs": Column("int32 (n_traits, n_pairs, 2)", "the two loci of every pair that interacts, from 0"),
    "truth/epistatic": Column("float64 (n_traits, n_pairs)", "additive × additive effects of the pairs, of x_i·x_j", OF_TRAIT),
    "truth/dominance_epistatic": Column("float64 (n_traits, n_pairs)", "dominance × dominance effects of the pairs, of h_i·h_j", OF_TRAIT),
    "truth/intercept": Column("float64 (n_traits,)", "what all genetic values of a trait have in common", OF_TRAIT),
    "truth/hidden/genotypes": Column(
        "uint8 (n_individuals, bytes)", "true counts of the m − n_loci QTL that the genotypes lack, in their form"
    ),
    "truth/hidden/chromosome": Column("text (m − n_loci,)", "their chromosomes"),
    "truth/hidden/position": Column("int64 (m − n_loci,)", "their positions, from 1", BASE_PAIRS),
}

# Attributes of the file, of which some are columns of tables too
ATTRIBUTES: dict[str, Column] = {
    "format_version": Column(WHOLE, "1 or 2"),
    "n_loci": Column(WHOLE, "loci of the genotypes"),
    "bits_per_locus": Column(WHOLE, "1 or 2; format 2"),
    "ploidy": Column(WHOLE, "alleles of an individual at a locus, 1 or 2"),
    "simulator": Column(TEXT, "native, alphasimr, subsample, or the stage that imported the population"),
    "simulator_version": Column(TEXT, "its version"),
    "source": Column(TEXT, "name of the file that was imported or drawn from; format 2"),
    "report": Column(TEXT, "of an imported population, what was joined, left out, and why (JSON)"),
    "population": Column(TEXT, "unlinked, dh, ril, f2, bc or outbred, as simulated; imported, where the genotypes are"),
    "cm_per_mb": Column(NUMBER, "scale of the genetic map", "cM per 10⁶ bp"),
    "n_qtl": Column(WHOLE, "causal loci of each trait"),
    "n_pairs": Column(WHOLE, "pairs of them that interact"),
    "h2": Column(NUMBER, "broad-sense heritability, V_G / V_P, that phenotypes were simulated with", SHARE),
    "h2_source": Column(TEXT, "of AlphaSimR's files: given, or estimated from the files"),
    "seed": Column(WHOLE, "seed of the simulation; −1: not known"),
    "m_e": Column(
        NUMBER, "effective number of independent chromosome segments, 1 / var(G_ij) of the relationships G; n_loci without linkage"
    ),
    "trait_groups": Column(TEXT, "traits that share QTL and pairs: rel_aa, n_traits, genetic_correlation of each group (JSON)"),
}

# Attributes with a value per trait, which are columns of tables too
ATTRIBUTES_OF_TRAITS: dict[str, Column] = {
    "rel_aa": Column(NUMBER, "half the expected V_AA / V_A that the trait was simulated with; empty where not known"),
    "v_a": Column(NUMBER, "variance of the additive part of genetic values, by the functional effects a", OF_TRAIT_SQUARED),
    "v_d": Column(NUMBER, "variance of their dominance part, by the functional effects d", OF_TRAIT_SQUARED),
    "v_aa": Column(NUMBER, "variance of their additive × additive part, by the functional effects of pairs", OF_TRAIT_SQUARED),
    "v_dd": Column(NUMBER, "variance of their dominance × dominance part, likewise", OF_TRAIT_SQUARED),
    "v_a_over_v_g": Column(NUMBER, "v_a over the variance of genetic values", SHARE),
    "v_a_statistical": Column(NUMBER, "V_A: what allele counts of the QTL explain in this population by least squares", OF_TRAIT_SQUARED),
    "v_d_statistical": Column(NUMBER, "V_D: what heterozygosity of the QTL adds to that", OF_TRAIT_SQUARED),
    "v_i_statistical": Column(NUMBER, "V_I: the rest of V_G", OF_TRAIT_SQUARED),
    "linear_r_squared": Column(
        NUMBER, "R² of the best linear model of the QTL for the genetic values; the ceiling of a linear r is √(this · h2)", SHARE
    ),
    "marker_qtl_cm": Column(NUMBER, "mean distance of the trait's QTL to the nearest locus of the genotypes", CENTIMORGANS),
}
