"""Every dependency that is locked stands in docs/licences.md, with the licence that its own metadata name.

After a change of the locks: python tests/images/test_licences.py
"""

import re
from importlib.metadata import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "licences.md"
TABLE = "| package | licence |\n|---|---|\n"


def locked(lock: str) -> list[str]:
    """The packages of a lock file, of Python or R."""
    lines = (ROOT / "images" / f"{lock}.lock").read_text().splitlines()
    return [line.partition("=")[0].split()[-1] for line in lines if line and not line.startswith("#")]


def licence(package: str) -> str:
    """The licence expression; of older metadata, what the classifiers say, or the first line of the licence."""
    found = metadata(package)
    classified = [one.rpartition(" :: ")[2] for one in found.get_all("Classifier", []) if one.startswith("License :: OSI")]
    return found["License-Expression"] or "; ".join(classified) or found["License"].splitlines()[0]


def table(lock: str) -> str:
    return TABLE + "".join(f"| {package} | {licence(package)} |\n" for package in locked(lock))


def section(lock: str) -> str:
    """The table of a lock on the page."""
    (found,) = re.findall(rf"^## `images/{lock}\.lock`[^|]*((?:\|.*\n)+)", PAGE.read_text(), re.MULTILINE)
    return str(found)


@pytest.mark.parametrize("lock", ["gpu", "driver", "dev"])
def test_the_page_says_what_metadata_say(lock: str) -> None:
    assert section(lock) == table(lock)


@pytest.mark.parametrize("lock", ["r", "cuda"])
def test_what_is_not_installed_here_is_listed_too(lock: str) -> None:
    rows = section(lock).removeprefix(TABLE).splitlines()
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == locked(lock)
    assert all(len(row.split(" | ")[1]) > 2 for row in rows)


if __name__ == "__main__":
    page = PAGE.read_text()
    for name in ("gpu", "driver", "dev"):
        page = page.replace(section(name), table(name))
    PAGE.write_text(page)
