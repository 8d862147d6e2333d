"""Figures 1A, 1B, S1 and the accessory ones: r, and gains in r, by number of QTL and population size.

The ceilings are those of each population: r of a perfect model is sqrt(h2), and of the best linear one sqrt(linear share·h2) (see
`gpatlas.figures.rows.linear_share`), as the correlation of phenotypes with genetic values is the square root of heritability (Falconer &
Mackay 1996, Introduction to Quantitative Genetics, 4th ed., chapter 10).
"""

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator

from gpatlas.figures.chart import Chart
from gpatlas.figures.curves import curves, scatter
from gpatlas.figures.layout import CEILING, DASHED, LINEAR_CEILING, R_LABEL, finish, gain_limits, legend, looks_of, mark, of_model
from gpatlas.figures.rows import (
    linear_share,
    models_beside,
    paired,
    paired_each,
    relative_gain,
    rows_of,
    shares_of,
    with_pairs_per_individual,
    with_share,
)
from gpatlas.figures.words import as_percent, as_r, by_title, course, defined, joined, name_in_text, title_of, written

PLACE = ("share", "n_individuals", "n_qtl")
R_CEILINGS = {"ceiling: linear model": ("linear_model", LINEAR_CEILING), "ceiling: any model": ("any_model", CEILING)}


def accuracy_of(table: pd.DataFrame, experiment: str, further_models: Sequence[str], model: str) -> pd.DataFrame:
    """`value`: the r of the model, and of further ones behind it."""
    models = models_beside([model], further_models)
    rows = rows_of(table, experiment, ["n_qtl", "h2", "v_a_over_v_g"], models)
    rows = rows.sort_values("model", key=lambda names: names.map(models.index), kind="stable")
    return with_pairs_per_individual(with_share(rows)).assign(value=rows["pearson_r"])


def gain_over_linear(table: pd.DataFrame, experiment: str, further_models: Sequence[str]) -> pd.DataFrame:
    """`value`: the gain in r of the MLP and further models over the linear one, in units of the latter's.

    Undefined where that is 0 or less.
    """
    models = models_beside(["mlp"], further_models, "linear_sgd")
    rows = with_pairs_per_individual(with_share(rows_of(table, experiment, ["n_qtl", "v_a_over_v_g"], [*models, "linear_sgd"])))
    pairs = paired_each(rows, models, "linear_sgd")
    return pairs.assign(value=relative_gain(pairs))


def excess_over_ridge(table: pd.DataFrame, experiment: str, further_models: Sequence[str]) -> pd.DataFrame:
    """`value`: the r of the linear model trained by SGD minus that of ridge regression, for the populations that have both."""
    rows = rows_of(table, experiment, ["n_qtl", "v_a_over_v_g"], ["linear_sgd", "ridge"])
    pairs = with_share(paired(rows, "linear_sgd", "ridge", how="inner"))
    return pairs.assign(value=pairs["pearson_r"] - pairs["pearson_r_other"])


def draw_gain(points: pd.DataFrame) -> Figure:
    """Relative gain against QTL; the ceiling is a perfect model's gain over the best linear one. A row of panels per model."""
    points = points.assign(perfect=linear_share(points) ** -0.5 - 1, none=0.0)
    ceilings = points.groupby(["trait", "n_qtl"])["perfect"].mean()
    limits = gain_limits(points["value"], ceilings, ceilings.max())
    title = f"Relative gain{of_model(points)} over the linear model"
    lines = {"no gain": ("none", DASHED), "ceiling: perfect model": ("perfect", CEILING)}
    return curves(points, "n_qtl", (title, "Number of QTL", "Gain in Pearson r on the test set"), lines, limits, percent=True)


def draw_by_pairs(points: pd.DataFrame) -> Figure:
    """r against the pairs of QTL per individual, with the ceilings of any linear model and of any model. A row of panels per model."""
    labels = f"Accuracy{of_model(points)} by QTL pairs per individual", "QTL pairs per individual", R_LABEL
    vertical = "one QTL pair per individual", 1.0
    return curves(_with_ceilings(points), "qtl_pairs_per_individual", labels, R_CEILINGS, _r_limits(points["value"]), vertical)


def draw_by_qtl(points: pd.DataFrame) -> Figure:
    """r against QTL, with the ceilings of any linear model and of any model."""
    labels = f"Accuracy{of_model(points)}", "Number of QTL", R_LABEL
    return curves(_with_ceilings(points), "n_qtl", labels, R_CEILINGS, _r_limits(points["value"]))


def draw_against_ridge(points: pd.DataFrame) -> Figure:
    """The linear model's r against that of ridge regression."""
    looks = looks_of({trait: f"{share:.2f}" for trait, share in shares_of(points).sort_values(kind="stable").items()})
    figure = Figure(figsize=(5.9, 5.2), layout="constrained")
    axes = figure.add_subplot(aspect="equal")
    for trait, look in looks.items():
        scatter(axes, points[points["trait"] == trait], "pearson_r_other", look, "pearson_r")
    axes.axline((0, 0), slope=1, label="1:1", **DASHED)
    low, high = _r_limits(points["pearson_r"], points["pearson_r_other"])
    labels = {"xlabel": f"{R_LABEL}, {title_of('ridge')}", "ylabel": f"{R_LABEL}, {title_of('linear_sgd')}"}
    axes.set(xlim=(low - 0.03, high + 0.03), ylim=(low - 0.03, high + 0.03), **labels)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.2))
    axes.grid(axis="x")
    figure.suptitle("Linear model: SGD against ridge", x=0.01, ha="left")
    marks = [(look.label, mark(look)) for look in reversed(looks.values())]
    legend(figure, [*marks, ("1:1", Line2D([], [], **DASHED))], "$V_A/V_G$", below=False)
    return finish(figure, points, ["n_individuals"], "populations with both fits")


def _with_ceilings(points: pd.DataFrame) -> pd.DataFrame:
    return points.assign(any_model=points["h2"] ** 0.5, linear_model=(linear_share(points) * points["h2"]) ** 0.5)


def _r_limits(*columns: pd.Series) -> tuple[float, float]:
    """0 and 1, or lower where an r is."""
    return min(0.0, *(column.min() for column in columns)), 1.0


def say_by_pairs(points: pd.DataFrame, subject: str, write: Callable[[float], str]) -> str:
    """A sentence per model; `subject` is a format for its name."""
    return " ".join(f"{subject.format(model)}: {_by_pairs(rows, write)}." for model, rows in by_title(points, name_in_text))


def _by_pairs(points: pd.DataFrame, write: Callable[[float], str]) -> str:
    """Medians on both sides of one pair of QTL per individual, of the trait with the most epistasis and of the one with the least."""
    shares = sorted({points["share"].min(), points["share"].max()})
    few = points["qtl_pairs_per_individual"] <= 1
    parts = []
    for where, side in defined([("no more QTL pairs than", points[few]), ("more QTL pairs than", points[~few])]):
        of_shares = defined((share, side[side["share"] == share]) for share in shares)
        medians = [f"{write(rows['value'].median())} for V_A/V_G {share:.2f}" for share, rows in of_shares]
        parts.append(f"with {where} individuals {joined(medians)}")
    return "; ".join(parts)


def say_accuracy(points: pd.DataFrame) -> str:
    """The mean over traits at both ends of every population size, and the distance from the best that a linear model can do."""
    sizes = defined(points.groupby("n_individuals"))
    courses = [f"{course(rows, 'n_qtl', '{:,.0f} QTL', as_r, 'mean')} with {size:,.0f} individuals" for size, rows in sizes]
    excess = (points["value"] - _with_ceilings(points)["linear_model"]).mean()
    side = "above" if excess > 0 else "below"
    model = title_of(points["model"].iloc[0])
    return f"Mean r of the {model}: {'; '.join(courses)}. Over all it lies {as_r(abs(excess))} {side} the ceiling of linear models."


def say_excess_over_ridge(points: pd.DataFrame) -> str:
    """Mean and range of the difference."""
    gaps = points["value"].dropna()
    mean, low, high = (written(value, "+.3f") for value in (gaps.mean(), gaps.min(), gaps.max()))
    return f"The r of SGD minus that of ridge regression is {mean} on average, and between {low} and {high} (n = {len(gaps):,})."


GAIN_OVER_LINEAR = Chart(
    gain_over_linear,
    draw_gain,
    partial(say_by_pairs, subject="Median gain of {} over the linear model", write=as_percent),
    ("model", *PLACE),
    "relative gain (1 is +100%)",
)
ACCURACY_BY_PAIRS = Chart(
    partial(accuracy_of, model="mlp"),
    draw_by_pairs,
    partial(say_by_pairs, subject="Median r of {}", write=as_r),
    ("model", "share", "n_individuals", "qtl_pairs_per_individual"),
    "r",
)
ACCURACY_OF_MLP = Chart(partial(accuracy_of, model="mlp"), draw_by_qtl, say_accuracy, PLACE, "r")
ACCURACY_OF_LINEAR = Chart(partial(accuracy_of, model="linear_sgd"), draw_by_qtl, say_accuracy, PLACE, "r")
SGD_AGAINST_RIDGE = Chart(excess_over_ridge, draw_against_ridge, say_excess_over_ridge, PLACE, "difference of r")
