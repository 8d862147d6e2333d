"""Help for tests that hold tables against what gpatlas.report.columns says of them, and files against what a page does."""

import re
from pathlib import Path

import pandas as pd
from drivers import PROJECT

from gpatlas.data.layout import FLAG, TEXT, WHOLE
from gpatlas.report.columns import column_of


def unexplained(table: str, path: Path) -> list[str]:
    """The columns of a table that are not explained, or hold another kind of value than is said."""
    texts = [name for name in pd.read_csv(path, nrows=0) if is_of(table, name, TEXT)]
    frame = pd.read_csv(path, dtype=dict.fromkeys(texts, str), low_memory=False)
    return [str(name) for name in frame if column_of(table, str(name)) is None or not _as_said(table, str(name), frame[name].dropna())]


def is_of(table: str, name: str, kind: str) -> bool:
    column = column_of(table, name)
    return column is not None and column.kind == kind


def _as_said(table: str, name: str, values: "pd.Series[float]") -> bool:
    if not len(values) or is_of(table, name, TEXT) or is_of(table, name, "text or number"):
        return True
    if is_of(table, name, FLAG):
        return set(values) <= {True, False}
    return pd.api.types.is_numeric_dtype(values) and not (is_of(table, name, WHOLE) and (values % 1 != 0).any())


def named_on_page(page: str, heading: str) -> set[str]:
    """The names in the first column of the tables below a heading of a page, as they are written there."""
    text = (PROJECT / "docs" / page).read_text()
    _, _, below = text.partition(f"\n## {heading}")
    assert below, f"{page} has no heading {heading!r}"
    rows = re.findall(r"^\| (`.+?) \|", below.partition("\n## ")[0], re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
