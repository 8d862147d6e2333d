"""Figure 2, dilution: the gain over ridge regression by number of loci, causal ones among others."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from gpatlas.figures.boxes import GAIN_LABEL, Gains, boxes, with_panels
from gpatlas.figures.chart import Chart
from gpatlas.figures.layout import looks_of
from gpatlas.figures.rows import models_beside, paired_each, rows_of, shares_of, with_ceiling, with_share
from gpatlas.figures.words import as_difference, by_title, course, title_of


def gain_over_ridge(table: pd.DataFrame, experiment: str, further_models: Sequence[str]) -> pd.DataFrame:
    """`value`: the r of the MLP, the pruned and further models minus that of ridge regression.

    `ceiling`: the mean over replicates of sqrt(h2), the r of a perfect model, minus the r of ridge regression.
    """
    models = models_beside(["mlp", "pruned_linear", "pruned_mlp"], further_models, "ridge")
    rows = with_share(rows_of(table, experiment, ["n_loci", "n_qtl", "h2", "v_a_over_v_g"], ["ridge", *models]))
    ridge = rows[rows["model"] == "ridge"]
    ceilings = ridge.assign(ceiling=ridge["h2"] ** 0.5 - ridge["pearson_r"])
    pairs = with_ceiling(paired_each(rows, models, "ridge"), ceilings, ["n_loci", "n_qtl", "n_individuals", "trait"])
    return pairs.assign(value=pairs["pearson_r"] - pairs["pearson_r_other"])


def draw_by_loci(points: pd.DataFrame) -> Figure:
    """A panel per number of loci; in it a group per trait, with a box per model."""
    points, titles, facts = with_panels(points, "n_loci", "n_qtl", "n_individuals")
    shares = shares_of(points)
    groups = points["trait"].map({trait: place for place, trait in enumerate(shares.index)})
    looks = looks_of({model: title_of(model) for model in points["model"].unique()})
    points = points.assign(block=GAIN_LABEL, group=groups, level=points["model"])
    gains = Gains(points, titles, [f"{share:.2f}" for share in shares], looks, facts)
    heights = pd.concat([points["value"], points["ceiling"]])
    labels = "Gain over ridge regression by number of loci", "$V_A/V_G$ of the trait"
    return boxes(gains, labels, "Model", (min(0.0, heights.min()), max(0.01, heights.max())))


def say_by_loci(points: pd.DataFrame) -> str:
    """The median at both ends of the loci for every model, of the trait with the most epistasis."""
    share = points["share"].min()
    models = by_title(points[points["share"] == share], title_of)
    courses = [f"{model} {course(rows, 'n_loci', '{:,.0f} loci', as_difference)}" for model, rows in models]
    return f"Median gain in r over ridge regression for V_A/V_G {share:.2f}: {'; '.join(courses)}."


GAIN_BY_LOCI = Chart(gain_over_ridge, draw_by_loci, say_by_loci, ("share", "n_loci", "model"), "gain in r")
