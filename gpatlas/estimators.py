"""Every model of the registry as a scikit-learn estimator: `fit`, `predict`, `get_params`, for pipelines and cross-validation.

    from sklearn.model_selection import cross_val_score
    cross_val_score(gpatlas.Ridge(), X, y, cv=10)

X holds how often an individual has the counted allele, (n, n_loci): 0 or 1 of haploids, 0, 1 or 2 of diploids, NaN where a call is
missing; y one trait, (n,), or several, (n, T), in any unit.
"""

from functools import cache
from inspect import Parameter, Signature
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from gpatlas.data.genotypes import MISSING, FloatArray, Genotypes, pack, pack_counts
from gpatlas.fit import check_size
from gpatlas.models.contract import Fitted, Part, Silent
from gpatlas.models.evaluation import fit_scaled
from gpatlas.models.registry import MODELS, Model
from gpatlas.models.scale import Scale
from gpatlas.models.settings import OF_THE_SPLITS
from gpatlas.models.splits import drawn_parts
from gpatlas.settings import Size, build

FEWEST = 4  # individuals that can be fitted: two to train on, two to choose by


class Estimator(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """What the estimators share. Fitted, an estimator has

    fitted_ : what the fit returned, name to `gpatlas.models.contract.Fitted`; the last one predicts
    coef_ : additive effects per counted allele, (n_loci,) or (T, n_loci), where the model has such
    highest_ : the largest count in X, 1 or 2
    tables_ : further tables by name (pairs found, trials, …), pandas DataFrames; loci and traits are numbered from 1, so that locus 1 is
        X[:, 0], and `effect` of a pair is that of x_1·x_2 with x = 2·allele − 1
    n_features_in_ : number of loci
    """

    model: Model

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to counts X (n, n_loci) of alleles, 0 to 2 or NaN, and phenotypes y, (n,) or (n, T).

        A model that chooses by a validation part takes 15 % of the individuals for it, drawn by `seed`, and is then fitted to all.
        Results of networks depend on the number of threads, so give threads=1 beside n_jobs. Raises ValueError for phenotypes that
        are missing, counts other than 0, 1 and 2, fewer than four individuals, and settings that are wrong.
        """
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, ensure_min_samples=FEWEST, ensure_all_finite="allow-nan")
        self.highest_ = 2 if (X == 2).any() else 1
        settings = build(self.model.settings, {"protocol": "holdout", **self.get_params()})
        everyone = Part(self._genotypes(X), np.asarray(y, dtype=np.float64).reshape(len(y), -1))
        check_size(self.model, settings, Size(len(X), self.n_features_in_, everyone.phenotypes.shape[1]), "X")
        train, validation = (everyone.rows(rows) for rows in drawn_parts(len(X), self.model.validates, settings.seed))
        scale = Scale.of(train.phenotypes, np.zeros(train.phenotypes.shape[1], dtype=bool))
        self._one_trait = np.ndim(y) == 1
        self.fitted_: dict[str, Fitted] = fit_scaled(self.model, settings, train, validation, scale, Silent())
        self.tables_ = {name: table for one in self.fitted_.values() for name, table in one.tables.items()}
        if (coefficients := self._predicting.coefficients) is not None:
            per_allele = coefficients / self.highest_
            self.coef_ = per_allele[:, 0] if self._one_trait else per_allele.T
        return self

    def predict(self, X: Any) -> FloatArray:
        """Phenotypes of the counts X (n, n_loci), in the unit of the y that was fitted: (n,), or (n, T) for several traits."""
        check_is_fitted(self, "fitted_")
        X = validate_data(self, X, reset=False, ensure_all_finite="allow-nan")
        predicted = self._predicting.predict(self._genotypes(X))
        return predicted[:, 0] if self._one_trait else predicted

    @property
    def _predicting(self) -> Fitted:
        return list(self.fitted_.values())[-1]

    def _genotypes(self, X: Any) -> Genotypes:
        missing = np.isnan(X)
        wrong = np.argwhere(~np.isin(X, np.arange(self.highest_ + 1)) & ~missing)
        if len(wrong):
            row, column = wrong[0]
            allowed = "0, 1, 2 or NaN" if self.highest_ == 2 else "0, 1 or NaN, as in the X that was fitted"
            raise ValueError(f"X[{row}, {column}] is {X[row, column]!s}: every value must be a count of alleles, {allowed}")
        counts = np.where(missing, MISSING, X).astype(np.uint8)
        if self.highest_ == 1 and not missing.any():
            return Genotypes(pack(counts), counts.shape[1])
        return Genotypes(pack_counts(counts), counts.shape[1], 2, self.highest_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


@cache
def _estimator(model: Model) -> type[Estimator]:
    """The estimator of a model: its parameters are the model's settings, but for those that say who is tested."""
    fields = {name: field for name, field in model.settings.model_fields.items() if name not in OF_THE_SPLITS}
    own = [Parameter(name, Parameter.KEYWORD_ONLY, default=field.default) for name, field in fields.items()]

    def __init__(self: Estimator, **parameters: Any) -> None:
        given = Signature(own).bind(**parameters)
        given.apply_defaults()
        for name, value in given.arguments.items():
            setattr(self, name, value)

    __init__.__signature__ = Signature([Parameter("self", Parameter.POSITIONAL_OR_KEYWORD), *own])  # type: ignore[attr-defined]
    described = "\n".join(f"{name} : {field.description}; default {field.default}" for name, field in fields.items())
    text = f"{model.settings.__doc__}\n\nParameters\n----------\n{described}\n\n{Estimator.__doc__}"
    members = {"__init__": __init__, "__doc__": text, "__module__": __name__, "model": model}
    return type(model.class_name, (Estimator,), members)


def estimator_classes() -> dict[str, type[Estimator]]:
    """The estimators of all models, by class name."""
    return {model.class_name: _estimator(model) for model in MODELS.values()}


def __getattr__(name: str) -> type[Estimator]:
    """So that an estimator can be imported from here, and unpickled."""
    if not name.startswith("_") and name in (classes := estimator_classes()):
        return classes[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
