"""Traits on any genotypes: effects drawn for QTL and pairs of them, genetic values, phenotypes, and what their variance is made of.

After AlphaSimR's addTraitADE (Gaynor et al. 2021, doi 10.1093/g3journal/jkaa017): additive effects a of the chosen distribution, dominance
effects |a|·(mean + sd·N(0, 1)), additive x additive effects of disjoint pairs of QTL.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import BLOCK_SIZE, FloatArray, Genotypes, Rows
from gpatlas.data.settings import TraitSettings
from gpatlas.data.variance import statistical_components
from gpatlas.version import __version__

ROUNDING = 1e-12  # of genetic values, relative to their size


def draw_effects(
    settings: TraitSettings, candidates: Rows, n_loci: int, rng: np.random.Generator, chromosome: npt.NDArray[np.int64] | None = None
) -> Effects:
    """Unscaled effects of all traits on `n_loci` loci, QTL drawn of the `candidates`: a of variance 1, or of its distribution's own.

    The variance of e is 2·rel_aa·n_qtl/n_pairs times that of a, so that however many pairs there are, the expected V_AA/V_A is
    2·rel_aa in haploids, and rel_aa in diploids, of unlinked loci at allele frequency 0.5. The traits of a group share QTL and pairs;
    their effects are correlated by the group's correlation matrix. `chromosome` (n_loci,): by number, below 0 where not known.
    ValueError where the loci do not do.
    """
    if settings.n_qtl > len(candidates):
        raise ValueError(f"n_qtl: must be at most the number of loci that vary ({len(candidates)}), got {settings.n_qtl}")
    n_pairs = settings.n_pairs or settings.n_qtl // 2
    chromosome = np.full(n_loci, -1) if chromosome is None else chromosome
    of_groups: list[tuple[FloatArray, FloatArray, FloatArray, FloatArray]] = []
    pairs: list[Rows] = []
    for rel_aa, size in settings.trait_groups():
        draw = _drawer(settings, size, rng)
        qtl, group_pairs = _qtl_and_pairs(settings, candidates, n_pairs, chromosome, rng)
        additive, dominance = np.zeros((2, n_loci, size))
        additive[qtl] = draw(len(qtl), 1.0)
        pairs += [rng.permutation(qtl)[: 2 * n_pairs].reshape(-1, 2) if group_pairs is None else group_pairs] * size
        epistatic = draw(n_pairs, np.sqrt(2 * rel_aa * settings.n_qtl / n_pairs))
        dominance_epistatic = np.zeros((n_pairs, size))
        if settings.dominance():
            degrees = settings.dominance_degree_mean + settings.dominance_degree_sd * rng.standard_normal((len(qtl), size))
            dominance[qtl] = np.abs(additive[qtl]) * degrees
            dominance_epistatic = draw(n_pairs, np.sqrt(2 * settings.rel_dd * settings.n_qtl / n_pairs))
        of_groups.append((additive, dominance, epistatic.T, dominance_epistatic.T))
    additive, dominance, epistatic, dominance_epistatic = (
        np.concatenate(part, axis=axis) for part, axis in zip(zip(*of_groups, strict=True), (1, 1, 0, 0), strict=True)
    )
    effects = Effects(additive, np.array(pairs, dtype=np.int32), epistatic, np.zeros(len(pairs)))
    return replace(effects, dominance=dominance, dominance_epistatic=dominance_epistatic) if settings.dominance() else effects


def _correlation_matrix(size: int, correlation: float) -> FloatArray:
    return np.full((size, size), correlation) + (1 - correlation) * np.eye(size)


def _drawer(settings: TraitSettings, size: int, rng: np.random.Generator) -> Callable[[int, float], FloatArray]:
    """Draws effects (k, size) of a group, times `scale`.

    Those that are not normal are made of normal ones, which alone have the group's correlation, as AlphaSimR makes them: by their signs,
    and by their quantiles for a gamma distribution of the sizes.
    """
    mixing = np.linalg.cholesky(_correlation_matrix(size, settings.genetic_correlation))

    def draw(n: int, scale: float) -> FloatArray:
        if settings.effect_distribution == "normal":
            return np.asarray(scale * rng.standard_normal((n, len(mixing))) @ mixing.T)
        normal = rng.standard_normal((n, len(mixing))) @ mixing.T
        if settings.effect_distribution == "equal":
            return np.asarray(scale * np.sign(normal))
        from scipy.special import erf, gammaincinv  # whose import takes as long as a small simulation

        return np.asarray(scale * np.sign(normal) * gammaincinv(settings.gamma_shape, erf(np.abs(normal) / np.sqrt(2))))

    return draw


def _qtl_and_pairs(
    settings: TraitSettings, candidates: Rows, n_pairs: int, chromosome: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[Rows, Rows | None]:
    """The QTL of a group, in ascending order, and its pairs (n_pairs, 2) of them; None where any will do."""
    if settings.pair_linkage == "any":
        return np.sort(candidates[rng.permutation(len(candidates))[: settings.n_qtl]]), None
    pool = rng.permutation(_possible_pairs(rng.permutation(candidates), chromosome, settings.pair_linkage, rng))
    if len(pool) < n_pairs:
        raise ValueError(
            f"pair_linkage: must be 'any', or n_pairs lower: the loci make {len(pool)} disjoint pairs that are {settings.pair_linkage}, "
            f"and {n_pairs} are needed"
        )
    pairs = pool[:n_pairs]
    rest = rng.permutation(np.setdiff1d(candidates, pairs))[: settings.n_qtl - 2 * n_pairs]
    return np.sort(np.concatenate([pairs.ravel(), rest])), pairs


def _possible_pairs(shuffled: Rows, chromosome: npt.NDArray[np.int64], linkage: str, rng: np.random.Generator) -> Rows:
    """As many disjoint pairs as there can be. Loci of unknown chromosomes are linked to none.

    Sorted by chromosome, these in random order: neighbours are linked, and loci half the list apart are not, but for a chromosome
    that holds more than half of them.
    """
    numbers = np.where(chromosome[shuffled] < 0, -1 - shuffled, chromosome[shuffled])
    _, of_locus, sizes = np.unique(numbers, return_inverse=True, return_counts=True)
    place = rng.permutation(len(sizes))[of_locus]
    order = np.argsort(place, kind="stable")
    loci, place = shuffled[order], place[order]
    if linkage == "unlinked":
        half = len(loci) // 2
        return np.asarray(np.column_stack([loci[:half], loci[half : 2 * half]])[place[:half] != place[half : 2 * half]])
    number_on_chromosome = np.arange(len(loci)) - np.searchsorted(place, place)
    first = np.flatnonzero((number_on_chromosome[:-1] % 2 == 0) & (place[:-1] == place[1:]))
    return np.asarray(np.column_stack([loci[first], loci[first + 1]]))


@dataclass(frozen=True)
class SimulatedTraits:
    """`effects` in the scale of the `genetic_values` (n, T), the `phenotypes` (n, T), and `facts`: attributes of a dataset file."""

    effects: Effects
    genetic_values: FloatArray
    phenotypes: FloatArray
    facts: dict[str, Any]


def traits_of(settings: TraitSettings, effects: Effects, qtl: Genotypes, noise: np.random.Generator) -> SimulatedTraits:
    """Scale the effects so that genetic values have variance 1 and mean 0 in the n individuals, and add noise of variance 1/h2 - 1.

    `qtl`: the counts at `causal_loci(effects)`. Genetic values are recomputed from the scaled effects, not rescaled: values and
    effects then agree to the last bit. ValueError where a trait is the same in all individuals.
    """
    loci = causal_loci(effects)
    values = values_at(effects.of_loci(loci), qtl)
    check_variance(values)
    scaled = effects.scaled(values)
    local = scaled.of_loci(loci)
    parts = np.concatenate([local.parts_of(counts, qtl.highest) for _, counts in qtl.blocks(BLOCK_SIZE)], axis=1)
    genetic_values = local.total(parts)
    v_a, v_d, v_aa, v_dd = parts.var(axis=1)
    v_g = genetic_values.var(axis=0)
    statistical = statistical_components(local, qtl, genetic_values)
    facts = {
        "rel_aa": trait_rel_aa(settings),
        **{"v_a": v_a, "v_d": v_d, "v_aa": v_aa, "v_dd": v_dd, "v_a_over_v_g": v_a / v_g},
        **dict(zip(("v_a_statistical", "v_d_statistical", "v_i_statistical"), statistical, strict=True)),
        "linear_r_squared": np.clip(statistical[0] / v_g, 1 / len(genetic_values), 1),
        "marker_qtl_cm": marker_qtl_cm(effects),
    }
    phenotypes = genetic_values + np.sqrt(1 / settings.h2 - 1) * noise.standard_normal(genetic_values.shape)
    return SimulatedTraits(scaled, genetic_values, phenotypes, facts)


def values_at(local: Effects, qtl: Genotypes) -> FloatArray:
    """Genetic values (n, T) by the effects of the `qtl` alone."""
    return np.concatenate([local.total(local.parts_of(counts, qtl.highest)) for _, counts in qtl.blocks(BLOCK_SIZE)])


def causal_loci(effects: Effects) -> Rows:
    """Those that are a QTL of any trait, in ascending order."""
    return np.unique(np.concatenate([effects.qtl(traits.start) for traits in effects.groups]))


def marker_qtl_cm(effects: Effects) -> FloatArray:
    """Mean distance of each trait's QTL to the nearest locus of the genotypes, in cM, (T,); NaN where loci have no places."""
    if effects.places is None:
        return np.full(len(effects.pairs), np.nan)
    return np.array([effects.places.nearest(effects.qtl(trait))[1].mean() for trait in range(len(effects.pairs))])


def trait_rel_aa(settings: TraitSettings) -> FloatArray:
    """rel_aa of every trait, (T,)."""
    return np.array([rel_aa for rel_aa, size in settings.trait_groups() for _ in range(size)])


def check_variance(values: FloatArray) -> None:
    """ValueError where a trait's genetic values (n, T) are the same in all individuals."""
    for trait in without_variance(values):
        raise ValueError(
            f"trait {trait + 1} has no genetic variance: its genetic value is the same in all {len(values)} individuals; "
            "simulate more individuals or loci, or take another seed"
        )


def without_variance(values: FloatArray) -> Rows:
    """The traits whose genetic values (n, T), not centred, are the same in all individuals but for rounding."""
    return np.flatnonzero(~(values.std(axis=0) > ROUNDING * np.abs(values).max(axis=0)))


def simulation_attributes(settings: TraitSettings) -> dict[str, str | float]:
    """The dataset file's attributes that tell where the traits came from."""
    groups = [
        {"rel_aa": rel_aa, "n_traits": size, "genetic_correlation": settings.genetic_correlation if size > 1 else 0.0}
        for rel_aa, size in settings.trait_groups()
    ]
    return {
        "h2": settings.h2,
        "seed": settings.seed,
        "simulator": "native",
        "simulator_version": __version__,
        "trait_groups": json.dumps(groups),
    }
