"""Who trains, who validates, who is tested: the one place where that is decided."""

from dataclasses import dataclass

import numpy as np

from gpatlas.data.genotypes import Rows
from gpatlas.models.registry import Model, RidgeSettings
from gpatlas.models.settings import FitSettings, split_sizes

STUDY_SEED = 42  # of the study's splits for ridge regression


@dataclass(frozen=True)
class Split:
    """Row numbers of the individuals to train on, to choose by (early stopping), and to report on."""

    train: Rows
    validation: Rows
    test: Rows

    @property
    def fitted(self) -> Rows:
        """Those of the final fit: the validation part is among them where it is not the test part."""
        return np.union1d(self.train, np.setdiff1d(self.validation, self.test))


def plan_splits(model: Model, settings: FitSettings, n_individuals: int, n_traits: int) -> list[tuple[slice, list[Split]]]:
    """Which traits are fitted together, and on which splits of `n_individuals`.

    One ordered split, but for ridge regression under protocol 'paper', which has the study's random splits.
    """
    everything = slice(None)
    if settings.protocol == "paper" and isinstance(settings, RidgeSettings):
        return _ridge_of_the_study(settings, n_individuals, n_traits)
    if model.validates:
        return [(everything, [ordered_split(n_individuals, settings.protocol)])]
    return [(everything, [training_split(n_individuals)])]


def _ridge_of_the_study(settings: RidgeSettings, n_individuals: int, n_traits: int) -> list[tuple[slice, list[Split]]]:
    """The study draws splits anew for every trait, all from one stream that starts at its seed (`splits: per_trait`); sharing them over
    the traits saves a decomposition per trait and split."""
    if settings.splits == "shared":
        return [(slice(None), random_splits(n_individuals, settings.n_splits, np.random.default_rng(settings.seed)))]
    study = np.random.RandomState(STUDY_SEED)
    return [(slice(trait, trait + 1), random_splits(n_individuals, settings.n_splits, study)) for trait in range(n_traits)]


def ordered_split(n_individuals: int, protocol: str) -> Split:
    """The first 85 % train, the rest test; under 'holdout' the last 15 % of the former validate, under 'paper' the test part does."""
    n_train, n_validation, n_test = split_sizes(n_individuals, protocol)
    rows = np.arange(n_individuals)
    test = rows[n_individuals - n_test :]
    validation = test if protocol == "paper" else rows[n_train : n_train + n_validation]
    return Split(rows[:n_train], validation, test)


def training_split(n_individuals: int) -> Split:
    """The same test part, for a model that needs no validation part: all others train."""
    n_train, rows = split_sizes(n_individuals, "paper")[0], np.arange(n_individuals)
    return Split(rows[:n_train], rows[:0], rows[n_train:])


def random_splits(n_individuals: int, n_splits: int, rng: np.random.Generator | np.random.RandomState) -> list[Split]:
    """`n_splits` random splits with int(0.85·n) training individuals and no validation part."""
    orders = [rng.permutation(n_individuals) for _ in range(n_splits)]
    cut = int(0.85 * n_individuals)
    return [Split(order[:cut], order[:0], order[cut:]) for order in orders]
