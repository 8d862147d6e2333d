"""Models compared fold by fold, from their out-of-fold predictions: scores, their intervals, and which model to pick.

The folds of a cross-validation share training individuals, so that the variance of their scores says too little: the standard error of
a mean over J folds is that of Nadeau & Bengio (2003, Machine Learning 52:239), sqrt(variance · (1/J + n_test/n_train)), and
intervals are those of Student's t with J − 1 degrees of freedom. All models have the same folds, so differences are taken within folds.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from gpatlas.figures.words import by_registry

TRAIT = ["scenario", "trait"]  # of an experiment
MEASURES = {"pearson_r": "r", "r_squared": "R²"}
LEVEL = 0.95
DIGITS = 9  # beyond these, two scores are the same


@dataclass(frozen=True)
class Interval:
    """Of a mean over `n` values; NaN where there are fewer than two."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        """From the mean to either end."""
        return self.high - self.mean


def corrected_interval(values: "Sequence[float] | pd.Series[float]", test_share: float) -> Interval:
    """The mean of scores, or of differences of scores, over folds; NaN among them do not count.

    `test_share`: test individuals over training individuals.
    """
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    n = len(known)
    mean = float(known.mean()) if n else np.nan
    if n < 2:
        return Interval(mean, np.nan, np.nan, n)
    from scipy.special import stdtrit  # whose import takes as long as all else of a report without folds

    half = float(stdtrit(n - 1, (1 + LEVEL) / 2) * np.sqrt(known.var(ddof=1) * (1 / n + test_share)))
    return Interval(mean, mean - half, mean + half, n)


def fold_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """A row per scenario, trait, model, repeat and fold: `pearson_r`, `r_squared` and `test_share`, as `corrected_interval` has it.

    As the table scores: r of constant predictions is 0, and undefined where the phenotypes are constant; R² is 1 − SSE/SST against the
    mean of the individuals outside the fold. A fold with a prediction that is missing has no score.
    """
    repeat = [*TRAIT, "model", "repeat"]
    fold = [*repeat, "fold"]
    rows = predictions.astype({"observed": float, "predicted": float})
    whole, part = rows.groupby(repeat)["observed"], rows.groupby(fold)
    n, n_rest = part["observed"].transform("size"), whole.transform("size") - part["observed"].transform("size")
    mean = (whole.transform("sum") - part["observed"].transform("sum")) / n_rest
    observed, predicted = (rows[name] - part[name].transform("mean") for name in ("observed", "predicted"))
    terms = {
        "oo": observed**2,
        "pp": predicted**2,
        "op": observed * predicted,
        "sse": (rows["observed"] - rows["predicted"]) ** 2,
        "sst": (rows["observed"] - mean) ** 2,
        "test_share": n / n_rest / n,
    }
    groups = rows[fold].assign(**terms).groupby(fold)
    sums = groups.sum().where(groups.count().eq(groups.size(), axis=0))
    spread = part[["observed", "predicted"]].agg(np.ptp)
    r: pd.Series[float] = (sums["op"] / np.sqrt(sums["oo"] * sums["pp"])).mask(spread["predicted"] == 0, 0.0)
    scores = {
        "pearson_r": r.where((spread["observed"] > 0) & sums["op"].notna()),
        "r_squared": (1 - sums["sse"] / sums["sst"]).where(sums["sst"] > 0),
    }
    return pd.DataFrame({**scores, "test_share": sums["test_share"]}).reset_index()


def intervals(scores: pd.DataFrame, measure: str) -> pd.DataFrame:
    """A row per scenario, trait and model of `fold_scores`, with the fields of its Interval."""
    rows = []
    for (scenario, trait, model), folds in scores.groupby([*TRAIT, "model"], sort=False):
        interval = corrected_interval(folds[measure], folds["test_share"].mean())
        rows.append((scenario, trait, model, interval.mean, interval.half, interval.n))
    return pd.DataFrame(rows, columns=[*TRAIT, "model", "mean", "half", "n"])


def model_differences(scores: pd.DataFrame, measure: str) -> pd.DataFrame:
    """A row per scenario, trait and two models that both have it: that of `other` minus that of `model`, the simpler of the two.

    `difference`, `low`, `high`: mean over the folds and its interval; `beyond_noise`: whether that leaves out 0.
    """
    rows = []
    for (scenario, trait), folds in scores.groupby(TRAIT, sort=False):
        share = folds["test_share"].mean()
        by_model = folds.pivot(index=["repeat", "fold"], columns="model", values=measure)
        for model, other in combinations(by_registry(by_model), 2):
            found = corrected_interval((by_model[other] - by_model[model]).round(DIGITS), share)
            beyond = found.low > 0 or found.high < 0
            rows.append((scenario, trait, model, other, found.mean, found.low, found.high, beyond))
    return pd.DataFrame(rows, columns=[*TRAIT, "model", "other", "difference", "low", "high", "beyond_noise"])


def gains_over(scores: pd.DataFrame, models: Collection[str]) -> pd.DataFrame:
    """A row per scenario and trait: how much more R² the best of all other models has than the best of these.

    `of_these` and `other`: which they are, each of the highest mean over the folds, `of_these_r_squared` and `other_r_squared`; `gain`,
    `low`, `high`: mean and interval of their difference. A trait that lacks one of both kinds has no row.
    """
    rows = []
    for (scenario, trait), folds in scores.groupby(TRAIT, sort=False):
        by_model = _r_squared(folds)
        kinds = [[model for model in by_model if (model in models) == among] for among in (True, False)]
        if not all(kinds):
            continue
        one, other = (_best(by_model[kind]) for kind in kinds)
        gain = corrected_interval((by_model[other] - by_model[one]).round(DIGITS), folds["test_share"].mean())
        best = (one, by_model[one].mean(), other, by_model[other].mean())
        rows.append((scenario, trait, *best, gain.mean, gain.low, gain.high))
    names = ["of_these", "of_these_r_squared", "other", "other_r_squared", "gain", "low", "high"]
    return pd.DataFrame(rows, columns=[*TRAIT, *names])


def _r_squared(folds: pd.DataFrame) -> pd.DataFrame:
    """Of one trait, a row per fold and a column per model that has any, the simplest first."""
    by_model = folds.pivot(index=["repeat", "fold"], columns="model", values="r_squared").dropna(axis="columns", how="all")
    return by_model[by_registry(by_model)]


def _best(by_model: pd.DataFrame) -> str:
    """The model of the highest mean, the simplest of several."""
    return str(by_model.mean().round(DIGITS).idxmax())


def choices(scores: pd.DataFrame) -> pd.DataFrame:
    """A row per scenario and trait: which model to pick by R².

    `best`: of the highest mean over the folds. `pick`: the simplest, the first in the registry, from which the best differs by
    no more than noise. `over_pick` and `over_ridge`, each with `_low` and `_high`: how much the best has more than these, beyond noise
    where `_low` is above 0; empty where ridge regression was not fitted.
    """
    rows = []
    for (scenario, trait), folds in scores.groupby(TRAIT, sort=False):
        share = folds["test_share"].mean()
        by_model = _r_squared(folds)
        if by_model.empty:
            continue
        best = _best(by_model)
        over = {model: corrected_interval((by_model[best] - by_model[model]).round(DIGITS), share) for model in by_model}
        pick = next(model for model in by_model if model == best or not over[model].low > 0)
        row = {"scenario": scenario, "trait": trait, "best": best, "pick": pick, **_fields("over_pick", over[pick])}
        rows.append(row | _fields("over_ridge", over.get("ridge", Interval(np.nan, np.nan, np.nan, 0))))
    names = [f"{name}{end}" for name in ("over_pick", "over_ridge") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[*TRAIT, "best", "pick", *names])


def _fields(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
