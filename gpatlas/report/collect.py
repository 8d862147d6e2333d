"""One tidy table of all fits: every parameter a column, a row per scenario, model and trait."""

import json
from pathlib import Path

import pandas as pd

from gpatlas.figures.rows import read_table
from gpatlas.progress import Progress
from gpatlas.report.settings import CollectSettings


def run(settings: CollectSettings, source: Path, out: Path, progress: Progress) -> None:
    """Concatenate the tables that the manifest `source` lists: [{"table": path, "columns": {name: value, …}}, …].

    The columns of an entry come first in its rows. Raises ValueError where the manifest lists nothing.
    """
    try:
        entries = json.loads(source.read_text())
    except ValueError as error:
        raise ValueError(f"{source}: not a manifest in JSON: {error}") from error
    if not entries:
        raise ValueError(f"{source}: lists no table")
    tables = []
    for number, entry in enumerate(entries, 1):
        table = read_table(entry["table"])
        for position, (name, value) in enumerate(entry["columns"].items()):
            table.insert(position, name, value)
        tables.append(table)
        progress(number, len(entries))
    # convert_dtypes: whole numbers stay whole where a model's table lacks the column
    pd.concat(tables, ignore_index=True).convert_dtypes().to_csv(out, index=False)
