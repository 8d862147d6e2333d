"""tests/benchmarks: a tiny run of every one, by its command. Whether a time is good is not judged here."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
from drivers import ENVIRONMENT, PROJECT

WORKS = {"a", "simulate", "start-up", "linear_sgd", "mlp", "ridge", "pairwise", "egblup", "elastic_net", "boosting", "stack"}
WORKS |= {f"import-{source}" for source in ("alphasimr", "plink", "table", "vcf")} | {"fit-pairwise", "fit-ridge"}


def test_quick_run_writes_every_row(tmp_path: Path) -> None:
    command = [sys.executable, "tests/benchmarks", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table, costs = pd.read_csv(tmp_path / "benchmarks.csv"), pd.read_csv(tmp_path / "costs.csv")
    assert {work.replace(",", "").split()[0] for work in table["work"]} == WORKS
    assert (table["ours_seconds"] > 0).all()
    assert (table["ratio"].isna() == table["peer_seconds"].isna()).all()
    missing = table[table["peer"].notna() & table["peer_seconds"].isna()]
    assert missing["note"].str.contains("is not installed").all()
    compared = table[table["peer_pearson_r"].notna()]
    assert len(compared) >= 7  # scikit-learn's
    assert compared["pearson_r"].between(0.2, 1).all()
    assert compared["peer_pearson_r"].between(-1, 1).all()
    assert table["note"].str.contains("of 2 pairs found: ours 2 and 0 false").any()
    assert costs["stage"].tolist() == ["simulate", "ridge, a split", "linear_sgd, an epoch", "mlp, an epoch"]
    assert costs["seconds"].notna().all()
    assert (costs["peak_memory_mb"] > 0).all()
    assert all(work in (tmp_path / "benchmarks.md").read_text() for work in table["work"])
    assert (tmp_path / "cost.png").stat().st_size > 0
