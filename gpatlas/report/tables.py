"""A table of the page: heads and formats by column, the text of every cell and the number to sort it by."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from gpatlas.figures.words import written
from gpatlas.report.columns import column_of

COUNT, R, SECONDS = ",.0f", ".3f", ",.1f"
INTERVAL = {f"{name} {end}": (f"{name} {words}", R) for name in ("r", "R²") for end, words in (("low", "from"), ("high", "to"))}
HEADS: dict[str, tuple[str, str]] = {
    "level": ("of", ""),
    "enough": ("individuals it takes (95% interval)", ""),
    "most": ("most that were tried", COUNT),
    "gaining": ("share of replicates that gain enough with these", ".2f"),
    "marker_cm": ("QTL to nearest marker, cM", ".2g"),
    "h2": ("heritability", "g"),
    "share": ("V_A/V_G", ".2f"),
    "n_individuals": ("individuals", COUNT),
    "n_loci": ("loci", COUNT),
    "n_qtl": ("QTL", COUNT),
    "n_traits": ("traits", COUNT),
    "qtl_pairs": ("QTL pairs", ""),
    "qtl_pairs_per_individual": ("QTL pairs per individual", ".2f"),
    "genetic_correlation": ("genetic correlation", "g"),
    "mean": ("mean", R),
    "sd": ("sd", R),
    "fit_seconds": ("seconds of a fit", ",.2f"),
    "published": ("published", "g"),
    "ours": ("ours", R),
    "difference": ("ours − published", "+.3f"),
    "what": ("ours is", ""),
    "replicate": ("the study's replicate", COUNT),
    "seconds": ("seconds", SECONDS),
    "median": ("median seconds", SECONDS),
    "longest": ("longest, seconds", SECONDS),
    "memory": ("peak memory, MB", COUNT),
    "label": ("trait", ""),
    "trait_name": ("trait as measured", ""),
    "r": ("r", R),
    "R²": ("R²", R),
    **INTERVAL,
    "pearson_r": ("r", R),
    "r_squared": ("R²", R),
    "pearson_r_adjusted": ("r, adjusted", R),
    "r_squared_adjusted": ("R², adjusted", R),
    "covariates_r_squared": ("R² of covariates", R),
    "pick": ("pick", ""),
    "over_pick": ("best − pick", "+.3f"),
    "over_pick_low": ("from", "+.3f"),
    "over_pick_high": ("to", "+.3f"),
    "over_ridge": ("best − ridge", "+.3f"),
    "over_ridge_low": ("from", "+.3f"),
    "over_ridge_high": ("to", "+.3f"),
    "over_ridge_verdict": ("against ridge", ""),
    "other": ("other model", ""),
    "difference_of_models": ("other − model", "+.3f"),
    "value": ("value", R),
    "low": ("from", R),
    "high": ("to", R),
    "standard_error": ("standard error", R),
    "slope": ("slope", R),
    "published_broad_h2": ("H²", ".2f"),
    "published_narrow_h2": ("h²", ".2f"),
    "not_additive_h2": ("H² − h²", ".2f"),
    "additive": ("best additive model", ""),
    "of_these_r_squared": ("its R²", R),
    "other_r_squared": ("its R²", R),
    "gain": ("gain", "+.3f"),
    "single": ("our best single model", ""),
    "single_r_squared": ("its R²", R),
    "stack_r_squared": ("our stack's R²", R),
    "genomic_h2": ("heritability", R),
    "genomic_h2_se": ("standard error", R),
    "position": ("position", COUNT),
    **{f"{name}_{end}": (f"{name} {end}", form) for end in (1, 2) for name, form in (("id", ""), ("chromosome", ""), ("position", COUNT))},
    "counted_allele": ("counted allele", ""),
    "other_allele": ("other allele", ""),
    "effect": ("effect", ".4g"),
    "effect_sd": ("effect sd", ".2g"),
    "found": ("fits that find it", COUNT),
    "n_fits": ("of fits", COUNT),
}


@dataclass(frozen=True)
class Table:
    """`heads`: (text, whether numbers stand below it, what it means or ''); `rows`: of (text, number to sort by or None) a cell."""

    caption: str
    heads: list[tuple[str, bool, str]]
    rows: list[tuple[tuple[str, str | None], ...]]


def page_table(frame: pd.DataFrame, caption: str, heads: dict[str, tuple[str, str]] = HEADS, of: str | None = None) -> Table:
    """A frame as the page shows it: head and number format of a column as `heads` says, else its own name and six digits.

    An empty value is an empty cell. `of`: which of `gpatlas.report.columns.TABLES` says what its columns mean, where they have their names
    there.
    """
    shown = {name: heads.get(str(name), (str(name), ".6g")) for name in frame}
    columns = [_column(frame[name], form) for name, (_, form) in shown.items()]
    heads_of = [(head, _holds_numbers(frame[name]), _meaning(of, str(name))) for name, (head, _) in shown.items()]
    return Table(caption, heads_of, list(zip(*columns, strict=True)))


def _meaning(of: str | None, name: str) -> str:
    column = column_of(of, name) if of else None
    if column is None:
        return ""
    return f"{column.meaning} ({column.unit})" if column.unit else column.meaning


def _column(values: "pd.Series[Any]", form: str) -> list[tuple[str, str | None]]:
    if not _holds_numbers(values):
        return [("" if pd.isna(value) else str(value), None) for value in values]
    return [("", None) if pd.isna(value) else (written(value, form), f"{value:.9g}") for value in values.astype(float)]


def _holds_numbers(values: "pd.Series[Any]") -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
