"""The figure `gain`: what other models predict beyond the best additive one, against the published heritability that is not additive.

H² (broad sense) less h² (narrow sense) is the share of the variance that is genetic and not additive: as much as a perfect model could
gain. Both models are the best of their kind by the very folds that compare them, so of many models the gain is a little optimistic.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gpatlas.figures.chart import Chart
from gpatlas.figures.folds import TRAIT, gains_over
from gpatlas.figures.layout import DASHED, sign
from gpatlas.figures.names import name_points
from gpatlas.figures.registry import ADDITIVE, FIGURES
from gpatlas.figures.traits import facts_of, scored
from gpatlas.figures.words import as_r, shortened, title_of, written

BROAD, NARROW = (f"published_{column}" for column in FIGURES["gain"].published)
NAMED, LONGEST = 6, 26  # traits that have their names in the figure, letters of a name
GAIN_BEYOND, WITHIN, LOSS_BEYOND = "gain beyond noise", "within noise", "loss beyond noise"
LOOKS: dict[str, dict[str, Any]] = {
    GAIN_BEYOND: {"color": "#2a6f97", "marker": "o", "zorder": 4},
    WITHIN: {"color": "#8c8c8c", "marker": "o", "markerfacecolor": "white", "zorder": 3},
    LOSS_BEYOND: {"color": "#b5482f", "marker": "v", "zorder": 4},
}
MARK: dict[str, Any] = {"markersize": 5.5, "linestyle": "none", "linewidth": 1.0}


def gains(table: pd.DataFrame, experiment: str, further_models: Sequence[str], predictions: pd.DataFrame) -> pd.DataFrame:
    """`value`: how much more R² the best other model has than the best additive one, `low` and `high` its interval over the folds.

    `x`: H² − h²; `level`: one of LOOKS. Of traits that have both, and a model of both kinds.
    """
    rows, scores = scored(table, experiment, predictions)
    if absent := [name for name in (BROAD, NARROW) if name not in rows]:
        raise ValueError(f"no column {', '.join(absent)}: a config names the table `published` of its traits in the block 'data'")
    points = rows.drop_duplicates(TRAIT).dropna(subset=[BROAD, NARROW]).merge(gains_over(scores, ADDITIVE), on=TRAIT)
    if points.empty:
        raise ValueError(f"no trait of experiment {experiment!r} has both {BROAD} and {NARROW}, an additive model and another one")
    x = (points[BROAD] - points[NARROW]).astype(float)
    level = pd.Series(WITHIN, points.index).mask(points["low"] > 0, GAIN_BEYOND).mask(points["high"] < 0, LOSS_BEYOND)
    return points.assign(x=x, value=points["gain"], level=level)


def draw_gain_over_additive(points: pd.DataFrame) -> Figure:
    """A point per trait; those that gain most have their names."""
    figure = Figure(figsize=(7.6, 5.6), layout="constrained")
    axes = figure.subplots()
    looks = {level: {**MARK, **style} for level, style in LOOKS.items() if (points["level"] == level).any()}
    for level, look in looks.items():
        ours = points[points["level"] == level]
        ends = [(ours["value"] - ours["low"]).fillna(0.0), (ours["high"] - ours["value"]).fillna(0.0)]
        axes.errorbar(ours["x"], ours["value"], yerr=ends, label=level, elinewidth=0.9, **look)
    axes.set(xlim=_limits(points["x"], 0.12), ylim=_limits(pd.concat([points["low"], points["value"], points["high"]]), 0.06))
    axes.axhline(0, color="#999999", linewidth=0.7, zorder=1)
    axes.axline((0, 0), slope=1, label="1:1", **DASHED)
    axes.grid(axis="x")
    axes.set_xlabel("H² − h², published: genetic variance that is not additive, share of the phenotypic variance")
    axes.set_ylabel("Gain in R²: best other model − best additive model")
    figure.suptitle("Gain over the best additive model", x=0.01, ha="left")
    handles = [Line2D([], [], label=level, **look) for level, look in looks.items()]
    figure.legend(handles=[*handles, Line2D([], [], label="1:1, all of H² − h² is predicted", **DASHED)], loc="outside lower left", ncols=4)
    notes = (
        "bars: 95% intervals, corrected for shared training individuals",
        "best: by mean R² over these folds",
        "named: the largest gains",
    )
    sign(figure, [*facts_of(points), *notes])
    first = points.nlargest(NAMED, "value")
    name_points(axes, points, first.assign(name=[shortened(label, LONGEST) for label in first["label"]]))
    return figure


def _limits(values: "pd.Series[float]", room: float) -> tuple[float, float]:
    """Of all values and 0, with this share of room above, and half of it below."""
    low, high = min(0.0, values.min()), max(0.02, values.max())
    return low - room / 2 * (high - low), high + room * (high - low)


def say_gain(points: pd.DataFrame) -> str:
    """How many traits gain, which one most, and how gains go with H² − h²."""
    most = points.nlargest(1, "value").iloc[0]
    gain, low, high = (written(most[end], "+.3f") for end in ("value", "low", "high"))
    interval = f" ({low} to {high})" if pd.notna(most["low"]) else ""
    counts = {level: int((points["level"] == level).sum()) for level in LOOKS}
    worse = f", and worse for {counts[LOSS_BEYOND]}" if counts[LOSS_BEYOND] else ""
    better = f"for {counts[GAIN_BEYOND]} of {len(points)} traits{worse}"
    parts = [
        f"The best other model is beyond noise better than the best additive one {better}.",
        f"The largest gain is {gain}{interval}, of {most['label']}, by {title_of(most['other'])} over {title_of(most['of_these'])}.",
    ]
    if len(points) > 2 and points["x"].nunique() > 1 and points["value"].nunique() > 1:
        parts.append(f"The correlation of gain with H² − h² is {as_r(points['x'].corr(points['value']))}.")
    if len(positive := points[points["x"] > 0]):
        parts.append(f"In the median, {written((positive['value'] / positive['x']).median(), '.0%')} of H² − h² is gained.")
    return " ".join(parts)


def rows_of_gain(points: pd.DataFrame) -> pd.DataFrame:
    """A row per trait, the largest gain first."""
    rows = points.sort_values("value", ascending=False, kind="stable")
    named = {"additive": rows["of_these"].map(title_of), "other": rows["other"].map(title_of)}
    names = ["label", BROAD, NARROW, "x", "additive", "of_these_r_squared", "other", "other_r_squared", "gain", "low", "high", "level"]
    return rows.assign(**named)[names].rename(columns={"x": "not_additive_h2", "level": "verdict"})


GAIN = Chart(
    gains, draw_gain_over_additive, say_gain, ("label",), "gain in R² over the best additive model, with 95% intervals", rows_of_gain
)
