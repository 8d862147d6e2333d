"""What MkDocs calls while it builds the pages: for those that are not files of this folder, and for the tables that the code tells."""

import html as markup
import re
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

NO_ALT = 'alt="No description has been provided for this image"'  # of a notebook's pictures
SCRIPTS = re.compile(
    r"<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->|<script type=\"module\">.*?mermaid.*?</script>", re.DOTALL
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, markdown in GENERATED.items():
        files.append(File.generated(config, name, content=markdown()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    return filled(markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A notebook's pictures are described by the sentence before them; scripts that would be loaded from a network are left out."""
    done, *rest = SCRIPTS.sub("", html).split(NO_ALT)
    for part in rest:
        sentence = re.sub(r"<[^>]+>", "", re.findall(r"<p>(.*?)</p>", done, re.DOTALL)[-1])
        done += f'alt="{markup.escape(markup.unescape(sentence))}"{part}'
    return done
