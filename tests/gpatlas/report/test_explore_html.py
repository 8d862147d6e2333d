"""The view to explore in headless Chromium: by keyboard and mouse, in words, on paper, in narrow and dark windows, without its script."""

import base64
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from browser import Page
from runs import everything, write_run

from gpatlas.progress import Progress
from gpatlas.report.page import run
from gpatlas.report.settings import ReportSettings

CAPTION, POINT = (f"document.querySelector('.explore {name}').textContent" for name in ("figcaption", ".point"))
SHOWN = "!document.querySelector('.explore .point').hidden"
STEP = "document.querySelector('.explore .step input')"
MARKS = "[...document.querySelectorAll('.explore .marks')]"
DRAWN = f"{MARKS}.reduce((sum, path) => sum + path.getAttribute('d').split('M').length - 1, 0)"
# The contrast of the markers with what is behind them, by the WCAG's formula.
RATIOS = f"""
(() => {{
  const light = text => text.match(/[\\d.]+/g).map(x => x / 255).map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const root = document.querySelector(".explore"), sample = {MARKS}[0];
  const behind = light(getComputedStyle(document.querySelector(".explore .plot")).backgroundColor);
  return Array.from({{ length: 7 }}, (_, i) => {{
    sample.setAttribute("fill", `var(--m${{i}})`);
    const mark = light(getComputedStyle(sample).fill);
    return (Math.max(mark, behind) + 0.05) / (Math.min(mark, behind) + 0.05);
  }});
}})()
"""


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    table = everything()
    table.loc[0, "pearson_r"] = None  # of the MLP, trait 1 of the first population
    return table


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame) -> Path:
    folder = tmp_path_factory.mktemp("explore")
    out = folder / "report.html"
    run(ReportSettings(), write_run(folder, table, []), out, Progress("report", io.StringIO()))
    return out


@pytest.fixture
def view(page: Page, report: Path) -> Iterator[Page]:
    """The page, opened anew; at the end it has complained of nothing, and asked for nothing but itself."""
    page.open(report)
    yield page
    assert page.complaints == []
    assert {address.partition(":")[0] for address in page.requests[1:]} <= {"data"}


def focus(page: Page, selector: str) -> None:
    page.evaluate(f"document.querySelector('.explore {selector}').focus()")


def test_the_sentence_is_the_description_and_is_right(view: Page, table: pd.DataFrame) -> None:
    rows = table[table["experiment"] == "scaling"]
    complete = rows.groupby(["scenario", "trait"])["pearson_r"].transform(lambda r: r.notna().all())
    means = rows[complete].groupby(["n_qtl", "model"])["pearson_r"].mean().unstack()
    assert (means.loc[10].idxmax(), means.loc[20].idxmax()) == ("mlp", "linear_sgd")
    assert view.evaluate(CAPTION) == (
        "11 points: r by QTL pairs per individual (experiment scaling, all traits) of ridge regression, linear model trained by SGD "
        "and the MLP. At QTL pairs per individual = 0.45 "
        f"the highest mean is that of the MLP ({means.loc[10, 'mlp']:.3f}, over the 1 of 2 populations "
        "and traits that all these models have). At QTL pairs per individual = 1.9 the highest mean is that of linear model trained by SGD "
        f"({means.loc[20, 'linear_sgd']:.3f}). In 1 of 12 fits r is undefined."
    )
    assert view.evaluate(f"document.querySelector('.explore .plot svg[role=img]').getAttribute('aria-label') === {CAPTION}")
    assert view.evaluate(DRAWN) == 12
    assert "undefined" in view.evaluate("[...document.querySelectorAll('.explore .plot text')].map(text => text.textContent)")


def test_the_keyboard_chooses_models_axes_and_traits(view: Page) -> None:
    focus(view, "fieldset input")  # ridge regression, the first of the registry
    view.press(" ")
    assert view.evaluate(f"{MARKS}.length") == 2
    assert view.evaluate(CAPTION).startswith(
        "7 points: r by QTL pairs per individual (experiment scaling, all traits) of linear model trained"
    )
    view.press(" ")
    assert view.evaluate(f"{MARKS}.length") == 3
    for name, expected in (("x", "by QTL (exp"), ("y", "seconds of a fit by QTL (exp"), ("trait", "scaling, trait 1, rel_aa 0)")):
        focus(view, f"select[name={name}]")
        view.press("ArrowDown")
        assert expected in view.evaluate(CAPTION)
    assert view.evaluate(DRAWN) == 6
    focus(view, "select[name=experiment]")
    view.press("ArrowDown")
    assert "seconds of a fit by loci (experiment dilution, trait 1, rel_aa 0)" in view.evaluate(CAPTION)  # what both have stays chosen
    assert view.evaluate(f"{MARKS}.length") == 5


def test_arrow_keys_step_through_the_points(view: Page) -> None:
    focus(view, "fieldset label:last-child input")
    view.press("Tab")
    assert view.evaluate(f"document.activeElement === {STEP} && {SHOWN}")
    said = []
    for _ in range(12):
        said.append(view.evaluate(f"{STEP}.getAttribute('aria-valuetext')"))
        assert view.evaluate(POINT) == said[-1].replace("; ", "")
        view.press("ArrowRight")
    assert len(set(said)) == 12
    assert said[0] == "10qtl_10loci_0.0_2_rep1; ridge regression, trait 2, rel_aa 1.5; QTL pairs per individual 0.45; r 0.380"
    assert "10qtl_10loci_0.0_2_rep1; MLP, trait 1, rel_aa 0; QTL pairs per individual 0.45; r undefined" in said
    view.press("Escape")
    assert not view.evaluate(SHOWN)
    view.press("Home")
    assert view.evaluate(SHOWN)
    view.press("Tab")
    assert not view.evaluate(SHOWN)


@pytest.mark.parametrize("width", [400, 1400])
def test_the_mouse_is_told_the_scenario(page: Page, report: Path, width: int) -> None:
    page.open(report, width)
    page.evaluate("document.querySelector('.explore .plot').scrollIntoView({block: 'center', behavior: 'instant'})")
    frame = page.evaluate("document.querySelector('.explore .plot svg').getBoundingClientRect().toJSON()")
    x, y = map(float, page.evaluate(f"{MARKS}.at(-1).getAttribute('d')").split("Z")[-2][1:].split("L")[0].split())
    place = {"x": frame["x"] + x, "y": frame["y"] + y}
    page.call("Input.dispatchMouseEvent", type="mouseMoved", **place)
    assert page.evaluate(POINT) == "20qtl_20loci_0.0_2_rep1MLP, trait 2, rel_aa 1.5QTL pairs per individual 1.9r 0.320"
    inside = "(box => box.left >= 0 && box.right <= innerWidth)(document.querySelector('.explore .point').getBoundingClientRect())"
    assert page.evaluate(inside)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=place["x"], y=frame["y"] - 5)
    assert not page.evaluate(SHOWN)
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)
    assert page.evaluate(f"document.activeElement === {STEP} && {SHOWN}")


def test_without_models_and_with_one_it_says_so(view: Page) -> None:
    view.evaluate("document.querySelectorAll('.explore fieldset input').forEach(tick => tick.click())")
    assert view.evaluate(CAPTION) == "No model is chosen."
    assert view.evaluate(f"{DRAWN} === 0 && {STEP}.disabled")
    view.evaluate("document.querySelector('.explore fieldset input').click()")
    assert view.evaluate(CAPTION).endswith(
        "of ridge regression. At QTL pairs per individual = 0.45 the mean is 0.635. At QTL pairs per individual = 1.9 the mean is 0.595."
    )


@pytest.mark.parametrize("dark", [False, True])
def test_markers_stand_out(page: Page, report: Path, dark: bool) -> None:
    page.open(report, dark=dark)
    assert min(page.evaluate(RATIOS)) >= 3


def test_it_is_printed_as_it_stands_without_its_controls(page: Page, report: Path) -> None:
    """In light colours, though the window is dark."""
    page.open(report, dark=True)
    page.evaluate("document.querySelector('.explore fieldset input').click()")
    pdf = base64.b64decode(page.call("Page.printToPDF")["data"])
    streams = [
        zlib.decompressobj().decompress(part) for part in re.findall(rb"/FlateDecode[^>]*>>\s*stream\r?\n(.*?)endstream", pdf, re.DOTALL)
    ]
    fills = {tuple(round(255 * float(part)) for part in found.split()) for found in re.findall(rb"([\d. ]+) rg\b", b"\n".join(streams))}
    assert {(0x73, 0x17, 0xCF), (0xBA, 0x6E, 0x5E)} <= fills  # the models that are ticked
    assert (0x00, 0x72, 0xB2) not in fills
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        hidden = "[...document.querySelectorAll('.explore select, .explore input')].every(element => element.offsetParent === null)"
        assert page.evaluate(hidden)
        labels = (
            "[...document.querySelectorAll('.explore fieldset label')].filter(label => label.offsetParent).map(label => label.textContent)"
        )
        assert page.evaluate(labels) == ["linear model trained by SGD", "MLP"]
    finally:
        page.call("Emulation.setEmulatedMedia", media="")


def test_without_scripts_it_points_to_the_figures(page: Page, report: Path) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(report)
        assert page.evaluate("document.querySelector('.explore').offsetParent === null")
        assert page.evaluate("document.querySelector('noscript a').offsetParent !== null")
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)
