"""Box plots of gains, in panels: how the figures of dilution and pleiotropy look.

A perfect model reaches r = sqrt(h2), so the ceiling of a gain over ridge regression follows from h2 and the r of ridge
regression alone. Boxes and whiskers are Tukey's (1977, Exploratory Data Analysis).
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cbook import boxplot_stats
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke

from gpatlas.figures.layout import CEILING, DASHED, INK, PERCENT, Look, finish, legend, mark, padded, panels, unseen

GAIN_LABEL = "Gain in Pearson r on the test set"
BOX = ["block", "panel", "group", "level"]
FEWEST, MOST = 3, 20  # values of a box: with fewer there is none, with more only the points beyond the whiskers are drawn
NOUNS = {
    "n_loci": ("locus", "loci"),
    "n_qtl": ("causal locus", "causal loci"),
    "n_traits": ("trait", "traits"),
    "n_individuals": ("individual", "individuals"),
}


@dataclass(frozen=True)
class Gains:
    """What to draw. `facts`: what the footer says.

    `points`: those of the figure, a gain each, with the columns block (a label of the y axis), panel (one of `titles`), group (place
    among `groups`), level (of `looks`), and ceiling, that of its panel and group.
    """

    points: pd.DataFrame
    titles: list[str]
    groups: list[str]
    looks: dict[str, Look]
    facts: list[str]

    @property
    def blocks(self) -> list[str]:
        """In the order of the points."""
        return list(self.points["block"].unique())

    @property
    def sizes(self) -> list[int]:
        """The numbers of gains in a box, smallest first."""
        return sorted(self.points.groupby(BOX)["value"].count())

    @property
    def ceilings(self) -> pd.DataFrame:
        """A row per panel and group that has a ceiling."""
        return self.points[["panel", "group", "ceiling"]].drop_duplicates().dropna().sort_values(["panel", "group"])


def with_panels(points: pd.DataFrame, *columns: str) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The points with the title of their `panel`, and the titles in order: by the first column, and by the others where they vary.

    `columns`: of NOUNS. Last, what the footer says of the others where they do not vary.
    """
    said = {name: [_counted(count, *NOUNS[name]) for count in points[name]] for name in columns}
    varying = [name for name in columns if name == columns[0] or points[name].nunique() > 1]
    points = points.assign(panel=[", ".join(words) for words in zip(*(said[name] for name in varying), strict=True)])
    titles = points.sort_values(varying)["panel"].unique().tolist()
    return points, titles, [said[name][0] for name in columns if name not in varying]


def _counted(count: float, one: str, many: str) -> str:
    return f"{count:,.0f} {one if count == 1 else many}"


def boxes(gains: Gains, labels: tuple[str, str], title: str, limits: tuple[float, float], percent: bool = False) -> Figure:
    """A panel per block and title with a box per group and level. `labels`: title of the figure, x; `title`: of the legend.

    `limits` of the y axis; `percent`: whether a gain is a share.
    """
    width = min(13.0, 1.5 + 0.16 * len(gains.groups) * len(gains.looks))
    blocks, size = [(labels[1], block) for block in gains.blocks], (width, 3.2 if width < 4 else 3.7)
    figure, by_block = panels(gains.titles, labels[0], blocks, size=size, most=max(1, int(13.2 / width)), beside=1.8)
    first = by_block[0][0]
    first.set(xlim=(-0.5, len(gains.groups) - 0.5), ylim=padded(limits))
    first.set_xticks(range(len(gains.groups)), gains.groups)
    if percent:
        first.yaxis.set_major_formatter(PERCENT)
    for (block, name), axes in zip(itertools.product(gains.blocks, gains.titles), itertools.chain(*by_block), strict=True):
        _panel(axes, gains, gains.points[(gains.points["block"] == block) & (gains.points["panel"] == name)], name)
    lines = {"no gain": DASHED, "ceiling: perfect model": CEILING}
    entries = [(look.label, _handle(look, gains.sizes[-1])) for look in gains.looks.values()]
    legend(figure, [*entries, *((label, Line2D([], [], **style)) for label, style in lines.items())], title, below=False)
    figure.legends[0].set_alignment("left")
    lost = unseen(gains.points["value"], first.get_ylim(), "gains") + unseen(gains.ceilings["ceiling"], first.get_ylim(), "ceilings")
    return finish(figure, gains.points, BOX, *gains.facts, *_key(gains.sizes), *lost)


def _panel(axes: Axes, gains: Gains, points: pd.DataFrame, title: str) -> None:
    slot = 0.86 / len(gains.looks)
    for edge in range(1, len(gains.groups)):
        axes.axvline(edge - 0.5, color="#e6e6e6", linewidth=0.8, zorder=0.5)
    axes.axhline(0, label="no gain", **DASHED)
    for place, (level, look) in enumerate(gains.looks.items()):
        ours = points[(points["level"] == level) & points["value"].notna()].sort_values(["replicate", "trait"])
        shift = (place - (len(gains.looks) - 1) / 2) * slot
        samples = {group + shift: ours.loc[ours["group"] == group, "value"].tolist() for group in sorted(ours["group"].unique())}
        _level(axes, samples, look, 0.8 * slot, crowded=gains.sizes[-1] > MOST)
    ceilings = gains.ceilings[gains.ceilings["panel"] == title]
    _ticks(axes, dict(zip(ceilings["group"], ceilings["ceiling"], strict=True)), 0.92, label="ceiling: perfect model", **CEILING)


def _level(axes: Axes, samples: dict[float, list[float]], look: Look, width: float, crowded: bool) -> None:
    """A box per place on the x axis, or a median where the values are few; over them the values, or those beyond the whiskers."""
    boxed = {x: boxplot_stats(values)[0] for x, values in samples.items() if len(values) >= FEWEST}
    outlined = {"color": "white", "path_effects": [Stroke(linewidth=3.2, foreground=INK), Normal()]}
    inside = outlined if crowded and not look.open else {"color": INK}
    thin = {"color": INK if crowded else look.colour, "linewidth": 0.8 if crowded else 1.1}
    parts = axes.bxp(
        list(boxed.values()),
        positions=list(boxed),
        widths=width,
        patch_artist=True,
        manage_ticks=False,
        showfliers=False,
        showcaps=False,
        boxprops=_box(look, crowded),
        whiskerprops=thin,
        medianprops={"linewidth": 1.6, "solid_capstyle": "butt", "label": f"{look.label} median", **inside},
        zorder=2,
    )
    for box in parts["boxes"]:
        box.set_label(look.label)
    few = {x: float(np.median(values)) for x, values in samples.items() if x not in boxed}
    _ticks(axes, few, width, label=f"{look.label} median", color=look.colour, linewidth=1.6)
    shown = {x: list(boxed[x]["fliers"]) if crowded and x in boxed else values for x, values in samples.items()}
    _strip(axes, shown, look, width, 4.5 if boxed else 6.0)


def _box(look: Look, crowded: bool) -> dict[str, Any]:
    """How a box is filled: with the level's colour, paler under points, or white and hatched."""
    pale = tuple(1 - 0.35 * (1 - part) for part in to_rgb(look.colour))
    if look.open:
        return {"facecolor": "white", "edgecolor": look.colour, "hatch": "/////", "linewidth": 1.1}
    return {
        "facecolor": look.colour if crowded else pale,
        "edgecolor": INK if crowded else look.colour,
        "linewidth": 0.8 if crowded else 1.1,
    }


def _ticks(axes: Axes, heights: dict[Any, float], width: float, **style: Any) -> None:
    """A short level line of this width around each place on the x axis, all of them one artist."""
    x = [edge for place in heights for edge in (place - width / 2, place + width / 2, np.nan)]
    axes.plot(x, np.repeat(list(heights.values()), 3), **{"solid_capstyle": "butt", **style})


def _strip(axes: Axes, samples: dict[float, list[float]], look: Look, width: float, size: float) -> None:
    """A point per value, side by side within `width`; `size`: the largest diameter, in points."""
    x = [place + shift for place, values in samples.items() for shift in _spread(len(values), width)]
    y = [value for values in samples.values() for value in values]
    room = 72 * axes.bbox.width / axes.figure.dpi * width / np.ptp(axes.get_xlim())
    outline = {"facecolor": "white", "edgecolor": look.colour} if look.open else {"facecolor": look.colour, "edgecolor": "white"}
    axes.scatter(x, y, min(size, 0.4 * room) ** 2, label=look.label, marker=look.marker, linewidth=0.6, zorder=4, **outline)


def _spread(count: int, width: float) -> Iterable[float]:
    return np.linspace(-0.3, 0.3, count) * width if count > 1 else [0.0] * count


def _handle(look: Look, most: int) -> Any:
    """The legend's box of a level, its point, or both, as in the panels."""
    box = Patch(**_box(look, crowded=most > MOST))
    if most > MOST:
        return box
    return (box, mark(look)) if most >= FEWEST else mark(look)


def _key(sizes: list[int]) -> list[str]:
    """What the footer says of boxes, points and bars."""
    boxes = ["boxes: quartiles and median, whiskers within 1.5 interquartile ranges"] if sizes[-1] >= FEWEST else []
    points = "points: all gains" if sizes[-1] <= MOST else "points: gains beyond the whiskers"
    return [*boxes, points, *(["bars: medians"] if sizes[0] < FEWEST else [])]
