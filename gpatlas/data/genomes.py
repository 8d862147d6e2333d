"""Linked genomes: crosses of two inbred parents, outbred populations, and offspring of any population.

Crossovers follow Haldane (1919, J. Genet. 8: 299-309): in every meiosis a Poisson process of one per 100 centimorgans, without
interference, so that loci d cM apart recombine with probability (1 − exp(−2d/100))/2, and chromosomes assort independently.

Haplotypes are held as bits, 64 loci a word: a gamete of a parent with haplotypes a and b is a ^ ((a ^ b) & origins). Every draw that has
a value per individual comes from its own random stream, individual by individual, so that the output does not depend on the block size.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpatlas.data.genotypes import BLOCK_SIZE, MISSING, ByteArray, FloatArray, blocks
from gpatlas.data.settings import SimulateSettings

Integers = npt.NDArray[np.integer]
Words = npt.NDArray[np.uint64]  # (…, n_loci / 64, rounded up): a bit per locus, lowest first

SELFING, RANDOM_MATING = 8, 10  # generations, where settings leave them out
ROWS = 64  # individuals with a random number for every locus in memory at once
WINDOW, SWEEPS, LEAST = 64, 3, 1e-4  # of phasing: loci to either side, rounds of draws, least product of two haplotype frequencies


@dataclass(frozen=True)
class GeneticMap:
    """All simulated loci in genome order: `chromosome` from 0 and `cm` on it, and which of them are QTL the file's genotypes lack (m,)."""

    chromosome: npt.NDArray[np.int64]
    cm: FloatArray
    hidden: npt.NDArray[np.bool_]


def genetic_map(settings: SimulateSettings, random: np.random.Generator) -> GeneticMap:
    """The loci of the file, evenly over the chromosomes and from end to end of each; hidden QTL of every trait group at random places.

    A single locus of a chromosome stands in its middle.
    """
    length, n_chromosomes = settings.chromosome_cm, settings.n_chromosomes
    sizes = [len(part) for part in np.array_split(np.arange(settings.n_loci), n_chromosomes)]
    n_hidden = len(settings.trait_groups()) * settings.n_qtl if settings.hidden_qtl else 0
    chromosome = np.concatenate([np.repeat(np.arange(n_chromosomes), sizes), random.integers(n_chromosomes, size=n_hidden)])
    even = [np.linspace(0, length, size) if size > 1 else np.array([length / 2]) for size in sizes]
    cm = np.concatenate([*even, length * random.random(n_hidden)])
    order = np.lexsort((cm, chromosome))
    return GeneticMap(chromosome[order], cm[order], order >= settings.n_loci)


def draw_counts(settings: SimulateSettings, genome: GeneticMap, seed: np.random.SeedSequence) -> Iterator[ByteArray]:
    """True counts 0 to the ploidy (k, m) of the second parent's allele, or of allele B, at all loci, `block_size` individuals at a time.

    dh: doubled gametes of the F1, one count for both alleles. bc: an F1 gamete and one of the first parent. f2, ril: the F1 selfed once,
    or n_generations times, one seed a plant. outbred: founders with independent loci, and n_generations of random mating. unlinked: fair
    coins, as the study's, whatever the map.
    """
    draws = {"unlinked": _coins, "dh": _f1_gametes, "bc": _f1_gametes, "f2": _selfed, "ril": _selfed, "outbred": _outbred}
    for haplotypes in draws[settings.population](settings, genome, seed):
        yield _counts(haplotypes, len(genome.cm))


def offspring(
    counts: ByteArray, ploidy: int, chromosome: Integers, cm: FloatArray, n: int, random: np.random.Generator
) -> Iterator[ByteArray]:
    """Counts (k, m) of `n` offspring by random mating of the population with `counts` (N, m).

    `chromosome` and `cm` (m,) place the loci, in any order; where `chromosome` is negative or `cm` is NaN, a locus is unlinked to all
    others. Ploidy 1: recombinant gametes of two different individuals. Ploidy 2: a gamete each of two, which may be the same; the phase of
    heterozygous parents is drawn from the linkage disequilibrium. A missing call of a parent counts as the most frequent call of the locus.
    """
    chromosome = np.where((chromosome < 0) | np.isnan(cm), -1 - np.arange(len(cm)), chromosome)
    cm = np.nan_to_num(cm)
    order = np.lexsort((cm, chromosome))
    genome_order = np.argsort(order)
    counts = _complete(counts)[:, order]
    alleles = _phased(counts, random) if ploidy == 2 else counts[:, None]
    seed = np.random.SeedSequence(int(random.integers(2**63)))
    for haplotypes in _mated(_packed(alleles), (chromosome[order], cm[order]), n, BLOCK_SIZE, seed):
        yield _counts(haplotypes, len(cm))[:, genome_order]


def with_errors(counts: ByteArray, ploidy: int, error_rate: float, missing_rate: float, random: np.random.Generator) -> ByteArray:
    """Observed calls (n, m): each allele of `counts` is read as the other one at `error_rate`, each call then MISSING at `missing_rate`.

    One uniform number per call, in their order, decides on both.
    """
    observed = counts.copy()
    first, second = error_rate, error_rate * (2 - error_rate) * (ploidy - 1)  # below: an error in the first, and else in the second allele
    for start, stop in blocks(len(counts), ROWS):
        part = observed[start:stop]
        draws = random.random(part.shape)
        changed = np.nonzero(draws < missing_rate + (1 - missing_rate) * max(first, second))
        at = (draws[changed] - missing_rate) / (1 - missing_rate)
        in_second = (at < error_rate**2) | ((at >= first) & (at < second)) if ploidy == 2 else False
        wrong = ((part[changed] > 0) ^ (at < first)).astype(np.uint8) + ((part[changed] > 1) ^ in_second)
        part[changed] = np.where(at < 0, MISSING, wrong)
    return observed


class _Meiosis:
    """One gamete of each individual: which of its parent's two haplotypes it has, locus by locus."""

    def __init__(self, chromosome: Integers, cm: FloatArray, seed: np.random.SeedSequence) -> None:
        self.starts = np.flatnonzero(np.diff(chromosome, prepend=chromosome[0] - 1))
        distances = np.diff(cm, prepend=0.0)
        distances[self.starts] = 0
        self.places = np.cumsum(distances)
        self.assortment, self.numbers, self.crossovers = (np.random.default_rng(stream) for stream in _streams(seed, 3))

    def origins(self, n: int) -> Words:
        """Of the next `n` gametes: bits (n, words), 0 for the first haplotype and 1 for the second."""
        n_loci, n_starts = len(self.places), len(self.starts)
        switches = np.zeros((n, -(-n_loci // 64) * 64), np.uint8)
        coins = self.assortment.integers(2**64, size=(n, -(-n_starts // 64)), dtype=np.uint64)
        switches[:, self.starts] = _bits(coins, n_starts)
        numbers = self.numbers.poisson(self.places[-1] / 100, n)
        loci = np.searchsorted(self.places, self.places[-1] * self.crossovers.random(numbers.sum()))
        np.bitwise_xor.at(switches, (np.repeat(np.arange(n), numbers), loci), 1)
        return _running_parity(_packed(switches))


def _running_parity(words: Words) -> Words:
    """Bit j is the parity of bits 0 to j of the row."""
    for shift in (1, 2, 4, 8, 16, 32):
        words ^= words << np.uint64(shift)
    last = np.bitwise_xor.accumulate(words >> np.uint64(63), axis=1)
    words[:, 1:] ^= -last[:, :-1]
    return words


def _gamete(first: Words, second: Words, meiosis: _Meiosis) -> Words:
    """Of parents with two haplotypes (k, words) each."""
    return first ^ ((first ^ second) & meiosis.origins(len(first)))


def _coins(settings: SimulateSettings, genome: GeneticMap, seed: np.random.SeedSequence) -> Iterator[Words]:
    random, n_words = np.random.PCG64(seed), -(-len(genome.cm) // 64)
    for start, stop in blocks(settings.n_individuals, settings.block_size):
        yield random.random_raw((stop - start) * n_words).reshape(-1, 1, n_words)


def _f1_gametes(settings: SimulateSettings, genome: GeneticMap, seed: np.random.SeedSequence) -> Iterator[Words]:
    meiosis = _Meiosis(genome.chromosome, genome.cm, seed)
    for start, stop in blocks(settings.n_individuals, settings.block_size):
        yield meiosis.origins(stop - start)[:, None]


def _selfed(settings: SimulateSettings, genome: GeneticMap, seed: np.random.SeedSequence) -> Iterator[Words]:
    """Single-seed descent: generation g has both gametes of every individual from its one parent of generation g − 1."""
    n_generations = 1 if settings.population == "f2" else settings.n_generations or SELFING
    meioses = [_Meiosis(genome.chromosome, genome.cm, stream) for stream in _streams(seed, 2 * n_generations)]
    for start, stop in blocks(settings.n_individuals, settings.block_size):
        first, second = (meiosis.origins(stop - start) for meiosis in meioses[:2])
        for ovule, pollen in zip(meioses[2::2], meioses[3::2], strict=True):
            first, second = _gamete(first, second, ovule), _gamete(first, second, pollen)
        yield np.stack([first, second], axis=1)


def _outbred(settings: SimulateSettings, genome: GeneticMap, seed: np.random.SeedSequence) -> Iterator[Words]:
    """Founders, generations of as many, and the last one of n_individuals."""
    n_loci, place = len(genome.cm), (genome.chromosome, genome.cm)
    founders, *generations = _streams(seed, 1 + (settings.n_generations or RANDOM_MATING))
    random = np.random.default_rng(founders)
    frequency = random.beta(settings.allele_frequency_shape[0], settings.allele_frequency_shape[1], size=n_loci)
    n, size = settings.n_founders, settings.block_size
    drawn = [_packed(random.random((stop - start, settings.n_alleles, n_loci)) < frequency) for start, stop in blocks(n, ROWS)]
    population = np.concatenate(drawn)
    for generation in generations[:-1]:
        population = np.concatenate(list(_mated(population, place, n, size, generation)))
    return _mated(population, place, settings.n_individuals, size, generations[-1])


def _mated(parents: Words, place: tuple[Integers, FloatArray], n: int, block_size: int, seed: np.random.SeedSequence) -> Iterator[Words]:
    """`n` offspring (k, ploidy, words) of `parents` (N, ploidy, words), in blocks.

    Diploids: two gametes, of one parent each, drawn independently. So a parent may be both, as in Wright's ideal monoecious population:
    heterozygosity falls by 1/(2N) a generation exactly. Haploids: a gamete of two different parents.
    """
    size, ploidy, _ = parents.shape
    mating, *gametes = _streams(seed, 1 + ploidy)
    random, meioses = np.random.default_rng(mating), [_Meiosis(*place, stream) for stream in gametes]
    for start, stop in blocks(n, block_size):
        one, other = random.integers([size, size - 2 + ploidy], size=(stop - start, 2)).T
        if ploidy == 1:
            haplotypes = [(parents[one, 0], parents[(one + 1 + other) % size, 0])]
        else:
            haplotypes = [(parents[one, 0], parents[one, 1]), (parents[other, 0], parents[other, 1])]
        yield np.stack([_gamete(*pair, meiosis) for pair, meiosis in zip(haplotypes, meioses, strict=True)], axis=1)


def _complete(counts: ByteArray) -> ByteArray:
    """With the most frequent call of the locus in the place of missing ones."""
    frequent = np.argmax([(counts == count).sum(axis=0) for count in range(MISSING)], axis=0)
    return np.where(counts == MISSING, frequent.astype(np.uint8), counts)


def _phased(counts: ByteArray, random: np.random.Generator) -> ByteArray:
    """Alleles (n, 2, m) of diploids, in genome order, whose counts are known (n, m).

    Gibbs sampling: at a heterozygous locus, the haplotype with the counted allele is drawn given the individual's other heterozygous loci
    within WINDOW, each independent evidence by its linkage disequilibrium with this one. Chromosomes need not be told apart: a gamete has
    either haplotype of each at random.
    """
    loci = np.ascontiguousarray(counts.T)
    n_loci, n = loci.shape
    mean = loci.mean(axis=1)
    variance = np.square(loci).mean(axis=1) - mean**2
    sd = np.sqrt(np.where(variance > 0, variance, np.inf))
    evidence = np.zeros((n_loci, 2 * WINDOW + 1))
    for locus, here in enumerate(loci):
        before = np.arange(max(0, locus - WINDOW), locus)
        correlation = loci[before] @ (here - mean[locus]) / (n * sd[before] * sd[locus])
        correlation[abs(correlation) < 2 / np.sqrt(n)] = 0  # within 2 SE of none
        odds = _coupling(correlation, mean[before] / 2, mean[locus] / 2)
        evidence[locus, before - locus + WINDOW] = evidence[before, locus - before + WINDOW] = odds
    side = np.zeros((n_loci + 2 * WINDOW, n), np.int8)  # 1: the counted allele is on the first haplotype; -1: second; 0: homozygous
    for _ in range(SWEEPS):
        for locus, here in enumerate(loci):
            first = random.logistic(size=n) < evidence[locus] @ side[locus : locus + 2 * WINDOW + 1]
            side[locus + WINDOW] = np.where(here == 1, 2 * first - 1, 0)
    alleles = (loci + side[WINDOW:-WINDOW] > 0).astype(np.uint8)
    return np.stack([alleles, loci - alleles]).transpose(2, 0, 1)


def _coupling(correlation: FloatArray, p: FloatArray, q: float) -> FloatArray:
    """Log odds (k,) that a double heterozygote has both counted alleles, of frequencies p (k,) and q, on one haplotype.

    The haplotype frequencies follow from the correlation (k,) of the counts (Rogers & Huff 2009, Genetics 182: 839-844).
    """
    d = correlation * np.sqrt(p * (1 - p) * q * (1 - q))
    d = np.clip(d, -np.minimum(p * q, (1 - p) * (1 - q)), np.minimum(p * (1 - q), (1 - p) * q))
    coupling, repulsion = (p * q + d) * ((1 - p) * (1 - q) + d), (p * (1 - q) - d) * ((1 - p) * q - d)
    return np.asarray(np.log((coupling + LEAST) / (repulsion + LEAST)))


def _packed(alleles: npt.NDArray[np.bool_] | ByteArray) -> Words:
    """0/1 alleles (…, m) to bits (…, words)."""
    if spare := -alleles.shape[-1] % 64:
        alleles = np.concatenate([alleles, np.zeros((*alleles.shape[:-1], spare), np.uint8)], axis=-1)
    return np.packbits(np.ascontiguousarray(alleles), axis=-1, bitorder="little").view("<u8")


def _bits(words: Words, n: int) -> ByteArray:
    """The first `n` bits (…, n) of words (…, words)."""
    return np.unpackbits(words.astype("<u8", copy=False).view(np.uint8), axis=-1, count=n, bitorder="little")


def _counts(haplotypes: Words, n_loci: int) -> ByteArray:
    """Counts (k, n_loci) of haplotypes (k, ploidy, words)."""
    counts = _bits(haplotypes[:, 0], n_loci)
    for number in range(1, haplotypes.shape[1]):
        counts += _bits(haplotypes[:, number], n_loci)
    return counts


def _streams(seed: np.random.SeedSequence, n: int) -> list[np.random.SeedSequence]:
    """Children of a seed, without counting them in it: the same at every call."""
    return [np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, child)) for child in range(n)]
