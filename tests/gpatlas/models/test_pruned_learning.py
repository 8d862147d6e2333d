"""gpatlas.models.pruned: what its stage writes, and what is gained by looking at the best columns alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from populations import QUIET, fit_by_stage, part_of, write_dataset

from gpatlas.data.dataset import Dataset
from gpatlas.models import pruned
from gpatlas.models.mlp import fit_mlp
from gpatlas.models.network_settings import MlpSettings, PrunedSettings
from gpatlas.models.scores import pearson_r
from gpatlas.settings import build

SMALL: dict[str, Any] = {"hidden_size": 8, "epochs": 3, "n_trials": 3, "lasso_epochs": 20, "threads": 1, "device": "cpu"}
MODELS = ["lasso", "pruned_linear", "pruned_mlp"]


def fit(source: Path, out: str = "table.csv", **values: Any) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The table, the trials and the columns."""
    table, path = fit_by_stage("pruned", source, out=out, **{**SMALL, **values}), source.with_name(out)
    return table, pd.read_csv(path.with_suffix(".trials.csv")), pd.read_csv(path.with_suffix(".columns.csv"))


def by_model(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row per trait, a column per model."""
    return table.pivot(index="trait", columns="model", values=column)


def test_three_tables_agree(tmp_path: Path) -> None:
    source = write_dataset(tmp_path, n_individuals=300, n_loci=40, n_qtl=6, rel_aa=(0.0, 1.0, 3.0))
    table, trials, columns = fit(source, min_columns=3, max_columns=20, n_trials=5)
    with Dataset(source) as data:
        causal = data.effects().additive != 0
    assert table[["model", "trait"]].to_numpy().tolist() == [[model, trait] for model in MODELS for trait in (1, 2, 3)]
    assert list(columns) == ["locus", "allele", "importance", "n_traits_causal"]
    assert columns["importance"].is_monotonic_decreasing
    assert (columns["importance"] > 0.03).all()
    assert (table["n_columns"] == len(columns)).all()
    kept = columns["locus"].unique() - 1
    found = causal[kept].sum(axis=0) / 6
    np.testing.assert_allclose(by_model(table, "causal_found"), np.repeat(found[:, None], 3, axis=1), rtol=1e-12)
    assert columns["n_traits_causal"].tolist() == causal[columns["locus"] - 1].sum(axis=1).tolist()
    assert list(trials) == ["trial", "max_columns", "learning_rate", "loss", "state", "reused", "epochs"]
    best = trials.iloc[int(trials["loss"].argmin())]
    assert len(columns) <= best["max_columns"]
    rates = by_model(table, "learning_rate")
    assert (rates["pruned_mlp"] == best["learning_rate"]).all()
    assert rates[["lasso", "pruned_linear"]].isna().all(axis=None)


def test_seed_decides_all_three_tables(tmp_path: Path) -> None:
    source = write_dataset(tmp_path, n_individuals=200, n_loci=20, n_qtl=6, rel_aa=(0.0, 1.0))
    first, again = (fit(source, out, min_columns=3, max_columns=20) for out in ("first.csv", "again.csv"))
    for one, other in zip(first, again, strict=True):
        pd.testing.assert_frame_equal(one.drop(columns="seconds", errors="ignore"), other.drop(columns="seconds", errors="ignore"))


def test_nothing_to_keep_is_a_result_of_the_stage(tmp_path: Path) -> None:
    source = write_dataset(tmp_path, n_individuals=200, n_loci=20, n_qtl=6, rel_aa=(0.0,))
    table, trials, columns = fit(source, min_importance=1e6)
    assert by_model(table, "n_columns").to_numpy().tolist() == [[0, 0, 0]]
    assert by_model(table, "pearson_r")[["pruned_linear", "pruned_mlp"]].to_numpy().tolist() == [[0, 0]]
    assert [len(trials), len(columns)] == [0, 0]


# What is learned. Under holdout: the test part decides nothing.


def test_lasso_keeps_the_causal_loci(tmp_path: Path) -> None:
    """16 causal loci of each of two traits among 200. Epistasis is noise to the lasso, so the second trait's are harder to find."""
    source = write_dataset(tmp_path, n_individuals=2000, n_loci=200, n_qtl=16, rel_aa=(0.0, 1.0), h2=0.9999, seed=3)
    table, _, columns = fit(source, protocol="holdout", lasso_epochs=200, n_trials=1, learning_rates=(0.01,))
    found = by_model(table, "causal_found")["lasso"]
    assert found[1] >= 0.9
    assert found[2] >= 0.7
    with Dataset(source) as data:
        causal = (data.effects().additive != 0).any(axis=1)
    kept = columns["locus"].unique() - 1
    assert causal[kept].mean() > 1.8 * causal.mean()
    best = columns["locus"].unique()[:20] - 1  # the twenty most important loci
    assert causal[best].mean() > 0.9
    r = by_model(table, "pearson_r")
    assert (r.loc[1, ["lasso", "pruned_linear"]] > 0.99).all()  # additive, H2 0.9999: what is left out is not missed


def test_pruned_perceptron_learns_epistasis_among_neutral_loci(tmp_path: Path) -> None:
    """8 causal loci among 300, V_AA/V_A about 2, every causal locus additive enough to be found: no linear model is near √H2."""
    source = write_dataset(tmp_path, n_individuals=2500, n_loci=300, n_qtl=8, rel_aa=(1.0,), seed=4)
    values: dict[str, Any] = {"n_trials": 2, "hidden_size": 32, "epochs": 40, "patience": 8, "learning_rates": (0.01,)}
    table, _, columns = fit(source, protocol="holdout", lasso_epochs=200, min_columns=20, max_columns=60, **values)
    ridge = fit_by_stage("ridge", source, out="ridge.csv", protocol="holdout")
    r = by_model(table, "pearson_r").loc[1]
    assert (table["causal_found"] == 1).all()
    assert len(columns) <= 60
    assert r["pruned_mlp"] > 0.95
    ceiling = np.sqrt(ridge["v_a_over_v_g"][0] * 0.999)
    se = 1 / np.sqrt(375 - 3)  # of atanh r, 375 test individuals
    assert np.arctanh(max(r["lasso"], r["pruned_linear"], ridge["pearson_r"][0])) < np.arctanh(ceiling) + 3 * se
    assert r["pruned_linear"] > ridge["pearson_r"][0]  # the same kind of model, without 260 loci of noise


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_perceptron_on_the_best_columns_beats_one_on_all(seed: int) -> None:
    """Three causal loci among 150, y = x₀x₁ + x₂ + ½x₀ + ½x₁: no linear model is above r = √(1.5 / 2.5), a perceptron may reach 1."""
    alleles = np.random.default_rng(seed).integers(0, 2, (1500, 150), dtype=np.uint8)
    first, second, third = 2.0 * alleles[:, :3].T - 1
    phenotypes = (first * second + third + 0.5 * first + 0.5 * second)[:, None]
    everyone = part_of(alleles, phenotypes)
    train, validation, test = (everyone.rows(np.arange(*rows)) for rows in ((0, 1000), (1000, 1250), (1250, 1500)))
    values = {"hidden_size": 16, "epochs": 25, "lasso_epochs": 100, "n_trials": 1, "min_columns": 8, "max_columns": 8}
    own = build(PrunedSettings, {**SMALL, **values, "learning_rates": (0.01,)})
    models = pruned.fit(train, validation, own, QUIET)
    kept = models["pruned_mlp"].tables["columns"][:6]
    assert set(2 * (kept["locus"] - 1) + kept["allele"]) == set(range(6))
    shared = own.model_dump(include=set(MlpSettings.model_fields)) | {"learning_rate": 0.01}
    models["all"] = fit_mlp(train, validation, MlpSettings(**shared), QUIET)
    r = {name: float(pearson_r(test.phenotypes, fitted.predict(test.genotypes))[0]) for name, fitted in models.items()}
    assert r["pruned_mlp"] > 0.98
    assert r["all"] < 0.9
    se = 1 / np.sqrt(250 - 3)  # of atanh r
    assert np.arctanh(max(r["lasso"], r["pruned_linear"])) < np.arctanh(np.sqrt(1.5 / 2.5)) + 3 * se
