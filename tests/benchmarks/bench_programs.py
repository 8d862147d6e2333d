"""Fits against programs that users have for them, PLINK and GEMMA, each side as processes that read the same individuals from files."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measure import Run, paired_processes, run, stage
from peers import absent, peer_version, write_plink

from gpatlas.data.dataset import Dataset
from gpatlas.models.pairwise import true_pairs
from gpatlas.models.scores import pearson_r

PAIRWISE, RIDGE = (10_000, 1000, 100), (2000, 1000, 100)  # individuals, loci, causal loci; one trait
FALSE_PAIRS = 0.05  # expected among all that PLINK tests (Bonferroni)
# Relationship matrix, variance components and effects, and from them the individuals whose phenotype is not known; in its folder `output`.
GEMMA = """gemma -bfile X -gk 1 -o kinship && gemma -bfile X -bslmm 2 -o model && gemma -bfile X -predict 1 \\
-epm output/model.param.txt -emu output/model.log.txt -ebv output/model.bv.txt -k output/kinship.cXX.txt -o test"""


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    """The table's rows."""
    repeats = 1 if quick else 3
    with tempfile.TemporaryDirectory() as folder:
        yield pairwise_against_plink(Path(folder), *((100, 10, 4) if quick else PAIRWISE), repeats)
        yield ridge_against_gemma(Path(folder), *((100, 20, 4) if quick else RIDGE), repeats)


def pairwise_against_plink(folder: Path, n: int, m: int, n_qtl: int, repeats: int) -> dict[str, Any]:
    """A whole fit, cross-validation within, against one scan for pairs."""
    data, table, _ = written(folder, n, m, n_qtl, h2=0.999)
    threshold = FALSE_PAIRS / (m * (m - 1) / 2)
    scan = "plink1.9", "--bfile", str(folder / "X"), "--allow-no-sex", "--epistasis", "--epi1", str(threshold), "--out", str(folder / "X")
    peer = partial(run, *scan) if peer_version("PLINK") else None
    measured = paired_processes(partial(stage, "fit-pairwise", "--data", data, "--protocol", "holdout", "--out", table), peer, repeats)
    with Dataset(data) as opened:
        true = {frozenset(pair) for pair in true_pairs(opened.effects())[0].tolist()}
    mine = pd.read_csv(table.with_suffix(".pairs.csv"))[["locus_1", "locus_2"]].to_numpy()
    note = f"of {len(true)} pairs found: ours {found(mine, true)}"
    if peer:
        theirs = pd.read_csv(folder / "X.epi.qt", sep=r"\s+")[["SNP1", "SNP2"]].map(lambda name: int(name[1:])).to_numpy()
        note += f", PLINK {found(theirs, true)}"
    return {
        "work": f"fit-pairwise, {n} × {m}, 1 trait",
        "peer": "plink1.9 --epistasis",
        **measured,
        "pearson_r": pd.read_csv(table)["pearson_r"][0],
        "note": "; ".join([note, *absent("PLINK").values()]),
    }


def found(pairs: Any, true: set[frozenset[int]]) -> str:
    """How many of the `pairs` (k, 2) are true, and how many not; loci from 1."""
    right = len({frozenset(pair) for pair in pairs.tolist()} & true)
    return f"{right} and {len(pairs) - right} false"


def ridge_against_gemma(folder: Path, n: int, m: int, n_qtl: int, repeats: int) -> dict[str, Any]:
    """GBLUP both, the penalty by leave-one-out or by the variance components' likelihood."""
    data, table, cut = written(folder, n, m, n_qtl, h2=0.7)
    peer = partial(gemma, folder) if peer_version("GEMMA") else None
    measured = paired_processes(partial(stage, "fit-ridge", "--data", data, "--protocol", "holdout", "--out", table), peer, repeats)
    row = {"work": f"fit-ridge, {n} × {m}, 1 trait", "peer": "gemma -gk, -bslmm 2, -predict", **measured}
    row["pearson_r"] = pd.read_csv(table)["pearson_r"][0]
    if peer:
        with Dataset(data) as opened:
            observed = opened.phenotypes()[cut:]
        predicted = np.genfromtxt(folder / "output" / "test.prdt.txt")[cut:]
        row["peer_pearson_r"] = float(pearson_r(observed, predicted[:, None])[0])
    return row | absent("GEMMA")


def gemma(folder: Path) -> Run:
    return run("sh", "-c", f"cd {folder} && {GEMMA}")


def written(folder: Path, n: int, m: int, n_qtl: int, h2: float) -> tuple[Path, Path, int]:
    """The dataset file, the table that a fit may write, and how many individuals train.

    X.bed, .bim and .fam beside it: haploids as homozygotes, the phenotypes of the test part not known.
    """
    data = folder / "data.h5"
    stage("simulate", "--n-individuals", n, "--n-loci", m, "--n-qtl", n_qtl, "--rel-aa", 0.5, "--n-traits", 1, "--h2", h2, "--out", data)
    with Dataset(data) as opened:
        counts, phenotype, cut = opened.genotypes().counts(), opened.phenotypes()[:, 0].copy(), round(0.85 * n)
    phenotype[cut:] = np.nan
    write_plink(folder / "X", 2 * counts, phenotype)
    return data, folder / "fit.csv", cut
