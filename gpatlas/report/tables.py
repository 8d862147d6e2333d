"""A table of the page: heads and formats by column, the text of every cell and the number to sort it by."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from gpatlas.figures.words import written

COUNT, R, SECONDS = ",.0f", ".3f", ",.1f"
HEADS: dict[str, tuple[str, str]] = {
    "level": ("of", ""),
    "h2": ("heritability", "g"),
    "share": ("V_A/V_G", ".2f"),
    "n_individuals": ("individuals", COUNT),
    "n_loci": ("loci", COUNT),
    "n_qtl": ("QTL", COUNT),
    "n_traits": ("traits", COUNT),
    "qtl_pairs": ("QTL pairs", ""),
    "qtl_pairs_per_individual": ("QTL pairs per individual", ".2f"),
    "genetic_correlation": ("genetic correlation", "g"),
    "mean": ("mean", R),
    "sd": ("sd", R),
    "fit_seconds": ("seconds of a fit", ",.2f"),
    "published": ("published", "g"),
    "ours": ("ours", R),
    "difference": ("ours − published", "+.3f"),
    "what": ("ours is", ""),
    "replicate": ("the study's replicate", COUNT),
    "seconds": ("seconds", SECONDS),
    "median": ("median seconds", SECONDS),
    "longest": ("longest, seconds", SECONDS),
    "memory": ("peak memory, MB", COUNT),
}


@dataclass(frozen=True)
class Table:
    """`heads`: (text, whether numbers stand below it); `rows`: of (text, number to sort by or None) a cell."""

    caption: str
    heads: list[tuple[str, bool]]
    rows: list[tuple[tuple[str, str | None], ...]]


def page_table(frame: pd.DataFrame, caption: str, heads: dict[str, tuple[str, str]] = HEADS) -> Table:
    """A frame as the page shows it: head and number format of a column as `heads` says, else its own name and six digits.

    An empty value is an empty cell.
    """
    shown = {name: heads.get(str(name), (str(name), ".6g")) for name in frame}
    columns = [_column(frame[name], form) for name, (_, form) in shown.items()]
    return Table(caption, [(head, _holds_numbers(frame[name])) for name, (head, _) in shown.items()], list(zip(*columns, strict=True)))


def _column(values: "pd.Series[Any]", form: str) -> list[tuple[str, str | None]]:
    if not _holds_numbers(values):
        return [("" if pd.isna(value) else str(value), None) for value in values]
    return [("", None) if pd.isna(value) else (written(value, form), f"{value:.9g}") for value in values.astype(float)]


def _holds_numbers(values: "pd.Series[Any]") -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
