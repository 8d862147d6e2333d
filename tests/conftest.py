"""What needs the Docker engine. Without it, or without an image, such a test is skipped, and fails where CI is set."""

import os
from collections.abc import Callable, Iterator
from typing import NoReturn

import docker
import pytest
from docker.errors import DockerException, ImageNotFound

from images import IMAGES

STANDS_IN = {"r": "r-base", "r-base": "r"}


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
