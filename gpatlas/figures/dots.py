"""Points with intervals, a row per trait, panels side by side: how the figures of real populations' traits look."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gpatlas.figures.layout import DASHED, INK, Look, mark, sign, unseen
from gpatlas.figures.words import shortened

MOST_ROWS, DENSE, LONGEST = 60, 12, 28  # rows of a figure, rows above which they are drawn small, letters of a label
RING: dict[str, Any] = {"facecolors": "none", "edgecolors": INK, "linewidths": 1.0, "zorder": 5}


@dataclass(frozen=True)
class Dots:
    """What to draw. `points`: the columns label (a row each), panel, level (of `looks`), value, and low and high, which may be empty;
    `picked`: whether it gets a ring. `panels`: to the title of their x axis; `order`: labels from top to bottom."""

    points: pd.DataFrame
    panels: dict[str, str]
    looks: dict[str, Look]
    order: list[str]

    @property
    def shown(self) -> list[str]:
        """The labels that there is room for."""
        return self.order[:MOST_ROWS]


def dots(what: Dots, heading: str, ring: str, facts: Sequence[str]) -> Figure:
    """`ring`: what a ring means, in the legend."""
    shown, n_levels = what.shown, len(what.looks)
    step = max(0.30, 0.075 * n_levels + 0.1) if len(shown) <= DENSE else max(0.24, 0.048 * n_levels + 0.07)
    figure = Figure(figsize=(4.6 + 3.1 * len(what.panels), 1.7 + max(2 * step, step * len(shown))), layout="constrained")
    all_axes = figure.subplots(1, len(what.panels), sharey=True, squeeze=False)[0]
    places = {label: place for place, label in enumerate(shown)}
    lost = [f"{len(shown)} of {len(what.order)} traits shown, the best"] if len(shown) < len(what.order) else []
    for axes, (panel, title) in zip(all_axes, what.panels.items(), strict=True):
        points = what.points[(what.points["panel"] == panel) & what.points["label"].isin(shown)]
        axes.set_xlim(*_limits(points))
        axes.set_xlabel(title)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        if axes.get_xlim()[0] < 0:
            axes.axvline(0, **DASHED)
        for place in range(0, len(shown), 2):
            axes.axhspan(place - 0.5, place + 0.5, color="#f4f4f4", linewidth=0, zorder=0)
        axes.tick_params(axis="x", top=len(shown) > DENSE, labeltop=len(shown) > DENSE)
        _levels(axes, points, places, what.looks)
        lost += [f"{title}: {text}" for text in unseen(points["value"].dropna(), axes.get_xlim(), "values")]
    all_axes[0].set_yticks(range(len(shown)), [shortened(label, LONGEST) for label in shown])
    all_axes[0].set_ylim(len(shown) - 0.5, -0.5)
    all_axes[0].tick_params(axis="y", length=0)
    figure.suptitle(heading, x=0.01, ha="left")
    _legend(figure, what, ring)
    return sign(figure, [*facts, *lost])


def _levels(axes: Axes, points: pd.DataFrame, places: dict[str, int], looks: dict[str, Look]) -> None:
    dense = len(places) > DENSE
    slot = 0.8 / len(looks)
    for number, (level, look) in enumerate(looks.items()):
        ours = points[(points["level"] == level) & points["value"].notna()]
        y = ours["label"].map(places).to_numpy(float) + (number - (len(looks) - 1) / 2) * slot
        ends = [(ours["value"] - ours["low"]).fillna(0.0), (ours["high"] - ours["value"]).fillna(0.0)]
        style: dict[str, Any] = {"color": look.colour, "marker": look.marker, "markeredgecolor": "white"}
        widths: dict[str, Any] = {
            "markersize": 4.5 if dense else 6.5,
            "markeredgewidth": 0.4 if dense else 0.8,
            "elinewidth": 0.9 if dense else 1.3,
            "linestyle": "none",
        }
        axes.errorbar(ours["value"], y, xerr=ends, label=look.label, zorder=3 + number / 10, **style, **widths)
        if "picked" in ours:
            rings = ours["picked"].to_numpy(bool)
            axes.scatter(ours["value"][rings], y[rings], 42 if dense else 90, label=f"pick {look.label}", **RING)


def _limits(points: pd.DataFrame) -> tuple[float, float]:
    """From 0, or what is below, to all values; not far below 0, where a failed model may be."""
    low = np.nanmin([0.0, *points["value"], *points["low"]], initial=0.0)
    high = np.nanmax([0.1, *points["value"], *points["high"]], initial=0.1)
    low = max(low, -0.5 * high)
    room = 0.04 * (high - low)
    return low - (room if low < 0 else 0.5 * room), high + room


def _legend(figure: Figure, what: Dots, ring: str) -> None:
    handles: list[Any] = [mark(look, linewidth=1.3) for look in what.looks.values()]
    if "picked" in what.points:
        line = Line2D([], [], linestyle="none", marker="o", markersize=9, markerfacecolor="none", markeredgecolor=INK, label=ring)
        handles.append(line)
    figure.legend(handles=handles, loc="outside right upper", alignment="left")
