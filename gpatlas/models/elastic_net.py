"""Elastic net and lasso on standardised loci: penalty and mixture by cross-validation inside the training part, along the whole path.

As glmnet does it (Friedman et al. 2010, doi 10.18637/jss.v033.i01): with z the standardised loci of n individuals and y their centred
phenotypes, the effects b minimise |y − z·b|² / 2n + penalty·(l1_ratio·|b|₁ + (1 − l1_ratio)·|b|² / 2).
"""

import warnings
from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt

from gpatlas.data.genotypes import FloatArray, Rows
from gpatlas.models.clumps import Places, one_per_clump
from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.encoder import BLOCK_SIZE, Encoder, Encoding, Numbers, times
from gpatlas.models.registry import ElasticNetSettings
from gpatlas.models.splits import inner_folds

Shares = npt.NDArray[np.float32]

LOCUS_BLOCK = 512  # loci whose moments are taken at once
SMALLEST_VARIANCE = 1e-9  # of shares: below, a locus is constant but for rounding
TOLERANCE = 1e-6  # of the duality gap, as a share of |y|²
SLACK = 1e-3  # share of the penalty by which a locus left out may exceed it
MOST_SWEEPS = 10_000


def fit(train: Part, validation: Part, settings: ElasticNetSettings, progress: FitProgress) -> dict[str, Fitted]:
    """Elastic net on the training individuals, trait after trait."""
    encoder, loci = Encoder.fit(train.genotypes), one_per_clump(train.genotypes, settings.clump_r_squared)
    shares = _dense(encoder.encode(train.genotypes), loci)
    n, n_traits = train.phenotypes.shape
    parts = [_Loci.of(shares, rest) for rest, _ in inner_folds(n, settings.n_inner_folds, settings.seed)]
    parts.append(_Loci.of(shares, np.arange(n)))
    best = []
    for trait in range(n_traits):
        tried = [
            _along_path(shares, parts, train.phenotypes[:, trait], settings, ratio, _Steps(progress, settings, n_traits, place))
            for place, ratio in enumerate(settings.l1_ratios, trait * len(settings.l1_ratios))
        ]
        best.append(min(tried, key=lambda choice: choice.error))
    coefficients = np.zeros((train.genotypes.n_loci, n_traits))
    coefficients[loci] = np.stack([choice.coefficients for choice in best], axis=1)
    net = _Net(coefficients, np.array([choice.intercept for choice in best]))
    columns = {
        "penalty": np.array([choice.penalty for choice in best]),
        "l1_ratio": np.array([choice.l1_ratio for choice in best]),
        "n_loci_kept": np.count_nonzero(net.coefficients, axis=0),
    }
    inner = train.phenotypes + np.stack([choice.misses for choice in best], axis=1)
    return {"elastic_net": Fitted(Encoding(encoder, net.predict), net.coefficients, columns, inner_predictions=inner)}


@dataclass(frozen=True)
class _Net:
    """`coefficients` (n_loci, T) per share of counted alleles, `intercept` (T,)."""

    coefficients: FloatArray
    intercept: FloatArray

    def predict(self, numbers: Numbers) -> FloatArray:
        """Of n individuals: (n, T)"""
        return times(numbers, self.coefficients) + self.intercept


@dataclass(frozen=True)
class _Choice:
    """A point of a path: what it says of all training individuals, and what the folds' paths miss of those left out, `misses` (n,)."""

    misses: FloatArray
    penalty: float
    l1_ratio: float
    coefficients: FloatArray
    intercept: float

    @property
    def error(self) -> float:
        """Mean square."""
        return float(np.mean(self.misses**2))


@dataclass(frozen=True)
class _Steps:
    """Progress of path number `place`, in steps of all."""

    progress: FitProgress
    settings: ElasticNetSettings
    n_traits: int
    place: int

    def __call__(self, step: int) -> None:
        n = self.settings.n_penalties
        self.progress(self.place * n + step, self.n_traits * len(self.settings.l1_ratios) * n)


@dataclass(frozen=True)
class _Loci:
    """The loci as the individuals `rows` of `shares` (n, n_loci) have them: `mean`, and 1 / standard deviation or 0 where there is none."""

    shares: Shares
    rows: Rows
    mean: FloatArray
    inverse: FloatArray

    @classmethod
    def of(cls, shares: Shares, rows: Rows) -> "_Loci":
        n_loci = shares.shape[1]
        mean, inverse = np.zeros(n_loci), np.zeros(n_loci)
        for start in range(0, n_loci, LOCUS_BLOCK):
            loci = slice(start, start + LOCUS_BLOCK)
            block = shares[rows, loci].astype(np.float64)
            mean[loci], variance = block.mean(axis=0), block.var(axis=0)
            inverse[loci] = np.where(variance > SMALLEST_VARIANCE, 1 / np.sqrt(np.maximum(variance, SMALLEST_VARIANCE)), 0)
        return cls(shares, rows, mean, inverse)

    def standardised(self, rows: Rows, loci: Rows) -> FloatArray:
        """(len(rows), len(loci)), column after column in memory."""
        columns = np.asfortranarray(self.shares[np.ix_(rows, loci)], dtype=np.float64)
        columns -= self.mean[loci]
        columns *= self.inverse[loci]
        return columns


class _Path:
    """The path of one set of individuals: the loci let in so far, and their effects at the present penalty."""

    def __init__(self, loci: _Loci, phenotypes: FloatArray, l1_ratio: float) -> None:
        self.loci, self.l1_ratio = loci, l1_ratio
        self.intercept = float(phenotypes[loci.rows].mean())
        self.target = phenotypes[loci.rows] - self.intercept
        self.inside = np.zeros(0, np.intp)
        self.effects = np.zeros(0)
        self._columns = np.zeros((len(loci.rows), 0), order="F")
        self._gram, self._products = np.zeros((0, 0)), np.zeros(0)
        self.slopes = np.zeros(len(loci.mean))  # of |y − z·b|² / 2n over the effects, without the sign

    def residual(self) -> FloatArray:
        """Of everyone, (n,): 0 for those that are left out."""
        everyone = np.zeros(len(self.loci.shares))
        everyone[self.loci.rows] = self.target - self._columns @ self.effects
        return everyone

    def hear(self, product: FloatArray) -> None:
        """`product` (n_loci,): sharesᵀ·residual."""
        self.slopes = product * self.loci.inverse / len(self.target)

    def let_in(self, limit: float) -> bool:
        """The loci outside whose slope is above `limit`; whether there were any."""
        above = np.abs(self.slopes) > limit
        above[self.inside] = False
        new = np.flatnonzero(above)
        if not len(new):
            return False
        columns = self.loci.standardised(self.loci.rows, new)
        across = self._columns.T @ columns
        self._gram = np.block([[self._gram, across], [across.T, columns.T @ columns]])
        self._columns = np.asfortranarray(np.concatenate([self._columns, columns], axis=1))
        self._products = np.append(self._products, columns.T @ self.target)
        self.inside, self.effects = np.append(self.inside, new), np.append(self.effects, np.zeros(len(new)))
        return True

    def solve(self, penalty: float) -> None:
        """Coordinate descent over the loci inside, from where it stands."""
        from sklearn.linear_model import enet_path

        if not len(self.inside):
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it does not converge, near a perfect fit, which is not chosen
            _, effects, _ = enet_path(
                self._columns,
                self.target,
                l1_ratio=self.l1_ratio,
                alphas=[penalty],
                precompute=self._gram,
                Xy=self._products,
                coef_init=self.effects,
                copy_X=False,
                check_input=False,
                tol=TOLERANCE,
                max_iter=MOST_SWEEPS,
                random_state=0,  # it draws from numpy's own otherwise, and uses nothing of it
            )
        self.effects = effects[:, 0]

    def predicted(self, rows: Rows) -> FloatArray:
        """(len(rows),)"""
        kept = self.effects != 0
        predicted: FloatArray = self.loci.standardised(rows, self.inside[kept]) @ self.effects[kept] + self.intercept
        return predicted

    def choice(self, misses: FloatArray, penalty: float) -> _Choice:
        """Where it stands now."""
        coefficients = np.zeros(len(self.loci.mean))
        coefficients[self.inside] = self.effects * self.loci.inverse[self.inside]
        return _Choice(misses, penalty, self.l1_ratio, coefficients, self.intercept - float(self.loci.mean @ coefficients))


def _along_path(
    shares: Shares, parts: list[_Loci], phenotypes: FloatArray, settings: ElasticNetSettings, l1_ratio: float, steps: _Steps
) -> _Choice:
    """The best point of the paths of all folds, and of everyone, who come last in `parts`. They go down side by side, and end where
    the error on the folds left out has not fallen for long. Loci are let in by the sequential strong rule (Tibshirani et al. 2012), and
    those that it wrongly left outside by the conditions of the minimum."""
    paths = [_Path(part, phenotypes, l1_ratio) for part in parts]
    held_out = [np.setdiff1d(np.arange(len(shares)), path.loci.rows) for path in paths[:-1]]
    _tell(shares, paths)
    largest = float(np.abs(paths[-1].slopes).max(initial=0)) / l1_ratio
    choice = paths[-1].choice(_misses(paths, held_out, phenotypes), largest)
    before, since = largest, count(1)
    for step, penalty in enumerate(largest * np.geomspace(1, settings.smallest_penalty, settings.n_penalties), 1):
        if largest == 0 or next(since) > settings.patience:
            break
        for path in paths:
            path.let_in(l1_ratio * (2 * penalty - before))
        open_ones = paths
        while open_ones:
            for path in open_ones:
                path.solve(penalty)
            _tell(shares, open_ones)
            open_ones = [path for path in open_ones if path.let_in(l1_ratio * penalty * (1 + SLACK))]
        before = penalty
        misses = _misses(paths, held_out, phenotypes)
        if np.mean(misses**2) < choice.error:
            choice, since = paths[-1].choice(misses, float(penalty)), count(1)
        if step < settings.n_penalties:
            steps(step)
    steps(settings.n_penalties)
    return choice


def _tell(shares: Shares, paths: list[_Path]) -> None:
    """One product with all loci serves all paths."""
    residuals = np.stack([path.residual() for path in paths], axis=1).astype(np.float32)
    for path, product in zip(paths, (shares.T @ residuals).T.astype(np.float64), strict=True):
        path.hear(product)


def _misses(paths: list[_Path], held_out: list[Rows], phenotypes: FloatArray) -> FloatArray:
    """Of everyone, (n,): as predicted by the path that left them out, less the phenotype."""
    misses = np.empty(len(phenotypes))
    for path, rows in zip(paths, held_out, strict=False):
        misses[rows] = path.predicted(rows) - phenotypes[rows]
    return misses


def _dense(numbers: Numbers, loci: Places) -> Shares:
    """Of k loci: (n, k), locus after locus in memory."""
    dense = np.empty((numbers.shape[0], len(loci)), np.float32, order="F")
    for rows, block in numbers.blocks(BLOCK_SIZE):
        dense[rows] = block[:, loci]
    return dense
