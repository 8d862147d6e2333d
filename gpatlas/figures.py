"""The figures, drawn from the collected table alone; every label, V_A/V_G and ceiling is computed from it.

A perfect model reaches r = sqrt(h2), the best linear one sqrt(v_a_over_v_g·h2), with V_A/V_G as realised in each
population (shared/REFERENCE.md, sections 1 and 4).
"""

import itertools
import math
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MultipleLocator, NullFormatter
from scipy.interpolate import PchipInterpolator

from gpatlas.progress import Progress
from gpatlas.settings import FigureSettings, nearest

FloatArray = npt.NDArray[np.float64]
POPULATION = ["scenario", "replicate", "trait"]
NUMBERS = ["trait", "n_individuals", "n_qtl", "h2", "v_a_over_v_g"]
COLUMNS = ["experiment", *POPULATION, "model", *NUMBERS[1:], "simulator", "protocol", "pearson_r"]
MODEL_NAMES = {"mlp": "MLP", "linear_sgd": "linear model trained by SGD", "ridge": "ridge regression"}

MARKERS = "os^DvPX"
INK, MUTED = "#222222", "#666666"
DASHED: dict[str, Any] = {"color": MUTED, "linestyle": (0, (5, 3)), "linewidth": 1.0, "zorder": 1.5}
CEILING: dict[str, Any] = {"color": INK, "linewidth": 1.1, "zorder": 2.5}
LINEAR_CEILING: dict[str, Any] = {**CEILING, "linestyle": (0, (1, 1.6)), "linewidth": 1.5}
CURVE: dict[str, Any] = {"linewidth": 1.8, "path_effects": [Stroke(linewidth=3.0, foreground="white"), Normal()], "zorder": 3}
BANDWIDTH = {"n_qtl": 0.1, "pairs": 0.2}  # of the curves, in log10; pairs grow with the square of the QTL
R_LABEL = "Pearson r on the test set"
R_CEILINGS = {"ceiling: linear model": ("linear_model", LINEAR_CEILING), "ceiling: any model": ("any_model", CEILING)}
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
    """How one level of an ordered quantity is drawn, and what the legend says."""

    label: str
    colour: Any
    marker: str


def run(settings: FigureSettings, source: Path, out: Path, progress: Progress) -> None:
    """Draw `settings.figure` from the collected table (CSV) `source` as PNG at `out`.

    Raises ValueError where the figure is unknown, or the table lacks what it needs.
    """
    if settings.figure not in FIGURES:
        raise ValueError(f"figure {settings.figure!r} is not in FIGURES{nearest(settings.figure, list(FIGURES))}")
    try:
        table = pd.read_csv(source)
        figure = draw(settings.figure, table)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    figure.savefig(out, format="png", dpi=settings.dpi, bbox_inches="tight", pad_inches=0.15)
    progress(1, 1, figure=settings.figure, rows=len(table))


def draw(name: str, table: pd.DataFrame) -> Figure:
    """Figure `name` of FIGURES from the collected table; raises ValueError naming what the table lacks and what it has."""
    with matplotlib.rc_context(STYLE):
        return FIGURES[name](table)


def figure_1a(table: pd.DataFrame) -> Figure:
    """Relative gain of the MLP over the linear model against QTL; the ceiling is a perfect model's gain over the best linear one.

    A gain is undefined where the linear model's r is 0 or less.
    """
    rows = _paired(_rows(table, "scaling", "mlp", "linear_sgd"), "mlp", "linear_sgd", how="left")
    linear = rows["pearson_r_other"].where(rows["pearson_r_other"] > 0)
    rows = rows.assign(gain=(rows["pearson_r"] - linear) / linear, perfect=rows["v_a_over_v_g"] ** -0.5 - 1, none=0.0)
    ceiling = rows.groupby(["trait", "n_qtl"])["perfect"].mean().max()
    shown = rows["gain"][rows["gain"].between(-1, 1.25 * ceiling + 0.5)]
    limits = min(0.0, shown.min()), max(ceiling, shown.max(), 0.1)
    labels = "Relative gain of the MLP over the linear model", "Number of QTL", "Gain in Pearson r on the test set"
    lines = {"no gain": ("none", DASHED), "ceiling: perfect model": ("perfect", CEILING)}
    return _scaling(rows, "n_qtl", "gain", labels, lines, limits, percent=True)


def figure_1b(table: pd.DataFrame) -> Figure:
    """The MLP's r against the pairs of QTL per individual, with the ceilings of any linear model and of any model."""
    rows = _with_ceilings(_rows(table, "scaling", "mlp"))
    rows = rows.assign(pairs=rows["n_qtl"] * (rows["n_qtl"] - 1) / 2 / rows["n_individuals"])
    labels = "Accuracy of the MLP by QTL pairs per individual", "QTL pairs per individual", R_LABEL
    return _scaling(rows, "pairs", "pearson_r", labels, R_CEILINGS, _r_limits(rows["pearson_r"]), ("one QTL pair per individual", 1.0))


def accessory(table: pd.DataFrame, model: str) -> Figure:
    """The r of one model against QTL, with the ceilings of any linear model and of any model."""
    rows = _with_ceilings(_rows(table, "scaling", model))
    labels = f"Accuracy of the {MODEL_NAMES[model]}", "Number of QTL", R_LABEL
    return _scaling(rows, "n_qtl", "pearson_r", labels, R_CEILINGS, _r_limits(rows["pearson_r"]))


def figure_s1(table: pd.DataFrame) -> Figure:
    """The linear model's r against that of ridge regression, for the populations that have both."""
    rows = _paired(_rows(table, "scaling", "linear_sgd", "ridge"), "linear_sgd", "ridge", how="inner")
    shares = rows.groupby("trait")["v_a_over_v_g"].mean().sort_values()
    looks = _looks({trait: f"{share:.2f}" for trait, share in shares.items()})
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
    _legend(figure, reversed(looks.values()), "$V_A/V_G$", "1:1", below=False)
    return _finish(figure, rows, "populations with both fits")


FIGURES: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "1a": figure_1a,
    "1b": figure_1b,
    "accessory_mlp": partial(accessory, model="mlp"),
    "accessory_linear": partial(accessory, model="linear_sgd"),
    "s1": figure_s1,
}


def _rows(table: pd.DataFrame, experiment: str, *models: str) -> pd.DataFrame:
    """The rows of these models in one experiment; raises ValueError naming what is missing and what the table has."""
    if absent := [name for name in COLUMNS if name not in table]:
        raise ValueError(f"no column {_listed(absent)}; the table has {_listed(table.columns)}")
    rows = table[table["experiment"] == experiment]
    if rows.empty:
        raise ValueError(f"no row of experiment {experiment!r}; the table has {_listed(table['experiment'].unique())}")
    present = rows["model"].unique()
    rows = rows[rows["model"].isin(models)]
    if absent := [model for model in models if not (rows["model"] == model).any()]:
        raise ValueError(f"no row of model {_listed(absent)} in experiment {experiment!r}; it has {_listed(present)}")
    for model in models:
        if rows.loc[rows["model"] == model, "pearson_r"].isna().all():
            raise ValueError(f"every pearson_r is empty of model {model!r} in experiment {experiment!r}")
    if broken := [name for name in NUMBERS if not rows[name].astype(float).between(0, np.inf, inclusive="neither").all()]:
        raise ValueError(f"a value that is not a positive number in column {_listed(broken)} of experiment {experiment!r}")
    if (repeated := rows.duplicated([*POPULATION, "model"])).any():
        first = ", ".join(f"{name} {rows[repeated].iloc[0][name]}" for name in [*POPULATION, "model"])
        raise ValueError(f"{repeated.sum()} rows of experiment {experiment!r} repeat another one, the first is {first}")
    return rows


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(repr(str(name)) for name in names) or "nothing"


def _paired(rows: pd.DataFrame, model: str, other: str, how: Literal["left", "inner"]) -> pd.DataFrame:
    """The rows of `model`, with the r of `other` in the same population and trait as column `pearson_r_other`."""
    mine, theirs = (rows[rows["model"] == name] for name in (model, other))
    pairs = mine.merge(theirs[[*POPULATION, "pearson_r"]], on=POPULATION, how=how, suffixes=("", "_other"))
    if not (pairs["pearson_r"] * pairs["pearson_r_other"]).notna().any():
        raise ValueError(f"no scenario, replicate and trait has an r of both {model!r} and {other!r}")
    return pairs


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
    """A panel per trait of `y` against `x` (log), coloured by individuals. `labels`: title, x, y; `lines`: label to column and style."""
    shares = rows.groupby("trait")["v_a_over_v_g"].mean()
    figure, panels = _panels([f"$V_A/V_G$ = {share:.2f}" for share in shares], *labels)
    looks = _looks({size: f"{size:,.0f}" for size in sorted(rows["n_individuals"].unique())})
    pad = 0.05 * (limits[1] - limits[0])
    panels[0].set_ylim(limits[0] - pad, limits[1] + pad)
    if percent:
        panels[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:+.0f}%" if value else "0%"))
    _log_axis(panels[0], rows[x], [vertical[1]] if vertical else [])
    corner = max(panels, key=lambda axes: axes.get_position().x0)
    for axes, trait in zip(panels, shares.index, strict=True):
        part = rows[rows["trait"] == trait]
        for size, look in looks.items():
            ours = part[part["n_individuals"] == size]
            _points(axes, ours, x, y, look)
            axes.plot(*smooth(ours[x], ours[y], BANDWIDTH[x]), color=look.colour, label=f"{look.label} mean", **CURVE)
        heights = {label: _line(axes, part, x, column, label, style) for label, (column, style) in lines.items()}
        if axes is corner:
            _margin_labels(axes, heights)
        if vertical:
            axes.axvline(vertical[1], label=vertical[0], **DASHED)
    _legend(figure, looks.values(), "Individuals", vertical[0] if vertical else "", below=True)
    unseen = {"undefined": rows[y].isna(), "beyond the axis": rows[y].notna() & ~rows[y].between(*panels[0].get_ylim())}
    lost = (f"{mask.sum()} of {len(rows)} points {why}" for why, mask in unseen.items() if mask.any())
    return _finish(figure, rows, "curves and ceilings: smoothed means", *lost)


def _panels(titles: list[str], heading: str, xlabel: str, ylabel: str) -> tuple[Figure, list[Axes]]:
    """A figure with one panel per title, at most five in a row, all on the same axes."""
    n_rows = math.ceil(len(titles) / 5)
    n_columns = math.ceil(len(titles) / n_rows)
    figure = Figure(figsize=(max(6.0, 2.5 * n_columns + 1.2), 2.9 * n_rows + 1.5), layout=ConstrainedLayoutEngine(wspace=0.05))
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    panels = list(grid[: len(titles)])
    for axes in grid[len(titles) :]:
        axes.remove()
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title)
    for axes in panels[-n_columns:]:
        axes.set_xlabel(xlabel)
        axes.tick_params(labelbottom=True)
    for axes in panels[::n_columns]:
        axes.set_ylabel(ylabel)
    figure.suptitle(heading, x=0.01, ha="left")
    return figure, panels


def _looks(labels: dict[Any, str]) -> dict[Any, Look]:
    """Ordered levels from light to dark (told apart in grey and by the colour-blind), each with its own marker."""
    shades = matplotlib.colormaps["viridis"](np.linspace(0.8, 0.05, len(labels)) if len(labels) > 1 else [0.25])
    return {level: Look(labels[level], *pair) for level, *pair in zip(labels, shades, itertools.cycle(MARKERS), strict=False)}


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


def _log_axis(axes: Axes, x: pd.Series, also: list[float]) -> None:
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
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(LogLocator(subs=range(2, 10)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, looks: Iterable[Look], title: str, dashed: str, below: bool) -> None:
    """A legend below the axes (lines, in a row) or right of them (markers, in a column); last, what `dashed` lines mean."""
    style: dict[str, Any] = {"markersize": 6.5, "markeredgecolor": "white", "linewidth": 1.8 if below else 0}
    marks = [Line2D([], [], color=look.colour, marker=look.marker, label=look.label, **style) for look in looks]
    extra = [Line2D([], [], label=dashed, **DASHED)] if dashed else []
    figure.legend(
        handles=[*marks, *extra], title=title, loc="outside lower center" if below else "outside right center", ncols=8 if below else 1
    )


def _finish(figure: Figure, rows: pd.DataFrame, *facts: str) -> Figure:
    """Say below the figure where the data come from, and fix the layout: a legend outside would move when saved in a tight box."""
    replicates = rows.groupby("n_individuals")["replicate"].nunique()
    counts = " to ".join(str(count) for count in sorted({replicates.min(), replicates.max()}))
    origin = [f"{name}: {', '.join(sorted(rows[name].astype(str).unique()))}" for name in ("protocol", "simulator")]
    text = " · ".join([*origin, f"{counts} replicate{'s' if replicates.max() > 1 else ''}", *facts])
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    figure.legends[0].set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
    figure.text(0.01, 0, textwrap.fill(text, round(15 * figure.get_figwidth())), va="top", fontsize=8.5, color=MUTED)
    return figure
