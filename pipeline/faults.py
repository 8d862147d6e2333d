"""The faults of a config file: collected, so that all are told at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpatlas.settings import SettingsError, build


class ConfigError(ValueError):
    """All faults of a config file, a line each."""


class Faults:
    """Collects the faults of the config file `path`, each once, and raises them together."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[str, None] = {}

    def add(self, key: str, message: str) -> None:
        """Note what is wrong with the value of `key`, whose parts are separated by dots."""
        self.lines[f"{self.path}: {key}: {message}"] = None

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
