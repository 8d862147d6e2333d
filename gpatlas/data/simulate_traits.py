"""The stage simulate-traits: simulated traits on the genotypes of a population that is there, on some of it, or on it and its offspring."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gpatlas.data.dataset import Dataset, DatasetError
from gpatlas.data.genomes import offspring
from gpatlas.data.genotypes import MISSING, ByteArray, Genotypes, Rows, pack, pack_counts
from gpatlas.data.places import Places
from gpatlas.data.population import Description, numbers_from_1, unnamed
from gpatlas.data.settings import SimulateTraitsSettings
from gpatlas.data.simulated import simulated_file, trait_attributes
from gpatlas.data.subsample import random_rows
from gpatlas.data.traits import causal_loci, draw_effects, traits_of
from gpatlas.progress import Progress


def run(settings: SimulateTraitsSettings, source: Path, out: Path, progress: Progress) -> None:
    """Simulate traits on the genotypes of the dataset file `source` into `out`, format 2. Its phenotypes, and truth, are left behind.

    Raises DatasetError, naming the file, where its genotypes do not do for the settings.
    """
    sample_seed, effect_seed, noise_seed = np.random.SeedSequence(settings.seed).spawn(3)
    with Dataset(source) as data:
        genotypes, described = data.genotypes(), data.description() or unnamed(data.n_individuals, data.n_loci, data.n_traits)
        population = str(data.attributes.get("population", "imported" if data.description() else "unlinked"))
    places = Places.of(described.loci.chromosome, described.loci.position, genotypes.n_loci, settings.cm_per_mb)
    try:
        sample = _Sample(genotypes, described).resized(settings.n_individuals, places, np.random.default_rng(sample_seed))
        frequent, varying = _calls(sample.genotypes)
        for name, value in settings.dominance().items() if genotypes.highest == 1 else ():
            raise ValueError(f"{name}: must be 0 where no individual is heterozygous, got {value:g}")
        candidates = np.flatnonzero(varying)
        effects = draw_effects(settings, candidates, genotypes.n_loci, np.random.default_rng(effect_seed), places.chromosome)
        effects = replace(effects, places=places if places.known else None)
        qtl, n = causal_loci(effects), len(sample.genotypes)
        of_qtl = [pack_counts(_complete(counts[:, qtl], frequent[qtl])) for _, counts in sample.genotypes.blocks(settings.block_size)]
        causal = Genotypes(np.concatenate(of_qtl), len(qtl), 2, genotypes.highest)
        traits = traits_of(settings, effects, causal, np.random.default_rng(noise_seed))
    except ValueError as error:
        raise DatasetError(f"{source}: {error}") from error
    one_bit = genotypes.bits == 1 and described.ploidy == 1
    with simulated_file(out, n, genotypes.n_loci, 1 if one_bit else 2) as file:
        as_given = np.array([0, described.ploidy // genotypes.highest, 2, MISSING], np.uint8)
        for rows, counts in sample.genotypes.blocks(settings.block_size):
            file.write(rows.start, counts if described.ploidy == genotypes.highest else as_given.take(counts))
            progress(min(rows.stop, n), n)
        attributes = {**trait_attributes(settings, effects), "cm_per_mb": settings.cm_per_mb, "population": population}
        file.finish(sample.described, traits, {**attributes, "source": source.name})


@dataclass(frozen=True)
class _Sample:
    """Individuals, and what is known of them."""

    genotypes: Genotypes
    described: Description

    def resized(self, n: int | None, places: Places, random: np.random.Generator) -> "_Sample":
        """`n` of them at random, in the order they have; or all with as many offspring as lack, in random order."""
        n_all = len(self.genotypes)
        if n is None or n == n_all:
            return self
        if n < n_all:
            return self._rows(random_rows(n_all, n, random))
        return self._with_offspring(n - n_all, places, random)._rows(random.permutation(n))

    def _rows(self, rows: Rows) -> "_Sample":
        return _Sample(self.genotypes.rows(rows), self.described.rows(rows))

    def _with_offspring(self, n: int, places: Places, random: np.random.Generator) -> "_Sample":
        """Offspring have names of their own, each is a group of its own, and has the mean of the covariates."""
        genotypes, described = self.genotypes, self.described
        pack_as_these = pack if genotypes.bits == 1 else pack_counts
        born = offspring(genotypes.counts(), genotypes.highest, places.chromosome, places.cm, n, random)
        packed = np.concatenate([genotypes.packed, *map(pack_as_these, born)])
        names = _new_names(n, set(described.ids.tolist()))
        covariates = np.concatenate([described.covariates, np.tile(described.covariates.mean(axis=0), (n, 1))])
        groups = None if described.groups is None else np.concatenate([described.groups, names])
        described = replace(described, ids=np.concatenate([described.ids, names]), groups=groups, covariates=covariates)
        return _Sample(replace(genotypes, packed=packed), described)


def _new_names(n: int, taken: set[str]) -> np.ndarray:
    """offspring_1, …; with further underscores where one of them is `taken`."""
    stem = "offspring_"
    while any(name.startswith(stem) for name in taken):
        stem += "_"
    return np.char.add(stem, numbers_from_1(n))


def _calls(genotypes: Genotypes) -> tuple[ByteArray, np.ndarray]:
    """The most frequent call of every locus, and whether its calls differ, (n_loci,) each."""
    numbers = np.zeros((MISSING, genotypes.n_loci), np.int64)
    for _, counts in genotypes.blocks(1024):
        numbers += [(counts == count).sum(axis=0, dtype=np.uint16) for count in range(MISSING)]
    return numbers.argmax(axis=0).astype(np.uint8), (numbers > 0).sum(axis=0) > 1


def _complete(counts: ByteArray, frequent: ByteArray) -> ByteArray:
    return np.where(counts == MISSING, frequent, counts)
