"""tests/benchmarks: a tiny run of every one, by its command. What they measure is not judged here: a small time may come out below 0."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
from drivers import ENVIRONMENT, PROJECT


def test_quick_run_writes_every_row(tmp_path: Path) -> None:
    command = [sys.executable, "tests/benchmarks", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table, costs = pd.read_csv(tmp_path / "benchmarks.csv"), pd.read_csv(tmp_path / "costs.csv")
    assert {"simulate", "import", "start-up", "ridge", "linear_sgd", "mlp"} <= {work.replace(",", "").split()[0] for work in table["work"]}
    assert table["ours_seconds"].notna().all()
    assert (table["ratio"].isna() == table["study_seconds"].isna()).all()
    assert costs["stage"].tolist() == ["simulate", "ridge, a split", "linear_sgd, an epoch", "mlp, an epoch"]
    assert costs["seconds"].notna().all()
    assert (costs["peak_memory_mb"] > 0).all()
    assert all(work in (tmp_path / "benchmarks.md").read_text() for work in table["work"])
    assert (tmp_path / "cost.png").stat().st_size > 0
