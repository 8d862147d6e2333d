"""gpatlas.report.own: the page of populations without truth."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cross_validated import STRENGTHS, own_tables, write_tables
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


def with_published(models: tuple[str, ...], r_squared: dict[str, list[float]], **published: list[Any]) -> dict[str, pd.DataFrame]:
    """Tables of two traits with these R² and published values, by trait."""
    tables = own_tables(2, models)
    rows = tables["results"].drop(columns=["published_broad_h2", "published_narrow_h2"])
    ours = [r_squared[model][trait - 1] for model, trait in zip(rows["model"], rows["trait"], strict=True)]
    theirs = {f"published_{name}": [values[trait - 1] for trait in rows["trait"]] for name, values in published.items()}
    return {**tables, "results": rows.assign(r_squared=ours, **theirs)}


OURS = {"ridge": [0.2, 0.3], "egblup": [0.5, 0.2], "pairwise": [0.1, 0.1]}
MEANS = "own: mean R² over the {} traits that have all of these"
TRAITS = "own: R² of every trait beside what is published"


def test_our_r_squared_stands_beside_the_published(tmp_path: Path) -> None:
    tables = with_published(
        ("ridge", "egblup"), OURS, broad_h2=[0.8, None], svm_r_squared=[0.4, 0.1], best_r_squared=[0.45, 0.35], method=["GBM", None]
    )
    page = page_of(tmp_path, tables)
    read = Reader(page)
    assert read.tables[TRAITS] == [
        [
            "trait",
            "H²",
            "published: svm",
            "published: best",
            "published: method",
            "our best single model",
            "its R²",
            "single − best published",
        ],
        ["height", "0.80", "0.400", "0.450", "GBM", "EG-BLUP", "0.500", "+0.050"],
        ["yield_2019", "", "0.100", "0.350", "", "ridge regression", "0.300", "−0.050"],
    ]
    assert read.tables[MEANS.format(2)][1:] == [
        ["published: best", "0.400"],
        ["EG-BLUP", "0.350"],
        ["ridge regression", "0.250"],
        ["published: svm", "0.250"],
    ]
    said = (
        "<p>Mean R² over 2 traits: EG-BLUP 0.350; published: svm 0.250 and best 0.400. By EG-BLUP it is 0.050 below the highest published "
        "mean, and R² is above that column&#39;s in 1 of 2 traits. The best of several models of a trait, ours or published, was chosen by"
    )
    assert said in page
    assert '<a href="#beside-published">' in page


def test_a_stack_is_what_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRENGTHS, "stack", 1.1)
    ours = {"ridge": [0.2, 0.3], "stack": [0.3, 0.5]}
    page = page_of(tmp_path, with_published(("ridge", "stack"), ours, svm_r_squared=[0.1, None]))
    read = Reader(page)
    assert read.tables[TRAITS] == [
        ["trait", "published: svm", "our best single model", "its R²", "our stack's R²", "stack − best published"],
        ["height", "0.100", "ridge regression", "0.200", "0.300", "+0.200"],
    ]
    assert "Mean R² over 1 traits: stack 0.300 and ridge regression 0.200; published: svm 0.100. By stack it is 0.200 above" in page


def test_without_a_trait_that_has_all_there_are_no_means(tmp_path: Path) -> None:
    page = page_of(tmp_path, with_published(("ridge",), OURS, svm_r_squared=[0.1, None], gbm_r_squared=[None, 0.2]))
    assert "No trait has the R² of every model and of every published column, so their means cannot be compared." in page
    assert len(Reader(page).tables[TRAITS]) == 3
    assert "mean R² over" not in page


def test_where_no_r_squared_is_published_nothing_is_compared(tmp_path: Path) -> None:
    page = page_of(tmp_path, with_published(("ridge",), OURS, broad_h2=[0.5, 0.6]))
    assert "beside-published" not in page


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
    assert len(read.named("script")) == len(Reader(page_of(tmp_path, own_tables(1))).named("script"))
    assert read.tables[SCORES][1][0] == evil
