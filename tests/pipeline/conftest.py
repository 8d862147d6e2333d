"""What the tests of drivers share."""

import shutil
from pathlib import Path

import pytest
from drivers import PROJECT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a user's own population, beside which its config is to stand."""
    for path in (PROJECT / "tests" / "data" / "own").glob("own.*"):
        shutil.copy(path, tmp_path)
    return tmp_path
