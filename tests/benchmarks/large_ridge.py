"""Prints the seconds that ridge with one split would take: large_ridge.py INDIVIDUALS LOCI TRAITS PART.

The packed genotypes of all individuals are there, but only PART of them are fitted and predicted. The eigenvectors take as
long for PART as for all; the rest is proportional to the individuals.
"""

import sys

import numpy as np
from measure import seconds, timed

from gpatlas.data.genotypes import Genotypes
from gpatlas.models import ridge
from gpatlas.models.encoder import Encoder
from gpatlas.models.registry import RidgeSettings


def estimate(n: int, m: int, n_traits: int, part: int) -> float:
    random = np.random.default_rng(1)
    everyone = Genotypes(random.integers(0, 256, (n, -(-m // 8)), dtype=np.uint8), m)
    some, target = everyone.rows(slice(part)), random.standard_normal((part, n_traits))
    target -= target.mean(axis=0)
    numbers = Encoder.fit(some).encode(some)
    gram, counting = timed(lambda: ridge._gram((alleles for _, alleles in numbers.blocks(ridge.GRAM_BLOCK)), m))
    sums = ridge.transposed_product(numbers, np.ones((part, 1)))[:, 0]
    spectrum, eigenvectors = timed(lambda: ridge.eigen(gram - np.outer(sums, sums) / part, part))
    components = ridge.ByLocus(*spectrum, numbers, sums / part)
    projected = components.project(target)
    judging = seconds(lambda: ridge.leave_one_out(components, projected, target, ridge.penalties(RidgeSettings())))
    return eigenvectors + 0.85 * n * (counting + judging) / part


if __name__ == "__main__":
    print(estimate(*map(int, sys.argv[1:])))
