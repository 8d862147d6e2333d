"""Kernel ridge regression: of several kernels and many penalties, those of the smallest leave-one-out error, trait by trait."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from gpatlas.data.genotypes import FloatArray, Genotypes, Rows, blocks
from gpatlas.models.contract import FitProgress
from gpatlas.models.decomposed import Decomposed, leave_one_out_errors
from gpatlas.models.encoder import BLOCK_SIZE
from gpatlas.models.heritability import heritability_columns
from gpatlas.models.kernels import Kernel, KernelCoding, Sums
from gpatlas.models.ridge import penalties
from gpatlas.models.settings import PenaltySettings


@dataclass(frozen=True)
class ChosenKernels:
    """What was chosen for each trait: the `number` of the kernel from 0, and the `penalty`, (T,) each.

    `duals` (n, T): weights of the individuals in the kernel. By that kernel, under cross-validation: the columns `heritability`, and
    `inner_predictions` (n, T).
    """

    number: Rows
    penalty: FloatArray
    duals: FloatArray
    heritability: dict[str, FloatArray]
    inner_predictions: FloatArray | None

    @classmethod
    def of(
        cls,
        kernels: Iterable[Sequence[Decomposed]],
        n_kernels: int,
        phenotypes: FloatArray,
        settings: PenaltySettings,
        progress: FitProgress,
    ) -> "ChosenKernels":
        """One kernel serves all traits and penalties. Of kernels that do as well, the first one is chosen.

        A kernel (n, n) is centred and of mean diagonal 1. Those that share a decomposition come together; they are asked for when their
        turn comes, and not kept. The penalty is the ratio of the residual's variance to that of the genetic values.
        """
        n, n_traits = phenotypes.shape
        target, tried, number = phenotypes - phenotypes.mean(axis=0), penalties(settings), 0
        best, penalty, chosen = np.full(n_traits, np.inf), np.zeros(n_traits), np.zeros(n_traits, np.intp)
        duals, heritability = np.zeros((n, n_traits)), dict[str, FloatArray]()
        inner = np.zeros((n, n_traits)) if settings.protocol == "cross_validation" else None
        for together in kernels:
            projected = together[0].project(target)
            for kernel, errors in zip(together, leave_one_out_errors(together, projected, tried), strict=True):  # (T, P)
                better = errors.min(axis=1) < best
                best[better], chosen[better] = errors.min(axis=1)[better], number
                penalty[better] = tried[errors.argmin(axis=1)][better]
                duals[:, better] = kernel.residuals(projected[:, better], penalty[better]) / penalty[better]
                if inner is not None and better.any():
                    of_better = heritability_columns(kernel.squares, projected[:, better], target[:, better], kernel.columns)
                    for name, values in of_better.items():
                        heritability.setdefault(name, np.zeros(n_traits))[better] = values
                    inner[:, better] = kernel.inner_predictions(projected[:, better], phenotypes[:, better], penalty[better], settings.seed)
                number += 1
                progress(number, n_kernels)
            del kernel, together  # as large as the next ones
        return cls(chosen, penalty, duals, heritability, inner)


@dataclass(frozen=True)
class KernelPredictor:
    """`weights`: kernels, and what likeness to each of the `trained` individuals adds to a phenotype by them, (n, T); `intercept` (T,)."""

    trained: Genotypes
    coding: KernelCoding
    weights: tuple[tuple[Kernel, FloatArray], ...]
    intercept: FloatArray

    def __call__(self, genotypes: Genotypes) -> FloatArray:
        """Of n individuals: (n, T)"""
        names = {kernel.name for kernel, _ in self.weights}
        predicted = np.zeros((len(genotypes), len(self.intercept)))
        for start, stop in blocks(len(genotypes), BLOCK_SIZE):
            some = genotypes.rows(slice(start, stop))
            sums = Sums.of(some, self.trained, self.coding, squares="epistatic" in names, dominance="dominance" in names)
            for kernel, weights in self.weights:
                predicted[start:stop] += kernel(sums) @ weights
        return predicted + self.intercept
