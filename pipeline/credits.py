"""Who ran a study and under which terms its results may be used, as its config says: for its run crate alone, part of no key."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Words = Annotated[str, Field(min_length=1)]


class Agent(BaseModel):
    """A person."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Words
    orcid: Annotated[str, Field(pattern=r"^\d{4}-\d{4}-\d{4}-\d{3}[\dX]$")] | None = None


class Credits(BaseModel):
    """Keys of a config. `license`: an address, or words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent: Agent | None = None
    license: Words | None = None
