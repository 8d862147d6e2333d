"""The container images: names that follow from the files, exact locks, what the tool says, what is in an image and what is not."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import docker
import pytest
from click import ClickException
from drivers import ENVIRONMENT, PROJECT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from images import IMAGES, Image
from images.engine import client_with_buildkit

ImageId = Callable[[str], str]

BUILT = pytest.mark.parametrize("name", list(IMAGES))
SHUT_IN = {"user": "12345:12345", "network_mode": "none", "read_only": True, "tmpfs": {"/tmp": ""}, "remove": True}
COMPILERS = "gcc cc g++ c++ gfortran make clang ld as"


def lock(*names: str) -> dict[str, str]:
    """Version by package of lock files of Python packages."""
    lines = [line for name in names for line in (PROJECT / "images" / f"{name}.lock").read_text().splitlines()]
    return {str(canonicalize_name(name)): version for name, _, version in (line.partition("==") for line in lines if line[0] != "#")}


def images(*arguments: str, project: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "images", *arguments]
    variables = {**ENVIRONMENT, "PYTHONPATH": str(project), **environment}
    return subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True)


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    """A copy of all that images are made of."""
    project = tmp_path / "copy"
    for folder in ("gpatlas", "images", "r"):
        shutil.copytree(PROJECT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Dockerfile.gpu", "Dockerfile.r", ".dockerignore"):
        shutil.copy(PROJECT / name, project)
    return project


def names(image: Image, project: Path) -> tuple[str, str]:
    """Tag and environment of an image as the files of `project` are now."""
    there = replace(image, project=project)
    return there.tag, there.environment


@pytest.mark.parametrize("image", IMAGES.values(), ids=list(IMAGES))
def test_a_copy_has_the_same_names(image: Image, definition: Path) -> None:
    assert names(image, definition) == (image.tag, image.environment)
    assert re.fullmatch(rf"gpatlas-{image.name}:[0-9a-f]{{12}}", image.tag)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("gpu", "gpatlas/models/ridge.py"),
        ("gpu", "gpatlas/report/report.html"),
        ("gpu", "gpatlas/report/published.csv"),
        ("r", "r/simulate.R"),
    ],
)
def test_a_byte_of_a_source_changes_the_tag_alone(name: str, source: str, definition: Path) -> None:
    tag, environment = names(IMAGES[name], definition)
    path = definition / source
    path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
    changed = names(IMAGES[name], definition)
    assert (changed[0] != tag, changed[1]) == (True, environment)


@pytest.mark.parametrize("path", ["Dockerfile.gpu", "images/gpu.lock", "images/cuda.lock"])
def test_what_sources_run_on_changes_tag_and_environment(path: str, definition: Path) -> None:
    before = names(IMAGES["gpu"], definition)
    with (definition / path).open("a") as file:
        file.write("# more\n")
    assert not set(before) & set(names(IMAGES["gpu"], definition))


def test_a_file_by_another_name_is_another_definition(definition: Path) -> None:
    tag, _ = names(IMAGES["gpu"], definition)
    (definition / "gpatlas" / "stages.py").rename(definition / "gpatlas" / "satges.py")
    assert names(IMAGES["gpu"], definition)[0] != tag


@pytest.mark.parametrize("path", sorted((PROJECT / "images").glob("*.lock")), ids=lambda path: path.name)
def test_locks_are_exact(path: Path) -> None:
    pinned = r"(image|build) [a-z0-9.+-]+=[0-9.]+\*|cran \w+=[0-9.]+" if path.name == "r.lock" else r"[\w.-]+==[0-9][\w.]*"
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(pinned, line)] == []


@pytest.mark.parametrize("missing", ["Dockerfile.gpu", "images/gpu.lock", "images/cuda.lock"])
@pytest.mark.parametrize("command", [["tag", "gpu"], ["check"]], ids=" ".join)
def test_without_its_definition_no_image_has_a_name(
    missing: str, command: list[str], definition: Path, engine: docker.DockerClient
) -> None:
    (definition / missing).unlink()
    ended = images(*command, project=definition)
    assert (ended.returncode, ended.stdout) == (1, "")
    said = f"Error: {definition} has no {missing}: images are named by, and built from, these files\n"
    assert ended.stderr == said


def test_alphasimr_is_the_studys() -> None:
    assert re.findall(r"AlphaSimR=(.+)", (PROJECT / "images" / "r.lock").read_text()) == ["1.4.2"]


def test_what_gpatlas_imports_is_locked() -> None:
    trees = [ast.parse(path.read_text()) for path in (PROJECT / "gpatlas").glob("**/*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    roots = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"gpatlas"}
    assert roots >= {"numpy", "torch"}
    owners = packages_distributions()
    assert {name for root in roots for name in map(canonicalize_name, owners[root])} <= lock("gpu").keys()


@pytest.mark.parametrize("names", [("gpu",), ("gpu", "driver"), ("gpu", "driver", "dev")], ids="-".join)
def test_what_locked_packages_require_is_locked(names: tuple[str, ...]) -> None:
    needed = [Requirement(line) for name in lock(*names) for line in requires(name) or []]
    wanted = {canonicalize_name(one.name) for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})}
    assert wanted <= lock(*names, "cuda").keys()


def test_the_default_base_is_the_dockerfiles() -> None:
    [base] = {base for path in PROJECT.glob("Dockerfile.*") for base in re.findall(r"^ARG BASE=(\S+)", path.read_text(), re.MULTILINE)}
    assert f"[default: {base}]" in " ".join(images("build", "--help").stdout.split())


@pytest.mark.parametrize("command", ["build", "list", "check"])
def test_without_an_engine_it_says_where_it_asked(command: str) -> None:
    ended = images(command, DOCKER_HOST="unix:///nonexistent.sock")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: no Docker engine answers at unix:///nonexistent.sock (DOCKER_HOST")


def docker_program(folder: Path, version: str) -> Path:
    """A folder for PATH with a `docker` of that version and no plugins."""
    folder.mkdir()
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\n[ "$*" = --version ] && echo "Docker version {version}, build 0"\n')
    program.chmod(0o755)
    return folder


def test_the_first_client_with_buildkit_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = docker_program(tmp_path / "new", "28.2.2"), docker_program(tmp_path / "old", "20.10.24+dfsg1")
    monkeypatch.setenv("PATH", f"{new}:{old}")
    assert client_with_buildkit() == f"{old}/docker"
    monkeypatch.setenv("PATH", str(new))
    with pytest.raises(ClickException, match=f"no BuildKit in {new}/docker: install Docker's buildx plugin"):
        client_with_buildkit()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClickException, match="no docker on PATH"):
        client_with_buildkit()


def test_a_base_that_nobody_has_is_named(engine: docker.DockerClient, definition: Path) -> None:
    (definition / "gpatlas" / "new.py").touch()
    ended = images("build", "gpu", "--base", "localhost:1/none:now", project=definition)
    assert ended.returncode == 1
    assert "Error: --base localhost:1/none:now: the engine does not have it and no registry gives it" in ended.stderr


@BUILT
def test_present_stale_and_missing(name: str, image: ImageId, definition: Path) -> None:
    image(name)
    with (definition / IMAGES[name].dockerfile).open("a") as file:
        file.write("# more\n")
    assert re.search(rf"^{name} +present +{IMAGES[name].tag}$", images("check").stdout, re.MULTILINE)
    assert images("build", name).stdout == f"{IMAGES[name].tag} is up to date\n"
    ended = images("check", project=definition)
    assert ended.returncode == 1
    tag, _ = names(IMAGES[name], definition)
    assert re.search(rf"^{name} +stale +{tag} +python -m images build {name}\b", ended.stdout, re.MULTILINE)
    assert re.search(rf"^{name} old +{IMAGES[name].tag} ", images("list", project=definition).stdout, re.MULTILINE)


@BUILT
def test_its_default_command_is_help(name: str, image: ImageId, engine: docker.DockerClient) -> None:
    printed = engine.containers.run(image(name), **SHUT_IN).decode()
    assert printed.startswith("Usage: ")
    assert "simulate" in printed


@BUILT
def test_no_compiler_is_left(name: str, image: ImageId, engine: docker.DockerClient) -> None:
    script = f"for program in sh {COMPILERS}; do command -v $program; done; true"
    found = engine.containers.run(image(name), ["-c", script], entrypoint="sh", **SHUT_IN).decode().split()
    assert [Path(program).name for program in found] == ["sh"]


@BUILT
def test_its_labels_say_what_it_is(name: str, image: ImageId, engine: docker.DockerClient) -> None:
    prefix = "org.opencontainers.image."
    labels = engine.images.get(image(name)).labels
    said = {key.removeprefix(prefix): value for key, value in labels.items() if key.startswith(prefix)}
    assert said.keys() == {"title", "description", "licenses", "version", "base.name", "base.digest"}
    assert f"{said['title']}:{said['version']}" == IMAGES[name].tag
    assert said["base.name"]
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", said["base.digest"])


def test_the_gpu_image_holds_what_is_locked(image: ImageId, engine: docker.DockerClient) -> None:
    script = "import json; from importlib.metadata import distributions; print(json.dumps({d.name: d.version for d in distributions()}))"
    printed = engine.containers.run(image("gpu"), ["-c", script], entrypoint="python", **SHUT_IN)
    installed = {str(canonicalize_name(name)): version for name, version in json.loads(printed).items() if name != "pip"}
    allowed = lock("gpu", "cuda")
    assert lock("gpu").keys() <= installed.keys() <= allowed.keys()
    assert [name for name, version in installed.items() if version not in SpecifierSet(f"=={allowed[name]}")] == []


def test_stages_run_by_hand(image: ImageId, engine: docker.DockerClient, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)
    options = {**SHUT_IN, "volumes": {str(out): {"bind": "/out"}}, "working_dir": "/out"}
    engine.containers.run(image("gpu"), "simulate --n-individuals 200 --out data.h5", **options)
    engine.containers.run(image("gpu"), "fit-ridge --data data.h5 --out ridge.csv", **options)
    assert (out / "ridge.csv").read_text().startswith("model,trait,")
