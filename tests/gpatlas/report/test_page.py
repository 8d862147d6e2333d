"""gpatlas.report.page: what stands on the page, what is refused, and that no name of a run becomes markup."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from figure_tables import STUDY, dilution_table, measured_rows, pleiotropy_table, scaling_table
from pages import Reader
from runs import SESSION, everything, limits, linkage, plan, row, scaling, stage, write_run

from gpatlas.figures.chart import chart_of, points_of
from gpatlas.progress import Progress
from gpatlas.report.columns import RESULTS
from gpatlas.report.page import run
from gpatlas.report.run_record import StageRecord
from gpatlas.report.settings import ReportSettings
from gpatlas.report.tables import page_table
from gpatlas.report.timeline import clock, timeline
from gpatlas.settings import build

OTHER = "host/boot/2/2"


def report(folder: Path, table: pd.DataFrame, names: list[str], **more: Any) -> str:
    """The page of a run, see `runs.write_run`."""
    out = folder / "report.html"
    run(ReportSettings(), write_run(folder, table, names, **more), out, Progress("report", io.StringIO()))
    return out.read_text()


@pytest.mark.parametrize("name", ["NA", "True", "1e3"])
def test_names_are_shown_as_they_are(tmp_path: Path, name: str) -> None:
    table = limits().assign(experiment=name)
    table["scenario"] = table.groupby("scenario", sort=False).ngroup().astype(str)
    page = Reader(report(tmp_path, table, []))
    assert {line[0] for line in page.tables["r of every model over traits and replicates"][1:]} == {name}
    assert {line[0] for line in page.tables["the collected table"][1:]} == {name}
    assert [line[1] for line in page.tables["the collected table"][1:]] == list(table["scenario"])


def test_figures_stand_there_with_their_sentence_and_table(tmp_path: Path) -> None:
    page = Reader(report(tmp_path, everything(), STUDY))
    pictures = page.named("img")
    assert len(pictures) == len(STUDY)
    for picture, name in zip(pictures, STUDY, strict=True):
        assert picture["alt"] == chart_of(name).say(points_of(name, everything()))
        assert (picture["src"] or "").startswith("data:image/png;base64,iVBOR")
        assert picture["width"] == "300"
    assert page.tables["Figure 3: relative gain (1 is +100%); mean, standard deviation, number"][1:] == [
        ["mlp", "2", "10", "own", "0", "0.500", "0.000", "2"],
        ["mlp", "2", "10", "shared", "0", "0.600", "0.000", "2"],
        ["mlp", "2", "10", "shared", "0.5", "0.700", "0.000", "2"],
        ["mlp", "2", "30", "own", "0", "0.000", "0.000", "2"],
        ["mlp", "2", "30", "shared", "0", "0.100", "0.000", "2"],
        ["mlp", "2", "30", "shared", "0.5", "0.200", "0.000", "2"],
    ]


def test_a_plan_has_a_section_of_its_own(tmp_path: Path) -> None:
    page = Reader(report(tmp_path, plan(), ["plan"]))
    head, additive, epistatic = page.tables["plan: individuals it takes"]
    assert head[:3] == ["architecture", "model", "individuals it takes (95% interval)"]
    assert additive[:2] == ["heritability 0.81, V_A/V_G 1.00", "EG-BLUP"]
    assert additive[3:] == ["400", "0.000", "0.00"]
    assert epistatic == ["heritability 0.81, V_A/V_G 0.25", "EG-BLUP", "200 (<100 to >400)", "400", "+0.100", "1.00"]
    assert [name["href"] for name in page.named("a") if name.get("href") == "#plan"] == ["#plan"]
    assert "plan: individuals it takes" not in Reader(report(tmp_path, limits(), ["4"])).tables


def test_a_trait_as_measured_has_its_row_in_the_plan_and_among_the_models(tmp_path: Path) -> None:
    table = pd.concat([plan(), measured_rows(2, [100, 400], ["height"]).assign(seed=1, seconds=0.5)])
    written = report(tmp_path, table, ["plan"])
    page = Reader(written)
    *_, measured = page.tables["plan: individuals it takes"]
    assert measured[:2] == ["height, as measured", "EG-BLUP"]
    assert measured[3:] == ["400", "+0.060", "1.00"]
    head, *rows = page.tables["r of every model over traits and replicates"]
    assert head[:3] == ["experiment", "model", "trait as measured"]
    assert [line[:4] for line in rows if line[2]] == [["plan", model, "height", ""] for model in ("ridge", "egblup", "pairwise")]
    assert {line[2] for line in rows} == {"", "height"}
    assert "Which model" not in written


def test_what_was_imported_stands_there_where_traits_are_simulated_on_it(tmp_path: Path) -> None:
    stages = [stage("plan/genotypes", "import-plink", report={"n_individuals": 288, "n_loci": 390, "traits": {"height": 288}})]
    page = Reader(report(tmp_path, plan(), ["plan"], stages=stages))
    assert page.tables["plan/genotypes: what was imported and left out"][1:] == [["individuals", "288"], ["loci", "390"]]


def test_two_experiments_may_have_one_figure(tmp_path: Path) -> None:
    table = pd.concat([scaling(), scaling().assign(experiment="linked", pearson_r=0.5)], ignore_index=True)
    write_run(tmp_path, table, [])
    files = [{"figure": "1b", "experiment": name, "path": str(tmp_path / "figure.png")} for name in ("scaling", "linked")]
    page = Reader(report(tmp_path, table, [], figures=files))
    assert [head["id"] for head in page.named("h3") if "id" in head] == ["figure-1b", "figure-1b_linked"]
    assert [picture["alt"] for picture in page.named("img")] == [
        chart_of("1b").say(points_of("1b", table, experiment=name)) for name in ("scaling", "linked")
    ]
    assert "Figure 1B: r; mean, standard deviation, number" in page.tables
    assert "Figure 1B, experiment linked: r; mean, standard deviation, number" in page.tables


def test_models_and_the_collected_table(tmp_path: Path) -> None:
    page = Reader(report(tmp_path, scaling(), []))
    models = page.tables["r of every model over traits and replicates"]
    assert models[0] == ["experiment", "model", "rel_aa", "V_A/V_G", "mean", "sd", "n", "seconds of a fit"]
    assert models[1] == ["scaling", "mlp", "0", "1.00", "0.850", "0.071", "2", "0.50"]
    collected = page.tables["the collected table"]
    assert collected[0] == list(scaling())
    assert len(collected) == 1 + len(scaling())


def test_a_run_without_figures_and_without_published_cells_says_so(tmp_path: Path) -> None:
    page = report(tmp_path, scaling(), [])
    assert "This run draws no figure." in page
    assert "none of the cells whose values the study published" in page


def test_published_values_stand_beside_ours(tmp_path: Path) -> None:
    table = pd.DataFrame([row("scaling", "mlp", 1, 202, 0.99, n_individuals=10_000, n_traits=5, n_trait_groups=5, h2=0.999, replicate=3)])
    page = report(tmp_path, table, [])
    (head, cells) = Reader(page).tables["the study's values and ours"]
    cell = dict(zip(head, cells, strict=True))
    assert (cell["published"], cell["ours"], cell["ours − published"], cell["ours is"]) == ("0.9979", "0.990", "−0.008", "mean")
    assert (cell["individuals"], cell["QTL"], cell["protocol"], cell["n"]) == ("10,000", "202", "holdout", "1")
    assert "<li>r: ours is higher in 0 of 1, 0.008 away in the median, 0.008 at most</li>" in page


def test_the_grid_counts_what_ran_and_what_was_reused(tmp_path: Path) -> None:
    folders = ["scaling/10qtl_10loci_0.0_2_rep1", "scaling/20qtl_20loci_0.0_2_rep1"]
    stages = [
        stage(folders[0], "simulate", 0, session=OTHER),
        stage(folders[0], "mlp", 0, wall_seconds=20.0, peak_memory_mb=300.0),
        stage(folders[1], "mlp", 10, wall_seconds=5.5, image="sha256:1f"),
        stage("collected/study", "results", 20, peak_memory_mb=None),
    ]
    html = report(tmp_path, scaling(), [], stages=stages)
    page = Reader(html)
    head, *grid = page.tables["the grid: scenarios, and the stages behind them"]
    assert head[-4:] == ["replicates", "ran", "reused", "seconds"]
    assert [cells[-4:] for cells in grid] == [["1", "1", "1", "50.0"], ["1", "1", "0", "5.5"]]
    assert page.tables["time and memory by kind of stage"][2] == ["mlp", "2", "0", "25.5", "12.8", "20.0", "300"]
    assert page.tables["the 4 slowest stages"][1:3] == [
        [folders[0], "simulate", "30.0", "100", "reused"],
        ["collected/study", "results", "30.0", "", "ran"],
    ]
    assert "3 ran, 1 reused" in html
    assert "<dt>this session</dt><dd>50 s</dd>" in html
    assert "<dt>sum over stages</dt><dd>1 min 26 s</dd>" in html
    assert re.search(r"Image <code>sha256:1f</code> of 1 stage", html)
    assert len(page.named("rect")) == 3


def test_a_run_that_only_reused_has_no_timeline(tmp_path: Path) -> None:
    page = report(tmp_path, scaling(), [], session=OTHER)
    assert "No stage but this page ran in this session" in page
    assert "Timeline of the stages" not in page


def test_what_is_missing_stands_at_the_top(tmp_path: Path) -> None:
    missing = [
        {"stage": "scaling/one mlp", "why": "ended: <b>", "log": "store/scaling/one/mlp-1.failed/log.txt"},
        {"stage": "collected/study figure_1b", "why": "no row of model 'mlp'"},
    ]
    page = report(tmp_path, scaling(), [], missing=missing)
    top = page.partition("<nav")[0]
    assert "<title>gpatlas: study (incomplete)</title>" in top
    assert "Incomplete, missing stages: 2." in top
    assert '<code>scaling/one mlp</code>: ended: &lt;b&gt; (<a href="../store/scaling/one/mlp-1.failed/log.txt">log</a>)' in top
    assert "<code>collected/study figure_1b</code>: no row of model &#39;mlp&#39;</li>" in top
    assert "ncomplete" not in report(tmp_path, scaling(), []).replace(".incomplete", "")


def test_a_run_without_any_r_has_a_page(tmp_path: Path) -> None:
    table = everything().assign(pearson_r=np.nan)
    page = Reader(report(tmp_path, table, []))
    assert {tuple(line[4:7]) for line in page.tables["r of every model over traits and replicates"][1:]} == {("", "", "0")}


def test_hostile_names_are_text(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>&amp;'
    table = scaling().assign(scenario=evil + scaling()["scenario"], protocol=evil)
    stages = [stage(f"scaling/{evil}", evil, versions={evil: evil}, image=evil)]
    page = report(tmp_path, table, ["1b"], name=evil, config=evil, command=evil, git_commit=evil, content={evil: evil}, stages=stages)
    read = Reader(page)
    assert len(read.named("img")) == 1
    assert len(read.named("script")) == len(Reader(report(tmp_path, scaling(), [])).named("script"))
    assert not any(name.startswith("on") for _, attributes in read.elements for name in attributes)
    assert read.tables["package versions"][1] == [evil, evil, "1"]


def test_a_large_run_keeps_a_small_page(tmp_path: Path) -> None:
    sizes = {n: list(range(20, 420, 40)) for n in (1000, 10_000, 100_000)}
    tables = [
        scaling_table(10, sizes),
        dilution_table(5, [100, 1000, 10_000], n_qtl=100),
        pleiotropy_table(5, [100, 200], [10, 100]),
        limits(),
        linkage(),
        plan(),
    ]
    table = pd.concat(tables, ignore_index=True).assign(seed=1, seconds=1.0)
    stages = [
        stage(f"scaling/{number}", name, number % 60)
        for number in range(400)
        for name in ("simulate", "ridge", "mlp", "linear_sgd", "pruned")
    ]
    page = report(tmp_path, table, STUDY, stages=stages)
    assert len(table) > 10_000
    assert len(page) < 2_000_000
    assert "the collected table" not in Reader(page).tables
    assert f"The collected table has {len(table):,} rows, too many for a page" in page


BAD = [
    ({"stages": "no"}, "stages: must be a valid tuple, got 'no'"),
    ({"stages": [{**stage("a/b", "mlp"), "wall_seconds": "long"}]}, r"stages\.0\.wall_seconds: must be a valid number.*, got 'long'"),
    ({"finished": True}, r"finished: unknown key \(allowed: command, config, "),
    ({"figures": [{"figure": "1c", "path": "x"}]}, r"run\.json: .*figures\.0\.figure: '1c' is no figure \(allowed: 1a, "),
    (
        {"figures": [{"figure": "1b", "path": "x", "further_models": ["svm"]}]},
        r"figures\.0\.further_models\.0: 'svm' is no model \(allowed: ",
    ),
]


@pytest.mark.parametrize(("more", "message"), BAD)
def test_a_wrong_record_is_refused(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        report(tmp_path, scaling(), [], **more)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(("text", "message"), [("{", "Expecting property name"), ("[]", "name: is required"), ("{}", "name: is required")])
def test_a_file_that_is_no_record_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        run(ReportSettings(), path, tmp_path / "report.html", Progress("report", io.StringIO()))
    assert str(caught.value).startswith(f"{path}: not the record of a run: ")


def test_heads_of_the_collected_table_say_what_its_columns_mean(tmp_path: Path) -> None:
    names = list(scaling())
    heads = Reader(report(tmp_path, scaling(), [])).named("th")
    told = [head.get("title") for head in heads if head.get("title")]
    assert len(told) == len(names)
    seconds = RESULTS["seconds"]
    assert told[names.index("seconds")] == f"{seconds.meaning} (s)"
    assert told[names.index("experiment")] == RESULTS["experiment"].meaning


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.csv"):
        report(tmp_path, scaling(), [], results=str(tmp_path / "gone.csv"))
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        report(tmp_path, scaling(), [], figures=[{"figure": "1b", "path": str(tmp_path / "gone.png")}])


def test_a_table_without_a_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"table\.csv: no column 'seed'; the table has 'experiment'"):
        report(tmp_path, scaling().drop(columns="seed"), [])


def test_numbers_are_written_for_reading_and_kept_for_sorting() -> None:
    frame = pd.DataFrame({"n_individuals": [1e6, 100], "difference": [-0.00001, -0.1234], "sd": [None, 0.5], "simulator": ["native", None]})
    table = page_table(frame, "caption")
    assert table.heads == [("individuals", True, ""), ("ours − published", True, ""), ("sd", True, ""), ("simulator", False, "")]
    assert table.rows == [
        (("1,000,000", "1000000"), ("0.000", "-1e-05"), ("", None), ("native", None)),
        (("100", "100"), ("−0.123", "-0.1234"), ("0.500", "0.5"), ("", None)),
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0"),
        (0.4, "0 s"),
        (59.7, "1 min"),
        (75, "1 min 15 s"),
        (3600, "1 h"),
        (3599.9, "1 h"),
        (90_061, "1 d 1 h"),
        (86_399, "23 h 59 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_timeline_is_to_scale() -> None:
    stages = [build(StageRecord, stage("a/b", name, start, session=SESSION)) for name, start in (("mlp", 30), ("simulate", 0), ("mlp", 0))]
    drawn = timeline(stages)
    assert list(drawn.lanes) == ["simulate", "mlp"]
    first, second = drawn.lanes["mlp"]
    assert (first.x, second.x, second.x + second.width) == (170, 580, 990)  # 60 seconds on 820 units
    assert [label for _, label in drawn.ticks] == ["0", "10 s", "20 s", "30 s", "40 s", "50 s", "1 min"]
    assert second.title == "a/b mlp: 30.0 s"
