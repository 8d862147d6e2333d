"""A stack (super learner): other models' predictions, added up with weights that are not negative.

The weights come from predictions of training individuals by fits that have not seen them (Wolpert 1992; Breiman 1996; van der Laan et
al. 2007, doi 10.2202/1544-6115.1309): those of the inner folds by which most models choose anyway, where a model has these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from scipy.optimize import nnls

from gpatlas.data.genotypes import FloatArray, Genotypes
from gpatlas.models.contract import Fit, FitProgress, Fitted, Part, Silent
from gpatlas.models.registry import MODELS, StackSettings
from gpatlas.models.settings import FitSettings
from gpatlas.models.splits import drawn_parts, inner_folds
from gpatlas.settings import build, resolve


def fit(train: Part, validation: Part, settings: StackSettings, progress: FitProgress) -> dict[str, Fitted]:
    """The models on all training individuals, and their weights as columns `weight_<model>`."""
    bases, steps = [], count(1)
    for name in settings.models:
        base = _fit_base(name, train, settings)
        inner = _fit_inner(name, train, settings) if base.inner_predictions is None else base.inner_predictions
        bases.append((base.predict, inner))
        progress(next(steps), len(settings.models))
    weights = weigh(np.stack([inner for _, inner in bases]), train.phenotypes)
    predict = _Stack([predict for predict, _ in bases], weights, train.phenotypes.mean(axis=0))
    return {"stack": Fitted(predict, columns=weight_columns(settings.models, weights))}


def weigh(inner: FloatArray, phenotypes: FloatArray) -> FloatArray:
    """Weights (M, T) of M models by non-negative least squares, about the mean of the phenotypes (n, T).

    `inner`: their predictions (M, n, T), of which those of individuals count whom all models predict.
    """
    solved = []
    for trait, mean in enumerate(phenotypes.mean(axis=0)):
        there = ~np.isnan(inner[:, :, trait]).any(axis=0)
        solved.append(nnls(inner[:, there, trait].T - mean, phenotypes[there, trait] - mean)[0])
    return np.stack(solved, axis=1)


def added_up(predicted: Sequence[FloatArray], weights: FloatArray, mean: FloatArray) -> FloatArray:
    """Σ weight·(prediction − mean) + mean, (n, T), of predictions (n, T) of M models, weights (M, T) and the training mean (T,)."""
    parts = (weight * (one - mean) for one, weight in zip(predicted, weights, strict=True))
    return np.asarray(sum(parts, start=np.broadcast_to(mean, predicted[0].shape)))


def weight_columns(models: Sequence[str], weights: FloatArray) -> dict[str, FloatArray]:
    """`weight_<model>`, (T,) each."""
    return {f"weight_{name}": of_model for name, of_model in zip(models, weights, strict=True)}


@dataclass(frozen=True)
class _Stack:
    """`weights` (M, T), `mean` (T,)."""

    bases: list[Callable[[Genotypes], FloatArray]]
    weights: FloatArray
    mean: FloatArray

    def __call__(self, genotypes: Genotypes) -> FloatArray:
        return added_up([base(genotypes) for base in self.bases], self.weights, self.mean)


def _fit_base(name: str, part: Part, settings: StackSettings) -> Fitted:
    """One of the models, with its own defaults, on all of a part; the last result is the one that predicts, as in an estimator."""
    model = MODELS[name]
    told = {"protocol": "cross_validation", "seed": settings.seed, "threads": settings.threads, "n_inner_folds": settings.n_inner_folds}
    own: FitSettings = build(model.settings, {key: value for key, value in told.items() if key in model.settings.model_fields})
    train, validation = drawn_parts(len(part.phenotypes), model.validates, settings.seed)
    fitting: Fit = resolve(model.fit)
    return list(fitting(part.rows(train), part.rows(validation), own, Silent()).values())[-1]


def _fit_inner(name: str, train: Part, settings: StackSettings) -> FloatArray:
    """The inner predictions (n, T) of a model that does not tell its own."""
    inner = np.empty(train.phenotypes.shape)
    for rest, held_out in inner_folds(len(inner), settings.n_inner_folds, settings.seed):
        inner[held_out] = _fit_base(name, train.rows(rest), settings).predict(train.genotypes.rows(held_out))
    return inner
