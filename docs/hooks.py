"""What MkDocs calls while it builds the pages: for those that are not files of this folder, and for the tables that the code tells."""

from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from reference import filled

ROOT = Path(__file__).parents[1]
# By the file's name in the nav of mkdocs.yml, what gives the page's Markdown.
GENERATED: dict[str, Callable[[], str]] = {
    "contributing.md": (ROOT / "CONTRIBUTING.md").read_text,
    "changelog.md": (ROOT / "CHANGELOG.md").read_text,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, markdown in GENERATED.items():
        files.append(File.generated(config, name, content=markdown()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    return filled(markdown)
