"""The figures of the experiment `linkage`: every model in populations of several kinds, and the pairs of loci that are found in them.

A column of panels per kind of population, three rows: against heritability, against QTL pairs per individual, and against the mean distance
of a QTL to the nearest marker. Of the traits, the one with the most epistasis is drawn. Ceilings as in `gpatlas.figures.scaling`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpatlas.data.places import DISTANCES_CM
from gpatlas.figures.chart import Chart
from gpatlas.figures.layout import R_LABEL, Look, finish, label_x, log_axis, looks_of, panels
from gpatlas.figures.limits import PICK, draw_models, draw_shares
from gpatlas.figures.rows import rows_of, with_pairs_per_individual, with_share
from gpatlas.figures.words import as_r, defined, joined, listed, name_in_text, title_of

POPULATIONS = {
    "unlinked": "unlinked haploids",
    "dh": "doubled haploids",
    "ril": "inbred lines",
    "f2": "F2",
    "bc": "backcross",
    "outbred": "outbred",
}
COLUMNS = ["population", "n_loci", "n_qtl", "h2", "v_a_over_v_g"]
CELL = ["population", "n_individuals", "n_loci", "n_qtl", "h2"]
ROWS = {"h2": "Heritability", "qtl_pairs_per_individual": "QTL pairs per individual", "marker_cm": "QTL to nearest marker, cM"}
SAID = {"h2": "heritability {}", "n_qtl": "{} QTL", "n_loci": "{} loci"}


def population_title(population: str) -> str:
    """What a kind of population is called; one that the simulator does not know has its own name."""
    return POPULATIONS.get(population, population)


def by_population(table: pd.DataFrame, experiment: str, models: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """The rows of an experiment with what the panels need: `share`, `qtl_pairs_per_individual` and, of linked populations, `marker_cm`."""
    if "population" in table:  # the study's own kind does not say it
        table = table.assign(population=table["population"].fillna("unlinked"))
    rows = with_pairs_per_individual(with_share(rows_of(table, experiment, [*COLUMNS, *columns], models)))
    distances = rows.get("marker_qtl_cm", pd.Series(float("nan"), rows.index)).astype(float)
    density = [rows["population"], rows["n_loci"], rows["n_qtl"], distances > 0]
    return rows.assign(marker_cm=distances.groupby(density).transform("mean"), hidden=distances > 0)


def accuracy_by_population(table: pd.DataFrame, experiment: str, further_models: Sequence[str]) -> pd.DataFrame:
    """`value`: the r of every model that the experiment has any r of; `level`: its title."""
    rows = by_population(table, experiment, (), ())
    return rows.assign(value=rows["pearson_r"], level=rows["model"].map(title_of))


def pairs_within(table: pd.DataFrame, experiment: str, further_models: Sequence[str]) -> pd.DataFrame:
    """`value`: precision and recall of pairwise screening within DISTANCES_CM, as `level` says, where populations are linked."""
    names = {f"{measure}_{cm}cm": f"{measure} within {cm} cM" for measure in ("recall", "precision") for cm in DISTANCES_CM}
    rows = by_population(table, experiment, ["pairwise"], list(names))
    rows = rows[rows[list(names)].notna().any(axis=1)]
    if rows.empty:
        raise ValueError(f"every one of {listed(names)} is empty of model 'pairwise' in experiment {experiment!r}")
    return pd.concat([rows.assign(level=level, value=rows[name]) for name, level in names.items()], ignore_index=True)


@dataclass(frozen=True)
class Slice:
    """The points along one quantity, the column `x`, where all else is the same; what its axis says."""

    points: pd.DataFrame
    x: str
    xlabel: str


def slices_of(points: pd.DataFrame) -> list[Slice]:
    """Of the trait with the most epistasis, along each of ROWS that varies: in every population the points with the most values of it."""
    points = points[points["share"] == points["share"].min()]
    slices = []
    for x, label in ROWS.items():
        varied = {"h2": {"h2"}, "qtl_pairs_per_individual": {"n_qtl"}, "marker_cm": {"n_loci", "hidden"}}[x]
        fixed = [name for name in ("n_individuals", "n_loci", "hidden", "n_qtl", "h2") if name not in varied]
        longest = [_longest(part, fixed, x) for _, part in points[points[x].notna()].groupby("population", sort=False)]
        if longest:
            found = pd.concat(longest)
            said = [form.format(_values(found[name])) for name, form in SAID.items() if name in fixed]
            slices.append(Slice(found, x, f"{label}\n({', '.join(said)})"))
    return [part for part in slices if part.points[part.x].nunique() > 1] or slices[:1]


def _longest(points: pd.DataFrame, fixed: list[str], x: str) -> pd.DataFrame:
    """Those with the values of the columns `fixed` that go with the most of `x`; of equals the last."""
    counts = points.groupby(fixed)[x].nunique()
    values: Any = counts.iloc[::-1].idxmax()
    return points[(points[fixed] == pd.Series(values, fixed)).all(axis=1)]


def _values(values: "pd.Series[float]") -> str:
    return " to ".join(f"{value:g}" for value in sorted({values.min(), values.max()}))


def draw_accuracy_by_population(points: pd.DataFrame) -> Figure:
    """The r of every model with the ceilings; below, the model to pick, as in figure 4."""
    figure, shown = _panels(points, "Accuracy in populations of several kinds", R_LABEL)
    draw_models(points, figure, shown)
    return finish(figure, points, CELL, _trait(points), "lines: means, bars: lowest to highest", PICK)


def draw_pairs_within(points: pd.DataFrame) -> Figure:
    """Precision and recall: a colour per distance, recall filled, precision open."""
    shades = looks_of(dict.fromkeys(DISTANCES_CM, ""))
    looks = {
        level: Look(level, shades[cm].colour, marker, measure == "precision")
        for measure, marker in (("recall", "o"), ("precision", "s"))
        for cm in DISTANCES_CM
        if (level := f"{measure} within {cm} cM") in set(points["level"])
    }
    figure, shown = _panels(points, "Pairs found by pairwise screening", "Share of pairs")
    lost = draw_shares(points, figure, shown, looks)
    meaning = "precision: found pairs that are true, recall: true pairs that are found, both loci within so many cM"
    return finish(figure, points, CELL, _trait(points), "lines: means, bars: lowest to highest", meaning, *lost)


def _trait(points: pd.DataFrame) -> str:
    return f"trait with the most epistasis: V_A/V_G {points['share'].min():.2f} in the mean"


def _panels(points: pd.DataFrame, heading: str, ylabel: str) -> tuple[Figure, list[tuple[Axes, pd.DataFrame, str]]]:
    """A row of panels per slice, one per population: the axes, what they show, and against what."""
    slices = slices_of(points)
    there = points["population"].unique()
    populations = [*(name for name in POPULATIONS if name in there), *sorted(name for name in there if name not in POPULATIONS)]
    size = (max(2.3, 9.0 / len(populations)), 2.9)
    titles = [population_title(name) for name in populations]
    figure, rows = panels(titles, heading, [(part.xlabel, ylabel) for part in slices], size, len(titles), beside=2.2)
    shown = []
    for part, row in zip(slices, rows, strict=True):
        _axis(row[0], part)
        for population, axes in zip(populations, row, strict=True):
            ours = part.points[part.points["population"] == population]
            if ours.empty:
                axes.text(0.5, 0.5, "no chromosomes", transform=axes.transAxes, ha="center", va="center", fontsize=9.5)
            else:
                shown.append((axes, ours, part.x))
    return figure, shown


def _axis(axes: Axes, part: Slice) -> None:
    """Limits and ticks of the x axis of a row."""
    values = part.points[part.x] if part.x == "h2" else part.points[part.x].map("{:.2g}".format).astype(float)
    if part.x == "qtl_pairs_per_individual":
        log_axis(axes, values, [])
        return
    high = 1.05 if part.x == "h2" else 1.1 * max(values.max(), 0.1)
    low = 0.0 if part.x == "h2" else -0.06 * high
    ticks = sorted(values.unique())
    axes.set_xlim(low, high)
    label_x(axes, ticks, [(tick - low) / (high - low) for tick in ticks])


def say_linkage(points: pd.DataFrame) -> str:
    """By population: the mean r of the best model, and of ridge regression, at both ends of the heritability."""
    by_h2 = slices_of(points)[0].points
    ends = sorted({by_h2["h2"].min(), by_h2["h2"].max()})
    parts = []
    for population, rows in defined(by_h2.groupby("population", sort=False)):
        best = [_best(rows[rows["h2"] == h2]) for h2 in ends if (rows["h2"] == h2).any()]
        parts.append(f"{population_title(str(population))} {joined(best)}")
    where = joined([f"{h2:g}" for h2 in ends])
    return f"Mean r of the best model at heritability {where}, that of ridge regression in parentheses: {'; '.join(parts)}."


def _best(rows: pd.DataFrame) -> str:
    means = rows.groupby("model")["value"].mean()
    best = str(means.idxmax())
    beside = f" ({as_r(means['ridge'])})" if "ridge" in means and best != "ridge" else ""
    return f"{as_r(means[best])} by {name_in_text(best)}{beside}"


def say_pairs_within(points: pd.DataFrame) -> str:
    """Means over populations at the highest heritability, by distance."""
    by_h2 = slices_of(points)[0].points
    top = by_h2[by_h2["h2"] == by_h2["h2"].max()]
    means = [f"{level} {as_r(rows['value'].mean())}" for level, rows in defined(top.groupby("level", sort=False))]
    return f"Pairwise screening at heritability {by_h2['h2'].max():g}, mean over populations: {joined(means)}."


BY: Any = ("level", "population", "share", "n_individuals", "h2", "qtl_pairs_per_individual", "n_loci", "marker_cm")
ACCURACY_BY_POPULATION = Chart(accuracy_by_population, draw_accuracy_by_population, say_linkage, BY, "r")
PAIRS_WITHIN = Chart(pairs_within, draw_pairs_within, say_pairs_within, BY, "share of pairs")
