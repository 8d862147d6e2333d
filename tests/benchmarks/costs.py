"""What a stage costs as the individuals and the loci grow: seconds and peak memory, each stage a process of its own."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from measure import stage

matplotlib.use("Agg")
import matplotlib.pyplot as plt

INDIVIDUALS, LOCI = (1000, 3000, 10_000, 30_000, 100_000), (50, 102, 500, 1000, 2000)
BASE = (10_000, 102)
MOST_FOR_NETWORK = 10**7  # individuals × loci of the largest fit of the full-size perceptron
FITS = {
    "ridge, a split": ("fit-ridge", ("--protocol", "holdout")),
    "linear_sgd, an epoch": ("fit-linear-sgd", ("--epochs", "1")),
    "mlp, an epoch": ("fit-mlp", ("--epochs", "1")),
}
AXES = {"n_individuals": "individuals", "n_loci": "loci"}
COSTS = {"seconds": "seconds", "peak_memory_mb": "peak memory, MB"}


def costs(quick: bool) -> Iterator[dict[str, Any]]:
    """A row per stage and size. A fit's seconds are its own table's, without the start of the process."""
    sizes = [(60, 20)] if quick else sorted({(n, BASE[1]) for n in INDIVIDUALS} | {(BASE[0], m) for m in LOCI})
    with tempfile.TemporaryDirectory() as folder:
        data, table = Path(folder) / "data.h5", Path(folder) / "table.csv"
        for n, m in sizes:
            size = {"n_individuals": n, "n_loci": m}
            done = stage("simulate", "--n-individuals", n, "--n-loci", m, "--n-qtl", m // 2 * 2, "--out", data)
            yield {"stage": "simulate", **size, "seconds": done.seconds, "peak_memory_mb": done.peak_memory_mb}
            for name, (command, flags) in FITS.items():
                if command == "fit-mlp" and n * m > MOST_FOR_NETWORK:
                    continue
                done = stage(command, "--data", data, "--out", table, *flags)
                yield {"stage": name, **size, "seconds": pd.read_csv(table)["seconds"][0], "peak_memory_mb": done.peak_memory_mb}


def draw(table: pd.DataFrame, out: Path) -> None:
    """Seconds and memory, by individuals at `BASE`'s loci and by loci at its individuals."""
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), sharex="col", sharey="row", layout="constrained")
    base = table.iloc[0][list(AXES)] if len(table.groupby(list(AXES))) == 1 else pd.Series(dict(zip(AXES, BASE, strict=True)))
    for column, (x, x_label) in enumerate(AXES.items()):
        other = next(name for name in AXES if name != x)
        shown = table[table[other] == base[other]]
        for row, (y, y_label) in enumerate(COSTS.items()):
            for name, points in shown.groupby("stage", sort=False):
                axes[row, column].loglog(points[x], points[y], "o-", label=name)
            axes[1, column].set_xlabel(f"{x_label} ({base[other]} {AXES[other]})")
            axes[row, 0].set_ylabel(y_label)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    figure.savefig(out, dpi=150)
    plt.close(figure)
