"""One page on a whole run: its figures with what they show, the tables behind them, its values beside the study's, and what it took."""

import base64
import json
from collections import Counter
from collections.abc import Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from gpatlas.figures.chart import chart_of, points_of
from gpatlas.figures.registry import FIGURES
from gpatlas.figures.rows import ALWAYS, POSITIVE, Beside, as_measured, read_beside, read_table
from gpatlas.figures.words import listed
from gpatlas.progress import Progress
from gpatlas.report.explore import explorer
from gpatlas.report.own import imports, own_sections, without_truth
from gpatlas.report.published import compared
from gpatlas.report.run_record import FigureFile, RunRecord, StageRecord
from gpatlas.report.settings import COLLECTED_TABLES, ReportSettings
from gpatlas.report.tables import page_table
from gpatlas.report.timeline import clock, seconds_between, timeline
from gpatlas.settings import build

OF_ANY = [*ALWAYS, "n_loci", "n_traits", "seed", "seconds"]
OF_SIMULATED = list(dict.fromkeys([*OF_ANY, *POSITIVE, "genetic_correlation", "rel_aa"]))
QUANTITIES = {"pearson_r": "r", "gain": "gain in r over ridge regression", "relative_gain": "relative gain over ridge regression"}
SCENARIO = ["n_individuals", "n_loci", "n_qtl", "n_traits", "qtl_pairs", "genetic_correlation", "h2"]


def run(settings: ReportSettings, source: Path, out: Path, progress: Progress) -> None:
    """Write the page on the run that the file `source` (JSON, a RunRecord) describes to `out`.

    Raises ValueError where the record, or the table that it names, is not what it should be, OSError where a file is missing.
    """
    try:
        record = build(RunRecord, json.loads(source.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source}: not the record of a run: {error}") from error
    try:
        table = read_table(record.results)
        needed = OF_ANY if "simulator" in table and without_truth(table).all() else OF_SIMULATED
        if absent := [name for name in needed if name not in table]:
            raise ValueError(f"no column {listed(absent)}; the table has {listed(table.columns)}")
        page = render(record, table, settings)
    except ValueError as error:
        raise ValueError(f"{record.results}: {error}") from error
    out.write_text(page, encoding="utf-8")
    progress(1, 1, rows=len(table), stages=len(record.stages))


def render(record: RunRecord, table: pd.DataFrame, settings: ReportSettings) -> str:
    """The page, as HTML that needs nothing beside itself."""
    environment = Environment(
        autoescape=True, loader=PackageLoader("gpatlas.report", ""), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    own, beside = without_truth(table), cache(partial(read_beside, record.results))
    simulated = table[~own]
    return environment.get_template("report.html").render(
        run=record,
        facts=_facts(record, table),
        explorer=explorer(table),
        figures=[_figure(figure, table, beside) for figure in record.figures],
        models=page_table(_models(simulated), "r of every model over traits and replicates") if len(simulated) else None,
        own=own_sections(table[own], beside),
        imports=imports(record),
        tables_beside=[name for name in COLLECTED_TABLES if len(beside(name))],
        everything=page_table(table, "the collected table", heads={}, of="results") if len(table) <= settings.max_rows else None,
        n_rows=len(table),
        **(_beside_the_study(simulated) if len(simulated) else {"published": None, "distances": []}),
        grid=page_table(_grid(record, table), "the grid: scenarios, and the stages behind them"),
        **_cost(record, settings.n_slowest),
        protocols=sorted(table["protocol"].unique()),
        seeds=_ranges(table["seed"].unique()),
        versions=page_table(_versions(record.stages), "package versions"),
        images=Counter(stage.image for stage in record.stages if stage.image),
        content=json.dumps(record.content, indent=1, ensure_ascii=False),
    )


def _facts(record: RunRecord, table: pd.DataFrame) -> dict[str, str]:
    """What the run was, in a few numbers."""
    ran = record.ran
    memory = [stage.peak_memory_mb for stage in record.stages if stage.peak_memory_mb]
    facts = {
        "scenarios": f"{table.groupby('experiment')['scenario'].nunique().sum():,}",
        "rows of results": f"{len(table):,}, of {table['model'].nunique()} models",
        "stages": f"{len(ran):,} ran, {len(record.stages) - len(ran):,} reused",
        "this session": clock(seconds_between(ran)) if ran else "nothing ran",
        "sum over stages": clock(sum(stage.wall_seconds for stage in record.stages)),
    }
    return facts | ({"largest memory": f"{max(memory):,.0f} MB"} if memory else {})


def _figure(figure: FigureFile, table: pd.DataFrame, beside: Beside) -> dict[str, Any]:
    chart, entry = chart_of(figure.figure), FIGURES[figure.figure]
    title = entry.title_for(figure.drawn)
    points, png = points_of(figure.figure, table, figure.further_models, figure.drawn, beside), Path(figure.path).read_bytes()
    shown = chart.value if chart.rows else f"{chart.value}; mean, standard deviation, number"
    return {
        "name": entry.name_for(figure.drawn),
        "title": title,
        "sentence": chart.say(points),
        "png": base64.b64encode(png).decode(),
        "width": int.from_bytes(png[16:20]) // 2,  # of its pixels, as PNG's header says: they are drawn two to one
        "table": page_table(chart.summary(points), f"{title.partition(':')[0]}: {shown}"),
        "answers": page_table(chart.answers(points), f"{figure.drawn}: individuals it takes") if chart.answers else None,
    }


def _models(table: pd.DataFrame) -> pd.DataFrame:
    measured = ["trait_name"] if as_measured(table).any() else []
    groups = table.groupby(["experiment", "model", *measured, "rel_aa"], dropna=False, sort=False)
    aggregated = groups.agg(
        share=("v_a_over_v_g", "mean"),
        mean=("pearson_r", "mean"),
        sd=("pearson_r", "std"),
        n=("pearson_r", "count"),
        fit_seconds=("seconds", "mean"),
    )
    return aggregated.reset_index()


def _beside_the_study(table: pd.DataFrame) -> dict[str, Any]:
    """The published values with ours, and how far they are apart; nothing where the run has none of their cells."""
    cells = compared(table)
    if cells.empty:
        return {"published": None, "distances": []}
    values = ["published", "ours", "difference", "sd", "n", "what", "protocol"]
    names = ["experiment", "model", "quantity", *values, *SCENARIO[:4], "genetic_correlation", "rel_aa", "trait", "replicate", "source"]
    shown = cells[names].dropna(axis="columns", how="all")
    distances = [_distance(QUANTITIES[str(quantity)], rows["difference"]) for quantity, rows in cells.groupby("quantity", sort=False)]
    return {"published": page_table(shown, "the study's values and ours"), "distances": distances}


def _distance(quantity: str, differences: "pd.Series[float]") -> str:
    away = differences.abs()
    higher = f"ours is higher in {(differences > 0).sum()} of {len(away)}"
    return f"{quantity}: {higher}, {away.median():.3f} away in the median, {away.max():.3f} at most"


def _grid(record: RunRecord, table: pd.DataFrame) -> pd.DataFrame:
    """A row per combination of parameters: its replicates, and how many of its stages ran and were reused."""
    scenarios = table.drop_duplicates(["experiment", "scenario"]).drop(columns="seconds")
    scenarios = scenarios.assign(folder=scenarios["experiment"] + "/" + scenarios["scenario"])
    if "n_trait_groups" in scenarios:
        own = scenarios["n_trait_groups"] == scenarios["n_traits"]
        scenarios["qtl_pairs"] = own.map({True: "own", False: "shared"}).where(scenarios["n_trait_groups"].notna())
    stages = _stages(record)
    population = stages["folder"].str.split("/").str[:2].str.join("/")  # a fit of some traits has a folder of its own in that
    stages = stages.groupby(population)[["ran", "reused", "seconds"]].sum()
    names = [name for name in SCENARIO if name in scenarios]
    if without_truth(table).any():
        names.insert(0, "scenario")
    groups = scenarios.join(stages, on="folder").groupby(["experiment", *names], dropna=False, sort=False)
    return groups.agg(
        replicates=("replicate", "nunique"), ran=("ran", "sum"), reused=("reused", "sum"), seconds=("seconds", "sum")
    ).reset_index()


def _stages(record: RunRecord) -> pd.DataFrame:
    rows = [
        (stage.folder, stage.name, stage.session == record.session, stage.wall_seconds, stage.peak_memory_mb) for stage in record.stages
    ]
    frame = pd.DataFrame(rows, columns=["folder", "stage", "ran", "seconds", "memory"]).astype({"memory": float})
    return frame.assign(reused=~frame["ran"])


def _cost(record: RunRecord, n_slowest: int) -> dict[str, Any]:
    """Time and memory: the timeline of what ran, a table by kind of stage, and the slowest stages."""
    stages = _stages(record)
    kinds = stages.groupby("stage", sort=False).agg(
        ran=("ran", "sum"),
        reused=("reused", "sum"),
        seconds=("seconds", "sum"),
        median=("seconds", "median"),
        longest=("seconds", "max"),
        memory=("memory", "max"),
    )
    slowest = stages.nlargest(n_slowest, "seconds").assign(how=lambda rows: rows["ran"].map({True: "ran", False: "reused"}))
    return {
        "timeline": timeline(record.ran) if record.ran else None,
        "kinds": page_table(kinds.reset_index(), "time and memory by kind of stage"),
        "slowest": page_table(slowest[["folder", "stage", "seconds", "memory", "how"]], f"the {len(slowest)} slowest stages"),
    }


def _versions(stages: Iterable[StageRecord]) -> pd.DataFrame:
    """A row per package and version, and in how many stages it was."""
    counts = Counter(item for stage in stages for item in stage.versions.items())
    return pd.DataFrame([(*item, count) for item, count in sorted(counts.items())], columns=["package", "version", "stages"])


def _ranges(numbers: Iterable[int]) -> str:
    """'1 to 10, 12': whole numbers as runs."""
    runs: list[list[int]] = []
    for number in sorted(map(int, numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
