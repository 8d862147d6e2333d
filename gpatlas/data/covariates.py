"""Covariates in numbers: numbers as they are, a factor of k levels as k − 1 columns of 0 and 1 named column=level."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpatlas.data.genotypes import FloatArray
from gpatlas.data.sources import SourceError
from gpatlas.data.text_tables import MISSING_VALUES

INDEPENDENT = 1e-8  # of a column's length must be left beside the columns before it


@dataclass(frozen=True)
class Covariates:
    """`values` (n, C) of the columns `names`, each in numbers; `dropped`: those that are constant."""

    names: tuple[str, ...]
    values: FloatArray
    dropped: tuple[str, ...] = ()


def number(text: str) -> float | None:
    """A finite number, or None. Python also takes 1_0, for 10; tables never mean that."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) and "_" not in text else None


def is_numeric(texts: Sequence[str]) -> bool:
    """Whether all that are not missing are numbers."""
    return all(text in MISSING_VALUES or number(text) is not None for text in texts)


def coded(path: Path, columns: dict[str, list[str]], ids: Sequence[str], numeric: set[str]) -> Covariates:
    """The covariates of individuals `ids`, none missing. SourceError where a column tells individuals apart, or follows from others."""
    names: list[str] = []
    values: list[FloatArray] = []
    dropped: list[str] = []
    for name, texts in columns.items():
        _check_no_id(path, name, texts, ids, name in numeric)
        levels = sorted(set(texts))
        if len(levels) == 1 or (name in numeric and len(set(map(float, texts))) == 1):
            dropped.append(name)
        elif name in numeric:
            names.append(name)
            values.append(np.array(texts, np.float64))
        else:
            names += [f"{name}={level}" for level in levels[1:]]
            values += [(np.array(texts) == level).astype(np.float64) for level in levels[1:]]
    matrix = np.column_stack(values) if values else np.zeros((len(ids), 0))
    _check_independent(path, names, matrix)
    return Covariates(tuple(names), matrix, tuple(dropped))


def _check_no_id(path: Path, name: str, texts: Sequence[str], ids: Sequence[str], numeric: bool) -> None:
    if list(texts) == list(ids):
        raise SourceError(f"{path}: column {name!r} equals the ids; leave it out of the covariates")
    n_levels = len(set(texts))
    if not numeric and 2 * n_levels > len(texts):
        example = next(text for text in texts if number(text) is None)
        raise SourceError(
            f"{path}: column {name!r} is a factor with {n_levels} levels among {len(texts)} individuals, as {example!r} is no number; "
            "leave it out, or correct its values"
        )


def _check_independent(path: Path, names: Sequence[str], matrix: FloatArray) -> None:
    """Gram-Schmidt on centred columns of length 1: nothing is left of a column that follows from those before it and a constant."""
    basis = np.zeros((0, len(matrix)))
    for name, column in zip(names, (matrix - matrix.mean(axis=0)).T, strict=True):
        rest = column / np.linalg.norm(column)
        for _ in range(2):  # the second time takes away what rounding left
            rest = rest - basis.T @ (basis @ rest)
        length = np.linalg.norm(rest)
        if length < INDEPENDENT:
            before = ", ".join(names[: len(basis)])
            raise SourceError(f"{path}: column {name!r} follows from others ({before}): covariates must not be collinear, leave it out")
        basis = np.vstack([basis, rest / length])
