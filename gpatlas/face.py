"""What a notebook or a script calls: populations in memory, and models side by side."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gpatlas.data.dataset import Dataset
from gpatlas.data.own_files import SUFFIXES, importer_of
from gpatlas.data.population import Population
from gpatlas.figures.folds import fold_scores, intervals
from gpatlas.fit import check_size
from gpatlas.models.evaluation import evaluate
from gpatlas.models.registry import MODELS, Model
from gpatlas.models.settings import FitSettings
from gpatlas.progress import Progress
from gpatlas.settings import SettingsError, Size, build, nearest
from gpatlas.stages import STAGES

INTERVAL = ("pearson_r_low", "pearson_r_high")
WITHOUT_TRUTH = "r_squared"  # in the place of what only simulated traits have, so that a table is narrow
SHORT = ("model", "trait", "trait_name", "pearson_r", *INTERVAL, WITHOUT_TRUTH, "rel_aa", "v_a_over_v_g", "n_train", "n_test", "seconds")


def load(path: str | Path, **settings: Any) -> Population:
    """The population in a dataset file, as `gpatlas simulate` and the importers write it; or in genotypes of your own, as they import it.

    Genotypes are a PLINK `.bed`, `.vcf`, `.vcf.gz`, `.bcf`, or a table `.csv`, `.tsv`, `.txt`, also `.gz`; `settings` are those of a
    config's block `data`: phenotypes, the path of a table with a row per individual, and, where you have them, covariates, group_column,
    traits, min_maf, … (help(gpatlas.data.settings.OwnDataSettings)).
    Raises gpatlas.data.dataset.DatasetError, a ValueError that names file and line, where a file is not what it should be, and
    gpatlas.settings.SettingsError, a ValueError too, that names every setting which is wrong.
    """
    path = Path(path)
    if settings or path.name.lower().endswith(sum(SUFFIXES.values(), ())):
        return _made(importer_of(path), settings, path).named(str(path))
    with Dataset(path) as data:
        return data.population()


def simulate(*, genotypes: str | Path | None = None, **settings: Any) -> Population:
    """A population with additive, dominance and pairwise epistatic traits, by AlphaSimR's model; or such traits on given genotypes.

    `settings`: those of `python -m gpatlas simulate`, with '_' for '-' (n_individuals, n_loci, n_qtl, rel_aa, h2, population, seed, …; see
    help(gpatlas.data.settings.SimulateSettings)); a list will do for a tuple. With `genotypes`, the path of a dataset file, those of
    `simulate-traits` (gpatlas.data.settings.SimulateTraitsSettings). The same settings give the same population.
    Raises gpatlas.settings.SettingsError, a ValueError, that names every setting which is wrong, and what would be right.
    """
    if genotypes is None:
        return _made("simulate", settings, None).named("simulated")
    return _made("simulate-traits", settings, Path(genotypes)).named("simulated")


def _made(name: str, settings: Mapping[str, Any], source: Path | None) -> Population:
    """What a stage writes into a dataset file."""
    stage = STAGES[name]
    chosen = build(stage.settings, settings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / stage.output
        progress = _progress(name)
        stage.load()(chosen, source, path, progress)
        progress.close()
        return load(path)


def compare(
    data: Population | str | Path,
    models: str | Sequence[str] | Mapping[str, Mapping[str, Any] | None],
    protocol: str = "holdout",
    *,
    n_folds: int = 10,
    n_repeats: int = 1,
    seed: int = 1,
    every_column: bool = False,
) -> pd.DataFrame:
    """Fit models to a population and score them on individuals that they never saw: a row per model and trait.

    `data`: a population, or the path of a dataset file. `models`: names of the registry, or names with their settings, as in a
    config: {"ridge": None, "mlp": {"hidden_size": 64}}. `protocol`: 'holdout' (one test part, which every model shares and which
    is used once), 'cross_validation' (`n_folds`, `n_repeats`: every individual is predicted by a fit that never saw it, whole
    groups together), or 'paper' (the study's choices). Columns: `pearson_r` is the correlation of prediction and phenotype in the test
    part, 0 where a model found nothing and predicts one value for all; under 'cross_validation' `pearson_r_low` and `pearson_r_high`
    are its 95 % interval, corrected for the training individuals that folds share (Nadeau & Bengio 2003). `seconds`: of the fit and its
    scores. `every_column`: all that `results.csv` has.

    Raises ValueError, before any fit, for an unknown model or setting, and for a population that is too large for this machine.
    """
    population = data if isinstance(data, Population) else load(data)
    named = models if isinstance(models, Mapping) else dict.fromkeys([models] if isinstance(models, str) else models)
    chosen = _chosen(named, {"protocol": protocol, "n_folds": n_folds, "n_repeats": n_repeats, "seed": seed})
    for model, settings in chosen:
        check_size(
            model,
            settings,
            Size(population.n_individuals, population.n_loci, population.n_traits, population.genotypes.bits),
            population.name,
        )
    tables = []
    for model, settings in chosen:
        progress = _progress(model.title)
        found = evaluate(model, settings, population, progress)
        progress.close()
        table = pd.DataFrame(found.rows)
        tables.append(_with_interval(table, found.tables["predictions"]) if protocol == "cross_validation" else table)
    table = pd.concat(tables, ignore_index=True)
    left_out = WITHOUT_TRUTH if population.effects else None
    return table if every_column else table[[name for name in SHORT if name in table and name != left_out]]


def _with_interval(table: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """With the interval of r over folds around the r of all predictions, as the figure `prediction` has it."""
    of_folds = intervals(fold_scores(predictions.assign(scenario="")), "pearson_r")
    half = table.merge(of_folds, on=["model", "trait"], how="left")["half"]
    low, high = (table["pearson_r"] - half).clip(lower=-1.0), (table["pearson_r"] + half).clip(upper=1.0)
    return table.assign(**dict(zip(INTERVAL, (low, high), strict=True)))


def _chosen(models: Mapping[str, Mapping[str, Any] | None], shared: Mapping[str, Any]) -> list[tuple[Model, FitSettings]]:
    if not models:
        raise ValueError("models: names at least one" + nearest("", list(MODELS)))
    for name in (name for name in models if name not in MODELS):
        raise ValueError(f"models: unknown model {name!r}" + nearest(str(name), list(MODELS)))
    chosen = []
    for name, own in models.items():
        if own is not None and not isinstance(own, Mapping):
            raise ValueError(f"{name}: settings are names and values, as {{'n_penalties': 20}}, got {own!r}")
        for key in shared.keys() & (own or {}):
            raise ValueError(f"{name}.{key}: is said once for all models, compare(…, {key}=…)")
        try:
            chosen.append((MODELS[name], build(MODELS[name].settings, {**shared, **(own or {})})))
        except SettingsError as error:
            raise SettingsError([(f"{name}.{key}" if key else name, message) for key, message in error.faults]) from None
    return chosen


def _progress(label: str) -> Progress:
    """A bar for a person, at a terminal or in a notebook; else nothing."""
    return Progress(label, lines=False)
