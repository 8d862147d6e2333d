"""gpatlas.tuning: which candidates are tried, which one wins, what the refit is, and what a killed stage leaves behind.

The choice itself is tested on scripted losses: a list per candidate, one loss an epoch.
"""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import optuna
import pandas as pd
import pytest
import torch

from gpatlas import simulate
from gpatlas.cli import main
from gpatlas.dataset import Genotypes
from gpatlas.evaluation import Part
from gpatlas.networks import Diverged, fit_mlp
from gpatlas.progress import Progress
from gpatlas.settings import MlpSettings, PrunedSettings, SimulateSettings, build, split_sizes
from gpatlas.stages import STAGES
from gpatlas.tuning import Choice, Report, choose, fit_tuned_mlp, suggest_rate

ROOT = Path(__file__).parents[1]
RATES = (0.5, 0.1, 0.05, 0.01, 0.005, 0.001, 0.0001)  # the study's
SEEDS = range(1, 7)
SMALL: dict[str, Any] = {"hidden_size": 8, "epochs": 4, "n_trials": 4, "threads": 1, "device": "cpu"}
TRIALS = ["trial", "learning_rate", "loss", "state", "reused", "epochs"]


class Recorder(Progress):
    """Keeps the steps and their facts."""

    def __init__(self) -> None:
        super().__init__("test", io.StringIO())
        self.steps: list[tuple[int, int]] = []
        self.facts: list[dict[str, Any]] = []

    def __call__(self, done: int, total: int, **facts: Any) -> None:
        self.steps.append((done, total))
        self.facts.append(facts)


class Script:
    """Trains nothing: a candidate's losses are given. Records what was trained, and how many epochs were reported."""

    def __init__(self, losses: Mapping[Any, list[float]]) -> None:
        self.losses = losses
        self.trained: list[Any] = []
        self.epochs: list[int] = []

    def __call__(self, candidate: Any, report: Report) -> float:
        self.trained.append(candidate)
        self.epochs.append(0)
        for epoch, loss in enumerate(self.losses[candidate], start=1):
            self.epochs[-1] = epoch
            report(epoch, loss)
        if not np.isfinite(self.losses[candidate]).any():
            raise Diverged("no epoch with a finite loss")
        return min(self.losses[candidate])


def best_rate(trials: pd.DataFrame) -> float:
    """The learning rate of the first trial with the smallest loss, among those that were not given up."""
    complete = trials[trials["state"] == "COMPLETE"]
    return float(complete["learning_rate"].iloc[int(complete["loss"].astype(float).argmin())])


# The loss falls from rate to rate by other steps than the rate itself, and the best is not at an end of the list.
BY_RATE = {rate: [9.0, loss] for rate, loss in zip(RATES, [0.9, 0.4, 0.2, 0.3, 0.8, 0.5, 0.7], strict=True)}


def choose_rate(losses: Mapping[float, list[float]] = BY_RATE, **values: Any) -> tuple[Choice[float], Script, Recorder]:
    settings, script, progress = MlpSettings(tune=True, **values), Script(losses), Recorder()
    return choose(lambda trial: suggest_rate(trial, settings), script, settings, progress), script, progress


def choose_in_order(order: str, losses: Mapping[str, list[float]], **values: Any) -> tuple[Choice[str], Script]:
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

    def train(candidate: float, report: Report) -> float:
        raise fault

    with pytest.raises(type(fault)):
        choose(lambda trial: 0.1, train, MlpSettings(), Recorder())
    assert logged.messages == []


# The tuned perceptron


def parts() -> tuple[Part, Part, Part]:
    """Two additive traits of ten loci: training, validation and test part."""
    random = np.random.default_rng(1)
    alleles = random.integers(0, 2, (400, 10), dtype=np.uint8)
    phenotypes = alleles @ random.standard_normal((10, 2)) + 0.1 * random.standard_normal((400, 2))
    everyone = Part(Genotypes.of(alleles), phenotypes)
    return everyone.rows(np.arange(300)), everyone.rows(np.arange(300, 350)), everyone.rows(np.arange(350, 400))


@pytest.mark.parametrize("protocol", ["paper", "holdout"])
@pytest.mark.parametrize("seed", [1, 2])
def test_refit_is_the_plain_fit_at_the_chosen_rate(seed: int, protocol: str) -> None:
    train, validation, test = parts()
    settings = build(MlpSettings, {**SMALL, "tune": True, "seed": seed, "protocol": protocol})
    fitted, trials = fit_tuned_mlp(train, validation, settings, Recorder())
    rate = fitted.columns["learning_rate"]
    assert rate == best_rate(trials)
    plain = fit_mlp(train, validation, settings.model_copy(update={"learning_rate": rate}), Recorder())
    np.testing.assert_array_equal(fitted.predict(test.genotypes), plain.predict(test.genotypes))
    assert fitted.columns == {**plain.columns, "learning_rate": rate}


def test_loss_of_a_trial_is_that_of_its_best_epoch() -> None:
    """And a trial is the plain fit with its rate: the same seed, the same epochs."""
    train, validation, _ = parts()
    settings = MlpSettings(**SMALL, tune=True, min_delta=0.0, learning_rates=(0.5, 0.01), seed=1)
    _, trials = fit_tuned_mlp(train, validation, settings, Recorder())
    expected = {}
    for rate in settings.learning_rates:
        plain = Recorder()
        fit_mlp(train, validation, settings.model_copy(update={"learning_rate": rate}), plain)
        expected[rate] = min(facts["loss"] for facts in plain.facts)
    assert trials["loss"].tolist() == [expected[rate] for rate in trials["learning_rate"]]
    assert trials["learning_rate"].nunique() == 2


def test_learning_rate_of_the_settings_does_not_matter_to_a_tuned_fit() -> None:
    train, validation, test = parts()
    first, second = (MlpSettings(**SMALL, tune=True, learning_rate=rate) for rate in (0.01, 0.3))
    (one, trials), (other, other_trials) = (fit_tuned_mlp(train, validation, settings, Recorder()) for settings in (first, second))
    np.testing.assert_array_equal(one.predict(test.genotypes), other.predict(test.genotypes))
    pd.testing.assert_frame_equal(trials, other_trials, check_exact=True)


@pytest.mark.parametrize("rates", [RATES, (0.5,)])
def test_reused_trials_give_the_same_fit(rates: tuple[float, ...]) -> None:
    train, validation, test = parts()
    plain, reused = (
        MlpSettings(**{**SMALL, "n_trials": 6}, tune=True, learning_rates=rates, reuse_trials=reuse) for reuse in (False, True)
    )
    (first, trials), (second, fewer) = (fit_tuned_mlp(train, validation, settings, Recorder()) for settings in (plain, reused))
    np.testing.assert_array_equal(first.predict(test.genotypes), second.predict(test.genotypes))
    assert first.columns == second.columns
    assert fewer["loss"].tolist() == trials["loss"].tolist()
    assert fewer["reused"].any()


def test_progress_of_a_tuned_fit_ends_with_the_refit() -> None:
    train, validation, _ = parts()
    progress = Recorder()
    fit_tuned_mlp(train, validation, MlpSettings(**SMALL, tune=True), progress)
    assert progress.steps == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


# The stage


def write_dataset(folder: Path, **values: Any) -> Path:
    path = folder / "data.h5"
    settings = build(SimulateSettings, {"n_individuals": 200, "n_loci": 10, "n_qtl": 10, "rel_aa": (0.0, 1.0), **values})
    simulate.run(settings, None, path, Progress("simulate", io.StringIO()))
    return path


def arguments(source: Path, out: Path, *more: str, **values: Any) -> list[str]:
    settings = build(MlpSettings, {**SMALL, "tune": True, **values})
    return ["fit-mlp", "--data", str(source), "--out", str(out), *STAGES["fit-mlp"].flags(settings), *more]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], int]:
    """A command line in this process, whose number of threads is put back."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(variable, "1")

    def run(arguments: list[str]) -> int:
        before = torch.get_num_threads()
        try:
            with pytest.raises(SystemExit) as ended:
                main(arguments)
        finally:
            torch.set_num_threads(before)
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return run


def tables(out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table without what no two runs share, and the trials."""
    return pd.read_csv(out).drop(columns="seconds"), pd.read_csv(out.with_suffix(".trials.csv"))


def assert_same(first: Iterable[pd.DataFrame], second: Iterable[pd.DataFrame]) -> None:
    for one, other in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_stage_writes_its_table_and_the_trials_beside_it(tmp_path: Path, run: Callable[[list[str]], int]) -> None:
    source, out = write_dataset(tmp_path), tmp_path / "table.csv"
    assert run(arguments(source, out)) == 0
    assert names(tmp_path) == ["data.h5", "table.csv", "table.trials.csv"]
    table, trials = tables(out)
    own = ["model", "trait", "pearson_r", "truth_mean", "truth_sd", "prediction_mean", "prediction_sd", "epochs", "learning_rate"]
    assert list(table)[: len(own) + 1] == [*own, "protocol"]
    assert table["model"].tolist() == ["mlp", "mlp"]
    assert list(trials) == TRIALS
    assert len(trials) == SMALL["n_trials"]
    assert table["learning_rate"].tolist() == [best_rate(trials)] * 2


def test_untuned_stage_has_no_trials(tmp_path: Path, run: Callable[[list[str]], int]) -> None:
    assert run(arguments(write_dataset(tmp_path), tmp_path / "table.csv", tune=False)) == 0
    assert names(tmp_path) == ["data.h5", "table.csv"]
    assert "learning_rate" not in pd.read_csv(tmp_path / "table.csv")


def test_seed_decides_the_learning_rate_whatever_the_threads(tmp_path: Path, run: Callable[[list[str]], int]) -> None:
    """On one thread everything is the same to the last bit; on more the sums may differ by rounding, but not the choice."""
    source = write_dataset(tmp_path)
    first, again, threads = (tmp_path / f"{name}.csv" for name in ("first", "again", "threads"))
    assert [run(arguments(source, out)) for out in (first, again)] == [0, 0]
    assert run(arguments(source, threads, threads=None)) == 0
    assert_same(tables(first), tables(again))
    assert tables(threads)[1]["learning_rate"].tolist() == tables(first)[1]["learning_rate"].tolist()
    assert tables(threads)[0]["learning_rate"].tolist() == tables(first)[0]["learning_rate"].tolist()


def test_test_part_does_not_touch_the_tuning_under_holdout(tmp_path: Path, run: Callable[[list[str]], int]) -> None:
    source, other = write_dataset(tmp_path), tmp_path / "other.h5"
    other.write_bytes(source.read_bytes())
    with h5py.File(other, "r+") as file:
        n_test = split_sizes(200, "holdout")[2]
        file["phenotypes"][-n_test:] = np.random.default_rng(1).standard_normal((n_test, 2)) * 9 + 4
    assert [run(arguments(data, data.with_suffix(".csv"), protocol="holdout")) for data in (source, other)] == [0, 0]
    (first, trials), (second, other_trials) = (tables(data.with_suffix(".csv")) for data in (source, other))
    pd.testing.assert_frame_equal(trials, other_trials, check_exact=True)
    kept = ["prediction_mean", "prediction_sd", "epochs", "learning_rate"]
    pd.testing.assert_frame_equal(first[kept], second[kept], check_exact=True)
    assert (first["truth_mean"] != second["truth_mean"]).all()


def test_rate_that_diverges_is_not_chosen(tmp_path: Path, run: Callable[[list[str]], int]) -> None:
    source, out = write_dataset(tmp_path), tmp_path / "table.csv"
    assert run(arguments(source, out, learning_rates=(1e30, 0.01))) == 0
    table, trials = tables(out)
    assert table["learning_rate"].tolist() == [0.01, 0.01]
    assert set(trials["learning_rate"]) == {1e30, 0.01}
    assert (trials["state"] == trials["learning_rate"].map({1e30: "PRUNED", 0.01: "COMPLETE"})).all()


def test_tuning_whose_every_rate_diverges_is_one_line_of_error(
    tmp_path: Path, run: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_dataset(tmp_path)
    assert run(arguments(source, tmp_path / "table.csv", learning_rates=(1e30,))) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "Error: learning_rates: none of the 4 trials ended with a finite loss; offer lower ones"
    assert names(tmp_path) == ["data.h5"]


# A stage that is killed. Its stderr is a pipe that holds 4096 bytes: who does not read it keeps the stage from getting far.

LONG: dict[str, Any] = {"n_trials": 100, "reuse_trials": True}


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    """The stage in a process of its own, halted after its first trial."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "gpatlas", *arguments]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, bufsize=0, pipesize=4096)
    assert process.stderr is not None
    for line in iter(process.stderr.readline, b""):
        if json.loads(line).get("trial") == 1:
            return process
    raise AssertionError("the stage ended before its first trial")


def test_killed_stage_leaves_no_table_and_its_rerun_is_undisturbed(tmp_path: Path, run: Callable[[list[str]], int]) -> None:
    source, out, undisturbed = write_dataset(tmp_path), tmp_path / "table.csv", tmp_path / "undisturbed" / "table.csv"
    with start(arguments(source, out, **LONG)) as process:
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=60) == -signal.SIGKILL
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["data.h5"]
    with start(arguments(source, out, **LONG)) as process:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["data.h5", "table.csv", "table.trials.csv"]
    assert run(arguments(source, undisturbed, **LONG)) == 0
    assert_same(tables(out), tables(undisturbed))
    assert len(tables(out)[1]) == 100


def test_terminated_stage_leaves_nothing(tmp_path: Path) -> None:
    source = write_dataset(tmp_path)
    with start(arguments(source, tmp_path / "table.csv", **LONG)) as process:
        assert len([name for name in names(tmp_path) if name.startswith(".table.csv.")]) == 1
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert names(tmp_path) == ["data.h5"]
