"""What a figure consists of: its points, how they are drawn, and what they show. The points are made once, for all three."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from gpatlas.figures.registry import FIGURES
from gpatlas.figures.rows import Beside, as_measured, nothing_beside
from gpatlas.figures.settings import DRAW_FURTHER
from gpatlas.figures.words import listed
from gpatlas.settings import nearest, resolve


@dataclass(frozen=True)
class Chart:
    """The object that an entry of FIGURES names.

    `points`: takes the collected table, an experiment, the further models and the tables that the entry reads beside it; returns a row
    per point, its height in the column `value`, and raises ValueError where the tables lack what it needs. `draw`: the points as a
    figure. `sentence`: what they show. `by`: the columns that tell where a point stands; `value`: what its height is. `rows`: what the
    page's table shows, where that is not mean, sd and number of the heights at each place. `answers`: what the page says in a section of
    its own.
    """

    points: Callable[..., pd.DataFrame]
    draw: Callable[[pd.DataFrame], Figure]
    sentence: Callable[[pd.DataFrame], str]
    by: tuple[str, ...]
    value: str
    rows: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    answers: Callable[[pd.DataFrame], pd.DataFrame] | None = None

    def say(self, points: pd.DataFrame) -> str:
        """The sentence, where any point has a height."""
        return self.sentence(points) if points["value"].notna().any() else "No point of this figure is defined in this run."

    def summary(self, points: pd.DataFrame) -> pd.DataFrame:
        """A row per place: the columns `by`, and `mean`, `sd` and number `n` of the heights there; or `rows`."""
        if self.rows:
            return self.rows(points)
        groups = points.groupby(list(self.by), dropna=False)["value"]
        return groups.agg(mean="mean", sd="std", n="count").reset_index()


def chart_of(figure: str) -> Chart:
    """The chart of a figure of FIGURES; raises ValueError where there is none of this name."""
    if figure not in FIGURES:
        raise ValueError(f"figure {figure!r} is not in FIGURES{nearest(figure, list(FIGURES))}")
    chart: Chart = resolve(FIGURES[figure].chart)
    return chart


def points_of(
    figure: str,
    table: pd.DataFrame,
    further_models: Sequence[str] = (),
    experiment: str | None = None,
    beside: Beside = nothing_beside,
) -> pd.DataFrame:
    """The points of a figure of FIGURES in one experiment of the collected table, left out: in its usual one. For columns see Chart.

    `beside`: the tables collected with it. Raises ValueError where the figure is unknown or draws no further models, or the tables lack
    what it needs.
    """
    chart, entry = chart_of(figure), FIGURES[figure]
    if further_models and not entry.further_models:
        raise ValueError(f"figure {figure!r} draws no further models; those that do: {listed(DRAW_FURTHER)}")
    if entry.populations == "simulated" and not entry.measured:
        table = table[~as_measured(table)]
    return chart.points(table, experiment or entry.experiment, further_models, *map(beside, entry.beside))
