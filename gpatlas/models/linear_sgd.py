"""The linear model of the study, ridge regression trained by SGD, and the SGD step that the lasso shares."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.network_settings import LinearSgdSettings
from gpatlas.models.training import Recipe, TrainingStep, tell_machine, train_and_refit


def fit(train: Part, validation: Part, settings: LinearSgdSettings, progress: FitProgress) -> dict[str, Fitted]:
    """Plain SGD with an L2 penalty on all parameters, the bias included."""
    tell_machine(settings, progress)
    recipe = Recipe(nn.Linear, lambda network: sgd_step(network, shrink_squares, settings.penalty))
    return {"linear_sgd": train_and_refit(recipe, train, validation, settings, progress).fitted()}


Shrink = Callable[[Tensor, Tensor, float], None]  # moves weight and bias against so much of a penalty's gradient


def sgd_step(linear: nn.Linear, shrink: Shrink, penalty: float) -> TrainingStep:
    """Plain SGD on the mean absolute error of a linear model, whose gradient by a prediction is its sign/(B·T), plus a penalty.

    Written out: automatic differentiation of so small a model costs many times its arithmetic.
    """
    weight, bias = linear.weight.detach(), linear.bias.detach()

    def step(inputs: Tensor, wanted: Tensor, rate: float) -> None:
        sign = torch.addmm(bias, inputs, weight.t()).sub_(wanted).sign_()
        share = -rate / sign.numel()
        shrink(weight, bias, rate * penalty)
        weight.addmm_(sign.t(), inputs, alpha=share)
        bias.add_(sign.sum(dim=0), alpha=share)

    return step


def shrink_squares(weight: Tensor, bias: Tensor, amount: float) -> None:
    """Penalty ½·Σθ² over all parameters, the bias included."""
    weight.mul_(1 - amount)
    bias.mul_(1 - amount)


def shrink_weights(weight: Tensor, bias: Tensor, amount: float) -> None:
    """Penalty Σ|weight|; the bias has none."""
    weight.sub_(weight.sign(), alpha=amount)
