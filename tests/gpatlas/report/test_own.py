"""gpatlas.report.own: the page of populations without truth."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cross_validated import own_tables, write_tables
from pages import Reader
from runs import limits, stage, write_run

from gpatlas.figures.chart import chart_of, points_of
from gpatlas.progress import Progress
from gpatlas.report.page import run
from gpatlas.report.settings import ReportSettings

IMPORT = {
    "in_genotypes_only": 3,
    "constant_covariates": [],
    "n_loci": 60,
    "loci_without_variation": 1234,
    "covariates": ["age", "sex"],
    "warnings": ["mine.tsv: -9 was taken as a number"],
    "n_individuals": 200,
    "traits": {"height": 200, "oil": 180},
    "n_groups": None,
    "missing_rate": 0.0123,
}
SCORES = "own: r and R² of every model, with 95% intervals"
CHOICES = "own: the model to pick, and how much more R² the best has"


def page_of(folder: Path, tables: dict[str, pd.DataFrame], names: tuple[str, ...] = (), **more: Any) -> str:
    """The page of a run with these tables, one import stage and the figures `names`."""
    stages = [stage("own/mine", "import-plink", report=IMPORT), *(stage(f"own/mine/{trait}", "ridge", 10) for trait in ("height", "oil"))]
    record = write_run(folder, tables["results"], list(names), **{"stages": stages, **more})
    write_tables(folder, tables)
    out = folder / "report.html"
    run(ReportSettings(), record, out, Progress("report", io.StringIO()))
    return out.read_text()


def test_what_was_imported_and_left_out_is_told(tmp_path: Path) -> None:
    page = page_of(tmp_path, own_tables())
    read = Reader(page)
    assert read.tables["own/mine: what was imported and left out"][1:] == [
        ["in genotypes only", "3"],
        ["constant covariates", "none"],
        ["loci", "60"],
        ["loci without variation", "1,234"],
        ["covariates", "age, sex"],
        ["individuals", "200"],
        ["missing rate", "0.0123"],
    ]
    assert read.tables["own/mine: individuals that have each trait"][1:] == [["height", "200"], ["oil", "180"]]
    assert "Warning: mine.tsv: -9 was taken as a number" in page


def test_scores_have_intervals_and_the_pick_is_told(tmp_path: Path) -> None:
    tables = own_tables(2)
    page = page_of(tmp_path, tables)
    read = Reader(page)
    head, *rows = read.tables[SCORES]
    assert head == ["trait", "model", "r", "r from", "r to", "R²", "R² from", "R² to", "pick"]
    assert len(rows) == 6
    r = tables["results"].query("trait == 1 and model == 'ridge'")["pearson_r"].item()
    assert rows[0][:3] == ["height", "ridge regression", f"{r:.3f}"]
    assert sum(row[-1] == "pick" for row in rows) == 2
    points = points_of("prediction", tables["results"], beside=tables.__getitem__)
    assert f"<p>{chart_of('prediction').say(points)}</p>" in page
    assert [row[0] for row in read.tables[CHOICES][1:]] == ["height", "yield_2019"]
    assert len(read.tables["own: differences between models, with 95% intervals"]) == 1 + 2 * 2 * 3


def test_a_verdict_says_whether_the_best_is_beyond_noise_better_than_ridge(tmp_path: Path) -> None:
    tables = own_tables(1, ("ridge", "egblup"))
    ridge = tables["predictions"]["model"] == "ridge"
    tables["predictions"] = tables["predictions"].assign(predicted=tables["predictions"]["predicted"].mask(ridge, 0.0))
    head, row = Reader(page_of(tmp_path, tables)).tables[CHOICES]
    said = dict(zip(head, row, strict=True))
    assert (said["pick"], said["best"], said["against ridge"]) == ("EG-BLUP", "EG-BLUP", "beyond noise")


def test_heritability_loci_and_pairs_are_named(tmp_path: Path) -> None:
    page = page_of(tmp_path, own_tables(2))
    read = Reader(page)
    assert len(read.tables["own: genomic heritability by the model's kernel"]) == 1 + 4
    head, *rows = read.tables["own: the 20 largest effects of each trait"]
    assert head == ["trait", "model", "id", "chromosome", "position", "counted allele", "other allele", "effect", "effect sd"]
    assert len(rows) == 40
    pairs = read.tables["own: the 20 pairs of each trait found most"]
    assert pairs[1][:7] == ["height", "snp_3", "1", "3,000,000", "snp_40", "10", "10,000,000"]
    assert pairs[1][7:9] == ["5", "5"]
    for name in ("predictions", "loci", "pairs"):
        assert f'<a href="{name}.csv">{name}.csv</a>' in page


def test_nothing_assumes_simulation(tmp_path: Path) -> None:
    page = page_of(tmp_path, own_tables())
    for word in ("V_A/V_G", "QTL", "Beside the study", "rel_aa"):
        assert word not in page
    grid = Reader(page).tables["the grid: scenarios, and the stages behind them"]
    assert grid[0] == ["experiment", "scenario", "individuals", "loci", "traits", "replicates", "ran", "reused", "seconds"]
    assert grid[1][5:8] == ["1", "3", "0"]


def test_every_link_of_the_contents_leads_somewhere(tmp_path: Path) -> None:
    read = Reader(page_of(tmp_path, own_tables(), ("prediction", "loci")))
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    links = [str(link["href"]) for link in read.named("a")]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)


def test_simulated_and_imported_populations_of_one_run_have_a_section_each(tmp_path: Path) -> None:
    tables = own_tables(1)
    tables["results"] = pd.concat([tables["results"], limits()], ignore_index=True)
    page = page_of(tmp_path, tables)
    read = Reader(page)
    assert {row[0] for row in read.tables["r of every model over traits and replicates"][1:]} == {"limits"}
    assert len(read.tables[SCORES]) == 4
    assert "Beside the study" in page


def test_without_folds_there_are_scores_and_no_choice(tmp_path: Path) -> None:
    tables = own_tables(2)
    results = tables["results"].assign(protocol="holdout").drop(columns=["n_folds", "n_repeats"])
    page = page_of(tmp_path, {"results": results})
    read = Reader(page)
    assert len(read.tables["own: r and R² of every model"]) == 7
    assert CHOICES not in read.tables
    assert "need protocol cross_validation" in page


def test_one_model_alone_is_compared_with_nothing(tmp_path: Path) -> None:
    read = Reader(page_of(tmp_path, own_tables(1, ("mlp",))))
    assert {CHOICES, "own: differences between models, with 95% intervals"}.isdisjoint(read.tables)
    assert len(read.tables[SCORES]) == 2


@pytest.mark.parametrize("n_traits", [46])
def test_many_traits_make_no_large_page(tmp_path: Path, n_traits: int) -> None:
    page = page_of(tmp_path, own_tables(n_traits, ("ridge", "egblup", "pairwise", "mlp", "lasso", "pruned_mlp"), n=60))
    assert len(page) < 2_500_000
    assert "Of 46 traits, the model to pick is " in page


def test_hostile_names_are_text(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script>'
    tables = {name: table.assign(trait_name=evil) for name, table in own_tables(1).items()}
    tables["loci"] = tables["loci"].assign(id=evil)
    read = Reader(page_of(tmp_path, tables))
    assert len(read.named("script")) == 1
    assert read.tables[SCORES][1][0] == evil
