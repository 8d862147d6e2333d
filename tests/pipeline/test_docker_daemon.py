"""What a run survives when the engine itself dies. It kills the machine's Docker engine, so it runs only where it is told to."""

import os
import shlex
import signal
import subprocess
from pathlib import Path

import docker
import pandas as pd
import pytest
from drivers import LOCAL, SLOW_STUDY, processes, start, table, undisturbed_table, wait_for, write_study

from pipeline.docker_runner import LABEL, LOST

COMMAND = os.environ.get("GPATLAS_DOCKERD")
pytestmark = pytest.mark.skipif(not COMMAND, reason="kills the Docker engine; GPATLAS_DOCKERD must be the command that starts it")
PID_FILE = Path("/var/run/docker.pid")
CONTAINERD_PID_FILE = Path("/var/run/docker/containerd/containerd.pid")


def engine() -> list[int]:
    return [pid for pid, command in processes("dockerd").items() if Path(command.split()[0]).name == "dockerd"]


def answers() -> bool:
    try:
        return bool(docker.from_env().ping())
    except LOST:
        return False


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The study's table, from the local runner."""
    return undisturbed_table(tmp_path_factory.mktemp("undisturbed"), SLOW_STUDY)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_survives_the_engine(tmp_path: Path, undisturbed: pd.DataFrame, number: signal.Signals) -> None:
    study = write_study(tmp_path / "study.yaml", SLOW_STUDY)
    driver = start(study, tmp_path / "results", *LOCAL, "--runner", "docker")
    wait_for(lambda: b'"done"' in b"".join(path.read_bytes() for path in tmp_path.glob("results/store/scaling/*/ridge-*.part/log.txt")))
    (running,) = engine()
    os.kill(running, number)
    wait_for(lambda: not engine() and not processes("containerd", "--config"))
    for left in (PID_FILE, CONTAINERD_PID_FILE):
        left.unlink(missing_ok=True)  # else the new engine waits for the zombies of the old one, where nobody reaps them
    with (tmp_path / "dockerd.log").open("w") as log:
        subprocess.Popen(shlex.split(COMMAND or ""), stdout=log, stderr=log, start_new_session=True)
    wait_for(answers)
    output, _ = driver.communicate(timeout=600)
    assert driver.returncode == 0, output
    pd.testing.assert_frame_equal(table(tmp_path / "results", "study"), undisturbed, rtol=1e-4)
    left = docker.from_env().containers.list(all=True, filters={"label": LABEL + "folder"})
    assert not [container for container in left if container.labels[LABEL + "folder"].startswith(str(tmp_path))]
