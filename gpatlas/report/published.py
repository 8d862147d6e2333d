"""The study's published values beside ours, for the cells of its grid that a run has.

Source: Sandler & York 2025, doi 10.57844/arcadia-25nt-guw3: r of single scenarios, and medians read off its Figures 2 and 3, to about 0.02.
An empty parameter in `published.csv` means any value of it.
"""

from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from gpatlas.figures.rows import POPULATION

PARAMETERS = ["model", "n_individuals", "n_loci", "n_qtl", "n_traits", "genetic_correlation", "rel_aa", "h2", "trait"]


def published() -> pd.DataFrame:
    """A row per published value. `quantity`: pearson_r, or a gain over ridge regression, a difference of r (gain) or its ratio to the r of
    ridge regression (relative_gain); `replicate`: which one the value is of, empty where it is the median over all."""
    with files("gpatlas.report").joinpath("published.csv").open(encoding="utf-8") as lines:
        return pd.read_csv(lines)


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """The published values whose cell the collected `table` has, with `ours`, `difference` (ours − published), `sd` and `n` of the values
    behind ours, and `what` ours is: the same replicate where AlphaSimR made the data, as its seeds are the study's, else the mean over
    replicates; the median over replicates and traits where the published value is one."""
    rows = _with_gains(table)
    found = [(index, *_ours(cell, rows)) for index, cell in published().iterrows()]
    ours = pd.DataFrame(found, columns=["index", "ours", "sd", "n", "what", "protocol"]).set_index("index")
    both = published().join(ours[ours["n"] > 0], how="inner")
    return both.assign(difference=both["ours"] - both["published"])


def _with_gains(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the study's own design, with both gains over ridge regression.

    At correlation 0 the study gives every trait its own pairs; traits that share theirs there are our control.
    """
    own = table["n_trait_groups"] == table["n_traits"]
    rows = table.astype(dict.fromkeys(PARAMETERS[1:], float))
    correlation = rows["genetic_correlation"].mask(own, 0.0)
    rows = rows.assign(genetic_correlation=correlation)[own | (correlation != 0)]
    ridge = rows.loc[rows["model"] == "ridge", ["experiment", *POPULATION, "pearson_r"]]
    rows = rows.merge(ridge, on=["experiment", *POPULATION], how="left", suffixes=("", "_ridge"))
    gain = rows["pearson_r"] - rows["pearson_r_ridge"]
    return rows.assign(gain=gain, relative_gain=gain / rows["pearson_r_ridge"].where(rows["pearson_r_ridge"] > 0))


def _ours(cell: "pd.Series[Any]", rows: pd.DataFrame) -> tuple[float, float, int, str, str]:
    """Ours of one published value: the value, its spread, how many values are behind it, what it is, and under which protocol."""
    given = [name for name in PARAMETERS if pd.notna(cell[name])]
    mask = rows["experiment"] == cell["experiment"]
    for name in given:
        mask &= rows[name] == cell[name] if name == "model" else np.isclose(rows[name], float(cell[name]))
    ours = rows[mask & rows[cell["quantity"]].notna()]
    what = "median"
    if pd.notna(cell["replicate"]):
        same = ours[(ours["replicate"] == cell["replicate"]) & (ours["simulator"] != "native")]
        ours, what = (same, "same replicate") if len(same) else (ours, "mean")
    values = ours[cell["quantity"]].astype(float)
    value = values.median() if what == "median" else values.mean()
    return float(value), float(values.std()), len(values), what, ", ".join(sorted(ours["protocol"].astype(str).unique()))
