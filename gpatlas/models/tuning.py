"""Choice of settings by trial: Optuna's TPE sampler, seeded, on the loss of each trial's best epoch."""

import math
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

import optuna
import pandas as pd

from gpatlas.models.contract import FitProgress
from gpatlas.models.settings import TuningSettings
from gpatlas.models.training import Diverged, N, OnEpoch, Trained

C = TypeVar("C", bound=Hashable)  # a candidate
STARTUP_TRIALS, WARMUP_EPOCHS = 2, 5


@dataclass(frozen=True)
class Choice(Generic[C, N]):
    """The best candidate, what its trial trained, and a row per trial: trial, its parameters, loss, epochs, state (COMPLETE or PRUNED),
    reused."""

    best: C
    trained: Trained[N]
    trials: pd.DataFrame


def choose(
    suggest: Callable[[optuna.Trial], C], train: Callable[[C, OnEpoch], Trained[N]], settings: TuningSettings, progress: FitProgress
) -> Choice[C, N]:
    """Run `n_trials` trials and return the candidate with the smallest loss.

    `suggest` draws a candidate from a trial; `train` fits it, reporting every epoch. Training is
    seeded, so a candidate that was trained before would give the same: with `reuse_trials` it is not trained again.
    With `prune_trials` a trial whose loss is above the median of the earlier ones at the same epoch is given up. The
    study lives in memory: a stage that is killed leaves none behind, and starts over. A trial that diverges counts as
    given up; Diverged is raised where all do.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # a fault of a trial is told by whoever catches it
    pruner = optuna.pruners.MedianPruner(STARTUP_TRIALS, WARMUP_EPOCHS) if settings.prune_trials else optuna.pruners.NopPruner()
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=settings.seed), pruner=pruner)
    known: dict[C, float | None] = {}
    best: list[tuple[C, Trained[N]]] = []  # the one so far

    def objective(trial: optuna.Trial) -> float:
        candidate = suggest(trial)
        trial.set_user_attr("reused", settings.reuse_trials and candidate in known)
        if not trial.user_attrs["reused"]:
            known.setdefault(candidate, None)  # stays so where the trial is pruned or diverges
            with suppress(Diverged):
                trained = train(candidate, _reporter(trial))
                known[candidate] = trained.training.loss
                if trained.training.loss < (best[0][1].training.loss if best else math.inf):
                    best[:] = [(candidate, trained)]
        loss = known[candidate]
        if loss is None:
            raise optuna.TrialPruned
        return loss

    def step(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        progress(trial.number + 1, settings.n_trials + 1, trial=trial.number + 1)

    study.optimize(objective, n_trials=settings.n_trials, callbacks=[step])
    if not best:
        raise Diverged(f"learning_rates: none of the {settings.n_trials} trials ended with a finite loss; offer lower ones")
    return Choice(*best[0], _table(study))


def suggest_rate(trial: optuna.Trial, settings: TuningSettings) -> float:
    """One of the learning rates."""
    return float(trial.suggest_categorical("learning_rate", settings.learning_rates))


def _reporter(trial: optuna.Trial) -> OnEpoch:
    def report(epoch: int, total: int, loss: float) -> None:
        trial.set_user_attr("epochs", epoch)
        trial.report(loss, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    return report


def _table(study: optuna.Study) -> pd.DataFrame:
    rows = [
        {"trial": trial.number + 1, **trial.params, "loss": trial.value, "state": trial.state.name, **trial.user_attrs}
        for trial in study.trials
    ]
    return pd.DataFrame(rows).convert_dtypes()
