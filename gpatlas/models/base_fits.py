"""The fits of other models that a stack combines where they are at hand: their tables, as a study's stages wrote them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gpatlas.data.genotypes import FloatArray
from gpatlas.data.population import Population, TextArray
from gpatlas.models.beside import ids_of
from gpatlas.models.contract import Fitted
from gpatlas.models.splits import Split
from gpatlas.models.stack import added_up, weigh, weight_columns
from gpatlas.settings import beside

BySplit = dict[tuple[int, int, int], dict[str, float]]
"""By trait from 1, repeat and fold: the predictions of individuals."""


@dataclass(frozen=True)
class BaseFits:
    """By model: `inner` predictions of training individuals, and `outer` ones of the test part."""

    inner: dict[str, BySplit]
    outer: dict[str, BySplit]

    @classmethod
    def read(cls, manifest: Path, models: Sequence[str]) -> "BaseFits":
        """From `manifest`, {model: its table}, in JSON. Raises ValueError where it lacks one of `models`."""
        tables = {name: Path(path) for name, path in json.loads(manifest.read_text()).items()}
        for name in (name for name in models if name not in tables):
            raise ValueError(f"{manifest}: lacks the model {name!r}, which the stack combines")
        inner = {name: _by_split(beside(tables[name], "inner_predictions")) for name in models}
        return cls(inner, {name: _by_split(beside(tables[name], "predictions")) for name in models})

    def combined(self, population: Population, phenotypes: FloatArray, traits: Sequence[int], split: Split) -> dict[str, Fitted]:
        """The stack of one split, whose training individuals have the `phenotypes` (n, T) of the `traits`, numbered from 0.

        Raises ValueError where a model's table lacks the split or one of its test individuals.
        """
        ids = ids_of(population)
        inner = [_looked_up(of_model, ids[split.train], traits, split) for of_model in self.inner.values()]
        outer = {name: _looked_up(of_model, ids[split.test], traits, split) for name, of_model in self.outer.items()}
        for name, predicted in outer.items():
            if np.isnan(predicted).any():
                raise ValueError(f"{name}: its predictions lack individuals of fold {split.fold}; was it cross-validated otherwise?")
        weights = weigh(np.stack(inner), phenotypes)
        predicted = added_up(list(outer.values()), weights, phenotypes.mean(axis=0))
        return {"stack": Fitted(lambda genotypes: predicted, columns=weight_columns(list(self.inner), weights))}


def _by_split(path: Path) -> BySplit:
    """By genome: without what covariates add."""
    table = pd.read_csv(path, dtype={"id": str}, keep_default_na=False, na_values={"predicted": [""]})
    if "by_covariates" in table:
        table["predicted"] -= table["by_covariates"]
    by_split: BySplit = {}
    columns = (table[name].tolist() for name in ("trait", "repeat", "fold", "id", "predicted"))
    for trait, repeat, fold, name, predicted in zip(*columns, strict=True):
        by_split.setdefault((trait, repeat, fold), {})[name] = predicted
    return by_split


def _looked_up(of_model: BySplit, ids: TextArray, traits: Sequence[int], split: Split) -> FloatArray:
    """(n, T) of the individuals `ids`; NaN of those that are not there."""
    of_traits = [of_model.get((trait + 1, split.repeat, split.fold), {}) for trait in traits]
    return np.array([[of_trait.get(name, np.nan) for of_trait in of_traits] for name in ids.tolist()])
