"""The runners that a config, or --runner, can name."""

from pipeline.docker_runner import DockerRunner
from pipeline.runners import LocalRunner, Runner

RUNNERS: dict[str, Runner] = {runner.name: runner for runner in (LocalRunner(), DockerRunner())}
