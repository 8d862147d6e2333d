"""A network whose loci change each other's effects: a linear layer on one-hot alleles, beside a sparse layer of products of loci.

Of standardised loci z, a trait is Σ z_i·(Σ w_ij·z_j) beside its linear part: every locus has an effect that depends on the other
loci. Each weight is a product w = u·v of two trained ones, and starts at u small and v = 0. A pair that is strong in the data then
grows ever faster, while others stay near 0 (Woodworth et al. 2020, "Kernel and rich regimes in overparametrized models"), and
squares of u and v in the loss are a penalty on |w| that gradient descent can follow (Hoff 2017, doi 10.1016/j.csda.2017.06.007).
The slope of the mean absolute error by a weight without effect is a mean of n signs, whatever the noise, so the largest of P
is near sqrt(2·ln P/n): penalties are in this unit.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from gpatlas.data.genotypes import FloatArray, Genotypes
from gpatlas.models.clumps import Places, one_per_clump
from gpatlas.models.columns import Coding
from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.encoder import BLOCK_SIZE
from gpatlas.models.mlp import adamw_step
from gpatlas.models.network_settings import NetworkSettings
from gpatlas.models.registry import PairwiseSettings
from gpatlas.models.scan import Scanned, scanned_of
from gpatlas.models.training import Recipe, TrainingStep, refit, refuse_hopeless, share_of, tell_machine, train_recipe

CLUMP_R_SQUARED = 0.95  # neighbouring loci of at least this squared correlation are one, where not all loci enter the products
INTERESTING = 3.0  # standard errors: the score of a product of two loci that speaks for these


def fit(train: Part, validation: Part, settings: NetworkSettings, progress: FitProgress) -> dict[str, Fitted]:
    """With the penalty of the smallest loss, fitted again. Those who are fitted say which loci are in the products, and their coding."""
    tell_machine(settings, progress)
    coded, n_trainings = CodedLoci.of(train, settings.max_product_loci), len(settings.penalties) + 1
    tried = {}
    for number, penalty in enumerate(settings.penalties):
        recipe = network_recipe(coded, penalty, settings)
        tried[penalty] = train_recipe(recipe, train, validation, settings, share_of(progress, number, n_trainings))
    best = min(tried, key=lambda penalty: tried[penalty].training.loss)
    refuse_hopeless(tried[best].training.loss, validation, settings)
    everyone = train if settings.protocol == "paper" else train.joined(validation)
    recipe = network_recipe(CodedLoci.of(everyone, settings.max_product_loci), best, settings)
    fitted = refit(recipe, tried[best], train, validation).fitted()
    progress(n_trainings * settings.epochs, n_trainings * settings.epochs)
    return {"network": replace(fitted, columns={**fitted.columns, "penalty": best})}


@dataclass(frozen=True)
class CodedLoci:
    """What the products see: `loci` (k,), from 0, and the standardised number of each of their counts, `values` (k, counts).

    `n`: training individuals.
    """

    loci: Places
    values: FloatArray
    n: int

    @classmethod
    def of(cls, train: Part, n_most: int) -> "CodedLoci":
        """Learned from training individuals."""
        loci = loci_in_products(train, n_most)
        return cls(loci, standardised_values(train.genotypes)[loci], len(train.genotypes))

    @property
    def noise_level(self) -> float:
        """What the largest slope by a weight is near, where there is nothing."""
        return math.sqrt(2 * math.log(max(2, len(self.loci) * (len(self.loci) - 1) / 2)) / self.n)


def network_recipe(coded: CodedLoci, penalty: float, settings: NetworkSettings) -> Recipe["InteractionNetwork"]:
    """AdamW without weight decay."""

    def network(n_inputs: int, n_traits: int) -> InteractionNetwork:
        values, loci = torch.from_numpy(coded.values), torch.from_numpy(coded.loci)
        return InteractionNetwork(n_inputs, values, loci, n_traits, settings.initial_weight)

    def step(network: InteractionNetwork) -> TrainingStep:
        amount = penalty * coded.noise_level / network.linear.out_features  # the loss is a mean over traits
        return adamw_step(network, 0.0, lambda: amount * network.products.penalty())

    return Recipe(network, step)


class InteractionNetwork(nn.Module):
    """One-hot inputs (n, n_loci·counts) to traits (n, T).

    `loci` (k,) and `values` (k, counts): those in the products, as CodedLoci has them.
    """

    values: Tensor
    loci: Tensor

    def __init__(self, n_inputs: int, values: Tensor, loci: Tensor, n_traits: int, initial_weight: float) -> None:
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_traits)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.products = Products(len(loci), n_traits, initial_weight)
        self.register_buffer("values", values.float())
        self.register_buffer("loci", loci)

    def forward(self, inputs: Tensor) -> Tensor:
        """A missing call is 0 in all inputs, and so is the standardised locus."""
        one_hot = inputs.view(len(inputs), -1, self.values.shape[1]).index_select(1, self.loci)
        out: Tensor = self.linear(inputs) + self.products((one_hot * self.values).sum(dim=2))
        return out


class Products(nn.Module):
    """Σ u_ij·v_ij·z_i·z_j over k loci, of every trait: z (n, k) to (n, T)."""

    def __init__(self, n_loci: int, n_traits: int, initial_weight: float) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.full((n_loci, n_traits * n_loci), initial_weight))
        self.second = nn.Parameter(torch.zeros(n_loci, n_traits * n_loci))

    def forward(self, z: Tensor) -> Tensor:
        """A pair has two weights, w_ij and w_ji, which stay alike; w_ii is of the square, constant where a locus has two values."""
        effects = (z @ (self.first * self.second)).view(len(z), -1, z.shape[1])
        return torch.einsum("ntk,nk->nt", effects, z)

    def penalty(self) -> Tensor:
        """½·Σ(u² + v²), whose smallest value at given weights w is Σ|w|."""
        return (self.first.square().sum() + self.second.square().sum()) / 2


def standardised_values(train: Genotypes) -> FloatArray:
    """What each count of a locus is, (n_loci, counts), with mean 0 and variance 1 among the calls; 0 where a locus does not vary."""
    levels = np.arange(train.highest + 1)
    called = np.zeros((train.n_loci, len(levels)))
    for _, counts in train.blocks(BLOCK_SIZE):
        called += (counts[:, :, None] == levels).sum(axis=0)
    share = called / np.maximum(called.sum(axis=1, keepdims=True), 1)
    centred = levels - (share @ levels)[:, None]
    sd = np.sqrt((share * centred**2).sum(axis=1, keepdims=True))
    varies = (share > 0).sum(axis=1, keepdims=True) > 1
    values: FloatArray = np.divide(centred, sd, out=np.zeros_like(centred), where=np.broadcast_to(varies, centred.shape))
    return values


def loci_in_products(train: Part, n_most: int) -> Places:
    """From 0, ascending: all loci. Where these are more than `n_most`, one of every clump, and of these, where they are more, the `n_most`
    with the largest score, alone or in a pair, for any trait."""
    if train.genotypes.n_loci <= n_most:
        return np.arange(train.genotypes.n_loci)
    loci = one_per_clump(train.genotypes, CLUMP_R_SQUARED)
    if len(loci) <= n_most:
        return loci
    second = np.append(0, 1 + loci)
    columns = Coding.fit(train.genotypes).columns(train.genotypes).products(np.column_stack([np.zeros_like(second), second]))
    scanned, best = Scanned(columns, scanned_of(columns, PairwiseSettings())), np.zeros(len(columns))
    for phenotypes in train.phenotypes.T:
        terms, scores = scanned.above(phenotypes, INTERESTING)
        for places in terms.T:
            np.maximum.at(best, places, scores)
    return np.sort(loci[np.argsort(-best[1:], kind="stable")[:n_most]])
