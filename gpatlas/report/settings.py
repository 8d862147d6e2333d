"""The settings of the two stages that end a run: collecting the tables, and writing the page."""

from typing import Annotated

from pydantic import Field

from gpatlas.settings import Int, Positive, Settings

# What is gathered beside the results: predictions of a cross-validation; of imported populations also named loci and pairs.
COLLECTED_TABLES = ("predictions", "loci", "pairs")


class CollectSettings(Settings):
    """Gathers the tables of all fits, as a manifest lists them, into one tidy table, and the tables beside them likewise."""


class ReportSettings(Settings):
    """Writes one page (HTML) on a whole run: figures, tables, values beside the study's, time and memory, how to repeat it."""

    max_rows: Annotated[Int, Field(ge=0)] = Field(1000, description="the page holds the collected table where it has at most so many rows")
    n_slowest: Positive = Field(20, description="slowest stages that the page lists")
