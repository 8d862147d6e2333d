"""What a notebook or a script calls: populations in memory, and models side by side."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gpatlas.data.dataset import Dataset
from gpatlas.data.population import Population
from gpatlas.fit import check_size
from gpatlas.models.evaluation import evaluate
from gpatlas.models.registry import MODELS, Model
from gpatlas.models.settings import FitSettings
from gpatlas.progress import Progress
from gpatlas.settings import SettingsError, Size, build, nearest
from gpatlas.stages import STAGES

WITHOUT_TRUTH = ("r_squared", "r_squared_sd")  # in the place of what only simulated traits have, so that a table is narrow
SCORES = ("pearson_r", "pearson_r_sd", *WITHOUT_TRUTH)
SHORT = ("model", "trait", "trait_name", *SCORES, "rel_aa", "v_a_over_v_g", "n_train", "n_test", "seconds")


def load(path: str | Path) -> Population:
    """The population in a dataset file, as `python -m gpatlas simulate` and the importers write it.

    Raises gpatlas.data.dataset.DatasetError, a ValueError that names the file, where it is not one.
    """
    with Dataset(Path(path)) as data:
        return data.population()


def simulate(*, genotypes: str | Path | None = None, **settings: Any) -> Population:
    """A population with additive, dominance and pairwise epistatic traits, by AlphaSimR's model; or such traits on given genotypes.

    `settings`: those of `python -m gpatlas simulate`, with '_' for '-' (n_individuals, n_loci, n_qtl, rel_aa, h2, population, seed, …; see
    help(gpatlas.data.settings.SimulateSettings)); a list will do for a tuple. With `genotypes`, the path of a dataset file, those of
    `simulate-traits` (gpatlas.data.settings.SimulateTraitsSettings). The same settings give the same population.
    Raises gpatlas.settings.SettingsError, a ValueError, that names every setting which is wrong, and what would be right.
    """
    stage = STAGES["simulate" if genotypes is None else "simulate-traits"]
    chosen = build(stage.settings, settings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "simulated.h5"
        progress = _progress(stage.name)
        stage.load()(chosen, None if genotypes is None else Path(genotypes), path, progress)
        progress.close()
        population = load(path)
    return population.named("simulated")


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
    part, 0 where a model found nothing and predicts one value for all; `seconds` those of the fit and its scores; `every_column`:
    all that `results.csv` has.

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
    rows = []
    for model, settings in chosen:
        progress = _progress(model.title)
        rows += evaluate(model, settings, population, progress).rows
        progress.close()
    table = pd.DataFrame(rows)
    left_out = WITHOUT_TRUTH if population.effects else ()
    return table if every_column else table[[name for name in SHORT if name in table and name not in left_out]]


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
