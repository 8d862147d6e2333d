"""gpatlas.models.kernels: the same kernels as plain numpy on whole matrices, or loops over two individuals."""

import itertools

import numpy as np
import pytest
from populations import Array

from gpatlas.data.genotypes import MISSING, Genotypes
from gpatlas.models import kernels
from gpatlas.models.kernels import Kernel, KernelCoding, Sums, arc_cosine, centre_and_scale, dominance, epistatic, gaussian

N_TRAIN, N_TEST, M = 14, 5, 19


def diploids(seed: int = 1) -> Array:
    """Counts (N_TRAIN + N_TEST, M) with missing calls; the last locus has none among the first N_TRAIN."""
    random = np.random.default_rng(seed)
    counts = random.binomial(2, np.linspace(0.2, 0.8, M), (N_TRAIN + N_TEST, M)).astype(np.uint8)
    counts[random.random(counts.shape) < 0.1] = MISSING
    counts[:N_TRAIN, -1] = MISSING
    return counts


def sums_of(counts: Array) -> Sums:
    """Of the last N_TEST with the first N_TRAIN, by which they are coded."""
    train, test = Genotypes.of(counts[:N_TRAIN]), Genotypes.of(counts[N_TRAIN:])
    return Sums.of(test, train, KernelCoding.symmetric(train), squares=True, dominance=True)


def by_hand(counts: Array) -> tuple[Array, Array]:
    """x and d, (n, M) each: missing calls are the means of the first N_TRAIN, 0 where these have no call."""
    called = counts != MISSING
    shares, mixed = np.where(called, counts / 2, np.nan), np.where(called, counts == 1, np.nan)
    for values in (shares, mixed):
        for locus in range(M):
            known = values[:N_TRAIN, locus][called[:N_TRAIN, locus]]
            values[~called[:, locus], locus] = known.mean() if len(known) else 0
    return shares - 0.5, mixed


def angle_to_arc_cosine(x: Array, z: Array, layers: int) -> float:
    """Cho & Saul 2009, order 1."""
    length = float(np.linalg.norm(x) * np.linalg.norm(z))
    value = float(x @ z)
    for _ in range(layers):
        angle = float(np.arccos(np.clip(value / length, -1, 1)))
        value = length / np.pi * (np.sin(angle) + (np.pi - angle) * np.cos(angle))
    return value


def test_kernels_are_those_of_plain_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "LOCUS_BLOCK", 8)
    monkeypatch.setattr(kernels, "BLOCK_SIZE", 3)
    counts = diploids()
    x, d = by_hand(counts)
    sums, mine, theirs = sums_of(counts), x[N_TRAIN:], x[:N_TRAIN]
    pairs = [np.stack([part[:, i] * part[:, j] for i, j in itertools.combinations(range(M), 2)], axis=1) for part in (mine, theirs)]
    distances = ((mine[:, None] - theirs) ** 2).sum(axis=2)
    wanted = {
        Kernel("additive"): mine @ theirs.T,
        Kernel("epistatic"): pairs[0] @ pairs[1].T,
        Kernel("dominance"): d[N_TRAIN:] @ d[:N_TRAIN].T,
        Kernel("gaussian", 0.3): np.exp(-0.3 * distances),
        **{Kernel("arc_cosine", n): np.array([[angle_to_arc_cosine(a, b, n) for b in theirs] for a in mine]) for n in (1, 4)},
    }
    assert {kernel.name for kernel in wanted} == set(kernels.KERNELS)
    for kernel, matrix in wanted.items():
        np.testing.assert_allclose(kernel(sums), matrix, atol=1e-12, err_msg=str(kernel))
    np.testing.assert_allclose(sums.distances(), distances, atol=1e-12)


def test_which_allele_is_counted_makes_no_difference() -> None:
    counts, swapped = diploids(), diploids()
    flipped = np.arange(0, M - 1, 2)
    swapped[:, flipped] = np.where(counts[:, flipped] == MISSING, MISSING, 2 - counts[:, flipped])
    first, second = sums_of(counts), sums_of(swapped)
    for kernel in (Kernel("epistatic"), Kernel("dominance"), Kernel("gaussian", 0.2), Kernel("arc_cosine", 2)):
        np.testing.assert_allclose(kernel(first), kernel(second), atol=1e-12)


@pytest.mark.parametrize("highest", [1, 2])
def test_dominance_is_nothing_without_heterozygotes(highest: int) -> None:
    counts = diploids()
    inbred = np.where(counts == 1, 0, np.where(counts == 2, highest, counts)).astype(np.uint8)
    train = Genotypes.of(inbred)
    assert KernelCoding.symmetric(train).heterozygous is None
    sums = Sums.of(train, train, KernelCoding.symmetric(train), dominance=True)
    assert not dominance(sums, 0).any()


def test_one_who_is_heterozygous_everywhere_has_the_arc_cosine_0() -> None:
    counts = np.array([[1, 1, 1], [0, 2, 1], [2, 2, 0]], np.uint8)
    train = Genotypes.of(counts)
    kernel = arc_cosine(Sums.of(train, train, KernelCoding.symmetric(train)), 3)
    assert not kernel[0].any()
    assert not kernel[:, 0].any()
    np.testing.assert_allclose(kernel.diagonal(), [0, 0.5, 0.75])


def test_the_typical_distance_is_the_median_over_pairs_of_individuals() -> None:
    alleles = (np.random.default_rng(1).random((7, 30)) < 0.5).astype(np.uint8)
    pairs = [float(((a - b) ** 2).sum()) for a, b in itertools.combinations(alleles.astype(float), 2)]
    train = Genotypes.of(alleles)
    assert Sums.of(train, train, KernelCoding.symmetric(train)).typical_distance() == pytest.approx(np.median(pairs))
    alleles[:6] = alleles[0]  # fifteen pairs of clones, six others
    distance = ((alleles[0].astype(float) - alleles[6]) ** 2).sum()
    train = Genotypes.of(alleles)
    assert Sums.of(train, train, KernelCoding.symmetric(train)).typical_distance() == pytest.approx(distance * 6 / 21)


def test_centred_and_of_mean_diagonal_one() -> None:
    train = Genotypes.of(diploids()[:N_TRAIN])
    kernel = gaussian(Sums.of(train, train, KernelCoding.symmetric(train)), 0.2)
    whole, projection = kernel.copy(), np.eye(N_TRAIN) - 1 / N_TRAIN
    scale = centre_and_scale(kernel)
    np.testing.assert_allclose(kernel * scale, projection @ whole @ projection, atol=1e-14)
    assert np.trace(kernel) == pytest.approx(N_TRAIN)
    assert centre_and_scale(np.ones((3, 3))) == 0


def test_the_epistatic_kernel_needs_its_sums() -> None:
    train = Genotypes.of(diploids())
    with pytest.raises(ValueError, match="made of sums with squares"):
        epistatic(Sums.of(train, train, KernelCoding.symmetric(train)), 0)
