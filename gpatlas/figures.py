"""The figures, drawn from the collected table alone; every label, V_A/V_G and ceiling is computed from it.

A perfect model reaches r = sqrt(h2), the best linear one sqrt(v_a_over_v_g·h2).
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from gpatlas.figures_boxes import figure_2, figure_3
from gpatlas.figures_limits import figure_4, figure_5
from gpatlas.figures_scaling import accessory, figure_1a, figure_1b, figure_s1
from gpatlas.figures_shared import STYLE, listed
from gpatlas.progress import Progress
from gpatlas.settings import FigureSettings, nearest
from gpatlas.stages import DRAW_FURTHER_MODELS

FIGURES: dict[str, Callable[..., Figure]] = {
    "1a": figure_1a,
    "1b": figure_1b,
    "2": figure_2,
    "3": figure_3,
    "4": figure_4,
    "5": figure_5,
    "accessory_mlp": partial(accessory, model="mlp"),
    "accessory_linear": partial(accessory, model="linear_sgd"),
    "s1": figure_s1,
}


def run(settings: FigureSettings, source: Path, out: Path, progress: Progress) -> None:
    """Draw `settings.figure` from the collected table (CSV) `source` as PNG at `out`.

    Raises ValueError where the figure is unknown, or the table lacks what it needs.
    """
    if settings.figure not in FIGURES:
        raise ValueError(f"figure {settings.figure!r} is not in FIGURES{nearest(settings.figure, list(FIGURES))}")
    try:
        table = pd.read_csv(source)
        figure = draw(settings.figure, table, settings.further_models)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    figure.savefig(out, format="png", dpi=settings.dpi, bbox_inches="tight", pad_inches=0.15)
    progress(1, 1, figure=settings.figure, rows=len(table))


def draw(name: str, table: pd.DataFrame, further_models: Sequence[str] = ()) -> Figure:
    """Figure `name` of FIGURES from the collected table, with further models beside the study's where it draws such.

    Raises ValueError naming what the table lacks and what it has.
    """
    if further_models and name not in DRAW_FURTHER_MODELS:
        raise ValueError(f"figure {name!r} draws no further models; those that do: {listed(DRAW_FURTHER_MODELS)}")
    with matplotlib.rc_context(STYLE):
        return FIGURES[name](table, further_models) if further_models else FIGURES[name](table)
