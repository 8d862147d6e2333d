"""What is published of the traits of a user's own population, as a config names it: a text table with a row per trait."""

import math
from collections.abc import Collection
from pathlib import Path

from gpatlas.data.sources import SourceError
from gpatlas.data.text_tables import MISSING_VALUES, TextTable
from gpatlas.settings import nearest

Published = dict[str, dict[str, float | str | None]]
SHARES, R_SQUARED = ("broad_h2", "narrow_h2"), "_r_squared"  # columns, and the end of columns, that hold shares of a variance


def published_values(path: Path, traits: Collection[str]) -> Published:
    """{trait: {column: value}} of the table: numbers in the columns SHARES and those that end in R_SQUARED, words in others.

    The first column holds the traits' names, which must be among `traits`. SourceError where one is not, or is there twice, or a
    number is none.
    """
    table = TextTable.open(path)
    columns = table.columns(None)
    found: Published = {}
    for line, fields in table.rows():
        trait = columns.person(fields).id
        if trait not in traits:
            raise SourceError(f"{path}, line {line}: {trait!r} is no trait of the phenotypes{nearest(trait, list(traits))}")
        if trait in found:
            raise SourceError(f"{path}, line {line}: trait {trait!r} is there twice; a trait has one row")
        found[trait] = {
            name: _value(name, fields[column].strip(), f"{path}, line {line}, column {name!r}") for name, column in columns.values.items()
        }
    if not found:
        raise SourceError(f"{path}: has no row beside its column names; it has a row per trait")
    return found


def _value(column: str, text: str, place: str) -> float | str | None:
    if text in MISSING_VALUES:
        return None
    if column not in SHARES and not column.endswith(R_SQUARED):
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not -math.inf < value <= 1:
        raise SourceError(f"{place}: {text!r} is no share of a variance, which is a number up to 1; NA or nothing is missing")
    return value
