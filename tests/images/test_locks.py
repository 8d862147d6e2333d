"""Each lock holds what pyproject.toml asks for, what that needs, and nothing else: read from the metadata of what is installed."""

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from images.locks import LOCKS, direct, lock_lines

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(lock: str) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lock_lines(lock)[1])}


def needed(requirements: list[str]) -> dict[str, list[Requirement]]:
    """By name, what is asked of every package that the requirements lead to."""
    found: dict[str, list[Requirement]] = {}
    waiting, seen = [Requirement(one) for one in requirements], set()
    while waiting:
        one = waiting.pop()
        found.setdefault(name := canonicalize_name(one.name), []).append(one)
        for extra in {"", *one.extras} - {extra for package, extra in seen if package == name}:
            seen.add((name, extra))
            further = [Requirement(text) for text in requires(one.name) or []]
            waiting += [it for it in further if (it.marker is None and not extra) or (it.marker and _holds(it, extra))]
    return found


def _holds(requirement: Requirement, extra: str) -> bool:
    """Whether the extra, and not what is installed anyway, asks for it."""
    assert requirement.marker
    return requirement.marker.evaluate({"extra": extra}) and (not extra or not requirement.marker.evaluate({"extra": ""}))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_what_is_needed_and_nothing_else(lock: str) -> None:
    until = LOCKS[: LOCKS.index(lock) + 1]
    wanted = needed([one for earlier in until for one in direct()[earlier]])
    versions = {name: version for earlier in until for name, version in locked(earlier).items()}
    assert set(wanted) - set(locked("cuda")) == set(versions)
    assert len(versions) == sum(len(locked(earlier)) for earlier in until)
    unfit = [str(one) for name, asked in wanted.items() for one in asked if name in versions and versions[name] not in one.specifier]
    assert not unfit


@pytest.mark.parametrize("lock", [*LOCKS, "cuda"])
def test_its_form(lock: str) -> None:
    comment, lines = lock_lines(lock)
    assert comment.startswith("# ")
    assert lines == sorted(lines, key=str.lower)
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)


def test_the_drivers_requirements_are_the_packages() -> None:
    assert set(PROJECT["dependency-groups"]["driver"]) <= set(PROJECT["project"]["dependencies"])


def test_one_python_is_declared_everywhere() -> None:
    """The one that the tests run on."""
    minor = re.findall(r"Programming Language :: Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert len(minor) == 1
    assert PROJECT["project"]["requires-python"] == f">={minor[0]}"
    assert PROJECT["tool"]["ruff"]["target-version"] == "py" + minor[0].replace(".", "")
    assert f"Python {minor[0]} (no other is tested yet)" in (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    assert f"sys.version_info < ({minor[0].replace('.', ', ')})" in makefile
    assert f"needs Python {minor[0]} or newer" in makefile
