"""The figure `loci`: additive effects along the genome by the best model that has any, the strongest named, and interacting pairs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from gpatlas.data.places import UNPLACED
from gpatlas.figures.chart import Chart
from gpatlas.figures.effects import effects, found_pairs, is_placed, strongest
from gpatlas.figures.folds import TRAIT
from gpatlas.figures.layout import INK, sign
from gpatlas.figures.traits import MOST_NAMED, facts_of, some_of
from gpatlas.figures.words import joined, natural, title_of, written

MOST_PANELS, NAMED, APART = 12, 3, 0.04  # panels, named loci of each, how far these lie from each other along the x axis
MOST_PAIRS = 20  # of a panel
NAMES_ROOM, PAIRS_ROOM = 0.42, 0.45  # above and below the effects, in parts of their range
SHADES = ("#2a6f97", "#7aa6c2")
PAIR: dict[str, Any] = {"color": "#b5431f", "alpha": 0.85}
EASY = 0.5  # share of the fits in which a pair is found that the sentence tells


def effects_and_pairs(
    table: pd.DataFrame, experiment: str, further_models: Sequence[str], predictions: pd.DataFrame, loci: pd.DataFrame, pairs: pd.DataFrame
) -> pd.DataFrame:
    """A row per trait and locus (`kind`), `value`: its effect; and one per pair of loci, with `x_2`, `id_2`, `found` and `n_fits`."""
    points = effects(table, experiment, predictions, loci).assign(kind="locus")
    points["value"] = points["effect"]
    found = found_pairs(table, experiment, pairs)
    if found.empty:
        return points.assign(found=np.nan, n_fits=np.nan, id_2=None, x_2=np.nan)
    places = points.drop_duplicates([*TRAIT, "locus"])[[*TRAIT, "locus", "x", "label", "pick", "best"]]
    found = found.merge(places.add_suffix("_1").rename(columns={f"{name}_1": name for name in (*TRAIT, "label", "pick", "best")}))
    found = found.merge(places[[*TRAIT, "locus", "x"]].add_suffix("_2").rename(columns={f"{name}_2": name for name in TRAIT}))
    found = found.rename(columns={f"{name}_1": name for name in ("locus", "id", "chromosome", "position", "x")})
    return pd.concat([points, found.assign(kind="pair", value=found["effect"])], ignore_index=True)


def draw_loci(points: pd.DataFrame) -> Figure:
    """A panel per trait, of many the first by name: effects, names of the strongest above them, arcs of pairs below."""
    labels = sorted(points["label"].unique(), key=natural)
    shown = labels[:MOST_PANELS]
    n_columns = 1 if len(shown) <= 4 else 2
    n_rows = -(-len(shown) // n_columns)
    layout = ConstrainedLayoutEngine(hspace=0.03, wspace=0.03)
    figure = Figure(figsize=(9.0 if n_columns == 1 else 13.0, (2.7 if n_rows > 1 else 3.3) * n_rows + 1.3), layout=layout)
    grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes in grid[len(shown) :]:
        axes.remove()
    for axes, label in zip(grid, shown, strict=False):
        _of_trait(axes, points[points["label"] == label])
    placed = is_placed(points[points["kind"] == "locus"])
    figure.supxlabel("Chromosome, and position on it" if placed else "Locus, by its number", fontsize=10.5)
    figure.supylabel("Effect of a counted allele, in the trait's unit", fontsize=10.5)
    figure.suptitle("Additive effects and interacting pairs", x=0.01, ha="left")
    handles = [Line2D([], [], linestyle="none", marker="o", markersize=4, color=SHADES[0], label="additive effect")]
    if (points["kind"] == "pair").any():
        handles.append(Line2D([], [], linewidth=2, label="pair; wider: found in more fits", **PAIR))
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    facts = [f"{len(shown)} of {len(labels)} traits shown, the first by name"] if len(shown) < len(labels) else []
    loci = points[points["kind"] == "locus"]
    return sign(figure, [*facts_of(loci), "effects: means over the fits", f"named: the {NAMED} largest that lie apart", *facts])


def _of_trait(axes: Axes, points: pd.DataFrame) -> None:
    loci, pairs = (points[points["kind"] == kind] for kind in ("locus", "pair"))
    _chromosomes(axes, loci)
    low, high = min(0.0, loci["value"].min()), max(0.0, loci["value"].max())
    room = (high - low) or 1.0
    bottom = low - PAIRS_ROOM * room if len(pairs) else low - 0.08 * room
    axes.set(xlim=(-0.01, 1.01), ylim=(bottom, high + NAMES_ROOM * room))
    axes.axhline(0, color="#999999", linewidth=0.7, zorder=1)
    _names(axes, strongest(loci, NAMED, APART), high, NAMES_ROOM * room / (NAMED + 0.5))
    _arcs(axes, pairs.nlargest(MOST_PAIRS, "found", keep="first"), low - 0.06 * room, bottom)
    first = loci.iloc[0]
    nothing = "" if loci["value"].any() else ": no additive effect"
    axes.set_title(f"{first['label']}, by {title_of(first['model'])}{nothing}", fontsize=10)


def _chromosomes(axes: Axes, loci: pd.DataFrame) -> None:
    """The effects, in two shades by turns, and the names of the chromosomes for which there is room."""
    if not is_placed(loci):
        axes.scatter(loci["x"], loci["value"], 9, color=SHADES[0], linewidths=0, label="effects")
        highest = loci["locus"].max()
        numbers = np.unique(np.linspace(1, highest, 6).round().astype(int))
        axes.set_xticks(numbers / highest, [f"{number:,}" for number in numbers])
        return
    ticks: list[float] = []
    names: list[str] = []
    taken = -1.0
    groups = sorted(loci.groupby("chromosome"), key=lambda group: group[1]["x"].min())
    for place, (chromosome, part) in enumerate(groups):
        axes.scatter(part["x"], part["value"], 9, color=SHADES[place % 2], linewidths=0, label="effects")
        name = "?" if chromosome in UNPLACED else str(chromosome)
        middle, width = (part["x"].min() + part["x"].max()) / 2, 0.014 * len(name) * (1 if axes.bbox.width > 600 else 1.4)
        if middle - width / 2 > taken:
            ticks.append(middle)
            names.append(name)
            taken = middle + width / 2 + 0.004
    axes.set_xticks(ticks, names)
    axes.grid(visible=False, axis="x")


def _names(axes: Axes, named: pd.DataFrame, high: float, step: float) -> None:
    """The names of loci, each on a line of its own above all effects, with a thin line down to the effect."""
    right = named["x"] > 0.6
    order = pd.concat([named[~right].sort_values("x"), named[right].sort_values("x", ascending=False)])
    for place, (_, row) in enumerate(order.iterrows()):
        height = high + step * (len(order) - place)
        axes.plot([row["x"]] * 2, [row["value"], height], color="#999999", linewidth=0.6, zorder=1.2)
        side = "right" if row["x"] > 0.6 else "left"
        axes.text(row["x"], height, f" {row['id']} ", fontsize=8, color=INK, ha=side, va="center", zorder=4)


def _arcs(axes: Axes, pairs: pd.DataFrame, top: float, bottom: float) -> None:
    """A half ellipse below the effects for every pair, the wider the more fits found it."""
    angle = np.linspace(0, np.pi, 40)
    for _, row in pairs.iterrows():
        middle, half = (row["x"] + row["x_2"]) / 2, abs(row["x"] - row["x_2"]) / 2
        depth = (top - bottom) * 0.9 * min(1.0, 0.25 + 1.5 * half)
        width = 0.6 + 2.2 * row["found"] / row["n_fits"]
        axes.plot(middle - half * np.cos(angle), top - depth * np.sin(angle), linewidth=width, label="pair", **PAIR)


def place_of(row: "pd.Series[Any]", end: str = "") -> str:
    """'snp_3 (1: 3,000,000)': a locus as a sentence names it."""
    chromosome, position = str(row[f"chromosome{end}"]), row[f"position{end}"]
    return str(row[f"id{end}"]) + ("" if chromosome in UNPLACED or pd.isna(position) else f" ({chromosome}: {position:,.0f})")


def say_loci(points: pd.DataFrame) -> str:
    """Of few traits the strongest loci and the pairs that half of the fits find, else for how many traits there are such pairs."""
    loci, pairs = (points[points["kind"] == kind] for kind in ("locus", "pair"))
    often = pairs[pairs["found"] >= EASY * pairs["n_fits"]]
    if (n_traits := loci["label"].nunique()) > MOST_NAMED:
        models = loci.drop_duplicates("label")["model"].value_counts()
        by_model = joined([f"{title_of(str(model))} for {count}" for model, count in models.items()])
        having = often["label"].drop_duplicates()
        told = f": {some_of(having)}" if len(having) else ""
        return f"Effects of {n_traits} traits, by {by_model}. Half or more of the fits find a pair for {len(having)} traits{told}."
    named = strongest(loci, NAMED, APART)
    return " ".join(_say_trait(str(label), rows, named, often) for label, rows in loci.groupby("label", sort=False))


def _say_trait(label: str, loci: pd.DataFrame, named: pd.DataFrame, often: pd.DataFrame) -> str:
    strong = [f"{place_of(row)} {written(row['effect'], '+.2g')}" for _, row in named[named["label"] == label].iterrows()]
    text = f"{label}, by {title_of(loci['model'].iloc[0])}: " + (f"largest effects {joined(strong)}" if strong else "no additive effect")
    found = often[often["label"] == label].head(NAMED)
    pairs = [f"{place_of(row)} with {place_of(row, '_2')} in {row['found']:.0f} of {row['n_fits']:.0f} fits" for _, row in found.iterrows()]
    return text + (f"; pairs {joined(pairs)}." if pairs else ".")


def rows_of_loci(points: pd.DataFrame) -> pd.DataFrame:
    """The named loci of every trait."""
    named = strongest(points[points["kind"] == "locus"], NAMED, APART)
    columns = ["label", "model", "id", "chromosome", "position", "counted_allele", "effect", "effect_sd"]
    return named[columns]


EFFECTS = Chart(effects_and_pairs, draw_loci, say_loci, ("label", "id"), "the named loci", rows_of_loci)
