"""Gradient-boosted trees (XGBoost) on allele counts: depth, share of loci and number of trees by cross-validation inside the training part.

A trait's trees grow on all folds side by side and stop where the error on the individuals left out has not fallen for long; so many
are then grown on everyone, several times with other random numbers, and their mean predicts.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpatlas.data.genotypes import MISSING, FloatArray, Genotypes, Rows
from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.encoder import BLOCK_SIZE
from gpatlas.models.registry import BoostingSettings
from gpatlas.models.splits import inner_folds

CALLS_PER_THREAD = 50_000_000  # fewer are not worth a further thread; the trees are the same for any number


def fit(train: Part, validation: Part, settings: BoostingSettings, progress: FitProgress) -> dict[str, Fitted]:
    """Trees on the training individuals, trait after trait."""
    n, n_traits = train.phenotypes.shape
    trees = _Trees.of(train.genotypes, inner_folds(n, settings.n_inner_folds, settings.seed), settings)
    choices = [(depth, share) for depth in settings.max_depths for share in settings.locus_shares]
    steps, grown, columns = len(choices) + 1, [], []
    for trait, phenotypes in enumerate(train.phenotypes.T):
        tried = []
        for number, (depth, share) in enumerate(choices, 1):
            tried.append((*trees.count(phenotypes, depth, share), depth, share))
            progress(trait * steps + number, n_traits * steps)
        _, n_trees, depth, share = min(tried, key=lambda choice: choice[0])
        grown.append(trees.grow(phenotypes, n_trees, depth, share))
        columns.append((n_trees, depth, share))
        progress((trait + 1) * steps, n_traits * steps)
    named = zip(("n_trees", "max_depth", "locus_share"), np.array(columns, float).T, strict=True)
    return {"boosting": Fitted(_Forests(grown), columns=dict(named))}


@dataclass(frozen=True)
class _Forest:
    """The mean of several `boosters`, plus `mean`, and this alone where there are none."""

    mean: float
    boosters: Sequence[Any]

    def __call__(self, counts: Any) -> FloatArray:
        if not self.boosters:
            return np.full(len(counts), self.mean)
        parts = [booster.inplace_predict(counts, missing=MISSING).astype(np.float64) for booster in self.boosters]
        return np.asarray(np.mean(parts, axis=0) + self.mean)


@dataclass(frozen=True)
class _Forests:
    """Predictions (n, T), by the forest of every trait."""

    forests: list[_Forest]

    def __call__(self, genotypes: Genotypes) -> FloatArray:
        predicted = np.empty((len(genotypes), len(self.forests)))
        for rows, counts in genotypes.blocks(BLOCK_SIZE):
            counts = np.ascontiguousarray(counts)
            for trait, forest in enumerate(self.forests):
                predicted[rows, trait] = forest(counts)
        return predicted


@dataclass(frozen=True)
class _Fold:
    """The individuals `rest`, and those left out, `rows`, as XGBoost's binned matrices."""

    rest: Rows
    rows: Rows
    inside: Any
    outside: Any


@dataclass(frozen=True)
class _Trees:
    """Grows trees on the folds, and on `everyone`; the matrices serve all traits."""

    folds: list[_Fold]
    everyone: Any
    threads: int
    settings: BoostingSettings

    @classmethod
    def of(cls, genotypes: Genotypes, parts: list[tuple[Rows, Rows]], settings: BoostingSettings) -> "_Trees":
        """A byte per call: XGBoost takes whole numbers, and bins them to whole numbers."""
        import xgboost

        counts = genotypes.counts()
        most = settings.threads or len(os.sched_getaffinity(0))
        threads = min(most, 1 + counts.size // CALLS_PER_THREAD)
        shared = {"missing": MISSING, "max_bin": MISSING + 1, "nthread": threads}
        folds = []
        for rest, rows in parts:
            inside = xgboost.QuantileDMatrix(counts[rest], **shared)
            folds.append(_Fold(rest, rows, inside, xgboost.QuantileDMatrix(counts[rows], ref=inside, **shared)))
        return cls(folds, xgboost.QuantileDMatrix(counts, **shared), threads, settings)

    def count(self, phenotypes: FloatArray, depth: int, share: float) -> tuple[float, int]:
        """The smallest mean squared error on the individuals left out, and after how many trees; 0 where the mean does best."""
        boosters, targets = [], []
        for fold in self.folds:
            mean = phenotypes[fold.rest].mean()
            fold.inside.set_label(phenotypes[fold.rest] - mean)
            boosters.append(self._booster(depth, share, [fold.inside, fold.outside]))
            targets.append(phenotypes[fold.rows] - mean)
        least, n_trees = float(np.sum([(target**2).sum() for target in targets])), 0
        for tree in range(self.settings.max_trees):
            if tree - n_trees >= self.settings.patience:
                break
            error = 0.0
            for booster, fold, target in zip(boosters, self.folds, targets, strict=True):
                booster.update(fold.inside, tree)
                error += float(((booster.predict(fold.outside).astype(np.float64) - target) ** 2).sum())
            if error < least:
                least, n_trees = error, tree + 1
        return least / len(phenotypes), n_trees

    def grow(self, phenotypes: FloatArray, n_trees: int, depth: int, share: float) -> _Forest:
        """`n_trees` on everyone, as often as the settings say."""
        mean, boosters = float(phenotypes.mean()), []
        self.everyone.set_label(phenotypes - mean)
        for repeat in range(self.settings.n_forests if n_trees else 0):
            booster = self._booster(depth, share, [self.everyone], repeat)
            for tree in range(n_trees):
                booster.update(self.everyone, tree)
            boosters.append(booster)
        return _Forest(mean, boosters)

    def _booster(self, depth: int, share: float, known: list[Any], repeat: int = 0) -> Any:
        import xgboost

        settings = self.settings
        parameters = {
            "tree_method": "hist",
            "objective": "reg:squarederror",
            "base_score": 0.0,
            "eta": settings.learning_rate,
            "max_depth": depth,
            "max_bin": MISSING + 1,
            "min_child_weight": settings.min_individuals,
            "subsample": settings.individual_share,
            "colsample_bytree": share,
            "seed": (settings.seed + 1_000_003 * repeat) % 2**31,
            "nthread": self.threads,
            "verbosity": 0,
        }
        return xgboost.Booster(parameters, cache=known)
