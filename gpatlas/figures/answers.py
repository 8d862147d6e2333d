"""What a plan answers: from how many individuals on a model that is not additive beats those that are.

It is compared with the best additive model of the experiment, for every architecture and number of individuals the one of the greatest mean
r: ridge regression where it is the only one. Where additive models choose loci too, as elastic net does, a gain is one of interactions.
"""

from dataclasses import dataclass

import pandas as pd

from gpatlas.figures.enough import Enough, enough
from gpatlas.figures.registry import ADDITIVE
from gpatlas.figures.rows import paired
from gpatlas.figures.settings import PlanTarget
from gpatlas.figures.words import by_registry, joined, name_in_text, title_of

TARGET = [f"plan_{name}" for name in PlanTarget.model_fields]
BEST_ADDITIVE = "the best additive model"


@dataclass(frozen=True)
class Answer:
    """Of one architecture, which is called `label`: the `model` that takes the fewest individuals, and how many.

    `gain`: the mean, with `most` individuals, of the best model there over the best `additive` one; `share`: of the replicates that gain
    enough there.
    """

    label: str
    model: str
    enough: Enough
    target: PlanTarget
    fewest: int
    most: int
    gain: float
    share: float
    additive: str

    @property
    def found(self) -> bool:
        """Whether the number lies within those that were tried."""
        return self.enough.n <= self.most


def answers(points: pd.DataFrame) -> list[Answer]:
    """One per architecture, in the order of the points."""
    return [_answer(str(label), rows) for label, rows in points.groupby("label", sort=False)]


def additive_models(points: pd.DataFrame) -> list[str]:
    """Those of the points, the simplest first."""
    return [model for model in by_registry(points["model"].unique()) if model in ADDITIVE]


def compared_with(points: pd.DataFrame) -> str:
    """What gains are over: 'ridge regression', or the best of several additive models."""
    models = additive_models(points)
    return BEST_ADDITIVE if len(models) > 1 else name_in_text(models[0])


def best_of(points: pd.DataFrame) -> list[str]:
    """What is to be said of the best additive model: which one it is. Nothing where there is only one."""
    names = [name_in_text(model) for model in additive_models(points)]
    return [f"{BEST_ADDITIVE}: of {joined(names)} the one with the highest mean r at each number"] if len(names) > 1 else []


def _answer(label: str, rows: pd.DataFrame) -> Answer:
    target = PlanTarget(**{name: float(rows[f"plan_{name}"].iloc[0]) for name in PlanTarget.model_fields})
    additive = _best_additive(rows)
    others = [model for model in by_registry(rows["model"].unique()) if model not in ADDITIVE]
    gains = {model: _gains(rows[rows["model"] == model], additive) for model in others}
    numbers = {model: enough(gains[model], target.gain, target.power) for model in others}
    sizes = sorted({int(n) for table in gains.values() for n in table.columns.tolist()})
    fewest, most = sizes[0], sizes[-1]
    largest = {model: table[most].dropna() for model, table in gains.items() if most in table}
    best = max(largest, key=lambda model: largest[model].mean())
    model = min(others, key=lambda model: numbers[model].n)
    if numbers[model].n > most:
        model = best
    share = float((largest[best] >= target.gain).mean())
    over = str(additive.loc[additive["n_individuals"] == most, "model"].iloc[0])
    return Answer(label, model, numbers[model], target, fewest, most, float(largest[best].mean()), share, over)


def _best_additive(rows: pd.DataFrame) -> pd.DataFrame:
    """Of one architecture, the rows of the additive model that has the greatest mean r at their number of individuals."""
    additive = rows[rows["model"].isin(ADDITIVE)]
    means = additive.pivot_table(index="n_individuals", columns="model", values="pearson_r")
    best = means[by_registry(means)].idxmax(axis="columns")
    return additive[additive["model"] == additive["n_individuals"].map(best)]


def _gains(rows: pd.DataFrame, additive: pd.DataFrame) -> pd.DataFrame:
    """r of one model less that of the additive one: a row per replicate (and trait), a column per number of individuals."""
    model, other = (" or ".join(by_registry(part["model"].unique())) for part in (rows, additive))
    pairs = paired(pd.concat([rows, additive.assign(model=other)]), model, other, how="inner")
    gains = pairs.assign(gain=pairs["pearson_r"] - pairs["pearson_r_other"])
    return gains.pivot_table(index=["replicate", "trait"], columns="n_individuals", values="gain")


def rounded(n: float) -> str:
    """A number of individuals to two digits, as it is no better known."""
    return f"{float(f'{n:.2g}'):,.0f}"


def numbers_of(answer: Answer) -> str:
    """'640 (410 to 900)', within the numbers that were tried: '<100 (<100 to >3,200)'."""

    def one(n: float) -> str:
        return f"<{answer.fewest:,}" if n < answer.fewest else f">{answer.most:,}" if n > answer.most else rounded(n)

    return f"{one(answer.enough.n)} ({one(answer.enough.low)} to {one(answer.enough.high)})"


def rows_of_answers(points: pd.DataFrame) -> pd.DataFrame:
    """A row per architecture; `additive` where there are several such models."""
    several = len(additive_models(points)) > 1
    rows = [
        {
            "architecture": answer.label,
            "model": title_of(answer.model),
            "enough": numbers_of(answer),
            "most": answer.most,
            "gain": answer.gain,
            "gaining": answer.share,
            **({"additive": title_of(answer.additive)} if several else {}),
        }
        for answer in answers(points)
    ]
    return pd.DataFrame(rows)
