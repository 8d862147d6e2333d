"""How the figures look: the style, the looks of levels, panels, axes, legend and footer."""

import itertools
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from gpatlas.figures.words import title_of

MARKERS = "os^DvPX"
CHARACTER = 0.042  # width of a character of a tick's label, in parts of the x axis
INK, MUTED = "#222222", "#666666"
DASHED: dict[str, Any] = {"color": MUTED, "linestyle": (0, (5, 3)), "linewidth": 1.0, "zorder": 1.5}
CEILING: dict[str, Any] = {"color": INK, "linewidth": 1.1, "zorder": 2.5}
LINEAR_CEILING: dict[str, Any] = {**CEILING, "linestyle": (0, (1, 1.6)), "linewidth": 1.5}
R_LABEL = "Pearson r on the test set"
STYLE: Any = {
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "figure.titlesize": 13,
    "figure.titleweight": "bold",
    **dict.fromkeys(["xtick.labelsize", "ytick.labelsize"], 9.5),
    **dict.fromkeys(["text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"], INK),
    **dict.fromkeys(["axes.edgecolor", "xtick.color", "ytick.color"], MUTED),
    **dict.fromkeys(["axes.spines.top", "axes.spines.right", "legend.frameon"], False),
}


@dataclass(frozen=True)
class Look:
    """How one level of an ordered quantity is drawn, and what the legend says. `open`: outlined and hatched, not filled."""

    label: str
    colour: Any
    marker: str
    open: bool = False


def panels(
    titles: list[str],
    heading: str,
    blocks: list[tuple[str, str]],
    size: tuple[float, float] = (2.5, 2.9),
    most: int = 5,
    beside: float = 0.0,
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of blocks of panels, one per title in each, all on the same y axis.

    `blocks`: labels of x and y; those that follow each other with the same x label have the same x axis. `size` of a
    panel in inches, at most `most` in a row, with `beside` inches kept for a legend on their right.
    """
    n_rows = math.ceil(len(titles) / most)
    n_columns = math.ceil(len(titles) / n_rows)
    rows = n_rows * len(blocks)
    width, height = max(6.0, size[0] * n_columns + 1.2) + beside, size[1] * rows + 1.5
    gaps = 0.3 * (rows - 1) / height
    layout = ConstrainedLayoutEngine(wspace=0.05, hspace=gaps, rect=(0, 0.015, 1, 0.975) if beside else (0, 0, 1, 1))
    figure = Figure(figsize=(width, height), layout=layout)
    grid = figure.subplots(rows, n_columns, sharey=True, squeeze=False).reshape(len(blocks), -1)
    shown = [list(block[: len(titles)]) for block in grid]
    for axes in grid[:, len(titles) :].ravel():
        axes.remove()
    for (_, ylabel), block in zip(blocks, shown, strict=True):
        for axes, title in zip(block, titles, strict=True):
            axes.set_title(title)
            axes.tick_params(labelbottom=False)
        for axes in block[::n_columns]:
            axes.set_ylabel(ylabel)
    for xlabel, places in itertools.groupby(range(len(blocks)), key=lambda place: blocks[place][0]):
        first, *others = [axes for place in places for axes in shown[place]]
        for axes in others:
            axes.sharex(first)
        for axes in [first, *others][-n_columns:]:
            axes.set_xlabel(xlabel)
            axes.tick_params(labelbottom=True)
    figure.suptitle(heading, x=0.01, ha="left")
    return figure, shown


def log_axis(axes: Axes, x: pd.Series, also: list[float]) -> None:
    """Logarithmic x axis over `x` and `also`, with plain numbers: the values themselves where they are few, else round ones."""
    values = np.unique([*x, *also])
    logs = np.log10(values)
    span = logs[-1] - logs[0]
    axes.set_xscale("log")
    low, high = (10 ** (edge + side * (0.08 * span + 0.03)) for edge, side in ((logs[0], -1), (logs[-1], 1)))
    axes.set_xlim(low, high)
    ticks = list(values)
    if len(values) > 4 or (np.diff(logs) < 0.25 * span).any() or also:
        room = 0.17 * math.log10(high / low)
        steps = (1, 2, 5) if room < 0.3 else (1, 3) if room < 0.47 else (1,)
        round_numbers = (step * 10.0**power for power in range(-6, 10) for step in steps)
        ticks = [tick for tick in round_numbers if low <= tick <= high] or [values[0], values[-1]]
    places = np.log10(np.array(ticks) / low) / math.log10(high / low)
    label_x(axes, ticks, places)
    axes.xaxis.set_minor_locator(LogLocator(subs=range(2, 10)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def label_x(axes: Axes, ticks: Sequence[float], places: Iterable[float]) -> None:
    """Label the x axis at `ticks`, which lie at these `places` (0 to 1) along it: at both ends, and between them where there is room."""
    kept: dict[float, tuple[float, float]] = {}
    for tick, place in sorted(zip(ticks, places, strict=True), key=lambda pair: pair[0] not in (ticks[0], ticks[-1])):
        width = CHARACTER * (len(PLAIN(tick)) + 0.5)
        if all(abs(place - other) > (width + other_width) / 2 for other, other_width in kept.values()):
            kept[tick] = place, width
    axes.xaxis.set_major_locator(FixedLocator(sorted(kept)))
    axes.xaxis.set_major_formatter(PLAIN)


def looks_of(labels: dict[Any, str]) -> dict[Any, Look]:
    """Ordered levels from light to dark (told apart in grey and by the colour-blind), each with its own marker."""
    shades = matplotlib.colormaps["viridis"](np.linspace(0.8, 0.05, len(labels)) if len(labels) > 1 else [0.25])
    return {level: Look(labels[level], *pair) for level, *pair in zip(labels, shades, itertools.cycle(MARKERS), strict=False)}


def of_model(points: pd.DataFrame) -> str:
    """' of the …' for points of one model; several have their names beside their panels."""
    models = points["model"].unique()
    return f" of the {title_of(models[0])}" if len(models) == 1 else ""


def by_model(points: pd.DataFrame, ylabel: str) -> dict[str, str]:
    """The label of the y axis of each model's panels, in the order of the points: with its name where there are several."""
    models = points["model"].unique()
    if len(models) == 1:
        return {models[0]: ylabel}
    names = {model: title_of(model) for model in models}
    return {model: f"{name[0].upper()}{name[1:]}\n{ylabel}" for model, name in names.items()}


def padded(limits: tuple[float, float]) -> tuple[float, float]:
    """Limits of an axis with a little room at both ends."""
    pad = 0.05 * (limits[1] - limits[0])
    return limits[0] - pad, limits[1] + pad


def gain_limits(gains: pd.Series, ceilings: pd.Series, best: float) -> tuple[float, float]:
    """0 and all the relative gains and ceilings, but those below −100 % or far above `best`, that of a perfect model over a linear one."""
    drawn = pd.concat([gains, ceilings])
    drawn = drawn[drawn.between(-1, 1.25 * best + 0.5)]
    return min(0.0, drawn.min()), max(0.1, drawn.max())


PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
PERCENT = FuncFormatter(lambda value, _: f"{100 * value:+.0f}%" if value else "0%")


def unseen(values: pd.Series, limits: tuple[float, float], name: str) -> list[str]:
    """What the footer says of the values that an axis with these limits does not show."""
    reasons = {"undefined": values.isna(), "beyond the axis": values.notna() & ~values.between(*limits)}
    return [f"{mask.sum()} of {len(values)} {name} {why}" for why, mask in reasons.items() if mask.any()]


def mark(look: Look, linewidth: float = 0) -> Line2D:
    """The legend's marker of a level, on a piece of line."""
    outline: dict[str, Any] = {"markerfacecolor": "white"} if look.open else {"markeredgecolor": "white"}
    return Line2D([], [], color=look.colour, marker=look.marker, label=look.label, linewidth=linewidth, markersize=6.5, **outline)


def legend(figure: Figure, entries: list[tuple[str, Any]], title: str, below: bool) -> None:
    """A legend of labels and their handles, below the axes (in a row) or right of them (in a column)."""
    labels, handles = [label for label, _ in entries], [handle for _, handle in entries]
    figure.legend(handles, labels, title=title, loc="outside lower center" if below else "outside right center", ncols=8 if below else 1)


def finish(figure: Figure, rows: pd.DataFrame, cell: list[str], *facts: str) -> Figure:
    """`sign` the figure with where the data come from.

    `cell`: the columns within whose values the replicates are counted.
    """
    replicates = rows.groupby(cell)["replicate"].nunique()
    counts = " to ".join(str(count) for count in sorted({replicates.min(), replicates.max()}))
    origin = [f"{name}: {', '.join(sorted(rows[name].astype(str).unique()))}" for name in ("protocol", "simulator")]
    return sign(figure, [*origin, f"{counts} replicate{'s' if replicates.max() > 1 else ''}", *facts])


def sign(figure: Figure, facts: list[str]) -> Figure:
    """Say these facts below the figure, and fix the layout: a legend outside would move when saved in a tight box."""
    layout: Any = figure.get_layout_engine()
    layout.execute(figure)
    figure.set_layout_engine("none")
    for found in figure.legends:
        found.set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
    text = textwrap.fill(" · ".join(facts), round(15 * figure.get_figwidth()))
    figure.text(0.01, 0, text, va="top", fontsize=8.5, color=MUTED)
    return figure
