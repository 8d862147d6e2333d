"""gpatlas.models.training: the one training loop step by step, the device and the seed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from drivers import PROJECT
from populations import NEURAL, Recorder, fit_small, random_part, write_dataset
from torch import Tensor, nn

from gpatlas.models import linear_sgd, mlp
from gpatlas.models.network_settings import LinearSgdSettings, MlpSettings
from gpatlas.models.registry import MODELS
from gpatlas.models.settings import NeuralSettings
from gpatlas.models.training import (
    Plateau,
    Recipe,
    Training,
    TrainingStep,
    batches,
    mean_of_batches,
    pick_device,
    train_network,
    train_recipe,
)

CPU = torch.device("cpu")


# Batches


@pytest.mark.parametrize(
    ("n", "size", "sizes"),
    [
        (256, 128, [128, 128]),
        (129, 128, [129]),
        (257, 128, [128, 129]),
        (258, 128, [128, 128, 2]),
        (100, 128, [100]),
        (128, 128, [128]),
        (2, 128, [2]),
        (5, 2, [2, 3]),
    ],
)
def test_batches_cover_everyone_once_and_none_is_alone(n: int, size: int, sizes: list[int]) -> None:
    drawn = list(batches(n, size, torch.Generator().manual_seed(1), CPU))
    assert [len(batch) for batch in drawn] == sizes
    assert sorted(torch.cat(drawn).tolist()) == list(range(n))


def test_every_epoch_is_shuffled_anew_and_reproducibly() -> None:
    def epochs(seed: int) -> list[list[int]]:
        shuffle = torch.Generator().manual_seed(seed)
        return [torch.cat(list(batches(300, 128, shuffle, CPU))).tolist() for _ in range(3)]

    assert epochs(1) == epochs(1)
    assert epochs(1)[0] != epochs(2)[0]
    orders = [list(range(300)), *epochs(1)]
    assert all(first != second for number, first in enumerate(orders) for second in orders[:number])


def test_evaluation_loss_of_the_study_weighs_batches_alike() -> None:
    errors = torch.arange(10.0)
    shuffle = torch.Generator().manual_seed(5)
    (first, second) = torch.randperm(10, generator=torch.Generator().manual_seed(5)).split(8)
    expected = (errors[first].mean() + errors[second].mean()) / 2
    assert mean_of_batches(errors, 8, shuffle) == pytest.approx(float(expected))
    assert mean_of_batches(errors, 10, shuffle) == pytest.approx(4.5)


# The training loop


def train_scripted(script: list[float], **values: Any) -> tuple[Training, float, Recorder]:
    """A training of one batch an epoch that lowers a bias by the learning rate, 1, and whose losses are given.

    Epochs and loss, the bias kept, and learning rate and bias of each epoch.
    """
    linear, losses, rates = nn.Linear(4, 1), iter(script), []
    bias = linear.bias.detach().zero_()

    def step(rows: Tensor, rate: float) -> None:
        assert len(rows) == 6
        rates.append(rate)
        bias.sub_(rate)

    settings = NeuralSettings(**{"min_delta": 0.0, "patience": 100, "epochs": len(script), "learning_rate": 1.0, **values})
    progress = Recorder(lambda: (rates[-1], float(bias)))
    training = train_network(linear, step, lambda: next(losses), 6, settings, progress)
    return training, float(bias), progress


def test_best_weights_are_restored() -> None:
    training, bias, progress = train_scripted([3.0, 1.0, 2.0, 2.0])
    assert [bias for _, bias in progress.watched] == [-1, -2, -3, -4]
    assert training == (4, 1.0, (1.0, 1.0))  # epochs, the loss of the weights kept, and the rates up to these
    assert bias == -2
    assert progress.steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4), (3, 9), (4, 10)])
def test_patience(patience: int, epochs: int) -> None:
    """Training stops after `patience` epochs in a row that are no better than the best before."""
    script = [3.0, 2.0, 2.0, 2.5, 1.0, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert train_scripted(script, patience=patience)[0].epochs == epochs


def test_a_fall_smaller_than_min_delta_is_no_improvement() -> None:
    # 0.95 and 0.91 are not below 1 − 0.1; 0.85 is, and 0.8 then is not below 0.85 − 0.1
    training, bias, _ = train_scripted([1.0, 0.95, 0.91, 0.85, 0.8, 0.8, 0.8], min_delta=0.1, patience=3)
    assert training[:2] == (7, 0.85)  # not 0.8, whose weights are not kept
    assert bias == -4
    assert train_scripted([1.0, 0.95, 0.91, 0.85], min_delta=0.1, patience=2)[:2] == ((3, 1.0, (1.0,)), -1)


def test_learning_rate_halves_on_a_plateau() -> None:
    """Factor 0.5, patience 3 in PyTorch's sense: three epochs without improvement pass, the next one halves."""
    rates = [rate for rate, _ in train_scripted([1.0] * 10)[2].watched]
    assert rates == [1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]
    rates = [rate for rate, _ in train_scripted([1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])[2].watched]
    assert rates == [1] * 9 + [0.5]


@pytest.mark.parametrize("seed", range(5))
def test_learning_rate_is_that_of_pytorchs_schedule(seed: int) -> None:
    """On losses that fall, stand still, creep by less than the threshold, or are no number; down to where it is left alone."""
    random = np.random.default_rng(seed)
    losses = np.cumprod(random.choice([1.0, 1.0, 0.99995, 1.001, 0.9], 400))
    losses[random.random(400) < 0.1] = np.nan
    rate, optimiser = Plateau(0.1), torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=3)
    for loss in [*losses, *[1.0] * 100]:
        rate.see(loss)
        schedule.step(loss)
        assert rate.rate == optimiser.param_groups[0]["lr"]
    assert 1e-8 < rate.rate < 2e-8


@pytest.mark.parametrize("losses", [[np.nan] * 3, [np.inf, np.nan, np.inf]])
def test_loss_that_never_was_a_number_is_an_error(losses: list[float]) -> None:
    with pytest.raises(ValueError, match="diverged") as caught:
        train_scripted(losses, learning_rate=0.25)
    assert str(caught.value) == "training diverged: the evaluation loss was never a finite number; learning_rate 0.25 is too high"


def test_loss_that_stops_being_a_number_leaves_the_best_weights() -> None:
    assert train_scripted([2.0, 1.0, np.nan, np.nan], patience=2)[:2] == ((4, 1.0, (1.0, 1.0)), -2)


# The mean absolute error's gradient is bounded: without a square in its loss a linear model needs more to overflow.
ABSURD = {"pruned": {"lasso_learning_rate": 3e38, "lasso_epochs": 3}}


@pytest.mark.parametrize("model", NEURAL)
def test_absurd_learning_rate_is_reported(tmp_path: Path, model: str) -> None:
    source = write_dataset(tmp_path, n_individuals=200, n_loci=10, n_qtl=10)
    with pytest.raises(ValueError, match=r"^training diverged: .*; learning_rate (1e\+30|3e\+38) is too high$"):
        fit_small(model, source, epochs=3, **ABSURD.get(model, {"learning_rate": 1e30}))
    assert not (tmp_path / "table.csv").exists()


class Watched(nn.Linear):
    """Records of every pass: whether it is a training pass, and of how many individuals."""

    def __init__(self) -> None:
        super().__init__(4, 1)
        self.passes: list[tuple[bool, int]] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.passes.append((self.training, len(inputs)))
        return super().forward(inputs)


def test_every_epoch_trains_in_batches_and_evaluates_in_evaluation_mode() -> None:
    def step(network: Watched) -> TrainingStep:
        return lambda inputs, wanted, rate: network(inputs).sum()

    train, validation = (random_part(n, 2, 1) for n in (9, 5))
    settings = NeuralSettings(batch_size=4, epochs=3, device="cpu")
    trained = train_recipe(Recipe(lambda *sizes: Watched(), step), train, validation, settings, Recorder())
    assert trained.network.passes == [(True, 4), (True, 5), (False, 5)] * 3


@pytest.mark.parametrize(
    ("fit", "settings"),
    [(mlp.fit, MlpSettings(epochs=1, hidden_size=8, device="cpu")), (linear_sgd.fit, LinearSgdSettings(epochs=1, device="cpu"))],
    ids=["mlp", "linear_sgd"],
)
def test_loss_reported_is_the_mean_absolute_error_of_the_validation_part(fit: Any, settings: NeuralSettings) -> None:
    """Without the penalty."""
    train, validation = (random_part(n, 10, 2, seed=n) for n in (50, 20))
    progress = Recorder()
    (fitted,) = fit(train, validation, settings, progress).values()
    assert progress.losses == [pytest.approx(abs(fitted.predict(validation.genotypes) - validation.phenotypes).mean(), rel=1e-5)]


# Device and seed


def test_cuda_demanded_and_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="cuda was demanded") as caught:
        fit_small("mlp", write_dataset(tmp_path, n_individuals=50), device="cuda", epochs=1)
    assert str(caught.value) == "device: cuda was demanded, but PyTorch finds no CUDA device here; use cpu or auto"
    assert not (tmp_path / "table.csv").exists()


def test_device_is_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [pick_device(name).type for name in ("auto", "cpu")] == ["cpu", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [pick_device(name).type for name in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]


@pytest.mark.parametrize("model", NEURAL)
def test_seed_decides_the_table(tmp_path: Path, model: str) -> None:
    source = write_dataset(tmp_path, n_individuals=300, n_loci=20, n_qtl=20)
    first, again, other = (fit_small(model, source, seed=seed, epochs=3).drop(columns=["seconds", "seed"]) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert (first["pearson_r"] != other["pearson_r"]).all()


@pytest.mark.parametrize("model", NEURAL)
def test_table_of_a_network(tmp_path: Path, model: str) -> None:
    source = write_dataset(tmp_path, n_individuals=129, n_loci=20, n_qtl=20)
    table = fit_small(model, source, epochs=2, lasso_epochs=2)
    own = ["model", "trait", "pearson_r", "truth_mean", "truth_sd", "prediction_mean", "prediction_sd", "epochs"]
    own += {"pruned": ["n_columns", "causal_found"], "network": ["penalty"]}.get(model, [])
    assert list(table)[: len(own) + 1] == [*own, "protocol"]
    expected = [[name, 2, "paper", 110, 19] for name in MODELS[model].titles for _ in range(5)]
    assert table[["model", "epochs", "protocol", "n_train", "n_test"]].to_numpy().tolist() == expected
    assert table["trait"].tolist() == [1, 2, 3, 4, 5] * (len(table) // 5)


def test_a_left_over_individual_does_not_crash_batch_normalisation(tmp_path: Path) -> None:
    source = write_dataset(tmp_path, n_individuals=152, n_loci=20, n_qtl=20)  # 129 to train on, 128 in a batch
    assert fit_small("mlp", source, epochs=1)["n_train"].tolist() == [129] * 5


@pytest.mark.parametrize("model", ["fit-mlp", "fit-linear-sgd"])
def test_nothing_is_imported_that_a_fit_does_not_need(tmp_path: Path, model: str) -> None:
    """PyTorch's compiler, which comes with its optimisers, takes longer to import than a small model to train."""
    flags = ["--data", str(write_dataset(tmp_path, n_individuals=50)), "--out", str(tmp_path / "table.csv"), "--epochs", "1"]
    command = [sys.executable, "-X", "importtime", "-m", "gpatlas", model, *flags]
    run = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=True)
    assert "torch.nn" in run.stderr
    assert "torch._dynamo" not in run.stderr
