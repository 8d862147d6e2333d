"""The commands that README and pages tell their readers to type, for the tests that run them."""

import re
from pathlib import Path

from drivers import PROJECT

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
# Of every group one test runs all commands; the first group whose beginning fits has the command.
GROUPS = {
    "make": r"make ",
    "slurm": r"\.venv/bin/luigi .*--runner slurm",
    "luigi": r"(\.venv/bin/)?luigi --module pipeline ",
    "docker": r"mkdir -p results$|shut_in=|docker run ",
    "images": r"python -m images ",
    "environment": r"\. \.venv/bin/activate$|pip install ",
    "gpatlas": r"gpatlas ",
}


def blocks(language: str, page: Path) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def lines(page: Path) -> list[str]:
    """The commands of a page's shell blocks, without comments; those that && joins, one by one."""
    found = [re.sub(r"(^|\s+)#.*", "", line) for block in blocks("sh", page) for line in block.splitlines()]
    return [command.strip() for line in found for command in line.split(" && ") if command.strip()]


def group_of(command: str) -> str | None:
    return next((name for name, beginning in GROUPS.items() if re.match(beginning, command)), None)


def commands(group: str, page: Path) -> list[str]:
    """Of a page, in its order."""
    return [command for command in lines(page) if group_of(command) == group]


def everywhere(group: str) -> list[str]:
    """Of all pages, each once."""
    return list(dict.fromkeys(command for page in PAGES for command in commands(group, page)))
