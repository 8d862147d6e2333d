"""The figure `heritability`: what the kernels of ridge regression and EG-BLUP explain of the variance, beside what is predicted.

Genomic heritability is the share of the phenotypic variance, after covariates, that a model's kernel explains by restricted maximum
likelihood (REML): the table's genomic_h2, with its standard error genomic_h2_se. R² of a prediction by that kernel stays below it, as
effects are estimated from few individuals; a model that sees more than the kernel may reach further.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gpatlas.figures.chart import Chart
from gpatlas.figures.dots import Dots, dots
from gpatlas.figures.folds import TRAIT, fold_scores, intervals
from gpatlas.figures.layout import looks_of
from gpatlas.figures.rows import beside_rows
from gpatlas.figures.traits import MOST_NAMED, facts_of, ranged, scored
from gpatlas.figures.words import as_r, by_registry, defined, joined, title_of

PREDICTED = "R² of the best model"
LEFT = " all of what covariates leave"


def explained(table: pd.DataFrame, experiment: str, further_models: Sequence[str], predictions: pd.DataFrame) -> pd.DataFrame:
    """`value`: the heritability by every kernel, with one standard error to both sides, and the R² of the best model, as `level` says.

    That R² is of what the covariates leave, where there are any, as the heritability is.
    """
    if absent := [name for name in ("genomic_h2", "genomic_h2_se") if name not in table]:
        raise ValueError(f"no column {', '.join(absent)}: no model of the table estimates a heritability")
    rows, scores = scored(table, experiment, predictions)
    kernels = rows[rows["genomic_h2"].notna()]
    if kernels.empty:
        raise ValueError(f"every genomic_h2 is empty in experiment {experiment!r}")
    value, error = kernels["genomic_h2"], kernels["genomic_h2_se"]
    by_kernel = kernels.assign(
        level="by the kernel of " + kernels["model"].map(title_of),
        value=value,
        standard_error=error,
        low=(value - error).clip(lower=0),
        high=(value + error).clip(upper=1),
    )
    if "by_covariates" in predictions:
        left = {name: predictions[name] - predictions["by_covariates"].fillna(0) for name in ("observed", "predicted")}
        scores = fold_scores(beside_rows(predictions.assign(**left), "predictions", experiment))
    best = rows[rows["model"] == rows["best"]].merge(intervals(scores, "r_squared")[[*TRAIT, "model", "half"]], on=[*TRAIT, "model"])
    r_squared = best.get("r_squared_adjusted", pd.Series(np.nan, best.index)).fillna(best["r_squared"])
    best = best.assign(level=PREDICTED, value=r_squared, low=r_squared - best["half"], high=r_squared + best["half"])
    return pd.concat([by_kernel, best], ignore_index=True)


def draw_heritability(points: pd.DataFrame) -> Figure:
    """A row per trait, the most heritable on top."""
    kernels = points[points["level"] != PREDICTED]
    order = kernels.groupby("label")["value"].max().sort_values(ascending=False, kind="stable").index
    levels = [kernels.loc[kernels["model"] == model, "level"].iloc[0] for model in by_registry(kernels["model"].unique())]
    looks = looks_of({level: level for level in [*levels, PREDICTED]})
    title = "Share of the variance"
    what = Dots(points.assign(panel=title), {title: title}, looks, list(order))
    left = [LEFT.strip()] if points.get("r_squared_adjusted", pd.Series()).notna().any() else []
    note = "bars: one standard error of a heritability, 95% interval of R²"
    return dots(what, "Genomic heritability", "", [*facts_of(points), note, *left])


def say_heritability(points: pd.DataFrame) -> str:
    """The estimates of few traits, or their range; and what share of the highest is predicted."""
    kernels, best = points[points["level"] != PREDICTED], points[points["level"] == PREDICTED].set_index("label")["value"]
    if points["label"].nunique() <= MOST_NAMED:
        return " ".join(_of_trait(label, rows, best) for label, rows in defined(kernels.groupby("label", sort=False)))
    courses = [f"{level} {ranged(rows.set_index('label')['value'])}" for level, rows in defined(kernels.groupby("level", sort=False))]
    highest = kernels.groupby("label")["value"].max()
    reached = float((best / highest.where(highest > 0)).median())
    return f"Genomic heritability {'; '.join(courses)}. R² of the best model is {as_r(reached)} of the highest estimate in the median."


def _of_trait(label: str, rows: pd.DataFrame, best: "pd.Series[float]") -> str:
    estimates = [f"{as_r(row['value'])} ± {as_r(row['standard_error'])} {row['level']}" for _, row in rows.iterrows()]
    predicted = f"; the best model predicts R² {as_r(float(best[label]))}" if label in best and pd.notna(best[label]) else ""
    return f"Genomic heritability of {label}: {joined(estimates)}{predicted}."


def rows_of_heritability(points: pd.DataFrame) -> pd.DataFrame:
    """A row per trait and level."""
    return points[["label", "level", "model", "value", "standard_error", "low", "high"]]


HERITABILITY = Chart(
    explained,
    draw_heritability,
    say_heritability,
    ("label", "level"),
    "share of the variance, with its standard error",
    rows_of_heritability,
)
