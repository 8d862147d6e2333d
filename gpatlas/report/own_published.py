"""Cross-validated R² of a user's own populations beside what is published of the same traits."""

from dataclasses import dataclass

import pandas as pd

from gpatlas.figures.words import by_registry, joined, name_in_text, title_of, written
from gpatlas.report.tables import HEADS, R, Table, page_table

PUBLISHED, R_SQUARED = "published_", "_r_squared"  # how columns begin, and how those of R² end
STACK = "stack"
OPTIMISTIC = (
    "The best of several models of a trait, ours or published, was chosen by the very R² that it then has, which is optimistic: "
    "compare means of single models and of the stack."
)


@dataclass(frozen=True)
class BesidePublished:
    """What is said of them. `means`: a row per model, ours and published, over the traits that have all of these; None where none has."""

    sentence: str
    means: Table | None
    traits: Table


def beside_published(experiment: str, rows: pd.DataFrame) -> BesidePublished | None:
    """Of the rows of an experiment, with `label`; None where no R² of its traits is published."""
    columns = [str(name) for name in rows if str(name).startswith(PUBLISHED)]
    theirs = [name for name in columns if name.endswith(R_SQUARED) and rows[name].notna().any()]
    if not theirs:
        return None
    traits = rows.drop_duplicates("label").set_index("label").dropna(subset=theirs, how="all")
    ours = rows.pivot(index="label", columns="model", values="r_squared").loc[traits.index]
    models = by_registry(ours)
    ours = ours[models].astype(float)
    both = ours.join(traits[theirs].astype(float)).dropna()
    caption = f"{experiment}: mean R² over the {len(both)} traits that have all of these"
    return BesidePublished(
        _sentence(both, models, theirs),
        page_table(_means(both, theirs), caption) if len(both) else None,
        _traits(experiment, traits[columns], ours, theirs),
    )


def _words(column: str) -> str:
    """'published: svm' of published_svm_r_squared."""
    return f"published: {column.removeprefix(PUBLISHED).removesuffix(R_SQUARED).replace('_', ' ')}"


def _means(both: pd.DataFrame, theirs: list[str]) -> pd.DataFrame:
    """The highest first."""
    means = both.mean().sort_values(ascending=False, kind="stable")
    return pd.DataFrame({"model": [_words(name) if name in theirs else title_of(name) for name in means.index], "r_squared": list(means)})


def _sentence(both: pd.DataFrame, models: list[str], theirs: list[str]) -> str:
    """The stack and the single model of the highest mean beside the published means, and by how much ours is above the highest of these."""
    if both.empty:
        return f"No trait has the R² of every model and of every published column, so their means cannot be compared. {OPTIMISTIC}"
    means, singles = both.mean(), [model for model in models if model != STACK]
    ours = [STACK] * (STACK in models) + ([str(means[singles].idxmax())] if singles else [])
    best = str(means[theirs].idxmax())
    difference = both[ours[0]] - both[best]
    side = "above" if difference.mean() > 0 else "below"
    told = [f"{title_of(model)} {written(means[model], R)}" for model in ours]
    published = [f"{_words(name).removeprefix('published: ')} {written(means[name], R)}" for name in theirs]
    return (
        f"Mean R² over {len(both)} traits: {joined(told)}; published: {joined(published)}. "
        f"By {name_in_text(ours[0])} it is {written(abs(difference.mean()), R)} {side} the highest published mean, "
        f"and R² is above that column's in {(difference > 0).sum()} of {len(both)} traits. {OPTIMISTIC}"
    )


def _traits(experiment: str, published: pd.DataFrame, ours: pd.DataFrame, theirs: list[str]) -> Table:
    """A row per trait: what is published, our best single model, the stack, and how far ours is from the best published R²."""
    singles = ours.drop(columns=STACK, errors="ignore").dropna(how="all")
    frame = published.assign(single=singles.idxmax(axis=1).map(title_of), single_r_squared=singles.max(axis=1))
    frame = frame.assign(stack_r_squared=ours.get(STACK))
    name = "stack" if STACK in ours else "single"
    frame["over_published"] = frame[f"{name}_r_squared"] - published[theirs].max(axis=1)
    heads = HEADS | {str(column): (_words(str(column)), R if column in theirs else ".6g") for column in published if column not in HEADS}
    heads["over_published"] = f"{name} − best published", "+.3f"
    caption = f"{experiment}: R² of every trait beside what is published"
    return page_table(frame.reset_index().dropna(axis="columns", how="all"), caption, heads)
