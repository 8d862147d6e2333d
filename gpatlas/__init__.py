"""gpatlas: which model predicts a trait, from genotypes with epistasis.

    data = gpatlas.simulate(n_individuals=500)          # or gpatlas.load("data.h5"), or your own: load("my.bed", phenotypes="my.tsv")
    gpatlas.compare(data, ["ridge", "pairwise"])        # r of each model on individuals that it never saw
    X, y, groups = data.arrays(1)                       # of the first trait, for scikit-learn
    gpatlas.Ridge().fit(X, y).predict(X)                # every model is an estimator of scikit-learn's

Nothing heavy is imported before it is used.
"""

from typing import TYPE_CHECKING, Any

from gpatlas.version import __version__

if TYPE_CHECKING:
    from gpatlas.face import compare, load, simulate

__all__ = ["__version__", "compare", "load", "simulate"]


def __getattr__(name: str) -> Any:
    """The functions of `gpatlas.face`, and the estimators of `gpatlas.estimators`, one per model."""
    if name.startswith("_"):
        raise AttributeError(f"module 'gpatlas' has no attribute {name!r}")
    if name in __all__:
        from gpatlas import face

        return getattr(face, name)
    from gpatlas.estimators import estimator_classes

    if name in (classes := estimator_classes()):
        return classes[name]
    raise AttributeError(f"module 'gpatlas' has no attribute {name!r}; its estimators: {', '.join(classes)}")


def __dir__() -> list[str]:
    from gpatlas.models.registry import MODELS

    return sorted([*globals(), *__all__, *(model.class_name for model in MODELS.values())])
