"""The tables of the pages that are made from the code: a line `<!-- table: NAME -->` of a page stands for one of TABLES."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from pydantic.fields import FieldInfo

from gpatlas.data import layout
from gpatlas.models.registry import MODELS
from gpatlas.models.settings import FitSettings
from gpatlas.needs import memory_bytes
from gpatlas.report import columns
from gpatlas.report.columns import Columns
from gpatlas.settings import Size
from gpatlas.stages import FITS

MARKER = re.compile(r"^<!-- table: (.+) -->$", re.MULTILINE)
MEANING = '<span class="wide">meaning</span>'  # a column that stays readable where a table is wider than the screen
SIZES = ((1_000, 1_000), (1_000, 50_000), (10_000, 10_000), (100_000, 10_000))  # individuals, loci


def filled(markdown: str) -> str:
    """A page with its tables. Raises ValueError naming one that is not known."""
    return MARKER.sub(lambda found: _made(found[1]), markdown)


def _made(name: str) -> str:
    if name not in TABLES:
        raise ValueError(f"no table is called {name!r}; there are {', '.join(TABLES)}")
    return TABLES[name]()


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """In Markdown; the first cell of a row is code."""
    names = list(heads)
    lines = [names, ["---"] * len(names), *([f"`{first}`", *map(_text, rest)] for first, *rest in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text: str) -> str:
    """As it is read, whatever signs are in it."""
    return re.sub(r"([*_\[\]\\`])", r"\\\1", text.replace("|", "&#124;").replace("<", "&lt;"))


def columns_table(of: Columns, head: str = "column") -> str:
    """A row per column."""
    return table([head, MEANING, "unit", "type"], ((name, column.meaning, column.unit, column.kind) for name, column in of.items()))


def added_table() -> str:
    """A row per column that a model adds, and the models that have it with this meaning."""
    models: dict[tuple[str, layout.Column], list[str]] = {}
    for model, of_model in columns.OF_MODELS.items():
        for named in of_model.items():
            models.setdefault(named, []).append(model)
    rows = ((name, ", ".join(of), column.meaning, column.unit, column.kind) for (name, column), of in models.items())
    return table(["column", "of", MEANING, "unit", "type"], rows)


def settings_table(fields: dict[str, FieldInfo]) -> str:
    """A row per setting."""
    rows = ((name, default(field.default), field.description or "") for name, field in fields.items())
    return table(["setting", "default", MEANING], rows)


def default(value: Any) -> str:
    """As a person writes it; a value that is left out is empty."""
    if isinstance(value, tuple):
        return ", ".join(map(default, value))
    if value is None or isinstance(value, bool):
        return {None: "", True: "on", False: "off"}[value]
    return value if isinstance(value, str) else f"{value:g}"


def own_fields(model: str) -> dict[str, FieldInfo]:
    """The settings that a model does not share with all others."""
    return {name: field for name, field in MODELS[model].settings.model_fields.items() if name not in FitSettings.model_fields}


def models_table() -> str:
    """A row per model."""
    lines = ["| model | title | command | what it is |", "| --- | --- | --- | --- |"]
    for name, model in MODELS.items():
        what = _text(model.settings.__doc__ or "")
        lines.append(f"| [`{name}`](#{name}) | {model.title} | `{FITS[name].command}` | {what} |")
    return "\n".join(lines)


def memory_table() -> str:
    """A row per model: GB that its fit is reckoned to take at most, of one trait, diploids, ten folds."""
    rows = []
    for model in MODELS.values():
        settings = model.settings(protocol="cross_validation")
        needed = [memory_bytes(FITS[model.name], settings, Size(n, n_loci, 1, bits=2)) / 1e9 for n, n_loci in SIZES]
        rows.append([model.name, *(f"{gb:,.0f}" if gb >= 10 else f"{gb:.1f}" for gb in needed)])
    return table(["model", *(f"{n:,} × {n_loci:,}" for n, n_loci in SIZES)], rows)


TABLES: dict[str, Callable[[], str]] = {
    **{
        f"results, {name}": partial(columns_table, of)
        for name, of in {
            "row": columns.OF_A_STUDY | columns.OF_A_FIT,
            "scores": columns.SCORES | columns.SPREAD,
            "splits": columns.SPLITS,
            "population": columns.POPULATION,
        }.items()
    },
    "results, models": added_table,
    **{name: partial(columns_table, of) for name, of in columns.TABLES.items() if name != "results"},
    "format 1": partial(columns_table, layout.PLAIN, "dataset"),
    "format 2": partial(columns_table, layout.DESCRIBED, "dataset"),
    "attributes": partial(columns_table, layout.ATTRIBUTES, "attribute"),
    "attributes of traits": partial(columns_table, layout.ATTRIBUTES_OF_TRAITS, "attribute"),
    "models": models_table,
    "memory": memory_table,
    "settings": lambda: settings_table(FitSettings.model_fields),
    **{f"settings of {model}": partial(lambda name: settings_table(own_fields(name)), model) for model in MODELS},
    **{f"columns of {model}": partial(columns_table, columns.OF_MODELS.get(model, {})) for model in MODELS},
}
