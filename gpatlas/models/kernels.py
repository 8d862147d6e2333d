"""Kernels: how alike two individuals are, by their genotypes. The one place that lists them.

Each is a function of a few sums over loci, which are computed from blocks of loci, so that genotypes stay packed. Nothing is
divided by allele frequencies (Martini et al. 2017, doi 10.1186/s12859-016-1439-1).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gpatlas.data.genotypes import MISSING, FloatArray, Genotypes
from gpatlas.models.encoder import BLOCK_SIZE, Encoder

LOCUS_BLOCK = 1024  # loci held unpacked; a multiple of 8


@dataclass(frozen=True)
class KernelCoding:
    """Genotypes as numbers x: the share of counted alleles less `origin` (n_loci,), and d, 1 where an individual is heterozygous.

    `heterozygous` (n_loci,): d of a missing call, the mean of the training individuals; None where none of them is heterozygous.
    """

    encoder: Encoder
    origin: FloatArray
    heterozygous: FloatArray | None = None

    @classmethod
    def centred(cls, train: Genotypes) -> "KernelCoding":
        """Around the mean of the training individuals."""
        encoder = Encoder.fit(train)
        return cls(encoder, encoder.mean)

    @classmethod
    def symmetric(cls, train: Genotypes) -> "KernelCoding":
        """−½, 0 and ½: which of two alleles is counted makes no difference to any kernel."""
        called, heterozygous = np.zeros(train.n_loci), np.zeros(train.n_loci)
        for _, counts in train.blocks(BLOCK_SIZE) if train.highest == 2 else ():
            called += (counts != MISSING).sum(axis=0)
            heterozygous += (counts == 1).sum(axis=0)
        share = np.divide(heterozygous, called, out=np.zeros(train.n_loci), where=called > 0)
        return cls(Encoder.fit(train), np.full(train.n_loci, 0.5), share if share.any() else None)

    def numbers(self, genotypes: Genotypes) -> FloatArray:
        """x of n individuals, (n, n_loci), unpacked."""
        return np.hstack([part - self.origin[loci] for loci, part in self.encoder.encode(genotypes).locus_blocks(LOCUS_BLOCK)])


@dataclass(frozen=True)
class Sums:
    """Sums over loci of n individuals x and k others z: Σx·z (n, k), Σx² (n,), Σz² (k,); Σx²·z² and Σd·e (n, k) where asked for."""

    products: FloatArray
    lengths: FloatArray
    other_lengths: FloatArray
    squares: FloatArray | None = None
    dominance: FloatArray | None = None

    @classmethod
    def of(cls, individuals: Genotypes, others: Genotypes, coding: KernelCoding, squares: bool = False, dominance: bool = False) -> "Sums":
        """By one pass over the loci."""
        shape = len(individuals), len(others)
        products = np.zeros(shape)
        lengths = [np.zeros(n) for n in shape]
        of_squares, of_dominance = (np.zeros(shape) if asked else None for asked in (squares, dominance))
        numbers = (coding.encoder.encode(genotypes).locus_blocks(LOCUS_BLOCK) for genotypes in (individuals, others))
        for (loci, mine), (_, theirs) in zip(*numbers, strict=True):
            x, z = mine - coding.origin[loci], theirs - coding.origin[loci]
            products += x @ z.T
            for length, part in zip(lengths, (x, z), strict=True):
                length += np.einsum("ij,ij->i", part, part)
            if of_squares is not None:
                of_squares += x**2 @ (z**2).T
        if of_dominance is not None and coding.heterozygous is not None:
            counts = (genotypes.locus_blocks(LOCUS_BLOCK) for genotypes in (individuals, others))
            for (loci, mine), (_, theirs) in zip(*counts, strict=True):
                d, e = (np.where(part == MISSING, coding.heterozygous[loci], part == 1) for part in (mine, theirs))
                of_dominance += d @ e.T
        return cls(products, lengths[0], lengths[1], of_squares, of_dominance)

    def distances(self) -> FloatArray:
        """Squared distances Σ(x − z)², (n, k)"""
        distances = self.lengths[:, None] + self.other_lengths - 2 * self.products
        return np.maximum(distances, 0, out=distances)

    def typical_distance(self) -> float:
        """The median of the squared distances between individuals, where the others are the same; their mean where most are 0."""
        distances = self.distances()[~np.eye(len(self.lengths), dtype=bool)]
        return float(np.median(distances) or distances.mean()) if len(distances) else 0.0


def additive(sums: Sums, _: float) -> FloatArray:
    """Σ_i x_i·z_i"""
    return sums.products.copy()


def epistatic(sums: Sums, _: float) -> FloatArray:
    """Σ_{i<j} x_i·x_j·z_i·z_j: half the square of the additive kernel without its terms i = j (Jiang & Reif 2015)."""
    if sums.squares is None:
        raise ValueError("the epistatic kernel is made of sums with squares")
    pairs = sums.products**2 - sums.squares
    pairs /= 2
    return pairs


def dominance(sums: Sums, _: float) -> FloatArray:
    """Σ_i d_i·e_i: in how many loci both are heterozygous."""
    return np.zeros_like(sums.products) if sums.dominance is None else sums.dominance.copy()


def gaussian(sums: Sums, rate: float) -> FloatArray:
    """exp(−rate·Σ(x − z)²)"""
    exponents = sums.distances()
    exponents *= -rate
    return np.exp(exponents, out=exponents)


def arc_cosine(sums: Sums, layers: float) -> FloatArray:
    """What a network of so many infinitely wide layers of rectified units computes with (Cho & Saul 2009; Cuevas et al. 2019)."""
    lengths = np.sqrt(sums.lengths[:, None] * sums.other_lengths)
    cosines = np.divide(sums.products, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    for _ in range(int(layers)):
        np.clip(cosines, -1, 1, out=cosines)
        angles = np.arccos(cosines)
        cosines *= np.pi - angles
        cosines += np.sin(angles, out=angles)
        cosines /= np.pi
    cosines *= lengths
    return cosines


KERNELS: dict[str, Callable[[Sums, float], FloatArray]] = {
    kernel.__name__: kernel for kernel in (additive, epistatic, dominance, gaussian, arc_cosine)
}


@dataclass(frozen=True)
class Kernel:
    """A kernel of the registry by `name`, with its `parameter` where it has one."""

    name: str
    parameter: float = 0.0

    def __call__(self, sums: Sums) -> FloatArray:
        return KERNELS[self.name](sums, self.parameter)


def centre_and_scale(kernel: FloatArray) -> float:
    """Centre the kernel of the training individuals (n, n), so that a fit has a free intercept, and give it mean diagonal 1; both in place.

    Returns what it was divided by; 0, where they do not differ.
    """
    magnitude, means = np.abs(kernel).max(), kernel.mean(axis=0)
    kernel -= means + (means[:, None] - means.mean())
    scale = float(kernel.diagonal().mean())
    if not scale > 1e-10 * magnitude:
        return 0.0
    kernel /= scale
    return scale
