"""gpatlas.pruned: what the lasso ranks first, what is kept of it, and what is gained by looking at that alone.

Numbers 2·locus + allele name the one-hot columns, loci counted from 0.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import l1_loss

from gpatlas import networks, pruned, simulate
from gpatlas.dataset import Dataset, Genotypes
from gpatlas.evaluation import Part, pearson_r
from gpatlas.networks import Trained, Training, fit_mlp
from gpatlas.progress import Progress
from gpatlas.pruned import describe, fit_pruned, importance, rank, share_of_causal, sorted_columns, train_lasso
from gpatlas.ridge import run as run_ridge
from gpatlas.settings import MlpSettings, PrunedSettings, RidgeSettings, SimulateSettings, build
from gpatlas.steps import Columns, Inputs

Array = npt.NDArray[Any]

QUIET = Progress("test", io.StringIO())
SMALL: dict[str, Any] = {"hidden_size": 8, "epochs": 3, "n_trials": 3, "lasso_epochs": 20, "threads": 1, "device": "cpu"}
MODELS = ["lasso", "pruned_linear", "pruned_mlp"]


def settings(**values: Any) -> PrunedSettings:
    return build(PrunedSettings, {**SMALL, **values})


def part(n: int, seed: int, n_loci: int = 12, n_traits: int = 2) -> Part:
    """Only the first three loci have effects, each on every trait."""
    random = np.random.default_rng(seed)
    alleles = random.integers(0, 2, (n, n_loci), dtype=np.uint8)
    effects = np.array([[1.0, -0.5], [0.7, 1.0], [-0.4, 0.8]])[:, :n_traits]
    return Part(Genotypes.of(alleles), alleles[:, :3] @ effects + 0.1 * random.standard_normal((n, n_traits)))


TRAIN, VALIDATION, TEST = part(200, 1), part(60, 2), part(60, 3)


# By hand


def test_rank_by_hand() -> None:
    """The largest first; the threshold itself is not above the threshold."""
    ranked = rank(np.array([0.1, 0.5, 0.02, 0.3, 0.03, 0.031]), 0.03)
    assert ranked.index.tolist() == [1, 3, 0, 5]
    assert ranked.tolist() == [0.5, 0.3, 0.1, 0.031]


def test_rank_of_equals_is_their_order() -> None:
    """However many there are, so that what is kept does not depend on the method of sorting."""
    ranked = rank(np.tile([0.5, 0.7], 100), 0.0)
    assert ranked.index.tolist() == [*range(1, 200, 2), *range(0, 200, 2)]


def test_nothing_above_the_threshold_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="min_importance") as caught:
        rank(np.array([0.0123456, 0.03]), 0.03)
    assert str(caught.value) == "min_importance: no column's lasso weight is above 0.03, the largest is 0.03; lower it"


@pytest.mark.parametrize(("n_columns", "columns"), [(1, [7]), (2, [4, 7]), (3, [2, 4, 7]), (4, [2, 4, 7, 9]), (99, [2, 4, 7, 9])])
def test_sorted_columns_are_the_first_in_rank_in_the_order_of_the_loci(n_columns: int, columns: list[int]) -> None:
    chosen = sorted_columns(pd.Series([0.9, 0.8, 0.7, 0.6], index=[7, 4, 2, 9]), n_columns)
    assert chosen.tolist() == columns
    assert chosen.dtype == np.int64


# Four loci; the first trait's causal loci are 0, 2 and 3, the second's is 1
CAUSAL = np.array([[True, False], [False, True], [True, False], [True, False]])


@pytest.mark.parametrize(
    ("columns", "shares"),
    [
        ([0], [1 / 3, 0]),
        ([1], [1 / 3, 0]),  # the other allele of the same locus
        ([0, 1], [1 / 3, 0]),  # both: the locus counts once
        ([2], [0, 1]),
        ([1, 2, 4], [2 / 3, 1]),
        ([0, 3, 5, 6, 7], [1, 1]),
        ([], [0, 0]),
    ],
)
def test_share_of_causal_by_hand(columns: list[int], shares: list[float]) -> None:
    np.testing.assert_allclose(share_of_causal(np.array(columns, dtype=np.int64), CAUSAL), shares)


def test_describe_by_hand() -> None:
    """As they rank, loci counted from 1."""
    causal = CAUSAL.copy()
    causal[3] = True
    table = describe(pd.Series([0.9, 0.8, 0.5, 0.4], index=[7, 2, 6, 0]), causal)
    wanted = {"locus": [4, 2, 4, 1], "allele": [1, 0, 0, 0], "importance": [0.9, 0.8, 0.5, 0.4], "n_traits_causal": [2, 1, 2, 1]}
    pd.testing.assert_frame_equal(table, pd.DataFrame(wanted))


def test_importance_is_the_largest_absolute_weight_over_traits() -> None:
    linear = nn.Linear(4, 3)
    weights = [[0.1, -0.9, 0.0, 0.2], [-0.5, 0.3, 0.0, 0.25], [0.4, 0.0, -0.125, -0.3]]
    linear.weight.data = torch.tensor(weights)
    linear.bias.data = torch.tensor([9.0, -9.0, 9.0])
    trained = Trained(linear, None, torch.device("cpu"), Training(1, 0.0))
    np.testing.assert_allclose(importance(trained), [0.5, 0.9, 0.125, 0.3], rtol=1e-6)


# The lasso


def one_hot(part: Part, columns: Columns) -> Array:
    """(n, k)"""
    inputs = Inputs.of(part.genotypes, columns, torch.device("cpu"))
    return inputs.expand(inputs.bits).double().numpy()


def one_step(part: Part, seed: int, penalty: float, columns: list[int]) -> Array:
    """Predictions (n, T) after one step of SGD at rate 0.1 on the mean absolute error plus penalty·Σ|weight|, from nn.Linear's start."""
    torch.manual_seed(seed)
    start = nn.Linear(len(columns), part.phenotypes.shape[1])
    weight, bias = (parameter.detach().numpy().astype(float) for parameter in (start.weight, start.bias))
    x = one_hot(part, np.array(columns))
    sign = np.sign(x @ weight.T + bias - part.phenotypes) / part.phenotypes.size
    weight, bias = weight - 0.1 * (sign.T @ x + penalty * np.sign(weight)), bias - 0.1 * sign.sum(axis=0)
    return np.asarray(x @ weight.T + bias)


@pytest.mark.parametrize("values", [{}, {"lasso_penalty": 0.5}, {"lasso_penalty": 0.0}], ids=["default", "large", "none"])
@pytest.mark.parametrize("columns", [None, [1, 4, 5]], ids=["all", "some"])
def test_one_step_of_the_lasso_by_hand(values: dict[str, float], columns: list[int] | None) -> None:
    """The penalty is 0.001·Σ|weight|, its gradient 0.001·sign(weight); the bias has none."""
    train = TRAIN.rows(np.arange(9))
    own = settings(lasso_epochs=1, seed=5, **values)
    lasso = train_lasso(train, train, own, None if columns is None else np.array(columns, dtype=np.int64))
    expected = one_step(train, 5, values.get("lasso_penalty", 0.001), columns or list(range(24)))
    np.testing.assert_allclose(lasso.predict(train.genotypes), expected, rtol=0, atol=2e-6)
    # the default's step moves a weight by 1e-4: without it the predictions would be further off than the tolerance
    assert abs(one_step(train, 5, 0.0, [0, 1]) - one_step(train, 5, 0.001, [0, 1])).max() > 2e-5


def test_lasso_is_trained_as_the_study_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The study's values; what is not the lasso's own comes from the settings of the stage."""
    seen: list[Any] = []
    monkeypatch.setattr(pruned, "train_recipe", lambda *arguments: seen.append(arguments))
    own = PrunedSettings(protocol="holdout", seed=7, device="cpu", batch_size=64, learning_rate=0.3, epochs=3, patience=4, min_delta=0.5)
    train_lasso(TRAIN, VALIDATION, own, None)
    recipe, train, validation, used, _, columns = seen[0]
    assert (train, validation, columns) == (TRAIN, VALIDATION, None)
    values: dict[str, Any] = {"learning_rate": 0.1, "epochs": 200, "patience": 20, "min_delta": 0.001}
    values |= {"protocol": "holdout", "seed": 7, "threads": None, "device": "cpu", "batch_size": 64}
    assert used.model_dump() == values
    linear, expected = recipe.network(24, 2), nn.Linear(24, 2)
    expected.load_state_dict(linear.state_dict())
    inputs, wanted = torch.from_numpy(one_hot(TRAIN, np.arange(24))).float(), torch.from_numpy(TRAIN.phenotypes).float()
    recipe.step(linear)(inputs, wanted, 0.1)
    (l1_loss(expected(inputs), wanted) + 0.001 * expected.weight.abs().sum()).backward()
    torch.optim.SGD(expected.parameters(), 0.1).step()
    torch.testing.assert_close(list(linear.parameters()), list(expected.parameters()), rtol=0, atol=1e-6)


def test_a_large_penalty_leaves_only_causal_columns() -> None:
    """It takes some hundred steps: each moves a weight by a tenth of the penalty, and they start anywhere below 1/√24."""
    own = settings(lasso_penalty=0.02, lasso_epochs=40)
    weights = importance(train_lasso(part(2000, seed=1), VALIDATION, own, None))
    assert set(rank(weights, 0.03).index) == {0, 1, 2, 3, 4, 5}
    assert weights[6:].max() < 0.01
    assert weights[:6].min() > 0.2


# What is trained, and how often


class Calls:
    """Counts the trainings of `train_lasso` and `train_recipe`: the columns that each was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lasso: list[list[int] | None] = []
        self.all: list[list[int] | None] = []
        train_lasso, train_recipe = pruned.train_lasso, networks.train_recipe

        def count_lasso(*arguments: Any) -> Trained:
            self.lasso.append(_numbers(arguments[3]))
            return train_lasso(*arguments)

        def count_all(*arguments: Any) -> Trained:
            self.all.append(_numbers(arguments[5]))
            return train_recipe(*arguments)

        monkeypatch.setattr(pruned, "train_lasso", count_lasso)
        monkeypatch.setattr(pruned, "train_recipe", count_all)


def _numbers(columns: Array | None) -> list[int] | None:
    return None if columns is None else columns.tolist()


@pytest.mark.parametrize("n_trials", [1, 2, 7])
def test_lasso_and_pruned_linear_are_trained_once(n_trials: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many trials there are, each of which trains one perceptron; a last one is the refit."""
    calls = Calls(monkeypatch)
    models, kept, trials = fit_pruned(TRAIN, VALIDATION, settings(n_trials=n_trials, min_columns=2, max_columns=20), QUIET)
    columns = sorted(kept.index)
    assert list(models) == MODELS
    assert calls.lasso == [None, columns]
    assert len(calls.all) == 1 + n_trials + 2
    assert calls.all[0] is None
    assert calls.all[-2:] == [columns, columns]  # the pruned linear model and the perceptron's refit
    assert len(trials) == n_trials


def test_reused_trials_train_each_choice_of_columns_and_rate_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of columns that keep all there are, are one and the same."""
    values = {"n_trials": 6, "min_columns": 500, "max_columns": 900, "learning_rates": (0.01,)}
    plain = fit_pruned(TRAIN, VALIDATION, settings(**values), QUIET)
    calls = Calls(monkeypatch)
    reused = fit_pruned(TRAIN, VALIDATION, settings(**values, reuse_trials=True), QUIET)
    assert len(calls.all) == 1 + 1 + 2
    assert reused[2]["reused"].tolist() == [False, *[True] * 5]
    assert reused[2]["max_columns"].nunique() > 1
    assert reused[2]["loss"].tolist() == plain[2]["loss"].tolist()
    for model in MODELS:
        np.testing.assert_array_equal(reused[0][model].predict(TEST.genotypes), plain[0][model].predict(TEST.genotypes))


def test_columns_kept_are_the_most_important_ones() -> None:
    """At most as many as the best trial chose; of these the best trial's loss is the smallest."""
    models, kept, trials = fit_pruned(TRAIN, VALIDATION, settings(n_trials=6, min_columns=2, max_columns=20), QUIET)
    ranked = rank(importance(train_lasso(TRAIN, VALIDATION, settings(), None)), 0.03)
    best = trials.iloc[int(trials["loss"].astype(float).argmin())]
    assert trials["max_columns"].between(2, 20).all()
    assert trials["max_columns"].nunique() > 1
    assert len(kept) == min(best["max_columns"], len(ranked)) < 24
    pd.testing.assert_series_equal(kept, ranked[: len(kept)])
    assert models["pruned_mlp"].columns["learning_rate"] == best["learning_rate"]


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (5, 5), (24, None)])
def test_at_most_so_many_columns_are_kept(limit: int, expected: int | None) -> None:
    """No more than asked for, and no more than are above min_importance."""
    _, kept, _ = fit_pruned(TRAIN, VALIDATION, settings(n_trials=1, min_columns=limit, max_columns=limit), QUIET)
    ranked = rank(importance(train_lasso(TRAIN, VALIDATION, settings(), None)), 0.03)
    assert len(ranked) > 5
    assert kept.index.tolist() == ranked.index.tolist()[: expected or len(ranked)]
    assert (kept > 0.03).all()


def test_pruned_models_see_only_the_kept_columns() -> None:
    models, kept, _ = fit_pruned(TRAIN, VALIDATION, settings(n_trials=1, min_columns=3, max_columns=3), QUIET)
    others = sorted(set(range(12)) - set(kept.index // 2))
    assert len(others) >= 9
    alleles = TEST.genotypes.alleles()
    alleles[:, others] ^= 1
    changed = Genotypes.of(alleles)
    for model in ("pruned_linear", "pruned_mlp"):
        np.testing.assert_array_equal(models[model].predict(changed), models[model].predict(TEST.genotypes))
    assert (models["lasso"].predict(changed) != models["lasso"].predict(TEST.genotypes)).any()


def test_perceptron_on_all_columns_is_the_plain_one() -> None:
    """Where nothing is pruned away, the refit is `fit_mlp` at the chosen rate."""
    own = settings(n_trials=2, min_importance=0.0, min_columns=24, max_columns=24, seed=4)
    models, kept, _ = fit_pruned(TRAIN, VALIDATION, own, QUIET)
    assert len(kept) == 24
    rate = models["pruned_mlp"].columns["learning_rate"]
    shared = own.model_dump(include=set(MlpSettings.model_fields)) | {"learning_rate": rate}
    plain = fit_mlp(TRAIN, VALIDATION, MlpSettings(**shared), QUIET)
    np.testing.assert_array_equal(models["pruned_mlp"].predict(TEST.genotypes), plain.predict(TEST.genotypes))
    lasso, linear = (models[name].predict(TEST.genotypes) for name in ("lasso", "pruned_linear"))
    np.testing.assert_array_equal(lasso, linear)


def test_everything_is_the_same_on_every_run_and_the_columns_whatever_the_trials() -> None:
    """One lasso, so one ranking: more trials may choose another number of columns, not others."""
    runs = [fit_pruned(TRAIN, VALIDATION, settings(n_trials=n, min_columns=2, max_columns=20), QUIET) for n in (4, 4, 1, 9)]
    pd.testing.assert_series_equal(runs[0][1], runs[1][1])
    pd.testing.assert_frame_equal(runs[0][2], runs[1][2], check_exact=True)
    for model in MODELS:
        np.testing.assert_array_equal(runs[0][0][model].predict(TEST.genotypes), runs[1][0][model].predict(TEST.genotypes))
    longest = max((kept for _, kept, _ in runs), key=len)
    for _, kept, trials in runs:
        pd.testing.assert_series_equal(kept, longest[: len(kept)])
        first = min(len(trials), 4)  # the trials of a shorter run are the first of a longer one
        pd.testing.assert_frame_equal(trials[:first], runs[0][2][:first], check_exact=True)


def test_another_seed_trains_another_lasso() -> None:
    first, second = (train_lasso(TRAIN, VALIDATION, settings(seed=seed), None) for seed in (1, 2))
    assert (importance(first) != importance(second)).all()


# The stage


def write_dataset(folder: Path, **values: Any) -> Path:
    path = folder / "data.h5"
    simulate.run(build(SimulateSettings, values), None, path, QUIET)
    return path


def fit(source: Path, out: str = "table.csv", **values: Any) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The table, the trials and the columns."""
    path = source.with_name(out)
    pruned.run(settings(**values), source, path, QUIET)
    return pd.read_csv(path), pd.read_csv(path.with_suffix(".trials.csv")), pd.read_csv(path.with_suffix(".columns.csv"))


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


def test_nothing_to_keep_is_an_error(tmp_path: Path) -> None:
    source = write_dataset(tmp_path, n_individuals=200, n_loci=20, n_qtl=6, rel_aa=(0.0,))
    with pytest.raises(ValueError, match=r"^min_importance: no column's lasso weight is above 1e\+06, the largest is [0-9.]+; lower it$"):
        fit(source, min_importance=1e6)
    assert [path.name for path in tmp_path.iterdir()] == ["data.h5"]


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
    assert causal[kept].mean() > 2 * causal.mean()
    best = columns["locus"].unique()[:20] - 1  # the twenty most important loci
    assert causal[best].mean() > 0.9
    r = by_model(table, "pearson_r")
    assert (r.loc[1, ["lasso", "pruned_linear"]] > 0.99).all()  # additive, H2 0.9999: what is left out is not missed


def test_pruned_perceptron_learns_epistasis_among_neutral_loci(tmp_path: Path) -> None:
    """8 causal loci among 300, V_AA/V_A about 2, every causal locus additive enough to be found: no linear model is near √H2."""
    source = write_dataset(tmp_path, n_individuals=2500, n_loci=300, n_qtl=8, rel_aa=(1.0,), seed=4)
    values: dict[str, Any] = {"n_trials": 2, "hidden_size": 32, "epochs": 40, "patience": 8, "learning_rates": (0.01,)}
    table, _, columns = fit(source, protocol="holdout", lasso_epochs=200, min_columns=20, max_columns=60, **values)
    run_ridge(RidgeSettings(protocol="holdout"), source, tmp_path / "ridge.csv", QUIET)
    ridge = pd.read_csv(tmp_path / "ridge.csv")
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
    everyone = Part(Genotypes.of(alleles), phenotypes)
    train, validation, test = (everyone.rows(np.arange(*rows)) for rows in ((0, 1000), (1000, 1250), (1250, 1500)))
    own = settings(hidden_size=16, epochs=25, lasso_epochs=100, n_trials=1, min_columns=8, max_columns=8, learning_rates=(0.01,))
    models, kept, _ = fit_pruned(train, validation, own, QUIET)
    assert set(kept.index[:6]) == set(range(6))
    shared = own.model_dump(include=set(MlpSettings.model_fields)) | {"learning_rate": 0.01}
    models["all"] = fit_mlp(train, validation, MlpSettings(**shared), QUIET)
    r = {name: float(pearson_r(test.phenotypes, fitted.predict(test.genotypes))[0]) for name, fitted in models.items()}
    assert r["pruned_mlp"] > 0.98
    assert r["all"] < 0.9
    se = 1 / np.sqrt(250 - 3)  # of atanh r
    assert np.arctanh(max(r["lasso"], r["pruned_linear"])) < np.arctanh(np.sqrt(1.5 / 2.5)) + 3 * se
