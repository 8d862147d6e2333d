"""gpatlas.networks: the study's networks, the one training loop step by step, and what the fits can and cannot learn.

Sizes are small and one thread is used. What is learned is judged on simulated data, with tolerances in standard errors (SE).
"""

import io
import json
import os
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from gpatlas import simulate
from gpatlas.dataset import Dataset, Genotypes
from gpatlas.evaluation import Part
from gpatlas.networks import (
    Recipe,
    Training,
    batches,
    fit_linear_sgd,
    fit_mlp,
    mean_of_batches,
    mlp_recipe,
    pick_device,
    train_network,
    train_recipe,
)
from gpatlas.progress import Progress
from gpatlas.ridge import Ridge
from gpatlas.settings import LinearSgdSettings, MlpSettings, NeuralSettings, SimulateSettings, build, split_sizes
from gpatlas.stages import MODELS
from gpatlas.steps import Inputs, Linear, Plateau, Step, adamw_step, mlp, pick_precision, sgd_step, shrink_squares, shrink_weights

Array = npt.NDArray[Any]
CPU = torch.device("cpu")
ROOT = Path(__file__).parents[1]

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


def part(n: int, n_loci: int, n_traits: int, seed: int = 1) -> Part:
    alleles, phenotypes = population(n, n_loci, n_traits, seed)
    return Part(Genotypes.of(alleles), phenotypes)


def one_hot(alleles: Array) -> Array:
    """[1, 0] for allele 0, [0, 1] for allele 1: (n, 2·n_loci)."""
    return np.stack([1.0 - alleles, alleles], axis=2).reshape(len(alleles), -1)


def tensors(part: Part) -> tuple[Tensor, Tensor]:
    """Inputs and phenotypes of everyone, float32."""
    return torch.from_numpy(one_hot(part.genotypes.alleles())).float(), torch.from_numpy(part.phenotypes).float()


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


def test_inputs_by_hand() -> None:
    inputs = Inputs.of(Genotypes.of(np.array([[0, 1, 1], [1, 0, 0]], dtype=np.uint8)), None, CPU)
    assert inputs.expand(inputs.bits).tolist() == [[1, 0, 0, 1, 0, 1], [0, 1, 1, 0, 1, 0]]
    assert inputs.rows(torch.tensor([1, 0, 1])).tolist() == [[0, 1, 1, 0, 1, 0], [1, 0, 0, 1, 0, 1], [0, 1, 1, 0, 1, 0]]


@pytest.mark.parametrize("n_loci", [1, 7, 8, 9, 20])
def test_inputs_are_the_one_hot_alleles_or_some_of_their_columns(n_loci: int) -> None:
    alleles, _ = population(30, n_loci, 1)
    for columns in (None, [0], [2 * n_loci - 1, 0, 1, 0], list(range(2 * n_loci))):
        inputs = Inputs.of(Genotypes.of(alleles), None if columns is None else np.array(columns), CPU)
        expanded = inputs.expand(inputs.bits)
        expected = one_hot(alleles) if columns is None else one_hot(alleles)[:, columns]
        assert expanded.dtype == torch.float32
        assert inputs.n_columns == expected.shape[1]
        np.testing.assert_array_equal(expanded, expected)


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


def squares(network: nn.Linear) -> Tensor:
    return 0.5 * network.weight.square().sum() + 0.5 * network.bias.square().sum()


def absolute_weights(network: nn.Linear) -> Tensor:
    return network.weight.abs().sum()


@pytest.mark.parametrize("n_loci", [3, 40])
@pytest.mark.parametrize(("shrink", "value"), [(shrink_squares, squares), (shrink_weights, absolute_weights)], ids=["squares", "weights"])
def test_steps_of_a_linear_model_are_those_of_automatic_differentiation(n_loci: int, shrink: Any, value: Any) -> None:
    """The penalty's gradient included: 0.1·θ of every parameter, or 0.1·sign(w) of the weights only."""
    network, expected = nn.Linear(2 * n_loci, 3), nn.Linear(2 * n_loci, 3)
    expected.load_state_dict(network.state_dict())
    step, optimiser = sgd_step(network, shrink, 0.1), torch.optim.SGD(expected.parameters(), 0.05)
    for seed in range(20):
        inputs, wanted = tensors(part(9, n_loci, 3, seed))
        step(inputs, wanted, 0.05)
        optimiser.zero_grad()
        (l1_loss(expected(inputs), wanted) + 0.1 * value(expected)).backward()
        optimiser.step()
    torch.testing.assert_close(list(network.parameters()), list(expected.parameters()), rtol=1e-5, atol=1e-6)


def test_one_step_of_linear_sgd_by_hand() -> None:
    """θ − lr·(∂L1/∂θ + 0.1·θ): ∂L1/∂prediction is sign(prediction − y)/(n·T)."""
    everyone = part(7, 3, 2)
    settings = LinearSgdSettings(epochs=1, seed=5, device="cpu")
    fitted = fit_linear_sgd(everyone, everyone, settings, Recorder())
    torch.manual_seed(5)
    start = nn.Linear(6, 2)
    weight, bias = (parameter.detach().numpy().astype(float) for parameter in (start.weight, start.bias))
    x = one_hot(everyone.genotypes.alleles())
    sign = np.sign(x @ weight.T + bias - everyone.phenotypes) / 14
    weight, bias = weight - 0.1 * (sign.T @ x + 0.1 * weight), bias - 0.1 * (sign.sum(axis=0) + 0.1 * bias)
    np.testing.assert_allclose(fitted.predict(everyone.genotypes), x @ weight.T + bias, atol=1e-6)
    assert fitted.columns == {"epochs": 1}


def test_first_step_of_the_mlp_is_adamw() -> None:
    """AdamW's first step: θ·(1 − lr·decay) − lr·g/(|g| + 1e-8).

    The rows come in the order of the fit: a bias before batch normalisation has gradient 0 but for rounding, which AdamW magnifies.
    """
    everyone = part(9, 4, 1)
    rate, decay = 0.01, 0.5  # a decay large enough to be seen
    settings = MlpSettings(epochs=1, learning_rate=rate, weight_decay=decay, hidden_size=5, seed=3, device="cpu")
    fitted = fit_mlp(everyone, everyone, settings, Recorder())
    torch.manual_seed(3)
    network = plain(mlp(8, 5, 1))
    inputs, wanted = tensors(everyone)
    (order,) = batches(9, 128, torch.Generator().manual_seed(3), CPU)
    l1_loss(network(inputs[order]), wanted[order]).backward()
    with torch.no_grad():
        for parameter in network.parameters():
            assert parameter.grad is not None
            parameter.mul_(1 - rate * decay).sub_(rate * parameter.grad / (parameter.grad.abs() + 1e-8))
        expected = network.eval()(inputs).numpy()
    np.testing.assert_allclose(fitted.predict(everyone.genotypes), expected, atol=1e-5)


def plain(network: nn.Module) -> nn.Sequential:
    """The same layers, but the linear ones are PyTorch's own."""
    layers = deepcopy(network).children()
    copy = nn.Sequential(*(nn.Linear(*layer.weight.t().shape) if isinstance(layer, Linear) else layer for layer in layers))
    copy.load_state_dict(network.state_dict())
    return copy


def test_steps_are_those_of_pytorchs_adamw() -> None:
    """But for the biases before batch normalisation: their gradient is 0 but for rounding, and in training they do not matter."""
    torch.manual_seed(1)
    network = mlp(20, 16, 2)
    expected = plain(network)
    step, optimiser = adamw_step(network, 0.1), torch.optim.AdamW(expected.parameters(), 0.01, weight_decay=0.1)
    for seed in range(20):
        inputs, wanted = tensors(part(30, 10, 2, seed))
        rate = optimiser.param_groups[0]["lr"] = 0.01 if seed < 10 else 0.002
        step(inputs, wanted, rate)
        optimiser.zero_grad()
        l1_loss(expected(inputs), wanted).backward()
        optimiser.step()
    for (name, one), other in zip(network.named_parameters(), expected.parameters(), strict=True):
        if name not in ("0.bias", "3.bias", "6.bias"):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network(inputs), expected(inputs), rtol=1e-4, atol=1e-5)


def test_gradients_stay_where_they_are() -> None:
    """A training step asks for no memory of a weight's size."""
    network = mlp(20, 16, 2)
    step = adamw_step(network, 0.0)
    places = [parameter.grad.data_ptr() for parameter in network.parameters() if parameter.grad is not None]
    assert len(places) == 12
    for seed in range(3):
        step(*tensors(part(30, 10, 2, seed)), 0.01)
        assert [parameter.grad.data_ptr() for parameter in network.parameters() if parameter.grad is not None] == places


def test_evaluation_loss_of_the_study_weighs_batches_alike() -> None:
    errors = torch.arange(10.0)
    shuffle = torch.Generator().manual_seed(5)
    (first, second) = torch.randperm(10, generator=torch.Generator().manual_seed(5)).split(8)
    expected = (errors[first].mean() + errors[second].mean()) / 2
    assert mean_of_batches(errors, 8, shuffle) == pytest.approx(float(expected))
    assert mean_of_batches(errors, 10, shuffle) == pytest.approx(4.5)


def test_predictions_do_not_depend_on_who_else_is_predicted() -> None:
    """Batch normalisation must use its running statistics, also where the test part is more than one block."""
    everyone = part(60, 8, 2)
    fitted = fit_mlp(everyone, everyone, MlpSettings(epochs=2, hidden_size=8, device="cpu"), Recorder())
    together = fitted.predict(everyone.genotypes.rows(np.tile(np.arange(60), 75)))
    assert together.shape == (4500, 2)
    np.testing.assert_allclose(together, np.tile(fitted.predict(everyone.genotypes), (75, 1)), atol=1e-5)
    np.testing.assert_allclose(together[0], fitted.predict(everyone.genotypes.rows(slice(0, 1)))[0], atol=1e-5)


# Precision


@pytest.mark.parametrize(("hidden_size", "n_traits"), [(64, 1), (64, 3), (200, 2)])
def test_bf16_is_a_rounding_of_fp32(hidden_size: int, n_traits: int) -> None:
    """Predictions of one training pass differ by less than 1 % of their spread, but do differ; gradients point the same way."""
    torch.manual_seed(1)
    exact, rounded = mlp(20, hidden_size, n_traits), mlp(20, hidden_size, n_traits, "bf16")
    rounded.load_state_dict(exact.state_dict())
    inputs, wanted = tensors(part(100, 10, n_traits))
    for network in (exact, rounded):
        adamw_step(network, 0.0)(inputs, wanted, 0.0)  # at a rate of 0 the weights stay
    first, second = exact(inputs).detach(), rounded(inputs).detach()
    assert second.dtype == torch.float32
    assert 0 < float((first - second).square().mean().sqrt()) < 0.01
    for one, other in zip(exact.parameters(), rounded.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.grad is not None
        assert other.grad is not None
        assert other.grad.dtype == torch.float32
        if one.dim() == 2:
            assert torch.cosine_similarity(one.grad.flatten(), other.grad.flatten(), dim=0) > 0.99
    rounded.load_state_dict(exact.state_dict())  # the running means
    assert torch.equal(exact.eval()(inputs), rounded.eval()(inputs))


def test_precision_is_of_the_hidden_layers_in_training() -> None:
    network = mlp(20, 16, 2, "bf16")
    linear = [layer for layer in network.children() if isinstance(layer, Linear)]
    adamw_step(network, 0.0)
    assert [layer(torch.rand(30, layer.in_features)).dtype for layer in linear] == [torch.bfloat16, torch.bfloat16, torch.float32]
    network.eval()
    assert [layer(torch.rand(30, layer.in_features)).dtype for layer in linear] == [torch.float32] * 3
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32, torch.int64}
    assert list(network.state_dict()) == list(mlp(20, 16, 2).state_dict())


def test_bf16_learns_what_fp32_learns(tmp_path: Path) -> None:
    """r within 0.02, the mean over five traits."""
    source = write_dataset(tmp_path, n_individuals=1000, n_loci=20, n_qtl=20)
    exact, rounded = (fit_table("mlp", source, precision=name, epochs=15)["pearson_r"] for name in ("fp32", "bf16"))
    assert (exact != rounded).all()
    assert abs((exact - rounded).mean()) < 0.02
    assert exact.mean() > 0.5


def test_precision_that_is_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    """auto: bf16 on large layers where the device multiplies faster in it; otherwise what was asked for."""
    for faster, able in (
        (True, {"cpu_name": "AMD EPYC", "avx512_bf16": True}),
        (True, {"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}),
        (False, {"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}),
        (False, {"cpu_name": "AMD EPYC", "avx512_bf16": False}),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, faster=faster: faster)
        for device in (CPU, torch.device("cuda")):
            picked = [pick_precision("auto", device, size) for size in (1023, 1024, 4096)]
            assert picked == (["fp32", "bf16", "bf16"] if faster else ["fp32"] * 3)
            assert [pick_precision(name, device, 4096) for name in ("fp32", "bf16")] == ["fp32", "bf16"]


@pytest.mark.parametrize(("precision", "hidden_size", "reported"), [("fp32", 8, "fp32"), ("bf16", 8, "bf16"), ("auto", 8, "fp32")])
def test_precision_is_reported(tmp_path: Path, precision: str, hidden_size: int, reported: str) -> None:
    source, stream = write_dataset(tmp_path, n_individuals=50), io.StringIO()
    settings = MlpSettings(precision=precision, hidden_size=hidden_size, epochs=1, device="cpu")
    MODELS["mlp"].load()(settings, source, tmp_path / "table.csv", Progress("fit-mlp", stream))
    assert {"precision": reported} in [json.loads(line).get("facts") for line in stream.getvalue().splitlines()]


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
    assert training == (7, 0.85)  # not 0.8, whose weights are not kept
    assert bias == -4
    assert train_scripted([1.0, 0.95, 0.91, 0.85], min_delta=0.1, patience=2)[:2] == ((3, 1.0), -1)


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
    train, validation = (part(n, 20, 2, seed=n) for n in (200, 100))
    progress = Recorder()
    settings = MlpSettings(min_delta=0.0, patience=15, epochs=40, hidden_size=32, device="cpu")
    trained = train_recipe(mlp_recipe(settings), train, validation, settings, progress)
    loss = abs(trained.predict(validation.genotypes) - validation.phenotypes).mean()
    assert loss == pytest.approx(min(progress.losses), rel=1e-5)
    assert min(progress.losses) < progress.losses[-1] * 0.99
    assert trained.training.loss == min(progress.losses)
    assert trained.training.epochs == len(progress.losses) == progress.losses.index(min(progress.losses)) + 1 + 15


class Watched(nn.Linear):
    """Records of every pass: whether it is a training pass, and of how many individuals."""

    def __init__(self) -> None:
        super().__init__(4, 1)
        self.passes: list[tuple[bool, int]] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.passes.append((self.training, len(inputs)))
        return super().forward(inputs)


def test_every_epoch_trains_in_batches_and_evaluates_in_evaluation_mode() -> None:
    def step(network: Watched) -> Step:
        return lambda inputs, wanted, rate: network(inputs).sum()

    train, validation = (part(n, 2, 1) for n in (9, 5))
    settings = NeuralSettings(batch_size=4, epochs=3, device="cpu")
    trained = train_recipe(Recipe(lambda *sizes: Watched(), step), train, validation, settings, Recorder())
    assert trained.network.passes == [(True, 4), (True, 5), (False, 5)] * 3


@pytest.mark.parametrize(
    ("fit", "settings"),
    [(fit_mlp, MlpSettings(epochs=1, hidden_size=8, device="cpu")), (fit_linear_sgd, LinearSgdSettings(epochs=1, device="cpu"))],
    ids=["mlp", "linear_sgd"],
)
def test_loss_reported_is_the_mean_absolute_error_of_the_validation_part(fit: Any, settings: NeuralSettings) -> None:
    """Without the penalty."""
    train, validation = (part(n, 10, 2, seed=n) for n in (50, 20))
    progress = Recorder()
    fitted = fit(train, validation, settings, progress)
    assert progress.losses == [pytest.approx(abs(fitted.predict(validation.genotypes) - validation.phenotypes).mean(), rel=1e-5)]


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


@pytest.mark.parametrize("model", ["fit-mlp", "fit-linear-sgd"])
def test_nothing_is_imported_that_a_fit_does_not_need(tmp_path: Path, model: str) -> None:
    """PyTorch's compiler, which comes with its optimisers, takes longer to import than a small model to train."""
    flags = ["--data", str(write_dataset(tmp_path, n_individuals=50)), "--out", str(tmp_path / "table.csv"), "--epochs", "1"]
    command = [sys.executable, "-X", "importtime", "-m", "gpatlas", model, *flags]
    run = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
    assert "torch.nn" in run.stderr
    assert "torch._dynamo" not in run.stderr


# What is learned


def test_linear_sgd_comes_close_to_ridge() -> None:
    """Additive trait: the predictions of both correlate almost perfectly, and with the trait as well as H2 = 0.9 allows."""
    alleles, _ = population(1200, 30, 1)
    random = np.random.default_rng(2)
    genetic = (2.0 * alleles - 1) @ random.standard_normal((30, 1))
    genetic /= genetic.std()
    phenotypes = genetic + random.standard_normal(genetic.shape) * np.sqrt(1 / 0.9 - 1)
    everyone = Part(Genotypes.of(alleles), phenotypes)
    train, test = everyone.rows(np.arange(1000)), everyone.rows(np.arange(1000, 1200))
    predicted = fit_linear_sgd(train, test, LinearSgdSettings(device="cpu"), Recorder()).predict(test.genotypes)
    by_ridge = Ridge.fit(train.genotypes, train.phenotypes, np.logspace(-5, 5, 100)).predict(test.genotypes)
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
