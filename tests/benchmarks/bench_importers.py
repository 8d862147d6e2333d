"""Importers, each as a process, which writes a checked dataset file, against what reads the same file, or turns it into another."""

import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measure import paired_processes, run, stage
from peers import absent, drawn_counts, peer_version, write_phenotype, write_plink, write_table, write_vcf

BED, TEXT = (10_000, 20_000), (2000, 10_000)  # individuals, loci; diploids
READ_BED = "import sys, bed_reader; print(bed_reader.open_bed(sys.argv[1]).read(dtype='int8').shape)"
READ_TABLE = "import sys, pandas; print(pandas.read_csv(sys.argv[1], index_col=0).shape)"


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    """The table's rows."""
    repeats = 1 if quick else 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n, m = written(folder, *((40, 30) if quick else BED), "bed")
        peer = python(READ_BED, folder / "X.bed") if peer_version("bed-reader") else None
        note = {"note": "bed-reader: one array (int8) in memory"} | absent("bed-reader")
        yield imported("import-plink", f"{n} × {m}, from .bed", folder / "X.bed", "bed-reader", peer, repeats) | note
        n, m = written(folder, *((40, 30) if quick else TEXT), "text")
        peer = python(READ_TABLE, folder / "X.csv")
        note = {"note": "pandas: one frame (float64) in memory"}
        yield imported("import-table", f"{n} × {m}, from .csv", folder / "X.csv", "pandas.read_csv", peer, repeats) | note
        made = "plink1.9", "--vcf", str(folder / "X.vcf"), "--double-id", "--make-bed", "--out", str(folder / "made")
        peer = partial(run, *made) if peer_version("PLINK") else None
        note = {"note": "PLINK: .bed, .bim and .fam"} | absent("PLINK")
        yield imported("import-vcf", f"{n} × {m}, from .vcf", folder / "X.vcf", "plink1.9 --vcf --make-bed", peer, repeats) | note


def written(folder: Path, n: int, m: int, form: str) -> tuple[int, int]:
    """The sizes, once the files are there: X.bed, or X.csv and X.vcf; and P.tsv."""
    counts, phenotype = drawn_counts(n, m), np.random.default_rng(2).standard_normal(n)
    write_phenotype(folder / "P.tsv", phenotype)
    if form == "bed":
        write_plink(folder / "X", counts, phenotype)
    else:
        write_table(folder / "X.csv", counts)
        write_vcf(folder / "X.vcf", counts)
    return n, m


def python(code: str, path: Path) -> Any:
    """A process that reads `path`."""
    return partial(run, sys.executable, "-c", code, str(path))


def imported(name: str, size: str, source: Path, peer_name: str, peer: Any, repeats: int) -> dict[str, Any]:
    out = source.with_name("imported.h5")
    ours = partial(stage, name, "--from", source, "--phenotypes", source.with_name("P.tsv"), "--out", out)
    measured = paired_processes(ours, peer, repeats)
    return {"work": f"{name}, {size}", "peer": peer_name, **measured, "disk_mb": out.stat().st_size / 1e6}
