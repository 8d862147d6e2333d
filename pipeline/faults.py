"""The faults of a config file, collected, so that all are told at once; and what every name and number of it must be."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gpatlas.settings import SettingsError, build

LONGEST_NAME = 100  # a file name has at most 255 bytes: a figure's holds its experiment, its key and more


class ConfigError(ValueError):
    """All faults of a config file, a line each."""


class Faults:
    """Collects the faults of the config file `path`, each once, and raises them together."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[str, None] = {}

    def add(self, key: str, message: str) -> None:
        """Note what is wrong with the value of `key`, whose parts are separated by dots. Control characters are escaped."""
        line = f"{self.path}: {key}: {message}"
        self.lines["".join(character if character.isprintable() else repr(character)[1:-1] for character in line)] = None

    def build(self, cls: Any, values: Mapping[str, Any], where: str) -> Any:
        """`cls` of these values, which stand below the key `where`; None, and its faults noted, where they are not valid."""
        try:
            return build(cls, values)
        except SettingsError as error:
            for key, message in error.faults:
                self.add(".".join(filter(None, [where, key])), message)
        return None

    def stop_if_any(self) -> None:
        """Raise ConfigError where any fault was noted."""
        if self.lines:
            raise ConfigError("\n".join(self.lines))


def fault_of_name(name: str) -> str:
    """Why `name` can't be the name of a folder, and what can; '' where it can."""
    wrong = re.search(r"^[^A-Za-z0-9]|[^A-Za-z0-9_.+=-]", name)
    if not name:
        fault = "is empty"
    elif wrong:
        fault = f"{'holds' if wrong.start() else 'starts with'} {wrong[0]!r}"
    elif len(name) > LONGEST_NAME:
        fault = f"has {len(name)} characters, at most {LONGEST_NAME}"
    else:
        return ""
    return f"the name {name!r} {fault}; a name starts with a letter or digit, and holds only those and '_', '-', '.', '+', '='"


def faults_of_numbers(content: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, message) of every number in `content` that is not finite, or has more than 64 bits."""
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for name, value in items:
            yield from faults_of_numbers(value, f"{key}.{name}" if key else str(name))
    elif isinstance(content, float) and not math.isfinite(content):
        yield key, f"must be a finite number, got {content}"
    elif isinstance(content, int) and content.bit_length() > 63:
        yield key, "must be a number between -2^63 and 2^63"
