"""The comment of a job, which tells whose the job is and which stages run in it; and the jobs in the queue that drivers have submitted."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline import slurm
from pipeline.session import Session

NAME = "gpatlas"


@dataclass(frozen=True)
class Comment:
    """`stages`: a mark of each one's folder. As text it is `gpatlas <driver> <mark> …`, of which Slurm takes 1,024 characters."""

    driver: Session
    stages: tuple[str, ...]

    @classmethod
    def of(cls, driver: Session, folders: Sequence[Path]) -> "Comment":
        """That of a job of this driver for the stages that write to these folders."""
        return cls(driver, tuple(map(_mark, folders)))

    @classmethod
    def parse(cls, text: str) -> "Comment | None":
        """None of a comment that is not a driver's."""
        with suppress(ValueError):  # of too few words, or of one that names no driver
            name, driver, *stages = text.split(" ")
            if name == NAME and stages:
                return cls(Session.parse(driver), tuple(stages))
        return None

    def __str__(self) -> str:
        return " ".join([NAME, str(self.driver), *self.stages])

    def has(self, folder: Path) -> bool:
        """Whether the stage that writes to the folder is one of them."""
        return _mark(folder) in self.stages

    def is_shared(self) -> bool:
        """Whether the job runs several stages."""
        return len(self.stages) > 1


@dataclass(frozen=True)
class Submitted:
    """A job in the queue that a driver has submitted. `folder`: where it works."""

    id: str
    folder: Path
    comment: Comment


def submitted_jobs() -> list[Submitted]:
    """All of this user."""
    return [Submitted(job.id, job.folder, comment) for job in slurm.queue() if (comment := Comment.parse(job.comment))]


def of_results(results: Path) -> list[Submitted]:
    """Those for these results."""
    return [job for job in submitted_jobs() if job.folder.is_relative_to(results)]


def jobs_in(folder: Path) -> list[Submitted]:
    """Those that run the stage that writes to the folder."""
    return [job for job in submitted_jobs() if job.comment.has(folder)]


def _mark(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode()).hexdigest()[:10]
