"""A stack (super learner): other models' predictions, added up with weights that are not negative.

The weights come from predictions that the models make of training individuals whom they have not seen (Wolpert 1992; Breiman 1996;
van der Laan et al. 2007, doi 10.2202/1544-6115.1309).
"""

from collections.abc import Callable
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

Predict = Callable[[Genotypes], FloatArray]


def fit(train: Part, validation: Part, settings: StackSettings, progress: FitProgress) -> dict[str, Fitted]:
    """The models on every fold, then on all training individuals; columns `weight_<model>`."""
    n, names = len(train.phenotypes), settings.models
    folds = inner_folds(n, settings.n_inner_folds, settings.seed)
    unseen = np.empty((len(names), *train.phenotypes.shape))
    done, total = count(1), (len(folds) + 1) * len(names)
    for rest, held_out in folds:
        for place, name in enumerate(names):
            predict = _fit_base(name, train.rows(rest), settings)
            unseen[place, held_out] = predict(train.genotypes.rows(held_out))
            progress(next(done), total)
    weights = weigh(unseen, train.phenotypes)
    bases = []
    for name in names:
        bases.append(_fit_base(name, train, settings))
        progress(next(done), total)
    columns = {f"weight_{name}": weights[place] for place, name in enumerate(names)}
    return {"stack": Fitted(_Stack(bases, weights, train.phenotypes.mean(axis=0)), columns=columns)}


def weigh(predicted: FloatArray, phenotypes: FloatArray) -> FloatArray:
    """Weights (M, T) by non-negative least squares, of the predictions (M, n, T) of M models and the phenotypes (n, T), about its mean."""
    mean = phenotypes.mean(axis=0)
    solved = [nnls(predicted[:, :, trait].T - mean[trait], phenotypes[:, trait] - mean[trait])[0] for trait in range(len(mean))]
    return np.stack(solved, axis=1)


@dataclass(frozen=True)
class _Stack:
    """Σ weight·(prediction − mean) + mean; `weights` (M, T), `mean` (T,)."""

    bases: list[Predict]
    weights: FloatArray
    mean: FloatArray

    def __call__(self, genotypes: Genotypes) -> FloatArray:
        parts = (weight * (base(genotypes) - self.mean) for base, weight in zip(self.bases, self.weights, strict=True))
        return np.asarray(sum(parts, start=np.broadcast_to(self.mean, (len(genotypes), len(self.mean)))))


def _fit_base(name: str, part: Part, settings: StackSettings) -> Predict:
    """One of the models, with its own defaults, on all of a part; the last result is the one that predicts, as in an estimator."""
    model = MODELS[name]
    own: FitSettings = build(model.settings, {"protocol": "holdout", "seed": settings.seed, "threads": settings.threads})
    train, validation = drawn_parts(len(part.phenotypes), model.validates, settings.seed)
    fitting: Fit = resolve(model.fit)
    return list(fitting(part.rows(train), part.rows(validation), own, Silent()).values())[-1].predict
