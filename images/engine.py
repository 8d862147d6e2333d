"""The Docker engine: which images of ours it has, and how it builds one.

Looking goes through the SDK; building, which needs BuildKit, through the engine's own client.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click
import docker
from docker.constants import DEFAULT_UNIX_SOCKET
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.images import Image as EngineImage

from images import Image

LABEL = "org.opencontainers.image."


@contextmanager
def engine() -> Iterator[docker.DockerClient]:
    """A client of the engine at $DOCKER_HOST; raises ClickException where none answers."""
    try:
        client = docker.from_env()
    except DockerException as error:
        host = os.environ.get("DOCKER_HOST", DEFAULT_UNIX_SOCKET)
        raise click.ClickException(f"no Docker engine answers at {host} (DOCKER_HOST names another place): {error}") from None
    with closing(client):
        yield client


def find(client: docker.DockerClient, image: Image) -> tuple[EngineImage | None, list[EngineImage]]:
    """The image under its present tag, None where there is none, and older ones of the same name, newest first."""
    found = client.images.list(filters={"label": f"{LABEL}title={image.repository}"})
    present = next((one for one in found if image.tag in one.tags), None)
    return present, sorted((one for one in found if one != present), key=lambda one: str(one.attrs["Created"]), reverse=True)


def client_with_buildkit() -> str:
    """The first `docker` on PATH that has BuildKit: built in before version 23, since then in a plugin, buildx."""
    programs = [program for folder in os.get_exec_path() if (program := shutil.which("docker", path=folder))]
    for program in programs:
        if _has_buildkit(program):
            return program
    if programs:
        raise click.ClickException(f"no BuildKit in {', '.join(programs)}: install Docker's buildx plugin")
    raise click.ClickException("no docker on PATH: install Docker's client, which builds images")


def _has_buildkit(program: str) -> bool:
    version = re.search(r"version (\d+)", subprocess.run([program, "--version"], capture_output=True, text=True).stdout)
    if version and int(version[1]) < 23:
        return True
    return subprocess.run([program, "buildx", "version"], capture_output=True).returncode == 0


@dataclass(frozen=True)
class Builder:
    """Builds images on `base`; `ca` is a file of certificates for downloads; `afresh` trusts no cached layer."""

    client: docker.DockerClient
    base: str
    ca: Path | None
    afresh: bool

    @cached_property
    def program(self) -> str:
        return client_with_buildkit()

    @cached_property
    def base_digest(self) -> str:
        """The registry's digest of the base image, its id where it comes from no registry."""
        try:
            base = self.client.images.get(self.base)
        except ImageNotFound:
            base = self._pulled()
        digests = [digest.partition("@")[2] for digest in base.attrs.get("RepoDigests") or []]
        return str([*digests, base.id][0])

    def _pulled(self) -> EngineImage:
        click.echo(f"pulling {self.base}")
        try:
            return self.client.images.pull(self.base)
        except APIError as error:
            raise click.ClickException(
                f"--base {self.base}: the engine does not have it and no registry gives it ({error.explanation}). Without a registry:\n"
                "  mmdebstrap --variant=minbase bookworm | docker import - gpatlas-base:bookworm\n"
                "  python -m images build --base gpatlas-base:bookworm"
            ) from None

    def build(self, image: Image) -> bool:
        """Whether it went well; the output goes where ours goes."""
        return self._run(image, image.name, "--tag", image.tag, *(["--no-cache"] if self.afresh else []))

    def export(self, image: Image, stage: str, folder: Path) -> bool:
        """The files of a stage of the image's Dockerfile, written into the folder."""
        return self._run(image, stage, "--output", str(folder))

    def _run(self, image: Image, stage: str, *flags: str) -> bool:
        values = {"BASE": self.base, "BASE_DIGEST": self.base_digest, "VERSION": image.version}
        command = [self.program, "build", "--file", str(image.project / image.dockerfile), "--target", stage, *flags]
        command += [word for name, value in values.items() for word in ("--build-arg", f"{name}={value}")]
        command += ["--secret", f"id=ca,src={self.ca}"] if self.ca else []
        return subprocess.run([*command, str(image.project)], env={**os.environ, "DOCKER_BUILDKIT": "1"}).returncode == 0
