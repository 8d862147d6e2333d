"""Where loci are on the genetic map, and which are near each other."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpatlas.data.genotypes import FloatArray, Rows

UNPLACED = ("", "0", "nan")  # chromosomes of loci whose place is not known
DISTANCES_CM = (1, 5, 10)  # within which a pair counts as found
BASES_PER_CM = 1e6  # where nothing else is said


@dataclass(frozen=True)
class Places:
    """`chromosome` (m,), by number from 0, and `cm` (m,) on it; -1 and NaN for a locus without a place, which is near no other.

    The first `n_loci` are those of the genotypes.
    """

    chromosome: npt.NDArray[np.int64]
    cm: FloatArray
    n_loci: int

    @classmethod
    def of(cls, chromosome: npt.NDArray[np.str_], position: npt.NDArray[np.int64], n_loci: int, cm_per_mb: float = 1.0) -> "Places":
        """Of named chromosomes and positions in base pairs, (m,) each."""
        _, numbers = np.unique(chromosome, return_inverse=True)
        known = ~np.isin(chromosome, UNPLACED) & (position > 0)
        return cls(np.where(known, numbers, -1), np.where(known, (position - 1) / BASES_PER_CM * cm_per_mb, np.nan), n_loci)

    @property
    def known(self) -> bool:
        """Whether any locus has a place."""
        return bool((self.chromosome >= 0).any())

    def distance(self, loci: Rows, others: Rows) -> FloatArray:
        """In cM, (k, l), of loci (k,) and others (l,); infinite where they are on two chromosomes, or a place is not known."""
        same = (self.chromosome[loci][:, None] == self.chromosome[others]) & (self.chromosome[others] >= 0)
        apart = np.where(same, np.abs(self.cm[loci][:, None] - self.cm[others]), np.inf)
        return np.asarray(np.where(np.asarray(loci)[:, None] == others, 0.0, apart))

    def nearest(self, loci: Rows) -> tuple[Rows, FloatArray]:
        """The nearest locus of the genotypes to each of `loci` (k,), and how far it is, in cM."""
        markers = np.arange(self.n_loci)
        found, apart = np.array(loci, np.intp), np.zeros(len(loci))
        for number in np.flatnonzero(found >= self.n_loci):
            distance = self.distance(found[[number]], markers)[0]
            found[number], apart[number] = distance.argmin(), distance.min()
        return found, apart

    def within(self, pairs: Rows, others: Rows, most_cm: float) -> npt.NDArray[np.bool_]:
        """Whether both loci of pairs (k, 2) are at most so far from those of others (l, 2), in either order: (k, l)"""
        near = [[self.distance(pairs[:, mine], others[:, theirs]) <= most_cm for theirs in (0, 1)] for mine in (0, 1)]
        return np.asarray(near[0][0] & near[1][1] | near[0][1] & near[1][0])
