"""The multilayer perceptron: its layers, its optimiser, its fit, with a learning rate that is given or chosen by trials.

PyTorch's own optimisers are not used: they take seconds to import, and their arithmetic is a line.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.network_settings import MlpSettings
from gpatlas.models.settings import TuningSettings
from gpatlas.models.training import (
    OnEpoch,
    Recipe,
    Trained,
    TrainingStep,
    pick_device,
    refit,
    refuse_hopeless,
    tell_machine,
    train_and_refit,
    train_recipe,
)

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
ADAMW: dict[str, Any] = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": False, "maximize": False}
MOMENTUM = 0.8  # of a batch's mean and variance in the running ones
NEGATIVE_SLOPE = 0.01  # of LeakyReLU
FASTER_FROM = 1024  # hidden units from which bf16 is faster than fp32, where it is at all


def fit(train: Part, validation: Part, settings: MlpSettings, progress: FitProgress) -> dict[str, Fitted]:
    """The perceptron with the learning rate of the settings, or, tuned, with that of the best trial."""
    tell_machine(settings, progress, precision=precision_of(settings))
    return {"mlp": _tuned(train, validation, settings, progress) if settings.tune else fit_mlp(train, validation, settings, progress)}


def fit_mlp(train: Part, validation: Part, settings: MlpSettings, on_epoch: OnEpoch) -> Fitted:
    """AdamW without a further penalty."""
    return train_and_refit(mlp_recipe(settings), train, validation, settings, on_epoch).fitted()


def _tuned(train: Part, validation: Part, settings: MlpSettings, progress: FitProgress) -> Fitted:
    """With the table `trials`."""
    from gpatlas.models.tuning import choose, suggest_rate  # Optuna is loaded only where it is used

    def trained_at(learning_rate: float, on_epoch: OnEpoch) -> Trained[nn.Module]:
        return train_recipe(mlp_recipe(settings), train, validation, settings.model_copy(update={"learning_rate": learning_rate}), on_epoch)

    choice = choose(lambda trial: suggest_rate(trial, settings), trained_at, settings, progress)
    refuse_hopeless(choice.trained.training.loss, validation, choice.trained.settings)
    fitted = refit(mlp_recipe(settings), choice.trained, train, validation).fitted()
    progress(settings.n_trials + 1, settings.n_trials + 1)
    return replace(fitted, columns={**fitted.columns, "learning_rate": choice.best}, tables={"trials": choice.trials})


def mlp_recipe(settings: TuningSettings) -> Recipe[nn.Module]:
    """The multilayer perceptron under AdamW."""
    return Recipe(
        lambda n_inputs, n_traits: mlp(n_inputs, settings.hidden_size, n_traits, precision_of(settings)),
        lambda network: perceptron_step(network, settings.weight_decay),
    )


def precision_of(settings: TuningSettings) -> str:
    """fp32 or bf16."""
    return pick_precision(settings.precision, pick_device(settings.device), settings.hidden_size)


class Linear(nn.Linear):
    """A linear layer whose training step asks for no memory of its weight's size, and multiplies in `dtype`.

    The gradient by the weight goes where the last one was, `weight.grad`: fresh memory, page by page, costs as much as the
    product. It replaces the last one where that is `stale` and this is the only one of the `uses` in this step, else it is added. In
    another precision than the weight's, `scratch` holds first the weight, then, of an only use, its gradient.
    """

    scratch: Tensor | None

    def __init__(self, n_inputs: int, n_outputs: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(n_inputs, n_outputs)
        scratch = None if dtype == self.weight.dtype else torch.empty_like(self.weight, dtype=dtype, requires_grad=False)
        self.register_buffer("scratch", scratch, persistent=False)
        self.uses, self.stale = 1, False  # as of a layer whose weight other modules use: always added

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, n_inputs) to (n, n_outputs); in training of the layer's dtype, in evaluation float32."""
        if not self.training or self.weight.grad is None:
            return super().forward(inputs)
        self.uses += 1
        if self.uses == 2 and self.stale:
            self.weight.grad.zero_()
            self.stale = False
        product: Tensor = _Product.apply(inputs, self.weight, self.bias, self)  # type: ignore[no-untyped-call]
        return product


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, layer: Linear) -> Tensor:
        factor = weight if layer.scratch is None else layer.scratch.copy_(weight)
        inputs = inputs.to(factor.dtype)
        ctx.save_for_backward(inputs)
        ctx.factor, ctx.target, ctx.layer = factor, weight.grad, layer
        return torch.addmm(bias.to(factor.dtype), inputs, factor.t())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (inputs,), (gradient,), target = ctx.saved_tensors, gradients, ctx.target
        by_inputs = gradient @ ctx.factor if ctx.needs_input_grad[0] else None
        if not ctx.layer.stale:
            target.add_(torch.mm(gradient.t(), inputs))
        elif ctx.factor.dtype == target.dtype:
            torch.mm(gradient.t(), inputs, out=target)
        else:
            target.copy_(torch.mm(gradient.t(), inputs, out=ctx.factor))
        ctx.layer.stale = False
        return by_inputs, None, gradient.sum(dim=0), None


def mlp(n_inputs: int, hidden_size: int, n_traits: int, precision: str = "fp32") -> nn.Module:
    """Inputs → hidden → hidden → traits, each linear layer followed by batch normalisation, the output's too.

    `precision` is that of the products of the hidden layers; everything else is float32.
    """
    sizes = (n_inputs, hidden_size, hidden_size, n_traits)
    dtypes = (PRECISIONS[precision], PRECISIONS[precision], torch.float32)
    layers: list[nn.Module] = []
    for (inputs, outputs), dtype in zip(pairwise(sizes), dtypes, strict=True):
        layers += [Linear(inputs, outputs, dtype), nn.BatchNorm1d(outputs, momentum=MOMENTUM), nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)]
    return nn.Sequential(*layers[:-1])


def pick_precision(name: str, device: torch.device, hidden_size: int) -> str:
    """The precision a setting asks for; `auto`: bf16 where the device multiplies faster in it, and the layers are large enough to gain."""
    if name != "auto":
        return name
    faster = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _multiplies_faster_in_bf16()
    return "bf16" if faster and hidden_size >= FASTER_FROM else "fp32"


def _multiplies_faster_in_bf16() -> bool:
    """Whether this processor does: by AMX, or by AVX512-BF16 but for Intel's, which has half as many units for it as for fp32.

    Measured in tests/benchmarks/bench_networks.py.
    """
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or (able.get("avx512_bf16") and "Intel" not in able.get("cpu_name", "")))


def adamw_step(network: nn.Module, weight_decay: float, penalty: Callable[[], Tensor] | None = None) -> TrainingStep:
    """AdamW, as `torch.optim.AdamW` computes it, on the mean absolute error of any network, and a `penalty` of its weights, where given.

    Our own `Linear` layers overwrite their weight's gradient; all other gradients are added up by `backward`, and so set to 0 before.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    values = [parameter.detach() for parameter in parameters]
    gradients, first, second = ([torch.zeros_like(value) for value in values] for _ in range(3))
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    counts = [torch.zeros((), device=value.device) for value in values]
    layers = overwriting_layers(network)
    overwritten = {id(layer.weight) for layer in layers}
    summed = [gradient for parameter, gradient in zip(parameters, gradients, strict=True) if id(parameter) not in overwritten]

    def step(inputs: Tensor, wanted: Tensor, rate: float) -> None:
        torch._foreach_zero_(summed)
        for layer in layers:
            layer.uses, layer.stale = 0, True
        loss = nn.functional.l1_loss(network(inputs), wanted)
        (loss + penalty() if penalty else loss).backward()  # type: ignore[no-untyped-call]
        for layer in layers:
            if layer.stale and layer.weight.grad is not None:  # it had no part in the loss
                layer.weight.grad.zero_()
            layer.stale = False
        torch._foreach_add_(counts, 1)
        torch._fused_adamw_(values, gradients, first, second, [], counts, lr=rate, weight_decay=weight_decay, **ADAMW)

    return step


def perceptron_step(network: nn.Module, weight_decay: float) -> TrainingStep:
    """The `adamw_step` of a perceptron as `mlp` makes it, to the last bit.

    In float32 on a processor it is written out: at a few hundred units automatic differentiation costs as much as the products.
    """
    linears = [module for module in network.modules() if isinstance(module, Linear)]
    if any(linear.scratch is not None or linear.weight.device.type != "cpu" for linear in linears):
        return adamw_step(network, weight_decay)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]
    layers = list(zip(linears, norms, strict=True))
    values = [parameter.detach() for layer in layers for module in layer for parameter in (module.weight, module.bias)]
    first, second = ([torch.zeros_like(value) for value in values] for _ in range(2))
    buffers, count = [torch.empty_like(linear.weight) for linear in linears], torch.zeros(())

    @torch.no_grad()
    def step(inputs: Tensor, wanted: Tensor, rate: float) -> None:
        passed = []
        for linear, norm in layers:
            products = torch.addmm(linear.bias, inputs, linear.weight.t())
            state = (norm.running_mean, norm.running_var)
            normed, *moments = torch.native_batch_norm(products, norm.weight, norm.bias, *state, True, MOMENTUM, norm.eps)
            passed.append((inputs, products, (*state, *moments)))
            inputs = normed if norm is norms[-1] else nn.functional.leaky_relu_(normed, NEGATIVE_SLOPE)
        gradient, gradients = inputs.sub_(wanted).sign_().div_(wanted.numel()), list[Tensor]()
        for (linear, norm), target, (inputs, products, of_batch) in reversed(list(zip(layers, buffers, passed, strict=True))):
            gradient, *of_norm = torch.ops.aten.native_batch_norm_backward(
                gradient, products, norm.weight, *of_batch, True, norm.eps, [True] * 3
            )
            gradients[:0] = [torch.mm(gradient.t(), inputs, out=target), gradient.sum(dim=0), *of_norm]
            if linear is not linears[0]:
                gradient = torch.ops.aten.leaky_relu_backward(gradient @ linear.weight, inputs, NEGATIVE_SLOPE, True)
        count.add_(1)
        torch._fused_adamw_(values, gradients, first, second, [], [count] * len(values), lr=rate, weight_decay=weight_decay, **ADAMW)

    return step


def overwriting_layers(network: nn.Module) -> list[Linear]:
    """The layers that may overwrite their weight's gradient: ours, of a weight that no other module has."""
    owners = Counter(id(parameter) for module in network.modules() for parameter in module.parameters(recurse=False))
    return [module for module in network.modules() if isinstance(module, Linear) and owners[id(module.weight)] == 1]
