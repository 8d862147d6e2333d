"""Feature selection: an SGD lasso ranks the one-hot columns, then a linear model and a tuned perceptron use the best of them."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from torch import nn

from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import FloatArray, Genotypes, Rows
from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.inputs import InputColumns
from gpatlas.models.linear_sgd import sgd_step, shrink_weights
from gpatlas.models.mlp import mlp_recipe, precision_of
from gpatlas.models.network_settings import PrunedSettings
from gpatlas.models.settings import NeuralSettings
from gpatlas.models.training import OnEpoch, Recipe, Trained, refit, silent, tell_machine, train_recipe
from gpatlas.models.tuning import choose, suggest_rate

Flags = npt.NDArray[np.bool_]
NO_TRIALS = pd.DataFrame(columns=["trial", "max_columns", "learning_rate", "loss", "state", "reused", "epochs"])


def fit(train: Part, validation: Part, settings: PrunedSettings, progress: FitProgress) -> dict[str, Fitted]:
    """Three models: lasso, pruned_linear and pruned_mlp; with the last, the tables `trials`, and `columns`: those kept.

    A trial only chooses how many of the lasso's columns a perceptron sees, and the learning rate. The refit lasso says which
    these are, and the other two are refit on them. Where a lasso keeps no column the pruned models predict the training median, the best
    constant under their loss, and there are no trials.
    """
    tell_machine(settings, progress, precision=precision_of(settings))
    lasso = train_lasso(train, validation, settings, None)
    ranked = rank(importance(lasso), settings.min_importance)
    if ranked.empty:
        lasso = refit(lasso_recipe(settings), lasso, train, validation)
        return without_columns(lasso, train, validation, settings, NO_TRIALS, progress)

    def with_candidate(candidate: tuple[int, float], on_epoch: OnEpoch) -> Trained[nn.Module]:
        n_columns, rate = candidate
        chosen = settings.model_copy(update={"learning_rate": rate})
        return train_recipe(mlp_recipe(chosen), train, validation, chosen, on_epoch, sorted_columns(ranked, n_columns))

    def suggest(trial: optuna.Trial) -> tuple[int, float]:
        at_most = trial.suggest_int("max_columns", settings.min_columns, settings.max_columns)
        return min(at_most, len(ranked)), suggest_rate(trial, settings)

    choice = choose(suggest, with_candidate, settings, progress)
    n_columns, rate = choice.best
    linear = train_lasso(train, validation, settings, sorted_columns(ranked, n_columns))
    lasso = refit(lasso_recipe(settings), lasso, train, validation)
    kept = rank(importance(lasso), settings.min_importance)[:n_columns]
    if kept.empty:
        return without_columns(lasso, train, validation, settings, choice.trials, progress)
    columns = sorted_columns(kept, len(kept))
    linear = refit(lasso_recipe(settings), linear, train, validation, columns=columns)
    perceptron = refit(mlp_recipe(settings), choice.trained, train, validation, columns=columns).fitted()
    progress(settings.n_trials + 1, settings.n_trials + 1)
    perceptron = replace(
        perceptron,
        columns={**perceptron.columns, "learning_rate": rate},
        tables={"trials": choice.trials, "columns": describe(kept, train.genotypes.highest + 1)},
    )
    fitted = {"lasso": lasso.fitted(), "pruned_linear": linear.fitted(), "pruned_mlp": perceptron}
    return {name: replace(one, columns={**one.columns, "n_columns": len(kept)}) for name, one in fitted.items()}


@dataclass(frozen=True)
class Constant:
    """Predicts the same `values` (T,) for everyone."""

    values: FloatArray

    def __call__(self, genotypes: Genotypes) -> FloatArray:
        return np.tile(self.values, (len(genotypes), 1))


def without_columns(
    lasso: Trained[nn.Linear], train: Part, validation: Part, settings: PrunedSettings, trials: pd.DataFrame, progress: FitProgress
) -> dict[str, Fitted]:
    """What `fit` gives where no column is kept: the same columns and tables, `columns` without rows."""
    progress.report(warning=f"min_importance: no column's lasso weight is above {settings.min_importance:g}")
    phenotypes = train.phenotypes if settings.protocol == "paper" else train.joined(validation).phenotypes
    constant = Fitted(Constant(np.median(phenotypes, axis=0)), columns={"epochs": 0})
    tables = {"trials": trials, "columns": describe(pd.Series(dtype=float), train.genotypes.highest + 1)}
    network = replace(constant, columns={"epochs": 0, "learning_rate": np.nan}, tables=tables)
    fitted = {"lasso": lasso.fitted(), "pruned_linear": constant, "pruned_mlp": network}
    return {name: replace(one, columns={**one.columns, "n_columns": 0}) for name, one in fitted.items()}


def judge(models: dict[str, Fitted], effects: Effects) -> dict[str, Fitted]:
    """With the share of the causal loci that was kept, and, of every kept column, the number of traits that it is causal for."""
    causal, table = effects.additive != 0, models["pruned_mlp"].tables["columns"]
    loci = table["locus"].to_numpy() - 1
    found = {"causal_found": share_of_causal(loci, causal)}
    judged = {name: replace(fitted, columns={**fitted.columns, **found}) for name, fitted in models.items()}
    tables = {**models["pruned_mlp"].tables, "columns": table.assign(n_traits_causal=causal[loci].sum(axis=1))}
    return {**judged, "pruned_mlp": replace(judged["pruned_mlp"], tables=tables)}


def train_lasso(train: Part, validation: Part, settings: PrunedSettings, columns: InputColumns | None) -> Trained[nn.Linear]:
    """With the lasso's own settings."""
    own = NeuralSettings(
        **settings.model_dump(include={"protocol", "seed", "threads", "device", "batch_size"}),
        learning_rate=settings.lasso_learning_rate,
        epochs=settings.lasso_epochs,
        patience=settings.lasso_patience,
        min_delta=settings.lasso_min_delta,
    )
    return train_recipe(lasso_recipe(settings), train, validation, own, silent, columns)


def lasso_recipe(settings: PrunedSettings) -> Recipe[nn.Linear]:
    """A linear model under SGD with an L1 penalty on its weights, not on its bias."""
    return Recipe(nn.Linear, lambda network: sgd_step(network, shrink_weights, settings.lasso_penalty))


def importance(lasso: Trained[nn.Linear]) -> FloatArray:
    """Largest absolute weight over traits of every input column, (2·n_loci,)."""
    return np.asarray(lasso.network.weight.detach().abs().amax(dim=0).double().cpu())


def rank(importance: FloatArray, threshold: float) -> "pd.Series[float]":
    """The columns above the threshold, the most important first."""
    ranked = pd.Series(importance).sort_values(ascending=False, kind="stable")
    return ranked[ranked > threshold]


def sorted_columns(ranked: "pd.Series[float]", n_columns: int) -> InputColumns:
    """The numbers of the first `n_columns` columns, in the order of the loci."""
    return np.sort(ranked.index.to_numpy(dtype=np.int64)[:n_columns])


def share_of_causal(loci: Rows, causal: Flags) -> FloatArray:
    """Of every trait's causal loci, the share that is among `loci` (from 0), (T,). `causal`: (n_loci, T)."""
    kept = np.zeros(len(causal), dtype=bool)
    kept[loci] = True
    share: FloatArray = (causal & kept[:, None]).sum(axis=0) / causal.sum(axis=0)
    return share


def describe(kept: "pd.Series[float]", n_counts: int) -> pd.DataFrame:
    """A row per kept column: locus (from 1), allele (how often the counted one is there, below `n_counts`), importance."""
    columns = kept.index.to_numpy(dtype=np.int64)
    return pd.DataFrame({"locus": columns // n_counts + 1, "allele": columns % n_counts, "importance": kept.to_numpy()})
