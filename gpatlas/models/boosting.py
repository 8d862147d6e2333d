"""Gradient-boosted trees (XGBoost) on allele counts: depth, share of loci and number of trees by cross-validation inside the training part.

A trait's trees grow on all folds side by side and stop where the error on the individuals left out has not fallen for long; so many
are then grown on everyone, several times with other random numbers, and their mean predicts.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpatlas.data.genotypes import MISSING, ByteArray, FloatArray, Genotypes, Rows
from gpatlas.models.clumps import Places, one_per_clump
from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.encoder import BLOCK_SIZE
from gpatlas.models.registry import BoostingSettings
from gpatlas.models.splits import inner_folds

CALLS_PER_THREAD = 50_000_000  # fewer are not worth a further thread; the trees are the same for any number


def fit(train: Part, validation: Part, settings: BoostingSettings, progress: FitProgress) -> dict[str, Fitted]:
    """Trees on the training individuals, trait after trait."""
    n, n_traits = train.phenotypes.shape
    loci = one_per_clump(train.genotypes, settings.clump_r_squared)
    counts = _of_loci(train.genotypes.counts(), loci)
    trees = _Trees.of(counts, inner_folds(n, settings.n_inner_folds, settings.seed), settings)
    choices = [(depth, share) for depth in settings.max_depths for share in settings.locus_shares]
    steps, grown, chosen = len(choices) + 1, [], []
    for trait, phenotypes in enumerate(train.phenotypes.T):
        tried = []
        for number, (depth, share) in enumerate(choices, 1):
            tried.append(trees.choose(phenotypes, depth, share))
            progress(trait * steps + number, n_traits * steps)
        chosen.append(min(tried, key=lambda choice: choice.error))
        grown.append(trees.grow(phenotypes, chosen[-1]))
        progress((trait + 1) * steps, n_traits * steps)
    columns = {
        "n_trees": np.array([choice.n_trees for choice in chosen], float),
        "max_depth": np.array([choice.depth for choice in chosen], float),
        "locus_share": np.array([choice.share for choice in chosen]),
    }
    inner = train.phenotypes + np.stack([choice.misses for choice in chosen], axis=1)
    return {"boosting": Fitted(_Forests(loci, grown), columns=columns, inner_predictions=inner)}


@dataclass(frozen=True)
class _Choice:
    """So many trees of a depth, on a share of the loci each, and what those of the folds miss of the individuals left out, (n,)."""

    misses: FloatArray
    n_trees: int
    depth: int
    share: float

    @property
    def error(self) -> float:
        """Mean square."""
        return float(np.mean(self.misses**2))


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
    """Predictions (n, T), by the forest of every trait on the counts of `loci`."""

    loci: Places
    forests: list[_Forest]

    def __call__(self, genotypes: Genotypes) -> FloatArray:
        predicted = np.empty((len(genotypes), len(self.forests)))
        for rows, counts in genotypes.blocks(BLOCK_SIZE):
            counts = _of_loci(counts, self.loci)
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
    def of(cls, counts: ByteArray, parts: list[tuple[Rows, Rows]], settings: BoostingSettings) -> "_Trees":
        """A byte per call: XGBoost takes whole numbers, and bins them to whole numbers."""
        import xgboost

        most = settings.threads or len(os.sched_getaffinity(0))
        threads = min(most, 1 + counts.size // CALLS_PER_THREAD)
        shared = {"missing": MISSING, "max_bin": MISSING + 1, "nthread": threads}
        folds = []
        for rest, rows in parts:
            inside = xgboost.QuantileDMatrix(counts[rest], **shared)
            folds.append(_Fold(rest, rows, inside, xgboost.QuantileDMatrix(counts[rows], ref=inside, **shared)))
        return cls(folds, xgboost.QuantileDMatrix(counts, **shared), threads, settings)

    def choose(self, phenotypes: FloatArray, depth: int, share: float) -> _Choice:
        """As many trees as have the smallest error on the individuals left out; 0 where the mean does best."""
        boosters, misses = [], np.empty(len(phenotypes))
        for fold in self.folds:
            mean = phenotypes[fold.rest].mean()
            fold.inside.set_label(phenotypes[fold.rest] - mean)
            boosters.append(self._booster(depth, share, [fold.inside, fold.outside]))
            misses[fold.rows] = mean - phenotypes[fold.rows]
        nothing, best = misses.copy(), _Choice(misses, 0, depth, share)
        for tree in range(self.settings.max_trees):
            if tree - best.n_trees >= self.settings.patience:
                break
            misses = nothing.copy()
            for booster, fold in zip(boosters, self.folds, strict=True):
                booster.update(fold.inside, tree)
                misses[fold.rows] += booster.predict(fold.outside)
            if np.mean(misses**2) < best.error:
                best = _Choice(misses, tree + 1, depth, share)
        return best

    def grow(self, phenotypes: FloatArray, choice: _Choice) -> _Forest:
        """The chosen trees on everyone, as often as the settings say."""
        mean, boosters = float(phenotypes.mean()), []
        self.everyone.set_label(phenotypes - mean)
        for repeat in range(self.settings.n_forests if choice.n_trees else 0):
            booster = self._booster(choice.depth, choice.share, [self.everyone], repeat)
            for tree in range(choice.n_trees):
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


def _of_loci(counts: ByteArray, loci: Places) -> ByteArray:
    """The counts (n, k) of k loci, row after row in memory."""
    return np.ascontiguousarray(counts if len(loci) == counts.shape[1] else counts[:, loci])
