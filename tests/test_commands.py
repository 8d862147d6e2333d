"""Every command of README and pages is run: what needs a wheel by test_wheel.py, what needs a cluster by test_slurm.py, the others here.

What would take long is started by its program and told to do less.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import docker
import pytest
from documented import GROUPS, PAGES, blocks, everywhere, group_of, lines
from drivers import ENVIRONMENT, PROJECT

from images import IMAGES

FLAGS = ("--network none", "--read-only", "--cap-drop ALL", "no-new-privileges")
TESTS = ("test_commands.py", "test_wheel.py", "pipeline/test_slurm.py")


def ran(*words: str, cwd: Path = PROJECT, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, env={**ENVIRONMENT, **variables}, capture_output=True, text=True)


def test_every_command_is_of_a_group_that_a_test_runs() -> None:
    assert not [(page.name, command) for page in PAGES for command in lines(page) if group_of(command) is None]
    code = "".join((PROJECT / "tests" / name).read_text() for name in TESTS)
    assert all(re.search(rf'(commands|everywhere)\("{group}"', code) for group in GROUPS)
    assert all(everywhere(group) for group in GROUPS)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks("python", page)], ids=lambda page: page.name)
def test_python_works(page: Path, tmp_path: Path) -> None:
    """As a session, without a warning."""
    ended = ran(sys.executable, "-c", "\n".join(blocks("python", page)), cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    if page.name == "README.md":
        assert [word for word in ("ridge", "egblup", "pairwise", "mlp") if word in ended.stdout] == ["ridge", "egblup", "pairwise", "mlp"]


@pytest.mark.parametrize("command", everywhere("make"))
def test_make_knows_what_to_do(command: str) -> None:
    ended = ran("make", "--dry-run", "--always-make", *shlex.split(command.removesuffix("&"))[1:])
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ".venv/bin/" in ended.stdout


@pytest.mark.parametrize("command", everywhere("luigi"))
def test_luigi_plans_the_studies(command: str, tmp_path: Path) -> None:
    words = ["Plan" if word == "RunAll" else word for word in shlex.split(command)[1:] if word != "--local-scheduler"]
    ended = ran(sys.executable, "-m", "luigi", *words, f"--results={tmp_path}", "--local-scheduler")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"^[\w/]+\.yaml: \d+ scenarios, \d+ stages: 0 done", ended.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", everywhere("images"))
def test_images_are_asked_for(command: str, tmp_path: Path, image: Callable[[str], str]) -> None:
    """Those that are built; an export, of gigabytes, comes as far as the engine, and is done with a tiny image in another test."""
    words = shlex.split(command)[1:]
    if "export" in words:
        words[words.index("--to") + 1] = str(tmp_path)
        ended = ran(sys.executable, *words, DOCKER_HOST="unix:///nonexistent.sock")
        assert ended.stderr.startswith("Error: no Docker engine answers at unix:///nonexistent.sock")
    else:
        image("gpu")
        ended = ran(sys.executable, *words)
        assert ended.stderr == ""
        assert IMAGES["gpu"].tag in ended.stdout


def test_docker_commands_work(tmp_path: Path, image: Callable[[str], str], engine: docker.DockerClient) -> None:
    """In a shell, as they stand there; the one in AlphaSimR's image where that is built."""
    *before, shut_in = [command for command in everywhere("docker") if not command.startswith("docker")]
    stages = [command for command in everywhere("docker") if command.startswith("docker")]
    assert len(stages) == 3
    assert all(command.startswith("docker run $shut_in ") for command in stages)
    assert all(flag in shut_in for flag in FLAGS)
    image("gpu")
    built = {name for name in ("gpu", "r") if engine.images.list(IMAGES[name].tag)}
    environment = {**ENVIRONMENT, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in stages:
        name = re.search(r"images tag (\w+)", command)
        if name and name[1] in built:
            script = "\n".join([*before, shut_in, command])
            subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, check=True)
    expected = {"data.h5", "mlp.csv"} | ({"alphasimr.h5"} if "r" in built else set())
    assert {path.name for path in (tmp_path / "results").iterdir()} == expected
    assert {path.stat().st_uid for path in (tmp_path / "results").iterdir()} == {os.getuid()}
