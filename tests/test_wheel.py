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
from documented import PAGES, commands, everywhere
from drivers import PROJECT
from figure_tables import table_of

from gpatlas.command import DRIVER
from gpatlas.stages import STAGES
from gpatlas.version import __version__
from images import IMAGES

LEFT_BEHIND = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "results", "wheels", "r-packages", "build", "dist", "site", "*.png")


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
    environment = wheel.parent / ".venv"
    ran("-m", "venv", "--without-pip", environment.name, cwd=wheel.parent)
    activate, install = everywhere("environment")
    assert install == "pip install gpatlas-*.whl"
    install = install.replace("pip install", f"{sys.executable} -m pip --python .venv install --quiet --no-deps --no-index --no-compile")
    ran("-c", f"{activate}; [ $(command -v python) = $PWD/.venv/bin/python ] && {install}", cwd=wheel.parent, program=Path("bash"))
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


def on_less(words: list[str], folder: Path) -> list[str]:
    """The command, for one trait and one model where it is a study of own files; the plan of other studies."""
    if words[0] not in ("plan", "run"):
        return words
    config = folder / words[words.index("--config") + 1]
    content = yaml.safe_load(config.read_text())
    (experiment, *_) = content["experiments"].values()
    if "data" not in experiment:
        return ["plan", *words[1:]] if "--workers" not in words else ["plan", "--config", str(config)]
    experiment["data"]["traits"] = ["height"]
    experiment |= {"models": {"ridge": None}, "figures": []}
    config.write_text(yaml.safe_dump(content))
    return words


@pytest.mark.parametrize("page", [page for page in PAGES if commands("gpatlas", page)], ids=lambda page: page.name)
def test_commands_of_a_page_work(page: Path, programs: Path, folder: Path) -> None:
    """In their order, beside what a checkout and a finished demo have."""
    for name in ("configs", "tests"):
        (folder / name).symlink_to(PROJECT / name)
    (folder / "results" / "demo").mkdir(parents=True)
    table_of("limits", "one replicate").to_csv(folder / "results" / "demo" / "results.csv", index=False)
    for command in commands("gpatlas", page):
        words = on_less(shlex.split(command)[1:], folder)
        printed = ran(*words, cwd=folder, program=programs / "gpatlas")
        if "--out" in words:
            assert (folder / words[words.index("--out") + 1]).is_file()
        if words[0] == "plan":
            assert re.search(r"^[\w/]+\.yaml: \d+ scenarios, \d+ stages: 0 done", printed, re.MULTILINE)
    if page.name == "README.md":
        for study in ("own", "my"):
            published = folder / "results" / study
            table = pd.read_csv(published / "results.csv")
            assert table["trait_name"].tolist() == ["height"]
            assert (table["pearson_r"] > 0.2).all()
            assert json.loads((published / "run.json").read_text())["git_commit"] == "unknown"
            assert (published / "report.html").is_file()
