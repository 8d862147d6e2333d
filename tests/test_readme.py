"""What the README says is run: its stage commands, and the numbers of its table of configs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from drivers import ENVIRONMENT, PROJECT, run

README = (PROJECT / "README.md").read_text()
CONFIGS = re.findall(r"^\| `(configs/\w+\.yaml)` \|[^|]*\| (\d+) \| (\d+) \|", README, re.MULTILINE)


def test_stage_commands_work(tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to(PROJECT / "tests")
    commands = re.findall(r"^python (-m gpatlas .+)$", README, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        ended = subprocess.run([sys.executable, *shlex.split(command)], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
    assert {path.name for path in tmp_path.glob("*.*")} == {"data.h5", "ridge.csv", "mlp.csv", "imported.h5"}


def test_every_config_is_in_the_table() -> None:
    assert {config for config, _, _ in CONFIGS} == {f"configs/{path.name}" for path in (PROJECT / "configs").iterdir()}


@pytest.mark.parametrize(("config", "scenarios", "stages"), CONFIGS)
def test_the_table_counts_right(tmp_path: Path, config: str, scenarios: str, stages: str) -> None:
    _, plan = run(PROJECT / config, tmp_path, task="Plan")
    assert f"{config}: {scenarios} scenarios, {stages} stages: 0 done" in plan


def test_pictures_exist() -> None:
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README)
    assert pictures
    assert all((PROJECT / picture).is_file() for picture in pictures)
