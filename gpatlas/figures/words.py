"""Numbers, lists and models in words, for the sentences, labels and errors of the figures."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pandas as pd

from gpatlas.models.registry import MODELS, titles


def title_of(model: str) -> str:
    """What a model of a table is called; one that the registry does not know has its own name."""
    return titles().get(model, model)


def name_in_text(model: str) -> str:
    """The title of a model as it stands in a sentence."""
    return MODELS[model].in_text or title_of(model) if model in MODELS else title_of(model)


def by_registry(models: Iterable[Any]) -> list[Any]:
    """In the order of the registry, the simplest first; those that it does not know come last."""
    order = list(titles())
    return sorted(models, key=lambda model: order.index(model) if model in order else len(order))


def natural(text: Any) -> list[tuple[bool, int, str]]:
    """A key that sorts names as a reader does: 2 before 10, 10 before X."""
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", str(text)) if part]


def written(value: float, form: str) -> str:
    """A number in this format, with a printed minus, and without the sign of a zero."""
    text = f"{value:{form}}"
    return (text if any(digit in text for digit in "123456789") else text.lstrip("+-")).replace("-", "−")


as_r = partial(written, form=".2f")
as_difference = partial(written, form="+.2f")
as_percent = partial(written, form="+.0%")


def shortened(text: str, most: int) -> str:
    """At most so many letters of it."""
    return text if len(text) <= most else text[: most - 1] + "…"


def listed(names: Iterable[Any]) -> str:
    """'a', 'b', 'c', each in quotes."""
    return ", ".join(repr(str(name)) for name in names) or "nothing"


def joined(parts: list[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def course(points: pd.DataFrame, x: str, place: str, write: Callable[[float], str], how: str = "median") -> str:
    """'from 0.98 at 16 QTL to 0.41 at 202 QTL': the value where x is least and where it is largest.

    `place`: a format for x; `write`: how a value is written; `how`: the aggregate of the values at one x.
    """
    values = points.groupby(x)["value"].agg(how).dropna()
    if values.empty:  # x is unknown
        return write(points["value"].agg(how))
    ends = [f"{write(values[at])} at {place.format(at)}" for at in sorted({values.index[0], values.index[-1]})]
    return ends[0] if len(ends) == 1 else f"from {ends[0]} to {ends[1]}"


def defined(groups: Iterable[tuple[Any, pd.DataFrame]]) -> list[tuple[Any, pd.DataFrame]]:
    """Those of the groups of points that have any value."""
    return [(level, points) for level, points in groups if points["value"].notna().any()]


def by_title(points: pd.DataFrame, name: Callable[[str], str]) -> list[tuple[str, pd.DataFrame]]:
    """The points of each model that has any value, under what `name` makes of the model."""
    return [(name(str(model)), rows) for model, rows in defined(points.groupby("model", sort=False))]
