"""Linked neighbours are one signal: clumps of loci that nearly agree along their order, and how many independent loci there are."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpatlas.data.genotypes import FloatArray, Genotypes, blocks
from gpatlas.models.columns import Coding, Columns, Singles

LOCUS_BLOCK = 256  # loci held as numbers
MOST_INDIVIDUALS = 50_000  # that tell which neighbours are linked
CHANCE = 4.0  # standard errors, 1/√n, below which a correlation of two loci counts as none
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Clumps:
    """Consecutive loci, from 1: each clump's `first`, `last` and the `representative` in its middle, (c,) each.

    Every locus of a clump agrees with the first one that varies. `merged`: whether any clump joins loci that vary.
    """

    first: Places
    last: Places
    representative: Places
    merged: bool

    @classmethod
    def of(cls, columns: Columns, least_r_squared: float, n_most: int) -> "Clumps":
        """Of the loci of `columns`, by their squared correlation in the first `n_most` individuals.

        A locus that does not vary goes with the one before it.
        """
        starts, varying, lead = [1], np.zeros(len(columns), bool), None
        for start, stop in blocks(len(columns) - 1, LOCUS_BLOCK):
            for locus, x in enumerate(standardised(columns, np.arange(start, stop) + 1, n_most), start + 1):
                varying[locus] = bool(x.any())
                if not varying[locus]:
                    continue
                if lead is not None and float(x @ lead) ** 2 < least_r_squared:
                    starts.append(locus)
                if lead is None or starts[-1] == locus:
                    lead = x
        first = np.array(starts)
        last = np.append(first[1:] - 1, len(columns) - 1)
        members = [one + np.flatnonzero(varying[one : end + 1]) for one, end in zip(first, last, strict=True)]
        middle = [of_clump[(len(of_clump) - 1) // 2] if len(of_clump) else one for of_clump, one in zip(members, first, strict=True)]
        return cls(first, last, np.array(middle), any(len(of_clump) > 1 for of_clump in members))

    def number_of(self, loci: Places) -> Places:
        """The clumps, from 1, that `loci`, from 1, belong to."""
        return np.asarray(np.searchsorted(self.first, loci, side="right"), np.intp)


def one_per_clump(genotypes: Genotypes, least_r_squared: float) -> Places:
    """A locus of every clump, from 0, in ascending order."""
    columns = Coding.fit(genotypes).columns(genotypes)
    return Clumps.of(columns, least_r_squared, MOST_INDIVIDUALS).representative - 1


def standardised(columns: Columns, loci: Places, n_most: int | None = None) -> Singles:
    """Columns of `loci` (k,), of mean 0 and length 1, or 0 where a locus does not vary: (k, n), of the first individuals where many."""
    return unit_length(columns.products(np.column_stack([np.zeros_like(loci), loci])).x(0, min(columns.n, n_most or columns.n)))


def unit_length(x: Singles) -> Singles:
    """Rows (k, n) less their means, of length 1; 0 where a row is constant."""
    centred = x - x.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("kn,kn->k", centred, centred))[:, None]
    there = length > 1e-3 * np.sqrt(x.shape[1])
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=there), np.float32)


def effective_number(columns: Columns) -> float:
    """How many independent loci the loci of `columns` are worth: (Σ√λ)² / Σλ of the eigenvalues λ of their correlations.

    Galwey 2009 (doi 10.1002/gepi.20408), added up over blocks of neighbours, in which correlations within chance count as none.
    """
    total = 0.0
    for start, stop in blocks(len(columns) - 1, LOCUS_BLOCK):
        x = standardised(columns, np.arange(start, stop) + 1)
        correlations: FloatArray = (x @ x.T).astype(np.float64)
        correlations[np.abs(correlations) < CHANCE / np.sqrt(columns.n)] = 0
        total += _worth(np.asarray(np.linalg.eigvalsh(correlations), np.float64))
    return total


def _worth(eigenvalues: FloatArray) -> float:
    kept = np.clip(eigenvalues, 0, None)
    return float(np.sqrt(kept).sum() ** 2 / kept.sum()) if kept.any() else 0.0
