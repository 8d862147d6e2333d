"""Writes gpu.lock, driver.lock and dev.lock anew, with the newest versions that fit together: `python -m images.locks [option of pip]…`.

What each needs is in pyproject.toml; a lock has what the ones before it lack. torch stays as it is locked: images, cuda.lock and measured
numbers follow from it, so it is changed in gpu.lock by hand, and cuda.lock with it.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("gpu", "driver", "dev")


def lock_lines(lock: str) -> tuple[str, list[str]]:
    """The comment that a lock file starts with, and its lines `name==version`."""
    comment, *lines = (ROOT / "images" / f"{lock}.lock").read_text().splitlines()
    return comment, lines


def direct() -> dict[str, list[str]]:
    """By lock, the requirements of pyproject.toml: a stage's, the driver's, the tests' and pages'."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    stages = [one for one in project["project"]["dependencies"] if one not in groups["driver"]]
    return {"gpu": [*stages, *project["build-system"]["requires"]], "driver": groups["driver"], "dev": groups["dev"]}


def resolve_all(requirements: list[str], options: list[str]) -> dict[str, str]:
    """Name to `name==version` of all that pip would install for the requirements into an empty environment."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", str(report)]
        subprocess.run([*command, *options, *requirements], check=True)
        found = [one["metadata"] for one in json.loads(report.read_text())["install"]]
    return {canonicalize_name(one["name"]): f"{one['name']}=={one['version'].partition('+')[0]}" for one in found}


def write_locks(options: list[str]) -> None:
    """One resolution for all, so that the locks agree; then which of it the stages need, which the driver, which the rest."""
    wanted = direct()
    wanted["gpu"] += [line for line in lock_lines("gpu")[1] if line.startswith("torch==")]
    everything = resolve_all([one for lock in LOCKS for one in wanted[lock]], options)
    asked: list[str] = []
    written: set[str] = {
        canonicalize_name(line.partition("==")[0]) for line in lock_lines("cuda")[1]
    }  # what torch brings where it has CUDA
    with TemporaryDirectory() as folder:
        versions = Path(folder) / "versions.txt"
        versions.write_text("\n".join(everything.values()))
        for lock in LOCKS:
            asked += wanted[lock]
            names = resolve_all(asked, [*options, "--constraint", str(versions)]).keys() - written
            lines = sorted((everything[name] for name in names), key=str.lower)
            (ROOT / "images" / f"{lock}.lock").write_text("\n".join([lock_lines(lock)[0], *lines]) + "\n")
            written |= names


if __name__ == "__main__":
    write_locks(sys.argv[1:])
