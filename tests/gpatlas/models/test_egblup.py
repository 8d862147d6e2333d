"""gpatlas.models.egblup: the same answers as scikit-learn's kernel ridge regression on all loci and pairs as columns."""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from populations import QUIET, Array, Recorder, fit_by_stage, part_of, write_dataset
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.preprocessing import KernelCenterer

from gpatlas import needs
from gpatlas.data.dataset import Dataset
from gpatlas.data.genotypes import MISSING, Genotypes
from gpatlas.models import decomposed, egblup, kernels
from gpatlas.models.egblup import ADDITIVE, EPISTATIC, EgblupFit, fit
from gpatlas.models.kernels import KernelCoding, Sums
from gpatlas.models.registry import EgblupSettings
from gpatlas.models.scores import pearson_r
from gpatlas.models.splits import ordered_split
from gpatlas.progress import Progress
from gpatlas.settings import Size
from gpatlas.stages import STAGES

N, M = 40, 11


def population(n: int, seed: int = 1) -> tuple[Array, Array]:
    """Alleles (n, M) of uneven frequency, one locus constant, and phenotypes of three traits: additive, epistatic, mostly noise."""
    random = np.random.default_rng(seed)
    alleles = (random.random((n, M)) < np.linspace(0.2, 0.8, M)).astype(np.uint8)
    alleles[:, 4] = 1
    additive, pairs = alleles @ random.standard_normal(M), np.stack([alleles[:, i] * alleles[:, i + 1] for i in range(M - 1)], axis=1)
    epistatic = pairs @ random.standard_normal(M - 1)
    noise = random.standard_normal((n, 3)) * [0.1, 0.1, 5]
    return alleles, np.stack([additive, epistatic, additive + epistatic], axis=1) + noise + [0, 10, -1]


def columns(alleles: Array, mean: Array) -> tuple[Array, Array]:
    """The centred loci, (n, M), and their products in all pairs i < j, (n, M·(M − 1)/2)."""
    x = alleles - mean
    return x, np.stack([x[:, i] * x[:, j] for i, j in itertools.combinations(range(x.shape[1]), 2)], axis=1)


def features(alleles: Array, train: Array, weight: float) -> Array:
    """Columns whose products are the weighted relationships, both kernels of mean diagonal 1 over the training individuals."""
    parts, trained = columns(alleles, train.mean(axis=0)), columns(train, train.mean(axis=0))
    scales = [part.var(axis=0).sum() for part in trained]
    return np.hstack([part * (share / scale) ** 0.5 for part, share, scale in zip(parts, (1 - weight, weight), scales, strict=True)])


def test_relationships_are_the_products_of_loci_and_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "LOCUS_BLOCK", 8)
    alleles, _ = population(N)
    trained, others = Genotypes.of(alleles[:30]), Genotypes.of(alleles[30:])
    sums = Sums.of(others, trained, KernelCoding.centred(trained), squares=True)
    mean = alleles[:30].mean(axis=0)
    for kernel, mine, theirs in zip((ADDITIVE, EPISTATIC), columns(alleles[30:], mean), columns(alleles[:30], mean), strict=True):
        np.testing.assert_allclose(kernel(sums), mine @ theirs.T, atol=1e-12)


@pytest.mark.parametrize("least", [0, np.inf])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_is_scikit_learns_kernel_ridge(weight: float, least: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egblup, "MIN_INDIVIDUALS", least)
    monkeypatch.setattr(egblup, "MAX_LOCI_PER_INDIVIDUAL", 1)
    monkeypatch.setattr(decomposed, "BLOCK_SIZE", 7)
    alleles, phenotypes = population(2 * N)
    train, test = alleles[:N], alleles[N:]
    settings = EgblupSettings(epistatic_weights=(weight,), n_penalties=1, log10_penalty_min=-1)
    ours = EgblupFit.fit(part_of(train, phenotypes[:N]), settings, QUIET)
    inputs, others = features(train, train, weight), features(test, train, weight)
    centre = KernelCenterer().fit(inputs @ inputs.T)
    theirs = KernelRidge(alpha=0.1, kernel="precomputed")
    theirs.fit(centre.transform(inputs @ inputs.T), phenotypes[:N] - phenotypes[:N].mean(axis=0))
    wanted = theirs.predict(centre.transform(others @ inputs.T)) + phenotypes[:N].mean(axis=0)
    np.testing.assert_allclose(ours.predict(Genotypes.of(test)), wanted, atol=1e-9)
    assert ours.penalty.tolist() == [0.1] * 3
    assert ours.epistatic_weight.tolist() == [weight] * 3


def test_weight_and_penalty_are_those_of_the_smallest_leave_one_out_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against leaving out every individual in turn, and refitting with a free intercept; by a decomposition for each weight, and by one."""
    alleles, phenotypes = population(N)
    weights, penalties = (0.0, 0.5, 1.0), [0.01, 0.1, 1.0, 10.0]
    errors = np.zeros((3, len(weights) * len(penalties)))
    choices = list(itertools.product(weights, penalties))
    for number, (weight, penalty) in enumerate(choices):
        inputs = features(alleles, alleles, weight)
        for out in range(N):
            rest = np.arange(N) != out
            left = Ridge(alpha=penalty).fit(inputs[rest], phenotypes[rest])
            errors[:, number] += (left.predict(inputs[[out]])[0] - phenotypes[out]) ** 2
    settings = EgblupSettings(epistatic_weights=weights, n_penalties=4, log10_penalty_min=-2, log10_penalty_max=1)
    wanted = [choices[best] for best in errors.argmin(axis=1)]
    for least in (np.inf, 0):
        monkeypatch.setattr(egblup, "MIN_INDIVIDUALS", least)
        monkeypatch.setattr(egblup, "MAX_LOCI_PER_INDIVIDUAL", 1)
        ours = EgblupFit.fit(part_of(alleles, phenotypes), settings, QUIET)
        np.testing.assert_allclose(list(zip(ours.epistatic_weight, ours.penalty, strict=True)), wanted)
    assert wanted[0][0] == 0, "the additive trait should need no epistatic relationship"
    assert len(set(wanted)) == 3, "the traits should need different choices"


@pytest.mark.parametrize(("n", "n_loci", "highest"), [(300, 24, 1), (350, 30, 2)])
def test_one_decomposition_chooses_and_predicts_as_one_for_each_weight(
    n: int, n_loci: int, highest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With missing calls, a constant locus, and individuals that are there twice."""
    random = np.random.default_rng(n)
    counts = random.binomial(highest, 0.4, (n, n_loci)).astype(np.uint8)
    counts[:, 0], counts[n // 2 : n // 2 + 40] = 1, counts[:40]
    x = counts - counts.mean(axis=0)
    pairs = x[:, 1:-1] * x[:, 2:]
    parts = [part @ random.standard_normal(part.shape[1]) for part in (x, pairs)]
    values = np.stack([share * parts[0] / parts[0].std() + (1 - share) * parts[1] / parts[1].std() for share in (1, 0.5, 0)], axis=1)
    phenotypes = np.hstack([values + 0.5 * random.standard_normal((n, 3)), random.standard_normal((n, 1)), np.ones((n, 1))])
    counts[random.random(counts.shape) < 0.05] = MISSING
    train, test = part_of(counts[:-50], phenotypes[:-50]), Genotypes.of(counts[-50:])
    fits = []
    for least in (np.inf, 0):
        monkeypatch.setattr(egblup, "MIN_INDIVIDUALS", least)
        fits.append(EgblupFit.fit(train, EgblupSettings(protocol="cross_validation", n_penalties=30), QUIET))
    exact, ours = fits
    np.testing.assert_array_equal(ours.penalty[:4], exact.penalty[:4])
    np.testing.assert_array_equal(ours.epistatic_weight, exact.epistatic_weight)
    assert len(set(ours.epistatic_weight[:3])) > 1, "the traits should need different weights"
    np.testing.assert_allclose(ours.predict(test), exact.predict(test), atol=1e-8)
    np.testing.assert_allclose(ours.inner_predictions, exact.inner_predictions, atol=1e-8)
    np.testing.assert_allclose(ours.heritability["genomic_h2"], exact.heritability["genomic_h2"])
    np.testing.assert_allclose(ours.heritability["genomic_h2_se"], exact.heritability["genomic_h2_se"], rtol=1e-6)


def test_individuals_that_do_not_differ_are_an_error() -> None:
    alleles, phenotypes = population(N)
    alleles[:, 1:] = 0
    for same in (np.zeros_like(alleles), alleles):
        with pytest.raises(ValueError, match="EG-BLUP needs two loci at least of which both alleles occur"):
            fit(part_of(same, phenotypes), part_of(same[:0], phenotypes[:0]), EgblupSettings(), QUIET)


def fit_table(folder: Path, population: dict[str, Any], progress: Progress = QUIET, **values: Any) -> pd.DataFrame:
    return fit_by_stage("egblup", write_dataset(folder, **population), progress, **values)


@pytest.mark.parametrize("protocol", ["holdout", "paper"])
def test_is_scored_on_the_networks_test_part(tmp_path: Path, protocol: Any) -> None:
    progress, settings = Recorder(), EgblupSettings(protocol=protocol, n_penalties=9)
    values = {"protocol": protocol, "n_penalties": 9}
    table = fit_table(tmp_path, {"n_individuals": 301, "n_loci": 24, "n_qtl": 12, "h2": 0.8}, progress, **values)
    with Dataset(tmp_path / "data.h5") as data:
        alleles, phenotypes = data.genotypes().counts(), data.phenotypes()
    split = ordered_split(301, "paper", validates=False)
    assert [split.train.tolist(), split.validation.tolist()] == [list(range(256)), []]
    fitted = fit(part_of(alleles[:256], phenotypes[:256]), part_of(alleles[:0], phenotypes[:0]), settings, QUIET)["egblup"]
    predicted = fitted.predict(Genotypes.of(alleles[256:]))
    np.testing.assert_allclose(table["pearson_r"], pearson_r(phenotypes[256:], predicted))
    np.testing.assert_allclose(table[["penalty", "epistatic_weight"]], np.transpose([*fitted.columns.values()]))
    assert table[["model", "protocol", "n_train", "n_test"]].to_numpy().tolist() == [["egblup", protocol, 256, 45]] * 5
    assert progress.steps == [(number, 6) for number in range(1, 7)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sees_the_epistasis_that_ridge_regression_cannot(tmp_path: Path, seed: int) -> None:
    """V_A/V_G of the last trait is about 0.14, so no linear model goes far beyond r = 0.4."""
    table = fit_table(tmp_path, {"n_individuals": 1000, "n_loci": 46, "n_qtl": 46, "seed": seed}, protocol="holdout")
    assert table["rel_aa"][4] == 3
    assert table["pearson_r"][4] > 0.85


def test_a_population_that_does_not_fit_is_refused_with_what_it_would_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "machine_memory", lambda: 10_000_000)
    monkeypatch.setattr(egblup, "Decomposed", lambda *_: pytest.fail("work has started"))
    matrices = 8 * (6 * 850**2 + 2 * 850 * 46)
    needed = (2.5e8 + 3 * 1000 * 46 / 8 + 64 * 1000 * 5 + matrices) / 1e9  # libraries, genotypes, vectors over individuals
    message = f"{tmp_path / 'data.h5'}: fit-egblup of 1000 individuals and 46 loci needs {needed:.1f} GB of memory; there are 0.0 GB"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fit_table(tmp_path, {"n_individuals": 1000, "n_loci": 46, "n_qtl": 46})
    assert not (tmp_path / "table.csv").exists()


def test_the_scheduler_is_told_the_same() -> None:
    small, large = (needs.needs(STAGES["fit-egblup"], EgblupSettings(), Size(n, 100, 5)).memory_gb for n in (1000, 10_000))
    assert small == 1
    assert 1.25 * 48 * 8500**2 / 1e9 < large < 1.6 * 48 * 8500**2 / 1e9
