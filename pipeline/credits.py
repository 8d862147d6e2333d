"""Who ran a study and under which terms its results may be used, as its config says: for its run crate alone, part of no key."""

import re
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Words = Annotated[str, Field(min_length=1)]


def _is_orcid(given: str) -> bool:
    """Its last character is a check digit (ISO 7064, MOD 11-2): one that is mistyped names nobody else."""
    digits = [10 if digit == "X" else int(digit) for digit in re.findall(r"[0-9X]", given)]
    checked = sum(digit * 2**place for place, digit in enumerate(reversed(digits))) % 11 == 1
    return checked and bool(re.fullmatch(r"([0-9]{4}-){3}[0-9]{3}[0-9X]", given))


class Agent(BaseModel):
    """A person."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Words
    orcid: str | None = None

    @model_validator(mode="after")
    def _orcid_is_one(self) -> Self:
        if self.orcid is not None and not _is_orcid(self.orcid):
            raise ValueError(f"orcid: must be an ORCID, as 0000-0002-1825-0097 is one, got {self.orcid!r}")
        return self


class Credits(BaseModel):
    """Keys of a config. `license`: an address, or words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent: Agent | None = None
    license: Words | None = None
