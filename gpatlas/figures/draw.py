"""The stage that draws a figure from the collected tables alone; every label, V_A/V_G and ceiling is computed from them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from gpatlas.figures.chart import chart_of, points_of
from gpatlas.figures.layout import STYLE
from gpatlas.figures.rows import Beside, nothing_beside, read_beside, read_table
from gpatlas.figures.settings import FigureSettings
from gpatlas.figures.words import listed
from gpatlas.progress import Progress

FORMATS = (".png", ".pdf", ".svg")


def run(settings: FigureSettings, source: Path, out: Path, progress: Progress) -> None:
    """Draw `settings.figure` from the collected table (CSV) `source` at `out`, in the format that the suffix of `out` names.

    Raises ValueError where the figure or the format is unknown, or the table lacks what it needs.
    """
    chart_of(settings.figure)
    if out.suffix.lower() not in FORMATS:
        raise ValueError(f"--out: {out.name!r} names no format of a figure; end it in {listed(FORMATS)}")
    try:
        table = read_table(source)
        figure = draw(settings.figure, table, settings.further_models, settings.experiment, partial(read_beside, source))
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    figure.savefig(out, dpi=settings.dpi, bbox_inches="tight", pad_inches=0.15)
    progress(1, 1, figure=settings.figure, rows=len(table))


def draw(
    figure: str,
    table: pd.DataFrame,
    further_models: Sequence[str] = (),
    experiment: str | None = None,
    beside: Beside = nothing_beside,
) -> Figure:
    """A figure of FIGURES; arguments and errors are those of `points_of`."""
    points = points_of(figure, table, further_models, experiment, beside)
    with matplotlib.rc_context(STYLE):
        return chart_of(figure).draw(points)
