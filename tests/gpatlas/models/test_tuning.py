"""gpatlas.models.tuning: which candidates are tried and which one wins, on scripted losses: a list per candidate, one loss an epoch."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from populations import Recorder, best_rate
from torch import nn

from gpatlas.models.network_settings import MlpSettings, PrunedSettings
from gpatlas.models.training import Diverged, OnEpoch, Trained, Training
from gpatlas.models.tuning import Choice, choose, suggest_rate

RATES = (0.5, 0.1, 0.05, 0.01, 0.005, 0.001, 0.0001)  # the study's
SEEDS = range(1, 7)
TRIALS = ["trial", "learning_rate", "loss", "state", "reused", "epochs"]


class Script:
    """Trains nothing: a candidate's losses are given. Records what was trained, and how many epochs were reported."""

    def __init__(self, losses: Mapping[Any, list[float]]) -> None:
        self.losses = losses
        self.trained: list[Any] = []
        self.epochs: list[int] = []

    def __call__(self, candidate: Any, on_epoch: OnEpoch) -> Trained[nn.Module]:
        self.trained.append(candidate)
        self.epochs.append(0)
        for epoch, loss in enumerate(self.losses[candidate], start=1):
            self.epochs[-1] = epoch
            on_epoch(epoch, 8, loss=loss)
        if not np.isfinite(self.losses[candidate]).any():
            raise Diverged("no epoch with a finite loss")
        return Trained(nn.Identity(), None, MlpSettings(), Training(self.epochs[-1], min(self.losses[candidate]), ()))


# The loss falls from rate to rate by other steps than the rate itself, and the best is not at an end of the list.
BY_RATE = {rate: [9.0, loss] for rate, loss in zip(RATES, [0.9, 0.4, 0.2, 0.3, 0.8, 0.5, 0.7], strict=True)}


def choose_rate(losses: Mapping[float, list[float]] = BY_RATE, **values: Any) -> tuple[Choice[float, nn.Module], Script, Recorder]:
    settings, script, progress = MlpSettings(tune=True, **values), Script(losses), Recorder()
    return choose(lambda trial: suggest_rate(trial, settings), script, settings, progress), script, progress


def choose_in_order(order: str, losses: Mapping[str, list[float]], **values: Any) -> tuple[Choice[str, nn.Module], Script]:
    """The candidates of the trials, one letter each, are given too."""
    settings, script = MlpSettings(tune=True, n_trials=len(order), **values), Script(losses)
    return choose(lambda trial: order[trial.number], script, settings, Recorder()), script


# Candidates


@pytest.mark.parametrize("seed", SEEDS)
def test_seed_decides_the_candidates_the_choice_and_the_table(seed: int) -> None:
    (first, script, _), (again, script_again, _) = choose_rate(seed=seed), choose_rate(seed=seed)
    assert script.trained == script_again.trained
    assert first.best == again.best
    pd.testing.assert_frame_equal(first.trials, again.trials, check_exact=True)


def test_another_seed_draws_other_candidates() -> None:
    assert len({tuple(choose_rate(seed=seed)[1].trained) for seed in SEEDS}) > 1


def test_number_of_trials_and_rates_are_the_studys() -> None:
    """The study's 10 trials for the perceptron, 20 for the pruned one, over seven rates."""
    assert MlpSettings().learning_rates == PrunedSettings().learning_rates == RATES
    assert (MlpSettings().n_trials, PrunedSettings().n_trials) == (10, 20)
    tried = [choose_rate(seed=seed)[1].trained for seed in SEEDS]
    assert [len(rates) for rates in tried] == [10] * len(SEEDS)
    assert set().union(*tried) == set(RATES)  # 60 draws: one of seven is missed with a chance below 1/1000
    assert len(choose_rate(n_trials=3)[1].trained) == 3


def test_only_the_rates_of_the_settings_are_tried() -> None:
    choice, script, _ = choose_rate({0.25: [1.0], 0.75: [2.0]}, learning_rates=(0.25, 0.75))
    assert set(script.trained) == {0.25, 0.75}
    assert choice.best == 0.25


# The choice


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("reuse", [False, True])
def test_smallest_loss_wins(seed: int, reuse: bool) -> None:
    choice, script, _ = choose_rate(seed=seed, reuse_trials=reuse)
    assert choice.best == min(script.trained, key=lambda rate: BY_RATE[rate][1])
    assert choice.trained.training.loss == BY_RATE[choice.best][1]
    assert best_rate(choice.trials) == choice.best


@pytest.mark.parametrize("order", ["ABC", "BCA", "CAB", "ABCA"])
def test_smallest_loss_wins_wherever_it_comes(order: str) -> None:
    assert choose_in_order(order, {"A": [5.0, 1.0], "B": [2.0], "C": [3.0]})[0].best == "A"


def test_one_trial_is_enough() -> None:
    choice, script = choose_in_order("A", {"A": [1.0]}, prune_trials=True, reuse_trials=True)
    assert (choice.best, script.trained, len(choice.trials)) == ("A", ["A"], 1)


def test_candidate_may_be_more_than_a_number() -> None:
    settings, script = MlpSettings(tune=True, n_trials=5, reuse_trials=True), Script({(3, 0.1): [2.0], (4, 0.1): [1.0]})
    best = choose(lambda trial: (3 + trial.number % 2, 0.1), script, settings, Recorder()).best
    assert best == (4, 0.1)
    assert script.trained == [(3, 0.1), (4, 0.1)]


def test_progress_is_a_step_per_trial_and_leaves_one_for_the_refit() -> None:
    _, _, progress = choose_rate(n_trials=3)
    assert progress.steps == [(1, 4), (2, 4), (3, 4)]
    assert progress.facts == [{"trial": 1}, {"trial": 2}, {"trial": 3}]


def test_table_of_trials() -> None:
    choice, script, _ = choose_rate(seed=2)
    assert list(choice.trials) == TRIALS
    assert choice.trials["trial"].tolist() == list(range(1, 11))
    assert choice.trials["learning_rate"].tolist() == script.trained
    assert choice.trials["loss"].tolist() == [min(BY_RATE[rate]) for rate in script.trained]
    assert choice.trials[["state", "reused", "epochs"]].to_numpy().tolist() == [["COMPLETE", False, 2]] * 10


# Trials that are not trained again


@pytest.mark.parametrize("seed", SEEDS)
def test_reused_trials_train_each_candidate_once_and_change_nothing(seed: int) -> None:
    (plain, trained, _), (reused, once, _) = choose_rate(seed=seed), choose_rate(seed=seed, reuse_trials=True)
    assert len(trained.trained) == 10
    assert once.trained == list(dict.fromkeys(trained.trained))  # in the order of their first trial
    assert reused.best == plain.best
    shared = ["trial", "learning_rate", "loss", "state"]
    pd.testing.assert_frame_equal(reused.trials[shared], plain.trials[shared], check_exact=True)
    seen = pd.Series(trained.trained).duplicated()
    assert reused.trials["reused"].tolist() == seen.tolist()
    assert reused.trials["epochs"].isna().tolist() == seen.tolist()
    assert not plain.trials["reused"].any()


def test_some_seed_repeats_a_candidate() -> None:
    """Without which the test above would prove nothing."""
    assert any(choose_rate(seed=seed, reuse_trials=True)[0].trials["reused"].any() for seed in SEEDS)


# Trials that are given up

GOOD, FAIR = [1.0] * 8, [2.0] * 8
HOPELESS = [9.0] * 7 + [0.1]  # above the others until its very last epoch, where it would be the best


def test_hopeless_trial_is_given_up_and_not_chosen() -> None:
    """At the fifth epoch: the first four are for warming up."""
    choice, script = choose_in_order("ABC", {"A": GOOD, "B": FAIR, "C": HOPELESS}, prune_trials=True)
    assert choice.best == "A"
    assert script.epochs == [8, 8, 5]
    assert choice.trials["state"].tolist() == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert choice.trials["epochs"].tolist() == [8, 8, 5]


def test_without_pruning_no_trial_is_given_up() -> None:
    choice, script = choose_in_order("ABC", {"A": GOOD, "B": FAIR, "C": HOPELESS})
    assert choice.best == "C"
    assert script.epochs == [8, 8, 8]
    assert choice.trials["state"].tolist() == ["COMPLETE"] * 3


def test_first_two_trials_are_never_given_up() -> None:
    choice, script = choose_in_order("AC", {"A": GOOD, "C": HOPELESS}, prune_trials=True)
    assert script.epochs == [8, 8]
    assert choice.best == "C"


def test_trial_better_than_the_median_goes_on() -> None:
    choice, script = choose_in_order("ABC", {"A": GOOD, "B": FAIR, "C": [9.0] * 4 + [1.4] * 3 + [0.1]}, prune_trials=True)
    assert script.epochs == [8, 8, 8]
    assert choice.best == "C"


@pytest.mark.parametrize(("reuse", "epochs"), [(False, [8, 8, 5, 5, 8]), (True, [8, 8, 5])])
def test_repeated_candidate_that_was_given_up_is_given_up_again(reuse: bool, epochs: list[int]) -> None:
    losses = {"A": GOOD, "B": FAIR, "C": HOPELESS}
    choice, script = choose_in_order("ABCCA", losses, prune_trials=True, reuse_trials=reuse)
    assert choice.best == "A"
    assert script.epochs == epochs
    assert choice.trials["state"].tolist() == ["COMPLETE", "COMPLETE", "PRUNED", "PRUNED", "COMPLETE"]
    assert choice.trials["reused"].tolist() == [False, False, False, reuse, reuse]


@pytest.mark.parametrize("reuse", [False, True])
def test_all_but_the_first_candidate_given_up(reuse: bool) -> None:
    losses = {"A": GOOD, "C": HOPELESS, "D": HOPELESS, "E": HOPELESS}
    choice, script = choose_in_order("AACDEC", losses, prune_trials=True, reuse_trials=reuse)
    assert choice.best == "A"
    assert choice.trials["state"].tolist() == ["COMPLETE"] * 2 + ["PRUNED"] * 4
    assert len(script.trained) == (4 if reuse else 6)


# EARLY is ahead at the fifth epoch, LATE in the end: each may be given up for the other's sake when it comes again.
EARLY, LATE = [1.0] * 4 + [0.5] * 6, [1.0] * 4 + [0.9] * 4 + [0.4] * 2


@pytest.mark.parametrize("order", ["EL", "ELL", "ELLE", "LEELLE"])
def test_candidate_that_was_once_trained_to_the_end_keeps_its_loss(order: str) -> None:
    """Giving up a repetition must not take away what is known: the smallest loss of a complete trial wins."""
    choice, _ = choose_in_order(order, {"E": EARLY, "L": LATE}, prune_trials=True)
    complete = choice.trials[choice.trials["state"] == "COMPLETE"]
    assert complete["loss"].min() == 0.4
    assert choice.best == "L"


# Trials that diverge

DIVERGED = [np.nan] * 4


@pytest.mark.parametrize("order", ["ADB", "DAB", "ABD", "DDA"])
@pytest.mark.parametrize("reuse", [False, True])
def test_diverged_trial_is_given_up_and_the_others_go_on(order: str, reuse: bool) -> None:
    choice, script = choose_in_order(order, {"A": GOOD, "B": FAIR, "D": DIVERGED}, reuse_trials=reuse)
    assert choice.best == "A"
    assert choice.trials["state"].tolist() == ["PRUNED" if letter == "D" else "COMPLETE" for letter in order]
    assert choice.trials["loss"].isna().tolist() == [letter == "D" for letter in order]
    assert script.trained == list(dict.fromkeys(order) if reuse else order)


@pytest.mark.parametrize("prune", [False, True])
@pytest.mark.parametrize("order", ["D", "DDD"])
def test_nothing_but_diverged_trials_is_an_error(order: str, prune: bool) -> None:
    with pytest.raises(Diverged) as caught:
        choose_in_order(order, {"D": DIVERGED}, prune_trials=prune)
    assert str(caught.value) == f"learning_rates: none of the {len(order)} trials ended with a finite loss; offer lower ones"


@pytest.mark.filterwarnings("ignore:All-NaN slice encountered")  # Optuna's
def test_trial_without_a_finite_loss_is_given_up_as_early_as_a_bad_one() -> None:
    choice, script = choose_in_order("ABD", {"A": GOOD, "B": FAIR, "D": [np.nan] * 8}, prune_trials=True)
    assert script.epochs == [8, 8, 5]
    assert choice.best == "A"


@pytest.mark.parametrize("seed", SEEDS)
def test_reused_and_pruned_together_choose_a_complete_candidate(seed: int) -> None:
    curves = {rate: list(np.linspace(2, loss, 12)) for rate, (_, loss) in BY_RATE.items()}
    choice, script, _ = choose_rate(curves, seed=seed, reuse_trials=True, prune_trials=True)
    assert choice.best == best_rate(choice.trials)
    assert len(script.trained) == len(set(script.trained))
    by_rate = choice.trials.groupby("learning_rate")["state"].nunique()
    assert (by_rate == 1).all()  # a repeated candidate ends as it ended before


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What Optuna writes to stderr."""
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    yield caplog
    optuna.logging.disable_propagation()


def test_optuna_keeps_quiet(logged: pytest.LogCaptureFixture) -> None:
    choose_rate(n_trials=2)
    assert logged.messages == []


@pytest.mark.parametrize("fault", [ValueError("no good"), KeyboardInterrupt()], ids=["value", "interrupt"])
def test_fault_of_a_trial_is_told_once(fault: BaseException, logged: pytest.LogCaptureFixture) -> None:
    """By the exception, of which the command line makes one line; not by a traceback of Optuna's before it."""

    def train(candidate: float, on_epoch: OnEpoch) -> Trained[nn.Module]:
        raise fault

    with pytest.raises(type(fault)):
        choose(lambda trial: 0.1, train, MlpSettings(), Recorder())
    assert logged.messages == []
