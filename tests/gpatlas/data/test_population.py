"""gpatlas.data.population: the whole of a dataset file in memory, and some of its traits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpatlas.data import simulate
from gpatlas.data.dataset import Dataset
from gpatlas.data.population import Population
from gpatlas.data.settings import SimulateSettings
from gpatlas.progress import Progress


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "data.h5"
    settings = SimulateSettings(n_individuals=30, n_loci=12, n_qtl=10, rel_aa=(0.0, 1.0, 3.0))
    simulate.run(settings, None, path, Progress("test", lines=False))
    return path


@pytest.fixture
def population(source: Path) -> Population:
    with Dataset(source) as data:
        return data.population()


def test_all_of_a_file(source: Path, population: Population) -> None:
    assert (population.name, population.n_individuals, population.n_loci, population.n_traits) == (str(source), 30, 12, 3)
    with Dataset(source) as data:
        assert population.genotypes.counts().tolist() == data.genotypes().counts().tolist()
        assert population.phenotypes.tolist() == data.phenotypes().tolist()
        assert population.facts == data.facts()
        assert population.genetic_values is not None
        assert population.genetic_values.tolist() == np.asarray(data.genetic_values()).tolist()
        assert population.effects is not None
        assert population.effects.additive.tolist() == data.effects().additive.tolist()
    assert repr(population) == f"Population({source}: 30 individuals, 12 loci, 3 traits)"


@pytest.mark.parametrize("numbers", [[0, 1, 2], [1, 2], [2], [2, 0]])
def test_some_of_the_traits(population: Population, numbers: list[int]) -> None:
    """Everything of a trait goes with it: its true effects give its genetic values."""
    some = population.traits(numbers)
    assert (some.n_individuals, some.n_traits) == (30, len(numbers))
    assert some.phenotypes.tolist() == population.phenotypes[:, numbers].tolist()
    assert some.facts == [population.facts[number] for number in numbers]
    assert some.effects is not None
    assert some.genetic_values is not None
    assert all(values.flags.c_contiguous for values in (some.phenotypes, some.genetic_values, some.effects.additive)), "sums stay"
    additive, epistatic = some.effects.parts(some.genotypes.packed)
    np.testing.assert_allclose(some.effects.intercept + additive + epistatic, some.genetic_values, atol=1e-12)


def test_some_of_the_traits_of_a_population_without_a_truth(population: Population) -> None:
    some = replace(population, effects=None, genetic_values=None).traits([1])
    assert some.effects is None
    assert some.genetic_values is None
    assert some.phenotypes.tolist() == population.phenotypes[:, 1:2].tolist()
