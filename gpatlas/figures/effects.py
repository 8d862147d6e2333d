"""Named loci and pairs of loci: what the fits of a cross-validation agree on, in which order these lie along the genome."""

import numpy as np
import pandas as pd

from gpatlas.data.places import UNPLACED
from gpatlas.figures.folds import TRAIT
from gpatlas.figures.rows import beside_rows
from gpatlas.figures.traits import scored
from gpatlas.figures.words import natural

PLACE = ["locus", "id", "chromosome", "position"]
GAP = 0.01  # between chromosomes, in parts of the whole


def effects(table: pd.DataFrame, experiment: str, predictions: pd.DataFrame, loci: pd.DataFrame) -> pd.DataFrame:
    """A row per trait and locus: `effect`, mean over the fits, and `effect_sd` by the best model that has any, with `label` and `model`.

    `x`: along the genome, see `along`. Raises ValueError where no model has effects of loci.
    """
    found = beside_rows(loci, "loci", experiment)
    rows, _ = scored(table, experiment, predictions)
    having = rows.merge(found[[*TRAIT, "model"]].drop_duplicates(), on=[*TRAIT, "model"])
    best = having.sort_values("r_squared", ascending=False, kind="stable").drop_duplicates(TRAIT)
    named = found.drop(columns=["trait_name", "experiment"], errors="ignore")
    return along(best.merge(named, on=[*TRAIT, "model"]))


def along(points: pd.DataFrame) -> pd.DataFrame:
    """With `x`: from 0 to 1 by chromosome and position in each population, or by locus where no place is known. `chromosome` as text."""
    points = points.assign(chromosome=points["chromosome"].astype(object).fillna("").astype(str))
    parts = []
    for _, of_population in points.groupby("scenario", sort=False):
        loci = of_population.drop_duplicates("locus").set_index("locus").sort_index()
        parts.append(of_population.assign(x=of_population["locus"].map(_x(loci))))
    return pd.concat(parts, ignore_index=True) if parts else points.assign(x=np.nan)


def is_placed(points: pd.DataFrame) -> bool:
    """Whether any locus has a chromosome."""
    return not points["chromosome"].isin(UNPLACED).all()


def _x(loci: pd.DataFrame) -> "pd.Series[float]":
    """Of loci by number: chromosome after chromosome, in the order of their names, those without a place last, one after the other."""
    if not is_placed(loci):
        return pd.Series(loci.index / max(loci.index.max(), 1), loci.index)
    x, start = pd.Series(0.0, loci.index), 0.0
    unplaced = loci["chromosome"].isin(UNPLACED)
    placed = loci[~unplaced]
    span = sum(float(np.ptp(part["position"])) for _, part in placed.groupby("chromosome")) or float(len(placed))
    gap = GAP * span
    for chromosome in sorted(placed["chromosome"].unique(), key=natural):
        position = placed.loc[placed["chromosome"] == chromosome, "position"].astype(float)
        x[position.index] = start + position - position.min()
        start += float(np.ptp(position)) + gap
    if unplaced.any():
        x[unplaced] = start + 0.05 * span * np.arange(1, unplaced.sum() + 1) / unplaced.sum()
    return x / max(float(x.max()), 1.0)


def found_pairs(table: pd.DataFrame, experiment: str, pairs: pd.DataFrame) -> pd.DataFrame:
    """A row per trait and pair of loci: in how many fits it was found (`found`, of `n_fits`), its mean `effect` and `score` there.

    Pairs whose intervals overlap are one, by the name of the strongest. Those found most often first; empty where there are none.
    """
    ours = pairs[pairs["experiment"] == experiment] if len(pairs) else pairs
    if ours.empty:
        return pd.DataFrame()
    ends = [f"{name}_{end}" for end in (1, 2) for name in PLACE]
    groups = _by_the_strongest(_ordered(ours), ends).groupby([*TRAIT, "model", *ends], sort=False, dropna=False)
    counted = groups.agg(found=("split", "nunique"), effect=("effect", "mean"), score=("score", "mean")).reset_index()
    fits = table[table["experiment"] == experiment].drop_duplicates([*TRAIT, "model"])
    fits = fits.assign(n_fits=fits["n_folds"] * fits["n_repeats"])[[*TRAIT, "model", "n_fits"]]
    counted = counted.merge(fits, on=[*TRAIT, "model"])
    return counted.sort_values(["scenario", "trait", "found", "score"], ascending=[True, True, False, False], kind="stable")


def _ordered(pairs: pd.DataFrame) -> pd.DataFrame:
    """With the locus of the lower number first in every pair."""
    turned = pairs["locus_1"] > pairs["locus_2"]
    names = [*(f"{name}_{{}}" for name in PLACE), *(name for name in ("locus_{}_from", "locus_{}_to") if name.format(1) in pairs)]
    ends = {name.format(end): pairs[name.format(end)].mask(turned, pairs[name.format(3 - end)]) for end in (1, 2) for name in names}
    return pairs.assign(**ends)


def _by_the_strongest(pairs: pd.DataFrame, ends: list[str]) -> pd.DataFrame:
    """With the loci of the strongest pair of the trait whose intervals overlap with those of a pair; as they are without intervals."""
    intervals = [f"locus_{end}_{side}" for end in (1, 2) for side in ("from", "to")]
    if not set(intervals) <= set(pairs):
        return pairs
    pairs = pairs.sort_values("score", key=abs, ascending=False, kind="stable").reset_index(drop=True)
    leader = np.arange(len(pairs))
    for _, group in pairs.groupby([*TRAIT, "model"], sort=False, dropna=False):
        leaders: list[tuple[int, list[float]]] = []
        for row, (first, last, other_first, other_last) in zip(group.index, group[intervals].to_numpy().tolist(), strict=True):
            near = [place for place, at in leaders if first <= at[1] and at[0] <= last and other_first <= at[3] and at[2] <= other_last]
            leader[row] = near[0] if near else row
            if not near:
                leaders.append((row, [first, last, other_first, other_last]))
    pairs[ends] = pairs[ends].take(leader).to_numpy()
    return pairs


def strongest(points: pd.DataFrame, most: int, apart: float = 0.0) -> pd.DataFrame:
    """Of the loci of every trait, the `most` of the largest effects, the largest first; none nearer than `apart` to a larger one."""
    parts = []
    for _, of_trait in points[points["effect"].ne(0) & points["effect"].notna()].groupby("label", sort=False):
        ranked = of_trait.loc[of_trait["effect"].abs().sort_values(ascending=False, kind="stable").index]
        kept: list[int] = []
        x = ranked["x"].to_numpy(float)
        for place in range(len(ranked)):
            if len(kept) == most:
                break
            if not apart or all(abs(x[place] - x[other]) >= apart for other in kept):
                kept.append(place)
        parts.append(ranked.iloc[kept])
    return pd.concat(parts, ignore_index=True) if parts else points.iloc[:0]
