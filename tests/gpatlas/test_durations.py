"""Estimated times: above what was measured (docs/benchmarks.md), and growing with the work."""

from typing import Any

import pytest

from gpatlas.needs import needs
from gpatlas.settings import Size, build
from gpatlas.stages import FITS, STAGES
from pipeline.slurm_options import SlurmOptions

MEASURED = [  # on two cores
    ("simulate", {}, Size(1_000_000, 6326, 5), 33),
    ("fit-ridge", {"protocol": "paper"}, Size(10_000, 1000, 2), 3.8),
    ("fit-ridge", {"protocol": "holdout"}, Size(1_000_000, 6326, 5), 36 * 60),
    ("fit-pairwise", {"protocol": "holdout"}, Size(10_000, 10_000, 2), 258),
    ("fit-pairwise", {"protocol": "holdout"}, Size(100_000, 2002, 5), 278),
    ("fit-pairwise", {"protocol": "holdout"}, Size(1_000_000, 6326, 5), 9 * 3600),
    ("fit-linear-sgd", {"protocol": "holdout", "epochs": 1, "device": "cpu"}, Size(1_000_000, 6326, 5), 21),
    ("fit-mlp", {"protocol": "holdout", "epochs": 1, "device": "cpu"}, Size(1_000_000, 6326, 5), 1367),
]


@pytest.mark.parametrize(("stage", "settings", "size", "seconds"), MEASURED, ids=[f"{row[0]} {row[2].n_individuals}" for row in MEASURED])
def test_what_was_measured_is_within_the_limit_that_a_job_gets(stage: str, settings: dict[str, Any], size: Size, seconds: float) -> None:
    estimate = needs(STAGES[stage], build(STAGES[stage].settings, settings), size).minutes
    assert SlurmOptions().minutes_factor * estimate * 60 > seconds


@pytest.mark.parametrize("model", FITS)
def test_more_work_takes_longer(model: str) -> None:
    def minutes(n: int, **settings: Any) -> int:
        return needs(FITS[model], build(FITS[model].settings, settings), Size(n, 20_000, 5)).minutes

    folds = {"protocol": "cross_validation", "n_folds": 10}
    assert minutes(20_000, protocol="holdout") < minutes(200_000, protocol="holdout")
    assert minutes(20_000, protocol="holdout") < minutes(20_000, **folds) < minutes(20_000, **folds, n_repeats=3)


def test_a_network_takes_longer_with_more_products_and_penalties() -> None:
    def minutes(n_loci: int, **settings: Any) -> float:
        told = {"device": "cpu", "protocol": "holdout", **settings}
        return needs(FITS["network"], build(FITS["network"].settings, told), Size(10_000, n_loci, 5)).minutes

    few, many = minutes(20_000, max_product_loci=100), minutes(20_000, max_product_loci=2000)
    assert many > 50 * few  # 4 million products beside 20,000 loci
    assert minutes(20_000, penalties=(1.0,)) < 0.6 * minutes(20_000, penalties=(1.0, 0.5, 0.2))
    assert minutes(200, max_product_loci=300) == minutes(200, max_product_loci=20_000)
