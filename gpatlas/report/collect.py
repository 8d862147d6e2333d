"""One tidy table of all fits: every parameter a column, a row per scenario, model and trait; and the tables beside theirs, likewise."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from gpatlas.figures.rows import read_table
from gpatlas.progress import Progress
from gpatlas.report.settings import COLLECTED_TABLES, CollectSettings
from gpatlas.settings import beside

OF_A_ROW = ["experiment", "scenario", "model", "trait", "trait_name"]  # come first in the tables beside


def run(settings: CollectSettings, source: Path, out: Path, progress: Progress) -> None:
    """Concatenate the tables that the manifest `source` lists: [{"table": path, "columns": {name: value, …}, "beside": {…}}, …].

    The columns of an entry come first in its rows. `beside`, where it is given: the fit's further tables that are collected beside
    `out`, {name: path}; `published`, likewise: what is published of the traits, {trait_name: {column: value}}, in columns
    published_<column>. Raises ValueError where the manifest lists nothing.
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
        if "published" in entry:
            values = pd.DataFrame.from_dict(entry["published"], orient="index")
            table = table.join(values.add_prefix("published_"), on="trait_name")
        tables.append(table)
        progress(number, len(entries))
    for name in COLLECTED_TABLES:
        if some := [(entry, table) for entry, table in zip(entries, tables, strict=True) if name in entry.get("beside", {})]:
            _collect_beside(name, some, beside(out, name))
    # convert_dtypes: whole numbers stay whole where a model's table lacks the column
    pd.concat(tables, ignore_index=True).convert_dtypes().to_csv(out, index=False)


def _collect_beside(name: str, entries: list[tuple[dict[str, Any], pd.DataFrame]], out: Path) -> None:
    """Written one after the other, as they may be large. `entries`: with the rows of the results that the table `name` belongs to."""
    columns = list(dict.fromkeys([*OF_A_ROW, *(column for entry, _ in entries for column in pd.read_csv(entry["beside"][name], nrows=0))]))
    for number, (entry, rows) in enumerate(entries):
        table = pd.read_csv(entry["beside"][name], dtype=str, keep_default_na=False)  # so that all is written as it was
        table = table.assign(experiment=entry["columns"].get("experiment"), scenario=entry["columns"].get("scenario"))
        if "model" not in table:
            table["model"] = rows["model"].iloc[0]
        if "trait_name" in rows:
            table["trait_name"] = table["trait"].map(dict(zip(rows["trait"].astype(str), rows["trait_name"], strict=False)))
        table.reindex(columns=columns).to_csv(out, index=False, header=not number, mode="a" if number else "w")
