"""Prints the seconds of a model's epoch: large_networks.py MODEL INDIVIDUALS LOCI TRAITS STEPS HIDDEN.

Everyone's packed genotypes are there. Of the perceptron's steps only STEPS are done, in fp32, and its evaluation is left out.
"""

import sys
from itertools import islice

import numpy as np
import torch
from measure import seconds

from gpatlas.data.genotypes import Genotypes
from gpatlas.models.contract import Part
from gpatlas.models.inputs import Inputs
from gpatlas.models.linear_sgd import fit
from gpatlas.models.mlp import adamw_step, mlp
from gpatlas.models.network_settings import LinearSgdSettings
from gpatlas.models.training import batches
from gpatlas.progress import Progress

BATCH, CPU = 128, torch.device("cpu")


def drawn(n: int, m: int, n_traits: int) -> tuple[Part, Part]:
    random, cut = np.random.default_rng(1), round(0.85 * n)
    genotypes = Genotypes(random.integers(0, 256, (n, -(-m // 8)), dtype=np.uint8), m)
    phenotypes = random.standard_normal((n, n_traits))
    return Part(genotypes.rows(slice(cut)), phenotypes[:cut]), Part(genotypes.rows(slice(cut, n)), phenotypes[cut:])


def linear_epoch(train: Part, test: Part) -> float:
    return seconds(lambda: fit(train, test, LinearSgdSettings(epochs=1), Progress("bench", lines=False)))


def perceptron_epoch(train: Part, n_steps: int, hidden: int) -> float:
    inputs, wanted = Inputs.of(train.genotypes, None, CPU), torch.from_numpy(train.phenotypes).float()
    network = mlp(inputs.n_columns, hidden, wanted.shape[1])
    step, numbers = adamw_step(network, 1e-5), batches(len(wanted), BATCH, torch.Generator(), CPU)

    def steps(n: int) -> None:
        for rows in islice(numbers, n):
            step(inputs.rows(rows), wanted.index_select(0, rows), 0.01)

    steps(1)  # fetches the memory
    return seconds(lambda: steps(n_steps)) * len(wanted) / (n_steps * BATCH)


if __name__ == "__main__":
    model, (n, m, n_traits, n_steps, hidden) = sys.argv[1], map(int, sys.argv[2:])
    train, test = drawn(n, m, n_traits)
    print(linear_epoch(train, test) if model == "linear_sgd" else perceptron_epoch(train, n_steps, hidden))
