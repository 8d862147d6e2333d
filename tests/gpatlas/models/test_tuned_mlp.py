"""gpatlas.models.mlp, tuned: what the refit is, what the stage writes, and what a killed stage leaves behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from drivers import PROJECT
from populations import QUIET, Recorder, best_rate, part_of
from populations import write_dataset as write

from gpatlas.cli import main
from gpatlas.models.contract import Fitted, Part
from gpatlas.models.mlp import fit, fit_mlp
from gpatlas.models.network_settings import MlpSettings
from gpatlas.models.settings import split_sizes
from gpatlas.models.training import Diverged
from gpatlas.settings import build
from gpatlas.stages import STAGES

RATES = (0.5, 0.1, 0.05, 0.01, 0.005, 0.001, 0.0001)  # the study's
SMALL: dict[str, Any] = {"hidden_size": 8, "epochs": 4, "n_trials": 4, "threads": 1, "device": "cpu"}
TRIALS = ["trial", "learning_rate", "loss", "state", "reused", "epochs"]


def parts() -> tuple[Part, Part, Part]:
    """Two additive traits of ten loci: training, validation and test part."""
    random = np.random.default_rng(1)
    alleles = random.integers(0, 2, (400, 10), dtype=np.uint8)
    phenotypes = alleles @ random.standard_normal((10, 2)) + 0.1 * random.standard_normal((400, 2))
    everyone = part_of(alleles, phenotypes)
    return everyone.rows(np.arange(300)), everyone.rows(np.arange(300, 350)), everyone.rows(np.arange(350, 400))


def tuned(train: Part, validation: Part, settings: MlpSettings, progress: Recorder | None = None) -> tuple[Fitted, pd.DataFrame]:
    """The perceptron, and its trials."""
    fitted = fit(train, validation, settings, progress or QUIET)["mlp"]
    return fitted, fitted.tables["trials"]


@pytest.mark.parametrize("protocol", ["paper", "holdout"])
@pytest.mark.parametrize("seed", [1, 2])
def test_refit_is_the_plain_fit_at_the_chosen_rate(seed: int, protocol: str) -> None:
    train, validation, test = parts()
    settings = build(MlpSettings, {**SMALL, "tune": True, "seed": seed, "protocol": protocol})
    fitted, trials = tuned(train, validation, settings)
    rate = fitted.columns["learning_rate"]
    assert rate == best_rate(trials)
    plain = fit_mlp(train, validation, settings.model_copy(update={"learning_rate": rate}), Recorder())
    np.testing.assert_array_equal(fitted.predict(test.genotypes), plain.predict(test.genotypes))
    assert fitted.columns == {**plain.columns, "learning_rate": rate}


def test_loss_of_a_trial_is_that_of_its_best_epoch() -> None:
    """And a trial is the plain fit with its rate: the same seed, the same epochs."""
    train, validation, _ = parts()
    settings = MlpSettings(**SMALL, tune=True, min_delta=0.0, learning_rates=(0.5, 0.01), seed=1)
    _, trials = tuned(train, validation, settings)
    expected = {}
    for rate in settings.learning_rates:
        plain = Recorder()
        fit_mlp(train, validation, settings.model_copy(update={"learning_rate": rate}), plain)
        expected[rate] = min(plain.losses)
    assert trials["loss"].tolist() == [expected[rate] for rate in trials["learning_rate"]]
    assert trials["learning_rate"].nunique() == 2


def test_learning_rate_of_the_settings_does_not_matter_to_a_tuned_fit() -> None:
    train, validation, test = parts()
    first, second = (MlpSettings(**SMALL, tune=True, learning_rate=rate) for rate in (0.01, 0.3))
    (one, trials), (other, other_trials) = (tuned(train, validation, settings) for settings in (first, second))
    np.testing.assert_array_equal(one.predict(test.genotypes), other.predict(test.genotypes))
    pd.testing.assert_frame_equal(trials, other_trials, check_exact=True)


@pytest.mark.parametrize("rates", [RATES, (0.5,)])
def test_reused_trials_give_the_same_fit(rates: tuple[float, ...]) -> None:
    train, validation, test = parts()
    plain, reused = (
        MlpSettings(**{**SMALL, "n_trials": 6}, tune=True, learning_rates=rates, reuse_trials=reuse) for reuse in (False, True)
    )
    (first, trials), (second, fewer) = (tuned(train, validation, settings) for settings in (plain, reused))
    np.testing.assert_array_equal(first.predict(test.genotypes), second.predict(test.genotypes))
    assert first.columns == second.columns
    assert fewer["loss"].tolist() == trials["loss"].tolist()
    assert fewer["reused"].any()


def test_progress_of_a_tuned_fit_ends_with_the_refit() -> None:
    train, validation, _ = parts()
    progress = Recorder()
    tuned(train, validation, MlpSettings(**SMALL, tune=True), progress)
    assert progress.steps == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


# The stage


def write_dataset(folder: Path) -> Path:
    return write(folder, n_individuals=200, n_loci=10, n_qtl=10, rel_aa=(0.0, 1.0))


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
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
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
        assert process.wait(timeout=600) == -signal.SIGKILL
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["data.h5"]
    with start(arguments(source, out, **LONG)) as process:
        process.communicate(timeout=600)
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
        process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGTERM
    assert names(tmp_path) == ["data.h5"]


def test_a_diverged_best_trial_is_told_with_its_own_rate() -> None:
    train, validation, _ = parts()
    settings = MlpSettings(tune=True, learning_rates=(1e6,), **{**SMALL, "n_trials": 1})
    with pytest.raises(Diverged, match=r"learning_rate 1e\+06 is too high"):
        fit(train, validation, settings, QUIET)
