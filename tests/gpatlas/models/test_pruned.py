"""gpatlas.models.pruned: what the lasso ranks first, what is kept of it, and how often what is trained.

Numbers 2·locus + allele name the one-hot columns, loci counted from 0.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from populations import QUIET, Array, part_of
from torch import nn
from torch.nn.functional import l1_loss

from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import Genotypes
from gpatlas.models import pruned, training
from gpatlas.models.contract import Fitted, Part
from gpatlas.models.inputs import InputColumns, Inputs
from gpatlas.models.mlp import fit_mlp
from gpatlas.models.network_settings import MlpSettings, PrunedSettings
from gpatlas.models.pruned import describe, importance, judge, rank, share_of_causal, sorted_columns, train_lasso
from gpatlas.models.scores import Predicted, score
from gpatlas.models.training import Trained, Training
from gpatlas.settings import build

SMALL: dict[str, Any] = {"hidden_size": 8, "epochs": 3, "n_trials": 3, "lasso_epochs": 20, "threads": 1, "device": "cpu"}
MODELS = ["lasso", "pruned_linear", "pruned_mlp"]


def settings(**values: Any) -> PrunedSettings:
    return build(PrunedSettings, {**SMALL, **values})


def part(n: int, seed: int, n_loci: int = 12, n_traits: int = 2) -> Part:
    """Only the first three loci have effects, each on every trait."""
    random = np.random.default_rng(seed)
    alleles = random.integers(0, 2, (n, n_loci), dtype=np.uint8)
    effects = np.array([[1.0, -0.5], [0.7, 1.0], [-0.4, 0.8]])[:, :n_traits]
    return part_of(alleles, alleles[:, :3] @ effects + 0.1 * random.standard_normal((n, n_traits)))


TRAIN, VALIDATION, TEST = part(200, 1), part(60, 2), part(60, 3)


def fitted(own: PrunedSettings) -> tuple[dict[str, Fitted], "pd.Series[float]", pd.DataFrame]:
    """The models, the importance of the columns kept, by their numbers, and the trials."""
    models = pruned.fit(TRAIN, VALIDATION, own, QUIET)
    table, trials = (models["pruned_mlp"].tables[name] for name in ("columns", "trials"))
    return models, pd.Series(table["importance"].to_numpy(), index=(2 * (table["locus"] - 1) + table["allele"]).to_numpy()), trials


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


def r_of_test(fitted: Fitted) -> list[float]:
    predicted = Predicted(TEST.phenotypes, fitted.predict(TEST.genotypes), None, np.zeros(2))
    return [float(r) for r in score(predicted)["pearson_r"]]


@pytest.mark.parametrize(("protocol", "learnt_from"), [("paper", TRAIN), ("holdout", TRAIN.joined(VALIDATION))])
def test_a_lasso_that_keeps_no_column_predicts_the_median_and_is_a_result(protocol: str, learnt_from: Part) -> None:
    said: dict[str, Any] = {}

    class Reports:
        def __call__(self, done: int, total: int, **facts: Any) -> None: ...

        def report(self, **facts: Any) -> None:
            said.update(facts)

    models = pruned.fit(TRAIN, VALIDATION, settings(min_importance=5.0, protocol=protocol), Reports())
    assert said["warning"] == "min_importance: no column's lasso weight is above 5"
    assert list(models) == MODELS
    usual, _, trials = fitted(settings(n_trials=1))
    for name in ("pruned_linear", "pruned_mlp"):
        np.testing.assert_array_equal(models[name].predict(TEST.genotypes), np.tile(np.median(learnt_from.phenotypes, axis=0), (60, 1)))
        assert r_of_test(models[name]) == [0, 0]
    assert [models[name].columns["n_columns"] for name in MODELS] == [0, 0, 0]
    assert r_of_test(models["lasso"]) != [0, 0]
    assert {name: set(one.columns) for name, one in models.items()} == {name: set(one.columns) for name, one in usual.items()}
    judged = judge(models, Effects(np.ones((12, 2)), np.zeros((2, 0, 2), np.int32), np.zeros((2, 0)), np.zeros(2)))
    np.testing.assert_array_equal(judged["pruned_mlp"].columns["causal_found"], [0, 0])
    tables = judged["pruned_mlp"].tables
    assert list(tables["trials"]) == list(trials)
    assert list(tables["columns"]) == ["locus", "allele", "importance", "n_traits_causal"]
    assert [len(table) for table in tables.values()] == [0, 0]


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
    np.testing.assert_allclose(share_of_causal(np.array(columns, dtype=np.int64) // 2, CAUSAL), shares)


def test_describe_and_judge_by_hand() -> None:
    """As they rank, loci counted from 1; the first trait's causal loci are now 0, 2 and 3, the second's 1 and 3."""
    causal = CAUSAL.copy()
    causal[3] = True
    table = describe(pd.Series([0.9, 0.8, 0.5, 0.4], index=[7, 2, 6, 0]), 2)
    wanted = {"locus": [4, 2, 4, 1], "allele": [1, 0, 0, 0], "importance": [0.9, 0.8, 0.5, 0.4]}
    pd.testing.assert_frame_equal(table, pd.DataFrame(wanted))
    effects = Effects(0.5 * causal, np.zeros((2, 0, 2), np.int32), np.zeros((2, 0)), np.zeros(2))
    models = {name: Fitted(lambda genotypes: np.zeros((len(genotypes), 2)), columns={"epochs": 3}) for name in ("lasso", "pruned_linear")}
    models["pruned_mlp"] = Fitted(models["lasso"].predict, columns={"epochs": 4}, tables={"columns": table, "trials": pd.DataFrame()})
    judged = judge(models, effects)
    pd.testing.assert_frame_equal(judged["pruned_mlp"].tables["columns"], pd.DataFrame({**wanted, "n_traits_causal": [2, 1, 2, 1]}))
    assert list(judged["pruned_mlp"].tables) == ["columns", "trials"]
    for name in MODELS:
        assert list(judged[name].columns) == ["epochs", "causal_found"]
        np.testing.assert_allclose(judged[name].columns["causal_found"], [2 / 3, 1])


def test_importance_is_the_largest_absolute_weight_over_traits() -> None:
    linear = nn.Linear(4, 3)
    weights = [[0.1, -0.9, 0.0, 0.2], [-0.5, 0.3, 0.0, 0.25], [0.4, 0.0, -0.125, -0.3]]
    linear.weight.data = torch.tensor(weights)
    linear.bias.data = torch.tensor([9.0, -9.0, 9.0])
    trained = Trained(linear, None, settings(), Training(1, 0.0, (0.1,)))
    np.testing.assert_allclose(importance(trained), [0.5, 0.9, 0.125, 0.3], rtol=1e-6)


# The lasso


def one_hot(part: Part, columns: InputColumns) -> Array:
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
    values |= {"n_folds": 10, "n_repeats": 1, "traits": None}
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
        train_lasso, train_recipe = pruned.train_lasso, training.train_recipe

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
    """However many trials there are, each of which trains one perceptron, the best of them for good."""
    calls = Calls(monkeypatch)
    models, kept, trials = fitted(settings(n_trials=n_trials, min_columns=2, max_columns=20))
    columns = sorted(kept.index)
    assert list(models) == MODELS
    assert calls.lasso == [None, columns]
    assert len(calls.all) == 1 + n_trials + 1
    assert calls.all[0] is None
    assert calls.all[-1] == columns  # the pruned linear model
    assert len(trials) == n_trials


def test_reused_trials_train_each_choice_of_columns_and_rate_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of columns that keep all there are, are one and the same."""
    values = {"n_trials": 6, "min_columns": 500, "max_columns": 900, "learning_rates": (0.01,)}
    plain = fitted(settings(**values))
    calls = Calls(monkeypatch)
    reused = fitted(settings(**values, reuse_trials=True))
    assert len(calls.all) == 1 + 1 + 1
    assert reused[2]["reused"].tolist() == [False, *[True] * 5]
    assert reused[2]["max_columns"].nunique() > 1
    assert reused[2]["loss"].tolist() == plain[2]["loss"].tolist()
    for model in MODELS:
        np.testing.assert_array_equal(reused[0][model].predict(TEST.genotypes), plain[0][model].predict(TEST.genotypes))


def test_columns_kept_are_the_most_important_ones() -> None:
    """At most as many as the best trial chose; of these the best trial's loss is the smallest."""
    models, kept, trials = fitted(settings(n_trials=6, min_columns=2, max_columns=20))
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
    _, kept, _ = fitted(settings(n_trials=1, min_columns=limit, max_columns=limit))
    ranked = rank(importance(train_lasso(TRAIN, VALIDATION, settings(), None)), 0.03)
    assert len(ranked) > 5
    assert kept.index.tolist() == ranked.index.tolist()[: expected or len(ranked)]
    assert (kept > 0.03).all()


def test_pruned_models_see_only_the_kept_columns() -> None:
    models, kept, _ = fitted(settings(n_trials=1, min_columns=3, max_columns=3))
    others = sorted(set(range(12)) - set(kept.index // 2))
    assert len(others) >= 9
    alleles = TEST.genotypes.counts()
    alleles[:, others] ^= 1
    changed = Genotypes.of(alleles)
    for model in ("pruned_linear", "pruned_mlp"):
        np.testing.assert_array_equal(models[model].predict(changed), models[model].predict(TEST.genotypes))
    assert (models["lasso"].predict(changed) != models["lasso"].predict(TEST.genotypes)).any()


def test_perceptron_on_all_columns_is_the_plain_one() -> None:
    """Where nothing is pruned away, the refit is `fit_mlp` at the chosen rate."""
    own = settings(n_trials=2, min_importance=0.0, min_columns=24, max_columns=24, seed=4)
    models, kept, _ = fitted(own)
    assert len(kept) == 24
    rate = models["pruned_mlp"].columns["learning_rate"]
    shared = own.model_dump(include=set(MlpSettings.model_fields)) | {"learning_rate": rate}
    plain = fit_mlp(TRAIN, VALIDATION, MlpSettings(**shared), QUIET)
    np.testing.assert_array_equal(models["pruned_mlp"].predict(TEST.genotypes), plain.predict(TEST.genotypes))
    lasso, linear = (models[name].predict(TEST.genotypes) for name in ("lasso", "pruned_linear"))
    np.testing.assert_array_equal(lasso, linear)


def test_everything_is_the_same_on_every_run_and_the_columns_whatever_the_trials() -> None:
    """One lasso, so one ranking: more trials may choose another number of columns, not others."""
    runs = [fitted(settings(n_trials=n, min_columns=2, max_columns=20)) for n in (4, 4, 1, 9)]
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
