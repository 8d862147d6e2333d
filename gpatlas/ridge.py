"""Ridge regression on allele counts, every penalty judged by its leave-one-out error (stands for rrBLUP)."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gpatlas.dataset import ByteArray, Dataset, FloatArray
from gpatlas.evaluation import Fitted, Part, Split, ordered_split, random_splits, run_fit, write_table
from gpatlas.progress import Progress
from gpatlas.settings import RidgeSettings

STUDY_SEED = 42
ERROR_BLOCK = 8  # penalties whose leave-one-out errors are computed together


def run(settings: RidgeSettings, source: Path, out: Path, progress: Progress) -> None:
    """Protocol 'paper': the mean over random splits. 'holdout': the one split that all models share."""
    with Dataset(source) as data:
        write_table(fit_dataset(settings, data, progress), out)


def fit_dataset(settings: RidgeSettings, data: Dataset, progress: Progress) -> pd.DataFrame:
    """The table of one dataset."""
    plan = plan_splits(settings, data.n_individuals, data.n_traits)
    done, total = itertools.count(1), sum(len(splits) for _, splits in plan)

    def fit(train: Part, validation: Part, settings: RidgeSettings, progress: Progress) -> Fitted:
        fitted = fit_ridge(train, settings)
        progress(next(done), total)
        return fitted

    tables = [run_fit("ridge", fit, splits, settings, data, progress, traits) for traits, splits in plan]
    return pd.concat(tables, ignore_index=True)


def plan_splits(settings: RidgeSettings, n_individuals: int, n_traits: int) -> list[tuple[slice, list[Split]]]:
    """Which traits are fitted together, on which splits.

    The study draws splits anew for every trait, all from one stream that starts at its seed, 42 (`splits: per_trait`);
    sharing them over the traits saves a decomposition per trait and split.
    """
    everything = slice(None)
    if settings.protocol == "holdout":
        return [(everything, [without_validation(split) for split in ordered_split(n_individuals, settings)])]
    if settings.splits == "shared":
        return [(everything, random_splits(n_individuals, settings.n_splits, np.random.default_rng(settings.seed)))]
    study = np.random.RandomState(STUDY_SEED)
    return [(slice(trait, trait + 1), random_splits(n_individuals, settings.n_splits, study)) for trait in range(n_traits)]


def without_validation(split: Split) -> Split:
    """The validation part joins the training part: ridge chooses its penalty by leave-one-out."""
    return Split(np.concatenate([split.train, split.validation]), split.validation[:0], split.test)


def penalties(settings: RidgeSettings) -> FloatArray:
    """The penalties tried, ascending."""
    return np.logspace(settings.log10_penalty_min, settings.log10_penalty_max, settings.n_penalties)


def fit_ridge(train: Part, settings: RidgeSettings) -> Fitted:
    """Ridge on the training individuals."""
    ridge = Ridge.fit(train.alleles, train.phenotypes, penalties(settings))
    return Fitted(ridge.predict, ridge.coefficients, {"penalty": ridge.penalty})


@dataclass(frozen=True)
class Ridge:
    """`coefficients` (n_loci, T), `intercept` (T,), and the `penalty` chosen for each trait (T,)."""

    coefficients: FloatArray
    intercept: FloatArray
    penalty: FloatArray

    @classmethod
    def fit(cls, alleles: ByteArray, phenotypes: FloatArray, penalties: FloatArray) -> "Ridge":
        """One decomposition of the centred genotypes serves all traits and all penalties.

        Columns of `left` span the centred genotypes, so for penalty p the hat matrix is 1/n + left·diag(s/(s + p))·leftᵀ
        and the leave-one-out error of individual i is its residual divided by (1 − hat_ii).
        """
        allele_mean, phenotype_mean = alleles.mean(axis=0), phenotypes.mean(axis=0)
        centred, target = alleles - allele_mean, phenotypes - phenotype_mean
        left, squares = _decompose(centred)
        projected = left.T @ target  # (rank, T)
        errors = _leave_one_out(left, squares, projected, target, penalties)  # (P, T)
        penalty = penalties[errors.argmin(axis=0)]
        # coefficients = Xᵀ·(XXᵀ + p)⁻¹·y, where y outside the span of `left` has no part
        coefficients = centred.T @ (left @ (projected / (squares[:, None] + penalty)))
        return cls(coefficients, phenotype_mean - allele_mean @ coefficients, penalty)

    def predict(self, alleles: ByteArray) -> FloatArray:
        """(n, n_loci) to (n, T)"""
        return alleles @ self.coefficients + self.intercept


def _decompose(centred: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Left singular vectors (n, rank) and squared singular values (rank,), from the smaller of the two Gram matrices."""
    n, m = centred.shape
    squares, vectors = np.linalg.eigh(centred.T @ centred if m <= n else centred @ centred.T)
    kept = squares > squares[-1] * max(n, m) * np.finfo(float).eps
    squares, vectors = squares[kept], vectors[:, kept]
    return (centred @ vectors / np.sqrt(squares) if m <= n else vectors), squares


def _leave_one_out(left: FloatArray, squares: FloatArray, projected: FloatArray, target: FloatArray, penalties: FloatArray) -> FloatArray:
    """Mean squared leave-one-out error of every penalty and trait, (P, T)."""
    n, n_traits = target.shape
    leverage_parts = left**2
    errors = np.empty((len(penalties), n_traits))
    for start in range(0, len(penalties), ERROR_BLOCK):
        block = penalties[start : start + ERROR_BLOCK]
        shrinkage = squares[:, None] / (squares[:, None] + block)  # (rank, B)
        room = 1 - 1 / n - leverage_parts @ shrinkage  # (n, B)
        fitted = left @ (shrinkage[:, :, None] * projected[:, None, :]).reshape(len(squares), len(block) * n_traits)  # (n, B·T)
        residuals = target[:, None, :] - fitted.reshape(n, len(block), n_traits)
        errors[start : start + len(block)] = ((residuals / room[:, :, None]) ** 2).mean(axis=0)
    return errors
