"""The figure `prediction`: r and R² of every model and trait with their intervals, and which model to pick."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from gpatlas.figures.chart import Chart
from gpatlas.figures.dots import Dots, dots
from gpatlas.figures.folds import MEASURES, TRAIT, intervals
from gpatlas.figures.layout import looks_of
from gpatlas.figures.traits import MOST_NAMED, facts_of, ranged, scored, some_of
from gpatlas.figures.words import as_r, by_registry, joined, title_of, written

TITLES = {"r": "Predictive r", "R²": "Predictive R²"}
RIDGE = "ridge"


def predictive(table: pd.DataFrame, experiment: str, further_models: Sequence[str], predictions: pd.DataFrame) -> pd.DataFrame:
    """`value`: r and R², as `level` says, of all out-of-fold predictions; `low`, `high`: with the corrected interval over folds.

    `picked`: whether the model is the one to pick for the trait.
    """
    rows, scores = scored(table, experiment, predictions)
    parts = []
    for column, level in MEASURES.items():
        half = intervals(scores, column)[[*TRAIT, "model", "half"]]
        parts.append(rows.assign(level=level, value=rows[column]).merge(half, on=[*TRAIT, "model"], how="left"))
    points = pd.concat(parts, ignore_index=True)
    lowest = points["level"].map({MEASURES["pearson_r"]: -1.0, MEASURES["r_squared"]: -float("inf")})
    ends = {"low": (points["value"] - points["half"]).clip(lower=lowest), "high": (points["value"] + points["half"]).clip(upper=1.0)}
    return points.assign(**ends, picked=points["model"] == points["pick"])


def draw_prediction(points: pd.DataFrame) -> Figure:
    """A row per trait, the best predicted on top; a panel for r and one for R²."""
    best = points[points["level"] == "r"].groupby("label")["value"].max().sort_values(ascending=False, kind="stable")
    models = by_registry(points["model"].unique())
    looks = looks_of({model: title_of(model) for model in models})
    what = Dots(points.assign(panel=points["level"], level=points["model"]), TITLES, looks, list(best.index))
    notes = "bars: 95% intervals, corrected for shared training individuals", "pick: the simplest model not beyond noise below the best R²"
    return dots(what, "Prediction of individuals that the fit never saw", "model to pick", [*facts_of(points), *notes])


def say_prediction(points: pd.DataFrame) -> str:
    """Which model to pick, for every trait or, where these are many, for how many; and whether the best is beyond noise."""
    rows = points[points["level"] == MEASURES["r_squared"]]
    picked = rows[rows["picked"]].drop_duplicates("label").sort_values("value", ascending=False, kind="stable")
    if picked.empty:
        return "No model has a score in every fold, so there is none to pick."
    if len(picked) <= MOST_NAMED:
        return " ".join(_of_trait(row, points) for _, row in picked.iterrows())
    counts = picked["model"].value_counts()
    models = joined([f"{title_of(model)} for {counts[model]}" for model in by_registry(counts.index)])
    parts = [
        f"Of {len(picked)} traits, the model to pick is {models}.",
        f"R² of the picked models runs {ranged(picked.set_index('label')['value'])}.",
    ]
    if RIDGE in set(rows["model"]) and rows["model"].nunique() > 1:
        better = picked[picked["over_ridge_low"] > 0]
        names = f": {some_of(better['label'])}" if len(better) else ""
        parts.append(f"The best model is beyond noise better than ridge regression for {len(better)} of them{names}.")
    if len(poor := picked[~(picked["low"] > 0)]):
        parts.append(f"R² of the picked model is not beyond noise above 0 for {len(poor)}: {some_of(poor['label'])}.")
    return " ".join(parts)


def _of_trait(row: "pd.Series[Any]", points: pd.DataFrame) -> str:
    """The pick of one trait, its scores, and how the best model differs from it and from ridge regression."""
    ours = points[(points["label"] == row["label"]) & (points["model"] == row["model"])].set_index("level")["value"]
    interval = f" ({as_r(row['low'])} to {as_r(row['high'])})" if pd.notna(row["low"]) else ""
    text = f"{row['label']}: pick {title_of(row['model'])}, R² {as_r(row['value'])}{interval}, r {as_r(ours['r'])}"
    if row["best"] != row["pick"]:
        text += f"; {title_of(row['best'])} is higher by {_interval(row, 'over_pick')} in R², within noise"
    elif row["over_ridge_low"] > 0:
        text += f", beyond noise better than ridge regression by {_interval(row, 'over_ridge')} in R²"
    return f"{text}."


def _interval(row: "pd.Series[Any]", name: str) -> str:
    mean, low, high = (written(row[f"{name}{end}"], "+.3f") for end in ("", "_low", "_high"))
    return f"{mean} ({low} to {high})"


def rows_of_prediction(points: pd.DataFrame) -> pd.DataFrame:
    """A row per trait and model: r and R², each with its interval, and whether it is the one to pick."""
    names = ["label", "model"]
    wide = points[points["level"] == "r"][names].reset_index(drop=True)
    for level in MEASURES.values():
        of_level = points[points["level"] == level].reset_index(drop=True)
        wide = wide.assign(**{level: of_level["value"], f"{level} low": of_level["low"], f"{level} high": of_level["high"]})
    picked = points.loc[points["level"] == "r", "picked"].to_numpy(bool)
    return wide.assign(pick=["pick" if one else "" for one in picked])


PREDICTION = Chart(
    predictive, draw_prediction, say_prediction, ("label", "model", "level"), "r and R² with 95% intervals", rows_of_prediction
)
