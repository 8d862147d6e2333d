"""Tables that any model's may have beside them: predictions of individuals that a fit never saw, effects of named loci."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpatlas.data.genotypes import FloatArray
from gpatlas.data.population import Description, Population, TextArray
from gpatlas.models.scores import Predicted
from gpatlas.models.splits import Split

if TYPE_CHECKING:
    import pandas as pd

PLACES = ("id", "chromosome", "position")


def predictions_table(
    model: str, population: Population, traits: Sequence[int], splits: list[Split], predicted: list[Predicted]
) -> "pd.DataFrame":
    """A row per trait and individual: repeat, fold, id (the number from 1 where there are none), observed, predicted."""
    import pandas as pd

    ids, parts = ids_of(population), []
    for split, of_split in zip(splits, predicted, strict=True):
        where = {"model": model, "repeat": split.repeat, "fold": split.fold, "id": ids[split.test]}
        for column, trait in enumerate(traits):
            values: dict[str, Any] = {"observed": of_split.observed[:, column], "predicted": of_split.whole[:, column]}
            if of_split.by_covariates is not None:
                values["by_covariates"] = of_split.by_covariates[:, column]
            parts.append(pd.DataFrame({**where, "trait": trait + 1, **values}))
    return pd.concat(parts, ignore_index=True)


def inner_table(
    model: str, population: Population, traits: Sequence[int], splits: list[Split], inner: Sequence[FloatArray]
) -> "pd.DataFrame":
    """A row per trait, split and training individual that has an `inner` prediction, (n, T) of every split: repeat, fold, id, predicted.

    The fold is that of the split, which the individual is outside of; predicted is by genome alone where there are covariates.
    """
    import pandas as pd

    ids, parts = ids_of(population), []
    for split, predicted in zip(splits, inner, strict=True):
        for column, trait in enumerate(traits):
            there = ~np.isnan(predicted[:, column])
            where = {"model": model, "repeat": split.repeat, "fold": split.fold, "id": ids[split.train][there]}
            parts.append(pd.DataFrame({**where, "trait": trait + 1, "predicted": predicted[there, column]}))
    return pd.concat(parts, ignore_index=True)


def ids_of(population: Population) -> TextArray:
    """Names of the individuals; numbers from 1 where they have none."""
    return population.described.ids if population.described else np.arange(1, population.n_individuals + 1).astype(str)


def loci_table(model: str, described: Description, traits: Sequence[int], coefficients: list[FloatArray]) -> "pd.DataFrame":
    """A row per trait and locus: its name and place, and its additive effect per counted allele, the mean over fits and its spread.

    `coefficients` of every fit, (n_loci, T): what an individual with all counted alleles has more than one with none.
    """
    import pandas as pd

    effects = np.stack(coefficients) / described.ploidy
    spread = effects.std(axis=0, ddof=1) if len(effects) > 1 else np.full(effects.shape[1:], np.nan)
    loci, numbers = described.loci, np.arange(1, effects.shape[1] + 1)
    names = {name: getattr(loci, name) for name in ("counted_allele", "other_allele")}
    parts = [
        pd.DataFrame(
            {
                "model": model,
                "trait": trait + 1,
                "locus": numbers,
                **names,
                "effect": effects.mean(axis=0)[:, column],
                "effect_sd": spread[:, column],
            }
        )
        for column, trait in enumerate(traits)
    ]
    return pd.concat(parts, ignore_index=True)


def with_places(table: "pd.DataFrame", described: Description) -> "pd.DataFrame":
    """With id, chromosome and position after each of the table's columns of locus numbers (`locus`, `locus_1`, …, from 1)."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name in map(str, table):
        columns.setdefault(name, table[name])
        if name == "locus" or name.startswith("locus_"):
            rows = table[name].to_numpy(dtype=np.intp) - 1
            columns |= {place + name.removeprefix("locus"): getattr(described.loci, place)[rows] for place in PLACES}
    return pd.DataFrame(columns)
