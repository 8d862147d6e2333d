"""What is to be seen in a figure of boxes, and the gains that should be."""

from typing import Any

import numpy as np
import pandas as pd
from figure_tables import (
    FloatArray,
    path,
    points,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MODELS = {"mlp": "MLP", "pruned_linear": "pruned linear model", "pruned_mlp": "pruned MLP"}


LINES = ["no gain", "ceiling: perfect model"]


BOXES = "boxes: quartiles and median, whiskers within 1.5 interquartile ranges"


def titles(figure: Figure) -> list[str]:
    return [axes.get_title("left") for axes in figure.axes]


def footer(figure: Figure) -> str:
    return figure.texts[-1].get_text().replace("\n", " ")


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def groups(axes: Axes) -> list[str]:
    return [tick.get_text() for tick in axes.get_xticklabels()]


def boxes(axes: Axes, label: str) -> FloatArray:
    """Left, lower quartile, right and upper quartile of the boxes with this label, from left to right."""
    extents = [box.get_path().get_extents().extents for box in axes.patches if box.get_label() == label]
    return np.array(sorted(map(tuple, extents))).reshape(-1, 4)


def medians(axes: Axes, label: str) -> FloatArray:
    """Left, right and height of the medians of this level, from left to right."""
    lines = [np.asarray(found.get_xydata()) for found in axes.lines if found.get_label() == f"{label} median"]
    ends = np.concatenate([xy[np.isfinite(xy).all(axis=1)] for xy in lines]).reshape(-1, 2, 2)
    np.testing.assert_array_equal(ends[:, 0, 1], ends[:, 1, 1])
    return np.array(sorted((left, right, height) for (left, height), (right, _) in ends.tolist()))


def ceilings(axes: Axes) -> dict[int, float]:
    """Place of the group to the height of its ceiling, after checking that the line spans the group."""
    x, y = (values.reshape(-1, 3) for values in path(axes, "ceiling: perfect model"))
    np.testing.assert_allclose(x[:, :2] - np.round(x[:, :1] + 0.1), np.tile([-0.46, 0.46], (len(x), 1)))
    return {round(left + 0.1): height for left, height in zip(x[:, 0].tolist(), y[:, 0].tolist(), strict=True)}


def split(xy: FloatArray) -> dict[int, list[float]]:
    """Place of the group to the sorted heights of its points."""
    places = [round(x) for x in xy[:, 0].tolist()]
    return {place: sorted(y for at, y in zip(places, xy[:, 1].tolist(), strict=True) if at == place) for place in sorted(set(places))}


def values(table: pd.DataFrame, model: str, **where: Any) -> pd.Series:
    """The r of a model where the columns have these values, by scenario, replicate and trait."""
    rows = table[table["model"] == model].set_index(["scenario", "replicate", "trait"], drop=False)
    for name, value in where.items():
        rows = rows[rows[name] == value]
    return rows["pearson_r"]


def increases(table: pd.DataFrame, model: str, **where: Any) -> list[float]:
    return sorted(values(table, model, **where) - values(table, "ridge", **where))


def arm(figure: Figure, label: str, panel: int = 0) -> dict[int, list[float]]:
    return split(points(figure.axes[panel])[label])
