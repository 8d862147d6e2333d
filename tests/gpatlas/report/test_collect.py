"""gpatlas.report.collect: every row arrives, exactly, with the columns that its manifest entry adds."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gpatlas.progress import Progress
from gpatlas.report.collect import run
from gpatlas.report.settings import CollectSettings


def collect(folder: Path, entries: list[dict[str, Any]], stream: io.StringIO | None = None) -> str:
    """The collected text of a manifest of `entries`."""
    manifest, out = folder / "manifest.json", folder / "results.csv"
    manifest.write_text(json.dumps(entries))
    run(CollectSettings(), manifest, out, Progress("collect", stream or io.StringIO()))
    return out.read_text()


def entry(folder: Path, name: str, text: str, columns: dict[str, Any]) -> dict[str, Any]:
    (folder / name).write_text(text)
    return {"table": str(folder / name), "columns": columns}


def test_columns_of_the_manifest_come_first(tmp_path: Path) -> None:
    entries = [entry(tmp_path, "one.csv", "model,trait\nmlp,1\nmlp,2\n", {"experiment": "scaling", "scenario": "a b", "replicate": 3})]
    assert collect(tmp_path, entries) == "experiment,scenario,replicate,model,trait\nscaling,a b,3,mlp,1\nscaling,a b,3,mlp,2\n"


def test_tables_are_put_one_below_the_other_and_missing_columns_stay_empty(tmp_path: Path) -> None:
    entries = [
        entry(tmp_path, "one.csv", "model,pearson_r,penalty\nridge,0.5,0.01\n", {"replicate": 1}),
        entry(tmp_path, "two.csv", "model,pearson_r,note\nmlp,0.25,x\nmlp,,y\n", {"replicate": 2, "family": "neural"}),
    ]
    assert collect(tmp_path, entries).splitlines() == [
        "replicate,model,pearson_r,penalty,family,note",
        "1,ridge,0.5,0.01,,",
        "2,mlp,0.25,,neural,x",
        "2,mlp,,,neural,y",
    ]


def test_names_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    header = "experiment,scenario,model,simulator,protocol,pearson_r\n"
    rows = [f"{name},{name},{name},{name},{name},0.5\n" for name in ("NA", "null", "nan", "True", "1e3", "007")]
    entries = [entry(tmp_path, f"{place}.csv", header + line, {}) for place, line in enumerate(rows)]
    assert collect(tmp_path, entries) == header + "".join(rows)


def test_null_is_empty(tmp_path: Path) -> None:
    entries = [entry(tmp_path, "one.csv", "model\nmlp\n", {"genetic_correlation": None, "independent": True})]
    assert collect(tmp_path, entries) == "genetic_correlation,independent,model\n,True,mlp\n"


def test_numbers_are_not_changed(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).standard_normal(500).tolist()
    text = pd.DataFrame({"pearson_r": numbers}).to_csv(index=False)
    lines = collect(tmp_path, [entry(tmp_path, "one.csv", text, {"replicate": 1})]).splitlines()
    assert [float(line.split(",")[1]) for line in lines[1:]] == numbers


def test_progress_counts_the_tables(tmp_path: Path) -> None:
    stream = io.StringIO()
    collect(tmp_path, [entry(tmp_path, f"{number}.csv", "model\nmlp\n", {}) for number in range(3)], stream)
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"stage": "collect", "done": done, "total": 3} for done in (1, 2, 3)
    ]


def test_what_is_published_of_a_trait_stands_in_columns_of_its_rows(tmp_path: Path) -> None:
    table = entry(tmp_path, "1.csv", "model,trait,trait_name\nridge,1,007\nridge,2,NA\nridge,3,oil\n", {"replicate": 1})
    of_traits = {
        "NA": {"broad_h2": 0.5, "method": None},
        "007": {"broad_h2": 0.25, "method": "1e3"},
        "height": {"broad_h2": 1, "method": "x"},
    }
    assert collect(tmp_path, [table | {"published": of_traits}]).splitlines() == [
        "replicate,model,trait,trait_name,published_broad_h2,published_method",
        "1,ridge,1,007,0.25,1e3",
        "1,ridge,2,NA,0.5,",
        "1,ridge,3,oil,,",
    ]


def test_empty_manifest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lists no table") as caught:
        collect(tmp_path, [])
    assert str(caught.value) == f"{tmp_path / 'manifest.json'}: lists no table"


def test_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.csv"):
        collect(tmp_path, [{"table": str(tmp_path / "gone.csv"), "columns": {}}])


def test_tables_beside_those_of_the_fits_are_collected_likewise(tmp_path: Path) -> None:
    entries = []
    for number, name in enumerate(("007", "NA"), 1):
        columns = {"experiment": "own", "scenario": "all", "replicate": 1}
        table = entry(tmp_path, f"{number}.csv", f"model,trait,trait_name,pearson_r\nridge,{number},{name},0.5\n", columns)
        (tmp_path / f"{number}.loci.csv").write_text(f"model,trait,locus,id,effect\nridge,{number},1,{name},0.10\n")
        entries.append(table | {"beside": {"loci": str(tmp_path / f"{number}.loci.csv")}})
    (tmp_path / "2.loci.csv").write_text("model,trait,id,effect,effect_sd\nridge,2,NA,1e-05,\n")
    collect(tmp_path, entries)
    assert (tmp_path / "results.loci.csv").read_text().splitlines() == [
        "experiment,scenario,model,trait,trait_name,locus,id,effect,effect_sd",
        "own,all,ridge,1,007,1,007,0.10,",
        "own,all,ridge,2,NA,,NA,1e-05,",
    ]
    assert not (tmp_path / "results.predictions.csv").exists()


def test_a_table_beside_without_a_model_has_that_of_the_fit(tmp_path: Path) -> None:
    table = entry(tmp_path, "1.csv", "model,trait,pearson_r\npairwise,1,0.5\n", {"experiment": "own", "scenario": "all"})
    (tmp_path / "1.pairs.csv").write_text("trait,locus_1,locus_2\n1,3,4\n")
    collect(tmp_path, [table | {"beside": {"pairs": str(tmp_path / "1.pairs.csv")}}])
    header, row = (tmp_path / "results.pairs.csv").read_text().splitlines()
    assert (header, row) == ("experiment,scenario,model,trait,trait_name,locus_1,locus_2", "own,all,pairwise,1,,3,4")
