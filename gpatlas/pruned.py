"""Feature selection: an SGD lasso ranks the one-hot columns, then a linear model and a tuned perceptron use the best of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from torch import nn

from gpatlas.dataset import Dataset, FloatArray
from gpatlas.evaluation import Fitted, Part, beside, ordered_split, run_fits, write_table
from gpatlas.networks import Recipe, Steps, Trained, mlp_recipe, set_threads, silent, train_recipe
from gpatlas.progress import Progress
from gpatlas.settings import NeuralSettings, PrunedSettings
from gpatlas.steps import Columns, sgd_step, shrink_weights
from gpatlas.tuning import as_steps, choose, suggest_rate


def run(settings: PrunedSettings, source: Path, out: Path, progress: Progress) -> None:
    """Three models in one table: lasso, pruned_linear, pruned_mlp; also `<out>.trials.csv` and `<out>.columns.csv`."""
    set_threads(settings, progress)
    with Dataset(source) as data:
        causal = data.effects().additive != 0  # (n_loci, T)

        def fit(train: Part, validation: Part, settings: PrunedSettings, progress: Progress) -> dict[str, Fitted]:
            models, kept, trials = fit_pruned(train, validation, settings, progress)
            trials.to_csv(beside(out, "trials"), index=False)
            describe(kept, causal).to_csv(beside(out, "columns"), index=False)
            found = {"n_columns": len(kept), "causal_found": share_of_causal(kept.index.to_numpy(), causal)}
            return {name: replace(fitted, columns={**fitted.columns, **found}) for name, fitted in models.items()}

        table = run_fits(fit, ordered_split(data.n_individuals, settings), settings, data, progress)
    write_table(table, out)


def fit_pruned(
    train: Part, validation: Part, settings: PrunedSettings, progress: Progress
) -> tuple[dict[str, Fitted], "pd.Series[float]", pd.DataFrame]:
    """The three models, the importance of the kept columns by their number (2·locus + allele), and the table of trials.

    The lasso is fitted once; a trial only chooses how many of its columns a perceptron sees, and the learning rate.
    """
    lasso = train_lasso(train, validation, settings, None)
    ranked = rank(importance(lasso), settings.min_importance)

    def with_candidate(candidate: tuple[int, float], steps: Steps) -> Trained[nn.Module]:
        n_columns, rate = candidate
        chosen = settings.model_copy(update={"learning_rate": rate})
        return train_recipe(mlp_recipe(chosen), train, validation, chosen, steps, sorted_columns(ranked, n_columns))

    def suggest(trial: optuna.Trial) -> tuple[int, float]:
        at_most = trial.suggest_int("max_columns", settings.min_columns, settings.max_columns)
        return min(at_most, len(ranked)), suggest_rate(trial, settings)

    choice = choose(suggest, lambda candidate, report: with_candidate(candidate, as_steps(report)).training.loss, settings, progress)
    kept = ranked[: choice.best[0]]
    linear = train_lasso(train, validation, settings, sorted_columns(ranked, len(kept)))
    network = with_candidate(choice.best, silent).fitted()
    progress(settings.n_trials + 1, settings.n_trials + 1)
    network = replace(network, columns={**network.columns, "learning_rate": choice.best[1]})
    return {"lasso": lasso.fitted(), "pruned_linear": linear.fitted(), "pruned_mlp": network}, kept, choice.trials


def train_lasso(train: Part, validation: Part, settings: PrunedSettings, columns: Columns | None) -> Trained[nn.Linear]:
    """A linear model by SGD with an L1 penalty on its weights, not on its bias."""
    own = NeuralSettings(
        **settings.model_dump(include={"protocol", "seed", "threads", "device", "batch_size"}),
        learning_rate=settings.lasso_learning_rate,
        epochs=settings.lasso_epochs,
        patience=settings.lasso_patience,
        min_delta=settings.lasso_min_delta,
    )
    recipe = Recipe(nn.Linear, lambda network: sgd_step(network, shrink_weights, settings.lasso_penalty))
    return train_recipe(recipe, train, validation, own, silent, columns)


def importance(lasso: Trained[nn.Linear]) -> FloatArray:
    """Largest absolute weight over traits of every input column, (2·n_loci,)."""
    return np.asarray(lasso.network.weight.detach().abs().amax(dim=0).double().cpu())


def rank(importance: FloatArray, threshold: float) -> "pd.Series[float]":
    """The columns above the threshold, the most important first. ValueError where there is none."""
    ranked = pd.Series(importance).sort_values(ascending=False, kind="stable")
    ranked = ranked[ranked > threshold]
    if ranked.empty:
        raise ValueError(
            f"min_importance: no column's lasso weight is above {threshold:g}, the largest is {importance.max():.3g}; lower it"
        )
    return ranked


def sorted_columns(ranked: "pd.Series[float]", n_columns: int) -> Columns:
    """The numbers of the first `n_columns` columns, in the order of the loci."""
    return np.sort(ranked.index.to_numpy(dtype=np.int64)[:n_columns])


def share_of_causal(columns: Columns, causal: "np.ndarray[tuple[int, int], np.dtype[np.bool_]]") -> FloatArray:
    """Of every trait's causal loci, the share that has a kept column, (T,). `causal`: (n_loci, T)."""
    kept = np.zeros(len(causal), dtype=bool)
    kept[columns // 2] = True
    share: FloatArray = (causal & kept[:, None]).sum(axis=0) / causal.sum(axis=0)
    return share


def describe(kept: "pd.Series[float]", causal: "np.ndarray[tuple[int, int], np.dtype[np.bool_]]") -> pd.DataFrame:
    """A row per kept column: locus (from 1), allele, importance, and the number of traits that it is causal for."""
    columns = kept.index.to_numpy(dtype=np.int64)
    return pd.DataFrame(
        {
            "locus": columns // 2 + 1,
            "allele": columns % 2,
            "importance": kept.to_numpy(),
            "n_traits_causal": causal[columns // 2].sum(axis=1),
        }
    )
