"""The commands of the driver's own, and the configs that come with gpatlas."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from drivers import ENVIRONMENT, PROJECT

import pipeline.__main__ as commands
from pipeline.config import load_config
from pipeline.configs import copy_config, descriptions

WITH_FILES = {
    "alphasimr": {"alphasimr.yaml", "data/alphasimr_scaling_input.tar.xz"},
    "own": {"own.yaml"} | {f"data/own/own.{suffix}" for suffix in ("bed", "bim", "fam", "pheno.tsv", "covariates.tsv")},
}


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_every_config_is_listed_with_a_sentence() -> None:
    printed = CliRunner().invoke(commands.main, ["configs"]).output.splitlines()
    assert [line.split()[0] for line in printed] == [path.stem for path in sorted((PROJECT / "configs").glob("*.yaml"))]
    assert [line for line in printed if not line.endswith((".", ". "))] == []


@pytest.mark.parametrize("name", ["alphasimr", "demo", "own", "plan"])
def test_a_copy_is_the_same_study(name: str, tmp_path: Path) -> None:
    printed = CliRunner().invoke(commands.main, ["configs", "copy", name, str(tmp_path)]).output
    assert {Path(line).relative_to(tmp_path).as_posix() for line in printed.splitlines()} == written(tmp_path)
    assert written(tmp_path) == WITH_FILES.get(name, {f"{name}.yaml"} | (WITH_FILES["own"] - {"own.yaml"} if name == "plan" else set()))
    ours, theirs = load_config(PROJECT / "configs" / f"{name}.yaml"), load_config(tmp_path / f"{name}.yaml")
    assert [of.name for of in theirs.populations] == [of.name for of in ours.populations]
    assert [theirs.data(of).fingerprints for of in theirs.populations] == [ours.data(of).fingerprints for of in ours.populations]


def test_copies_share_data_and_replace_no_other_file(tmp_path: Path) -> None:
    copy_config("own", tmp_path)
    copy_config("plan", tmp_path)
    (tmp_path / "data" / "own" / "own.fam").write_text("of the user's\n")
    (tmp_path / "own.yaml").unlink()
    ended = CliRunner().invoke(commands.main, ["configs", "copy", "own", str(tmp_path)])
    assert ended.exit_code == 1
    assert f"{tmp_path / 'data' / 'own' / 'own.fam'} exists already, and is another file: name another folder" in ended.output
    assert not (tmp_path / "own.yaml").exists()


def test_an_unknown_config_is_answered_with_the_known() -> None:
    ended = CliRunner().invoke(commands.main, ["configs", "copy", "owm"])
    assert ended.exit_code == 2
    assert all(name in ended.output for name in descriptions())


@pytest.mark.parametrize(
    ("words", "luigis"),
    [
        ("run --config a.yaml", "RunAll --config a.yaml --results results --workers 1 --local-scheduler"),
        ("run --config a.yaml --runner docker", "RunAll --config a.yaml --runner docker --results results --workers 1 --local-scheduler"),
        (
            "run --config a.yaml --scheduler-url http://a:1/",
            "RunAll --config a.yaml --results results --workers 1 --scheduler-url http://a:1/",
        ),
        ("plan --config a.yaml --experiments a,b", "Plan --config a.yaml --experiments a,b --results results --local-scheduler"),
    ],
)
def test_run_and_plan_are_luigis(words: str, luigis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(commands, "luigi_run", told.append)
    ended = CliRunner().invoke(commands.main, words.split())
    assert ended.exit_code == 0, ended.output
    assert told == [luigis.split()]


def test_a_users_settings_of_luigi_win(tmp_path: Path) -> None:
    (tmp_path / "luigi.cfg").write_text("[scheduler]\nretry_count = 7\nretry_delay = 8\n")
    named = tmp_path / "named.cfg"
    named.write_text("[scheduler]\nretry_delay = 9\n")
    code = (
        "import luigi.configuration, pipeline.driver; pipeline.driver.use_luigi_settings(); settings = luigi.configuration.get_config();"
        "print(*(settings.get(*name) for name in (('worker', 'keep_alive'), ('scheduler', 'retry_count'), ('scheduler', 'retry_delay'))))"
    )
    environment = {**ENVIRONMENT, "LUIGI_CONFIG_PATH": str(named)}
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == "true 7 9\n"
