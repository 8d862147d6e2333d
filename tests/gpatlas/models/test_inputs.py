"""gpatlas.models.inputs: one-hot alleles from bits."""

import numpy as np
import pytest
import torch
from populations import one_hot, random_population

from gpatlas.data.genotypes import Genotypes
from gpatlas.models.inputs import Inputs

CPU = torch.device("cpu")


def test_inputs_by_hand() -> None:
    inputs = Inputs.of(Genotypes.of(np.array([[0, 1, 1], [1, 0, 0]], dtype=np.uint8)), None, CPU)
    assert inputs.expand(inputs.bits).tolist() == [[1, 0, 0, 1, 0, 1], [0, 1, 1, 0, 1, 0]]
    assert inputs.rows(torch.tensor([1, 0, 1])).tolist() == [[0, 1, 1, 0, 1, 0], [1, 0, 0, 1, 0, 1], [0, 1, 1, 0, 1, 0]]


@pytest.mark.parametrize("n_loci", [1, 7, 8, 9, 20])
def test_inputs_are_the_one_hot_alleles_or_some_of_their_columns(n_loci: int) -> None:
    alleles, _ = random_population(30, n_loci, 1)
    for columns in (None, [0], [2 * n_loci - 1, 0, 1, 0], list(range(2 * n_loci))):
        inputs = Inputs.of(Genotypes.of(alleles), None if columns is None else np.array(columns), CPU)
        expanded = inputs.expand(inputs.bits)
        expected = one_hot(alleles) if columns is None else one_hot(alleles)[:, columns]
        assert expanded.dtype == torch.float32
        assert inputs.n_columns == expected.shape[1]
        np.testing.assert_array_equal(expanded, expected)
