"""Iterated screening of linked loci, or of very many, in front of a polygenic background.

As `gpatlas.models.screening`, with three differences. Loci are the representatives of clumps. What is screened is V⁻¹·(phenotype − terms),
V the covariance of the background, so that many small effects neither make a term nor hide one (EMMAX; Kang et al. 2010, doi
10.1038/ng.548). And the level depends on how many independent terms a term is one of, M loci being independent: sqrt(2·ln M) for an
additive effect, sqrt(2·ln(k·M)) for a pair with one of the k loci that the model has already, sqrt(2·ln(M·(M + 1)/2)) for any other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gpatlas.data.genotypes import FloatArray
from gpatlas.models.background import Background, Mixed
from gpatlas.models.clumps import Clumps, effective_number, unit_length
from gpatlas.models.columns import Columns, Mask, Singles, Terms
from gpatlas.models.encoder import Numbers
from gpatlas.models.registry import PairwiseSettings
from gpatlas.models.scan import NOTHING, Scanned, scanned_of
from gpatlas.models.screening import settle

MOST_ROUNDS = 30  # at one threshold
ENTERING_SHARE = 100  # one term per so many individuals enters in a round at most
MOST_CANDIDATES = 300  # that are compared with each other
ALIKE = 0.1  # squared correlation of two candidates of which only the stronger enters
SAME = 0.8  # squared correlation with a term of the model above which a candidate stays out


@dataclass(frozen=True)
class LinkedPart(Scanned):
    """The `columns` are those of the constant and of the clumps' representatives, `background` is of all loci.

    `n_independent`: how many independent loci the representatives are worth.
    """

    background: Background
    n_independent: float

    @classmethod
    def of(cls, columns: Columns, numbers: Numbers, clumps: Clumps, settings: PairwiseSettings) -> "LinkedPart":
        """Of these individuals' columns of all loci, and their numbers."""
        chosen = representatives(columns, clumps)
        return cls(chosen, scanned_of(chosen, settings), Background.of(numbers), effective_number(chosen))

    @cached_property
    def _projected_squares(self) -> Singles:
        """Of scoresᵀ·x of the loci, (rank, 1 + M)."""
        total = np.zeros((self.background.scores.shape[1], len(self.columns)), np.float32)
        for rows, x in self.columns.blocks():
            total += self.background.scores[rows].T.astype(np.float32) @ x.T
        return total**2

    def levels(self, n_partners: int) -> tuple[float, float, float]:
        """What the largest score is near where there is nothing: of the loci, of pairs with one of `n_partners` loci, of all pairs."""
        m = max(2.0, self.n_independent)
        tests = np.array([m, m * max(1, n_partners), m * (m + 1) / 2])
        single, partnered, pair = np.sqrt(2 * np.log(tests)).tolist()
        return single, min(partnered, pair), pair

    def scan(self, mixed: Mixed, partners: Mask, lowest: float, most: int) -> tuple[Terms, FloatArray]:
        """The loci, and `most` pairs, whose score is above `lowest` of its level, the strongest first, and score / level.

        `partners`: (1 + M,)
        """
        single, partnered, pair = self.levels(int(partners.sum()))
        of_loci = self._of_singles(mixed) / single
        loci = np.flatnonzero(of_loci > lowest)
        pairs, of_pairs = self.strongest(mixed.residual, np.where(partners, partnered, pair), lowest, most, singles=False)
        terms = np.concatenate([np.column_stack([np.zeros_like(loci), loci]), pairs])
        relative = np.concatenate([of_loci[loci], of_pairs])
        order = np.argsort(-relative, kind="stable")
        return terms[order], relative[order]

    def _of_singles(self, mixed: Mixed) -> FloatArray:
        """The scores of the loci, (1 + M,): their own share in the background is in V too, so that x·V⁻¹·x is far below n."""
        n = self.columns.n
        lengths = n - mixed.weights.astype(np.float32) @ self._projected_squares
        scores = np.abs(self.columns.dot(mixed.residual)) / np.sqrt(max(mixed.variance, 1e-12) * np.maximum(lengths, 1e-3 * n))
        scores[~self.varying] = 0
        scores[0] = 0
        return np.asarray(scores)


@dataclass(frozen=True)
class LinkedModel:
    """The `terms` (k, 2) of a model, the intercept first, and their fit in front of the background."""

    part: LinkedPart
    terms: Terms
    mixed: Mixed

    @classmethod
    def start(cls, part: LinkedPart, phenotype: FloatArray) -> "LinkedModel":
        """The background alone, with the penalty of the largest restricted likelihood."""
        background, centred, ones = part.background, phenotype - phenotype.mean(), np.ones((len(phenotype), 1))
        mixed = Mixed(background, float(background.penalties[0]), centred, ones, background.scores.T @ ones, background.scores.T @ centred)
        return cls(part, np.zeros((1, 2), np.intp), mixed).tuned()

    def tuned(self) -> "LinkedModel":
        """With the penalty of the largest restricted likelihood."""
        tried = [replace(self.mixed, penalty=float(penalty)) for penalty in self.part.background.penalties]
        return replace(self, mixed=min(tried, key=lambda mixed: mixed.deviance))

    def changed(self, kept: Mask, entering: Terms) -> "LinkedModel":
        """Without the terms that are not `kept` (k,), and with those `entering`."""
        fresh = self.part.columns.products(entering).x(0, self.part.columns.n).T.astype(np.float64)
        projected = self.part.background.scores.T @ fresh
        mixed = replace(
            self.mixed,
            terms=np.concatenate([self.mixed.terms[:, kept], fresh], axis=1),
            projected=np.concatenate([self.mixed.projected[:, kept], projected], axis=1),
        )
        return LinkedModel(self.part, np.concatenate([self.terms[kept], entering]), mixed)

    def levels(self) -> FloatArray:
        """Of every term, (k,), by the loci of the others."""
        counts = np.bincount(self.terms[self.terms > 0], minlength=len(self.part.columns))
        single, partnered, pair = self.part.levels(int((counts > 0).sum()))
        shared = (counts[self.terms] > 1) & (self.terms > 0)
        levels = np.where(shared.any(axis=1), partnered, pair)
        levels[self.terms[:, 0] == 0] = single
        levels[0] = 0
        return np.asarray(levels)

    def settled(self, threshold: float, enter: bool = True) -> "LinkedModel":
        """The model that neither takes in nor loses a term, or that comes up again, at a factor on the levels.

        Without `enter`, terms only leave.
        """
        return settle(self, lambda model: model.kept(threshold), lambda model: model.entering(threshold) if enter else NOTHING, MOST_ROUNDS)

    def kept(self, threshold: float) -> Mask:
        """The terms that stay at a factor on the levels, (k,)."""
        kept = np.abs(self.mixed.z) >= threshold * self.levels()
        kept[0] = True
        return np.asarray(kept)

    def entering(self, threshold: float) -> Terms:
        """The strongest further terms, of which no two are alike, as many as may enter at once."""
        partners = np.zeros(len(self.part.columns), bool)
        partners[self.terms[self.terms > 0]] = True
        terms, _ = self.part.scan(self.mixed, partners, threshold, MOST_CANDIDATES + len(self.terms))
        size = len(partners)
        terms = terms[~np.isin(terms @ [size, 1], self.terms @ [size, 1])][:MOST_CANDIDATES]
        n = self.part.columns.n
        room = min(n // 4 - len(self.terms), -(-n // ENTERING_SHARE))
        if not len(terms) or room <= 0:
            return terms[:0]
        candidates = unit_length(self.part.columns.products(terms).x(0, n))
        there = unit_length(self.mixed.terms[:, 1:].T.astype(np.float32))
        still: Mask = np.asarray(candidates.any(axis=1) & ~((candidates @ there.T) ** 2 > SAME).any(axis=1))
        alike: Mask = np.asarray((candidates @ candidates.T) ** 2 > ALIKE)
        chosen: list[int] = []
        for number in range(len(terms)):
            if still[number] and len(chosen) < room:
                chosen.append(number)
                still &= ~alike[number]
        return terms[chosen]


def linked_path(model: LinkedModel, thresholds: Sequence[float]) -> Iterator[tuple[float, LinkedModel]]:
    """The background alone, then what the model becomes at one threshold after the other, down to the lowest and up again."""
    yield np.nan, model
    for threshold in thresholds:
        model = model.settled(threshold).tuned()
        yield threshold, model
    for threshold in thresholds[-2::-1]:
        model = model.settled(threshold, enter=False).tuned()
        yield threshold, model


def representatives(columns: Columns, clumps: Clumps) -> Columns:
    """The constant, and the columns of the clumps' representatives."""
    chosen = np.zeros(len(columns), bool)
    chosen[0] = True
    chosen[clumps.representative] = True
    return columns.joined(chosen, columns.products(np.empty((0, 2), np.intp)))
