"""What each figure shows: its points as a table, and one sentence computed of them.

A figure is a function that makes its points of the collected table, one that says what they show, and a line in FINDINGS.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from gpatlas.figures_limits import MEASURES, MODELS, measured_pairs, views_of
from gpatlas.figures_shared import MODEL_NAMES, paired, paired_each, pairs_per_individual, relative_gain, rows_of
from gpatlas.page_tables import written


@dataclass(frozen=True)
class Finding:
    """`points`: the figure's points, also of the further models that it draws, their height in the column `value`, a row each; `by`: the
    columns that tell where a point stands; `value`: what the height is; `sentence`: what the points show."""

    title: str
    value: str
    by: tuple[str, ...]
    points: Callable[[pd.DataFrame, Sequence[str]], pd.DataFrame]
    sentence: Callable[[pd.DataFrame], str]

    def say(self, points: pd.DataFrame) -> str:
        """The sentence, where any point has a height."""
        return self.sentence(points) if points["value"].notna().any() else "No point of this figure is defined in this run."

    def summary(self, points: pd.DataFrame) -> pd.DataFrame:
        """Mean and standard deviation of the points that stand in the same place, and how many they are."""
        groups = points.groupby(list(self.by), dropna=False)["value"]
        return groups.agg(mean="mean", sd="std", n="count").reset_index()


# The points of each figure


def _shared(rows: pd.DataFrame) -> pd.DataFrame:
    """With the trait's mean V_A/V_G, as the figures label it, and the pairs of QTL per individual."""
    share = rows.groupby("trait")["v_a_over_v_g"].transform("mean").round(4)
    return rows.assign(share=share, qtl_pairs_per_individual=pairs_per_individual(rows))


def accuracy(table: pd.DataFrame, further_models: Sequence[str], model: str) -> pd.DataFrame:
    """The r of the models in the scaling experiment."""
    rows = _shared(rows_of(table, "scaling", model, *further_models))
    return rows.assign(value=rows["pearson_r"])


def gain_over_linear(table: pd.DataFrame, further_models: Sequence[str]) -> pd.DataFrame:
    """The gain of the models over the linear one, in units of the latter's r; undefined where that is 0 or less."""
    models = ["mlp", *further_models]
    rows = _shared(rows_of(table, "scaling", "linear_sgd", *models))
    pairs = paired_each(rows, models, "linear_sgd")
    return pairs.assign(value=relative_gain(pairs))


def excess_over_ridge(table: pd.DataFrame, further_models: Sequence[str]) -> pd.DataFrame:
    """The r of the linear model trained by SGD minus that of ridge regression."""
    rows = _shared(paired(rows_of(table, "scaling", "linear_sgd", "ridge"), "linear_sgd", "ridge", how="inner"))
    return rows.assign(value=rows["pearson_r"] - rows["pearson_r_other"])


def gain_over_ridge(table: pd.DataFrame, further_models: Sequence[str]) -> pd.DataFrame:
    """The r of the MLP, the pruned and further models minus that of ridge regression, by number of loci."""
    models = ["mlp", "pruned_linear", "pruned_mlp", *further_models]
    rows = _shared(rows_of(table, "dilution", "ridge", *models))
    rows = paired_each(rows, models, "ridge")
    return rows.assign(value=rows["pearson_r"] - rows["pearson_r_other"])


def pleiotropic_gain(table: pd.DataFrame, further_models: Sequence[str]) -> pd.DataFrame:
    """The gain of the models over ridge regression, in units of the latter's r; undefined where that is 0 or less."""
    models = ["mlp", *further_models]
    rows = _shared(rows_of(table, "pleiotropy", "ridge", *models))
    rows = paired_each(rows, models, "ridge")
    own = rows["n_trait_groups"] == rows["n_traits"]
    rows = rows.assign(
        genetic_correlation=rows["genetic_correlation"].astype(float).mask(own, 0.0), qtl_pairs=own.map({True: "own", False: "shared"})
    )
    return rows.assign(value=relative_gain(rows))


def limits(table: pd.DataFrame, further_models: Sequence[str]) -> pd.DataFrame:
    """The r of the four models."""
    rows = _shared(rows_of(table, "limits", *MODELS))
    return rows.assign(value=rows["pearson_r"], level=rows["model"].map(MODEL_NAMES))


def shares_of_pairs(table: pd.DataFrame, further_models: Sequence[str]) -> pd.DataFrame:
    """Precision and recall of the pairs that pairwise screening finds, of the traits that have any."""
    rows = _shared(measured_pairs(table))
    return rows.assign(level=rows["level"].map(MEASURES).str.partition(":")[0])


# What they show


IN_A_SENTENCE = MODEL_NAMES | {"mlp": "the MLP"}
_r = partial(written, form=".2f")
_difference = partial(written, form="+.2f")
_percent = partial(written, form="+.0%")


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _course(points: pd.DataFrame, x: str, place: str, write: Callable[[float], str], how: str = "median") -> str:
    """'from 0.98 at 16 QTL to 0.41 at 202 QTL': the value where x is least and where it is largest; `place` is a format for x."""
    values = points.groupby(x)["value"].agg(how).dropna()
    if values.empty:  # x is unknown
        return write(points["value"].agg(how))
    ends = [f"{write(values[at])} at {place.format(at)}" for at in sorted({values.index[0], values.index[-1]})]
    return ends[0] if len(ends) == 1 else f"from {ends[0]} to {ends[1]}"


def _defined(groups: Iterable[tuple[Any, pd.DataFrame]]) -> list[tuple[Any, pd.DataFrame]]:
    return [(level, points) for level, points in groups if points["value"].notna().any()]


def _of_models(points: pd.DataFrame, names: dict[str, str]) -> list[tuple[str, pd.DataFrame]]:
    return [(names[str(model)], rows) for model, rows in _defined(points.groupby("model", sort=False))]


def say_by_pairs(points: pd.DataFrame, subject: str, write: Callable[[float], str]) -> str:
    """A sentence per model; `subject` is a format for its name."""
    return " ".join(f"{subject.format(model)}: {_by_pairs(rows, write)}." for model, rows in _of_models(points, IN_A_SENTENCE))


def _by_pairs(points: pd.DataFrame, write: Callable[[float], str]) -> str:
    """Medians on both sides of one pair of QTL per individual, of the trait with the most epistasis and of the one with the least."""
    shares = sorted({points["share"].min(), points["share"].max()})
    few = points["qtl_pairs_per_individual"] <= 1
    parts = []
    for where, side in _defined([("no more QTL pairs than", points[few]), ("more QTL pairs than", points[~few])]):
        of_shares = _defined((share, side[side["share"] == share]) for share in shares)
        medians = [f"{write(rows['value'].median())} for V_A/V_G {share:.2f}" for share, rows in of_shares]
        parts.append(f"with {where} individuals {_listed(medians)}")
    return "; ".join(parts)


def say_accuracy(points: pd.DataFrame) -> str:
    """The mean over traits at both ends of every population size, and the distance from the best that a linear model can do."""
    sizes = _defined(points.groupby("n_individuals"))
    courses = [f"{_course(rows, 'n_qtl', '{:,.0f} QTL', _r, 'mean')} with {size:,.0f} individuals" for size, rows in sizes]
    excess = (points["value"] - (points["v_a_over_v_g"] * points["h2"]) ** 0.5).mean()
    side = "above" if excess > 0 else "below"
    model = MODEL_NAMES[points["model"].iloc[0]]
    return f"Mean r of the {model}: {'; '.join(courses)}. Over all it lies {_r(abs(excess))} {side} the ceiling of linear models."


def say_excess_over_ridge(points: pd.DataFrame) -> str:
    """Mean and range of the difference."""
    gaps = points["value"].dropna()
    mean, low, high = (written(value, "+.3f") for value in (gaps.mean(), gaps.min(), gaps.max()))
    return f"The r of SGD minus that of ridge regression is {mean} on average, and between {low} and {high} (n = {len(gaps):,})."


def say_gain_over_ridge(points: pd.DataFrame) -> str:
    """The median at both ends of the loci for every model, of the trait with the most epistasis."""
    share = points["share"].min()
    models = _of_models(points[points["share"] == share], MODEL_NAMES)
    courses = [f"{model} {_course(rows, 'n_loci', '{:,.0f} loci', _difference)}" for model, rows in models]
    return f"Median gain in r over ridge regression for V_A/V_G {share:.2f}: {'; '.join(courses)}."


def say_pleiotropic_gain(points: pd.DataFrame) -> str:
    """A passage per model."""
    models = _of_models(points, IN_A_SENTENCE)
    return " ".join(f"Median gain of {model} over ridge regression. {_by_traits(rows)}." for model, rows in models)


def _by_traits(points: pd.DataFrame) -> str:
    """For every number of traits the median at both ends of the QTL, and at the fewest of these what the genetic correlation does."""
    parts = []
    for n_traits, rows in _defined(points.groupby("n_traits")):
        fewest = rows[rows["n_qtl"] == rows.loc[rows["value"].notna(), "n_qtl"].min()]
        arms = _defined(fewest.groupby("qtl_pairs"))
        courses = [f"{_course(arm, 'genetic_correlation', 'correlation {:g}', _percent)} with {pairs} pairs" for pairs, arm in arms]
        course = _course(rows, "n_qtl", "{:,.0f} QTL", _percent)
        parts.append(f"{n_traits:,.0f} traits: {course}; at {fewest['n_qtl'].iloc[0]:,.0f} QTL {_listed(courses)}")
    return ". ".join(parts)


def say_limits(points: pd.DataFrame, subject: str) -> str:
    """Of the trait with the most epistasis, in the largest population, the mean of every level at both ends of both rows of panels."""
    share = points["share"].min()
    by_h2, by_pairs = views_of(points[points["share"] == share])[-2:]
    fixed = (
        f"{by_h2.rows['qtl_pairs_per_individual'].iloc[0]:.2g} QTL pairs per individual",
        f"heritability {by_pairs.rows['h2'].iloc[0]:g}",
    )
    places = ("h2", "heritability {:g}"), ("qtl_pairs_per_individual", "{:.2g} pairs")
    parts = []
    for view, where, (x, place) in zip((by_h2, by_pairs), fixed, places, strict=True):
        levels = _defined(view.rows.groupby("level", sort=False))
        courses = [f"{level} {_course(rows, x, place, _r, 'mean')}" for level, rows in levels]
        parts.append(f"At {where}: {'; '.join(courses)}.")
    return f"{subject} for V_A/V_G {share:.2f} and {by_h2.n_individuals:,} individuals. {' '.join(parts)}"


PLACE = ("share", "n_individuals", "n_qtl")
LIMITS = ("level", "share", "n_individuals", "h2", "qtl_pairs_per_individual")
FINDINGS: dict[str, Finding] = {
    "1a": Finding(
        "Figure 1A: relative gain over the linear model",
        "relative gain (1 is +100%)",
        ("model", *PLACE),
        gain_over_linear,
        partial(say_by_pairs, subject="Median gain of {} over the linear model", write=_percent),
    ),
    "1b": Finding(
        "Figure 1B: accuracy by pairs of QTL per individual",
        "r",
        ("model", "share", "n_individuals", "qtl_pairs_per_individual"),
        partial(accuracy, model="mlp"),
        partial(say_by_pairs, subject="Median r of {}", write=_r),
    ),
    "accessory_mlp": Finding("Accuracy of the MLP (accessory figure)", "r", PLACE, partial(accuracy, model="mlp"), say_accuracy),
    "accessory_linear": Finding(
        "Accuracy of the linear model (accessory figure)", "r", PLACE, partial(accuracy, model="linear_sgd"), say_accuracy
    ),
    "s1": Finding(
        "Figure S1: the linear model by SGD against ridge regression", "difference of r", PLACE, excess_over_ridge, say_excess_over_ridge
    ),
    "2": Finding(
        "Figure 2: gain over ridge regression by number of loci",
        "gain in r",
        ("share", "n_loci", "model"),
        gain_over_ridge,
        say_gain_over_ridge,
    ),
    "3": Finding(
        "Figure 3: relative gain over ridge regression by genetic correlation",
        "relative gain (1 is +100%)",
        ("model", "n_traits", "n_qtl", "qtl_pairs", "genetic_correlation"),
        pleiotropic_gain,
        say_pleiotropic_gain,
    ),
    "4": Finding(
        "Figure 4: accuracy by heritability and by pairs of QTL per individual", "r", LIMITS, limits, partial(say_limits, subject="Mean r")
    ),
    "5": Finding(
        "Figure 5: precision and recall of the pairs found by pairwise screening",
        "share of pairs",
        LIMITS,
        shares_of_pairs,
        partial(say_limits, subject="Pairs found"),
    ),
}
