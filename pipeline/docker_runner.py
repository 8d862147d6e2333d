"""Each stage in a container of its pinned image.

A container sees the results at their own path, read-only but for the stage's folder, and nothing else of the machine:
no network, no capabilities, a read-only root. The Docker client is made anew wherever it is needed: one that is shared
across a fork mixes up the answers to different processes.
"""

import codecs
import itertools
import os
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import DeviceRequest, LogConfig, Mount

from gpatlas.stages import Stage
from images import IMAGES
from pipeline.runners import Job, OnLine, OnThisMachine, Outcome, RunnerError, csv_fields, shown_read_only
from pipeline.session import Session, session

LABEL = "gpatlas."
SHUT_IN = "--network none --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --env HOME=/tmp"
NOBODY = 65534
SECONDS_FOR_ENGINE = 60  # how long to wait for an engine that went away while a stage ran
STOPPED = {137: -9, 143: -15}  # exit codes of a container that was stopped from outside
ENGINE_LOSSES = 5
LOST = (DockerException, requests.exceptions.RequestException, urllib3.exceptions.HTTPError, ConnectionError)


class DockerRunner(OnThisMachine):
    """A stage is a container, removed when it has ended."""

    name = "docker"

    def environment(self, stage: Stage) -> dict[str, str]:
        try:
            return {"image": IMAGES[stage.image].environment}
        except FileNotFoundError as error:
            raise RunnerError(str(error)) from None

    def command(self, job: Job) -> str:
        mounts = [
            word
            for path, there in shown_read_only(job)
            for word in ("--mount", csv_fields("type=bind", f"source={path}", f"target={there}", "readonly"))
        ]
        words = shlex.join([*mounts, IMAGES[job.stage.image].tag, *job.arguments])
        out = r'--mount "type=bind,\"source=$PWD\",target=/out" --workdir /out'
        return f'docker run --rm --user "$(id -u):$(id -g)" {SHUT_IN} {out} {words}'

    @contextmanager
    def ready(self, folders: Mapping[Path, Stage], results: Path) -> Iterator[None]:
        if not os.getuid():
            _let_group_read(results)
        with _engine() as client:
            for name in sorted({stage.image for stage in folders.values()}):
                _image(client, name)
            _remove(client, lambda labels: Session.parse(labels[LABEL + "run"]).ended())
        try:
            yield
        finally:
            with suppress(*LOST, RunnerError), _engine() as client:
                _remove(client, lambda labels: labels[LABEL + "run"] == str(session()))

    def evict(self, folder: Path) -> bool:
        with _engine() as client:
            _remove(client, lambda labels: labels.get(LABEL + "folder") == str(folder))
        return False

    def run(self, job: Job, on_line: OnLine) -> Outcome:
        started = time.monotonic()
        with _engine() as client, _owned(job.folder) as user:
            image = _image(client, job.stage.image)
            container = _start(client, image, job, user)
            try:
                state = _follow(container.id, on_line)
            finally:
                with suppress(*LOST, RunnerError), _engine() as anew:
                    anew.api.remove_container(container.id, force=True, v=True)
        return Outcome(_exit_code(state), time.monotonic() - started, image, state["OOMKilled"])


def container_options(job: Job, user: str) -> dict[str, Any]:
    """How the container of a job is made: what it may see and use."""
    memory = job.needs.memory_gb * 10**9
    mounts = [Mount(there, path, "bind", read_only=True) for path, there in shown_read_only(job)]
    return {
        "command": list(job.arguments),
        "user": user,
        "network_mode": "none",
        "read_only": True,
        "tmpfs": {"/tmp": "mode=1777,size=256m"},
        "environment": {"HOME": "/tmp"},
        "mounts": [*mounts, Mount(str(job.folder), str(job.folder), "bind")],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "init": True,
        "pids_limit": 1024,
        "mem_limit": memory,
        "memswap_limit": memory,
        "nano_cpus": job.needs.cpu * 10**9,
        "device_requests": [DeviceRequest(count=1, capabilities=[["gpu"]])] if job.needs.gpu else [],
        "labels": {LABEL + name: value for name, value in {**job.labels, "run": str(session()), "folder": str(job.folder)}.items()},
        "log_config": LogConfig(type=LogConfig.types.JSON, config={"max-size": "64m"}),
    }


def _let_group_read(results: Path) -> None:
    """Root's stages run as nobody in root's group: that may read results, old and new, whatever root's umask was and is."""
    os.umask(os.umask(0) & ~0o050)
    for root, _, names in os.walk(results):
        for path in (Path(root), *(Path(root) / name for name in names)):
            mode = path.lstat().st_mode
            wanted = mode | (0o050 if path.is_dir() else 0o040)
            if wanted != mode and not path.is_symlink():
                path.chmod(wanted)


@contextmanager
def _engine(patience: float = 0) -> Iterator[docker.DockerClient]:
    """A client of the engine, which may take `patience` seconds to come back."""
    deadline = time.monotonic() + patience
    while True:
        try:
            client = docker.from_env()
            client.ping()
            break
        except LOST as error:
            if time.monotonic() >= deadline:
                raise RunnerError(f"no Docker engine answers ({error}): start it, or use --runner local") from error
            time.sleep(1)
    with closing(client):
        yield client


def _image(client: docker.DockerClient, name: str) -> str:
    """Id of the image called `name`; RunnerError where it is not there."""
    tag = IMAGES[name].tag
    try:
        return str(client.images.get(tag).id)
    except ImageNotFound:
        raise RunnerError(f"image {tag} is not there: build it with: python -m images build {name}") from None


def _remove(client: docker.DockerClient, chosen: Any) -> None:
    """Remove our containers, running or not, whose labels are `chosen`."""
    for summary in client.api.containers(all=True, filters={"label": LABEL + "run"}):
        if chosen(summary["Labels"]):
            with suppress(NotFound, APIError):  # gone, or being removed by another driver
                client.api.remove_container(summary["Id"], force=True, v=True)


@contextmanager
def _owned(folder: Path) -> Iterator[str]:
    """The user to run as: the caller. A stage never runs as root: root's runs as nobody in root's group, and its files go to root."""
    if os.getuid():
        yield f"{os.getuid()}:{os.getgid()}"
        return
    _give(folder, NOBODY, os.getgid())
    try:
        yield f"{NOBODY}:{os.getgid()}"
    finally:
        _give(folder, os.getuid(), os.getgid())


def _give(folder: Path, user: int, group: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, group, follow_symlinks=False)


def _start(client: docker.DockerClient, image: str, job: Job, user: str) -> Container:
    try:
        container = client.containers.create(image, **container_options(job, user))
        try:
            container.start()
        except APIError:
            container.remove(force=True)
            raise
    except APIError as error:
        hint = "; use device: cpu, or install NVIDIA's container toolkit" if "device driver" in str(error) else ""
        raise RunnerError(f"the Docker engine refused the stage's container: {error.explanation}{hint}") from error
    return container


def _follow(container: str, on_line: OnLine) -> dict[str, Any]:
    """Hand over every line that the container prints, once, and return its state when it has ended.

    The end of a log stream proves nothing: it ends when the engine dies too, and with `live-restore` the container goes on.
    """
    taken = 0
    for _ in range(ENGINE_LOSSES):
        try:
            with _engine(patience=SECONDS_FOR_ENGINE) as client:
                found = client.containers.get(container)
                for line in itertools.islice(_lines(found.logs(stream=True, follow=True)), taken, None):
                    on_line(line)
                    taken += 1
                found.wait()
                found.reload()
                return dict(found.attrs["State"])
        except NotFound:
            raise RunnerError("the stage's container was removed from outside while it ran") from None
        except LOST:
            continue
    raise RunnerError(f"the Docker engine was lost {ENGINE_LOSSES} times while the stage ran")


def _exit_code(state: dict[str, Any]) -> int:
    """Negative where the container was stopped from outside; never 0 where the kernel killed but a child for its memory."""
    if state["OOMKilled"]:
        return int(state["ExitCode"]) or 137
    return STOPPED.get(state["ExitCode"], int(state["ExitCode"]))


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    decoder, rest = codecs.getincrementaldecoder("utf-8")(errors="replace"), ""
    for chunk in chunks:
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        yield from (line + "\n" for line in lines)
    if rest:
        yield rest
