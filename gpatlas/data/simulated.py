"""Writes format 2 of simulated populations: genomes with linkage or heterozygotes, and traits on the genotypes of any dataset file.

Genotypes are streamed, or packed as they were read; the true counts of QTL stay in memory, packed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from gpatlas.data.dataset import DESCRIBED_FORMAT, LOCKING
from gpatlas.data.effects import Effects
from gpatlas.data.genomes import draw_counts, genetic_map, with_errors
from gpatlas.data.genotypes import ByteArray, Genotypes, Rows, pack, pack_counts
from gpatlas.data.imported import Individuals, write_tables, write_texts
from gpatlas.data.places import BASES_PER_CM, Places
from gpatlas.data.population import Description, Loci, TextArray, numbers_from_1
from gpatlas.data.settings import SimulateSettings, TraitSettings
from gpatlas.data.traits import SimulatedTraits, causal_loci, draw_effects, simulation_attributes, traits_of
from gpatlas.data.variance import SEGMENT_INDIVIDUALS, effective_segments
from gpatlas.progress import Progress


def simulate_genomes(settings: SimulateSettings, out: Path, progress: Progress) -> None:
    """Simulate one scenario into the dataset file `out`, format 2, whatever the population and its traits."""
    genome_seed, effect_seed, noise_seed, map_seed, error_seed = np.random.SeedSequence(settings.seed).spawn(5)
    genome = genetic_map(settings, np.random.default_rng(map_seed))
    order = np.argsort(genome.hidden, kind="stable")  # the file's loci, then the hidden ones
    n, n_loci, ploidy = settings.n_individuals, settings.n_loci, settings.n_alleles
    chromosome, position = _named_places(settings, genome.chromosome[order], genome.cm[order])
    places = Places.of(chromosome, position, n_loci)
    candidates = np.arange(n_loci, len(order)) if settings.hidden_qtl else np.arange(n_loci)
    effects = draw_effects(settings, candidates, len(order), np.random.default_rng(effect_seed), places.chromosome)
    effects = replace(effects, places=places if places.known else None)
    qtl, errors = causal_loci(effects), np.random.default_rng(error_seed)
    of_qtl, hidden, done = [], [], 0
    with simulated_file(out, n, n_loci, settings.bits) as file:
        for counts in draw_counts(settings, genome, genome_seed):
            counts = counts.take(order, axis=1) if settings.hidden_qtl else counts
            of_qtl.append(pack_counts(counts[:, qtl]))
            hidden.append(file.packed(counts[:, n_loci:]))
            observed = counts[:, :n_loci]
            if settings.error_rate or settings.missing_rate:
                observed = with_errors(observed, ploidy, settings.error_rate, settings.missing_rate, errors)
            file.write(done, observed)
            done += len(counts)
            progress(done, n)
        causal = Genotypes(np.concatenate(of_qtl), len(qtl), 2, ploidy)
        traits = traits_of(settings, effects, causal, np.random.default_rng(noise_seed))
        if settings.hidden_qtl:
            file.write_hidden(np.concatenate(hidden), chromosome[n_loci:], position[n_loci:])
        described = _description(settings, chromosome[:n_loci], position[:n_loci])
        file.finish(described, traits, {**trait_attributes(settings, effects), "population": settings.population, "source": ""})


def _named_places(settings: SimulateSettings, chromosome: npt.NDArray[np.int64], cm: npt.NDArray[np.float64]) -> tuple[TextArray, Rows]:
    """Names of the chromosomes and positions in base pairs, from 1; '' and 0 of unlinked loci."""
    if settings.population == "unlinked":
        return np.full(len(cm), "", np.str_), np.zeros(len(cm), np.int64)
    return np.char.add("chr", (chromosome + 1).astype(np.str_)), np.round(cm * BASES_PER_CM).astype(np.int64) + 1


def _description(settings: SimulateSettings, chromosome: TextArray, position: Rows) -> Description:
    """Individuals and traits are called by their numbers, loci by their places, or numbers where they have none."""
    n, n_loci = settings.n_individuals, settings.n_loci
    by_place = np.char.add(np.char.add(chromosome, "_"), position.astype(np.str_))
    names = by_place if chromosome[0] else numbers_from_1(n_loci)
    loci = Loci(names, chromosome, position, np.full(n_loci, "B", np.str_), np.full(n_loci, "A", np.str_))
    return Description(numbers_from_1(n), None, (), np.zeros((n, 0)), (), loci, settings.n_alleles)


def trait_attributes(settings: TraitSettings, effects: Effects) -> dict[str, Any]:
    """What the file says of how its traits were drawn."""
    return {**simulation_attributes(settings), "n_qtl": settings.n_qtl, "n_pairs": effects.pairs.shape[1]}


@dataclass(frozen=True)
class SimulatedFile:
    """A dataset file that is being written: `genotypes`, `bits` a locus of `n_loci`, row after row; then the rest at once."""

    file: h5py.File
    n_loci: int
    bits: int

    def packed(self, counts: ByteArray) -> ByteArray:
        """Counts (k, m) as the file has them."""
        return pack(counts) if self.bits == 1 else pack_counts(counts)

    def write(self, start: int, counts: ByteArray) -> None:
        """Observed counts (k, n_loci) of the individuals from `start` on."""
        self.file["genotypes"][start : start + len(counts)] = self.packed(counts)

    def write_hidden(self, packed: ByteArray, chromosome: TextArray, position: Rows) -> None:
        """The loci that the genotypes lack: true counts (n, bytes), `packed`, and where they are."""
        self.file["truth/hidden/genotypes"], self.file["truth/hidden/position"] = packed, position
        write_texts(self.file, "truth/hidden/chromosome", chromosome)

    def finish(self, described: Description, traits: SimulatedTraits, attributes: dict[str, Any]) -> None:
        """All but genotypes; the traits are called by their numbers."""
        effects = traits.effects
        covariates = described.covariate_names, described.covariates
        names = tuple(numbers_from_1(len(effects.pairs)).tolist())
        write_tables(self.file, Individuals(described.ids, described.groups, names, traits.phenotypes, *covariates), [described.loci])
        truth = {"genetic_values": traits.genetic_values, **{name: getattr(effects, name) for name in ("additive", "pairs", "intercept")}}
        truth |= {"dominance": _or_zeros(effects.dominance, effects.additive), "epistatic": effects.epistatic}
        truth |= {"dominance_epistatic": _or_zeros(effects.dominance_epistatic, effects.epistatic)}
        for name, values in truth.items():
            self.file[f"truth/{name}"] = values
        first = Genotypes(self.file["genotypes"][:SEGMENT_INDIVIDUALS], self.n_loci, self.bits)
        form = {"format_version": DESCRIBED_FORMAT, "n_loci": self.n_loci, "bits_per_locus": self.bits, "ploidy": described.ploidy}
        self.file.attrs.update({**form, "m_e": effective_segments(first.counts()), "cm_per_mb": 1.0, **traits.facts, **attributes})


def _or_zeros(effects: npt.NDArray[np.float64] | None, like: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.zeros_like(like) if effects is None else effects


@contextmanager
def simulated_file(path: Path, n: int, n_loci: int, bits: int) -> Iterator[SimulatedFile]:
    """The file at `path`, open for writing."""
    with h5py.File(path, "w", locking=LOCKING) as file:
        file.create_dataset("genotypes", (n, -(-n_loci * bits // 8)), np.uint8)
        yield SimulatedFile(file, n_loci, bits)
