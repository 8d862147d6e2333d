"""Figure 3, pleiotropy: the relative gain over ridge regression by number of traits, QTL and genetic correlation."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from gpatlas.figures.boxes import GAIN_LABEL, Gains, boxes, with_panels
from gpatlas.figures.chart import Chart
from gpatlas.figures.layout import MARKERS, MUTED, Look, by_model, gain_limits, looks_of, of_model
from gpatlas.figures.rows import linear_share, models_beside, paired_each, relative_gain, rows_of, with_ceiling
from gpatlas.figures.words import as_percent, by_title, course, defined, joined, name_in_text

OWN = "0, own pairs"


def relative_gain_over_ridge(table: pd.DataFrame, experiment: str, further_models: Sequence[str]) -> pd.DataFrame:
    """`value`: the gain in r of the MLP and further models over ridge regression, in units of the latter's.

    Undefined where that is 0 or less. `ceiling`: the mean over traits and replicates of sqrt(h2), the r of a perfect model, in the same
    units, minus 1. `qtl_pairs`: whether a trait has its own, as the study has it at correlation 0, or shares them with all others;
    `genetic_correlation`: 0 where it has its own.
    """
    models = models_beside(["mlp"], further_models, "ridge")
    columns = ["n_qtl", "n_traits", "n_trait_groups", "genetic_correlation", "h2", "v_a_over_v_g"]
    rows = rows_of(table, experiment, columns, ["ridge", *models])
    ridge = rows[(rows["model"] == "ridge") & (rows["pearson_r"] > 0)]
    ceilings = ridge.assign(ceiling=ridge["h2"] ** 0.5 / ridge["pearson_r"] - 1)
    pairs = with_ceiling(paired_each(rows, models, "ridge"), ceilings, ["n_traits", "n_qtl", "n_individuals"])
    own = pairs["n_trait_groups"] == pairs["n_traits"]
    correlation = pairs["genetic_correlation"].astype(float).mask(own, 0.0)
    return pairs.assign(genetic_correlation=correlation, qtl_pairs=own.map({True: "own", False: "shared"}), value=relative_gain(pairs))


def draw_by_correlation(points: pd.DataFrame) -> Figure:
    """A panel per number of traits; in it a group per number of QTL, with a box per genetic correlation. A row of panels per model."""
    points, titles, facts = with_panels(points, "n_traits", "n_individuals")
    counts = sorted(points["n_qtl"].unique())
    groups = points["n_qtl"].map({count: place for place, count in enumerate(counts)})
    levels, looks = _arms(points)
    points = points.assign(block=points["model"].map(by_model(points, GAIN_LABEL)), group=groups, level=levels)
    best = (linear_share(points) ** -0.5 - 1).groupby([points["panel"], points["group"]]).mean().max()
    facts.append("pairs of interacting QTL: each trait's own, or shared by all")
    gains = Gains(points, titles, [f"{count:.0f}" for count in counts], looks, facts)
    labels = f"Relative gain{of_model(points)} over ridge regression", "Number of QTL"
    title = "Genetic correlation" + "\n(above 0: shared pairs)" * any(label != OWN and not look.open for label, look in looks.items())
    return boxes(gains, labels, title, gain_limits(points["value"], points["ceiling"], best), percent=True)


def _arms(points: pd.DataFrame) -> tuple[pd.Series, dict[str, Look]]:
    """The arm of each point, and the looks of the arms: a shade per genetic correlation, open where it is not the study's own design.

    The study gives every trait its own pairs of QTL at correlation 0, and one set shared by all traits above 0.
    """
    columns = ["genetic_correlation", "n_trait_groups", "n_traits"]
    keys = [_arm(*values) for values in points[columns].astype(float).itertuples(index=False)]
    shades = looks_of(dict.fromkeys(sorted({key[0] for key in keys if key[0] < np.inf}), ""))
    looks = {}
    for marker, (correlation, _, label) in zip(MARKERS * len(keys), sorted(set(keys)), strict=False):
        colour = shades[correlation].colour if correlation in shades else to_rgb(MUTED)
        study = label == OWN or label == f"{correlation:g}"
        looks[label] = Look(label, colour, marker, open=not study)
    return pd.Series([label for *_, label in keys], index=points.index), looks


def _arm(correlation: float, n_groups: float, n_traits: float) -> tuple[float, float, str]:
    """Genetic correlation (infinite where unknown), place among the arms of the same one, and label."""
    if n_groups == n_traits:
        return 0.0, 0, OWN
    if n_groups == 1 and correlation > 0:
        return correlation, 1, f"{correlation:g}"
    sharing = "shared pairs" if n_groups == 1 else f"pairs shared in {n_groups:.0f} groups"
    if math.isnan(correlation):
        return np.inf, n_groups, f"{sharing}, correlation unknown"
    return correlation, n_groups, f"{correlation:g}, {sharing}"


def say_by_correlation(points: pd.DataFrame) -> str:
    """A passage per model."""
    models = by_title(points, name_in_text)
    return " ".join(f"Median gain of {model} over ridge regression. {_by_traits(rows)}." for model, rows in models)


def _by_traits(points: pd.DataFrame) -> str:
    """For every number of traits the median at both ends of the QTL, and at the fewest of these what the genetic correlation does."""
    parts = []
    for n_traits, rows in defined(points.groupby("n_traits")):
        fewest = rows[rows["n_qtl"] == rows.loc[rows["value"].notna(), "n_qtl"].min()]
        arms = defined(fewest.groupby("qtl_pairs"))
        courses = [f"{course(arm, 'genetic_correlation', 'correlation {:g}', as_percent)} with {pairs} pairs" for pairs, arm in arms]
        by_qtl = course(rows, "n_qtl", "{:,.0f} QTL", as_percent)
        parts.append(f"{n_traits:,.0f} traits: {by_qtl}; at {fewest['n_qtl'].iloc[0]:,.0f} QTL {joined(courses)}")
    return ". ".join(parts)


GAIN_BY_CORRELATION = Chart(
    relative_gain_over_ridge,
    draw_by_correlation,
    say_by_correlation,
    ("model", "n_traits", "n_qtl", "qtl_pairs", "genetic_correlation"),
    "relative gain (1 is +100%)",
)
