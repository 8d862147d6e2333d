"""What a stage asks of the machine, and what it is given."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gpatlas.data.settings import ImportPlinkSettings, ImportSettings, SimulateSettings
from gpatlas.models.registry import MlpSettings, RidgeSettings
from gpatlas.needs import Needs, memory_bytes, needs
from gpatlas.settings import Size
from gpatlas.stages import SIMULATE_ALPHASIMR, STAGES
from pipeline import machine


@pytest.fixture(autouse=True)
def _unlimited() -> Iterator[None]:
    yield
    machine._limits.clear()


def test_small_stages_need_little() -> None:
    assert needs(STAGES["simulate"], SimulateSettings(), Size(1000, 46, 5)) == Needs(1, 1, 0)
    assert needs(STAGES["fit-ridge"], RidgeSettings(), Size(1000, 46, 5)) == Needs(1, 1, 0)


def test_networks_use_a_gpu_unless_told_not_to_and_as_many_cores_as_threads() -> None:
    assert needs(STAGES["fit-mlp"], MlpSettings(threads=4), Size(1000, 46, 5)).cpu == 4
    assert needs(STAGES["fit-mlp"], MlpSettings(), Size(1000, 46, 5)).gpu == 1
    assert needs(STAGES["fit-mlp"], MlpSettings(device="cpu"), Size(1000, 46, 5)).gpu == 0


@pytest.mark.parametrize("stage", ["simulate", "fit-ridge", "fit-egblup", "fit-pairwise", "fit-mlp", "simulate-alphasimr"])
def test_needs_grow_with_the_population(stage: str) -> None:
    of = SIMULATE_ALPHASIMR if stage == "simulate-alphasimr" else STAGES[stage]
    sizes = [Size(n, m, 5) for n, m in ((1000, 46), (100_000, 2002), (1_000_000, 6326))]
    small, middle, large = (needs(of, of.settings(), size).memory_gb for size in sizes)
    assert small <= middle <= large
    assert small < large


def test_an_import_needs_matrices_of_the_qtl() -> None:
    few, many = (ImportSettings(scenario="s", n_qtl=n_qtl) for n_qtl in (100, None))
    stage, size = STAGES["import-alphasimr"], Size(10_000, 10_000, 2)
    assert needs(stage, few, size).memory_gb + 4 < needs(stage, many, size).memory_gb


def test_a_stage_gets_what_there_is() -> None:
    machine.limit({"cpu": 2, "memory_gb": 8, "gpu": 0})
    assert machine.fitted(Needs(4, 64, 1), memory_gb=0) == Needs(2, 8, 0)
    assert machine.fitted(Needs(1, 1, 0), memory_gb=0) == Needs(1, 1, 0)
    assert machine.fitted(Needs(1, 1, 0), memory_gb=4) == Needs(1, 4, 0)


def test_two_bits_take_twice_the_memory_of_one() -> None:
    one, two = (memory_bytes(STAGES["fit-ridge"], RidgeSettings(), Size(1000, 46, 5, bits)) for bits in (1, 2))
    assert two - one == 3 * 1000 * 46 / 8


def test_an_import_streams() -> None:
    settings = ImportPlinkSettings(phenotypes=Path("p.tsv"))
    assert memory_bytes(STAGES["import-plink"], settings, Size(100_000, 50_000, 1, 2)) < 2e9
