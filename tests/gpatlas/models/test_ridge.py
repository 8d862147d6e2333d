"""gpatlas.models.ridge: the same answers as scikit-learn's RidgeCV, on the same individuals."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from populations import QUIET, Array, Recorder, fit_by_stage, in_memory, part_of, write_dataset
from sklearn.linear_model import RidgeCV

from gpatlas.data.dataset import Dataset
from gpatlas.data.genotypes import Genotypes
from gpatlas.models import ridge as ridge_module
from gpatlas.models.registry import MODELS, RidgeSettings
from gpatlas.models.ridge import RidgeFit, fit, penalties
from gpatlas.models.splits import plan_splits, random_splits
from gpatlas.progress import Progress

PENALTIES = np.logspace(-5, 5, 100)
CLOSE: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-6}


def reference(alleles: Array, phenotypes: Array) -> RidgeCV:
    """One penalty per trait, by leave-one-out; scikit-learn centres the genotypes and fits the intercept."""
    return RidgeCV(alphas=PENALTIES, fit_intercept=True, alpha_per_target=True).fit(alleles.astype(float), phenotypes)


def correlations(first: Array, second: Array) -> list[float]:
    """r of each column with the same column."""
    return [float(np.corrcoef(one, other)[0, 1]) for one, other in zip(first.T, second.T, strict=True)]


def population(n: int, m: int, seed: int) -> tuple[Array, Array]:
    """Alleles (n, m) of which two loci are constant, and phenotypes of three traits of falling heritability."""
    random = np.random.default_rng(seed)
    alleles = random.integers(0, 2, (n, m), dtype=np.uint8)
    alleles[:, 3], alleles[:, 4] = 0, 1
    genetic = alleles @ random.standard_normal((m, 3)) / np.sqrt(m / 4)
    return alleles, genetic + random.standard_normal((n, 3)) * [0.1, 1, 3] + [0, 10, -1]


@pytest.mark.parametrize(("n", "m"), [(200, 30), (60, 150), (80, 80)], ids=["n > m", "n < m", "n = m"])
def test_is_scikit_learns(n: int, m: int) -> None:
    alleles, phenotypes = population(2 * n, m, seed=n)
    train, test = slice(0, n), slice(n, None)
    ours, theirs = RidgeFit.fit(Genotypes.of(alleles[train]), phenotypes[train], PENALTIES), reference(alleles[train], phenotypes[train])
    np.testing.assert_allclose(ours.penalty, theirs.alpha_, rtol=1e-12)
    np.testing.assert_allclose(ours.coefficients, theirs.coef_.T, **CLOSE)
    np.testing.assert_allclose(ours.intercept, theirs.intercept_, **CLOSE)
    predicted, wanted = ours.predict(Genotypes.of(alleles[test])), theirs.predict(alleles[test].astype(float))
    np.testing.assert_allclose(predicted, wanted, **CLOSE)
    np.testing.assert_allclose(correlations(predicted, phenotypes[test]), correlations(wanted, phenotypes[test]), **CLOSE)
    assert len(set(ours.penalty)) > 1, "the traits should need different penalties"
    np.testing.assert_allclose(ours.coefficients[3:5], 0, atol=1e-10)  # the constant loci


@pytest.mark.parametrize(("n", "m"), [(90, 30), (40, 100)], ids=["n > m", "n < m"])
def test_blocks_do_not_change_the_result(n: int, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    alleles, phenotypes = population(n, m, seed=n)
    genotypes = Genotypes.of(alleles)
    whole = RidgeFit.fit(genotypes, phenotypes, PENALTIES)
    monkeypatch.setattr(ridge_module, "BLOCK_SIZE", 7)
    monkeypatch.setattr(ridge_module, "GRAM_BLOCK", 16)
    parts = RidgeFit.fit(genotypes, phenotypes, PENALTIES)
    assert parts.penalty.tolist() == whole.penalty.tolist()
    np.testing.assert_allclose(parts.coefficients, whole.coefficients, atol=1e-12)
    np.testing.assert_allclose(parts.predict(genotypes), alleles @ whole.coefficients + whole.intercept, atol=1e-12)


def test_memory_does_not_grow_with_the_individuals() -> None:
    """The packed genotypes are there before; unpacked, these are 4 MB as bytes and 32 MB as numbers."""
    n, m = 100_000, 40
    genotypes = Genotypes(np.random.default_rng(1).integers(0, 256, (n, m // 8), dtype=np.uint8), m)
    phenotypes = np.random.default_rng(2).standard_normal((n, 1))
    tracemalloc.start()
    RidgeFit.fit(genotypes, phenotypes, PENALTIES[::25]).predict(genotypes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * phenotypes.nbytes


def test_one_trait_and_one_penalty() -> None:
    """With a given penalty: coefficients = (XᵀX + p)⁻¹·Xᵀy of centred data."""
    alleles, phenotypes = population(50, 12, seed=1)
    x, y = alleles - alleles.mean(axis=0), phenotypes[:, :1] - phenotypes[:, :1].mean()
    ridge = RidgeFit.fit(Genotypes.of(alleles), phenotypes[:, :1], np.array([2.5]))
    np.testing.assert_allclose(ridge.coefficients, np.linalg.solve(x.T @ x + 2.5 * np.eye(12), x.T @ y), atol=1e-12)
    assert ridge.penalty.tolist() == [2.5]


def test_copies_of_a_locus_share_its_effect() -> None:
    alleles, phenotypes = population(100, 20, seed=2)
    alleles[:, 7] = alleles[:, 6]
    ours, theirs = RidgeFit.fit(Genotypes.of(alleles), phenotypes, PENALTIES), reference(alleles, phenotypes)
    np.testing.assert_allclose(ours.coefficients[7], ours.coefficients[6], atol=1e-9)
    np.testing.assert_allclose(ours.coefficients, theirs.coef_.T, **CLOSE)


def test_leave_one_out_chooses_the_penalty() -> None:
    """Against leaving out every individual in turn, and refitting."""
    alleles, phenotypes = population(25, 10, seed=3)
    few = np.array([0.01, 1.0, 10.0, 100.0])
    errors = np.zeros((len(few), 3))
    for left_out in range(25):
        rest = np.arange(25) != left_out
        for number, penalty in enumerate(few):
            ridge = RidgeFit.fit(Genotypes.of(alleles[rest]), phenotypes[rest], np.array([penalty]))
            errors[number] += (ridge.predict(Genotypes.of(alleles[[left_out]]))[0] - phenotypes[left_out]) ** 2
    assert RidgeFit.fit(Genotypes.of(alleles), phenotypes, few).penalty.tolist() == few[errors.argmin(axis=0)].tolist()


def test_penalties_are_the_studys() -> None:
    np.testing.assert_allclose(penalties(RidgeSettings()), PENALTIES, rtol=1e-15)
    settings = RidgeSettings(n_penalties=3, log10_penalty_min=-1.0, log10_penalty_max=1.0)
    np.testing.assert_allclose(penalties(settings), [0.1, 1, 10])


def test_loci_that_do_not_vary_give_the_mean() -> None:
    train = part_of(np.ones((6, 3), dtype=np.uint8), np.arange(12.0).reshape(6, 2))
    fitted = fit(train, train.rows(np.arange(0)), RidgeSettings(), QUIET)["ridge"]
    assert fitted.coefficients is not None
    assert np.array_equal(fitted.coefficients, np.zeros((3, 2)))
    assert np.array_equal(fitted.predict(Genotypes.of(np.zeros((1, 3), dtype=np.uint8))), [[5.0, 6.0]])


def test_splits_per_trait_fit_each_trait_alone(tmp_path: Path) -> None:
    source, table = fit_table(tmp_path, splits="per_trait", n_splits=2)
    with Dataset(source) as data:
        alleles, phenotypes = data.genotypes().counts(), data.phenotypes()
    assert table["trait"].tolist() == [1, 2, 3, 4, 5]
    plan = plan_splits(MODELS["ridge"], RidgeSettings(splits="per_trait", n_splits=2), in_memory(alleles, phenotypes))
    for trait, (_, splits) in enumerate(plan):
        fitted = [reference(alleles[split.train], phenotypes[split.train, trait : trait + 1]) for split in splits]
        np.testing.assert_allclose(table["penalty"][trait], np.mean([fit.alpha_ for fit in fitted]), rtol=1e-9)
    assert table["rel_aa"].tolist() == [0, 0.1, 0.5, 1, 3]


def fit_table(folder: Path, progress: Progress = QUIET, **values: Any) -> tuple[Path, pd.DataFrame]:
    """A simulated file with neutral loci, and the table of a ridge fit to it."""
    source = write_dataset(folder, n_individuals=301, n_loci=50, n_qtl=20, h2=0.7, seed=2)
    return source, fit_by_stage("ridge", source, progress, **values)


def test_paper_protocol_is_the_mean_over_random_splits(tmp_path: Path) -> None:
    source, table = fit_table(tmp_path, seed=6)
    with Dataset(source) as data:
        alleles, phenotypes, additive = data.genotypes().counts(), data.phenotypes(), data.effects().additive
    splits = random_splits(np.arange(301), 10, np.random.default_rng(6))
    wanted: dict[str, list[Any]] = {"pearson_r": [], "effect_correlation": [], "penalty": [], "prediction_mean": [], "prediction_sd": []}
    for split in splits:
        fitted = reference(alleles[split.train], phenotypes[split.train])
        predicted = fitted.predict(alleles[split.test].astype(float))
        wanted["pearson_r"].append(correlations(predicted, phenotypes[split.test]))
        wanted["effect_correlation"].append(correlations(fitted.coef_.T, additive))
        wanted["penalty"].append(fitted.alpha_)
        wanted["prediction_mean"].append(predicted.mean(axis=0))
        wanted["prediction_sd"].append(predicted.std(axis=0))
    for name, values in wanted.items():
        np.testing.assert_allclose(table[name], np.mean(values, axis=0), **CLOSE, err_msg=name)
    for name in ("pearson_r", "effect_correlation", "penalty"):
        np.testing.assert_allclose(table[f"{name}_sd"], np.std(wanted[name], axis=0, ddof=1), **CLOSE, err_msg=name)
    assert table[["model", "protocol", "n_train", "n_test", "seed"]].to_numpy().tolist() == [["ridge", "paper", 255, 46, 6]] * 5


def test_number_of_splits(tmp_path: Path) -> None:
    progress = Recorder()
    fit_table(tmp_path, progress, n_splits=3, n_penalties=5)
    assert progress.steps == [(1, 3), (2, 3), (3, 3)]


def test_holdout_protocol_is_the_one_split_of_all_models(tmp_path: Path) -> None:
    source, table = fit_table(tmp_path, protocol="holdout")
    with Dataset(source) as data:
        alleles, phenotypes, additive = data.genotypes().counts(), data.phenotypes(), data.effects().additive
    fitted = reference(alleles[:256], phenotypes[:256])  # round(0.85·301): training and validation individuals
    predicted = fitted.predict(alleles[256:].astype(float))
    np.testing.assert_allclose(table["pearson_r"], correlations(predicted, phenotypes[256:]), **CLOSE)
    np.testing.assert_allclose(table["effect_correlation"], correlations(fitted.coef_.T, additive), **CLOSE)
    np.testing.assert_allclose(table["penalty"], fitted.alpha_, rtol=1e-12)
    assert [name for name in map(str, table) if name.endswith("_sd")] == ["truth_sd", "prediction_sd"]
    assert table["n_test"].tolist() == [45] * 5


def test_holdout_table_counts_whom_ridge_was_trained_on(tmp_path: Path) -> None:
    _, table = fit_table(tmp_path, protocol="holdout", n_penalties=5)
    assert table["n_train"].tolist() == [256] * 5


def test_seed_decides_the_splits(tmp_path: Path) -> None:
    tables = [fit_table(tmp_path, seed=seed, n_splits=2, n_penalties=5)[1].drop(columns=["seconds", "seed"]) for seed in (1, 1, 2)]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0].equals(tables[2])
