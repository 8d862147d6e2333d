"""What MkDocs calls while it builds the pages: those that are not files of this folder."""

from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
# By the file's name in the nav of mkdocs.yml, what gives the page's Markdown.
GENERATED: dict[str, Callable[[], str]] = {
    "files.md": lambda: "# Files and tables\n",
    "models.md": lambda: "# Models\n",
    "contributing.md": (ROOT / "CONTRIBUTING.md").read_text,
    "changelog.md": (ROOT / "CHANGELOG.md").read_text,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, markdown in GENERATED.items():
        files.append(File.generated(config, name, content=markdown()))
    return files
