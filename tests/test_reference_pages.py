"""The pages on files, tables and models (docs/files.md, docs/models.md), and the tables that docs/reference.py makes for them."""

import re

import pytest
from drivers import PROJECT

from docs.reference import MARKER, TABLES, default, filled, own_fields
from gpatlas.models.registry import MODELS
from gpatlas.models.settings import FitSettings
from gpatlas.report import columns
from gpatlas.stages import FITS

PAGES = {name: (PROJECT / "docs" / f"{name}.md").read_text() for name in ("files", "models")}
SECTIONS = dict(re.findall(r"^## [^\n]+ \{#(\w+)\}\n(.+?)(?=^## |\Z)", PAGES["models"], re.MULTILINE | re.DOTALL))


def cells(table: str) -> list[list[str]]:
    """Of its rows, without the head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_every_model_has_a_section_in_the_order_of_the_registry() -> None:
    assert list(SECTIONS) == list(MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_a_section_says_all_there_is_to_say(model: str) -> None:
    parts = re.findall(r"^\*\*(\w+)\.\*\* \S", SECTIONS[model], re.MULTILINE)
    assert parts == ["Idea", "Source", "Cost", "When"]
    (formula,) = re.findall(r"^```text\n(.+?)^```$", SECTIONS[model], re.MULTILINE | re.DOTALL)
    assert max(map(len, formula.splitlines())) <= 80, "it fits without scrolling"
    assert MARKER.findall(SECTIONS[model]) == [f"settings of {model}", f"columns of {model}"]
    assert all(f"https://doi.org/{doi}" in address for doi, address in re.findall(r"\[(10\.\S+)\]\((.+?)\)", SECTIONS[model]))


def test_every_table_stands_on_a_page_once() -> None:
    assert sorted(name for page in PAGES.values() for name in MARKER.findall(page)) == sorted(TABLES)


@pytest.mark.parametrize("page", PAGES)
def test_no_marker_is_left(page: str) -> None:
    assert "<!--" not in filled(PAGES[page])


def test_a_table_that_is_not_known_is_named() -> None:
    with pytest.raises(ValueError, match="no table is called 'resluts'; there are results, row, "):
        filled("# Page\n\n<!-- table: resluts -->\n")


def test_every_column_is_on_the_page() -> None:
    page = filled(PAGES["files"])
    for table, of in columns.TABLES.items():
        section = page.partition(f"{{#{table}}}")[2].partition("\n## ")[0]
        assert set(re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)) == set(of), table


@pytest.mark.parametrize("model", MODELS)
def test_every_setting_is_on_the_page(model: str) -> None:
    fields = FITS[model].settings.model_fields
    rows = cells(TABLES[f"settings of {model}"]()) + cells(TABLES["settings"]())
    assert {row[0] for row in rows} == {f"`{name}`" for name in fields}
    assert all(meaning for *_, meaning in rows)
    assert not set(own_fields(model)) & set(FitSettings.model_fields)


def test_defaults_are_written_as_a_person_does() -> None:
    written = [default(value) for value in (None, True, False, (1.0, 0.5), ("ridge", "rkhs"), 1e-5, 4096, "auto")]
    assert written == ["", "on", "off", "1, 0.5", "ridge, rkhs", "1e-05", "4096", "auto"]


def test_signs_are_no_markup() -> None:
    (row,) = [line for line in TABLES["settings of rkhs"]().splitlines() if "bandwidths" in line]
    assert r"exp(-bandwidth\*d/median)" in row
