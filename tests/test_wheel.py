"""A wheel is built, installed into a virtual environment of its own, and used in another folder, without the checkout."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pandas as pd
import pytest
import yaml
from drivers import PROJECT

from gpatlas.command import DRIVER
from gpatlas.stages import STAGES
from gpatlas.version import __version__
from images import IMAGES

LEFT_BEHIND = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "results", "wheels", "r-packages", "build", "dist", "*.png")
README = (PROJECT / "README.md").read_text()


def ran(*words: str, cwd: Path, program: Path = Path(sys.executable)) -> str:
    """What the program printed."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LUIGI_CONFIG_PATH")}
    ended = subprocess.run([str(program), *words], cwd=cwd, env=inherited, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(PROJECT, folder / "checkout", ignore=LEFT_BEHIND)
    shutil.copy(PROJECT / ".dockerignore", folder / "checkout")
    ran(*["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "..", "."], cwd=folder / "checkout")
    shutil.rmtree(folder / "checkout")
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path) -> Path:
    """Folder of the programs of an environment that has the wheel, and borrows what that needs from the tests' own."""
    environment = wheel.parent / "environment"
    ran("-m", "venv", "--without-pip", str(environment), cwd=wheel.parent)
    install = "-m pip --python environment install --quiet --no-deps --no-index --no-compile"
    ran(*install.split(), str(wheel), cwd=wheel.parent)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's own, with modules that are not to be taken for ours."""
    for name in ("pipeline", "images", "numpy", "random"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a module of the user')\n")
    return tmp_path


def gpatlas(words: str, programs: Path, folder: Path) -> str:
    return ran(*shlex.split(words), cwd=folder, program=programs / "gpatlas")


def test_it_is_named_by_version_and_citation(wheel: Path) -> None:
    assert wheel.name == f"gpatlas-{__version__}-py3-none-any.whl"
    assert yaml.safe_load((PROJECT / "CITATION.cff").read_text())["version"] == __version__
    assert re.search(rf"^## {re.escape(__version__)} \(\d{{4}}-\d\d-\d\d\)$", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_every_command_is_there(programs: Path, folder: Path) -> None:
    printed = gpatlas("--help", programs, folder)
    assert set(re.findall(r"^  (\w[\w-]*)  ", printed, re.MULTILINE)) == {*STAGES, *DRIVER, "new-config"}
    assert gpatlas("--version", programs, folder) == f"gpatlas, version {__version__}\n"


@pytest.mark.parametrize("name", ["gpu", "r"])
def test_images_have_the_names_that_they_have_in_a_checkout(name: str, programs: Path, folder: Path) -> None:
    assert ran("-P", "-m", "images", "tag", name, cwd=folder, program=programs / "python") == f"{IMAGES[name].tag}\n"


def test_the_simulator_in_r_is_there(programs: Path, folder: Path) -> None:
    code = "from pipeline.runners import SIMULATE_R; print(SIMULATE_R.read_text(), end='')"
    assert ran("-P", "-c", code, cwd=folder, program=programs / "python") == (PROJECT / "r" / "simulate.R").read_text()


def test_the_readmes_commands_work_on_less(programs: Path, folder: Path) -> None:
    commands = re.findall(r"^gpatlas ([^#\n]+)", README, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["configs", "configs", "plan", "run"]
    printed = [gpatlas(command, programs, folder) for command in commands[:2]]
    assert "own " in printed[0]
    config = folder / "own.yaml"
    assert config.name in printed[1].splitlines()
    content = yaml.safe_load(config.read_text())
    content["experiments"]["own"] |= {"models": {"ridge": None}, "figures": []}
    content["experiments"]["own"]["data"]["traits"] = ["height"]
    config.write_text(yaml.safe_dump(content))
    printed = [gpatlas(command, programs, folder) for command in commands[2:]]
    assert printed[0].startswith("own.yaml: 1 scenarios, 4 stages: 0 done, 4 to do")
    assert "results/own/report.html" in printed[1]
    table = pd.read_csv(folder / "results" / "own" / "results.csv")
    assert table["trait_name"].tolist() == ["height"]
    assert (table["pearson_r"] > 0.2).all()
    assert json.loads((folder / "results" / "own" / "run.json").read_text())["git_commit"] == "unknown"


def test_stages_work_by_hand(programs: Path, folder: Path) -> None:
    for words in ("simulate --n-individuals 200 --out data.h5", "fit-ridge --data data.h5 --protocol holdout --out ridge.csv"):
        gpatlas(words, programs, folder)
    assert pd.read_csv(folder / "ridge.csv")["model"].unique().tolist() == ["ridge"]
