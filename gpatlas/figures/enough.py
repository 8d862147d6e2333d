"""How many individuals are enough: theory of linear prediction, and the number from which on replicates gain what is asked for."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from gpatlas.figures.folds import LEVEL

SLOPES = np.geomspace(0.5, 16, 41)  # of the logit of the share, per unit of log n; 1.4 is from a half to four fifths as n grows by e
BEYOND = 4  # times the largest number that was tried, and as much below the smallest, the half-way point may lie


def expected_r(n_train: "pd.Series[float]", h2: "pd.Series[float]", m_e: "pd.Series[float]") -> "pd.Series[float]":
    """r of phenotypes with linear predictions by so many training individuals: sqrt(N·h2 / (N·h2 + M_e)) · sqrt(h2).

    `h2`: share of the phenotypic variance that is linear in the loci; `m_e`: effective number of chromosome segments. Daetwyler et al.
    (2008, doi 10.1371/journal.pone.0003395; 2010, doi 10.1534/genetics.110.116855). The refinement by which markers lower the residual
    variance (Goddard et al. 2011, doi 10.1111/j.1439-0388.2011.00964.x) fits unlinked loci better, by 0.1 at h2 0.8, but linked ones
    worse: in crosses, whose segments differ in variance, it lies 0.03 too high, and in outbred populations up to 0.07.
    """
    return (n_train * h2 / (n_train * h2 + m_e) * h2) ** 0.5


@dataclass(frozen=True)
class Enough:
    """A number of individuals with its 95% interval; these may lie outside the numbers that were tried."""

    n: float
    low: float
    high: float


def enough(gains: pd.DataFrame, gain: float, power: float) -> Enough:
    """The number of individuals from which on a share `power` of the replicates gains `gain`.

    `gains`: a row per replicate, a column per number of individuals, ascending; NaN where a replicate lacks one. The share is a logistic
    curve over log n, rising; its half-way point and the logarithm of its slope have flat priors. n is the median of the posterior, and the
    interval holds 95% of it. Replicates count as independent: where those of all sizes share their QTL, the interval is a little narrow.
    """
    logs = np.log(gains.columns.to_numpy(float))
    n_tried, n_gaining = gains.notna().sum().to_numpy(), (gains >= gain).sum().to_numpy()
    half_way, slope = np.meshgrid(np.linspace(logs[0] - np.log(BEYOND), logs[-1] + np.log(BEYOND), 161), SLOPES, indexing="ij")
    log_likelihood = np.zeros_like(half_way)
    for log_n, tried, gaining in zip(logs, n_tried, n_gaining, strict=True):
        share = expit(slope * (log_n - half_way)).clip(1e-12, 1 - 1e-12)
        log_likelihood += gaining * np.log(share) + (tried - gaining) * np.log1p(-share)
    posterior = np.exp(log_likelihood - log_likelihood.max()).ravel()
    log_numbers = (half_way + logit(power) / slope).ravel()
    order = np.argsort(log_numbers)
    below = posterior[order].cumsum() / posterior.sum()
    ends = (0.5, (1 - LEVEL) / 2, (1 + LEVEL) / 2)
    return Enough(*(float(np.exp(log_numbers[order[np.searchsorted(below, end)]])) for end in ends))
