"""gpatlas.models.rkhs: chosen as by leaving out every individual in turn, predicted as scikit-learn's kernel ridge regression does."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from populations import QUIET, Array, Recorder, fit_by_stage, part_of, write_dataset
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.preprocessing import KernelCenterer

from gpatlas.data.genotypes import MISSING, Genotypes
from gpatlas.models import decomposed
from gpatlas.models import ridge as ridge_module
from gpatlas.models.contract import Fitted
from gpatlas.models.kernels import KernelCoding, Sums, centre_and_scale
from gpatlas.models.registry import RidgeSettings, RkhsSettings
from gpatlas.models.rkhs import ADDITIVE, KernelMixture, fit, mixtures
from gpatlas.models.scores import pearson_r

N, M = 45, 12
FEW = {"bandwidths": (0.5, 2.0), "arc_cosine_layers": 1, "n_penalties": 4, "log10_penalty_min": -2, "log10_penalty_max": 1}


def diploids(n: int, seed: int = 1) -> tuple[Array, Array]:
    """Counts (n, M) with missing calls, and three traits: additive, of heterozygotes, of pairs."""
    random = np.random.default_rng(seed)
    effects = np.random.default_rng(99).standard_normal((2, M))
    counts = random.binomial(2, 0.5, (n, M)).astype(np.uint8)
    x = counts - 1.0
    pairs = (x[:, :-1] * x[:, 1:]).sum(axis=1)
    phenotypes = np.stack([x @ effects[0], (counts == 1) @ effects[1], pairs], axis=1)
    counts[random.random(counts.shape) < 0.03] = MISSING
    return counts, phenotypes + 0.3 * random.standard_normal(phenotypes.shape)


def fitted(counts: Array, phenotypes: Array, progress: Any = QUIET, **values: Any) -> Fitted:
    return fit(part_of(counts, phenotypes), part_of(counts[:0], phenotypes[:0]), RkhsSettings(**values), progress)["rkhs"]


def tried(counts: Array, settings: RkhsSettings) -> tuple[KernelCoding, Sums, list[KernelMixture]]:
    train = Genotypes.of(counts)
    coding = KernelCoding.symmetric(train)
    sums = Sums.of(train, train, coding, dominance=True)
    return coding, sums, mixtures(sums, settings)


def matrix(mixture: KernelMixture, sums: Sums) -> Array:
    """Of training individuals, both kernels centred and scaled."""
    parts = [ADDITIVE(sums), mixture.kernel(sums)]
    for part in parts:
        centre_and_scale(part)
    return mixture.additive_weight * parts[0] + (1 - mixture.additive_weight) * parts[1]


def test_kernel_and_penalty_are_those_of_the_smallest_leave_one_out_error() -> None:
    """Against leaving out every individual in turn, and refitting with a free intercept."""
    counts, phenotypes = diploids(N)
    settings = RkhsSettings(**FEW)
    _, sums, candidates = tried(counts, settings)
    assert len(candidates) == 1 + 2 * (2 + 1 + 1), "additive; Gaussian, arc-cosine and dominance, alone and mixed"
    errors = []
    for mixture in candidates:
        squares, vectors = np.linalg.eigh(matrix(mixture, sums))
        features = vectors * np.sqrt(np.maximum(squares, 0))
        for penalty in (0.01, 0.1, 1.0, 10.0):
            error = np.zeros(3)
            for out in range(N):
                rest = np.arange(N) != out
                left = Ridge(alpha=penalty).fit(features[rest], phenotypes[rest])
                error += (left.predict(features[[out]])[0] - phenotypes[out]) ** 2
            errors.append(error)
    best = np.argmin(errors, axis=0)
    columns = fitted(counts, phenotypes, **FEW).columns
    of_traits = [candidates[number // 4] for number in best]
    np.testing.assert_allclose(columns["penalty"], np.array([0.01, 0.1, 1.0, 10.0])[best % 4])
    np.testing.assert_equal(columns["additive_weight"], [mixture.additive_weight for mixture in of_traits])
    np.testing.assert_equal(columns["bandwidth"], [mixture.bandwidth for mixture in of_traits])
    np.testing.assert_equal(columns["arc_cosine_layers"], [mixture.layers for mixture in of_traits])
    assert len(set(of_traits)) > 1, "the traits should need different kernels"


@pytest.mark.parametrize("additive_weight", [0.0, 0.4])
def test_is_scikit_learns_kernel_ridge_centred_by_training_individuals(additive_weight: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decomposed, "BLOCK_SIZE", 7)
    counts, phenotypes = diploids(2 * N)
    train, test, mean = counts[:N], Genotypes.of(counts[N:]), phenotypes[:N].mean(axis=0)
    values = {"bandwidths": (1.5,), "arc_cosine_layers": 2, "additive_weights": (additive_weight,), "n_penalties": 1}
    ours = fitted(train, phenotypes[:N], log10_penalty_min=-1, **values)
    coding, sums, candidates = tried(train, RkhsSettings(**values))
    others = Sums.of(test, Genotypes.of(train), coding, dominance=True)
    predicted = ours.predict(test)
    chosen = zip(*(ours.columns[name] for name in ("additive_weight", "bandwidth", "arc_cosine_layers")), strict=True)
    for trait, own in enumerate(chosen):
        (mixture,) = [one for one in candidates if str((one.additive_weight, one.bandwidth, one.layers)) == str(tuple(map(float, own)))]
        both, of_test = np.zeros((N, N)), np.zeros((N, N))
        for kernel, share in ((ADDITIVE, mixture.additive_weight), (mixture.kernel, 1 - mixture.additive_weight)):
            centre = KernelCenterer().fit(kernel(sums))
            scale = centre.transform(kernel(sums)).diagonal().mean()
            both += share * centre.transform(kernel(sums)) / scale
            of_test += share * centre.transform(kernel(others)) / scale
        theirs = KernelRidge(alpha=0.1, kernel="precomputed").fit(both, phenotypes[:N, trait] - mean[trait])
        np.testing.assert_allclose(predicted[:, trait], theirs.predict(of_test) + mean[trait], atol=1e-9)
    alone = np.concatenate([ours.predict(test.rows(slice(row, row + 1))) for row in range(N)])
    np.testing.assert_allclose(alone, predicted, atol=1e-12)


def test_unit_and_counted_alleles_make_no_difference() -> None:
    counts, phenotypes = diploids(2 * N)
    swapped = np.where(counts == MISSING, MISSING, 2 - counts)
    swapped[:, ::2] = counts[:, ::2]
    first = fitted(counts[:N], phenotypes[:N])
    predicted = first.predict(Genotypes.of(counts[N:]))
    for other, mean, unit in ((counts, 170, 10), (swapped, 0, 1)):
        second = fitted(other[:N], mean + unit * phenotypes[:N])
        for name, column in first.columns.items():
            np.testing.assert_allclose(second.columns[name], column, err_msg=name)
        np.testing.assert_allclose(second.predict(Genotypes.of(other[N:])), mean + unit * predicted)


def r_on_others(counts: Array, phenotypes: Array, n_train: int) -> tuple[Array, Array, Fitted]:
    """Of RKHS and ridge regression."""
    train, none = part_of(counts[:n_train], phenotypes[:n_train]), part_of(counts[:0], phenotypes[:0])
    rkhs, ridge = fit(train, none, RkhsSettings(), QUIET)["rkhs"], ridge_module.fit(train, none, RidgeSettings(), QUIET)["ridge"]
    first, second = (pearson_r(phenotypes[n_train:], one.predict(Genotypes.of(counts[n_train:]))) for one in (rkhs, ridge))
    return first, second, rkhs


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_finds_an_interaction_of_two_loci_that_ridge_cannot(seed: int) -> None:
    random = np.random.default_rng(seed)
    alleles = random.integers(0, 2, (600, 10), dtype=np.uint8)
    x = 2.0 * alleles - 1
    phenotypes = (x[:, [2]] * x[:, [7]]) + 0.5 * random.standard_normal((600, 1))
    rkhs, ridge, fit_of_rkhs = r_on_others(alleles, phenotypes, 400)
    assert rkhs[0] > 0.75
    assert abs(ridge[0]) < 0.25
    assert fit_of_rkhs.columns["additive_weight"][0] < 1


def test_the_dominance_kernel_explains_heterozygotes() -> None:
    random = np.random.default_rng(5)
    counts = random.binomial(2, 0.5, (500, 60)).astype(np.uint8)
    phenotypes = (counts == 1) @ random.standard_normal((60, 1)) + random.standard_normal((500, 1))
    rkhs, ridge, fit_of_rkhs = r_on_others(counts, phenotypes, 350)
    assert rkhs[0] > 0.8
    assert abs(ridge[0]) < 0.25
    assert {name: float(fit_of_rkhs.columns[name][0]) for name in ("additive_weight", "bandwidth", "arc_cosine_layers")} == pytest.approx(
        {"additive_weight": 0, "bandwidth": np.nan, "arc_cosine_layers": np.nan}, nan_ok=True
    )


def test_individuals_that_do_not_differ_are_an_error() -> None:
    counts, phenotypes = diploids(N)
    with pytest.raises(ValueError, match="RKHS regression needs a locus at least of which both alleles occur"):
        fitted(np.ones_like(counts), phenotypes)


def test_every_candidate_is_a_step_and_none_is_lost_in_a_table(tmp_path: Path) -> None:
    counts, phenotypes = diploids(N)
    progress = Recorder()
    found = fitted(counts, phenotypes, progress, **FEW)
    assert progress.steps == [(number, 9) for number in range(1, 10)]
    assert "genomic_h2" not in found.columns
    source = write_dataset(tmp_path, n_individuals=60, n_loci=24, n_qtl=12, h2=0.8)
    table = fit_by_stage("rkhs", source, protocol="cross_validation", n_folds=3, bandwidths=(0.3,), arc_cosine_layers=0, n_penalties=9)
    assert table["model"].tolist() == ["rkhs"] * 5
    assert table[["penalty", "additive_weight", "genomic_h2", "pearson_r", "r_squared"]].notna().all().all()
    assert set(table["bandwidth"].dropna().round(12)) <= {0.3}
    assert "arc_cosine_layers" not in table or table["arc_cosine_layers"].isna().all()
    pd.testing.assert_series_equal(table["bandwidth"].isna(), table["additive_weight"] == 1, check_names=False)
