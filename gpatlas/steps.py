"""What one step of training computes: its inputs, its networks, its optimisers. The loop around it is in `gpatlas.networks`.

PyTorch's own optimisers are not used: they take seconds to import, and their arithmetic is a line.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gpatlas.dataset import Genotypes, pack

Columns = npt.NDArray[np.int64]
Step = Callable[[Tensor, Tensor, float], None]  # inputs (B, k), phenotypes (B, T), learning rate
Shrink = Callable[[Tensor, Tensor, float], None]  # moves weight and bias against so much of a penalty's gradient
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
FASTER_FROM = 1024  # hidden units from which bf16 is faster than fp32, where it is at all

BITS = torch.from_numpy(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")).float()  # (256, 8)
ONE_HOT = torch.stack((1 - BITS, BITS), dim=2).flatten(1)  # (256, 16)


@dataclass(frozen=True)
class Inputs:
    """A model's 0/1 inputs on a device, as bits, of which every batch is expanded by itself: `bits` (n, b), `n_columns` of them.

    `table` (256, w): the w inputs that a byte stands for.
    """

    bits: Tensor
    table: Tensor
    n_columns: int

    @classmethod
    def of(cls, genotypes: Genotypes, columns: Columns | None, device: torch.device) -> "Inputs":
        """One-hot alleles, [1, 0] for allele 0, [0, 1] for allele 1, locus after locus; or some columns of them, by number."""
        if columns is None:
            return cls(torch.from_numpy(genotypes.packed).to(device), ONE_HOT.to(device), 2 * genotypes.n_loci)
        loci, alleles = columns // 2, columns % 2
        chosen = pack(((genotypes.packed[:, loci // 8] >> (loci % 8).astype(np.uint8)) & 1) == alleles)
        return cls(torch.from_numpy(chosen).to(device), BITS.to(device), len(columns))

    def rows(self, rows: Tensor) -> Tensor:
        """Those individuals' inputs, float32 (k, n_columns)."""
        return self.expand(self.bits.index_select(0, rows))

    def expand(self, bits: Tensor) -> Tensor:
        """Bits (k, b) to inputs, float32 (k, n_columns)."""
        return self.table.index_select(0, bits.flatten().int()).view(len(bits), -1)[:, : self.n_columns]


class Linear(nn.Linear):
    """A linear layer whose training step asks for no memory of its weight's size, and multiplies in `dtype`.

    The gradient by the weight goes where the last one was, `weight.grad`: fresh memory, page by page, costs as much as the
    product. In another precision than the weight's, `scratch` holds first the weight, then its gradient.
    """

    scratch: Tensor | None

    def __init__(self, n_inputs: int, n_outputs: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(n_inputs, n_outputs)
        scratch = None if dtype == self.weight.dtype else torch.empty_like(self.weight, dtype=dtype, requires_grad=False)
        self.register_buffer("scratch", scratch, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, n_inputs) to (n, n_outputs); in training of the layer's dtype, in evaluation float32."""
        if not self.training:
            return super().forward(inputs)
        product: Tensor = _Product.apply(inputs, self.weight, self.bias, self.scratch)  # type: ignore[no-untyped-call]
        return product


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, scratch: Tensor | None) -> Tensor:
        factor = weight if scratch is None else scratch.copy_(weight)
        inputs = inputs.to(factor.dtype)
        ctx.save_for_backward(inputs)
        ctx.factor, ctx.target = factor, weight.grad
        return torch.addmm(bias.to(factor.dtype), inputs, factor.t())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (inputs,), (gradient,), target = ctx.saved_tensors, gradients, ctx.target
        by_inputs = gradient @ ctx.factor if ctx.needs_input_grad[0] else None
        if ctx.factor.dtype == target.dtype:
            torch.mm(gradient.t(), inputs, out=target)
        else:
            target.copy_(torch.mm(gradient.t(), inputs, out=ctx.factor))
        return by_inputs, None, gradient.sum(dim=0), None


def mlp(n_inputs: int, hidden_size: int, n_traits: int, precision: str = "fp32") -> nn.Module:
    """Inputs → hidden → hidden → traits, each linear layer followed by batch normalisation, the output's too.

    `precision` is that of the products of the hidden layers; everything else is float32.
    """
    sizes = (n_inputs, hidden_size, hidden_size, n_traits)
    dtypes = (PRECISIONS[precision], PRECISIONS[precision], torch.float32)
    layers: list[nn.Module] = []
    for (inputs, outputs), dtype in zip(pairwise(sizes), dtypes, strict=True):
        layers += [Linear(inputs, outputs, dtype), nn.BatchNorm1d(outputs, momentum=0.8), nn.LeakyReLU(0.01, inplace=True)]
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


def adamw_step(network: nn.Module, weight_decay: float) -> Step:
    """AdamW, as `torch.optim.AdamW` computes it, on the mean absolute error of an `mlp`."""
    values = [parameter.detach() for parameter in network.parameters()]
    gradients, first, second = ([torch.zeros_like(value) for value in values] for _ in range(3))
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        parameter.grad = gradient
    counts = [torch.zeros((), device=value.device) for value in values]
    summed = [gradient for gradient in gradients if gradient.dim() == 1]  # by `backward`, which overwrites the others
    fixed: dict[str, Any] = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": False, "maximize": False}

    def step(inputs: Tensor, wanted: Tensor, rate: float) -> None:
        torch._foreach_zero_(summed)
        nn.functional.l1_loss(network(inputs), wanted).backward()  # type: ignore[no-untyped-call]
        torch._foreach_add_(counts, 1)
        torch._fused_adamw_(values, gradients, first, second, [], counts, lr=rate, weight_decay=weight_decay, **fixed)

    return step


def sgd_step(linear: nn.Linear, shrink: Shrink, penalty: float) -> Step:
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


@dataclass
class Plateau:
    """A learning rate, halved at the fourth loss in a row that is not 0.01 % below the best.

    As `torch.optim.lr_scheduler.ReduceLROnPlateau(factor=0.5, patience=3)` has it, which also leaves rates below 2e-8 alone.
    """

    rate: float
    best: float = math.inf
    waited: int = 0

    def see(self, loss: float) -> None:
        if loss < self.best * (1 - 1e-4):
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > 3:
            self.waited = 0
            self.rate *= 0.5 if self.rate > 2e-8 else 1
