"""The numbers of README's table of configs, its pictures, and the files that README and pages name."""

import re
from pathlib import Path

import pytest
from drivers import PROJECT
from own_files import with_files

from pipeline import Plan

README = (PROJECT / "README.md").read_text()
CONFIGS = re.findall(r"^\| `(configs/\w+\.yaml)` \|[^|]*\| (\d+) \| (\d+) \|", README, re.MULTILINE)


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


def test_files_named_in_text_exist() -> None:
    pages = (PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").glob("*.md"))
    named = {(page.name, path) for page in pages for path in re.findall(r"`((?:[a-z]\w*/)+\w+\.(?:py|yaml|csv|R))`", page.read_text())}
    assert ("study.md", "tests/gpatlas/models/test_reference.py") in named
    assert not [(page, path) for page, path in named if not (PROJECT / path).is_file()]
