"""What the page's own view draws: of every experiment, its points, the quantities to place them by, and the measures of the fits."""

from math import isfinite
from typing import Any

import pandas as pd

from gpatlas.data.places import DISTANCES_CM
from gpatlas.figures.rows import linear_share, with_pairs_per_individual
from gpatlas.figures.words import by_registry, name_in_text, natural, title_of
from gpatlas.report.own import without_truth
from gpatlas.report.tables import HEADS

# A parameter to place points by, and whether its axis may be logarithmic. The first ones are what a study varies on purpose.
VARIED = {
    "qtl_pairs_per_individual": True,
    "n_individuals": True,
    "n_qtl": True,
    "n_loci": True,
    "n_traits": True,
    "h2": False,
    "rel_aa": False,
    "rel_dd": False,
    "genetic_correlation": False,
}
FOLLOWING = {"marker_qtl_cm": False, "linear_r_squared": False, "v_a_over_v_g": False, "m_e": True}
SHARES = ["pearson_r", "r_squared", "pearson_r_adjusted", "r_squared_adjusted", "covariates_r_squared", "effect_correlation"]
SHARES += ["genomic_h2", "pair_precision", "pair_recall", *(f"{name}_{cm}cm" for name in ("precision", "recall") for cm in DISTANCES_CM)]
COUNTS = ["n_pairs_found", "seconds"]
TITLES = {
    "linear_r_squared": "R² of the best linear model",
    "v_a_over_v_g": "V_A/V_G",
    "rel_aa": "rel_aa",
    "m_e": "effective number of segments",
    "marker_qtl_cm": HEADS["marker_cm"][0],
    "effect_correlation": "correlation of effects with the true ones",
    "genomic_h2": "genomic heritability",
    "n_pairs_found": "pairs found",
    "seconds": HEADS["fit_seconds"][0],
}
MOST_OF_ONE, MOST_OF_ALL = 10_000, 30_000  # rows of an experiment and of a page that are a point each; of more, see _means
MOST_PLACES = 60  # on an axis of names
DIGITS = 5
POPULATION = ["scenario", "replicate"]


def explorer(table: pd.DataFrame) -> dict[str, Any]:
    """Models and experiments of the collected table, which has any row, ready for JSON; None stands for no number."""
    models = by_registry(table["model"].unique())
    groups = table.groupby("experiment", sort=False)
    most = min(MOST_OF_ONE, MOST_OF_ALL // len(groups))
    experiments = [_experiment(str(name), rows, models, most) for name, rows in groups]
    return {"models": [{"title": title_of(model), "text": name_in_text(model)} for model in models], "experiments": experiments}


def _experiment(name: str, rows: pd.DataFrame, models: list[str], most: int) -> dict[str, Any]:
    """`units`: populations and their traits, what all models of these share; `rows`: a fit each, of a unit by a model."""
    own = bool(without_truth(rows).all())
    rows = with_pairs_per_individual(rows) if "n_qtl" in rows else rows
    rows = rows.assign(linear_r_squared=linear_share(rows)) if "linear_r_squared" in rows else rows
    measures = [measure for measure in (*SHARES, *COUNTS) if measure in rows and (measure == "pearson_r" or rows[measure].notna().any())]
    rows, missing = _means(rows, measures) if len(rows) > most else (rows.assign(label=_labels(rows), n_fits=1), None)
    unit = rows.groupby([*POPULATION, "label"], dropna=False, sort=False).ngroup()
    units = rows[~unit.duplicated()]
    traits, scenarios = sorted(units["label"].unique(), key=natural), list(units["scenario"].unique())
    return {
        "name": name,
        "scenarios": list(map(str, scenarios)),
        "traits": traits,
        "units": {"scenario": _places(units["scenario"], scenarios), "trait": _places(units["label"], traits)},
        "rows": {"unit": unit.tolist(), "model": _places(rows["model"], models)}
        | ({} if missing is None else {"n_fits": rows["n_fits"].tolist()}),
        "axes": _axes(units, own, {"trait": len(traits), "scenario": len(scenarios)}),
        "measures": [_measure(measure, rows, missing) for measure in measures],
    }


def _labels(rows: pd.DataFrame) -> "pd.Series[str]":
    """What a trait is called: its name as measured, or its number, with its relative epistatic variance where traits differ in that."""
    labels = "trait " + rows["trait"].astype(int).astype(str)
    labels = _with_rel_aa(labels, rows)
    return rows["trait_name"].fillna(labels).astype(str) if "trait_name" in rows else labels


def _means(rows: pd.DataFrame, measures: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Over the traits of a population that have the same parameters; and of how many fits each measure is missing."""
    varied = [name for name in VARIED if name in rows and rows[name].notna().any()]
    following = [name for name in rows if name in FOLLOWING or str(name).startswith("published_")]
    keys = [*POPULATION, *(name for name in ("population",) if name in rows), *varied, "model"]
    groups = rows.groupby(keys, dropna=False, sort=False)
    means = groups[[*measures, *following]].mean(numeric_only=True).assign(n_fits=groups.size()).reset_index()
    missing = rows[measures].isna().groupby([rows[name] for name in keys], dropna=False, sort=False).sum().reset_index(drop=True)
    n_traits = means.groupby([*POPULATION, *varied], dropna=False)["n_fits"].transform("max")
    labels = "mean of " + n_traits.astype(str) + " traits"
    return means.assign(label=_with_rel_aa(labels, means)), missing


def _with_rel_aa(labels: "pd.Series[str]", rows: pd.DataFrame) -> "pd.Series[str]":
    """The labels of the rows with their relative epistatic variance, where they differ in that."""
    if "rel_aa" not in rows or rows["rel_aa"].nunique() < 2:
        return labels
    return labels + rows["rel_aa"].map(", rel_aa {:g}".format, na_action="ignore").fillna("")


def _axes(units: pd.DataFrame, own: bool, n_names: dict[str, int]) -> list[dict[str, Any]]:
    """The quantities that vary, then the kinds of names that do; `start` marks the one to begin with."""
    published = [name for name in units if str(name).startswith("published_") and pd.api.types.is_numeric_dtype(units[name])]
    varying = [str(name) for name in (*VARIED, *FOLLOWING, *published) if name in units and units[name].nunique() > 1]
    axes: list[dict[str, Any]] = [
        {"name": name, "title": _title(name), "log": {**VARIED, **FOLLOWING}.get(name, False), "values": _numbers(units[name])}
        for name in varying
    ]
    if "population" in units and units["population"].nunique() > 1:
        axes.append({"name": "population", "title": "population", "values": units["population"].fillna("unknown").tolist()})
    axes += [{"name": name, "title": name} for name, count in n_names.items() if 1 < count <= MOST_PLACES]
    axes.append({"name": "model", "title": "model"})
    on_purpose = [] if own else [name for name in varying if name in VARIED]
    start = max(on_purpose, key=lambda name: units[name].nunique(), default="trait")
    next((axis for axis in axes if axis["name"] == start), axes[-1])["start"] = True
    return axes


def _measure(name: str, rows: pd.DataFrame, missing: pd.DataFrame | None) -> dict[str, Any]:
    some = {} if missing is None else {"missing": {str(row): int(n) for row, n in enumerate(missing[name]) if n}}
    return {"name": name, "title": _title(name), "share": name in SHARES, "values": _numbers(rows[name])} | some


def _title(name: str) -> str:
    return TITLES.get(name) or (HEADS[name][0] if name in HEADS else name.replace("_", " "))


def _places(values: "pd.Series[Any]", names: list[Any]) -> list[int]:
    return [int(place) for place in values.map({name: place for place, name in enumerate(names)})]


def _numbers(values: "pd.Series[Any]") -> list[float | None]:
    """Of few digits, as a page needs no more; whole ones as they are, None where there is no finite one."""
    return [_short(value) if isfinite(value) else None for value in values.astype(float)]


def _short(value: float) -> float:
    return int(value) if value.is_integer() else float(f"{value:.{DIGITS}g}")
