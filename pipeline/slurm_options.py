"""The block `slurm` of a config: where its jobs go on a cluster, and what they may take there."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gpatlas.settings import Float, Positive

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.,:=/@+-]*$")]
# What the driver says itself, of every job.
OURS = (
    *("array", "begin", "chdir", "comment", "cpus-per-task", "dependency", "error", "gres", "input", "job-name", "mem", "mem-per-cpu"),
    *("nodes", "no-requeue", "ntasks", "open-mode", "output", "parsable", "requeue", "test-only", "time", "wait", "wrap"),
)
MOST_STAGES_PER_JOB = 50  # the job's comment tells them all
IN_KEYS = ("account", "partition", "qos")


class SlurmOptions(BaseModel):
    """`flags`: further ones of sbatch, as `--name=value`. `gres`: what a stage that trains a network asks for; left out, it gets no GPU.

    A job may run for the estimate times `minutes_factor`, at most `max_minutes`; one that took too long, or too much memory, is tried
    again with twice as much, up to `max_minutes` and `max_memory_gb`. `max_jobs`: submitted at once. `stages_per_job`: so many of those
    that take seconds may share a job; 1: none do. `prologue`: lines of bash. `container`: what runs a stage's image, which is in the
    folder `images`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: Name | None = None
    account: Name | None = None
    qos: Name | None = None
    gres: Name | None = None
    flags: tuple[str, ...] = ()
    prologue: str = ""
    minutes_factor: Annotated[Float, Field(gt=0)] = 3.0
    max_minutes: Positive = 1440
    max_memory_gb: Positive | None = None
    max_jobs: Positive = 200
    stages_per_job: Annotated[Positive, Field(le=MOST_STAGES_PER_JOB)] = 20
    seconds_between_polls: Positive = 10
    container: Literal["charliecloud", "apptainer"] | None = None
    images: Path | None = None

    @model_validator(mode="after")
    def _flags_of_sbatch(self) -> Self:
        for flag in self.flags:
            name = re.fullmatch(r"--([a-z][a-z-]*)(=.+)?", flag, re.DOTALL)
            if not name:
                raise ValueError(f"flags: a flag of sbatch is written --name or --name=value, got {flag!r}")
            if name[1] in OURS:
                raise ValueError(f"flags: --{name[1]} is said by the driver, got {flag!r}; leave it out")
            if name[1] in IN_KEYS:
                raise ValueError(f"flags: --{name[1]} has a key of its own, got {flag!r}; write {name[1]}: …")
        return self

    @model_validator(mode="after")
    def _images_of_a_container(self) -> Self:
        if (self.container is None) != (self.images is None):
            raise ValueError("container and images: both are needed, a tool and the folder of what `python -m images export` made")
        if self.images and not self.images.is_absolute():
            raise ValueError(f"images: a folder that all nodes see is named by its whole path, got {str(self.images)!r}")
        return self
