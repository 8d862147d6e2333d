"""Help for tests of linked genomes: doubled haploid lines of a cross, and traits with pairs of loci on them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpatlas.data.genotypes import ByteArray, FloatArray


@dataclass(frozen=True)
class Cross:
    """`alleles` (n, n_loci); `chromosome` and `cm` (n_loci,) of the loci."""

    alleles: ByteArray
    chromosome: npt.NDArray[np.intp]
    cm: FloatArray

    @classmethod
    def simulated(cls, n: int, seed: int, n_chromosomes: int = 5, length: float = 100.0, loci_per_chromosome: int = 200) -> "Cross":
        """Of two inbred lines: one meiosis, crossovers after Haldane, loci evenly spaced."""
        random = np.random.default_rng(seed)
        cm = np.linspace(0, length, loci_per_chromosome)
        recombination = (1 - np.exp(-2 * np.diff(cm) / 100)) / 2
        parts = []
        for _ in range(n_chromosomes):
            start = random.integers(0, 2, (n, 1))
            switches = random.random((n, len(recombination))) < recombination
            parts.append((start + np.concatenate([np.zeros((n, 1), int), switches.cumsum(axis=1)], axis=1)) % 2)
        alleles = np.concatenate(parts, axis=1).astype(np.uint8)
        return cls(alleles, np.repeat(np.arange(n_chromosomes), loci_per_chromosome), np.tile(cm, n_chromosomes))

    def within(self, loci: npt.NDArray[np.intp], others: npt.NDArray[np.intp], most_cm: float) -> npt.NDArray[np.bool_]:
        """Whether loci (k,) and others (l,), from 0, are on one chromosome and at most that far apart: (k, l)"""
        same = self.chromosome[loci][:, None] == self.chromosome[others]
        return np.asarray(same & (np.abs(self.cm[loci][:, None] - self.cm[others]) <= most_cm))

    def hits(self, pairs: npt.NDArray[np.intp], others: npt.NDArray[np.intp], most_cm: float) -> npt.NDArray[np.bool_]:
        """Whether both loci of pairs (k, 2) are near those of others (l, 2), in either order: (k, l)"""
        straight = self.within(pairs[:, 0], others[:, 0], most_cm) & self.within(pairs[:, 1], others[:, 1], most_cm)
        return straight | self.within(pairs[:, 0], others[:, 1], most_cm) & self.within(pairs[:, 1], others[:, 0], most_cm)

    def trait(self, n_pairs: int, epistatic_share: float, h2: float, seed: int) -> tuple[FloatArray, npt.NDArray[np.intp]]:
        """Of 2·`n_pairs` loci with additive effects that interact two by two: phenotypes (n,), and the pairs (n_pairs, 2).

        `epistatic_share`: of the genetic variance.
        """
        random = np.random.default_rng(seed)
        pairs = random.choice(self.alleles.shape[1], (n_pairs, 2), replace=False)
        x = 2.0 * self.alleles - 1
        single, double = (of @ random.standard_normal(of.shape[1]) for of in (x[:, pairs.ravel()], x[:, pairs[:, 0]] * x[:, pairs[:, 1]]))
        genetic = np.sqrt(1 - epistatic_share) * single / single.std() + np.sqrt(epistatic_share) * double / double.std()
        noise = random.standard_normal(len(x))
        return np.sqrt(h2) * genetic / genetic.std() + np.sqrt(1 - h2) * noise / noise.std(), np.sort(pairs, axis=1)
