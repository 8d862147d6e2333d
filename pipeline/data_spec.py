"""How a dataset file is made, as the task that makes it is told: in one text, by which drivers know it for the same."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from gpatlas.settings import Settings, Size
from pipeline.store import canonical


@dataclass(frozen=True)
class DataSpec:
    """The stage, its settings, the files that it reads (the first is its source) and, by what they are, their checksums.

    `genotypes`: of traits that are simulated on a population's genotypes, how that `population`'s own file is made, which is the source.
    """

    stage: str
    settings: dict[str, Any]
    reads: tuple[str, ...]
    fingerprints: dict[str, str]
    size: Size
    population: str = ""
    genotypes: "DataSpec | None" = None

    def written(self) -> str:
        """As JSON."""
        return canonical(asdict(self))

    @classmethod
    def read(cls, text: str) -> "DataSpec":
        """The inverse of `written`."""
        return cls._of(json.loads(text))

    @classmethod
    def _of(cls, values: dict[str, Any]) -> "DataSpec":
        genotypes = cls._of(values["genotypes"]) if values["genotypes"] else None
        return cls(**{**values, "reads": tuple(values["reads"]), "size": Size(**values["size"]), "genotypes": genotypes})


def given(settings: Settings) -> dict[str, Any]:
    """What is said of them, ready for JSON."""
    return settings.model_dump(mode="json", exclude_none=True)
