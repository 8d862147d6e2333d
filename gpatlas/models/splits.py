"""Who trains, who validates, who is tested: the one place where that is decided."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from gpatlas.data.genotypes import FloatArray, Rows
from gpatlas.data.population import Population, TextArray
from gpatlas.models.registry import Model, RidgeSettings
from gpatlas.models.settings import FitSettings, split_sizes

STUDY_SEED = 42  # of the study's splits for ridge regression
FOLDS_SEED = 1  # of the folds: every model of a population has the same
N_INNER_FOLDS = 5  # of training individuals, where a model's settings do not say it
MOST_HELD_OUT = 1000  # individuals of an inner fold whose predictions are told: further ones add little
VALIDATION_SHARE = 0.15  # of the individuals outside a fold, or of all where nothing else says who trains

Plan = list[tuple[list[int], list["Split"]]]
"""Which traits, by number from 0, are fitted together, and on which splits."""


@dataclass(frozen=True)
class Split:
    """Row numbers of the individuals to train on, to choose by (early stopping), and to report on; which `fold` of which `repeat`."""

    train: Rows
    validation: Rows
    test: Rows
    repeat: int = 1
    fold: int = 1

    def of(self, rows: Rows) -> "Split":
        """With those among `rows` only."""
        train, validation, test = (part[np.isin(part, rows)] for part in (self.train, self.validation, self.test))
        return Split(train, validation, test, self.repeat, self.fold)

    @property
    def fitted(self) -> Rows:
        """Those of the final fit: the validation part is among them where it is not the test part."""
        return np.union1d(self.train, np.setdiff1d(self.validation, self.test))


def plan_splits(model: Model, settings: FitSettings, population: Population) -> Plan:
    """Traits that are measured in the same individuals are fitted together, on these individuals.

    One split, but for ridge regression under protocol 'paper', which has the study's random splits, and for cross-validation.
    Raises ValueError where there are more folds than groups, or individuals, and where a trait that the settings name is not there.
    """
    chosen = chosen_traits(settings, population)
    together = [([chosen[trait] for trait in traits], rows) for traits, rows in measured_together(population.phenotypes[:, chosen])]
    groups = population.described.groups if population.described else None
    if settings.protocol == "cross_validation":
        splits = fold_splits(population.n_individuals, groups, model.validates, settings)
        return [(traits, [split.of(rows) for split in splits]) for traits, rows in together]
    if settings.protocol == "paper" and isinstance(settings, RidgeSettings):
        return [part for traits, rows in together for part in _ridge_of_the_study(settings, traits, rows)]
    plan: Plan = []
    for traits, rows in together:
        split = ordered_split(len(rows), settings.protocol, model.validates, None if groups is None else groups[rows])
        plan.append((traits, [Split(rows[split.train], rows[split.validation], rows[split.test])]))
    return plan


def chosen_traits(settings: FitSettings, population: Population) -> list[int]:
    """The traits that the settings name, by number from 0. ValueError where one is not there."""
    return [population.trait_number(name) for name in settings.traits or population.trait_names]


def measured_together(phenotypes: FloatArray) -> list[tuple[list[int], Rows]]:
    """The traits that the same individuals have, by number from 0, and these individuals."""
    by_individuals: dict[bytes, list[int]] = {}
    for trait, measured in enumerate(~np.isnan(phenotypes.T)):
        by_individuals.setdefault(measured.tobytes(), []).append(trait)
    return [(traits, np.flatnonzero(~np.isnan(phenotypes[:, traits[0]]))) for traits in by_individuals.values()]


def fold_splits(n: int, groups: TextArray | None, validates: bool, settings: FitSettings) -> list[Split]:
    """Every individual is tested once in each repeat; a group as a whole."""
    splits = []
    for repeat in range(settings.n_repeats):
        folds = assign_folds(n, groups, settings.n_folds, np.random.default_rng((FOLDS_SEED, repeat)))
        for fold in range(settings.n_folds):
            rest, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            inner = np.zeros(len(rest), bool)
            if validates:
                of_rest = None if groups is None else groups[rest]
                n_parts = min(round(1 / VALIDATION_SHARE), len(rest if of_rest is None else set(of_rest)))
                inner = assign_folds(len(rest), of_rest, n_parts, np.random.default_rng((FOLDS_SEED, repeat, fold))) == 0
            splits.append(Split(rest[~inner], rest[inner], test, repeat + 1, fold + 1))
    return splits


def assign_folds(n: int, groups: TextArray | None, n_folds: int, random: np.random.Generator) -> Rows:
    """The fold, from 0, of `n` individuals: (n,). At random, whole groups together, the folds as equal in size as may be.

    Raises ValueError where there are more folds than groups, or individuals.
    """
    folds = np.zeros(n, np.intp)
    if groups is None:
        if n < n_folds:
            raise ValueError(f"n_folds: {n} individuals cannot be cut into {n_folds} folds; lower it to {n} at most")
        folds[random.permutation(n)] = np.arange(n) % n_folds
        return folds
    sizes = Counter(groups.tolist())
    if len(sizes) < n_folds:
        raise ValueError(f"n_folds: {len(sizes)} groups cannot be cut into {n_folds} folds; lower it to {len(sizes)} at most")
    names = sorted(sizes)
    order = sorted((names[number] for number in random.permutation(len(names))), key=lambda name: -sizes[name])
    taken, fold_of = np.zeros(n_folds, np.intp), {}
    for name in order:
        fold_of[name] = int(taken.argmin())
        taken[fold_of[name]] += sizes[name]
    return np.array([fold_of[name] for name in groups.tolist()], np.intp)


def inner_folds(n: int, n_folds: int, seed: int) -> list[tuple[Rows, Rows]]:
    """(the rest, those left out) of `n` training individuals, for a fit that chooses by cross-validation among them."""
    folds = assign_folds(n, None, min(n_folds, n), np.random.default_rng(seed))
    return [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(int(folds.max()) + 1)]


def told_folds(n: int, seed: int) -> list[Rows]:
    """Those left out, at most MOST_HELD_OUT of a fold: of whom a model that does not choose by folds tells inner predictions."""
    return [held_out[:MOST_HELD_OUT] for _, held_out in inner_folds(n, N_INNER_FOLDS, seed)]


def drawn_parts(n: int, validates: bool, seed: int) -> tuple[Rows, Rows]:
    """Of `n` individuals who are all fitted: whom to train on and, for a model that `validates`, whom to choose by, drawn at random."""
    if not validates:
        return np.arange(n), np.arange(0)
    order = np.random.default_rng(seed).permutation(n)
    cut = n - max(2, round(VALIDATION_SHARE * n))
    return order[:cut], order[cut:]


def _ridge_of_the_study(settings: RidgeSettings, traits: list[int], rows: Rows) -> Plan:
    """The study draws splits anew for every trait, all from one stream that starts at its seed (`splits: per_trait`); sharing them over
    the traits saves a decomposition per trait and split."""
    if settings.splits == "shared":
        return [(traits, random_splits(rows, settings.n_splits, np.random.default_rng(settings.seed)))]
    study = np.random.RandomState(STUDY_SEED)
    return [([trait], random_splits(rows, settings.n_splits, study)) for trait in traits]


def ordered_split(n_individuals: int, protocol: str, validates: bool = True, groups: TextArray | None = None) -> Split:
    """The first 85 % train, the rest test; under 'holdout' the last 15 % of the former validate, under 'paper' the test part does.

    The validation part is empty for a model that does not validate. With `groups`, individuals follow the first of their group, and
    a cut that would go through a group moves behind it.
    """
    n_train, n_validation, _ = split_sizes(n_individuals, protocol)
    fitted = n_train if protocol == "paper" else n_train + n_validation
    rows = np.arange(n_individuals)
    cuts = [n_train if validates and protocol != "paper" else fitted, fitted]
    if groups is not None:
        _, first, group = np.unique(groups, return_index=True, return_inverse=True)
        rows = np.argsort(first[group], kind="stable")
        starts = np.flatnonzero(np.append(groups[rows][1:] != groups[rows][:-1], True)) + 1
        cuts = [int(starts[starts >= cut].min()) for cut in cuts]
    train, validation, test = np.split(rows, cuts)
    return Split(train, test if validates and protocol == "paper" else validation, test)


def random_splits(rows: Rows, n_splits: int, rng: np.random.Generator | np.random.RandomState) -> list[Split]:
    """`n_splits` random splits with int(0.85·n) training individuals and no validation part."""
    orders = [rows[rng.permutation(len(rows))] for _ in range(n_splits)]
    cut = int(0.85 * len(rows))
    return [Split(order[:cut], order[:0], order[cut:]) for order in orders]
