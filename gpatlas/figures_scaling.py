"""Figures 1A, 1B, S1 and the accessory ones: the scaling experiment, a curve per population size.

The ceilings take V_A/V_G as realised in each population.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MultipleLocator
from scipy.interpolate import PchipInterpolator

from gpatlas.figures_shared import (
    CEILING,
    DASHED,
    LINEAR_CEILING,
    MODEL_NAMES,
    MUTED,
    PERCENT,
    R_LABEL,
    Look,
    by_model,
    finish,
    gain_limits,
    legend,
    log_axis,
    looks_of,
    mark,
    of_model,
    padded,
    paired,
    paired_each,
    pairs_per_individual,
    panels,
    relative_gain,
    rows_of,
    unseen,
)

FloatArray = npt.NDArray[np.float64]
CURVE: dict[str, Any] = {"linewidth": 1.8, "path_effects": [Stroke(linewidth=3.0, foreground="white"), Normal()], "zorder": 3}

BANDWIDTH = {"n_qtl": 0.1, "pairs": 0.2}  # of the curves, in log10; pairs grow with the square of the QTL
R_CEILINGS = {"ceiling: linear model": ("linear_model", LINEAR_CEILING), "ceiling: any model": ("any_model", CEILING)}


def figure_1a(table: pd.DataFrame, further_models: Sequence[str] = ()) -> Figure:
    """Relative gain of the MLP over the linear model against QTL; the ceiling is a perfect model's gain over the best linear one.

    A gain is undefined where the linear model's r is 0 or less. Further models: a further row of panels each.
    """
    models = ["mlp", *further_models]
    rows = paired_each(rows_of(table, "scaling", *models, "linear_sgd"), models, "linear_sgd")
    rows = rows.assign(gain=relative_gain(rows), perfect=rows["v_a_over_v_g"] ** -0.5 - 1, none=0.0)
    ceilings = rows.groupby(["trait", "n_qtl"])["perfect"].mean()
    limits = gain_limits(rows["gain"], ceilings, ceilings.max())
    labels = f"Relative gain{of_model(models)} over the linear model", "Number of QTL", "Gain in Pearson r on the test set"
    lines = {"no gain": ("none", DASHED), "ceiling: perfect model": ("perfect", CEILING)}
    return _scaling(rows, "n_qtl", "gain", labels, lines, limits, percent=True)


def figure_1b(table: pd.DataFrame, further_models: Sequence[str] = ()) -> Figure:
    """The MLP's r against the pairs of QTL per individual, with the ceilings of any linear model and of any model.

    Further models: a further row of panels each.
    """
    models = ["mlp", *further_models]
    rows = _with_ceilings(rows_of(table, "scaling", *models)).sort_values("model", key=lambda names: names.map(models.index), kind="stable")
    rows = rows.assign(pairs=pairs_per_individual(rows))
    labels = f"Accuracy{of_model(models)} by QTL pairs per individual", "QTL pairs per individual", R_LABEL
    return _scaling(rows, "pairs", "pearson_r", labels, R_CEILINGS, _r_limits(rows["pearson_r"]), ("one QTL pair per individual", 1.0))


def accessory(table: pd.DataFrame, model: str) -> Figure:
    """The r of one model against QTL, with the ceilings of any linear model and of any model."""
    rows = _with_ceilings(rows_of(table, "scaling", model))
    labels = f"Accuracy of the {MODEL_NAMES[model]}", "Number of QTL", R_LABEL
    return _scaling(rows, "n_qtl", "pearson_r", labels, R_CEILINGS, _r_limits(rows["pearson_r"]))


def figure_s1(table: pd.DataFrame) -> Figure:
    """The linear model's r against that of ridge regression, for the populations that have both."""
    rows = paired(rows_of(table, "scaling", "linear_sgd", "ridge"), "linear_sgd", "ridge", how="inner")
    shares = rows.groupby("trait")["v_a_over_v_g"].mean().sort_values()
    looks = looks_of({trait: f"{share:.2f}" for trait, share in shares.items()})
    figure = Figure(figsize=(5.9, 5.2), layout="constrained")
    axes = figure.add_subplot(aspect="equal")
    for trait, look in looks.items():
        _points(axes, rows[rows["trait"] == trait], "pearson_r_other", "pearson_r", look)
    axes.axline((0, 0), slope=1, label="1:1", **DASHED)
    low, high = _r_limits(rows["pearson_r"], rows["pearson_r_other"])
    labels = {"xlabel": f"{R_LABEL}, {MODEL_NAMES['ridge']}", "ylabel": f"{R_LABEL}, {MODEL_NAMES['linear_sgd']}"}
    axes.set(xlim=(low - 0.03, high + 0.03), ylim=(low - 0.03, high + 0.03), **labels)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.2))
    axes.grid(axis="x")
    figure.suptitle("Linear model: SGD against ridge", x=0.01, ha="left")
    marks = [(look.label, mark(look)) for look in reversed(looks.values())]
    legend(figure, [*marks, ("1:1", Line2D([], [], **DASHED))], "$V_A/V_G$", below=False)
    return finish(figure, rows, ["n_individuals"], "populations with both fits")


def _with_ceilings(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(any_model=rows["h2"] ** 0.5, linear_model=(rows["v_a_over_v_g"] * rows["h2"]) ** 0.5)


def _r_limits(*columns: pd.Series) -> tuple[float, float]:
    """0 and 1, or lower where an r is."""
    return min(0.0, *(column.min() for column in columns)), 1.0


def _scaling(
    rows: pd.DataFrame,
    x: str,
    y: str,
    labels: tuple[str, str, str],
    lines: dict[str, tuple[str, dict[str, Any]]],
    limits: tuple[float, float],
    vertical: tuple[str, float] | None = None,
    percent: bool = False,
) -> Figure:
    """A panel per model and trait of `y` against `x` (log), coloured by individuals.

    `labels`: title, x, y; `lines`: label to column and style. A value beyond `limits` counts as the limit in the curves,
    so that one wild ratio does not bend them.
    """
    models = list(rows["model"].unique())
    shares = rows.groupby("trait")["v_a_over_v_g"].mean()
    blocks = [(labels[1], ylabel) for ylabel in by_model(models, labels[2]).values()]
    figure, shown = panels([f"$V_A/V_G$ = {share:.2f}" for share in shares], labels[0], blocks)
    first = shown[0][0]
    looks = looks_of({size: f"{size:,.0f}" for size in sorted(rows["n_individuals"].unique())})
    first.set_ylim(padded(limits))
    if percent:
        first.yaxis.set_major_formatter(PERCENT)
    log_axis(first, rows[x], [vertical[1]] if vertical else [])
    corner = max(shown[0], key=lambda axes: axes.get_position().x0)
    for (model, trait), axes in zip(itertools.product(models, shares.index), itertools.chain(*shown), strict=True):
        part = rows[(rows["model"] == model) & (rows["trait"] == trait)]
        for size, look in looks.items():
            ours = part[part["n_individuals"] == size]
            if ours.empty:
                continue
            _points(axes, ours, x, y, look)
            axes.plot(*smooth(ours[x], ours[y].clip(*limits), BANDWIDTH[x]), color=look.colour, label=f"{look.label} mean", **CURVE)
        heights = {label: _line(axes, part, x, column, label, style) for label, (column, style) in lines.items()}
        if axes is corner:
            _margin_labels(axes, heights)
        if vertical:
            axes.axvline(vertical[1], label=vertical[0], **DASHED)
    marks = [(look.label, mark(look, linewidth=1.8)) for look in looks.values()]
    legend(figure, [*marks, *([(vertical[0], Line2D([], [], **DASHED))] if vertical else [])], "Individuals", below=True)
    lost = unseen(rows[y], first.get_ylim(), "points")
    return finish(figure, rows, ["n_individuals"], "curves and ceilings: smoothed means", *lost)


def _points(axes: Axes, rows: pd.DataFrame, x: str, y: str, look: Look) -> None:
    """A point per row; where there are few they are larger, and above the curves."""
    crowded = len(rows) > 20
    area, alpha, above = (16, 0.45, 2) if crowded else (38, 0.9, 4)
    look_of = {"color": look.colour, "marker": look.marker, "alpha": alpha, "edgecolor": "white", "linewidth": 0.4}
    axes.scatter(rows[x], rows[y], area, label=look.label, zorder=above, **look_of)


def smooth(x: pd.Series, y: pd.Series, bandwidth: float) -> tuple[FloatArray, FloatArray]:
    """A curve through means of y, weighted by a Gaussian in log10 x; monotone between the x values, so it never leaves the data's range."""
    logs, values = (column[y.notna()].to_numpy(float) for column in (np.log10(x), y))
    knots = np.unique(logs)
    weights = np.exp(-0.5 * ((knots[:, None] - logs) / bandwidth) ** 2)
    means = weights @ values / weights.sum(axis=1)
    if len(knots) < 2:
        return 10**knots, means
    fine = np.linspace(knots[0], knots[-1], 200)
    return 10**fine, PchipInterpolator(knots, means)(fine)


def _line(axes: Axes, rows: pd.DataFrame, x: str, y: str, label: str, style: dict[str, Any]) -> float:
    """Draw y (a ceiling of every population) as a smooth line from edge to edge; returns its height at the right edge."""
    xs, ys = smooth(rows[x], rows[y], 1.5 * BANDWIDTH[x])
    left, right = axes.get_xlim()
    axes.plot([left, *xs, right], [ys[0], *ys, ys[-1]], label=label, **style)
    return float(ys[-1])


def _margin_labels(axes: Axes, heights: dict[str, float]) -> None:
    """Say right of the axes what lies at each height, pushed up where two would touch."""
    bottom, top = axes.get_ylim()
    lowest = -np.inf
    for label, height in sorted(heights.items(), key=lambda item: item[1]):
        lowest = max((height - bottom) / (top - bottom), lowest + 0.07)
        axes.text(1.03, lowest, label, transform=axes.transAxes, va="center", fontsize=9.5, color=MUTED)
