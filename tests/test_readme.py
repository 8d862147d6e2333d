"""What the README says is run: its stage commands, and the numbers of its table of configs."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import docker
import pytest
from drivers import ENVIRONMENT, PROJECT
from own_files import with_files

from images import IMAGES
from pipeline import Plan

FLAGS = ("--network none", "--read-only", "--cap-drop ALL", "no-new-privileges")
README = (PROJECT / "README.md").read_text()
CONFIGS = re.findall(r"^\| `(configs/\w+\.yaml)` \|[^|]*\| (\d+) \| (\d+) \|", README, re.MULTILINE)


def test_stage_commands_work(tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to(PROJECT / "tests")
    commands = re.findall(r"^python (-m gpatlas [^#\n]+)", README, re.MULTILINE)
    assert len(commands) == 11
    for command in commands:
        ended = subprocess.run([sys.executable, *shlex.split(command)], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
    expected = {
        "data.h5",
        "ril.h5",
        "traits.h5",
        "ridge.csv",
        "mlp.csv",
        "pairwise.csv",
        "pairwise.pairs.csv",
        "imported.h5",
        "plink.h5",
        "vcf.h5",
        "table.h5",
        "my.yaml",
    }
    assert {path.name for path in tmp_path.glob("*.*")} == expected


def test_the_notebook_session_works(tmp_path: Path) -> None:
    (session,) = re.findall(r"^```python\n(.+?)^```", README, re.MULTILINE | re.DOTALL)
    ended = subprocess.run([sys.executable, "-c", session], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert [word for word in ("ridge", "egblup", "pairwise", "mlp") if word in ended.stdout] == ["ridge", "egblup", "pairwise", "mlp"]


def test_docker_commands_work(tmp_path: Path, image: Callable[[str], str], engine: docker.DockerClient) -> None:
    """In a shell, as they stand there; the one in AlphaSimR's image where that is built."""
    commands = re.findall(r"^docker run .+$", README, re.MULTILINE)
    assert len(commands) == 3
    (shut_in,) = re.findall(r"^shut_in=.+$", README, re.MULTILINE)
    assert all(command.startswith("docker run $shut_in ") for command in commands)
    assert all(flag in shut_in for flag in FLAGS)
    image("gpu")
    (tmp_path / "results").mkdir()
    built = {name for name in ("gpu", "r") if engine.images.list(IMAGES[name].tag)}
    environment = {**ENVIRONMENT, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in commands:
        name = re.search(r"images tag (\w+)", command)
        if name and name[1] in built:
            subprocess.run(["bash", "-c", f"{shut_in}\n{command}"], cwd=tmp_path, env=environment, check=True)
    expected = {"data.h5", "mlp.csv"} | ({"alphasimr.h5"} if "r" in built else set())
    assert {path.name for path in (tmp_path / "results").iterdir()} == expected
    assert {path.stat().st_uid for path in (tmp_path / "results").iterdir()} == {os.getuid()}


def test_every_config_is_in_the_table() -> None:
    assert {config for config, _, _ in CONFIGS} == {f"configs/{path.name}" for path in (PROJECT / "configs").glob("*.yaml")}


@pytest.mark.parametrize(("config", "scenarios", "stages"), CONFIGS)
def test_the_table_counts_right(tmp_path: Path, config: str, scenarios: str, stages: str) -> None:
    plan = next(Plan(config=with_files(PROJECT / config, tmp_path), results=tmp_path).lines())
    assert f"{Path(config).name}: {scenarios} scenarios, {stages} stages: 0 done" in plan


def test_pictures_exist() -> None:
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README)
    assert pictures
    assert all((PROJECT / picture).is_file() for picture in pictures)
