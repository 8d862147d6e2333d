"""gpatlas.models.linear_sgd: the steps of a linear model, and what they come to."""

from typing import Any

import numpy as np
import pytest
import torch
from populations import QUIET, one_hot, part_of, random_part, random_population, random_tensors
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from gpatlas.models.linear_sgd import fit, sgd_step, shrink_squares, shrink_weights
from gpatlas.models.network_settings import LinearSgdSettings
from gpatlas.models.ridge import RidgeFit


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
        inputs, wanted = random_tensors(9, n_loci, 3, seed)
        step(inputs, wanted, 0.05)
        optimiser.zero_grad()
        (l1_loss(expected(inputs), wanted) + 0.1 * value(expected)).backward()
        optimiser.step()
    torch.testing.assert_close(list(network.parameters()), list(expected.parameters()), rtol=1e-5, atol=1e-6)


def test_one_step_of_linear_sgd_by_hand() -> None:
    """θ − lr·(∂L1/∂θ + 0.1·θ): ∂L1/∂prediction is sign(prediction − y)/(n·T)."""
    everyone = random_part(7, 3, 2)
    settings = LinearSgdSettings(epochs=1, seed=5, device="cpu")
    fitted = fit(everyone, everyone, settings, QUIET)["linear_sgd"]
    torch.manual_seed(5)
    start = nn.Linear(6, 2)
    weight, bias = (parameter.detach().numpy().astype(float) for parameter in (start.weight, start.bias))
    x = one_hot(everyone.genotypes.counts())
    sign = np.sign(x @ weight.T + bias - everyone.phenotypes) / 14
    weight, bias = weight - 0.1 * (sign.T @ x + 0.1 * weight), bias - 0.1 * (sign.sum(axis=0) + 0.1 * bias)
    np.testing.assert_allclose(fitted.predict(everyone.genotypes), x @ weight.T + bias, atol=1e-6)
    assert fitted.columns == {"epochs": 1}


def test_linear_sgd_comes_close_to_ridge() -> None:
    """Additive trait: the predictions of both correlate almost perfectly, and with the trait as well as H2 = 0.9 allows."""
    alleles, _ = random_population(1200, 30, 1)
    random = np.random.default_rng(2)
    genetic = (2.0 * alleles - 1) @ random.standard_normal((30, 1))
    genetic /= genetic.std()
    phenotypes = genetic + random.standard_normal(genetic.shape) * np.sqrt(1 / 0.9 - 1)
    everyone = part_of(alleles, phenotypes)
    train, test = everyone.rows(np.arange(1000)), everyone.rows(np.arange(1000, 1200))
    predicted = fit(train, test, LinearSgdSettings(device="cpu"), QUIET)["linear_sgd"].predict(test.genotypes)
    by_ridge = RidgeFit.fit(train.genotypes, train.phenotypes, np.logspace(-5, 5, 100)).predict(test.genotypes)
    assert np.corrcoef(predicted[:, 0], by_ridge[:, 0])[0, 1] > 0.995
    assert np.corrcoef(predicted[:, 0], genetic[1000:, 0])[0, 1] > 0.99
