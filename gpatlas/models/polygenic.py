"""Terms in front of a polygenic background, as a model that predicts: what inner folds choose, the fit, the pairs and their intervals."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt
import pandas as pd

from gpatlas.data.genotypes import FloatArray
from gpatlas.models.background import Mixed
from gpatlas.models.clumps import Clumps, Places, standardised, unit_length
from gpatlas.models.columns import Coding, Columns, InnerFold, Mask, Terms
from gpatlas.models.encoder import Numbers, times
from gpatlas.models.linked import LinkedModel, LinkedPart, linked_path, representatives
from gpatlas.models.registry import PairwiseSettings
from gpatlas.models.ridge import RidgeFit, penalties

FACTORS = np.array([1 / 3, 1, 3, 1e6])  # on the background's penalty; the last leaves nothing of it
SHRINKAGES = np.array([1.0, 10.0, 100.0])  # penalties of the terms
SURE = 1.0  # standard errors by which terms must be better than the background alone
NEAR, FAR = 0.25, 300  # squared correlation with a term's locus, and loci from it, up to which another may be meant
DROP = 4 * np.log(10)  # of a squared score: 2 units of log10 likelihood


@dataclass(frozen=True)
class LinkedTrial:
    """A fold's steps of the schedule: the `terms` of each, and what they miss, `misses` (steps, factors, shrinkages, held out)."""

    terms: list[Terms]
    misses: FloatArray


@dataclass(frozen=True)
class LinkedChoice:
    """The step of the schedule, the factor on the background's penalty and the terms' shrinkage; `misses` (k,): of the folds, in turn."""

    step: int
    factor: float
    shrinkage: float
    misses: FloatArray


def cross_linked(fold: InnerFold, clumps: Clumps, settings: PairwiseSettings) -> Iterator[LinkedTrial]:
    """Of every trait, the steps of the schedule without the others of a fold."""
    encoder = fold.coding.encoder
    part = LinkedPart.of(fold.columns, encoder.encode(fold.rest.genotypes), clumps, settings)
    columns = representatives(fold.other_columns, clumps)
    scores = part.background.scores_of(encoder.encode(fold.others.genotypes))
    for phenotype, wanted in zip(fold.rest.phenotypes.T, fold.others.phenotypes.T, strict=True):
        terms, misses = [], []
        for _, model in linked_path(LinkedModel.start(part, phenotype), settings.background_thresholds):
            terms.append(model.terms)
            x = columns.products(model.terms).x(0, columns.n).T
            misses.append([[_misses(mixed, x, scores, wanted - phenotype.mean()) for mixed in of] for of in _variants(model.mixed)])
        yield LinkedTrial(terms, np.array(misses))


def _variants(mixed: Mixed) -> Iterator[list[Mixed]]:
    for factor in FACTORS:
        yield [replace(mixed, penalty=mixed.penalty * factor, shrinkage=float(shrinkage)) for shrinkage in SHRINKAGES]


def _misses(mixed: Mixed, x: npt.NDArray[np.floating], scores: FloatArray, wanted: FloatArray) -> FloatArray:
    return np.asarray(x @ mixed.effects + scores @ mixed.component_effects - wanted)


def settle_step(trials: list[LinkedTrial]) -> LinkedChoice:
    """What has the least error on held-out individuals; the background alone where that is not surely worse."""
    misses = np.concatenate([trial.misses for trial in trials], axis=3)
    errors = misses**2
    totals = errors.sum(axis=3)
    alone = np.unravel_index(totals[0].argmin(), totals[0].shape)
    best = np.unravel_index(totals.argmin(), totals.shape)
    gains = errors[0][alone] - errors[best]
    if gains.sum() <= SURE * gains.std() * np.sqrt(len(gains)):
        best = (np.intp(0), *alone)
    step, factor, shrinkage = best
    return LinkedChoice(int(step), float(FACTORS[factor]), float(SHRINKAGES[shrinkage]), misses[best])


def at_step(part: LinkedPart, phenotype: FloatArray, step: int, settings: PairwiseSettings) -> tuple[float, LinkedModel]:
    """The threshold, and the model, at a step of the schedule; NaN where there is nothing but the background."""
    return next(islice(linked_path(LinkedModel.start(part, phenotype), settings.background_thresholds), step, None))


def alone(model: LinkedModel, phenotype: FloatArray, settings: PairwiseSettings) -> LinkedModel:
    """The background as ridge regression has it: the penalty by leave-one-out."""
    ridge = RidgeFit.of(model.part.background.components, phenotype[:, None], penalties(settings))
    return replace(model, mixed=replace(model.mixed, penalty=float(ridge.penalty[0])))


@dataclass(frozen=True)
class Polygenic:
    """One trait: an intercept, effects of `terms` (k, 2) on x_i·x_j, and of all loci, `background` (n_loci,), on their numbers.

    `scores` (k,); `intervals` (k, 2, 2): for both loci of a term, the first and the last locus that it may stand for; `stability` and
    `rates` (k,): the share of folds in which a term was found, and its false discovery rate. `misses`: what the folds miss, in turn.
    """

    terms: Terms
    scores: FloatArray
    effects: FloatArray
    intercept: float
    background: FloatArray
    intervals: Places
    stability: FloatArray
    rates: FloatArray
    threshold: float
    penalty: float
    misses: FloatArray

    @classmethod
    def fit(
        cls,
        part: LinkedPart,
        columns: Columns,
        phenotype: FloatArray,
        clumps: Clumps,
        trials: list[LinkedTrial],
        settings: PairwiseSettings,
    ) -> "Polygenic":
        """At the step that the trials choose. Every pair is refined to the best loci near its clumps."""
        chosen = settle_step(trials)
        threshold, model = at_step(part, phenotype, chosen.step, settings)
        if chosen.step == 0:
            chosen, model = replace(chosen, factor=1.0, shrinkage=1.0), alone(model, phenotype, settings)
        stability = stabilities(model.terms, [trial.terms[chosen.step] for trial in trials], part)
        null = linked_null(model, chosen.step, settings)
        loci = np.append(0, clumps.representative)[model.terms]
        refined = [_refined(model, columns, clumps, number) if pair[0] else _unrefined(pair, clumps) for number, pair in enumerate(loci)]
        terms, intervals = np.array([pair for pair, _ in refined]), np.array([of for _, of in refined])
        x = columns.products(terms).x(0, columns.n).T.astype(np.float64)
        plain = replace(model.mixed, terms=x, projected=part.background.scores.T @ x)
        mixed = replace(plain, penalty=plain.penalty * chosen.factor, shrinkage=chosen.shrinkage)
        background = part.background.components.coefficients(mixed.component_effects[:, None])[:, 0]
        intercept = float(phenotype.mean() + mixed.effects[0] - part.background.components.mean @ background)
        rates = np.full(len(terms), np.nan)
        rates[terms[:, 0] > 0] = discovery_rates(model.mixed.z[terms[:, 0] > 0], null)
        z, effects, kept = plain.z, mixed.effects, slice(1, None)
        of_terms = (terms[kept], z[kept], effects[kept], intercept, background, intervals[kept], stability[kept], rates[kept])
        return cls(*of_terms, threshold, mixed.penalty, chosen.misses)

    def coefficients(self, coding: Coding) -> FloatArray:
        """Additive effects of all loci on their numbers: (n_loci,)"""
        total, single = self.background.copy(), self.terms[:, 0] == 0
        loci = self.terms[single, 1] - 1
        np.add.at(total, loci, self.effects[single] / coding.scale[loci])
        return total

    def pairs(self) -> pd.DataFrame:
        """As Sparse has them."""
        return pairs_table(self.terms, self.effects, self.scores, self.intervals, self.stability, self.rates)

    def predict(self, columns: Columns, numbers: Numbers) -> FloatArray:
        """Of n individuals, given the columns of their loci and their numbers: (n,)"""
        return np.asarray(times(numbers, self.background) + columns.products(self.terms).weighted_sum(self.effects) + self.intercept)


def pairs_table(
    terms: Terms, effects: FloatArray, scores: FloatArray, intervals: Places, stability: FloatArray, rates: FloatArray
) -> pd.DataFrame:
    """A row per pair among `terms`, the strongest first.

    Loci from 1, each with the first and the last locus that it may stand for; effect on x_1·x_2; score: effect / standard error, by least
    squares; stability: the share of folds in which it was found; false_discovery_rate: of the list that ends with it, by permuted traits.
    """
    double = terms[:, 0] > 0
    ends = intervals[double]
    columns = {
        **{f"locus_{side + 1}": terms[double, side] for side in (0, 1)},
        "effect": effects[double],
        "score": scores[double],
        **{f"locus_{side + 1}_{end}": ends[:, side, place] for side in (0, 1) for place, end in enumerate(("from", "to"))},
        "stability": stability[double],
        "false_discovery_rate": rates[double],
    }
    return pd.DataFrame(columns).sort_values("score", key=abs, ascending=False, ignore_index=True)


def _unrefined(pair: Places, clumps: Clumps) -> tuple[list[int], list[list[int]]]:
    of_clumps = np.maximum(clumps.number_of(pair) - 1, 0)
    return pair.tolist(), [[int(clumps.first[one]), int(clumps.last[one])] for one in of_clumps]


def _refined(model: LinkedModel, columns: Columns, clumps: Clumps, number: int) -> tuple[list[int], list[list[int]]]:
    """The best loci near those of a pair, and around each, those that are about as good."""
    kept = np.arange(len(model.terms)) != number
    residual = model.changed(kept, model.terms[:0]).mixed.residual
    noise = model.mixed.residual @ model.mixed.residual / len(residual)
    pair, intervals = np.append(0, clumps.representative)[model.terms[number]], [[0, 0], [0, 0]]
    for side in (0, 1):
        near = _near(columns, int(pair[side]))
        products = unit_length(columns.products(np.column_stack([near, np.full_like(near, pair[1 - side])])).x(0, columns.n))
        scores = (products @ residual) ** 2 / noise
        best = int(scores.argmax())
        first, last = _run(scores >= scores[best] - DROP, best)
        pair[side], intervals[side] = near[best], [int(near[first]), int(near[last])]
    if pair[0] > pair[1]:
        return pair[::-1].tolist(), intervals[::-1]
    return pair.tolist(), intervals


def _near(columns: Columns, locus: int) -> Places:
    """A locus and its neighbours on both sides that are correlated with it."""
    loci = np.arange(max(1, locus - FAR), min(len(columns) - 1, locus + FAR) + 1)
    x, place = standardised(columns, loci), int(np.flatnonzero(loci == locus)[0])
    first, last = _run((x @ x[place]) ** 2 >= NEAR, place)
    return loci[first : last + 1]


def _run(there: Mask, place: int) -> tuple[int, int]:
    """The first and the last of the consecutive places that are `there` and include `place`."""
    gaps = np.flatnonzero(~there)
    before, after = gaps[gaps < place], gaps[gaps > place]
    return (int(before[-1]) + 1 if len(before) else 0), (int(after[0]) - 1 if len(after) else len(there) - 1)


def stabilities(terms: Terms, of_folds: list[Terms], part: LinkedPart) -> FloatArray:
    """The share of folds in which each of `terms` was found, or one of loci that are correlated with its two: (k,)"""
    found = np.zeros(len(terms))
    for others in of_folds:
        loci, place = np.unique(np.concatenate([terms, others]), return_inverse=True)
        x = standardised(part.columns, loci)
        alike = (x @ x.T) ** 2 >= NEAR
        alike |= np.eye(len(loci), dtype=bool)
        places = place.reshape(-1, 2)
        mine, theirs = places[: len(terms)], places[len(terms) :]
        same = alike[mine[:, 0]][:, theirs[:, 0]] & alike[mine[:, 1]][:, theirs[:, 1]]
        crossed = alike[mine[:, 0]][:, theirs[:, 1]] & alike[mine[:, 1]][:, theirs[:, 0]]
        found += (same | crossed).any(axis=1)
    return found / max(1, len(of_folds))


def linked_null(model: LinkedModel, step: int, settings: PairwiseSettings) -> list[FloatArray]:
    """As `permuted_scores` has them; none where `model` has no pairs to compare with."""
    if not settings.n_permutations or not model.terms[:, 0].any():
        return []
    mixed = model.changed(model.terms[:, 0] == 0, model.terms[:0]).mixed
    explained = mixed.terms @ mixed.effects + model.part.background.scores @ mixed.component_effects

    def of_pairs(phenotype: FloatArray) -> FloatArray:
        _, reached = at_step(model.part, phenotype, step, settings)
        return np.asarray(reached.mixed.z[reached.terms[:, 0] > 0])

    return permuted_scores(explained, mixed.phenotype - explained, of_pairs, settings)


def permuted_scores(
    explained: FloatArray, left: FloatArray, of_pairs: Callable[[FloatArray], FloatArray], settings: PairwiseSettings
) -> list[FloatArray]:
    """Sizes of the scores `of_pairs` that are found in permuted traits: what additive effects have `explained` (n,) stays, what they
    `left` (n,) is permuted.
    """
    random = np.random.default_rng(settings.seed)
    return [np.abs(of_pairs(explained + random.permutation(left))) for _ in range(settings.n_permutations)]


def discovery_rates(scores: FloatArray, null: list[FloatArray]) -> FloatArray:
    """Of pairs with `scores`: the false discovery rate of the list that ends with the pair; NaN without permuted traits."""
    if not null:
        return np.full(len(scores), np.nan)
    false, sizes = np.concatenate(null), np.abs(scores)
    expected = np.array([(1 + (false >= size).sum()) / (1 + len(null)) for size in sizes])
    rates = expected / (sizes >= sizes[:, None]).sum(axis=1)
    return np.array([min(1.0, rates[sizes <= size].min()) for size in sizes])
