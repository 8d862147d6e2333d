"""Models against scikit-learn's nearest, as a user would write it: both in this process, fitted and judged on the same individuals."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from measure import paired, seconds
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import HistGradientBoostingRegressor, StackingRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import ElasticNetCV, LassoCV, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import gpatlas
from gpatlas.models.registry import MODELS
from gpatlas.models.scores import pearson_r

Array = npt.NDArray[np.float64]

BASES = ("ridge", "elastic_net", "boosting")
TINY = (80, 8, 8)
N_PENALTIES, WEIGHTS = 11, MODELS["egblup"].settings().epistatic_weights  # of EG-BLUP, ours and scikit-learn's


@dataclass(frozen=True)
class Comparison:
    """`size`: individuals, loci, causal loci, traits."""

    size: tuple[int, int, int, int]
    ours: Any
    peer: str
    theirs: Any
    added: str = ""


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    """The table's rows; r is that of the last 15 % of the individuals."""
    for one in comparisons(*((1, 2, 2) if quick else (-1, 5, N_PENALTIES))):
        n, m, n_qtl, n_traits = (*TINY, one.size[3]) if quick else one.size
        data = Data.simulated(n, m, n_qtl, n_traits)
        ours, theirs = Side(one.ours, data), Side(one.theirs, data)
        times = paired(ours, theirs, 1 if quick else 3)
        work = f"{one.ours.model.name}, {n} × {m}, {n_traits} trait{'s' if n_traits > 1 else ''}{one.added}"
        yield {"work": work, "peer": one.peer, **times, "pearson_r": ours.r, "peer_pearson_r": theirs.r}


def comparisons(jobs: int, cv: int, n_penalties: int) -> Iterator[Comparison]:
    """scikit-learn works with `jobs` processes or threads where it can, and chooses by `cv` folds; of EG-BLUP's penalties as ours does."""
    lasso = LassoCV(eps=0.01, cv=cv, n_jobs=jobs)  # the rest of its path would take most of the time, and converges no more
    pairs = make_pipeline(PolynomialFeatures(interaction_only=True, include_bias=False), StandardScaler(), lasso)
    yield Comparison((1000, 46, 46, 1), gpatlas.Pairwise(), "PolynomialFeatures, LassoCV(eps=0.01)", pairs)
    for n_traits in (1, 5):
        ours = gpatlas.Egblup(n_penalties=n_penalties)
        search = KernelSearch(np.logspace(-5, 5, n_penalties), cv, jobs)
        theirs = search if n_traits == 1 else MultiOutputRegressor(search)
        yield Comparison((2000, 200, 100, n_traits), ours, "KernelRidge, GridSearchCV", theirs, f", {n_penalties} penalties")
    net = make_pipeline(StandardScaler(), ElasticNetCV(l1_ratio=MODELS["elastic_net"].settings().l1_ratios, cv=cv, n_jobs=jobs))
    yield Comparison((2000, 1000, 100, 1), gpatlas.ElasticNet(), "ElasticNetCV", net)
    plain = HistGradientBoostingRegressor(random_state=1)
    yield Comparison((2000, 200, 100, 1), gpatlas.Boosting(), "HistGradientBoostingRegressor, untuned", plain)
    shared = {"learning_rate": 0.15, "max_iter": 1000, "min_samples_leaf": 5, "n_iter_no_change": 20}
    grown = HistGradientBoostingRegressor(early_stopping=True, random_state=1, **shared)
    tuned = GridSearchCV(grown, {"max_depth": [2, 4]}, cv=cv, n_jobs=jobs)
    yield Comparison((2000, 200, 100, 1), gpatlas.Boosting(), "HistGradientBoostingRegressor, GridSearchCV", tuned)
    bases = [("ridge", RidgeCV(np.logspace(-5, 5, 100))), ("elastic_net", net), ("boosting", tuned)]
    yield Comparison((1000, 200, 100, 1), gpatlas.Stack(models=BASES), "StackingRegressor of the same", StackingRegressor(bases, cv=cv))


@dataclass(frozen=True)
class Data:
    """Counts (n, n_loci) and phenotypes, (n,) or (n, T), of training and of test individuals."""

    X: Array
    y: Array
    X_test: Array
    y_test: Array

    @classmethod
    def simulated(cls, n: int, m: int, n_qtl: int, n_traits: int) -> Self:
        """Half of the genetic variance is epistatic, 0.7 of the phenotype's is genetic."""
        population = gpatlas.simulate(n_individuals=n, n_loci=m, n_qtl=n_qtl, n_traits=n_traits, rel_aa=[0.5], h2=0.7)
        X, y, cut = population.genotypes.counts().astype(float), population.phenotypes, round(0.85 * n)
        y = y[:, 0] if n_traits == 1 else y
        return cls(X[:cut], y[:cut], X[cut:], y[cut:])


class Side:
    """Fits and predicts, as often as it is called, and tells the seconds; `r`: the traits' mean."""

    def __init__(self, model: Any, data: Data) -> None:
        self.model, self.data, self.r = model, data, np.nan

    def __call__(self) -> float:
        took = seconds(self._fit_and_predict)
        self.r = float(pearson_r(*(y.reshape(len(y), -1) for y in (self.data.y_test, self.predicted))).mean())
        return took

    def _fit_and_predict(self) -> None:
        self.predicted = clone(self.model).fit(self.data.X, self.data.y).predict(self.data.X_test)


class KernelSearch(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """EG-BLUP of one trait by scikit-learn: the same kernels, weights and penalties, by cross-validation."""

    def __init__(self, penalties: Array, cv: int, jobs: int) -> None:
        self.penalties, self.cv, self.jobs = penalties, cv, jobs

    def fit(self, X: Array, y: Array) -> Self:
        self.mean_, self.X_, self.offset_ = X.mean(axis=0), X, y.mean()
        parts, searches = kernels(X - self.mean_, X - self.mean_), {}
        self.scales_ = [part.diagonal().mean() for part in parts]
        for weight in WEIGHTS:
            search = GridSearchCV(KernelRidge(kernel="precomputed"), {"alpha": self.penalties}, cv=self.cv, n_jobs=self.jobs)
            searches[weight] = search.fit(self._mixed(parts, weight), y - self.offset_)
        self.weight_, self.best_ = max(searches.items(), key=lambda item: item[1].best_score_)
        return self

    def predict(self, X: Array) -> Array:
        mixed = self._mixed(kernels(X - self.mean_, self.X_ - self.mean_), self.weight_)
        return np.asarray(self.best_.predict(mixed) + self.offset_)

    def _mixed(self, parts: list[Array], weight: float) -> Array:
        additive, epistatic = (part / scale for part, scale in zip(parts, self.scales_, strict=True))
        return np.asarray((1 - weight) * additive + weight * epistatic)


def kernels(x: Array, z: Array) -> list[Array]:
    """Additive and pairwise epistatic, of centred counts."""
    additive = x @ z.T
    return [additive, (additive**2 - x**2 @ (z**2).T) / 2]
