"""How much of the genetic variance a linear model of the alleles can explain."""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import ByteArray, FloatArray, unpack

STANDARD_DEVIATIONS = 4
Loci = npt.NDArray[np.int32]


def linear_r_squared(read: Callable[[], Iterable[ByteArray]], effects: Effects, genetic_values: FloatArray) -> FloatArray:
    """R² (T,) of the best linear model of each trait's QTL for its genetic values (n, T), which have mean 0.

    The average effect of a QTL is a_i + e·β, with β from the regression of the product x_i·x_j on x_i and x_j: mean(x_j) where the two are
    unlinked, 0 at frequency 0.5 (Falconer & Mackay 1996, Introduction to Quantitative Genetics, 4th ed., chapter 7). The variance of these
    effects over V_G is the answer where pairs are not linked to other QTL, and has next to no sampling error. Linked QTL can explain
    more of a product. Whether they do is seen from least squares on all QTL: where what it explains of the rest is more than
    STANDARD_DEVIATIONS above chance, the answer is its adjusted R², 1 − (1 − R²)·(n − 1)/(n − 1 − rank) (Ezekiel 1930, Methods of
    Correlation Analysis). Neutral loci are left out. `read`: hands out the bit-packed individuals, block after block.
    """
    n, n_traits = genetic_values.shape
    qtl = [np.unique(pairs) for pairs in effects.pairs]
    found = np.empty(n_traits)
    for loci in {one.tobytes(): one for one in qtl}.values():
        traits = [trait for trait in range(n_traits) if np.array_equal(qtl[trait], loci)]
        mean, covariance, with_values = _moments(read(), loci, len(effects.additive), genetic_values[:, traits])
        inverse, rank = pseudo_inverse(covariance)
        for trait, cross in zip(traits, with_values.T, strict=True):
            pairs = np.searchsorted(loci, effects.pairs[trait])
            average_effects = effects.additive[loci, trait] + _slopes_of_products(mean, covariance, pairs, effects.epistatic[trait])
            v_g = float(genetic_values[:, trait].var())
            if explains_more(average_effects, covariance, inverse, cross, v_g, rank, n):
                found[trait] = adjusted_r_squared(inverse, cross, v_g, rank, n)
            else:
                found[trait] = float(average_effects @ (covariance @ average_effects)) / v_g
    return np.clip(found, 1 / n, 1)


def _moments(packed: Iterable[ByteArray], loci: Loci, n_loci: int, genetic_values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of x = 2·allele − 1 at `loci`: means (p,), covariances (p, p), and covariances with the genetic values (p, T)."""
    n = start = 0
    gram, cross = np.zeros((len(loci), len(loci))), np.zeros((len(loci), genetic_values.shape[1]))
    for block in packed:
        start, n = n, n + len(block)
        alleles = unpack(block, n_loci)[:, loci].astype(np.float32)  # holds the whole numbers of a block
        gram += alleles.T @ alleles
        cross += alleles.T @ genetic_values[start:n]
    frequency = gram.diagonal() / n
    return 2 * frequency - 1, 4 * (gram / n - np.outer(frequency, frequency)), 2 * cross / n


def pseudo_inverse(covariance: FloatArray) -> tuple[FloatArray, int]:
    """And the rank: loci without variation, or completely linked to others, add none."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > len(values) * np.finfo(float).eps * values[-1]
    return (vectors[:, kept] / values[kept]) @ vectors[:, kept].T, int(np.count_nonzero(kept))


def _slopes_of_products(mean: FloatArray, covariance: FloatArray, pairs: npt.NDArray[np.intp], epistatic: FloatArray) -> FloatArray:
    """What e·x_i·x_j adds to the average effect of every locus (p,), by its regression on x_i and x_j; x² is 1."""
    first, second = pairs.T
    product = covariance[first, second] + mean[first] * mean[second]
    with_product = np.stack([mean[second] - mean[first] * product, mean[first] - mean[second] * product], axis=1)
    own = covariance[pairs[:, :, None], pairs[:, None, :]]
    slopes = np.einsum("pij,pj->pi", np.linalg.pinv(own, rcond=1e-10, hermitian=True), with_product)
    added = np.zeros(len(mean))
    np.add.at(added, pairs, epistatic[:, None] * slopes)
    return added


def explains_more(
    average_effects: FloatArray, covariance: FloatArray, inverse: FloatArray, cross: FloatArray, v_g: float, rank: int, n: int
) -> bool:
    """Whether least squares on all columns explains more of what the average effects (p,) leave than by chance.

    `covariance` of the columns (p, p), its pseudo-inverse and rank, and `cross` (p,), their covariances with the genetic values of n.
    """
    freedom = n - 1 - rank
    if freedom < 1:
        return False
    fitted = covariance @ average_effects
    rest, rest_variance = cross - fitted, v_g - 2 * float(average_effects @ cross) + float(average_effects @ fitted)
    # By chance the share is beta-distributed, with parameters rank/2 and freedom/2.
    chance, spread = rank / (n - 1), np.sqrt(2 * rank * freedom / (n + 1)) / (n - 1)
    return bool(rest @ inverse @ rest > (chance + STANDARD_DEVIATIONS * spread) * rest_variance)


def adjusted_r_squared(inverse: FloatArray, cross: FloatArray, v_g: float, rank: int, n: int) -> float:
    """Of least squares on all columns, as `explains_more` has the arguments."""
    return 1 - (1 - float(cross @ inverse @ cross) / v_g) * (n - 1) / (n - 1 - rank)
