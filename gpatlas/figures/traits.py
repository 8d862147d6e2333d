"""The rows of cross-validated models that the figures of real populations are made of: a row per model and trait, with the pick."""

import pandas as pd

from gpatlas.figures.folds import choices, fold_scores
from gpatlas.figures.rows import beside_rows, rows_of
from gpatlas.figures.words import joined, written

MOST_NAMED = 4  # traits that a sentence tells one by one


def scored(table: pd.DataFrame, experiment: str, predictions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of an experiment, with `label` and what `choices` says of their trait; and the scores of every fold.

    Raises ValueError where there are no predictions, or the columns lack one.
    """
    rows = with_labels(rows_of(table, experiment, ["r_squared", "n_folds", "n_repeats"]))
    scores = fold_scores(beside_rows(predictions, "predictions", experiment))
    return rows.merge(choices(scores), on=["scenario", "trait"], how="left"), scores


def with_labels(rows: pd.DataFrame) -> pd.DataFrame:
    """With the column `label`: the trait's name, or its number; with the population where there are several."""
    numbers = "trait " + rows["trait"].astype(int).astype(str)
    names = rows["trait_name"].fillna(numbers) if "trait_name" in rows else numbers
    labels = names.astype(str)
    return rows.assign(label=labels if rows["scenario"].nunique() == 1 else rows["scenario"] + ": " + labels)


def facts_of(points: pd.DataFrame) -> list[str]:
    """What a footer says of the populations and the folds."""
    sizes = points.drop_duplicates("scenario")
    individuals = _between(sizes["n_individuals"], "individuals")
    folds, repeats = (_between(points[name].dropna(), what) for name, what in (("n_folds", "folds"), ("n_repeats", "times")))
    origin = ", ".join(sorted(points["simulator"].unique()))
    known = [_between(sizes["n_loci"].dropna(), "loci")] if "n_loci" in sizes else []
    return [f"cross-validation: {folds}{'' if repeats == '1 times' else f', {repeats}'}", f"data: {origin}", individuals, *known]


def _between(values: "pd.Series[float]", what: str) -> str:
    ends = [f"{value:,.0f}" for value in sorted({values.min(), values.max()})]
    return f"{' to '.join(ends)} {what}"


def ranged(values: "pd.Series[float]", form: str = ".2f") -> str:
    """Of values by label: 'from 0.10 (oil) to 0.80 (height), median 0.45'."""
    values = values.dropna().sort_values(kind="stable")
    ends = [f"{written(values.iloc[at], form)} ({values.index[at]})" for at in (0, -1)]
    return f"from {ends[0]} to {ends[1]}, median {written(values.median(), form)}"


def some_of(labels: "pd.Series[str]") -> str:
    """Their names, of many the first few."""
    names = list(labels)
    few = names[: MOST_NAMED + 1] if len(names) <= MOST_NAMED + 1 else names[:MOST_NAMED]
    return joined(few) if len(few) == len(names) else f"{', '.join(few)} and {len(names) - len(few)} more"
