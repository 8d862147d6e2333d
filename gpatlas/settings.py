"""The settings of every stage: one class each, its fields the keys of a config, the flags of a command, the columns of a table.

Pure Python on purpose: the driver and the command line read it at start-up, without numpy. Defaults are the study's
values (Sandler & York 2025, doi 10.57844/arcadia-25nt-guw3).
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AllowInfNan, BaseModel, ConfigDict, Field, Strict, ValidationError

Int = Annotated[int, Strict()]
Float = Annotated[float, Strict(), AllowInfNan(False)]
Bool = Annotated[bool, Strict()]
Positive = Annotated[Int, Field(ge=1)]
S = TypeVar("S", bound=BaseModel)


BLOCK = 4096  # individuals that are unpacked at once, at most


@dataclass(frozen=True)
class Size:
    """A population: individuals, loci, traits, and the bits of a packed genotype."""

    n_individuals: int = 0
    n_loci: int = 0
    n_traits: int = 0
    bits: int = 1


class Settings(BaseModel):
    """A frozen set of values; unknown names are errors.

    `resources`: the names that say how a stage is run, not what it computes, and are left out of its key.
    """

    resources: ClassVar[frozenset[str]] = frozenset({"threads", "block_size"})

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)  # a command needs one class of them all

    def identity(self) -> dict[str, Any]:
        """The values that decide the result, ready for JSON."""
        return self.model_dump(mode="json", exclude=set(self.resources))


def resolve(place: str) -> Any:
    """What stands at "module:name", which is imported now."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def beside(out: Path, table: str) -> Path:
    """Where a further table goes that a stage writes beside `out`: `<out>.<table>.csv`, without `out`'s own .csv."""
    return out.with_name(f"{out.name.removesuffix('.csv')}.{table}.csv")


def nearest(name: str, allowed: list[str]) -> str:
    """', did you mean …?' and what is allowed, for a name that is not."""
    close = difflib.get_close_matches(name, allowed, n=1)
    hint = f", did you mean {close[0]!r}?" if close else ""
    return f"{hint} (allowed: {', '.join(sorted(allowed))})"


class SettingsError(ValueError):
    """Every fault of one set of settings, as (key, message) pairs in `faults`."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        self.faults = faults
        super().__init__("\n".join(f"{key}: {message}" if key else message for key, message in faults))


def build(cls: type[S], values: Mapping[str, Any]) -> S:
    """`cls(**values)`; raises SettingsError with every fault, each naming its key, its value and what would be right.

    Values of numpy count as Python's own.
    """
    try:
        return cls.model_validate({name: value.tolist() if hasattr(value, "tolist") else value for name, value in dict(values).items()})
    except ValidationError as error:
        fields = list(cls.model_fields)
        faults = [dict(fault) for fault in error.errors(include_url=False)]
        raise SettingsError([_explain(fault, fields) for fault in faults if not _follows(fault, faults)]) from None


def _follows(fault: dict[str, Any], faults: list[dict[str, Any]]) -> bool:
    """Whether a list is called too short only because of its faulty elements."""
    place = fault["loc"]
    return fault["type"] == "too_short" and any(other["loc"][: len(place)] == place and other is not fault for other in faults)


def _explain(fault: dict[str, Any], fields: list[str]) -> tuple[str, str]:
    key = ".".join(str(part) for part in fault["loc"])
    match fault["type"]:
        case "extra_forbidden":
            return key, "unknown key" + nearest(key, fields)
        case "missing":
            return key, "is required"
        case "value_error":
            inner, _, message = str(fault["ctx"]["error"]).partition(": ")
            return ".".join(filter(None, [key, inner])), message
    message = fault["msg"].removeprefix("Input ").replace("should", "must").partition(" after validation")[0]
    return key, f"{message}, got {fault['input']!r}"
