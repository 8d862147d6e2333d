"""The report in headless Chromium: it needs no network, can be sorted, read in narrow and dark windows, and by keyboard alone."""

import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browser import Page
from figure_tables import STUDY
from runs import everything, write_run

from gpatlas.progress import Progress
from gpatlas.report.page import run
from gpatlas.report.settings import ReportSettings

TABLE = "[aria-label='r of every model over traits and replicates']"
# Every element that has text of its own: its colour and the nearest background that is not transparent, by the WCAG's formula.
CONTRAST = """
(() => {
  document.querySelectorAll("details").forEach(element => { element.open = true; });
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(x => x / 255).map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = {};
  for (const element of document.body.querySelectorAll("*:not(script):not(title)")) {
    if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(parse(element.closest("svg") ? style.fill : style.color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const name = element.tagName.toLowerCase();
    found[name] = Math.min(found[name] ?? 99, ratio);
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    table = everything()
    table.loc[0, "pearson_r"] = None
    out = folder / "report.html"
    run(ReportSettings(), write_run(folder, table, STUDY), out, Progress("report", io.StringIO()))
    return out


def column(page: Page, number: int) -> list[Any]:
    """The texts of a column of TABLE, as they stand."""
    found = page.evaluate(f"[...document.querySelectorAll({TABLE!r} + ' tbody td:nth-child({number})')].map(cell => cell.textContent)")
    return list(found)


def order(page: Page, number: int) -> str | None:
    answer = page.evaluate(f"document.querySelector({TABLE!r} + ' th:nth-child({number})').getAttribute('aria-sort')")
    return None if answer is None else str(answer)


def test_it_loads_without_a_complaint_and_asks_for_nothing(page: Page, report: Path) -> None:
    page.open(report)
    page.evaluate("new Promise(resolve => setTimeout(resolve, 100))")
    assert page.complaints == []
    assert page.requests[0] == report.as_uri()
    assert {address.partition(":")[0] for address in page.requests[1:]} == {"data"}
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth === 600)")


def test_nothing_could_be_asked_for(page: Page, report: Path, tmp_path: Path) -> None:
    """The page's own policy refuses what a fault of ours would load."""
    altered = tmp_path / "report.html"
    altered.write_text(report.read_text().replace("</main>", '<img src="https://example.invalid/x.png"></main>'))
    page.open(altered)
    assert any("Content Security Policy" in complaint for complaint in page.complaints)


def test_the_mouse_sorts_numbers_by_value_and_back(page: Page, report: Path) -> None:
    page.open(report)
    before = column(page, 5)
    values = sorted(map(float, before))
    assert list(map(float, before)) != values
    page.click(f"{TABLE} th:nth-child(5) button")
    assert list(map(float, column(page, 5))) == values
    assert order(page, 5) == "ascending"
    page.click(f"{TABLE} th:nth-child(5) button")
    assert list(map(float, column(page, 5))) == values[::-1]
    assert order(page, 5) == "descending"
    page.click(f"{TABLE} th:nth-child(2) button")
    assert column(page, 2) == sorted(column(page, 2))
    assert (order(page, 5), order(page, 2)) == (None, "ascending")


def test_empty_cells_come_last_both_ways(page: Page, report: Path) -> None:
    page.open(report)
    for _ in range(2):
        page.click(f"{TABLE} th:nth-child(6) button")
        texts = column(page, 6)
        assert texts.count("") > 0
        assert texts[-texts.count("") :] == [""] * texts.count("")


def test_the_keyboard_sorts(page: Page, report: Path) -> None:
    page.open(report)
    page.evaluate(f"document.querySelector({TABLE!r} + ' th button').focus()")
    for _ in range(4):
        page.press("Tab")
    page.press("Enter")
    assert order(page, 5) == "ascending"
    page.press(" ")
    assert order(page, 5) == "descending"


@pytest.mark.parametrize("width", [400, 1400])
def test_only_boxes_scroll_sideways(page: Page, report: Path, width: int) -> None:
    page.open(report, width)
    page.evaluate("document.querySelectorAll('details').forEach(element => { element.open = true; })")
    assert page.evaluate("innerWidth") == width
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate("[...document.images].every(image => image.getBoundingClientRect().right <= document.documentElement.clientWidth)")


def test_dark_windows_get_a_dark_page_with_light_figures(page: Page, report: Path) -> None:
    backgrounds = []
    for dark in (False, True):
        page.open(report, dark=dark)
        backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert page.evaluate("getComputedStyle(document.images[0]).backgroundColor") == "rgb(255, 255, 255)"
    light, dark_sum = (sum(map(int, background[4:-1].split(","))) for background in backgrounds)
    assert dark_sum < 150 < 600 < light


@pytest.mark.parametrize("dark", [False, True])
def test_texts_stand_out(page: Page, report: Path, dark: bool) -> None:
    page.open(report, dark=dark)
    found = page.evaluate(CONTRAST)
    assert found.keys() >= {"p", "td", "button", "caption", "a", "dt", "summary", "text", "code"}
    assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}


def test_the_page_can_be_heard(page: Page, report: Path) -> None:
    """Headings step down one level at a time, pictures say what they show, links lead somewhere, boxes that scroll can be reached."""
    page.open(report)
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(head => Number(head.tagName[1]))")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert levels.count(3) == len(STUDY)
    assert page.evaluate("[...document.images].every(image => image.alt === image.nextElementSibling.textContent)")
    assert page.evaluate("[...document.querySelectorAll('nav a')].every(link => document.getElementById(link.hash.slice(1)))")
    assert page.evaluate("[...document.querySelectorAll('.box')].every(box => box.tabIndex === 0 && box.ariaLabel)")
