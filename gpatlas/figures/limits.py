"""Figures 4 and 5, limits: what each model gets out of the data, against heritability and against QTL pairs per individual.

Two rows of panels for each population size. Against heritability: the populations of the QTL count that has the most
heritabilities; against pairs: those of the heritability that has the most QTL counts. Ceilings as in `gpatlas.figures.scaling`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from gpatlas.figures.chart import Chart
from gpatlas.figures.layout import (
    CEILING,
    INK,
    LINEAR_CEILING,
    R_LABEL,
    Look,
    finish,
    label_x,
    legend,
    log_axis,
    looks_of,
    mark,
    panels,
    unseen,
)
from gpatlas.figures.rows import linear_share, rows_of, shares_of, with_pairs_per_individual, with_share
from gpatlas.figures.words import as_r, by_registry, course, defined, title_of

COLUMNS = ["n_qtl", "h2", "v_a_over_v_g"]
CLOSE = 0.01  # a mean r this near to the best counts as equal
MEASURES = {"precision": "found pairs that are true", "recall": "true pairs that are found"}
CELL = ["n_individuals", "h2", "n_qtl"]
PICK = f"pick: the simplest model whose mean r is within {CLOSE:g} of the best"
STRIP = 0.05  # height of the row of picks, in parts of the axis


@dataclass(frozen=True)
class View:
    """A row of panels: `points` along one quantity, the column `x`, and what its axis says."""

    points: pd.DataFrame
    x: str
    xlabel: str
    n_individuals: int


def accuracy_of_all(table: pd.DataFrame, experiment: str, further_models: Sequence[str]) -> pd.DataFrame:
    """`value`: the r of every model that the experiment has any r of; `level`: its title."""
    rows = with_pairs_per_individual(with_share(rows_of(table, experiment, COLUMNS)))
    return rows.assign(value=rows["pearson_r"], level=rows["model"].map(title_of))


def shares_of_pairs(table: pd.DataFrame, experiment: str, further_models: Sequence[str]) -> pd.DataFrame:
    """`value`: precision and recall, as `level` says, of the pairs that pairwise screening finds, of the traits that have any true ones."""
    measures = {name: f"pair_{name}" for name in MEASURES}
    rows = rows_of(table, experiment, [*COLUMNS, *measures.values()], ["pairwise"])
    rows = rows[rows.groupby("trait")["pair_recall"].transform("count") > 0]
    if rows.empty:
        raise ValueError(f"every pair_recall is empty of model 'pairwise' in experiment {experiment!r}")
    points = pd.concat([rows.assign(level=name, value=rows[column]) for name, column in measures.items()], ignore_index=True)
    return with_pairs_per_individual(with_share(points))


def draw_accuracy(points: pd.DataFrame) -> Figure:
    """The r of every model, as `draw_models` draws it."""
    figure, shown = _panels(points, "Accuracy by heritability and by QTL pairs per individual", R_LABEL)
    draw_models(points, figure, shown)
    return finish(figure, points, CELL, "lines: means, bars: lowest to highest", PICK)


def draw_models(points: pd.DataFrame, figure: Figure, shown: Sequence[tuple[Axes, pd.DataFrame, str]]) -> None:
    """The r of every model, with the ceilings of any linear model and of any model, on axes that share theirs with the first.

    Below, the model to pick: the simplest, the first in the registry, whose mean r is within CLOSE of the best. `shown`: each axis with its
    points, and the column along which they are drawn.
    """
    looks = looks_of({title_of(model): title_of(model) for model in by_registry(points["model"].unique())})
    low = min(0.0, points["value"].min())
    figure.axes[0].set_ylim(low - 0.2 * (1 - low), 1.05)
    figure.axes[0].yaxis.set_major_locator(FixedLocator([tick / 5 for tick in range(math.ceil(5 * low), 6)]))  # none beside the picks
    for axes, part, x in shown:
        _curves(axes, part, x, looks)
        _ceilings(axes, part, x)
        _picks(axes, part, x, looks)
    lines = {"ceiling: any model": CEILING, "ceiling: linear model": LINEAR_CEILING}
    entries = [(look.label, mark(look, linewidth=1.8)) for look in looks.values()]
    legend(figure, [*entries, *((label, Line2D([], [], **style)) for label, style in lines.items())], "Model", below=False)
    figure.legends[0].set_alignment("left")


def draw_shares(points: pd.DataFrame, figure: Figure, shown: Sequence[tuple[Axes, pd.DataFrame, str]], looks: dict[Any, Look]) -> list[str]:
    """Lines of shares from 0 to 1, as `draw_models` has the axes; returns what cannot be seen of them, in words."""
    figure.axes[0].set_ylim(-0.05, 1.05)
    for axes, part, x in shown:
        _curves(axes, part, x, looks)
    legend(figure, [(look.label, mark(look, linewidth=1.8)) for look in looks.values()], "", below=False)
    return unseen(points["value"], figure.axes[0].get_ylim(), "shares")


def draw_shares_of_pairs(points: pd.DataFrame) -> Figure:
    """Precision and recall of the pairs that pairwise screening finds."""
    looks = looks_of({name: f"{name}: {meaning}" for name, meaning in MEASURES.items()})
    figure, shown = _panels(points, "Pairs found by pairwise screening", "Share of pairs")
    lost = draw_shares(points, figure, shown, looks)
    return finish(figure, points, CELL, "lines: means, bars: lowest to highest", *lost)


def views_of(points: pd.DataFrame) -> list[View]:
    """Against heritability and against pairs per individual, for every population size."""
    pairs, views = "qtl_pairs_per_individual", []
    for n in sorted(points["n_individuals"].unique()):
        of_size = points[points["n_individuals"] == n]
        n_qtl = of_size.groupby("n_qtl")["h2"].nunique().idxmax()
        h2 = of_size.groupby("h2")["n_qtl"].nunique().iloc[::-1].idxmax()  # of equals the highest
        by_h2, by_pairs = of_size[of_size["n_qtl"] == n_qtl], of_size[of_size["h2"] == h2]
        views.append(View(by_h2, "h2", f"Heritability\n(pairs per individual: {by_h2[pairs].iloc[0]:.2g})", n))
        views.append(View(by_pairs, pairs, f"QTL pairs per individual\n(heritability {h2:g})", n))
    return views


def _panels(points: pd.DataFrame, heading: str, ylabel: str) -> tuple[Figure, list[tuple[Axes, pd.DataFrame, str]]]:
    """A row of panels per view, one per trait: the axes, what they show, and against what."""
    views, shares = views_of(points), shares_of(points)
    blocks = [(view.xlabel, f"{view.n_individuals:,} individuals\n{ylabel}") for view in views]
    size = (max(2.5, 12.5 / max(4, len(shares))), 3.0)
    figure, by_view = panels([f"$V_A/V_G$ = {share:.2f}" for share in shares], heading, blocks, size=size, beside=2.0)
    for view, row in zip(views, by_view, strict=True):
        if view.x == "qtl_pairs_per_individual":
            log_axis(row[0], view.points[view.x].map("{:.2g}".format).astype(float), [])
        else:
            row[0].set_xlim(0, 1.05)
            ticks = sorted(view.points["h2"].unique())
            label_x(row[0], ticks, [tick / 1.05 for tick in ticks])
    places = [(view, trait, axes) for view, row in zip(views, by_view, strict=True) for trait, axes in zip(shares.index, row, strict=True)]
    parts = [(axes, view.points[view.points["trait"] == trait], view.x) for view, trait, axes in places]
    return figure, [(axes, part, x) for axes, part, x in parts if len(part)]


def _curves(axes: Axes, points: pd.DataFrame, x: str, looks: dict[Any, Look]) -> None:
    """A line through the means of every level, with a bar from the lowest to the highest value."""
    for place, (level, look) in enumerate(looks.items()):
        found = points[(points["level"] == level) & points["value"].notna()].groupby(x)["value"].agg(["mean", "min", "max"])
        if found.empty:
            continue
        at = _beside(axes, found.index.to_numpy(float), place - (len(looks) - 1) / 2)
        spread = [(found["mean"] - found["min"]).clip(lower=0), (found["max"] - found["mean"]).clip(lower=0)]
        outline = {"markerfacecolor": "white"} if look.open else {"markeredgecolor": "white"}
        style = {"color": look.colour, "marker": look.marker, "markersize": 6.5, "linewidth": 1.8, **outline}
        axes.errorbar(at, found["mean"], spread, elinewidth=1.2, label=look.label, zorder=3 + place / 10, **style)


def _beside(axes: Axes, x: Any, step: float) -> Any:
    """x moved a little to the side, the same distance on the page everywhere."""
    to_page = axes.transScale + axes.transLimits
    moved = to_page.transform(np.column_stack([x, np.full(len(x), 0.5)]))
    moved[:, 0] += 0.009 * step
    return to_page.inverted().transform(moved)[:, 0]


def _ceilings(axes: Axes, points: pd.DataFrame, x: str) -> None:
    """sqrt(h2) and sqrt(linear share·h2), from the means of the populations."""
    means = points.assign(at=points[x], linear=linear_share(points)).groupby("at")[["h2", "linear"]].mean()
    low, high = means.index[0], means.index[-1]
    fine = (np.geomspace if low > 0 else np.linspace)(low, high, 100)
    h2, share = (np.interp(fine, means.index, means[name]) for name in means)
    axes.plot(fine, h2**0.5, label="ceiling: any model", **CEILING)
    axes.plot(fine, (share * h2) ** 0.5, label="ceiling: linear model", **LINEAR_CEILING)


def _picks(axes: Axes, points: pd.DataFrame, x: str, looks: dict[Any, Look]) -> None:
    """At every x, the mark of the simplest model whose mean is within CLOSE of the best."""
    means = points.pivot_table(index=x, columns="level", values="value").reindex(columns=list(looks))
    picked = (means.ge(means.max(axis=1) - CLOSE, axis=0)).idxmax(axis=1)
    axes.fill_between([0, 1], 2 * STRIP, transform=axes.transAxes, color="#f2f2f2", linewidth=0, zorder=0)
    for level, look in looks.items():
        at = picked.index[picked == level]
        style = {"color": look.colour, "marker": look.marker, "edgecolor": INK, "linewidth": 0.6}
        axes.scatter(at, [STRIP] * len(at), 55, transform=axes.get_xaxis_transform(), label=f"pick {look.label}", zorder=4, **style)
    if axes.get_ylabel():
        axes.text(-0.03, STRIP, "pick", transform=axes.transAxes, ha="right", va="center", fontsize=9.5)


def say_limits(points: pd.DataFrame, subject: str) -> str:
    """Of the trait with the most epistasis, in the largest population, the mean of every level at both ends of both rows of panels."""
    share = points["share"].min()
    by_h2, by_pairs = views_of(points[points["share"] == share])[-2:]
    fixed = (
        f"{by_h2.points['qtl_pairs_per_individual'].iloc[0]:.2g} QTL pairs per individual",
        f"heritability {by_pairs.points['h2'].iloc[0]:g}",
    )
    places = ("h2", "heritability {:g}"), ("qtl_pairs_per_individual", "{:.2g} pairs")
    parts = []
    for view, where, (x, place) in zip((by_h2, by_pairs), fixed, places, strict=True):
        levels = defined(view.points.groupby("level", sort=False))
        courses = [f"{level} {course(rows, x, place, as_r, 'mean')}" for level, rows in levels]
        parts.append(f"At {where}: {'; '.join(courses)}.")
    return f"{subject} for V_A/V_G {share:.2f} and {by_h2.n_individuals:,} individuals. {' '.join(parts)}"


BY = ("level", "share", "n_individuals", "h2", "qtl_pairs_per_individual")
ACCURACY = Chart(accuracy_of_all, draw_accuracy, partial(say_limits, subject="Mean r"), BY, "r")
SHARES_OF_PAIRS = Chart(shares_of_pairs, draw_shares_of_pairs, partial(say_limits, subject="Pairs found"), BY, "share of pairs")
