"""The figure `observed`: what was observed against out-of-fold predictions of the model to pick, a panel per trait.

Observed values stand on the y axis, so that the 1:1 line is what unbiased predictions scatter about (Piñeiro et al. 2008, Ecological
Modelling 216:316).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gpatlas.figures.chart import Chart
from gpatlas.figures.layout import DASHED, sign
from gpatlas.figures.rows import beside_rows
from gpatlas.figures.traits import MOST_NAMED, facts_of, ranged, scored
from gpatlas.figures.words import as_r, natural, shortened, title_of

MOST_PANELS, IN_A_ROW, MOST_POINTS = 12, 4, 3000
COLOUR = "#2a6f97"


def observed(table: pd.DataFrame, experiment: str, further_models: Sequence[str], predictions: pd.DataFrame) -> pd.DataFrame:
    """A row per trait and individual, of the first repeat; `value`: the phenotype, `predicted`: by the model to pick for the trait.

    `slope`: of the regression of observed on predicted over these; r and R² are the table's.
    """
    rows, _ = scored(table, experiment, predictions)
    picked = rows[rows["model"] == rows["pick"]]
    found = beside_rows(predictions, "predictions", experiment)
    found = found.loc[found["repeat"] == found["repeat"].min(), ["scenario", "trait", "model", "id", "observed", "predicted"]]
    points = picked.merge(found, on=["scenario", "trait", "model"])
    return points.assign(value=points["observed"], slope=points.groupby("label")["predicted"].transform(_slope, points["observed"]))


def _slope(predicted: "pd.Series[float]", observed: "pd.Series[float]") -> float:
    """NaN where the predictions are constant."""
    if np.ptp(predicted) == 0:
        return np.nan
    deviations = predicted - predicted.mean()
    return float((deviations * observed[predicted.index]).sum() / (deviations**2).sum())


def draw_observed(points: pd.DataFrame) -> Figure:
    """A panel per trait, of many the first by name."""
    labels = sorted(points["label"].unique(), key=natural)
    shown = labels[:MOST_PANELS]
    n_columns = min(IN_A_ROW, len(shown))
    n_rows = -(-len(shown) // n_columns)
    size = 3.2 if len(shown) > 1 else 4.4
    layout = ConstrainedLayoutEngine(wspace=0.04, hspace=0.04)
    figure = Figure(figsize=(max(5.6, size * n_columns), (size + 0.2) * n_rows + 1.0), layout=layout)
    grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes in grid[len(shown) :]:
        axes.remove()
    for axes, label in zip(grid, shown, strict=False):
        _of_trait(axes, points[points["label"] == label], len(shown) > 1)
    figure.supxlabel("Predicted by fits that never saw the individual", fontsize=10.5)
    figure.supylabel("Observed", fontsize=10.5)
    figure.suptitle("Observed against predicted", x=0.01, ha="left")
    figure.legend(handles=[Line2D([], [], label="1:1", **DASHED)], loc="outside lower right")
    largest = points[points["label"].isin(shown)].groupby("label").size().max()
    facts = [f"{MOST_POINTS:,} of up to {largest:,} individuals drawn"] if largest > MOST_POINTS else []
    facts += [f"{len(shown)} of {len(labels)} traits shown, the first by name"] if len(shown) < len(labels) else []
    return sign(figure, [*facts_of(points), "model: the one to pick for the trait", *facts])


def _of_trait(axes: Axes, points: pd.DataFrame, small: bool) -> None:
    drawn = points.iloc[np.unique(np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).round().astype(int))]
    look: dict[str, Any] = {"s": 9 if small else 16, "alpha": 0.55 if len(drawn) < 800 else 0.3, "linewidths": 0, "color": COLOUR}
    axes.scatter(drawn["predicted"], drawn["value"], label="individuals", **look)
    low, high = axes.get_ylim()
    axes.axline((low, low), (high, high), label="1:1", **DASHED)
    axes.set_ylim(low, high)
    first = points.iloc[0]
    axes.set_title(
        f"{shortened(first['label'], 26)}\n{title_of(first['model'])}: r {as_r(first['pearson_r'])}, R² {as_r(first['r_squared'])}",
        fontsize=9.5,
    )
    axes.grid(axis="x")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))


def say_observed(points: pd.DataFrame) -> str:
    """r, R² and slope of few traits, or their ranges."""
    traits = points.drop_duplicates("label").set_index("label")
    if len(traits) > MOST_NAMED:
        r, slope = ranged(traits["pearson_r"]), ranged(traits["slope"])
        return f"Of the models to pick for {len(traits)} traits, r runs {r}; the slope of observed on predicted {slope}."
    parts = []
    for label, row in traits.iterrows():
        slope = f", slope of observed on predicted {as_r(row['slope'])}" if pd.notna(row["slope"]) else ", one prediction for all"
        parts.append(f"{label} by {title_of(row['model'])}: r {as_r(row['pearson_r'])}, R² {as_r(row['r_squared'])}{slope}.")
    return " ".join(parts)


def rows_of_observed(points: pd.DataFrame) -> pd.DataFrame:
    """A row per trait: model, r, R², slope and number of individuals."""
    groups = points.groupby(["label", "model"], sort=False)
    found = groups.agg(r=("pearson_r", "first"), r2=("r_squared", "first"), slope=("slope", "first"), n=("value", "count"))
    return found.reset_index().rename(columns={"r2": "R²"})


OBSERVED = Chart(observed, draw_observed, say_observed, ("label",), "observed against predicted", rows_of_observed)
