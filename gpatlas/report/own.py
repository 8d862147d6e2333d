"""What the page says of populations without truth: what was imported, how well each trait is predicted, by which model and loci."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gpatlas.figures.effects import effects, found_pairs, strongest
from gpatlas.figures.folds import MEASURES, TRAIT, model_differences
from gpatlas.figures.rows import Beside
from gpatlas.figures.traits import scored, with_labels
from gpatlas.figures.words import title_of
from gpatlas.report.own_published import BesidePublished, beside_published
from gpatlas.report.run_record import RunRecord, StageRecord
from gpatlas.report.tables import Table, page_table

IMPORTED = "import-"  # how the simulator of a population begins that has no truth
MOST = 20  # loci, and pairs, of each trait in a table
ADJUSTED = ["pearson_r_adjusted", "r_squared_adjusted", "covariates_r_squared"]


@dataclass(frozen=True)
class OwnSection:
    """What is said of the populations of one experiment. `verdict`: which model to pick. A table that has nothing to say is None."""

    experiment: str
    verdict: str
    scores: Table
    choices: Table | None = None
    differences: Table | None = None
    heritability: Table | None = None
    loci: Table | None = None
    pairs: Table | None = None
    published: BesidePublished | None = None


@dataclass(frozen=True)
class ImportSection:
    """What an importer said of one population."""

    folder: str
    facts: Table
    traits: Table
    warnings: tuple[str, ...]


def without_truth(table: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows of the collected table are of populations of a user's own."""
    return table["simulator"].astype(str).str.startswith(IMPORTED)


def imports(record: RunRecord) -> list[ImportSection]:
    """Of every population of a user's own, what was joined and left out."""
    return [_imported(stage) for stage in record.stages if stage.report]


def _imported(stage: StageRecord) -> ImportSection:
    report = dict(stage.report)
    warnings, traits = report.pop("warnings", []), report.pop("traits", {})
    facts = [(name.replace("_", " ").removeprefix("n "), _said(value)) for name, value in report.items() if value is not None]
    measured = pd.DataFrame({"label": list(traits), "n_individuals": list(traits.values())})
    return ImportSection(
        stage.folder,
        page_table(pd.DataFrame(facts, columns=["what", "value"]), f"{stage.folder}: what was imported and left out", heads={}),
        page_table(measured, f"{stage.folder}: individuals that have each trait"),
        tuple(map(str, warnings)),
    )


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def own_sections(table: pd.DataFrame, beside: Beside) -> list[OwnSection]:
    """A section per experiment of the rows of such populations."""
    return [_section(str(name), rows, beside) for name, rows in table.groupby("experiment", sort=False)]


def _section(experiment: str, table: pd.DataFrame, beside: Beside) -> OwnSection:
    if set(table["protocol"]) != {"cross_validation"}:
        plain = with_labels(table).assign(model=table["model"].map(title_of))
        names = ["label", "model", "protocol", *MEASURES, *ADJUSTED]
        verdict = "Intervals, differences and the model to pick need protocol cross_validation."
        return OwnSection(experiment, verdict, _table(plain.reindex(columns=names), f"{experiment}: r and R² of every model"))
    from gpatlas.figures.prediction import PREDICTION, predictive, rows_of_prediction  # with matplotlib, half of a report's start

    points = predictive(table, experiment, (), beside("predictions"))
    rows, scores = scored(table, experiment, beside("predictions"))
    shown = rows_of_prediction(points)
    adjusted = rows.reindex(columns=["label", "model", *ADJUSTED])
    named = shown.merge(adjusted, on=["label", "model"]).assign(model=lambda rows: rows["model"].map(title_of))
    return OwnSection(
        experiment,
        PREDICTION.say(points),
        _table(named, f"{experiment}: r and R² of every model, with 95% intervals"),
        _choices(experiment, rows),
        _differences(experiment, rows, scores),
        _heritability(experiment, rows),
        _loci(experiment, table, beside),
        _pairs(experiment, table, beside),
        beside_published(experiment, rows),
    )


def _table(frame: pd.DataFrame, caption: str, of: str = "results") -> Table:
    """Without columns that are empty. `of`: as `page_table` has it."""
    return page_table(frame.dropna(axis="columns", how="all"), caption, of=of)


def _choices(experiment: str, rows: pd.DataFrame) -> Table | None:
    """A row per trait: the model to pick, the best, how far they and ridge regression are apart."""
    if rows["model"].nunique() < 2:
        return None
    traits = rows.drop_duplicates("label")
    frame = traits[["label", "pick", "best", "over_pick", "over_pick_low", "over_pick_high"]].assign(
        **{name: traits[name].map(title_of, na_action="ignore") for name in ("pick", "best")}
    )
    ridge = [f"over_ridge{end}" for end in ("", "_low", "_high")]
    frame[ridge] = traits[ridge]
    frame["over_ridge_verdict"] = (traits["over_ridge_low"] > 0).map({True: "beyond noise", False: "within noise"})
    for other, columns in (("pick", [f"over_pick{end}" for end in ("", "_low", "_high")]), ("ridge", [*ridge, "over_ridge_verdict"])):
        itself = traits["best"] == (traits["pick"] if other == "pick" else other)
        frame[columns] = frame[columns].mask(itself | traits[f"over_{other}_low"].isna())
    return _table(frame, f"{experiment}: the model to pick, and how much more R² the best has")


def _differences(experiment: str, rows: pd.DataFrame, scores: pd.DataFrame) -> Table | None:
    """A row per trait and two models."""
    both = [model_differences(scores, measure).assign(measure=name) for measure, name in MEASURES.items()]
    if (frame := pd.concat(both, ignore_index=True)).empty:
        return None
    labels = rows.drop_duplicates(TRAIT)[[*TRAIT, "label"]]
    frame = labels.merge(frame, on=TRAIT).sort_values("label", kind="stable").rename(columns={"difference": "difference_of_models"})
    frame = frame.assign(
        **{name: frame[name].map(title_of) for name in ("model", "other")},
        verdict=frame["beyond_noise"].map({True: "beyond noise", False: "within noise"}),
    )
    names = ["label", "measure", "model", "other", "difference_of_models", "low", "high", "verdict"]
    return _table(frame[names], f"{experiment}: differences between models, with 95% intervals")


def _heritability(experiment: str, rows: pd.DataFrame) -> Table | None:
    if "genomic_h2" not in rows or rows["genomic_h2"].isna().all():
        return None
    frame = rows[rows["genomic_h2"].notna()].reindex(
        columns=["label", "model", "genomic_h2", "genomic_h2_se", "r_squared", "r_squared_adjusted"]
    )
    return _table(frame.assign(model=frame["model"].map(title_of)), f"{experiment}: genomic heritability by the model's kernel")


def _loci(experiment: str, table: pd.DataFrame, beside: Beside) -> Table | None:
    if beside("loci").empty or not (beside("loci")["experiment"] == experiment).any():
        return None
    found = strongest(effects(table, experiment, beside("predictions"), beside("loci")), MOST)
    names = ["label", "model", "id", "chromosome", "position", "counted_allele", "other_allele", "effect", "effect_sd"]
    return _table(_by_label(found, names), f"{experiment}: the {MOST} largest effects of each trait", of="loci")


def _pairs(experiment: str, table: pd.DataFrame, beside: Beside) -> Table | None:
    found = found_pairs(table, experiment, beside("pairs"))
    if found.empty:
        return None
    labels = with_labels(table).drop_duplicates(TRAIT)[[*TRAIT, "label"]]
    first = found.groupby(TRAIT, sort=False).head(MOST).merge(labels, on=TRAIT)
    ends = [f"{name}_{end}" for end in (1, 2) for name in ("id", "chromosome", "position")]
    return _table(
        _by_label(first, ["label", *ends, "found", "n_fits", "effect"]),
        f"{experiment}: the {MOST} pairs of each trait found most",
        of="pairs",
    )


def _by_label(found: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    frame = found[list(names)]
    return frame.assign(model=frame["model"].map(title_of)) if "model" in frame else frame
