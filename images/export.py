"""Images for machines without Docker: what Charliecloud or Apptainer runs, made of an image that the engine has."""

import io
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import docker
from docker.models.images import Image as EngineImage

from images import Image

Format = Literal["charliecloud", "apptainer"]


def export(client: docker.DockerClient, present: EngineImage, image: Image, format: Format, folder: Path) -> list[str]:
    """Write the image into the folder; returns the command that is left to do where the tool is, [] where it is here.

    Charliecloud takes a container's files, without what Docker knows of the image; that is put beside them, in /ch.
    """
    target = folder / image.exported(format)
    archive = folder / f"{image.exported('charliecloud')}.tar"
    if format == "charliecloud":
        container = client.api.create_container(present.id)["Id"]
        try:
            _write(archive, client.api.export(container))
        finally:
            client.api.remove_container(container)
        _append(archive, present.attrs["Config"])
    else:
        _write(archive, present.save(named=True))
    if shutil.which(_finish(format, archive, target)[0]) is None:
        return _finish(format, archive, target)
    aside = target.with_name(f".{target.name}")
    subprocess.run(_finish(format, archive, aside), check=True)
    shutil.rmtree(target, ignore_errors=True)
    aside.replace(target)
    archive.unlink()
    return []


def _finish(format: Format, archive: Path, target: Path) -> list[str]:
    if format == "apptainer":
        return ["apptainer", "build", "--force", str(target), f"docker-archive:{archive}"]
    return ["ch-convert", "--in-fmt=tar", "--out-fmt=dir", str(archive), str(target)]


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(chunks)


def _append(archive: Path, config: dict[str, list[str]]) -> None:
    """The image's variables and entry point."""
    entrypoint = f'#!/bin/sh\nexec {shlex.join(config["Entrypoint"])} "$@"\n'
    with tarfile.open(archive, "a") as tar:
        for name, text, mode in (("environment", "\n".join([*config["Env"], ""]), 0o644), ("entrypoint", entrypoint, 0o755)):
            member = tarfile.TarInfo(f"ch/{name}")
            member.size, member.mode = len(text.encode()), mode
            tar.addfile(member, io.BytesIO(text.encode()))
