"""The runners that a config, or --runner, can name."""

from pipeline.docker_runner import DockerRunner
from pipeline.runners import LocalRunner, Runner
from pipeline.slurm_runner import SlurmRunner

SLURM = SlurmRunner()
RUNNERS: dict[str, Runner] = {runner.name: runner for runner in (LocalRunner(), DockerRunner(), SLURM)}
