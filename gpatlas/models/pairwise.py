"""Additive effects and the few pairs of loci that interact: screened, the threshold by cross-validation, then ridge."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import count, repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import FloatArray, Genotypes, Rows
from gpatlas.data.places import DISTANCES_CM
from gpatlas.models.clumps import Clumps
from gpatlas.models.columns import Coding, Columns, InnerFold, Terms
from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.encoder import Numbers
from gpatlas.models.linked import LinkedPart
from gpatlas.models.polygenic import LinkedTrial, Polygenic, cross_linked, discovery_rates, pairs_table, permuted_scores, settle_step
from gpatlas.models.registry import PairwiseSettings
from gpatlas.models.ridge import RidgeFit, penalties
from gpatlas.models.screening import LeastSquares, ScreenedPart, path
from gpatlas.models.splits import inner_folds

ENOUGH_HELD_OUT = 1000  # individuals; further folds add little


def fit(train: Part, validation: Part, settings: PairwiseSettings, progress: FitProgress) -> dict[str, Fitted]:
    """The model, and the table `pairs` that it found of every trait, a row each.

    Where to stop on the schedule of thresholds is chosen on held-out individuals; then all of them settle what most folds
    found there, and ridge regression shrinks it. Where neighbouring loci are linked, or where they are very many, small effects of all
    loci are a background to that; where they are very many but not linked, the held-out individuals choose whether.
    """
    (n, n_loci), n_traits = train.genotypes.shape, train.phenotypes.shape[1]
    parts = folds(n, settings)
    coding = Coding.fit(train.genotypes)
    columns = coding.columns(train.genotypes)
    clumps = Clumps.of(columns, settings.clump_r_squared, settings.max_scan_individuals)
    with_loci = not clumps.merged and n_loci <= settings.max_loci_per_individual * n
    alone = with_loci or (not clumps.merged and min(n, n_loci) > settings.max_background)
    done, total = count(1), (len(parts) + 1) * n_traits
    trials: list[list[tuple[list[Trial], LinkedTrial | None]]] = [[] for _ in range(n_traits)]
    for held_out in parts:
        fold = InnerFold.of(train, held_out)
        sparse = repeat([]) if clumps.merged else cross(fold, with_loci, settings)
        polygenic = repeat(None) if alone else cross_linked(fold, clumps, settings)
        for trait, _ in enumerate(trials):
            trials[trait].append((next(sparse), next(polygenic)))
            progress(next(done), total)
    final = AllTrained(train, coding, columns, clumps, with_loci, settings)
    traits = []
    for trait, of_trait in enumerate(trials):
        traits.append(final.fit(train.phenotypes[:, trait], [one for one, _ in of_trait], [one for _, one in of_trait if one]))
        progress(next(done), total)

    facts = {
        "threshold": np.array([trait.threshold for trait in traits]),
        "penalty": np.array([trait.penalty for trait in traits]),
        "n_scanned": min(n, settings.max_scan_individuals),
    }
    pairs = pd.concat([trait.pairs().assign(trait=number) for number, trait in enumerate(traits, 1)], ignore_index=True)
    pairs.insert(0, "trait", pairs.pop("trait"))
    additive = np.column_stack([trait.coefficients(coding) for trait in traits])
    inner = np.full(train.phenotypes.shape, np.nan)
    held_out = np.concatenate(parts)
    inner[held_out] = train.phenotypes[held_out] + np.column_stack([trait.misses for trait in traits])
    return {"pairwise": Fitted(partial(predict_traits, traits, coding), additive, facts, {"pairs": pairs}, inner)}


def judge(models: dict[str, Fitted], effects: Effects) -> dict[str, Fitted]:
    """With the column `causal` of the pairs, and with their precision and recall."""
    fitted = models["pairwise"]
    pairs = fitted.tables["pairs"].assign(causal=is_causal(fitted.tables["pairs"], effects))
    columns = {**success(pairs, effects), **success_within(pairs, effects), **fitted.columns}
    return {"pairwise": replace(fitted, columns=columns, tables={"pairs": pairs})}


def predict_traits(traits: "list[Sparse | Polygenic]", coding: Coding, genotypes: Genotypes) -> FloatArray:
    """Of n individuals: (n, T)"""
    columns, numbers = coding.columns(genotypes), coding.encoder.encode(genotypes)
    return np.column_stack([trait.predict(columns, numbers) for trait in traits])


@dataclass(frozen=True)
class AllTrained:
    """What the fits of all traits to all training individuals share."""

    train: Part
    coding: Coding
    columns: Columns
    clumps: Clumps
    with_loci: bool
    settings: PairwiseSettings

    @cached_property
    def screened(self) -> ScreenedPart:
        """Without a background."""
        return ScreenedPart.of(self.columns, self.with_loci, self.settings)

    @cached_property
    def linked(self) -> LinkedPart:
        """In front of a background."""
        return LinkedPart.of(self.columns, self.coding.encoder.encode(self.train.genotypes), self.clumps, self.settings)

    def fit(self, phenotype: FloatArray, sparse: "list[list[Trial]]", polygenic: list[LinkedTrial]) -> "Sparse | Polygenic":
        """One trait, as its trials choose; where they do as well, without a background."""
        if polygenic and (not sparse[0] or (settle_step(polygenic).misses ** 2).sum() < total_errors(sparse).min()):
            return Polygenic.fit(self.linked, self.columns, phenotype, self.clumps, polygenic, self.settings)
        return Sparse.fit(self.screened, phenotype, sparse, self.settings)


@dataclass(frozen=True)
class Trial:
    """A step of the schedule without the k individuals of one fold: the `terms` found, and what they miss of that fold, `misses` (k,)."""

    threshold: float
    terms: Terms
    misses: FloatArray


def folds(n: int, settings: PairwiseSettings) -> list[Rows]:
    """Whom to hold out: random parts of `n` individuals, as many as it takes to hold out 1000. ValueError where n is too small."""
    if n < 2 * settings.n_inner_folds:
        raise ValueError(
            f"n_inner_folds: {n} training individuals cannot be cut into {settings.n_inner_folds} folds of at least 2; lower it"
        )
    parts = [held_out for _, held_out in inner_folds(n, settings.n_inner_folds, settings.seed)]
    return parts[: -(-ENOUGH_HELD_OUT // len(parts[-1]))]


def cross(fold: InnerFold, with_loci: bool, settings: PairwiseSettings) -> Iterator[list[Trial]]:
    """Of every trait, the steps of the schedule without the others of a fold."""
    population = ScreenedPart.of(fold.columns, with_loci, settings)
    for phenotype, wanted in zip(fold.rest.phenotypes.T, fold.others.phenotypes.T, strict=True):
        wanted = wanted - phenotype.mean()
        yield [
            Trial(threshold, model.terms, model.predict(fold.other_columns) - wanted)
            for threshold, model in path(LeastSquares.start(population, phenotype), settings.thresholds)
        ]


def total_errors(trials: list[list[Trial]]) -> FloatArray:
    """Of every step, added up over the folds."""
    errors: FloatArray = np.array([[(trial.misses**2).sum() for trial in of_fold] for of_fold in trials]).sum(axis=0)
    return errors


def settle_threshold(trials: list[list[Trial]]) -> tuple[Trial, Terms]:
    """The step of least error, with terms and misses of all folds, one after the other; the terms that most folds found there."""
    chosen = [of_fold[total_errors(trials).argmin()] for of_fold in trials]
    found, misses = (np.concatenate(parts) for parts in zip(*((trial.terms, trial.misses) for trial in chosen), strict=True))
    terms, counts = np.unique(found, axis=0, return_counts=True)
    return Trial(chosen[0].threshold, found, misses), terms[2 * counts > len(chosen)]


@dataclass(frozen=True)
class Sparse:
    """One trait: ridge regression on the `terms` (k, 2), as if each were a locus.

    `scores` (k,): of the screening; `effects` (k,): on x_i·x_j; `stability`, `rates` (k,) and `misses`: as Polygenic has them.
    """

    threshold: float
    terms: Terms
    scores: FloatArray
    ridge: RidgeFit
    effects: FloatArray
    stability: FloatArray
    rates: FloatArray
    misses: FloatArray

    @classmethod
    def fit(cls, population: ScreenedPart, phenotype: FloatArray, trials: list[list[Trial]], settings: PairwiseSettings) -> "Sparse":
        """Starting from the terms that most folds found, what settles at the threshold; the penalty by leave-one-out."""
        of_folds, terms = settle_threshold(trials)
        model = LeastSquares.start(population, phenotype).joined(terms).settled(of_folds.threshold)
        ridge = RidgeFit.fit(model.columns.numbers(), phenotype[:, None], penalties(settings))
        size, double = np.array([len(population.columns), 1]), model.terms[:, 0] > 0
        stability = (of_folds.terms @ size == (model.terms @ size)[:, None]).sum(axis=1) / len(trials)
        rates = np.full(len(model.terms), np.nan)
        rates[double] = discovery_rates(model.scores[double], null_scores(model, of_folds.threshold, settings))
        effects = ridge.coefficients[:, 0] * model.columns.per_x
        return cls(of_folds.threshold, model.terms, model.scores, ridge, effects, stability, rates, of_folds.misses)

    @property
    def penalty(self) -> float:
        """Of the ridge regression."""
        return float(self.ridge.penalty[0])

    def predict(self, columns: Columns, numbers: Numbers) -> FloatArray:
        """Of n individuals, given the columns of their loci: (n,)"""
        return self.ridge.predict(columns.products(self.terms).numbers())[:, 0]

    def coefficients(self, coding: Coding) -> FloatArray:
        """Additive effects of all loci on their numbers, 0 where there is none: (n_loci,)"""
        effects, single = np.zeros(1 + len(coding.scale)), self.terms[:, 0] == 0
        effects[self.terms[single, 1]] = self.effects[single]
        return effects[1:] / coding.scale

    def pairs(self) -> pd.DataFrame:
        """As `pairs_table` has them: a locus stands for itself alone."""
        return pairs_table(self.terms, self.effects, self.scores, np.stack([self.terms] * 2, axis=2), self.stability, self.rates)


def null_scores(model: LeastSquares, threshold: float, settings: PairwiseSettings) -> list[FloatArray]:
    """As `permuted_scores` has them; none where `model` has no pairs to compare with."""
    if not settings.n_permutations or not model.terms[:, 0].any():
        return []
    additive = model.changed(model.terms[:, 0] == 0, model.terms[:0])

    def of_pairs(phenotype: FloatArray) -> FloatArray:
        steps = path(LeastSquares.start(model.population, phenotype), settings.thresholds)
        reached = next(model for passed, model in steps if passed == threshold)
        return np.asarray(reached.scores[reached.terms[:, 0] > 0])

    return permuted_scores(additive.phenotype - additive.residual, additive.residual, of_pairs, settings)


def stands_for(pairs: pd.DataFrame, true: Rows) -> npt.NDArray[np.bool_]:
    """Whether each of `pairs` may stand for each of the `true` (l, 2), both loci within their intervals: (k, l)"""
    inside = []
    for mine, theirs in ((1, 0), (2, 1), (1, 1), (2, 0)):
        first, last = (pairs[f"locus_{mine}_{end}"].to_numpy()[:, None] for end in ("from", "to"))
        inside.append((first <= true[:, theirs]) & (true[:, theirs] <= last))
    return np.asarray(inside[0] & inside[1] | inside[2] & inside[3])


def is_causal(pairs: pd.DataFrame, effects: Effects) -> npt.NDArray[np.int_]:
    """1 where a pair stands for one that has an epistatic effect on its trait, else 0."""
    causal = np.zeros(len(pairs), dtype=np.int_)
    for trait, true in enumerate(true_pairs(effects), 1):
        mine = pairs["trait"].to_numpy() == trait
        causal[mine] = stands_for(pairs[mine], true).any(axis=1)
    return causal


def interacting(effects: Effects) -> list[Rows]:
    """Of every trait, the pairs (k, 2) whose effect is not 0, loci from 0."""
    there = effects.epistatic != 0
    if effects.dominance_epistatic is not None:
        there |= effects.dominance_epistatic != 0
    return [pairs[chosen].astype(np.intp) for pairs, chosen in zip(effects.pairs, there, strict=True)]


def true_pairs(effects: Effects) -> list[Rows]:
    """The same, loci from 1; the nearest locus stands for one that the genotypes lack."""
    pairs = interacting(effects)
    if effects.places:
        pairs = [effects.places.nearest(of_trait.ravel())[0].reshape(-1, 2) for of_trait in pairs]
    return [of_trait + 1 for of_trait in pairs]


def success(pairs: pd.DataFrame, effects: Effects) -> dict[str, npt.NDArray[Any]]:
    """Per trait: how many pairs were found, the share of them that is true, and the share of the true ones that was found.

    NaN where there are none to take a share of.
    """
    true = true_pairs(effects)
    n_true, found = np.array([len(of_trait) for of_trait in true]), [pairs[pairs["trait"] == trait] for trait in range(1, len(true) + 1)]
    n_found, n_causal = np.array([[len(of_trait), of_trait["causal"].sum()] for of_trait in found]).T
    recalled = np.array([stands_for(mine, of_trait).any(axis=0).sum() for mine, of_trait in zip(found, true, strict=True)])
    with np.errstate(invalid="ignore"):
        return {"n_pairs_found": n_found, "pair_precision": n_causal / n_found, "pair_recall": recalled / n_true}


def success_within(pairs: pd.DataFrame, effects: Effects) -> dict[str, FloatArray]:
    """Per trait, and for every one of DISTANCES_CM: precision and recall where a pair is found if both loci are so near, in either order.

    Only where loci have places. NaN where there are none to take a share of.
    """
    if effects.places is None:
        return {}
    shares: dict[str, list[float]] = {}
    for trait, true in enumerate(interacting(effects), 1):
        mine = pairs.loc[pairs["trait"] == trait, ["locus_1", "locus_2"]].to_numpy(dtype=np.intp) - 1
        for distance in DISTANCES_CM:
            near = effects.places.within(mine, true, distance)
            for name, axis in (("precision", 1), ("recall", 0)):
                found = np.atleast_1d(near.any(axis=axis))
                shares.setdefault(f"{name}_{distance}cm", []).append(float(found.mean()) if len(found) else np.nan)
    return {name: np.array(values) for name, values in shares.items()}
