"""The figure `plan`: accuracy of every model by number of individuals, and from which number on one beats the additive models.

A panel per architecture: population, QTL, heritability and V_A/V_G; and one per trait as it was measured, of random subsamples. For each,
the number of individuals from which on the best model that is not additive has so much more r than the best additive one (ridge regression
where there is no other, see `gpatlas.figures.answers`) in such a share of the replicates as the experiment's `plan` asks for: of all such
models, the one that gets there with the fewest. Ceilings as in `gpatlas.figures.scaling`; the expectation of a linear model is that of
`gpatlas.figures.enough.expected_r`. A trait as measured has neither, for its heritability is not known.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gpatlas.figures.answers import TARGET, Answer, answers, best_of, compared_with, numbers_of, rows_of_answers
from gpatlas.figures.chart import Chart
from gpatlas.figures.enough import expected_r
from gpatlas.figures.layout import (
    CEILING,
    DASHED,
    INK,
    LINEAR_CEILING,
    MUTED,
    R_LABEL,
    Look,
    finish,
    legend,
    log_axis,
    looks_of,
    mark,
    panels,
)
from gpatlas.figures.linkage import population_title
from gpatlas.figures.registry import ADDITIVE
from gpatlas.figures.rows import as_measured, linear_share, rows_of
from gpatlas.figures.settings import PlanTarget
from gpatlas.figures.words import as_r, by_registry, name_in_text, shortened, title_of, written
from gpatlas.models.settings import split_sizes

ALIKE = ["population", "n_loci", "n_qtl", "n_pairs", "h2", "rel_aa"]  # within whose values populations differ by size and replicate alone
ADDITIVE_SHARE = 0.99  # of V_G that is linear, from which on a trait counts as additive
EXPECTED = "expectation: linear model"
MEASURED = ", as measured"
OVERLAP = "as measured: random subsamples, which overlap: their intervals are too narrow"
LONGEST = 30  # letters of a trait's name in a title
STRIP = 0.2  # below 0, where the number stands, in parts of the axis above
BESIDE: dict[str, Any] = {"fontsize": 9.5, "ha": "center", "va": "center", "linespacing": 1.3, "zorder": 5}


def accuracy_by_size(table: pd.DataFrame, experiment: str, further_models: Sequence[str]) -> pd.DataFrame:
    """`value`: the r of every model; `label`: its architecture; `expected`: of a linear model; what the plan asks for in TARGET.

    Raises ValueError where there is no model that is not additive.
    """
    defaults = {
        "population": "unlinked",
        "n_pairs": np.nan,
        "m_e": np.nan,
        **dict(zip(TARGET, PlanTarget().model_dump().values(), strict=True)),
    }
    table = table.assign(**{name: value for name, value in defaults.items() if name not in table}).reset_index(drop=True)
    table = table.assign(**{name: table[name].fillna(defaults[name]) for name in ("population", *TARGET)})
    simulated = rows_of(table[~as_measured(table)], experiment, ["n_loci", "n_qtl", "h2", "v_a_over_v_g"])
    rows = rows_of(table, experiment, ["n_loci"])
    if set(rows["model"]) <= set(ADDITIVE) or "ridge" not in set(rows["model"]):
        raise ValueError(f"experiment {experiment!r} needs ridge regression and a model that is not additive")
    linear_h2 = (linear_share(simulated).astype(float) * simulated["h2"]).reindex(rows.index)
    m_e = rows["m_e"].fillna(rows["n_loci"].where(rows["population"] == "unlinked")).astype(float)  # unlinked loci are segments each
    return rows.assign(
        value=rows["pearson_r"],
        level=rows["model"].map(title_of),
        linear_h2=linear_h2,
        expected=expected_r(_n_train(rows), linear_h2, m_e),
        label=_labels(simulated).reindex(rows.index).fillna(rows.get("trait_name", "") + MEASURED),
    )


def _n_train(rows: pd.DataFrame) -> "pd.Series[float]":
    """Individuals that the last fit sees."""
    if set(rows["protocol"]) == {"cross_validation"}:
        return rows["n_individuals"] * (1 - 1 / rows["n_folds"])
    return rows["n_individuals"].map(lambda n: sum(split_sizes(int(n), "holdout")[:2]))


def _labels(rows: pd.DataFrame) -> "pd.Series[str]":
    """What the architecture of every row is called: by all that differs, heritability and V_A/V_G."""
    forms = {
        "population": population_title,
        "n_loci": "{:,.0f} loci".format,
        "n_qtl": "{:,.0f} QTL".format,
        "n_pairs": "{:,.0f} pairs".format,
    }
    names = [name for name in forms if rows[name].nunique(dropna=False) > 1]
    shares = rows.groupby(ALIKE, dropna=False)["v_a_over_v_g"].transform("mean")
    known = [rows[name].map(forms[name], na_action="ignore").fillna("") for name in names]
    known += [rows["h2"].map("heritability {:g}".format), shares.map("V_A/V_G {:.2f}".format)]
    return pd.Series([", ".join(filter(None, parts)) for parts in zip(*known, strict=True)], rows.index)


def draw_plan(points: pd.DataFrame) -> Figure:
    """A panel per architecture: means with bands from the lowest to the highest, the number of individuals marked with its interval."""
    found = answers(points)
    looks = looks_of({title_of(model): title_of(model) for model in by_registry(points["model"].unique())})
    target = found[0].target
    heading = f"Individuals it takes to gain {target.gain:g} in r over {compared_with(points)}"
    titles = [_title(answer.label) for answer in found]
    figure, (shown,) = panels(titles, heading, [("Individuals", R_LABEL)], size=(4.0, 3.7), most=3, beside=2.4)
    log_axis(shown[0], points["n_individuals"], [])
    for axes in shown[1:]:
        axes.sharex(shown[0])
    low = min(0.0, points["value"].min())
    shown[0].set_ylim(low - STRIP * (1 - low), 1.03)
    shown[0].set_yticks([tick / 5 for tick in range(int(5 * low), 6)])
    for axes, answer in zip(shown, found, strict=True):
        part = points[points["label"] == answer.label]
        _bands(axes, part, looks)
        _lines(axes, part)
        _number(axes, answer)
    marks = [(look.label, mark(look, linewidth=1.8)) for look in looks.values()]
    lines = {"ceiling: any model": CEILING, "ceiling: linear model": LINEAR_CEILING, EXPECTED: DASHED}
    legend(figure, [*marks, *((label, Line2D([], [], **style)) for label, style in lines.items())], "Model", below=False)
    figure.legends[0].set_alignment("left")
    rule = f"number: from here on the model named gains {target.gain:g} in {target.power:.0%} of replicates, shaded: 95% interval"
    notes = [*best_of(points), "expectation: Daetwyler et al. 2010", *([OVERLAP] if as_measured(points).any() else [])]
    return finish(figure, points, ["label", "n_individuals"], "lines: means, bands: lowest to highest", rule, *notes)


def _title(label: str) -> str:
    """Of a panel; a name may hold what is mathematics to matplotlib."""
    if label.endswith(MEASURED):
        return shortened(label.removesuffix(MEASURED), LONGEST).replace("$", r"\$") + MEASURED
    return label.replace("V_A/V_G", "$V_A/V_G$")


def _bands(axes: Axes, points: pd.DataFrame, looks: dict[Any, Look]) -> None:
    for place, (level, look) in enumerate(looks.items()):
        of_size = points[(points["level"] == level) & points["value"].notna()].groupby("n_individuals")["value"].agg(["mean", "min", "max"])
        if of_size.empty:
            continue
        axes.fill_between(of_size.index, of_size["min"], of_size["max"], color=look.colour, alpha=0.15, linewidth=0, zorder=1)
        style = {"color": look.colour, "marker": look.marker, "markeredgecolor": "white", "markersize": 6.5, "linewidth": 1.8}
        axes.plot(of_size.index, of_size["mean"], label=look.label, zorder=3 + place / 10, **style)


def _lines(axes: Axes, points: pd.DataFrame) -> None:
    """Ceilings and expectation, from the means of the populations, where they are known."""
    lines = points.assign(any_model=points["h2"] ** 0.5, linear_model=points["linear_h2"] ** 0.5)
    means = lines.groupby("n_individuals")[["any_model", "linear_model", "expected"]].mean()
    styles = {"ceiling: any model": CEILING, "ceiling: linear model": LINEAR_CEILING, EXPECTED: {**DASHED, "linewidth": 1.4, "zorder": 2.6}}
    for (label, style), name in zip(styles.items(), means, strict=True):
        if means[name].notna().any():
            axes.plot(means.index, means[name], label=label, **style)


def _number(axes: Axes, answer: Answer) -> None:
    """The number of individuals, with its interval as far as the axis goes."""
    left, right = axes.get_xlim()
    height = STRIP / 2 / (1 + STRIP)
    axes.fill_between([0, 1], 2 * height, transform=axes.transAxes, color="#f2f2f2", linewidth=0, zorder=0)
    if not answer.found:
        text = f"more than {answer.most:,},\nif any do"
        axes.text(0.5, height, text, transform=axes.transAxes, color=MUTED, label="number", **BESIDE)
        return
    n, low, high = np.clip((answer.enough.n, answer.enough.low, answer.enough.high), left, right)
    axes.axvspan(low, high, 2 * height, color="#d9822b", alpha=0.18, linewidth=0, zorder=0.5)
    axes.axvline(n, 2 * height, color="#b5482f", linewidth=1.6, zorder=2.8, label="number")
    place = float(np.clip((np.log(n / left)) / np.log(right / left), 0.3, 0.7))
    text = f"{numbers_of(answer)}\n{name_in_text(answer.model)}"
    axes.text(place, height, text, transform=axes.transAxes, color=INK, **BESIDE)


def say_plan(points: pd.DataFrame) -> str:
    """The number for every architecture and trait, and how far ridge regression is from what is expected of it where all is additive."""
    found = answers(points)
    target, parts = found[0].target, [f"{_said(answer)} for {answer.label}" for answer in found]
    takes = f"Individuals it takes to gain {target.gain:g} in r over {compared_with(points)} in {target.power:.0%} of replicates"
    notes = [*best_of(points), *([OVERLAP] if as_measured(points).any() else [])]
    said = " ".join([f"{takes}, with 95% intervals: {'; '.join(parts)}.", *(f"{note[0].upper()}{note[1:]}." for note in notes)])
    ridge = points[(points["model"] == "ridge") & (points["linear_h2"] >= ADDITIVE_SHARE * points["h2"]) & points["expected"].notna()]
    if len(ridge):
        means = ridge.groupby(["label", "n_individuals"])[["value", "expected"]].mean()
        away = float((means["value"] - means["expected"]).abs().max())
        where = f"at most {as_r(away)} from its expectation (Daetwyler et al. 2010)"
        said += f" Where all is additive, mean r of ridge regression lies {where}."
    return said


def _said(answer: Answer) -> str:
    if answer.found:
        return f"{numbers_of(answer)} by {name_in_text(answer.model)}"
    return f"more than {answer.most:,}, if any do ({name_in_text(answer.model)} gains {written(answer.gain, '+.3f')} there)"


BY = ("label", "level", "n_individuals")
PLANNED = Chart(accuracy_by_size, draw_plan, say_plan, BY, "r", answers=rows_of_answers)
