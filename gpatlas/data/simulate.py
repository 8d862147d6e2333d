"""The native simulator: AlphaSimR's model (quickHaplo, addTraitAE, setPheno) for haploid, unlinked loci, in numpy.

Every draw that has one value per individual comes from its own random stream and is taken row by row, so that the
output does not depend on the block size.
"""

import json
from pathlib import Path

import numpy as np

from gpatlas.data.dataset import DatasetWriter
from gpatlas.data.effects import Effects, TraitFacts
from gpatlas.data.genotypes import ByteArray, FloatArray, Rows, blocks
from gpatlas.data.settings import SimulateSettings
from gpatlas.progress import Progress
from gpatlas.version import __version__

ROUNDING = 1e-12  # of genetic values, relative to their size


def run(settings: SimulateSettings, source: None, out: Path, progress: Progress) -> None:
    """Simulate one scenario into the dataset file `out`."""
    genome_seed, effect_seed, noise_seed = np.random.SeedSequence(settings.seed).spawn(3)
    effects = draw_effects(settings, np.random.default_rng(effect_seed))
    n, n_traits = settings.n_individuals, len(effects.intercept)
    genome, noise = np.random.PCG64(genome_seed), np.random.default_rng(noise_seed)
    additive, epistatic = np.empty((n, n_traits)), np.empty((n, n_traits))
    with DatasetWriter(out, n, settings.n_loci, n_traits) as writer:
        for start, stop in blocks(n, settings.block_size):
            packed = draw_genotypes(genome, stop - start, settings.n_loci)
            additive[start:stop], epistatic[start:stop] = effects.parts(packed)
            writer.write_rows("genotypes", start, packed)
            progress(stop, n)
        effects, facts = standardise(effects, additive, epistatic, trait_rel_aa(settings))
        sd = np.sqrt(1 / settings.h2 - 1)
        for start, stop in blocks(n, settings.block_size):
            # Recomputed from the scaled effects, not rescaled: the file's values and effects then agree to the last bit.
            scaled = effects.parts(writer.read_rows("genotypes", start, stop))
            genetic_values = effects.intercept + scaled[0] + scaled[1]
            writer.write_rows("genetic_values", start, genetic_values)
            writer.write_rows("phenotypes", start, genetic_values + sd * noise.standard_normal((stop - start, n_traits)))
        writer.finish(effects, facts, simulation_attributes(settings))


def simulation_attributes(settings: SimulateSettings) -> dict[str, str | float]:
    """The dataset file's attributes that tell where the data came from."""
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


def trait_rel_aa(settings: SimulateSettings) -> FloatArray:
    """rel_aa of every trait, (T,)."""
    return np.array([rel_aa for rel_aa, size in settings.trait_groups() for _ in range(size)])


def draw_genotypes(genome: np.random.PCG64, n: int, n_loci: int) -> ByteArray:
    """Fair-coin alleles of the next `n` individuals, bit-packed (n, ceil(n_loci / 8)): whole 64-bit words a row."""
    words = -(-n_loci // 64)
    rows = genome.random_raw(n * words).astype("<u8").view(np.uint8).reshape(n, words * 8)
    packed = rows[:, : -(-n_loci // 8)].copy()
    if n_loci % 8:
        packed[:, -1] &= (1 << n_loci % 8) - 1
    return packed


def draw_effects(settings: SimulateSettings, rng: np.random.Generator) -> Effects:
    """Unscaled effects of all traits: a ~ N(0, 1) at the QTL, e ~ N(0, 4·rel_aa) for disjoint pairs of them.

    The traits of a group share QTL and pairs; their effects are correlated by the group's correlation matrix.
    """
    additive, pairs, epistatic = [], [], []
    for rel_aa, size in settings.trait_groups():
        qtl = np.sort(rng.permutation(settings.n_loci)[: settings.n_qtl])
        mixing = np.linalg.cholesky(_correlation_matrix(size, settings.genetic_correlation))
        group_additive = np.zeros((settings.n_loci, size))
        group_additive[qtl] = rng.standard_normal((settings.n_qtl, size)) @ mixing.T
        group_pairs = rng.permutation(qtl).reshape(-1, 2)
        group_epistatic = 2 * np.sqrt(rel_aa) * rng.standard_normal((len(group_pairs), size)) @ mixing.T
        additive.append(group_additive)
        pairs += [group_pairs] * size
        epistatic.append(group_epistatic.T)
    return Effects(
        additive=np.concatenate(additive, axis=1),
        pairs=np.array(pairs, dtype=np.int32),
        epistatic=np.concatenate(epistatic),
        intercept=np.zeros(len(pairs)),
    )


def _correlation_matrix(size: int, correlation: float) -> FloatArray:
    return np.full((size, size), correlation) + (1 - correlation) * np.eye(size)


def standardise(effects: Effects, additive: FloatArray, epistatic: FloatArray, rel_aa: FloatArray) -> tuple[Effects, TraitFacts]:
    """Scale the effects so that every trait's genetic values have variance 1 (denominator n) and mean 0.

    `additive`, `epistatic`: the unscaled parts (n, T) of the genetic values; `rel_aa`: as declared, (T,).
    """
    values = additive + epistatic
    for trait in without_variance(values):
        raise ValueError(
            f"trait {trait + 1} has no genetic variance: its genetic value is the same in all {len(values)} individuals; "
            "simulate more individuals or loci, or take another seed"
        )
    scale = 1 / values.std(axis=0)
    scaled = Effects(effects.additive * scale, effects.pairs, effects.epistatic * scale[:, None], -values.mean(axis=0) * scale)
    return scaled, realised(additive * scale, epistatic * scale, rel_aa)


def without_variance(values: FloatArray) -> Rows:
    """The traits whose genetic values (n, T), not centred, are the same in all individuals but for rounding."""
    return np.flatnonzero(~(values.std(axis=0) > ROUNDING * np.abs(values).max(axis=0)))


def realised(additive: FloatArray, epistatic: FloatArray, rel_aa: FloatArray) -> TraitFacts:
    """V_A, V_AA and V_A/V_G of this population, from the two parts (n, T) of its genetic values."""
    v_a, v_aa = additive.var(axis=0), epistatic.var(axis=0)
    return TraitFacts(rel_aa, v_a, v_aa, v_a / (additive + epistatic).var(axis=0))
