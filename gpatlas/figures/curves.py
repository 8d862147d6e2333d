"""Points and smoothed curves against a logarithmic quantity, a colour per population size: how figures 1A, 1B and accessory ones look."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from scipy.interpolate import PchipInterpolator

from gpatlas.figures.layout import DASHED, MUTED, PERCENT, Look, by_model, finish, legend, log_axis, looks_of, mark, padded, panels, unseen
from gpatlas.figures.rows import shares_of

CURVE: dict[str, Any] = {"linewidth": 1.8, "path_effects": [Stroke(linewidth=3.0, foreground="white"), Normal()], "zorder": 3}
BANDWIDTH = {"n_qtl": 0.1, "qtl_pairs_per_individual": 0.2}  # of the curves, in log10; pairs grow with the square of the QTL


def curves(
    points: pd.DataFrame,
    x: str,
    labels: tuple[str, str, str],
    lines: dict[str, tuple[str, dict[str, Any]]],
    limits: tuple[float, float],
    vertical: tuple[str, float] | None = None,
    percent: bool = False,
) -> Figure:
    """A panel per model and trait of the points' `value` against their column `x` (log), coloured by individuals.

    `points`: the columns model, trait, share, n_individuals, replicate, protocol, simulator, value, `x` and those of `lines`. `labels`:
    title, x, y; `lines`: label to column and style, the ceilings; `vertical`: label and place of a vertical line; `percent`: whether a
    value is a share. A value beyond `limits` counts as the limit in the curves, so that one wild ratio does not bend them.
    """
    blocks, shares = by_model(points, labels[2]), shares_of(points)
    figure, shown = panels([f"$V_A/V_G$ = {share:.2f}" for share in shares], labels[0], [(labels[1], ylabel) for ylabel in blocks.values()])
    first = shown[0][0]
    looks = looks_of({size: f"{size:,.0f}" for size in sorted(points["n_individuals"].unique())})
    first.set_ylim(padded(limits))
    if percent:
        first.yaxis.set_major_formatter(PERCENT)
    log_axis(first, points[x], [vertical[1]] if vertical else [])
    corner = max(shown[0], key=lambda axes: axes.get_position().x0)
    for (model, trait), axes in zip(itertools.product(blocks, shares.index), itertools.chain(*shown), strict=True):
        part = points[(points["model"] == model) & (points["trait"] == trait)]
        for size, look in looks.items():
            ours = part[part["n_individuals"] == size]
            if ours.empty:
                continue
            scatter(axes, ours, x, look)
            axes.plot(*smooth(ours[x], ours["value"].clip(*limits), BANDWIDTH[x]), color=look.colour, label=f"{look.label} mean", **CURVE)
        heights = {label: _line(axes, part, x, column, label, style) for label, (column, style) in lines.items()}
        if axes is corner:
            _margin_labels(axes, heights)
        if vertical:
            axes.axvline(vertical[1], label=vertical[0], **DASHED)
    marks = [(look.label, mark(look, linewidth=1.8)) for look in looks.values()]
    legend(figure, [*marks, *([(vertical[0], Line2D([], [], **DASHED))] if vertical else [])], "Individuals", below=True)
    lost = unseen(points["value"], first.get_ylim(), "points")
    return finish(figure, points, ["n_individuals"], "curves and ceilings: smoothed means", *lost)


def scatter(axes: Axes, points: pd.DataFrame, x: str, look: Look, y: str = "value") -> None:
    """Draw the points at their columns x and y; where there are few they are larger, and above the curves."""
    crowded = len(points) > 20
    area, alpha, above = (16, 0.45, 2) if crowded else (38, 0.9, 4)
    look_of = {"color": look.colour, "marker": look.marker, "alpha": alpha, "edgecolor": "white", "linewidth": 0.4}
    axes.scatter(points[x], points[y], area, label=look.label, zorder=above, **look_of)


def smooth(x: pd.Series, y: pd.Series, bandwidth: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """x and y of a curve through means of y, weighted by a Gaussian in log10 x of this standard deviation; missing y are left out.

    Kernel regression (Nadaraya 1964, doi 10.1137/1109020; Watson 1964) at every x that occurs; between them monotone cubics (Fritsch &
    Butland 1984, doi 10.1137/0905021), so that it never leaves the data's range.
    """
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
