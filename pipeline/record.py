"""What a run was: what its run.json keeps, and what the driver alone can tell the report."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.config import Config, shown
from pipeline.stage_task import StageTask, git_commit

COST = ("started", "wall_seconds", "peak_memory_mb", "session", "image")


def record(study: Config, runner: str) -> dict[str, Any]:
    """The config and what ran it."""
    return {"config": str(study.path), "content": study.content, "git_commit": git_commit(), "runner": runner}


def cost(task: StageTask, *more: str) -> dict[str, Any]:
    """What a finished stage took, and `more` of its provenance."""
    provenance = task.entry.provenance()
    return {name: provenance[name] for name in (*COST, *more) if name in provenance}


def command(study: Config, runner: str, results: Path) -> str:
    """What a person types to repeat the run; the number of workers, and a central scheduler, are theirs to choose."""
    words: Iterable[str] = ["luigi", "--module", "pipeline", "RunAll", "--config", str(study.path), "--runner", runner]
    only = ["--experiments", ",".join(study.only)] if study.only else []
    return shlex.join([*words, *only, "--results", str(shown(results)), "--local-scheduler"])
