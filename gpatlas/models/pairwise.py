"""Additive effects and the few pairs of loci that interact: screened, the threshold by cross-validation, then ridge."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import FloatArray, Genotypes, Rows
from gpatlas.models.columns import Coding, Columns, Terms
from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.registry import PairwiseSettings
from gpatlas.models.ridge import RidgeFit, penalties
from gpatlas.models.screening import LeastSquares, ScreenedPart, path

ENOUGH_HELD_OUT = 1000  # individuals; further folds add little


def fit(train: Part, validation: Part, settings: PairwiseSettings, progress: FitProgress) -> dict[str, Fitted]:
    """The model, and the table `pairs` that it found of every trait, a row each.

    Where to stop on the schedule of thresholds is chosen on held-out individuals; then all of them settle what most folds
    found there, and ridge regression shrinks it.
    """
    (n, n_loci), n_traits = train.genotypes.shape, train.phenotypes.shape[1]
    with_loci, parts = n_loci <= settings.max_loci_per_individual * n, folds(n, settings)
    done, total = count(1), (len(parts) + 1) * n_traits
    trials: list[list[list[Trial]]] = [[] for _ in range(n_traits)]
    for held_out in parts:
        for trait, of_fold in enumerate(cross(train, held_out, with_loci, settings)):
            trials[trait].append(of_fold)
            progress(next(done), total)
    coding = Coding.fit(train.genotypes)
    population = ScreenedPart.of(train.genotypes, coding, with_loci, settings)
    traits = []
    for of_trait, phenotype in zip(trials, train.phenotypes.T, strict=True):
        traits.append(Sparse.fit(population, phenotype, *settle_threshold(of_trait), penalties(settings)))
        progress(next(done), total)

    facts = {
        "threshold": np.array([trait.threshold for trait in traits]),
        "penalty": np.array([trait.ridge.penalty[0] for trait in traits]),
        "n_scanned": population.scanned.shape[1],
    }
    pairs = pd.concat([trait.pairs().assign(trait=number) for number, trait in enumerate(traits, 1)], ignore_index=True)
    additive = np.column_stack([trait.additive(n_loci) for trait in traits]) / coding.scale[:, None]
    tables = {"pairs": pairs[["trait", "locus_1", "locus_2", "effect", "score"]]}
    return {"pairwise": Fitted(partial(predict_traits, traits, coding), additive, facts, tables)}


def judge(models: dict[str, Fitted], effects: Effects) -> dict[str, Fitted]:
    """With the column `causal` of the pairs, and with their precision and recall."""
    fitted = models["pairwise"]
    pairs = fitted.tables["pairs"].assign(causal=is_causal(fitted.tables["pairs"], effects))
    return {"pairwise": replace(fitted, columns={**success(pairs, effects), **fitted.columns}, tables={"pairs": pairs})}


def predict_traits(traits: "list[Sparse]", coding: Coding, genotypes: Genotypes) -> FloatArray:
    """Of n individuals: (n, T)"""
    columns = coding.columns(genotypes)
    return np.column_stack([trait.predict(columns) for trait in traits])


@dataclass(frozen=True)
class Trial:
    """A step of the schedule without the individuals of one fold: the `terms` found, and their sum of squared errors on that fold."""

    threshold: float
    terms: Terms
    error: float


def folds(n: int, settings: PairwiseSettings) -> list[Rows]:
    """Whom to hold out: random parts of `n` individuals, as many as it takes to hold out 1000. ValueError where n is too small."""
    if n < 2 * settings.n_inner_folds:
        raise ValueError(
            f"n_inner_folds: {n} training individuals cannot be cut into {settings.n_inner_folds} folds of at least 2; lower it"
        )
    order = np.random.default_rng(settings.seed).permutation(n)
    parts = [np.sort(order[start :: settings.n_inner_folds]) for start in range(settings.n_inner_folds)]
    return parts[: -(-ENOUGH_HELD_OUT // len(parts[-1]))]


def cross(train: Part, held_out: Rows, with_loci: bool, settings: PairwiseSettings) -> Iterator[list[Trial]]:
    """Of every trait, the steps of the schedule without the individuals `held_out`."""
    rest, others = train.rows(np.setdiff1d(np.arange(len(train.genotypes)), held_out)), train.rows(held_out)
    coding = Coding.fit(rest.genotypes)
    population, columns = ScreenedPart.of(rest.genotypes, coding, with_loci, settings), coding.columns(others.genotypes)
    for phenotype, wanted in zip(rest.phenotypes.T, others.phenotypes.T, strict=True):
        wanted = wanted - phenotype.mean()
        yield [
            Trial(threshold, model.terms, float(((model.predict(columns) - wanted) ** 2).sum()))
            for threshold, model in path(LeastSquares.start(population, phenotype), settings.thresholds)
        ]


def settle_threshold(trials: list[list[Trial]]) -> tuple[float, Terms]:
    """The threshold of the step whose errors, added up over the folds, are least, and the terms that most folds found there."""
    errors = np.array([[trial.error for trial in of_fold] for of_fold in trials]).sum(axis=0)
    chosen = [of_fold[errors.argmin()] for of_fold in trials]
    terms, counts = np.unique(np.concatenate([trial.terms for trial in chosen]), axis=0, return_counts=True)
    return chosen[0].threshold, terms[2 * counts > len(chosen)]


@dataclass(frozen=True)
class Sparse:
    """One trait: ridge regression on the `terms` (k, 2), as if each were a locus.

    `scores` (k,): of the screening; `effects` (k,): on x_i·x_j.
    """

    threshold: float
    terms: Terms
    scores: FloatArray
    ridge: RidgeFit
    effects: FloatArray

    @classmethod
    def fit(cls, population: ScreenedPart, phenotype: FloatArray, threshold: float, terms: Terms, penalties: FloatArray) -> "Sparse":
        """Starting from `terms`, what settles at the threshold; the penalty by leave-one-out."""
        model = LeastSquares.start(population, phenotype).joined(terms).settled(threshold)
        ridge = RidgeFit.fit(model.columns.numbers(), phenotype[:, None], penalties)
        return cls(threshold, model.terms, model.scores, ridge, ridge.coefficients[:, 0] * model.columns.per_x)

    def predict(self, columns: Columns) -> FloatArray:
        """Of n individuals, given the columns of their loci: (n,)"""
        return self.ridge.predict(columns.products(self.terms).numbers())[:, 0]

    def additive(self, n_loci: int) -> FloatArray:
        """Of all loci, 0 where there is none: (n_loci,)"""
        effects, single = np.zeros(1 + n_loci), self.terms[:, 0] == 0
        effects[self.terms[single, 1]] = self.effects[single]
        return effects[1:]

    def pairs(self) -> pd.DataFrame:
        """A row per pair: loci from 1, effect on x_1·x_2, and score (effect / standard error, by least squares), the strongest first."""
        double = self.terms[:, 0] > 0
        first, second = self.terms[double].T
        columns = {"locus_1": first, "locus_2": second, "effect": self.effects[double], "score": self.scores[double]}
        return pd.DataFrame(columns).sort_values("score", key=abs, ascending=False, ignore_index=True)


def is_causal(pairs: pd.DataFrame, effects: Effects) -> npt.NDArray[np.int_]:
    """1 where a pair has an epistatic effect on its trait, else 0."""
    true = {(trait, *sorted(pair)) for trait, of_trait in enumerate(true_pairs(effects), 1) for pair in of_trait.tolist()}
    return np.array([int(tuple(row) in true) for row in pairs[["trait", "locus_1", "locus_2"]].to_numpy().tolist()], dtype=np.int_)


def true_pairs(effects: Effects) -> list[npt.NDArray[np.int32]]:
    """Of every trait, the pairs (k, 2) whose effect is not 0, loci from 1."""
    return [pairs[epistatic != 0] + 1 for pairs, epistatic in zip(effects.pairs, effects.epistatic, strict=True)]


def success(pairs: pd.DataFrame, effects: Effects) -> dict[str, npt.NDArray[Any]]:
    """Per trait: how many pairs were found, the share of them that is true, and the share of the true ones that was found.

    NaN where there are none to take a share of.
    """
    n_true = np.array([len(of_trait) for of_trait in true_pairs(effects)])
    n_found = np.bincount(pairs["trait"], minlength=len(n_true) + 1)[1:]
    n_causal = np.bincount(pairs["trait"], pairs["causal"], minlength=len(n_true) + 1)[1:]
    with np.errstate(invalid="ignore"):
        return {"n_pairs": n_found, "pair_precision": n_causal / n_found, "pair_recall": n_causal / n_true}
