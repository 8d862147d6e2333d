"""Names of points beside them, where these cover neither a point nor another name."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from gpatlas.figures.layout import INK

STYLE_OF_NAMES: dict[str, Any] = {"fontsize": 8, "color": INK, "path_effects": [withStroke(linewidth=2.5, foreground="white")], "zorder": 5}
HALF = 4.0  # a point's half width; this and distances in points of the page
NEAR = [  # directions of a name from its point, the best first; then the same farther away
    (distance * x, distance * y)
    for distance in (7, 13, 20)
    for x, y in ((1, 0), (-1, 0), (0.7, 0.7), (-0.7, 0.7), (0.7, -0.7), (-0.7, -0.7), (0, 1), (0, -1))
]


def name_points(axes: Axes, points: pd.DataFrame, named: pd.DataFrame) -> None:
    """Write the column `name` of the points that are `named`, the most important first. The layout must be fixed.

    `points`: all of the axes, at `x` and `value`, each with a bar from `low` to `high`, which a name crosses only where it has to. A name
    without a free place is left out.
    """
    scale = axes.figure.dpi / 72
    middles, lows, highs = (axes.transData.transform(points[["x", end]].to_numpy(float)) for end in ("value", "low", "high"))
    dots = [Bbox.from_extents(x - HALF * scale, y - HALF * scale, x + HALF * scale, y + HALF * scale) for x, y in middles]
    bars = [Bbox.from_extents(x - scale, low, x + scale, high) for (x, low), (_, high) in zip(lows, highs, strict=True) if low < high]
    taken: list[Bbox] = []
    for name, x, y in zip(named["name"], named["x"], named["value"], strict=True):
        text = axes.annotate(name, (x, y), (0, 0), textcoords="offset points", **STYLE_OF_NAMES)
        if not (_find(text, axes, [*dots, *taken, *bars]) or _find(text, axes, [*dots, *taken])):
            text.remove()
        else:
            taken.append(text.get_window_extent())


def _find(text: Annotation, axes: Axes, covered: Iterable[Bbox]) -> bool:
    """Whether there is a place for the text, to which it is moved."""
    inside = axes.get_window_extent()
    for x, y in NEAR:
        sides: dict[str, Any] = {
            "horizontalalignment": "left" if x > 0 else "right" if x < 0 else "center",
            "verticalalignment": "bottom" if y > 0 else "top" if y < 0 else "center",
        }
        text.set(position=(x, y), **sides)
        box = text.get_window_extent()
        if all(inside.contains(*corner) for corner in (box.min, box.max)) and not any(box.overlaps(other) for other in covered):
            return True
    return False
