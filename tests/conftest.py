"""What needs the Docker engine, an image, a browser or roc-validator. Without it such a test is skipped, and fails where CI is set."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import docker
import pytest
from browser import Page, chromium
from docker.errors import DockerException, ImageNotFound

from images import IMAGES

STANDS_IN = {"r": "r-base", "r-base": "r"}
# Ignored, and so by all that tests start, where these run in the background or by nohup.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    signal.signal(number, handler)


def unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env()
    except DockerException as error:
        unavailable(f"no Docker engine answers: {error}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = shutil.which("chromium")
    if program is None:
        unavailable("no chromium on PATH: apt-get install chromium")
    with chromium(program, tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


@pytest.fixture(scope="session")
def faults_of_crate() -> Callable[[Path], str]:
    """What roc-validator, which has an environment of its own, finds wrong with the run crate in a folder."""
    python = Path(sys.prefix) / "crate" / "bin" / "python"
    if not python.exists():
        unavailable(f"no roc-validator in {python.parents[1]}: make .venv/test")

    def faults(folder: Path) -> str:
        command = [str(python), str(Path(__file__).parent / "validate_crate.py"), str(folder)]
        ended = subprocess.run(command, capture_output=True, text=True)
        assert "checks, " in ended.stdout, ended.stderr
        return "" if ended.returncode == 0 else ended.stdout

    return faults


@pytest.fixture(scope="session")
def image(engine: docker.DockerClient) -> Callable[[str], str]:
    """The id of an image of ours, by its name in IMAGES. Where one of r and r-base is built, the other need not be."""

    def find(name: str) -> str | None:
        try:
            return str(engine.images.get(IMAGES[name].tag).id)
        except ImageNotFound:
            return None

    def image_id(name: str) -> str:
        if found := find(name):
            return found
        reason = f"{IMAGES[name].tag} is not built: python -m images build {name}"
        if name in STANDS_IN and find(STANDS_IN[name]):
            pytest.skip(reason)
        unavailable(reason)

    return image_id
