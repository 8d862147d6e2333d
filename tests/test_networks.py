"""gpatlas.networks: the study's networks, the one training loop step by step, and what the fits can and cannot learn.

Sizes are small and one thread is used. What is learned is judged on simulated data, with tolerances in standard errors (SE).
"""

import io
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from gpatlas import simulate
from gpatlas.dataset import Dataset
from gpatlas.evaluation import Part
from gpatlas.networks import (
    OneHot,
    Training,
    batches,
    fit_linear_sgd,
    fit_mlp,
    half_sum_of_squares,
    mean_of_batches,
    mlp,
    one_hot,
    pick_device,
    train_network,
)
from gpatlas.progress import Progress
from gpatlas.ridge import Ridge
from gpatlas.settings import LinearSgdSettings, MlpSettings, NeuralSettings, SimulateSettings, build, split_sizes
from gpatlas.stages import MODELS

Array = npt.NDArray[Any]

# For every model, those of these values that its settings have
SMALL: dict[str, Any] = {"hidden_size": 32, "threads": 1, "device": "cpu", "n_penalties": 20, "n_trials": 3}
ROWS = {"pruned": ["lasso", "pruned_linear", "pruned_mlp"]}  # what a table calls the models, where that is not the stage's model
NEURAL = [name for name, stage in MODELS.items() if issubclass(stage.settings, NeuralSettings)]


class Recorder(Progress):
    """Keeps the steps: the loss of every epoch, and whatever `watch` returns then."""

    def __init__(self, watch: Any = None) -> None:
        super().__init__("test", io.StringIO())
        self.losses: list[float] = []
        self.watched: list[Any] = []
        self.steps: list[tuple[int, int]] = []
        self.watch = watch

    def __call__(self, done: int, total: int, **facts: Any) -> None:
        self.steps.append((done, total))
        self.losses.append(facts["loss"])
        if self.watch:
            self.watched.append(self.watch())


def write_dataset(folder: Path, **values: Any) -> Path:
    path = folder / "data.h5"
    simulate.run(build(SimulateSettings, values), None, path, Progress("simulate", io.StringIO()))
    return path


def fit_table(model: str, source: Path, **values: Any) -> pd.DataFrame:
    """The table of a fit by its stage."""
    stage = MODELS[model]
    known = {name: value for name, value in {**SMALL, **values}.items() if name in stage.settings.model_fields}
    out = source.parent / "table.csv"
    stage.load()(build(stage.settings, known), source, out, Progress(stage.name, io.StringIO()))
    return pd.read_csv(out)


def population(n: int, n_loci: int, n_traits: int, seed: int = 1) -> tuple[Array, Array]:
    """Random alleles, and phenotypes that have nothing to do with them."""
    random = np.random.default_rng(seed)
    return random.integers(0, 2, (n, n_loci), dtype=np.uint8), random.standard_normal((n, n_traits))


def tensors(alleles: Array, phenotypes: Array) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(alleles), torch.from_numpy(phenotypes).float()


# The networks


def test_mlp_is_the_studys() -> None:
    """The study's: 2m → hidden → hidden → T, batch normalisation on each, LeakyReLU after the first two only."""
    layers = list(mlp(n_inputs=10, hidden_size=7, n_traits=3))  # type: ignore[call-overload]
    names = ["Linear", "BatchNorm1d", "LeakyReLU", "Linear", "BatchNorm1d", "LeakyReLU", "Linear", "BatchNorm1d"]
    assert [type(layer).__name__ for layer in layers] == names
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(10, 7), (7, 7), (7, 3)]
    assert all(layer.bias is not None for layer in linear)
    norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm1d)]
    assert [(layer.num_features, layer.momentum, layer.affine, layer.track_running_stats) for layer in norms] == [
        (size, 0.8, True, True) for size in (7, 7, 3)
    ]
    assert [layer.negative_slope for layer in layers if isinstance(layer, nn.LeakyReLU)] == [0.01, 0.01]


def test_one_hot_by_hand() -> None:
    alleles = torch.tensor([[0, 1, 1], [1, 0, 0]], dtype=torch.uint8)
    encoded = one_hot(alleles)
    assert encoded.dtype == torch.float32
    assert encoded.tolist() == [[1, 0, 0, 1, 0, 1], [0, 1, 1, 0, 1, 0]]
    layer = OneHot()
    assert torch.equal(layer(alleles), encoded)
    assert list(layer.parameters()) == []


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
    drawn = list(batches(n, size, torch.Generator().manual_seed(1)))
    assert [len(batch) for batch in drawn] == sizes
    assert sorted(torch.cat(drawn).tolist()) == list(range(n))


def test_every_epoch_is_shuffled_anew_and_reproducibly() -> None:
    def epochs(seed: int) -> list[list[int]]:
        shuffle = torch.Generator().manual_seed(seed)
        return [torch.cat(list(batches(300, 128, shuffle))).tolist() for _ in range(3)]

    assert epochs(1) == epochs(1)
    assert epochs(1)[0] != epochs(2)[0]
    orders = [list(range(300)), *epochs(1)]
    assert all(first != second for number, first in enumerate(orders) for second in orders[:number])


def test_penalty_is_weight_decay() -> None:
    """Its gradient is 0.1·θ for every parameter, the bias included."""
    network = nn.Linear(6, 2)
    parameters = list(network.parameters())
    value = 0.1 * half_sum_of_squares(network)
    assert float(value.detach()) == pytest.approx(
        0.05 * sum(float(parameter.detach().square().sum()) for parameter in parameters), rel=1e-6
    )
    for parameter, gradient in zip(parameters, torch.autograd.grad(value, parameters), strict=True):
        torch.testing.assert_close(gradient, 0.1 * parameter.detach())


def test_one_step_of_linear_sgd_by_hand() -> None:
    """θ − lr·(∂L1/∂θ + 0.1·θ): ∂L1/∂prediction is sign(prediction − y)/(n·T)."""
    alleles, phenotypes = population(7, 3, 2)
    settings = LinearSgdSettings(epochs=1, seed=5, device="cpu")
    fitted = fit_linear_sgd(Part(alleles, phenotypes), Part(alleles, phenotypes), settings, Recorder())
    torch.manual_seed(5)
    start = nn.Linear(6, 2)
    weight, bias = (parameter.detach().numpy().astype(float) for parameter in (start.weight, start.bias))
    x = np.stack([1.0 - alleles, alleles], axis=2).reshape(7, 6)
    sign = np.sign(x @ weight.T + bias - phenotypes) / 14
    weight, bias = weight - 0.1 * (sign.T @ x + 0.1 * weight), bias - 0.1 * (sign.sum(axis=0) + 0.1 * bias)
    np.testing.assert_allclose(fitted.predict(alleles), x @ weight.T + bias, atol=1e-6)
    assert fitted.columns == {"epochs": 1}


def test_first_step_of_the_mlp_is_adamw() -> None:
    """AdamW's first step: θ·(1 − lr·decay) − lr·g/(|g| + 1e-8).

    The rows come in the order of the fit: a bias before batch normalisation has gradient 0 but for rounding, which AdamW magnifies.
    """
    alleles, phenotypes = population(9, 4, 1)
    rate, decay = 0.01, 0.5  # a decay large enough to be seen
    settings = MlpSettings(epochs=1, learning_rate=rate, weight_decay=decay, hidden_size=5, seed=3, device="cpu")
    fitted = fit_mlp(Part(alleles, phenotypes), Part(alleles, phenotypes), settings, Recorder())
    torch.manual_seed(3)
    network = mlp(8, 5, 1)
    inputs, wanted = one_hot(torch.from_numpy(alleles)), torch.from_numpy(phenotypes).float()
    (order,) = batches(9, 128, torch.Generator().manual_seed(3))
    nn.L1Loss()(network(inputs[order]), wanted[order]).backward()
    with torch.no_grad():
        for parameter in network.parameters():
            assert parameter.grad is not None
            parameter.mul_(1 - rate * decay).sub_(rate * parameter.grad / (parameter.grad.abs() + 1e-8))
        expected = network.eval()(inputs).numpy()
    np.testing.assert_allclose(fitted.predict(alleles), expected, atol=1e-5)


def test_evaluation_loss_of_the_study_weighs_batches_alike() -> None:
    truth = torch.arange(10.0)[:, None]
    shuffle = torch.Generator().manual_seed(5)
    (first, second) = torch.randperm(10, generator=torch.Generator().manual_seed(5)).split(8)
    expected = (truth[first].mean() + truth[second].mean()) / 2
    assert mean_of_batches(nn.L1Loss(), torch.zeros(10, 1), truth, 8, shuffle) == pytest.approx(float(expected))
    assert mean_of_batches(nn.L1Loss(), torch.zeros(10, 1), truth, 10, shuffle) == pytest.approx(4.5)


def test_predictions_do_not_depend_on_who_else_is_predicted() -> None:
    """Batch normalisation must use its running statistics, also where the test part is more than one block."""
    alleles, phenotypes = population(60, 8, 2)
    fitted = fit_mlp(Part(alleles, phenotypes), Part(alleles, phenotypes), MlpSettings(epochs=2, hidden_size=8, device="cpu"), Recorder())
    many = np.tile(alleles, (75, 1))
    together = fitted.predict(many)
    assert together.shape == (4500, 2)
    np.testing.assert_allclose(together, np.tile(fitted.predict(alleles), (75, 1)), atol=1e-5)
    np.testing.assert_allclose(together[0], fitted.predict(alleles[:1])[0], atol=1e-5)


# The training loop


class Scripted(nn.Module):
    """In training the mean prediction, whose gradient on a bias is 1; in evaluation the next of the losses of a script."""

    def __init__(self, script: list[float]) -> None:
        super().__init__()
        self.script = iter(script)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return prediction.mean() if prediction.requires_grad else torch.tensor(next(self.script))


def train_scripted(script: list[float], **values: Any) -> tuple[Training, float, Recorder]:
    """Train one bias by SGD at learning rate 1: epochs and loss, the bias kept, and learning rate and bias of each epoch."""
    linear = nn.Linear(4, 1)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    network = nn.Sequential(OneHot(), linear)
    optimiser = torch.optim.SGD([linear.bias], 1.0)
    progress = Recorder(lambda: (optimiser.param_groups[0]["lr"], float(linear.bias.detach())))
    alleles, phenotypes = tensors(*population(6, 2, 1))
    settings = NeuralSettings(**{"min_delta": 0.0, "patience": 100, "epochs": len(script), **values})
    training = train_network(network, optimiser, Scripted(script), None, (alleles, phenotypes), (alleles, phenotypes), settings, progress)
    return training, float(linear.bias.detach()), progress


def test_best_weights_are_restored() -> None:
    training, bias, progress = train_scripted([3.0, 1.0, 2.0, 2.0])
    assert [bias for _, bias in progress.watched] == [-1, -2, -3, -4]
    assert training == (4, 1.0)  # epochs, and the loss of the weights kept
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
    assert training == (7, 0.8500000238418579)  # single precision's 0.85; not 0.8, whose weights are not kept
    assert bias == -4
    assert train_scripted([1.0, 0.95, 0.91, 0.85], min_delta=0.1, patience=2)[:2] == ((3, 1.0), -1)


def test_learning_rate_halves_on_a_plateau() -> None:
    """Factor 0.5, patience 3 in PyTorch's sense: three epochs without improvement pass, the next one halves."""
    rates = [rate for rate, _ in train_scripted([1.0] * 10)[2].watched]
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    rates = [rate for rate, _ in train_scripted([1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5])[2].watched]
    assert rates == [1] * 8 + [0.5]


@pytest.mark.parametrize("losses", [[np.nan] * 3, [np.inf, np.nan, np.inf]])
def test_loss_that_never_was_a_number_is_an_error(losses: list[float]) -> None:
    with pytest.raises(ValueError, match="diverged") as caught:
        train_scripted(losses, learning_rate=0.25)
    assert str(caught.value) == "training diverged: the evaluation loss was never a finite number; learning_rate 0.25 is too high"


def test_loss_that_stops_being_a_number_leaves_the_best_weights() -> None:
    assert train_scripted([2.0, 1.0, np.nan, np.nan], patience=2)[:2] == ((4, 1.0), -2)


# The mean absolute error's gradient is bounded: without a square in its loss a linear model needs more to overflow.
ABSURD = {"pruned": {"lasso_learning_rate": 3e38, "lasso_epochs": 3}}


@pytest.mark.parametrize("model", NEURAL)
def test_absurd_learning_rate_is_reported(tmp_path: Path, model: str) -> None:
    source = write_dataset(tmp_path, n_individuals=200, n_loci=10, n_qtl=10)
    with pytest.raises(ValueError, match=r"^training diverged: .*; learning_rate (1e\+30|3e\+38) is too high$"):
        fit_table(model, source, epochs=3, **ABSURD.get(model, {"learning_rate": 1e30}))
    assert not (tmp_path / "table.csv").exists()


def test_returned_network_has_the_smallest_loss_reported() -> None:
    """On phenotypes without any signal, so that the network overfits and the last epoch is not the best."""
    train, validation = (tensors(*population(n, 20, 2, seed=n)) for n in (200, 100))
    torch.manual_seed(1)
    network = nn.Sequential(OneHot(), mlp(40, 32, 2))
    progress = Recorder()
    settings = NeuralSettings(min_delta=0.0, patience=15, epochs=40)
    optimiser = torch.optim.AdamW(network.parameters(), 0.01)
    training = train_network(network, optimiser, nn.L1Loss(), None, train, validation, settings, progress)
    with torch.no_grad():
        loss = float((network.eval()(validation[0]) - validation[1]).abs().mean())
    assert loss == pytest.approx(min(progress.losses), rel=1e-5)
    assert min(progress.losses) < progress.losses[-1] * 0.99
    assert training.loss == min(progress.losses)
    assert training.epochs == len(progress.losses) == progress.losses.index(min(progress.losses)) + 1 + 15


class Watched(nn.Linear):
    """Records of every pass: whether it is a training pass, and of how many individuals."""

    def __init__(self) -> None:
        super().__init__(4, 1)
        self.passes: list[tuple[bool, int]] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.passes.append((self.training, len(inputs)))
        return super().forward(inputs)


def test_every_epoch_trains_in_batches_and_evaluates_in_evaluation_mode() -> None:
    watched = Watched()
    network = nn.Sequential(OneHot(), watched)
    train, validation = (tensors(*population(n, 2, 1)) for n in (9, 5))
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    train_network(network, optimiser, nn.L1Loss(), None, train, validation, NeuralSettings(batch_size=4, epochs=3), Recorder())
    assert watched.passes == [(True, 4), (True, 5), (False, 5)] * 3


@pytest.mark.parametrize(
    ("fit", "settings"),
    [(fit_mlp, MlpSettings(epochs=1, hidden_size=8, device="cpu")), (fit_linear_sgd, LinearSgdSettings(epochs=1, device="cpu"))],
    ids=["mlp", "linear_sgd"],
)
def test_loss_reported_is_the_mean_absolute_error_of_the_validation_part(fit: Any, settings: NeuralSettings) -> None:
    """Without the penalty."""
    train, validation = (Part(*population(n, 10, 2, seed=n)) for n in (50, 20))
    progress = Recorder()
    fitted = fit(train, validation, settings, progress)
    assert progress.losses == [pytest.approx(abs(fitted.predict(validation.alleles) - validation.phenotypes).mean(), rel=1e-5)]


# Device and seed


def test_cuda_demanded_and_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="cuda was demanded") as caught:
        fit_table("mlp", write_dataset(tmp_path, n_individuals=50), device="cuda", epochs=1)
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
    first, again, other = (fit_table(model, source, seed=seed, epochs=3).drop(columns=["seconds", "seed"]) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert (first["pearson_r"] != other["pearson_r"]).all()


@pytest.mark.parametrize("model", NEURAL)
def test_table_of_a_network(tmp_path: Path, model: str) -> None:
    source = write_dataset(tmp_path, n_individuals=129, n_loci=20, n_qtl=20)
    table = fit_table(model, source, epochs=2, lasso_epochs=2)
    own = ["model", "trait", "pearson_r", "truth_mean", "truth_sd", "prediction_mean", "prediction_sd", "epochs"]
    own += ["n_columns", "causal_found"] if model == "pruned" else []
    assert list(table)[: len(own) + 1] == [*own, "protocol"]
    expected = [[name, 2, "paper", 110, 19] for name in ROWS.get(model, [model]) for _ in range(5)]
    assert table[["model", "epochs", "protocol", "n_train", "n_test"]].to_numpy().tolist() == expected
    assert table["trait"].tolist() == [1, 2, 3, 4, 5] * (len(table) // 5)


def test_a_left_over_individual_does_not_crash_batch_normalisation(tmp_path: Path) -> None:
    source = write_dataset(tmp_path, n_individuals=152, n_loci=20, n_qtl=20)  # 129 to train on, 128 in a batch
    assert fit_table("mlp", source, epochs=1)["n_train"].tolist() == [129] * 5


# What is learned


def test_linear_sgd_comes_close_to_ridge() -> None:
    """Additive trait: the predictions of both correlate almost perfectly, and with the trait as well as H2 = 0.9 allows."""
    alleles, _ = population(1200, 30, 1)
    random = np.random.default_rng(2)
    genetic = (2.0 * alleles - 1) @ random.standard_normal((30, 1))
    genetic /= genetic.std()
    phenotypes = genetic + random.standard_normal(genetic.shape) * np.sqrt(1 / 0.9 - 1)
    train, test = Part(alleles[:1000], phenotypes[:1000]), alleles[1000:]
    validation = Part(alleles[1000:], phenotypes[1000:])
    predicted = fit_linear_sgd(train, validation, LinearSgdSettings(device="cpu"), Recorder()).predict(test)
    by_ridge = Ridge.fit(train.alleles, train.phenotypes, np.logspace(-5, 5, 100)).predict(test)
    assert np.corrcoef(predicted[:, 0], by_ridge[:, 0])[0, 1] > 0.995
    assert np.corrcoef(predicted[:, 0], genetic[1000:, 0])[0, 1] > 0.99


def test_mlp_learns_epistasis_that_ridge_cannot(tmp_path: Path) -> None:
    """rel_aa 2000: V_A/V_G is about 1/4000, so no linear model can reach r above 0.02 but by chance, SE 1/√300."""
    source = write_dataset(tmp_path, n_individuals=2000, n_loci=12, n_qtl=12, rel_aa=(2000.0,), h2=0.99)
    ridge = fit_table("ridge", source, protocol="holdout")["pearson_r"][0]
    network = fit_table("mlp", source, protocol="holdout", hidden_size=64, epochs=40)["pearson_r"][0]
    assert abs(ridge) < 0.02 + 4 / np.sqrt(300)
    assert network > 0.9


def rewrite_phenotypes(source: Path, rows: Array, values: Array) -> Path:
    copy = source.with_name("changed.h5")
    shutil.copy(source, copy)
    with h5py.File(copy, "r+") as file:
        phenotypes = file["phenotypes"][:]
        phenotypes[rows] = values
        file["phenotypes"][:] = phenotypes
    return copy


@pytest.mark.parametrize("model", MODELS)
def test_permuted_phenotypes_cannot_be_predicted(tmp_path: Path, model: str) -> None:
    """Under holdout nothing of the test part can help: r of n_test individuals is 0 with SE 1/√(n_test − 1), for each of 5 traits."""
    n = 3000
    source = write_dataset(tmp_path, n_individuals=n, n_loci=20, n_qtl=20)
    with Dataset(source) as data:
        permuted = np.random.default_rng(1).permutation(data.phenotypes())
    r = fit_table(model, rewrite_phenotypes(source, np.arange(n), permuted), protocol="holdout", epochs=15)["pearson_r"]
    se = 1 / np.sqrt(split_sizes(n, "holdout")[2] - 1)
    assert r.abs().max() < 3 * se
    assert abs(r.mean()) < 3 * se / np.sqrt(5)


@pytest.mark.parametrize("model", MODELS)
def test_phenotypes_of_the_test_part_do_not_touch_the_fit_under_holdout(tmp_path: Path, model: str) -> None:
    source = write_dataset(tmp_path, n_individuals=200, n_loci=20, n_qtl=20)
    n_test = split_sizes(200, "holdout")[2]
    changed = rewrite_phenotypes(source, np.arange(200 - n_test, 200), np.random.default_rng(1).standard_normal((n_test, 5)) * 9 + 4)
    first, second = (fit_table(model, path, protocol="holdout", epochs=6, patience=2) for path in (source, changed))
    own = ("epochs", "penalty", "learning_rate", "n_columns", "causal_found")
    names = [name for name in map(str, first) if name.startswith("prediction") or name in own]
    pd.testing.assert_frame_equal(first[names], second[names], check_exact=True)
    assert (first["truth_mean"] != second["truth_mean"]).all()
