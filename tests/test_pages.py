"""The pages (mkdocs.yml, docs/) are built with warnings as errors; all that they need is in their folder, and they fit a narrow screen."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import pytest
import yaml
from browser import Page
from drivers import ENVIRONMENT, PROJECT, wait_for
from pages import Reader

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data", "use": "href"}
NAMED = re.compile(r"url\(([^)]+)\)|@import\s+([^;]+)")


def in_nav(entries: list[Any]) -> list[str]:
    """The files that a nav names, at any depth."""
    found = []
    for entry in entries:
        (value,) = entry.values()
        found += [value] if isinstance(value, str) else in_nav(value)
    return found


NAV = in_nav(yaml.safe_load((PROJECT / "mkdocs.yml").read_text())["nav"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    ended = subprocess.run(command, cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture(scope="module")
def built(site: Path) -> dict[str, Reader]:
    """Every page, by its file's name."""
    return {path.name: Reader(path.read_text()) for path in site.glob("*.html")}


def test_every_page_of_the_nav_is_there(built: dict[str, Reader]) -> None:
    assert built.keys() == {f"{Path(name).stem}.html" for name in NAV} | {"404.html"}


def test_nothing_is_loaded_from_a_network(site: Path, built: dict[str, Reader]) -> None:
    loaded = {(name, one.get(key) or "") for name, page in built.items() for tag, key in LOADED.items() for one in page.named(tag)}
    for path in [*site.glob("*.html"), *site.rglob("*.css")]:
        loaded |= {(path.name, (first or second).strip("\"' ")) for first, second in NAMED.findall(path.read_text())}
    assert any(address.endswith(".css") for _, address in loaded)
    assert not [(name, address) for name, address in loaded if re.match(r"(https?:)?//", address)]


def test_the_notebook_was_executed(site: Path, built: dict[str, Reader]) -> None:
    """The build fails where one of its cells does; what the cells show is there, and no warning."""
    page = (site / "python.html").read_text()
    pictures = [one for one in built["python.html"].named("img") if str(one["src"]).startswith("data:image/png;base64,")]
    assert len(pictures) == 4
    assert all(one["alt"] != "No description has been provided for this image" for one in pictures)
    assert "Population(data/own/own.bed: 288 individuals, 344 loci, 3 traits)" in page
    assert "11 pairs found, 11 of the 15 true ones" in page
    assert "results/study/report.html" in page
    assert "application/vnd.jupyter.stderr" not in {one.get("data-mime-type") for one in built["python.html"].named("div")}
    assert "mkdtemp" not in page


def test_links_lead_somewhere(site: Path, built: dict[str, Reader]) -> None:
    """Also on pages that are not written in Markdown, which MkDocs does not check."""
    names = {name: {value for _, attributes in page.elements if (value := attributes.get("id"))} for name, page in built.items()}
    lost = []
    for name, page in built.items():
        for address in (str(one["href"]) for one in page.named("a") if one.get("href")):
            file, anchor = urldefrag(unquote(address))
            if name != "404.html" and not re.match(r"[a-z]+:", address):
                there = (site / file).is_file() if file else True
                lost += [] if there and (not anchor or anchor in names[file or name]) else [(name, address)]
    assert not lost


@pytest.mark.parametrize("name", NAV)
def test_a_page_fits_a_narrow_screen(name: str, site: Path, page: Page) -> None:
    page.open(site / f"{Path(name).stem}.html", width=400)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert all(address.startswith(("file:", "data:")) for address in page.requests)
    assert page.complaints == []


def test_the_search_works_from_files(site: Path, page: Page) -> None:
    page.open(site / "index.html")
    page.click("input[name=query]")
    page.evaluate("{ const query = document.activeElement; query.value = 'Slurm'; query.dispatchEvent(new Event('keyup')) }")
    found = "[...document.querySelectorAll('.md-search-result__link')].map(link => link.getAttribute('href'))"
    assert any("cluster.html" in address for address in wait_for(lambda: page.evaluate(found)))
