"""gpatlas.models.mlp: the study's perceptron, its steps, its precision, and what it can learn that a linear model cannot."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from populations import QUIET, Recorder, fit_by_stage, fit_small, random_part, random_tensors, tensors, write_dataset
from torch import nn
from torch.nn.functional import l1_loss

from gpatlas.models.mlp import Linear, adamw_step, fit_mlp, mlp, mlp_recipe, perceptron_step, pick_precision
from gpatlas.models.network_settings import MlpSettings
from gpatlas.models.training import batches, train_recipe

CPU = torch.device("cpu")


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


def test_first_step_of_the_mlp_is_adamw() -> None:
    """AdamW's first step: θ·(1 − lr·decay) − lr·g/(|g| + 1e-8).

    The rows come in the order of the fit: a bias before batch normalisation has gradient 0 but for rounding, which AdamW magnifies.
    """
    everyone = random_part(9, 4, 1)
    rate, decay = 0.01, 0.5  # a decay large enough to be seen
    settings = MlpSettings(epochs=1, learning_rate=rate, weight_decay=decay, hidden_size=5, seed=3, device="cpu")
    fitted = fit_mlp(everyone, everyone, settings, QUIET)
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
        inputs, wanted = random_tensors(30, 10, 2, seed)
        rate = optimiser.param_groups[0]["lr"] = 0.01 if seed < 10 else 0.002
        step(inputs, wanted, rate)
        optimiser.zero_grad()
        l1_loss(expected(inputs), wanted).backward()
        optimiser.step()
    for (name, one), other in zip(network.named_parameters(), expected.parameters(), strict=True):
        if name not in ("0.bias", "3.bias", "6.bias"):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network(inputs), expected(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("n_inputs", "hidden_size", "n_traits"), [(10, 7, 3), (80, 64, 1), (33, 128, 10)])
def test_the_written_out_step_is_that_of_automatic_differentiation(n_inputs: int, hidden_size: int, n_traits: int) -> None:
    """To the last bit, also of the running means and variances; full batches and small ones."""
    torch.manual_seed(1)
    network = mlp(n_inputs, hidden_size, n_traits).train()
    expected = deepcopy(network)
    written, automatic = perceptron_step(network, 0.1), adamw_step(expected, 0.1)
    for n in (128, 128, 2, 77):
        inputs, wanted = (torch.rand(n, n_inputs) < 0.5).float(), torch.randn(n, n_traits)
        written(inputs, wanted, 0.01)
        automatic(inputs, wanted, 0.01)
    after = expected.state_dict()
    for name, tensor in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):  # which a fixed momentum does not use
            torch.testing.assert_close(tensor, after[name], rtol=0, atol=0)


def test_gradients_stay_where_they_are() -> None:
    """A training step asks for no memory of a weight's size."""
    network = mlp(20, 16, 2)
    step = adamw_step(network, 0.0)
    places = [parameter.grad.data_ptr() for parameter in network.parameters() if parameter.grad is not None]
    assert len(places) == 12
    for seed in range(3):
        step(*random_tensors(30, 10, 2, seed), 0.01)
        assert [parameter.grad.data_ptr() for parameter in network.parameters() if parameter.grad is not None] == places


def test_predictions_do_not_depend_on_who_else_is_predicted() -> None:
    """Batch normalisation must use its running statistics, also where the test part is more than one block."""
    everyone = random_part(60, 8, 2)
    fitted = fit_mlp(everyone, everyone, MlpSettings(epochs=2, hidden_size=8, device="cpu"), QUIET)
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
    inputs, wanted = random_tensors(100, 10, n_traits)
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
    exact, rounded = (fit_small("mlp", source, precision=name, epochs=15)["pearson_r"] for name in ("fp32", "bf16"))
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
    source, progress = write_dataset(tmp_path, n_individuals=50), Recorder()
    fit_by_stage("mlp", source, progress, precision=precision, hidden_size=hidden_size, epochs=1, device="cpu")
    assert progress.reported["precision"] == reported


# What is learned


def test_returned_network_has_the_smallest_loss_reported() -> None:
    """On phenotypes without any signal, so that the network overfits and the last epoch is not the best."""
    train, validation = (random_part(n, 20, 2, seed=n) for n in (200, 100))
    progress = Recorder()
    settings = MlpSettings(min_delta=0.0, patience=15, epochs=40, hidden_size=32, device="cpu")
    trained = train_recipe(mlp_recipe(settings), train, validation, settings, progress)
    loss = abs(trained.predict(validation.genotypes) - validation.phenotypes).mean()
    assert loss == pytest.approx(min(progress.losses), rel=1e-5)
    assert min(progress.losses) < progress.losses[-1] * 0.99
    assert trained.training.loss == min(progress.losses)
    assert trained.training.epochs == len(progress.losses) == progress.losses.index(min(progress.losses)) + 1 + 15


def test_mlp_learns_epistasis_that_ridge_cannot(tmp_path: Path) -> None:
    """rel_aa 2000: V_A/V_G is about 1/4000, so no linear model can reach r above 0.02 but by chance, SE 1/√300."""
    source = write_dataset(tmp_path, n_individuals=2000, n_loci=12, n_qtl=12, rel_aa=(2000.0,), h2=0.99)
    ridge = fit_small("ridge", source, protocol="holdout")["pearson_r"][0]
    network = fit_small("mlp", source, protocol="holdout", hidden_size=64, epochs=40)["pearson_r"][0]
    assert abs(ridge) < 0.02 + 4 / np.sqrt(300)
    assert network > 0.9
