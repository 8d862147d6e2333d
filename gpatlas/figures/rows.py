"""The rows of the collected table that the figures' points are made of: checked, paired by population, with what several figures need."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from gpatlas.data.settings import SUBSAMPLE
from gpatlas.figures.words import listed
from gpatlas.settings import beside

POPULATION = ["scenario", "replicate", "trait"]
ALWAYS = ["experiment", *POPULATION, "model", "n_individuals", "simulator", "protocol", "pearson_r"]
NAMES = ["experiment", "scenario", "population", "model", "simulator", "protocol", "trait_name", "counted_allele", "other_allele"]
NAMES += [f"{name}{end}" for name in ("id", "chromosome") for end in ("", "_1", "_2")]
POSITIVE = ["trait", "n_individuals", "n_loci", "n_qtl", "n_traits", "n_trait_groups", "h2", "v_a_over_v_g"]
NUMBERS = [*POSITIVE, "replicate", "pearson_r", "genetic_correlation", "rel_aa", "seed", "seconds", "pair_precision", "pair_recall"]


def read_table(source: Path | str) -> pd.DataFrame:
    """The table in a CSV file; names are text, those too that pandas takes for a number or a missing value: 1e3, True, NA.

    Raises ValueError where another text stands in a column of NUMBERS.
    """
    names = pd.read_csv(source, usecols=lambda name: name in NAMES, dtype=str, keep_default_na=False, na_values=[""])
    table = pd.read_csv(source, low_memory=False)
    for name in (name for name in NUMBERS if name in table and not pd.api.types.is_numeric_dtype(table[name])):
        broken = table.loc[table[name].notna() & pd.to_numeric(table[name], errors="coerce").isna(), name]
        if len(broken):
            raise ValueError(f"column {name!r} holds {broken.iloc[0]!r} in line {broken.index[0] + 2}, where a number belongs")
    return table.assign(**{str(name): names[name] for name in names})


Beside = Callable[[str], pd.DataFrame]
"""A table that was collected with another, by its name: predictions, loci, pairs. Empty where there is none."""


def read_beside(source: Path | str, name: str) -> pd.DataFrame:
    """The table `name` beside the collected table `source`; empty where there is none.

    It is <source without .csv>.<name>.csv, or <name>.csv where results are published.
    """
    source = Path(source)
    found = [path for path in (beside(source, name), source.with_name(f"{name}.csv")) if path.exists()]
    return read_table(found[0]) if found else pd.DataFrame()


def nothing_beside(name: str) -> pd.DataFrame:
    """A Beside where there are no tables."""
    return pd.DataFrame()


def beside_rows(table: pd.DataFrame, name: str, experiment: str) -> pd.DataFrame:
    """The rows of one experiment in the table `name`, which was collected with the results. ValueError where there are none."""
    rows = table[table["experiment"] == experiment] if len(table) else table
    if rows.empty:
        raise ValueError(f"no {name} of experiment {experiment!r} beside the table, which protocol 'cross_validation' gives")
    return rows


def rows_of(table: pd.DataFrame, experiment: str, columns: Sequence[str], models: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of these models in one experiment of the collected table; no models: of every one that has any r.

    `columns`: what is needed beside ALWAYS. Raises ValueError naming what is missing or impossible, and what the table has.
    """
    if absent := [name for name in dict.fromkeys([*ALWAYS, *columns]) if name not in table]:
        raise ValueError(f"no column {listed(absent)}; the table has {listed(table.columns)}")
    rows = table[table["experiment"] == experiment]
    if rows.empty:
        raise ValueError(f"no row of experiment {experiment!r}; the table has {listed(table['experiment'].unique())}")
    present = rows["model"].unique()
    models = models or list(rows.loc[rows["pearson_r"].notna(), "model"].unique()) or list(present)
    rows = rows[rows["model"].isin(models)]
    if absent := [model for model in models if not (rows["model"] == model).any()]:
        raise ValueError(f"no row of model {listed(absent)} in experiment {experiment!r}; it has {listed(present)}")
    for model in models:
        if rows.loc[rows["model"] == model, "pearson_r"].isna().all():
            raise ValueError(f"every pearson_r is empty of model {model!r} in experiment {experiment!r}")
    numbers = [name for name in POSITIVE if name in ALWAYS or name in columns]
    if broken := [name for name in numbers if not rows[name].astype(float).between(0, np.inf, inclusive="neither").all()]:
        raise ValueError(f"a value that is not a positive number in column {listed(broken)} of experiment {experiment!r}")
    if (repeated := rows.duplicated([*POPULATION, "model"])).any():
        first = ", ".join(f"{name} {rows[repeated].iloc[0][name]}" for name in [*POPULATION, "model"])
        raise ValueError(f"{repeated.sum()} rows of experiment {experiment!r} repeat another one, the first is {first}")
    return rows


def as_measured(table: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows are of traits as measured of individuals drawn from a user's own population: they have no truth."""
    return table["simulator"] == SUBSAMPLE if "simulator" in table else pd.Series(False, table.index)


def models_beside(models: Iterable[str], further_models: Sequence[str], other: str | None = None) -> list[str]:
    """The models that a figure draws, each once; not `other`, with which it compares them."""
    return [model for model in dict.fromkeys([*models, *further_models]) if model != other]


def paired(rows: pd.DataFrame, model: str, other: str, how: Literal["left", "inner"]) -> pd.DataFrame:
    """The rows of `model`, with the r of `other` in the same population and trait as column `pearson_r_other`.

    `how`: "inner" leaves out those that lack the other's r. Raises ValueError where no population has both.
    """
    mine, theirs = (rows[rows["model"] == name] for name in (model, other))
    pairs = mine.merge(theirs[[*POPULATION, "pearson_r"]], on=POPULATION, how=how, suffixes=("", "_other"))
    if not (pairs["pearson_r"] * pairs["pearson_r_other"]).notna().any():
        raise ValueError(f"no scenario, replicate and trait has an r of both {model!r} and {other!r}")
    return pairs


def paired_each(rows: pd.DataFrame, models: Sequence[str], other: str) -> pd.DataFrame:
    """`paired` of every one of the models, one after the other, with those that lack the other's r."""
    return pd.concat([paired(rows, model, other, how="left") for model in models], ignore_index=True)


def relative_gain(pairs: pd.DataFrame) -> pd.Series:
    """Of `paired` rows, the gain in r in units of the other model's r; undefined where that is 0 or less."""
    other = pairs["pearson_r_other"].where(pairs["pearson_r_other"] > 0)
    return (pairs["pearson_r"] - other) / other


def with_share(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the column `share`: the mean V_A/V_G of their trait, as the figures label it."""
    return rows.assign(share=rows.groupby("trait")["v_a_over_v_g"].transform("mean").round(4))


def shares_of(points: pd.DataFrame) -> pd.Series:
    """The column `share` by trait."""
    return points.groupby("trait")["share"].first()


def linear_share(rows: pd.DataFrame) -> pd.Series:
    """The share of the genetic variance that the best linear model explains: linear_r_squared where the table has it.

    Elsewhere V_A/V_G: at allele frequency 0.5 without linkage, as is simulated here, the two are the same.
    """
    share = rows["v_a_over_v_g"]
    return rows["linear_r_squared"].fillna(share) if "linear_r_squared" in rows else share


def with_pairs_per_individual(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the column `qtl_pairs_per_individual`: all pairs of QTL, interacting or not, over the individuals.

    The study's measure of epistasis (Sandler & York 2025, doi 10.57844/arcadia-25nt-guw3): n_qtl·(n_qtl − 1)/2 / n_individuals.
    """
    return rows.assign(qtl_pairs_per_individual=rows["n_qtl"] * (rows["n_qtl"] - 1) / 2 / rows["n_individuals"])


def with_ceiling(pairs: pd.DataFrame, ceilings: pd.DataFrame, cell: list[str]) -> pd.DataFrame:
    """The pairs with the column `ceiling`: the mean of that of `ceilings` with the same values in the columns `cell`, or empty."""
    means = ceilings.groupby(cell)["ceiling"].mean().reset_index()
    return pairs.merge(means, on=cell, how="left")
