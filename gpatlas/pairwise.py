"""Additive effects and the few pairs of loci that interact: screened, the threshold by cross-validation, then ridge."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np
import pandas as pd

from gpatlas.dataset import Dataset, Effects, FloatArray, Genotypes, Rows
from gpatlas.evaluation import Fitted, Part, beside, run_fit, training_splits, write_table
from gpatlas.needs import check_memory, pairwise_bytes
from gpatlas.progress import Progress
from gpatlas.ridge import Ridge, penalties
from gpatlas.screening import Columns, Model, Population, Terms, path
from gpatlas.settings import PairwiseSettings

ENOUGH_HELD_OUT = 1000  # individuals; further folds add little


def run(settings: PairwiseSettings, source: Path, out: Path, progress: Progress) -> None:
    """The table, and the pairs found beside it: `<out>.pairs.csv`. Raises ValueError where the memory does not do."""
    with Dataset(source) as data:
        splits, effects = training_splits(data.n_individuals), data.effects()
        n_train = len(splits[0].train)
        check_memory(pairwise_bytes(n_train, data.n_loci, settings), f"{source}: the pairs of {data.n_loci} loci in {n_train} individuals")

        def fit(train: Part, validation: Part, settings: PairwiseSettings, progress: Progress) -> Fitted:
            fitted, pairs = fit_pairwise(train, settings, progress)
            pairs["causal"] = is_causal(pairs, effects)
            write_table(pairs, beside(out, "pairs"))
            return Fitted(fitted.predict, fitted.coefficients, {**found(pairs, effects), **fitted.columns})

        write_table(run_fit("pairwise", fit, splits, settings, data, progress), out)


@dataclass(frozen=True)
class Sparse:
    """One trait: ridge regression on the `terms` (k, 2) that screening found, as if each were a locus, with their `scores` (k,)."""

    terms: Terms
    scores: FloatArray
    threshold: float
    ridge: Ridge

    @property
    def effects(self) -> FloatArray:
        """On x_i·x_j, which is 2·allele − 1 for the alleles that ridge is given: (k,)"""
        return self.ridge.coefficients[:, 0] / 2

    def additive(self, n_loci: int) -> FloatArray:
        """Of all loci, 0 where there is none: (n_loci,)"""
        effects = np.zeros(1 + n_loci)
        single = self.terms[:, 0] == 0
        effects[self.terms[single, 1]] = self.effects[single]
        return effects[1:]

    def pairs(self, trait: int) -> pd.DataFrame:
        """A row per pair: trait and loci from 1, effect on x_1·x_2, and score (effect / standard error, by least squares)."""
        double = self.terms[:, 0] > 0
        first, second = self.terms[double].T
        columns = {"trait": trait, "locus_1": first, "locus_2": second, "effect": self.effects[double], "score": self.scores[double]}
        return pd.DataFrame(columns).sort_values("score", key=abs, ascending=False, ignore_index=True)


def fit_pairwise(train: Part, settings: PairwiseSettings, progress: Progress) -> tuple[Fitted, pd.DataFrame]:
    """The model, and the pairs that it found of every trait.

    Where to stop on the schedule is chosen on held-out individuals; then all individuals settle what most folds found there.
    """
    n_traits, n_loci, parts = train.phenotypes.shape[1], train.genotypes.n_loci, folds(len(train.genotypes), settings)
    with_loci = n_loci <= settings.max_loci_per_individual * len(train.genotypes)
    steps, done, total = schedule(settings), count(1), (len(parts) + 1) * n_traits
    errors = np.zeros((n_traits, len(steps)))
    found: list[list[list[Terms]]] = []
    for held_out in parts:
        of_fold, terms = cross(train, held_out, with_loci, settings, lambda: progress(next(done), total))
        errors += of_fold
        found.append(terms)
    population = population_of(train.genotypes, settings)
    traits = []
    for trait, (phenotype, chosen) in enumerate(zip(train.phenotypes.T, errors.argmin(axis=1), strict=True)):
        model = Model.start(population, phenotype - phenotype.mean(), with_loci)
        model = model.joined(common([of_fold[trait][chosen] for of_fold in found])).settled(steps[chosen])
        ridge = Ridge.fit(model.columns.genotypes(), phenotype[:, None], penalties(settings))
        traits.append(Sparse(model.terms, model.scores, steps[chosen], ridge))
        progress(next(done), total)

    def predict(genotypes: Genotypes) -> FloatArray:
        columns = Columns.of(genotypes)
        return np.column_stack([trait.ridge.predict(columns.products(trait.terms).genotypes())[:, 0] for trait in traits])

    facts = {
        "threshold": np.array([trait.threshold for trait in traits]),
        "penalty": np.array([trait.ridge.penalty[0] for trait in traits]),
        "n_scanned": population.scanned.shape[1],
    }
    pairs = pd.concat([trait.pairs(number) for number, trait in enumerate(traits, 1)], ignore_index=True)
    return Fitted(predict, np.column_stack([trait.additive(n_loci) for trait in traits]), facts), pairs


def common(found: list[Terms]) -> Terms:
    """The terms that more than half of the folds found."""
    terms, counts = np.unique(np.concatenate(found), axis=0, return_counts=True)
    return terms[2 * counts > len(found)]


def schedule(settings: PairwiseSettings) -> list[float]:
    """The thresholds, down to the lowest and up again: what a low one has brought in by mistake, a higher one sorts out."""
    return [*settings.thresholds, *settings.thresholds[-2::-1]]


def folds(n: int, settings: PairwiseSettings) -> list[Rows]:
    """Whom to hold out: random parts of `n` individuals, as many as it takes to hold out 1000 of them. ValueError where n is too small."""
    if n < 2 * settings.n_folds:
        raise ValueError(f"n_folds: {n} training individuals cannot be cut into {settings.n_folds} folds of two at least; lower it")
    order = np.random.default_rng(settings.seed).permutation(n)
    parts = [np.sort(order[start :: settings.n_folds]) for start in range(settings.n_folds)]
    return parts[: -(-ENOUGH_HELD_OUT // len(parts[-1]))]


def population_of(genotypes: Genotypes, settings: PairwiseSettings) -> Population:
    return Population.of(genotypes, settings.max_scan_individuals, min(settings.thresholds))


def cross(
    train: Part, held_out: Rows, with_loci: bool, settings: PairwiseSettings, step: Callable[[], None]
) -> tuple[FloatArray, list[list[Terms]]]:
    """Models of the individuals not `held_out`, of every trait at every step of the schedule.

    The sum of their squared errors on those held out, (T, steps), and their terms.
    """
    rest, others = train.rows(np.setdiff1d(np.arange(len(train.genotypes)), held_out)), train.rows(held_out)
    population, columns = population_of(rest.genotypes, settings), Columns.of(others.genotypes)
    errors, terms = np.empty((rest.phenotypes.shape[1], len(schedule(settings)))), []
    for trait, (phenotype, wanted) in enumerate(zip(rest.phenotypes.T, others.phenotypes.T, strict=True)):
        mean = phenotype.mean()
        terms.append([])
        for number, model in enumerate(path(Model.start(population, phenotype - mean, with_loci), schedule(settings))):
            errors[trait, number] = ((mean + model.predict(columns) - wanted) ** 2).sum()
            terms[trait].append(model.terms)
        step()
    return errors, terms


def is_causal(pairs: pd.DataFrame, effects: Effects) -> FloatArray:
    """1 where a pair has an epistatic effect on its trait, else 0."""
    true = [{tuple(sorted(pair)) for pair in of_trait.tolist()} for of_trait in true_pairs(effects)]
    return np.array([(row.locus_1, row.locus_2) in true[row.trait - 1] for row in pairs.itertuples()], dtype=float)


def true_pairs(effects: Effects) -> list[Terms]:
    """Of every trait, the pairs (k, 2) whose effect is not 0, loci from 1."""
    return [pairs[epistatic != 0] + 1 for pairs, epistatic in zip(effects.pairs, effects.epistatic, strict=True)]


def found(pairs: pd.DataFrame, effects: Effects) -> dict[str, FloatArray]:
    """Per trait: how many pairs were found, the share of them that is true, and the share of the true ones that was found."""
    n_true = np.array([len(of_trait) for of_trait in true_pairs(effects)], dtype=float)
    traits = np.arange(1, len(n_true) + 1)
    by_trait = pairs.groupby("trait")["causal"]
    n_found, n_causal = (by_trait.agg(how).reindex(traits, fill_value=0).to_numpy(float) for how in ("size", "sum"))
    with np.errstate(invalid="ignore"):
        return {"n_pairs": n_found.astype(int), "pair_precision": n_causal / n_found, "pair_recall": n_causal / n_true}
