"""What a run was, as the driver tells it to the report: the one description that both sides read.

Pure Python on purpose, as `gpatlas.settings`.
"""

from typing import Any, Self

from pydantic import model_validator

from gpatlas.figures.registry import FIGURES
from gpatlas.figures.settings import FurtherModels
from gpatlas.settings import Settings, nearest


class StageRecord(Settings):
    """A finished stage. `folder`: experiment/scenario; `name`: the model, or the stage's own; `started`: ISO 8601; `image`: its id, in a
    container; `session`: of the driver that ran it; `report`: what an importer joined and left out."""

    folder: str
    name: str
    started: str
    wall_seconds: float
    peak_memory_mb: float | None = None
    session: str
    image: str | None = None
    versions: dict[str, str] = {}
    report: dict[str, Any] = {}


class MissingStage(Settings):
    """A stage that failed, or reads from one that did, and `why`; `log`: its path below the results, where it has one."""

    stage: str
    why: str
    log: str | None = None


class FigureFile(Settings):
    """A figure of FIGURES and its PNG, `path`.

    `experiment`: what it draws, left out: its usual one; `further_models`: what it draws beside the study's models.
    """

    figure: str
    experiment: str | None = None
    further_models: FurtherModels = ()
    path: str

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.figure not in FIGURES:
            raise ValueError(f"figure: {self.figure!r} is no figure{nearest(self.figure, list(FIGURES))}")
        return self

    @property
    def drawn(self) -> str:
        """The experiment that it draws."""
        return self.experiment or FIGURES[self.figure].experiment


class RunRecord(Settings):
    """A whole run: its `config` file and what that said, the collected table `results` (CSV), the figures, every stage before the report.

    `session`: of the driver that asks for the report; a stage of another one was reused. `command`: what repeats the run. `missing`: what
    the run goes without; all else is of what there is.
    """

    name: str
    config: str
    content: dict[str, Any]
    git_commit: str
    runner: str
    session: str
    command: str
    results: str
    figures: tuple[FigureFile, ...]
    stages: tuple[StageRecord, ...]
    missing: tuple[MissingStage, ...] = ()

    @property
    def ran(self) -> list[StageRecord]:
        """The stages that were not reused."""
        return [stage for stage in self.stages if stage.session == self.session]
