"""The native simulator: AlphaSimR's model (quickHaplo, addTraitAE, setPheno) for haploid, unlinked loci, in numpy.

Every draw that has one value per individual comes from its own random stream and is taken row by row, so that the
output does not depend on the block size.
"""

from pathlib import Path

import numpy as np

from gpatlas.data.dataset import DatasetWriter
from gpatlas.data.effects import TraitFacts
from gpatlas.data.genotypes import ByteArray, FloatArray, blocks
from gpatlas.data.settings import SimulateSettings
from gpatlas.data.simulated import simulate_genomes
from gpatlas.data.traits import check_variance, draw_effects, simulation_attributes, trait_rel_aa
from gpatlas.progress import Progress


def run(settings: SimulateSettings, source: None, out: Path, progress: Progress) -> None:
    """Simulate one scenario into the dataset file `out`: the study's kind as format 1, any other as format 2."""
    if settings.of_the_study:
        _simulate_alleles(settings, out, progress)
    else:
        simulate_genomes(settings, out, progress)


def _simulate_alleles(settings: SimulateSettings, out: Path, progress: Progress) -> None:
    genome_seed, effect_seed, noise_seed = np.random.SeedSequence(settings.seed).spawn(3)
    effects = draw_effects(settings, np.arange(settings.n_loci), settings.n_loci, np.random.default_rng(effect_seed))
    n, n_traits = settings.n_individuals, len(effects.intercept)
    genome, noise = np.random.PCG64(genome_seed), np.random.default_rng(noise_seed)
    additive, epistatic = np.empty((n, n_traits)), np.empty((n, n_traits))
    with DatasetWriter(out, n, settings.n_loci, n_traits) as writer:
        for start, stop in blocks(n, settings.block_size):
            packed = draw_genotypes(genome, stop - start, settings.n_loci)
            additive[start:stop], epistatic[start:stop] = effects.parts(packed)
            writer.write_rows("genotypes", start, packed)
            progress(stop, n)
        values = additive + epistatic
        check_variance(values)
        scale, effects = 1 / values.std(axis=0), effects.scaled(values)
        facts = realised(additive * scale, epistatic * scale, trait_rel_aa(settings))
        sd = np.sqrt(1 / settings.h2 - 1)
        for start, stop in blocks(n, settings.block_size):
            # Recomputed from the scaled effects, not rescaled: the file's values and effects then agree to the last bit.
            scaled = effects.parts(writer.read_rows("genotypes", start, stop))
            genetic_values = effects.intercept + scaled[0] + scaled[1]
            writer.write_rows("genetic_values", start, genetic_values)
            writer.write_rows("phenotypes", start, genetic_values + sd * noise.standard_normal((stop - start, n_traits)))
        writer.finish(effects, facts, simulation_attributes(settings))


def draw_genotypes(genome: np.random.PCG64, n: int, n_loci: int) -> ByteArray:
    """Fair-coin alleles of the next `n` individuals, bit-packed (n, ceil(n_loci / 8)): whole 64-bit words a row."""
    words = -(-n_loci // 64)
    rows = genome.random_raw(n * words).astype("<u8").view(np.uint8).reshape(n, words * 8)
    packed = rows[:, : -(-n_loci // 8)].copy()
    if n_loci % 8:
        packed[:, -1] &= (1 << n_loci % 8) - 1
    return packed


def realised(additive: FloatArray, epistatic: FloatArray, rel_aa: FloatArray) -> TraitFacts:
    """V_A, V_AA and V_A/V_G of this population, from the two parts (n, T) of its genetic values."""
    v_a, v_aa = additive.var(axis=0), epistatic.var(axis=0)
    return TraitFacts(rel_aa, v_a, v_aa, v_a / (additive + epistatic).var(axis=0))
