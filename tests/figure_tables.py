"""Collected tables with likely r, figures drawn of them, and what is to be seen there."""

import io
import itertools
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from gpatlas.data.settings import n_qtl_for
from gpatlas.figures.draw import draw
from gpatlas.figures.registry import FIGURES

FloatArray = npt.NDArray[np.float64]
REL_AA = (0.0, 0.1, 0.5, 1.0, 3.0)
SCALING = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 4.0, 7.0, 12.0, 20.0)
LOCI = (100, 250, 500, 750, 1000, 2500, 5000, 10_000)
OWN, SHARED = (0.0, True), (0.0, False)
ARMS = (OWN, (0.25, False), (0.5, False), (0.75, False), (0.95, False))
POPULATION = ["scenario", "replicate", "trait"]
STUDY = [name for name, entry in FIGURES.items() if entry.populations == "simulated"]


def scaling_table(replicates: int, counts: dict[int, list[int]], rel_aa: tuple[float, ...] = REL_AA) -> pd.DataFrame:
    """The collected table of a scaling experiment, with likely r; `counts`: n_individuals to its QTL counts."""
    random = np.random.default_rng(1)
    sizes = [(n, n_qtl) for n, of_size in counts.items() for n_qtl in of_size]
    grid = itertools.product(sizes, range(1, replicates + 1), enumerate(rel_aa, 1))
    rows = pd.DataFrame(
        [(n, n_qtl, replicate, trait, rel) for (n, n_qtl), replicate, (trait, rel) in grid],
        columns=["n_individuals", "n_qtl", "replicate", "trait", "rel_aa"],
    )
    n, n_qtl = rows["n_individuals"], rows["n_qtl"]
    additive, epistatic = random.chisquare(n_qtl), 4 * rows["rel_aa"] * random.chisquare(n_qtl // 2)
    share = additive / (additive + epistatic)
    learned = 1 / (1 + (n_qtl * (n_qtl - 1) / 5 / n) ** 2)
    linear = (share * 0.999 / (1 + 0.2 * n_qtl / n / share)) ** 0.5
    mlp = ((share + (1 - share) * learned) * 0.999) ** 0.5 * (0.95 + 0.05 * learned)
    rows = rows.assign(
        experiment="scaling", n_loci=n_qtl, n_traits=5, n_trait_groups=5, h2=0.999, genetic_correlation=0.0, protocol="paper"
    )
    rows = rows.assign(simulator="native", v_a=share, v_aa=1 - share, v_a_over_v_g=share)
    rows["scenario"] = [f"qhaplo_{q}qtl_{i}n_rep{r}" for q, i, r in zip(n_qtl, n, rows["replicate"], strict=True)]
    fits = [
        (model, r + random.normal(size=len(rows)) * (1 - r**2) / (0.15 * n) ** 0.5) for model, r in (("mlp", mlp), ("linear_sgd", linear))
    ]
    fits.append(("ridge", fits[1][1].where(n <= 10_000) * 0.99 + 0.005))
    table = pd.concat([rows.assign(model=model, pearson_r=r.clip(upper=0.9999)) for model, r in fits], ignore_index=True)
    return table[(table["model"] != "ridge") | table["pearson_r"].notna()]


def dilution_table(replicates: int, loci: Iterable[int], rel_aa: tuple[float, ...] = (0.0, 1.0), n_qtl: int = 10) -> pd.DataFrame:
    """The collected table of a dilution experiment, with the lasso's rows too."""
    grid = itertools.product(loci, range(1, replicates + 1), enumerate(rel_aa, 1))
    names = ["n_loci", "replicate", "trait", "rel_aa"]
    rows = pd.DataFrame([(n, replicate, trait, rel) for n, replicate, (trait, rel) in grid], columns=names)
    rows = rows.assign(experiment="dilution", n_qtl=n_qtl, n_traits=len(rel_aa), n_trait_groups=len(rel_aa), h2=0.9999)
    rows["scenario"] = [f"qhaplo_{n_qtl}qtl_{n}marker_10000n_rep{r}" for n, r in zip(rows["n_loci"], rows["replicate"], strict=True)]
    epistatic = 1 - 1 / (1 + 2 * rows["rel_aa"])
    gains = {"ridge": 0.0, "mlp": epistatic / 2, "lasso": -0.2, "pruned_linear": 0.01, "pruned_mlp": epistatic / 3}
    return with_fits(rows.assign(genetic_correlation=0.0), {model: (1 - epistatic) ** 0.5 - 0.05 + gain for model, gain in gains.items()})


def pleiotropy_table(
    replicates: int, n_qtl: Iterable[int], n_traits: Iterable[int], arms: Iterable[tuple[float, bool]] = ARMS, n_individuals: int = 10_000
) -> pd.DataFrame:
    """The collected table of a pleiotropy experiment; `arms`: genetic correlation, and whether every trait has its own pairs."""
    grid = itertools.product(n_traits, n_qtl, arms, range(1, replicates + 1))
    names = ["n_traits", "n_qtl", "genetic_correlation", "n_trait_groups", "replicate", "trait"]
    values = [(m, q, r, m if own else 1, replicate, trait) for m, q, (r, own), replicate in grid for trait in range(1, m + 1)]
    rows = pd.DataFrame(values, columns=names).assign(experiment="pleiotropy", rel_aa=1.0, h2=0.999)
    labels = zip(rows["n_qtl"], rows["genetic_correlation"], rows["n_trait_groups"], rows["n_traits"], rows["replicate"], strict=True)
    rows["scenario"] = [f"qhaplo_{q}qtl_{n_individuals}n_{r:g}pleio_{m}trait_{groups}_rep{i}" for q, r, groups, m, i in labels]
    gain = 40 / rows["n_qtl"] + 0.2 * (rows["n_trait_groups"] < rows["n_traits"])
    return with_fits(rows.assign(n_loci=rows["n_qtl"]), {"ridge": 0.5, "mlp": 0.5 * (1 + gain)}).assign(n_individuals=n_individuals)


def limits_table(
    replicates: int, h2: Iterable[float], scaling: Iterable[float], sizes: Iterable[int], rel_aa: tuple[float, ...]
) -> pd.DataFrame:
    """The collected table of a limits experiment: these heritabilities at one pair per individual, these scaling values at 0.999."""
    cells = [(n, *cell) for n in sizes for cell in dict.fromkeys([*((value, 1.0) for value in h2), *((0.999, value) for value in scaling)])]
    grid = itertools.product(cells, range(1, replicates + 1), enumerate(rel_aa, 1))
    values = [(n, n_qtl_for(n, s), value, replicate, trait, rel) for (n, value, s), replicate, (trait, rel) in grid]
    rows = pd.DataFrame(values, columns=["n_individuals", "n_qtl", "h2", "replicate", "trait", "rel_aa"])
    names = zip(rows["n_individuals"], rows["n_qtl"], rows["h2"], rows["replicate"], strict=True)
    rows = rows.assign(experiment="limits", n_loci=rows["n_qtl"], n_traits=len(rel_aa), n_trait_groups=len(rel_aa), genetic_correlation=0.0)
    rows["scenario"] = [f"qhaplo_{n_qtl}qtl_{n}n_{value}h2_rep{replicate}" for n, n_qtl, value, replicate in names]
    top, linear = rows["h2"] ** 0.5, (rows["h2"] / (1 + 2 * rows["rel_aa"])) ** 0.5
    learned = {"ridge": 0.0, "egblup": 0.6, "pairwise": (rows["h2"] - 0.2) ** 0.1, "mlp": 0.3}
    table = with_fits(rows, {model: linear + share * (top - linear) - 0.04 for model, share in learned.items()})
    found = (table["model"] == "pairwise") & (table["rel_aa"] > 0)
    measures = {
        "pair_precision": (0.5 + table["h2"] / 2).where(found),
        "pair_recall": (table["h2"] - table["replicate"] / 100).where(found),
    }
    return table.assign(n_individuals=table["scenario"].map(dict(zip(rows["scenario"], rows["n_individuals"], strict=True))), **measures)


def linkage_table(replicates: int, kinds: Iterable[str], h2: Iterable[float], n_qtl: Iterable[int], n_loci: Iterable[int]) -> pd.DataFrame:
    """The collected table of a linkage experiment of 600 individuals with 30 QTL: h2 and n_qtl at 300 loci, QTL hidden between n_loci."""
    rel_aa, models = (0.0, 1.0), {"ridge": 0.0, "egblup": 0.4, "pairwise": 0.9}
    cells = [(value, 30, 300, 0.0) for value in h2] + [(0.8, n, 300, 0.0) for n in n_qtl] + [(0.8, 30, n, 100 / n) for n in n_loci]
    grid = itertools.product(kinds, dict.fromkeys(cells), range(1, replicates + 1), enumerate(rel_aa, 1), models)
    names = ["population", "h2", "n_qtl", "n_loci", "marker_qtl_cm", "replicate", "trait", "rel_aa", "model"]
    rows = pd.DataFrame([(kind, *cell, number, *trait, model) for kind, cell, number, trait, model in grid], columns=names)
    rows = rows[(rows["population"] != "unlinked") | (rows["marker_qtl_cm"] == 0)].reset_index(drop=True)
    linked, random = rows["population"] != "unlinked", np.random.default_rng(1)
    share = np.exp(random.normal(size=len(rows)) / 50 * (rows["rel_aa"] > 0)) / (1 + 2 * rows["rel_aa"])
    lost = np.exp(-rows["marker_qtl_cm"] / 20)
    r = (rows["h2"] * lost * (share + (1 - share) * rows["model"].map(models))) ** 0.5 - 0.04 + random.normal(size=len(rows)) / 60
    found = (rows["model"] == "pairwise") & (rows["rel_aa"] > 0) & linked
    near = {cm: (1 - np.exp(-cm * rows["h2"] * lost / 4)).where(found) for cm in (1, 5, 10)}
    pairs = {f"recall_{cm}cm": values for cm, values in near.items()} | {f"precision_{cm}cm": values**0.5 for cm, values in near.items()}
    labels = zip(rows["population"], rows["h2"], rows["n_qtl"], rows["n_loci"], rows["marker_qtl_cm"], rows["replicate"], strict=True)
    rows["marker_qtl_cm"] = rows["marker_qtl_cm"].where(linked)
    rows = rows.assign(experiment="linkage", n_individuals=600, simulator="native", protocol="paper", v_a_over_v_g=share, pearson_r=r)
    return rows.assign(scenario=["_".join(map(str, label)) for label in labels], linear_r_squared=share, **pairs)


def plan_table(replicates: int, sizes: Iterable[int], h2: Iterable[float], rel_aa: tuple[float, ...], kind: str = "f2") -> pd.DataFrame:
    """The collected table of a plan with 40 segments: EG-BLUP gains with the logarithm of the individuals where there is epistasis."""
    models = ("ridge", "egblup", "pairwise")
    grid = itertools.product(h2, sizes, range(1, replicates + 1), enumerate(rel_aa, 1), models)
    names = ["h2", "n_individuals", "replicate", "trait", "rel_aa", "model"]
    rows = pd.DataFrame([(value, n, number, *trait, model) for value, n, number, trait, model in grid], columns=names)
    share, random = 1 / (1 + 2 * rows["rel_aa"]), np.random.default_rng(1)
    linear = share * rows["h2"]
    of_population = pd.Series(random.normal(size=len(rows)) / 40).groupby([rows["n_individuals"], rows["replicate"]]).transform("first")
    ridge = (linear / (1 + 40 / (0.85 * rows["n_individuals"] * linear))) ** 0.5
    gain = (1 - share) * np.log10(rows["n_individuals"] / 150) / 4 * rows["model"].map({"ridge": 0.0, "egblup": 1.0, "pairwise": 0.6})
    r = ridge + of_population + gain + random.normal(size=len(rows)) / 90 * (rows["model"] != "ridge")
    labels = zip(rows["n_individuals"], rows["h2"], rows["replicate"], strict=True)
    rows = rows.assign(experiment="plan", scenario=[f"n{n}_h{value}_rep{number}" for n, value, number in labels], population=kind, n_qtl=20)
    rows = rows.assign(n_loci=200, m_e=40.0, v_a_over_v_g=share, linear_r_squared=share, simulator="native", protocol="paper")
    return rows.assign(pearson_r=r, plan_gain=0.02, plan_power=0.8)


def measured_rows(replicates: int, sizes: Iterable[int], traits: Iterable[str]) -> pd.DataFrame:
    """Of a plan, traits as measured: EG-BLUP gains 0.06 from 150 individuals on."""
    grid = itertools.product(traits, sizes, range(1, replicates + 1), ("ridge", "egblup", "pairwise"))
    rows = pd.DataFrame(list(grid), columns=["trait_name", "n_individuals", "replicate", "model"])
    labels = zip(rows["trait_name"], rows["n_individuals"], rows["replicate"], strict=True)
    rows = rows.assign(experiment="plan", scenario=[f"{trait}_measured_{n}n_rep{number}" for trait, n, number in labels], trait=1)
    r = rows["n_individuals"] / 1000 + rows["replicate"] / 100 + 0.06 * (rows["model"] == "egblup") * (rows["n_individuals"] > 150)
    return rows.assign(n_loci=200, simulator="subsample", protocol="paper", pearson_r=r, plan_gain=0.02, plan_power=0.8)


def with_fits(rows: pd.DataFrame, models: dict[str, Any]) -> pd.DataFrame:
    """The rows once per model, with noise upon its r, and with the columns that do not vary."""
    random = np.random.default_rng(1)
    share = np.exp(random.normal(size=len(rows)) / 50 * (rows["rel_aa"] > 0)) / (1 + 2 * rows["rel_aa"])
    rows = rows.assign(n_individuals=10_000, simulator="native", protocol="paper", v_a=share, v_aa=1 - share, v_a_over_v_g=share)
    return pd.concat(
        [rows.assign(model=model, pearson_r=r + random.normal(size=len(rows)) / 50) for model, r in models.items()], ignore_index=True
    )


TABLES = ["one replicate", "one population", "imported", "study"]


@cache
def table_of(experiment: str, name: str) -> pd.DataFrame:
    """One of TABLES: 'imported' lacks what AlphaSimR's files do not say, and has more panels and uneven replicates."""
    makers = {"scaling": _scaling, "dilution": _dilution, "pleiotropy": _pleiotropy, "limits": _limits, "linkage": _linkage, "plan": _plan}
    table = makers[experiment](name)
    if name == "imported":
        return table.assign(simulator="alphasimr", rel_aa=table["rel_aa"] if experiment == "plan" else np.nan)
    return table


def _scaling(name: str) -> pd.DataFrame:
    match name:
        case "one replicate":
            return scaling_table(1, {1000: [16, 46, 202]})
        case "one population":
            return scaling_table(1, {1000: [46]}).query("trait == 1")
        case "imported":
            table = scaling_table(3, {1000: [16, 46, 202], 10_000: [46, 142]}, (*REL_AA, 6.0, 12.0))
            return table.query("n_individuals == 1000 or replicate == 1")
    return scaling_table(10, {n: [n_qtl_for(n, s) for s in SCALING] for n in (1000, 10_000, 100_000)})


def _dilution(name: str) -> pd.DataFrame:
    match name:
        case "one replicate":
            return dilution_table(1, [20, 100, 1000])
        case "one population":
            return dilution_table(1, [100])
        case "imported":
            return dilution_table(3, LOCI[:6], rel_aa=REL_AA).query("n_loci < 300 or replicate == 1")
    return dilution_table(5, LOCI, n_qtl=100)


def _pleiotropy(name: str) -> pd.DataFrame:
    match name:
        case "one replicate":
            return pleiotropy_table(1, [100, 300], [5])
        case "one population":
            return pleiotropy_table(1, [100], [2], [(0.5, False)])
        case "imported":
            table = pleiotropy_table(3, [100, 200], [2, 4, 8], [OWN, (0.5, False)]).query("n_qtl == 100 or replicate == 1")
            return table.assign(genetic_correlation=table["genetic_correlation"].where(table["n_trait_groups"] > 1))
    return pleiotropy_table(5, [100, 200, 300, 500, 1000], [10, 100], [OWN, SHARED, *ARMS[1:]])


def _limits(name: str) -> pd.DataFrame:
    match name:
        case "one replicate":
            return limits_table(1, [0.2, 0.5], [0.5, 1, 20], [1000], (0.0, 0.5, 3.0))
        case "one population":
            return limits_table(1, [0.999], [1], [1000], (3.0,))
        case "imported":
            table = limits_table(3, [0.2, 0.8], [0.5, 4], [1000, 10_000], (0.0, 0.5, 3.0))
            return table.query("n_individuals == 1000 or replicate == 1 and trait < 3")
    return limits_table(5, [0.2, 0.5, 0.8], [0.5, 1, 2, 4, 7, 12, 20], [1000], REL_AA)


def _linkage(name: str) -> pd.DataFrame:
    match name:
        case "one replicate":
            return linkage_table(1, ["unlinked", "f2"], [0.3, 0.8], [10, 60], [20, 50])
        case "one population":
            return linkage_table(1, ["f2"], [0.8], [], [])
        case "imported":
            return linkage_table(3, ["dh", "wheat"], [0.3, 0.5, 0.8], [10], [50]).query("replicate == 1 or population == 'dh'")
    return linkage_table(5, ["unlinked", "dh", "ril", "f2", "bc", "outbred"], [0.3, 0.5, 0.8, 0.999], [10, 60, 100], [20, 50, 100])


def _plan(name: str) -> pd.DataFrame:
    match name:
        case "one replicate":
            return plan_table(1, [100, 200, 400, 800], [0.5], (0.0, 1.0))
        case "one population":
            return plan_table(1, [300], [0.5], (1.0,))
        case "imported":
            return plan_table(3, [100, 200, 400], [0.3, 0.8], (0.0, 1.0, 3.0)).query("replicate == 1 or n_individuals < 300")
    return plan_table(10, [100, 200, 400, 800, 1600, 3200], [0.3, 0.7], (0.0, 1.0, 3.0))


def with_further(table: pd.DataFrame) -> pd.DataFrame:
    """With rows of EG-BLUP and of pairwise screening, somewhat and far above the MLP's."""
    mlp = table[table["model"] == "mlp"]
    further = [
        mlp.assign(model=model, pearson_r=mlp["pearson_r"] * share + 1 - share) for model, share in (("egblup", 0.8), ("pairwise", 0.1))
    ]
    return pd.concat([table, *further], ignore_index=True)


def experiment_of(figure: str) -> str:
    others = {"2": "dilution", "3": "pleiotropy", "4": "limits", "5": "limits", "linkage_pairs": "linkage"}
    return others.get(figure, figure if figure in ("linkage", "plan") else "scaling")


@cache
def drawn(figure: str, name: str) -> Figure:
    """A figure of one of TABLES, drawn once for all tests that only look at it."""
    return draw(figure, table_of(experiment_of(figure), name))


def points(axes: Axes) -> dict[str, FloatArray]:
    """Label of each set of points to its visible (x, y), sorted."""
    offsets = {str(marks.get_label()): np.ma.filled(marks.get_offsets(), np.nan) for marks in axes.collections}
    return {label: np.array(sorted(map(tuple, xy[np.isfinite(xy).all(axis=1)]))) for label, xy in offsets.items()}


def line(axes: Axes, label: str) -> Line2D:
    (found,) = (curve for curve in axes.lines if curve.get_label() == label)
    return found


def path(axes: Axes, label: str) -> tuple[FloatArray, FloatArray]:
    """x and y of the line with this label."""
    found = line(axes, label)
    return np.asarray(found.get_xdata(), dtype=float), np.asarray(found.get_ydata(), dtype=float)


def curves(axes: Axes) -> dict[str, tuple[FloatArray, FloatArray, FloatArray]]:
    """Label to x, mean, and lowest and highest (2, n) of every curve."""
    found = [container for container in axes.containers if isinstance(container, ErrorbarContainer)]
    return {str(curve.get_label()): (*np.asarray(curve.lines[0].get_data(), float), _ends(curve)) for curve in found}


def _ends(curve: ErrorbarContainer) -> FloatArray:
    return np.array([bar[:, 1] for bar in curve.lines[2][0].get_segments()]).T


def rows_of_panels(figure: Figure) -> list[list[Axes]]:
    """The panels from top to bottom, from left to right."""
    heights = sorted({round(axes.get_position().y0, 3) for axes in figure.axes}, reverse=True)
    return [[axes for axes in figure.axes if round(axes.get_position().y0, 3) == height] for height in heights]


def _seen(axes: Axes) -> list[Any]:
    """The labels of the x axis between its ends."""
    low, high = sorted(axes.get_xlim())
    ticks = [tick for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [tick.label1 for tick in ticks if tick.label1.get_text() and tick.label1.get_visible()]


class Saved:
    """Window extents at the moment a figure is drawn into its file, where a tight box moves things.

    `labels`: of what is written in the axes; `ticks`: of the labels of both axes; `columns`: left edges of the axes.
    """

    def __init__(self, figure: Figure) -> None:
        self.legend, self.footer, self.title = Bbox.null(), Bbox.null(), Bbox.null()
        self.axes: list[Bbox] = []
        self.labels: list[Bbox] = []
        self.ticks: list[Bbox] = []
        self.columns: set[int] = set()
        self.labelled_columns: set[int] = set()
        legend, paint, passes = figure.legends[0], figure.legends[0].draw, itertools.count(1)

        def note(renderer: Any) -> None:
            if next(passes) == 2:  # the first tells how tight the box is
                self._note(figure, renderer)
            paint(renderer)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(legend, "draw", note)
            figure.savefig(io.BytesIO(), format="png", dpi=100, bbox_inches="tight")
        assert next(passes) == 3

    def _note(self, figure: Figure, renderer: Any) -> None:
        self.legend, self.footer = figure.legends[0].get_window_extent(renderer), figure.texts[-1].get_window_extent(renderer)
        self.title = figure._suptitle.get_window_extent(renderer)
        self.axes = [axes.get_tightbbox(renderer) for axes in figure.axes]
        self.labels = [text.get_window_extent(renderer) for axes in figure.axes for text in axes.texts]
        ticks = [_seen(axes) for axes in figure.axes]
        heights = [[tick for tick in axes.get_yticklabels() if tick.get_text() and tick.get_visible()] for axes in figure.axes]
        within = [
            [tick for tick in of_axes if axes.viewLim.y0 <= tick.get_position()[1] <= axes.viewLim.y1]
            for axes, of_axes in zip(figure.axes, heights, strict=True)
        ]
        self.ticks = [tick.get_window_extent(renderer) for of_axes in (*ticks, *within) for tick in of_axes]
        lefts = [round(axes.get_window_extent(renderer).x0) for axes in figure.axes]
        self.columns, self.labelled_columns = set(lefts), {left for left, of_axes in zip(lefts, ticks, strict=True) if of_axes}
