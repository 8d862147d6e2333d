"""The pairs of columns with the largest scores: all are scanned by products of matrices, those that matter are scored again, exactly.

Scans are in single precision. Large ones of columns of −1 and +1 are in whole numbers of 8 bits, where the processor has instructions
for these. The residual is then rounded up or down at random, so that an error of a score beyond SURE·step·√n has a probability below
1e-24 (Hoeffding 1963, doi 10.1080/01621459.1963.10500830). What is found does not depend on which way it was, nor on the number of
threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from gpatlas.data.genotypes import FloatArray, blocks
from gpatlas.models.columns import Columns, Mask, NumberColumns, SignColumns, Singles, Terms
from gpatlas.models.registry import PairwiseSettings

if TYPE_CHECKING:
    from torch import Tensor

SCAN_BLOCK = 256  # columns scored against all others at once; fewer of few, as a block's scores with itself are there twice
SMALLEST_BLOCK = 64
MARGIN = 1e-3  # of scores in single precision: far more than they err by
SURE = 5.3  # √(ln(2e24) / 2)
WIDEST = 1.5  # margin up to which whole numbers are used: few scores are that near a level
LARGE = 2e10  # products in a scan from which on fewer scans, 8-bit products and the start of torch, which takes seconds, are worth it
RESCORED = 2**19  # products of pairs held at once
DECIMALS = 9  # of scores: equal products have equal scores, however they are added up
NOTHING: Terms = np.empty((0, 2), np.intp)


@dataclass(frozen=True)
class Scanned:
    """Individuals to screen: the `columns` of all of them, and `scanned` (1 + n_loci, n_scanned), x of those that score terms.

    A locus that does not vary is 0 in `scanned`, so that no term with it is ever found. The score of a term is
    |Σ r·x_i·x_j| / (sd(r)·√Σ(x_i·x_j)²) for the residual r.
    """

    columns: Columns
    scanned: Singles

    @property
    def is_large(self) -> bool:
        """Whether a scan takes long."""
        k, n = self.scanned.shape
        return bool(n * k * k / 2 >= LARGE)

    def above(self, residual: FloatArray, lowest: float) -> tuple[Terms, FloatArray]:
        """All terms whose score is above `lowest`, and the scores, to single precision. `residual`: (n,)"""
        terms, scores = self._found(SingleProduct(self.scanned, self._weights(residual)), lowest)
        return terms, scores.astype(np.float64)

    def strongest(
        self, residual: FloatArray, levels: FloatArray, lowest: float, most: int, singles: bool = True, among: Terms | None = None
    ) -> tuple[Terms, FloatArray]:
        """The terms with the largest score / level of those above `lowest`, the strongest first, `most` at most; and score / level.

        `levels` (1 + n_loci,): the level of a pair is the smaller of its two. Without `singles`, no terms of one locus. `among` (k, 2):
        of these terms alone, in ascending order, which takes little time where they are few.
        """
        weights = self._weights(residual)
        if among is None:
            product = self._product(weights)
            margin = product.margin
            terms, scores = self._found(product, lowest * levels.min() - margin)
        else:
            terms, scores, margin = among, self._scores(among, weights.astype(np.float32)).astype(np.float32), MARGIN
        limits = levels[terms].min(axis=1)
        near = (scores > lowest * limits - margin) & (singles | (terms[:, 0] > 0))
        terms, limits, relative = terms[near], limits[near], scores[near] / limits[near]
        if len(terms) > most:
            near = relative >= np.partition(relative, -most)[-most] - 2 * margin / levels.min()
            terms, limits = terms[near], limits[near]
        relative = self._scores(terms, weights).round(DECIMALS) / limits
        order = np.argsort(-relative, kind="stable")
        order = order[relative[order] > lowest][:most]
        return terms[order], relative[order]

    def _weights(self, residual: FloatArray) -> FloatArray:
        centred = residual[: self.scanned.shape[1]] - residual[: self.scanned.shape[1]].mean()
        return np.asarray(centred / (np.linalg.norm(centred) or 1))

    def _product(self, weights: FloatArray) -> "Product":
        if isinstance(self.columns, SignColumns) and self.is_large and multiplies_bytes():
            product = ByteProduct.of(self._bytes, weights)
            if product.margin < WIDEST:
                return product
        return SingleProduct(self.scanned, weights)

    def _found(self, product: "Product", lowest: float) -> tuple[Terms, Singles]:
        terms, found = [NOTHING], [np.empty(0, np.float32)]
        for number, (start, stop) in enumerate(self._blocks()):
            scores = product.rows(start, stop)
            np.abs(scores, out=scores)
            if self._squares is not None:
                scores *= self._inverse_lengths(start, stop) if self._kept is None else self._kept[number]
            first, second = np.nonzero(scores > lowest)
            upper = first < second
            first, second = first[upper], second[upper]
            terms.append(np.column_stack([first, second]) + start)
            found.append(scores[first, second])
        return np.concatenate(terms), np.concatenate(found)

    def _blocks(self) -> Iterator[tuple[int, int]]:
        k = len(self.scanned)
        return blocks(k, min(SCAN_BLOCK, max(SMALLEST_BLOCK, k // 8)))

    def _scores(self, terms: Terms, weights: npt.NDArray[np.floating]) -> FloatArray:
        """In the precision of the weights."""
        scores = np.empty(len(terms))
        for start, stop in blocks(len(terms), max(1, RESCORED // len(weights))):
            products = self._first.products(terms[start:stop]).x(0, len(weights)).astype(weights.dtype, copy=False)
            scores[start:stop] = np.abs(products @ weights)
            if self._squares is not None:
                lengths = np.sqrt(np.einsum("kn,kn->k", products, products) / len(weights))
                np.divide(scores[start:stop], lengths, out=scores[start:stop], where=lengths > 0)
        scores[~self.varying[terms].all(axis=1)] = 0
        return scores

    @cached_property
    def _first(self) -> Columns:
        """The columns of the individuals that are scanned."""
        n = self.scanned.shape[1]
        return SignColumns(self.columns.bits[:, : -(-n // 8)], n) if isinstance(self.columns, SignColumns) else NumberColumns(self.scanned)

    @cached_property
    def varying(self) -> Mask:
        """Of the columns, those that are scanned."""
        return np.asarray(self.scanned.any(axis=1))

    @cached_property
    def _bytes(self) -> "Tensor":
        import torch

        return torch.from_numpy(self.scanned.astype(np.int8))

    @cached_property
    def _squares(self) -> Singles | None:
        """Those of `scanned`; None where all are 1, or 0 throughout a locus."""
        return None if isinstance(self.columns, SignColumns) else self.scanned**2

    @cached_property
    def _kept(self) -> list[Singles] | None:
        """The inverse lengths of all blocks, where they take no more memory than the columns."""
        k, n = self.scanned.shape
        return [self._inverse_lengths(start, stop) for start, stop in self._blocks()] if k <= 2 * n else None

    def _inverse_lengths(self, start: int, stop: int) -> Singles:
        assert self._squares is not None
        mean_squares = self._squares[start:stop] @ self._squares[start:].T / self.scanned.shape[1]
        return np.asarray(np.divide(1, np.sqrt(mean_squares), out=np.zeros_like(mean_squares), where=mean_squares > 0))


class Product(Protocol):
    """Σ weight·x_i·x_j of k columns x (k, n), off by less than `margin`."""

    @property
    def margin(self) -> float: ...

    def rows(self, start: int, stop: int) -> Singles:
        """Of the columns from `start` to `stop` with these and all behind them, (stop − start, k − start)."""


@dataclass(frozen=True)
class SingleProduct:
    """In single precision, of weights whose squares add up to 1."""

    x: Singles
    weights: FloatArray
    margin: float = MARGIN

    def rows(self, start: int, stop: int) -> Singles:
        """As Product has it."""
        return np.asarray((self.x[start:stop] * self.weights.astype(np.float32)) @ self.x[start:].T)


@dataclass(frozen=True)
class ByteProduct:
    """In whole numbers of 8 bits: columns of −1, 0 and +1, `weights` in units of `step`."""

    x: "Tensor"
    weights: "Tensor"
    step: float

    @classmethod
    def of(cls, x: "Tensor", weights: FloatArray) -> "ByteProduct":
        """Of weights of any size."""
        import torch

        step = float(np.abs(weights).max() / 126) or 1.0
        return cls(x, torch.from_numpy(dithered(weights / step).astype(np.int8)), step)

    @property
    def margin(self) -> float:
        """Of the rounding."""
        return SURE * self.step * float(np.sqrt(len(self.weights)))

    def rows(self, start: int, stop: int) -> Singles:
        """As Product has it."""
        import torch

        return np.asarray(torch._int_mm(self.x[start:stop] * self.weights, self.x[start:].T).float().mul_(self.step).numpy())


def dithered(values: FloatArray) -> FloatArray:
    """To whole numbers, up or down at random: the nearer, the more probable, so that none is off on average."""
    return np.asarray(np.floor(values + np.random.default_rng(1).random(len(values))))


@cache
def multiplies_bytes() -> bool:
    """Whether this processor has instructions for products of whole numbers of 8 bits."""
    described = Path("/proc/cpuinfo")
    return described.exists() and "vnni" in described.read_text()


def scanned_of(columns: Columns, settings: PairwiseSettings) -> Singles:
    """Of the first individuals, as Scanned has it. What `columns` hold stays as it is."""
    x = columns.x(0, min(settings.max_scan_individuals, columns.n))
    constant = np.ptp(x[1:], axis=1) == 0
    if constant.any() and not x.flags.owndata:
        x = x.copy()
    x[1:][constant] = 0
    return x
