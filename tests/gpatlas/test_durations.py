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
