"""Ridge, ten random splits and 100 penalties, against scikit-learn's RidgeCV for each trait and split, as the study did it."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measure import Run, paired, peak_flops, run, seconds, stage
from sklearn.linear_model import RidgeCV

from gpatlas.data.dataset import Dataset
from gpatlas.models.evaluation import evaluate
from gpatlas.models.registry import MODELS, RidgeSettings
from gpatlas.models.ridge import penalties
from gpatlas.models.splits import random_splits
from gpatlas.progress import Progress

SIZES = ((10_000, 102, 5), (10_000, 1000, 2), (10_000, 100, 10))  # individuals, loci, traits
LARGE = (1_000_000, 6326, 5)
SETTINGS = RidgeSettings()


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    """The table's rows; the time of `LARGE` is worked out from a part of its individuals."""
    with tempfile.TemporaryDirectory() as folder:
        for n, m, n_traits in ((60, 12, 2),) if quick else SIZES:
            yield against_study(Path(folder) / "data.h5", n, m, n_traits, repeats=1 if quick else 3)
    yield large(*((400, 30, 2) if quick else LARGE), part=100 if quick else 8192)


def against_study(data: Path, n: int, m: int, n_traits: int, repeats: int) -> dict[str, Any]:
    """The study's time is that of one trait and split, times their number."""
    memory = simulated_and_fitted(data, n, m, n_traits).peak_memory_mb
    with Dataset(data) as opened:
        alleles, phenotypes = opened.genotypes().counts().astype(np.int64), opened.phenotypes()
        split, n_fits = random_splits(np.arange(n), 1, np.random.default_rng(1))[0], SETTINGS.n_splits * n_traits

        def ours() -> float:
            return seconds(lambda: evaluate(MODELS["ridge"], SETTINGS, opened.population(), Progress("bench", lines=False)))

        def study() -> float:
            return n_fits * seconds(lambda: study_fit(alleles, phenotypes[:, 0], split.train, split.test))

        times = paired(ours, study, repeats)
    done = SETTINGS.n_splits * products(int(0.85 * n), m, n_traits) / times["ours_seconds"]
    return {
        "work": f"ridge, {n} × {m}, {n_traits} traits, 10 splits",
        "peer": "RidgeCV, as the study",
        **times,
        "fraction_of_peak": done / peak_flops(),
        "peak_memory_mb": memory,
        "note": f"the peer's time is that of one fit, times {n_fits}",
    }


def simulated_and_fitted(data: Path, n: int, m: int, n_traits: int) -> Run:
    """Write `data`; the run is of the fit, as a process."""
    stage("simulate", "--n-individuals", n, "--n-loci", m, "--n-qtl", m, "--rel-aa", 1, "--n-traits", n_traits, "--out", data)
    return stage("fit-ridge", "--data", data, "--n-splits", 1, "--out", data.with_suffix(".csv"))


def study_fit(alleles: np.ndarray[Any, Any], phenotypes: np.ndarray[Any, Any], train: Any, test: Any) -> Any:
    """One trait on one split, in the study's steps."""
    mean = alleles[train].mean(axis=0)
    model = RidgeCV(alphas=penalties(SETTINGS), store_cv_results=True).fit(alleles[train] - mean, phenotypes[train])
    return np.corrcoef(phenotypes[test], (alleles[test] - mean) @ model.coef_)


def products(n: int, m: int, n_traits: int) -> float:
    """Floating-point operations of one fit's matrix products: Gram matrix, scores, leverages and fitted values of all penalties."""
    return float(n * m * (m + 2 * m + 2 * SETTINGS.n_penalties * (1 + n_traits)))


def large(n: int, m: int, n_traits: int, part: int) -> dict[str, Any]:
    """One split in a process that holds the packed genotypes of all `n`; its time is worked out from `part` of them."""
    done = run(sys.executable, str(Path(__file__).with_name("large_ridge.py")), *map(str, (n, m, n_traits, part)))
    work = f"ridge, {n} × {m}, {n_traits} traits, 1 split, from {part} individuals"
    return {"work": work, "ours_seconds": float(done.output), "peak_memory_mb": done.peak_memory_mb}
