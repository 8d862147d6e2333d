"""A population small enough to be worked out by hand, for tests of genotypes, effects and dataset files."""

import numpy as np

from gpatlas.data.effects import Effects

# 3 individuals, 10 loci, 2 traits; the pairs of trait 1 are loci (0, 9) and (1, 2), of trait 2 loci (1, 9) and (2, 0)
ALLELES = np.array([[1, 0, 0, 0, 0, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0, 0, 1, 0, 1], [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]], dtype=np.uint8)
PACKED = np.array([[1, 1], [2 + 128, 2], [1 + 2 + 4, 0]], dtype=np.uint8)


def by_hand() -> Effects:
    additive = np.zeros((10, 2))
    additive[[0, 1, 2, 9], 0] = 1, 2, 4, 8
    additive[[0, 1, 2, 9], 1] = 1, -1, 0.5, 0
    return Effects(
        additive=additive,
        pairs=np.array([[[0, 9], [1, 2]], [[1, 9], [2, 0]]], dtype=np.int32),
        epistatic=np.array([[16.0, 32.0], [3.0, 5.0]]),
        intercept=np.array([0.25, -0.25]),
    )
