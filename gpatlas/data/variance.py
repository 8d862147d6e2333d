"""What genetic variance is made of in one population, and how many independent segments its genomes are worth.

Functional effects belong to genotypes, statistical ones to a population (Fisher 1918, Trans. R. Soc. Edinb. 52: 399; Cockerham 1954,
Genetics 39: 859; Álvarez-Castro & Carlborg 2007, NOIA, doi 10.1534/genetics.106.067348; Lynch & Walsh 1998, Genetics and Analysis of
Quantitative Traits, chapters 4 and 5). Here they come from sequential least squares of the genetic values: on the allele counts of the
QTL, which explain V_A; then on heterozygosity too, which adds V_D; the rest is V_I.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import BLOCK_SIZE, MISSING, ByteArray, FloatArray, Genotypes, Rows
from gpatlas.data.linear import adjusted_r_squared, explains_more, pseudo_inverse

MOST_COLUMNS = 1000  # of least squares on all QTL
SEGMENT_INDIVIDUALS, SEGMENT_LOCI = 2000, 5000  # that tell the effective number of segments


def statistical_components(local: Effects, qtl: Genotypes, genetic_values: FloatArray) -> FloatArray:
    """V_A, V_D and V_I (3, T) of the genetic values (n, T), which have mean 0; they sum to V_G. `local`: effects of the `qtl` alone.

    With x = 2·count / ploidy − 1 and h = 1 in heterozygotes, every term of a genetic value is regressed on x, then on x and h, of its own
    loci: a·x + d·h has the average effect a + d·cov(h, x) / var(x), which is a + d·(q − p) in Hardy-Weinberg proportions; the
    product of two loci, the slopes of its regression on both. What these sums of slopes explain, what heterozygosity adds, and the rest
    have the variances V_A, V_D and V_I, which are scaled to sum to V_G: parts that are orthogonal in a large population covary by chance
    in a sample. That has next to no sampling error, and holds where pairs are not linked to other QTL. Where least squares on all QTL
    explains more than by chance, its adjusted R² is the answer, as in `linear_r_squared`, and no component is below 0. It is not looked
    at with more than MOST_COLUMNS of them, or with no more individuals than columns.
    """
    v_g = genetic_values.var(axis=0)
    components = np.empty((3, len(v_g)))
    for traits in local.groups:
        loci = local.qtl(traits.start)
        components[:, traits] = _shares(_slopes(local, traits, loci, qtl), loci, qtl, genetic_values[:, traits])
    return np.asarray(v_g * components)


def _coded(counts: ByteArray, highest: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """x and h, whole numbers, as `statistical_components` has them."""
    return counts.astype(np.float32) * (2 / highest) - 1, ((counts == 1) & (highest == 2)).astype(np.float32)


def _slopes(local: Effects, traits: slice, loci: Rows, qtl: Genotypes) -> list[FloatArray]:
    """Of the sums of all terms' regressions: on x (q, T), and in diploids on x and h (2q, T)."""
    pairs = np.searchsorted(loci, local.pairs[traits.start])
    of_loci, of_pairs = _own_moments(qtl, loci, pairs)
    a, e = local.additive[loci, traits], local.epistatic[traits].T
    d, f = np.zeros_like(a), np.zeros_like(e)
    if local.dominance is not None and local.dominance_epistatic is not None:
        d, f = local.dominance[loci, traits], local.dominance_epistatic[traits].T
    variance = of_loci[:, 0, 0]
    on_x = np.divide(of_loci[:, 0, 1], variance, out=np.zeros_like(variance), where=variance > 0)[:, None]
    slopes = [_with_pairs(a + d * on_x, pairs, of_pairs, np.stack([e, f], axis=1), 2)]
    if qtl.highest == 2:
        x_and_h = np.concatenate([pairs, pairs + len(loci)], axis=1)
        slopes.append(_with_pairs(np.concatenate([a, d]), x_and_h, of_pairs, np.stack([e, f], axis=1), 4))
    return slopes


def _own_moments(qtl: Genotypes, loci: Rows, pairs: Rows) -> tuple[FloatArray, FloatArray]:
    """Covariances of x and h of every locus (q, 2, 2); of x_i, x_j, h_i, h_j, x_i·x_j, h_i·h_j of every pair (P, 6, 6)."""
    sums = [np.zeros((len(loci), 2)), np.zeros((len(pairs), 6))]
    squares = [np.zeros((len(loci), 2, 2)), np.zeros((len(pairs), 6, 6))]
    for _, counts in qtl.blocks(BLOCK_SIZE):
        x, h = (of.T for of in _coded(counts[:, loci], qtl.highest))
        first, second = pairs.T
        own = [x[first], x[second], h[first], h[second], x[first] * x[second], h[first] * h[second]]
        for number, terms in enumerate((np.stack([x, h], axis=1), np.stack(own, axis=1))):
            sums[number] += terms.sum(axis=2)
            squares[number] += terms @ terms.transpose(0, 2, 1)
    n = len(qtl)
    of_loci, of_pairs = (square / n - one[:, :, None] * one[:, None, :] / n**2 for square, one in zip(squares, sums, strict=True))
    return of_loci, of_pairs


def _with_pairs(slopes: FloatArray, columns: Rows, of_pairs: FloatArray, effects: FloatArray, n_own: int) -> FloatArray:
    """`slopes` (w, T) and those of the pairs on their first `n_own` terms, which are in `columns` (P, n_own). `effects`: (P, 2, T)"""
    own, with_products = of_pairs[:, :n_own, :n_own], of_pairs[:, :n_own, 4:]
    added = np.linalg.pinv(own, rcond=1e-10, hermitian=True) @ with_products @ effects
    slopes = slopes.copy()
    np.add.at(slopes, columns, added)
    return slopes


def _shares(slopes: list[FloatArray], loci: Rows, qtl: Genotypes, values: FloatArray) -> FloatArray:
    """V_A, V_D and V_I of the genetic values (n, T), (3, T), in parts of their sum."""
    n, width = len(values), len(slopes[-1])
    fitted = [np.empty_like(values) for _ in slopes]
    total, gram, cross = np.zeros(width), np.zeros((width, width) if width <= MOST_COLUMNS else (0, 0)), np.zeros((width, values.shape[1]))
    for rows, counts in qtl.blocks(BLOCK_SIZE):
        columns = np.concatenate(_coded(counts[:, loci], qtl.highest), axis=1)[:, :width]
        for of_slopes, found in zip(slopes, fitted, strict=True):
            found[rows] = columns[:, : len(of_slopes)] @ of_slopes
        if gram.size:
            gram += columns.T @ columns
            total += columns.sum(axis=0)
            cross += columns.T @ values[rows]
    parts = np.array([fitted[0], fitted[-1] - fitted[0], values - fitted[-1]]).var(axis=1)
    shares: FloatArray = parts / parts.sum(axis=0)
    if not gram.size:
        return shares
    covariance, cross = gram / n - np.outer(total, total) / n**2, cross / n
    for trait, by_least_squares in enumerate(_least_squares(slopes, covariance, cross, values)):
        if by_least_squares is not None:
            shares[:, trait] = by_least_squares
    return shares


def _least_squares(slopes: list[FloatArray], covariance: FloatArray, cross: FloatArray, values: FloatArray) -> Iterator[FloatArray | None]:
    """Of every trait V_A, V_D and V_I (3,) in parts of V_G, where least squares explains more than the slopes by more than chance."""
    n, parts = len(values), [covariance[: len(of_slopes), : len(of_slopes)] for of_slopes in slopes]
    inverses = [pseudo_inverse(part) for part in parts]
    for trait, v_g in enumerate(values.var(axis=0).tolist()):
        of_trait = [
            (of_slopes[:, trait], part, inverse, cross[: len(of_slopes), trait], v_g, rank, n)
            for of_slopes, part, (inverse, rank) in zip(slopes, parts, inverses, strict=True)
        ]
        if n - 1 <= inverses[-1][1] or not any(explains_more(*arguments) for arguments in of_trait):
            yield None
            continue
        r_squared = [adjusted_r_squared(*arguments[2:]) for arguments in of_trait]
        additive = np.clip(r_squared[0], 0, 1)
        both = np.clip(r_squared[-1], additive, 1)
        yield np.array([additive, both - additive, 1 - both])


def effective_segments(counts: ByteArray) -> float:
    """M_e, the effective number of independent chromosome segments of individuals with `counts` (n, m): 1 / var(G_ij), i < j.

    G = Z·Zᵀ/m of standardised loci, missing calls at the mean. The relationships are expected to be the same of all pairs of
    individuals, so their variance is that about their expectation, as Goddard, Hayes & Meuwissen 2011 (doi
    10.1111/j.1439-0388.2011.00964.x) define it; where there are families, these lower it. Unlinked loci have M_e = m. Seen on the first
    SEGMENT_INDIVIDUALS, and on SEGMENT_LOCI spread evenly over all. NaN with fewer than three individuals.
    """
    counts = counts[:SEGMENT_INDIVIDUALS]
    loci = np.unique(np.linspace(0, counts.shape[1] - 1, SEGMENT_LOCI).round().astype(int))
    z = np.ma.masked_equal(counts[:, loci], MISSING).astype(np.float32)
    z = np.ma.filled(z - z.mean(axis=0), 0)
    sd = z.std(axis=0)
    z = z[:, sd > 0] / sd[sd > 0]
    related = (z @ z.T / z.shape[1])[np.triu_indices(len(z), 1)]
    return float(1 / related.var(dtype=np.float64)) if len(related) > 1 else float("nan")
