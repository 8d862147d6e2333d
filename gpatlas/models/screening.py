"""Iterated screening: the sparse sum of products of two loci that explains a phenotype.

With x = 2·allele − 1 and a constant x_0 = 1, every term is a product x_i·x_j: the intercept (0, 0), the additive effect of a
locus (0, j), the interaction of a pair (i, j). All terms are scored at once against the residual r of the present fit, by
z = Σ r·x_i·x_j / (sd(r)·√n), a standard normal number where there is nothing: the largest of N such numbers is near
sqrt(2·ln N). Terms above a level enter, all are fitted again by least squares, those that fell below the level leave, until
nothing changes. As terms enter, the residual shrinks, and what was hidden in it comes above the level. Where genotypes have three
values, or calls are missing, x is the count with mean 0 and variance 1, and √Σ(x_i·x_j)² stands for √n. Where scoring all terms takes
long, those that came near the level are scored alone, until none of them enters; then all are again. For loci without strong
linkage: of pairs that agree in nearly every individual, any may be the one that is found.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol, Self, TypeVar

import numpy as np

from gpatlas.data.genotypes import FloatArray
from gpatlas.models.columns import Columns, Mask, Terms
from gpatlas.models.registry import PairwiseSettings
from gpatlas.models.scan import NOTHING, Scanned, scanned_of

MOST_ROUNDS = 50  # at one threshold
ENTERING_SHARE = 50  # one term per so many individuals enters in a round at most
WATCHED = 0.75  # of the lowest level: the score from which a term is watched
MOST_WATCHED = 20_000
JITTER = 1e-6  # on the mean squares of the terms, which are 1
C = TypeVar("C", bound="Changing")


@dataclass(frozen=True)
class ScreenedPart(Scanned):
    """Scores below `lowest_threshold`, a factor on the noise level, are of no interest. `with_loci`: every locus has an additive effect,
    whatever its score.
    """

    with_loci: bool
    lowest_threshold: float

    @classmethod
    def of(cls, columns: Columns, with_loci: bool, settings: PairwiseSettings) -> "ScreenedPart":
        """Of these individuals' columns."""
        return cls(columns, scanned_of(columns, settings), with_loci, min(settings.thresholds))

    @property
    def n_loci(self) -> int:
        return len(self.columns) - 1

    @cached_property
    def fixed(self) -> Terms:
        """The terms of every model: the intercept and, `with_loci`, the additive effects of all loci."""
        second = np.arange(len(self.columns) if self.with_loci else 1)
        return np.column_stack([np.zeros_like(second), second])

    @cached_property
    def fixed_inverse(self) -> FloatArray:
        """The inverse of the matrix Σ x·x of these terms."""
        columns = self.columns.products(self.fixed)
        return np.asarray(np.linalg.inv(with_jitter(columns.cross(columns), columns.n)), np.float64)

    @property
    def noise_level(self) -> float:
        """What the largest score of all terms is near, where there is nothing."""
        return float(np.sqrt(2 * np.log(self.n_loci * (self.n_loci + 1) / 2)))

    def scan(self, residual: FloatArray, lowest: float, most: int, among: Terms | None = None) -> tuple[Terms, FloatArray]:
        """The terms whose score is above `lowest`, a factor on the noise level, the strongest first, `most` at most, and the scores.

        `residual`: (n,). `among`: as `strongest` has it.
        """
        terms, relative = self.strongest(residual, np.full(len(self.columns), self.noise_level), lowest, most, among=among)
        return terms, relative * self.noise_level


@dataclass(frozen=True)
class LeastSquares:
    """Least squares on `terms`, whose columns are `columns`, of a centred phenotype.

    `inverse` (k, k) is that of the matrix Σ x·x over the individuals, `moments` (k,) are Σ x·phenotype.
    """

    population: ScreenedPart
    phenotype: FloatArray
    terms: Terms
    columns: Columns
    inverse: FloatArray
    moments: FloatArray

    @classmethod
    def start(cls, population: ScreenedPart, phenotype: FloatArray) -> "LeastSquares":
        """With the terms that never leave."""
        columns, centred = population.columns.products(population.fixed), phenotype - phenotype.mean()
        return cls(population, centred, population.fixed, columns, population.fixed_inverse, columns.dot(centred))

    def joined(self, terms: Terms) -> "LeastSquares":
        """With those terms too, where they are not in the model."""
        return self.changed(np.ones(len(self.terms), bool), terms[~self.contains(terms)])

    def contains(self, terms: Terms) -> Mask:
        size = len(self.population.columns)
        mine, theirs = np.sort(self.terms @ [size, 1]), terms @ [size, 1]
        return np.asarray(mine[np.searchsorted(mine[:-1], theirs)] == theirs)

    def changed(self, kept: Mask, entering: Terms) -> "LeastSquares":
        """Without the terms that are not `kept` (k,), and with those `entering`. The products of the kept are not computed again."""
        fresh, n_kept = self.population.columns.products(entering), int(kept.sum())
        columns = self.columns.joined(kept, fresh)
        cross = columns.cross(fresh)
        inverse = bordered(without(self.inverse, kept), cross[:n_kept], with_jitter(cross[n_kept:], fresh.n))
        moments = np.concatenate([self.moments[kept], fresh.dot(self.phenotype)])
        return LeastSquares(self.population, self.phenotype, np.concatenate([self.terms[kept], entering]), columns, inverse, moments)

    @cached_property
    def effects(self) -> FloatArray:
        """Of the terms, (k,)."""
        effects: FloatArray = self.inverse @ self.moments
        return effects

    @cached_property
    def residual(self) -> FloatArray:
        """Phenotype − fit, (n,)."""
        return self.phenotype - self.columns.weighted_sum(self.effects)

    @cached_property
    def scores(self) -> FloatArray:
        """Of the terms, (k,): effect / standard error."""
        variance = self.residual @ self.residual / (self.columns.n - len(self.terms))
        errors = np.sqrt(variance * self.inverse.diagonal())
        scores: FloatArray = np.divide(self.effects, errors, out=np.zeros(len(errors)), where=errors > 0)
        return scores

    @cached_property
    def candidates(self) -> tuple[Terms, FloatArray]:
        """Further terms, the strongest first, and their scores: as many as may enter at once, at least; and where scans are large, those
        that may soon.
        """
        lowest, most = self.population.lowest_threshold, self._most_entering + len(self.terms)
        if self.population.is_large:
            lowest, most = WATCHED * lowest, max(MOST_WATCHED, most)
        return self._new(*self.population.scan(self.residual, lowest, most))

    def _new(self, terms: Terms, scores: FloatArray) -> tuple[Terms, FloatArray]:
        new = ~self.contains(terms)
        return terms[new], scores[new]

    @property
    def _most_entering(self) -> int:
        return -(-self.columns.n // ENTERING_SHARE)

    def settled(self, threshold: float, enter: bool = True) -> "LeastSquares":
        """The model that neither takes in nor loses a term, or that comes up again, at a factor on the noise level.

        Without `enter`, terms only leave.
        """
        level = threshold * self.population.noise_level
        kept = partial(LeastSquares.kept, level=level)
        if not enter:
            return settle(self, kept, lambda _: NOTHING, MOST_ROUNDS)
        model = settle(self, kept, Watch(level, NOTHING).entering, MOST_ROUNDS) if self.population.is_large else self
        return settle(model, kept, partial(LeastSquares.entering, level=level), MOST_ROUNDS)

    def kept(self, level: float) -> Mask:
        """The terms that stay at a level, (k,)."""
        return (np.abs(self.scores) >= level) | (np.arange(len(self.terms)) < len(self.population.fixed))

    def entering(self, level: float, among: Terms | None = None) -> Terms:
        """The strongest of the candidates above a level, or `among` those, as many as may enter at once."""
        most = max(0, min(PairwiseSettings.most_terms(self.columns.n, self.population.n_loci) - len(self.terms), self._most_entering))
        if among is None:
            terms, scores = self.candidates
        else:
            lowest = level / self.population.noise_level
            terms, scores = self._new(*self.population.scan(self.residual, lowest, most + len(self.terms), among))
        return terms[scores >= level][:most]

    def predict(self, columns: Columns) -> FloatArray:
        """Of other individuals, given the columns of their loci: (n,)"""
        return columns.products(self.terms).weighted_sum(self.effects)


@dataclass
class Watch:
    """What enters at a level: of the `terms` that are watched; where none of these does, all are scanned, and others are watched."""

    level: float
    terms: Terms

    def entering(self, model: LeastSquares) -> Terms:
        """As LeastSquares has it."""
        entering = model.entering(self.level, self.terms)
        if not len(entering):
            entering = model.entering(self.level)
            watched = np.concatenate([model.candidates[0], model.terms[len(model.population.fixed) :]])
            self.terms = watched[np.lexsort(watched.T[::-1])]
        return entering


class Changing(Protocol):
    """A model whose terms come and go."""

    @property
    def terms(self) -> Terms:
        """(k, 2)"""

    def changed(self, kept: Mask, entering: Terms) -> Self:
        """Without the terms that are not `kept` (k,), and with those `entering`."""


def settle(model: C, kept: Callable[[C], Mask], entering: Callable[[C], Terms], most_rounds: int) -> C:
    """The model that neither takes in nor loses a term, or that comes up again."""
    seen = set[bytes]()
    for _ in range(most_rounds):
        staying, new = kept(model), entering(model)
        if staying.all() and not len(new):
            break
        model = model.changed(staying, new)
        state = model.terms[np.lexsort(model.terms.T)].tobytes()
        if state in seen:
            break
        seen.add(state)
    return model


def path(model: LeastSquares, thresholds: Sequence[float]) -> Iterator[tuple[float, LeastSquares]]:
    """What the model becomes at one threshold after the other, down to the lowest and up again.

    On the way up, terms only leave: what a low threshold has brought in by mistake, a higher one sorts out.
    """
    for threshold in thresholds:
        model = model.settled(threshold)
        yield threshold, model
    for threshold in thresholds[-2::-1]:
        model = model.settled(threshold, enter=False)
        yield threshold, model


def with_jitter(matrix: FloatArray, n: int) -> FloatArray:
    """So that the equations of terms that are equal in all `n` individuals can be solved."""
    return matrix + JITTER * n * np.eye(len(matrix))


def without(inverse: FloatArray, kept: Mask) -> FloatArray:
    """The inverse of a symmetric matrix, of which only the `kept` rows and columns are left."""
    if kept.all():
        return inverse
    staying, leaving = np.flatnonzero(kept), np.flatnonzero(~kept)
    rows, corner = inverse.take(staying, axis=0), inverse.take(leaving, axis=0).take(leaving, axis=1)
    across = rows.take(leaving, axis=1)
    smaller: FloatArray = rows.take(staying, axis=1) - across @ np.linalg.solve(corner, across.T)
    return smaller


def bordered(inverse: FloatArray, across: FloatArray, corner: FloatArray) -> FloatArray:
    """The inverse (k + l, k + l) of a symmetric matrix to which columns were added: `across` (k, l) above `corner` (l, l)."""
    k, n_added = across.shape
    if not n_added:
        return inverse
    spread = inverse @ across
    schur = np.linalg.inv(corner - across.T @ spread)
    larger = np.empty((k + n_added, k + n_added))
    np.add(inverse, spread @ schur @ spread.T, out=larger[:k, :k])
    larger[:k, k:], larger[k:, :k], larger[k:, k:] = -spread @ schur, -schur @ spread.T, schur
    return larger
