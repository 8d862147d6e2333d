"""gpatlas.models.mlp.adamw_step on networks of all kinds: the same weights as PyTorch's own AdamW, step for step.

Every network is built twice, once of our linear layers and once of PyTorch's, which in bf16 round where ours do.
"""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, linear

from gpatlas.models.mlp import Linear, adamw_step, overwriting_layers

N, N_INPUTS, N_TRAITS, STEPS = 32, 10, 3, 5
RATE, DECAY = 0.01, 0.1
Layer = Callable[[int, int], nn.Linear]


class Rounded(nn.Linear):
    """PyTorch's layer, multiplying in bf16 in training."""

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return super().forward(inputs)
        return linear(*(tensor.bfloat16() for tensor in (inputs, self.weight, self.bias)))


KINDS: dict[str, tuple[Layer, Layer]] = {"fp32": (Linear, nn.Linear), "bf16": (partial(Linear, dtype=torch.bfloat16), Rounded)}


class Network(nn.Module):
    """Two of the layers given, with a tanh between them; the others are made of it."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.first, self.last = layer(N_INPUTS, N_INPUTS), layer(N_INPUTS, N_TRAITS)
        self.calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        return self.last(self.hidden(torch.tanh(self.first(inputs).float()))).float()

    def hidden(self, values: Tensor) -> Tensor:
        return values


class Foreign(Network):
    """Weights of one, two and three dimensions whose gradients PyTorch adds up."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.plain, self.norm, self.bilinear = nn.Linear(N_INPUTS, 6), nn.LayerNorm(6), nn.Bilinear(6, 8, N_INPUTS)
        self.convolution, self.embedding = nn.Conv1d(1, 2, 3), nn.Embedding(4, N_INPUTS)
        self.matrix = nn.Parameter(torch.eye(N_INPUTS))

    def hidden(self, values: Tensor) -> Tensor:
        one = self.norm(self.plain(values))
        other = self.convolution(one.unsqueeze(1)).flatten(1)
        return self.bilinear(one, other) @ self.matrix + self.embedding(torch.arange(len(values)) % 4)


class TwiceUsed(Network):
    """One layer two times in a pass."""

    def hidden(self, values: Tensor) -> Tensor:
        return torch.tanh(self.first(values).float())


class TwiceNamed(TwiceUsed):
    """One layer under two names."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.second = self.first

    def hidden(self, values: Tensor) -> Tensor:
        return torch.tanh(self.second(values).float())


class OnceOrTwiceUsed(TwiceUsed):
    """Once in every second step."""

    def hidden(self, values: Tensor) -> Tensor:
        return super().hidden(values) if self.calls % 2 else values


class OftenUsed(Network):
    """Four times, once of them to no effect."""

    def hidden(self, values: Tensor) -> Tensor:
        self.first(2 * values)
        for _ in range(2):
            values = torch.tanh(self.first(values).float())
        return values


class TiedToAnother(Network):
    """One weight of two layers of the same kind."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.second = layer(N_INPUTS, N_INPUTS)
        self.second.weight = self.first.weight

    def hidden(self, values: Tensor) -> Tensor:
        return torch.tanh(self.second(values).float())


class TiedToPlain(Network):
    """One weight of ours and of one of PyTorch's."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.second = nn.Linear(N_INPUTS, N_INPUTS)
        self.second.weight = self.first.weight

    def hidden(self, values: Tensor) -> Tensor:
        return torch.tanh(self.second(values))


class WeightUsedByItself(Network):
    """As an autoencoder's decoder uses its encoder's."""

    def hidden(self, values: Tensor) -> Tensor:
        return torch.tanh(values @ self.first.weight)


class SometimesWithoutPart(Network):
    """A layer that only every second step uses, the first one not."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.sometimes = layer(N_INPUTS, N_INPUTS)

    def hidden(self, values: Tensor) -> Tensor:
        return torch.tanh(self.sometimes(values).float()) if self.calls % 2 == 0 else values


class SometimesInVain(SometimesWithoutPart):
    """The layer computes in every step, but the loss does not depend on it in every second."""

    def hidden(self, values: Tensor) -> Tensor:
        product = torch.tanh(self.sometimes(values).float())
        return product if self.calls % 2 == 0 else values


class NeverInPart(Network):
    """A layer that no step uses."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.never = layer(N_INPUTS, N_INPUTS)


class Frozen(Network):
    """Parameters that are not trained: a bias of ours, and all of a foreign layer."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.plain = nn.Linear(N_INPUTS, N_INPUTS).requires_grad_(False)
        self.first.bias.requires_grad_(False)

    def hidden(self, values: Tensor) -> Tensor:
        return torch.tanh(self.plain(values))


class FrozenWeight(Network):
    """One of ours, between two that are trained, is not."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.middle = layer(N_INPUTS, N_INPUTS)
        self.middle.weight.requires_grad_(False)

    def hidden(self, values: Tensor) -> Tensor:
        return torch.tanh(self.middle(values).float())


NETWORKS = [
    *(Network, Foreign, TwiceUsed, TwiceNamed, OnceOrTwiceUsed, OftenUsed, TiedToAnother, TiedToPlain, WeightUsedByItself),
    *(SometimesWithoutPart, SometimesInVain, NeverInPart, Frozen, FrozenWeight),
]


def pair(network: type[Network], kind: str) -> tuple[Network, Network]:
    """Of ours and of PyTorch's layers, with the same weights."""
    torch.manual_seed(1)
    ours, theirs = (network(layer) for layer in KINDS[kind])
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def batch(seed: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(N, N_INPUTS, generator=random), torch.randn(N, N_TRAITS, generator=random)


def train_both(ours: Network, theirs: Network, after: Callable[[int], None] = lambda number: None) -> None:
    """The gradients of PyTorch's are 0 where a step gives none, as ours are."""
    step = adamw_step(ours, DECAY)
    trained = [parameter for parameter in theirs.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, RATE, weight_decay=DECAY)
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    for number in range(STEPS):
        inputs, wanted = batch(number)
        step(inputs, wanted, RATE)
        optimiser.zero_grad(set_to_none=False)
        l1_loss(theirs(inputs), wanted).backward()
        optimiser.step()
        after(number)


@pytest.mark.parametrize(
    ("network", "kind"),
    [(network, kind) for network in NETWORKS for kind in KINDS if (network, kind) != (FrozenWeight, "bf16")],  # which is not rounded
    ids=lambda value: getattr(value, "__name__", value),
)
def test_steps_are_those_of_pytorchs_adamw(network: type[Network], kind: str) -> None:
    ours, theirs = pair(network, kind)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    close = {"rtol": 1e-5, "atol": 1e-6} if kind == "fp32" else {"rtol": 0, "atol": 0.1 * RATE}
    gradients: list[tuple[Tensor, Tensor]] = []

    def compare(number: int) -> None:
        for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one, other, **close, msg=lambda message, name=name: f"{name}, step {number + 1}: {message}")
            if one.grad is not None and other.grad is not None:
                gradients.append((one.grad.clone(), other.grad.clone()))

    train_both(ours, theirs, compare)
    for one, other in gradients:
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5 if kind == "fp32" else 1e-3)
    for name, parameter in ours.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_only_a_weight_of_one_layer_of_ours_is_overwritten(network: type[Network]) -> None:
    ours = network(Linear)
    shared = {"first", "second"} if network in (TiedToAnother, TiedToPlain) else set()
    wanted = {name for name, module in ours.named_children() if isinstance(module, Linear)} - shared
    names = {id(module): name for name, module in ours.named_children()}
    assert {names[id(layer)] for layer in overwriting_layers(ours)} == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_step_function_starts_anew(kind: str) -> None:
    """As a second optimiser does."""
    ours, theirs = pair(TwiceUsed, kind)
    train_both(ours, theirs)
    theirs.load_state_dict(ours.state_dict())
    train_both(ours, theirs)
    close = {"rtol": 1e-5, "atol": 1e-6} if kind == "fp32" else {"rtol": 0, "atol": 0.1 * RATE}
    torch.testing.assert_close(list(ours.parameters()), list(theirs.parameters()), **close)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
def test_a_pass_between_two_steps_changes_nothing(kind: str, training: bool) -> None:
    """Neither the gradients, nor the steps that follow."""
    ours, theirs = pair(TwiceUsed, kind)

    def look(number: int) -> None:
        before = [parameter.grad.clone() for parameter in ours.parameters() if parameter.grad is not None]
        ours.train(training)(batch(100)[0])
        ours.train()
        assert [torch.equal(parameter.grad, one) for parameter, one in zip(ours.parameters(), before, strict=True)] == [True] * 4

    train_both(ours, theirs, look)
    close = {"rtol": 1e-5, "atol": 1e-6} if kind == "fp32" else {"rtol": 0, "atol": 0.1 * RATE}
    torch.testing.assert_close(list(ours.parameters()), list(theirs.parameters()), **close)
