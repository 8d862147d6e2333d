"""The further tables of a fit, which stand beside its own: `<out>.pairs.csv` beside `<out>.csv`."""

from pathlib import Path

TABLES = ("columns", "pairs", "trials")  # of all models


def beside(out: Path, what: str) -> Path:
    """Where a further table goes: `<out>.<what>.csv`, without `out`'s own .csv."""
    return out.with_name(f"{out.name.removesuffix('.csv')}.{what}.csv")
