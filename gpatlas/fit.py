"""The stage of every fit: from a dataset file to the model's table, and its further tables beside that."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from gpatlas.data.dataset import Dataset
from gpatlas.models.evaluation import evaluate
from gpatlas.models.registry import Model, StackSettings
from gpatlas.models.scores import Row
from gpatlas.models.settings import FitSettings
from gpatlas.needs import check_memory, memory_bytes
from gpatlas.progress import Progress
from gpatlas.settings import Size, beside
from gpatlas.stages import FITS

if TYPE_CHECKING:
    from gpatlas.models.base_fits import BaseFits


def run(model: Model, settings: FitSettings, source: Path, out: Path, progress: Progress) -> None:
    """Fit `model` to the dataset `source`; write its table to `out`, and its further tables to `<out>.<name>.csv`.

    Raises ValueError where the memory does not do, DatasetError where the data do not.
    """
    with Dataset(source) as data:
        check_size(model, settings, Size(data.n_individuals, data.n_loci, data.n_traits, data.bits), data.name)
        evaluation = evaluate(model, settings, data.population(), progress, _base_fits(settings))
    for name, table in evaluation.tables.items():
        table.to_csv(beside(out, name), index=False)
    write_table(evaluation.rows, out)


def _base_fits(settings: FitSettings) -> "BaseFits | None":
    """Those that a stack is told of."""
    if not isinstance(settings, StackSettings) or settings.fits is None:
        return None
    from gpatlas.models.base_fits import BaseFits  # with pandas, whose import takes longer than many a fit

    return BaseFits.read(settings.fits, settings.models)


def check_size(model: Model, settings: FitSettings, size: Size, name: str) -> None:
    """Raises ValueError where a fit to data of this size, which are called `name`, needs more memory than there is."""
    stage = FITS[model.name]
    needed = memory_bytes(stage, settings, size)
    check_memory(needed, f"{name}: {stage.name} of {size.n_individuals} individuals and {size.n_loci} loci")


def write_table(rows: list[Row], out: Path) -> None:
    """CSV; numbers in their shortest exact form, what is missing or NaN empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: value for name, value in row.items() if value == value} for row in rows)
