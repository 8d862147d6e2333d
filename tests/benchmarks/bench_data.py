"""Simulation, and import of the study's text files, against the study's way, and the start-up of stages, each as a process."""

import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from measure import PROJECT, paired, paired_processes, run, seconds, stage
from peers import absent, peer_version

from gpatlas.data.dataset import Dataset

SIZES = ((10_000, 102), (100_000, 2002))  # individuals, loci; five traits
LARGE, IMPORTED = (1_000_000, 6326), (10_000, 1000)
STUDY = Path(__file__).with_name("study_simulate.R")


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    """The table's rows; the study's times are left out where AlphaSimR is not installed."""
    repeats = 1 if quick else 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n, m in ((50, 20),) if quick else SIZES:
            yield from simulations(folder, n, m, repeats)
        yield large_simulation(folder, *((60, 20) if quick else LARGE))
        yield text_import(folder, *((40, 24) if quick else IMPORTED), repeats)
        yield from start_up(folder, repeats)


def flags(n: int, m: int, out: Path) -> list[str]:
    """Of the simulation of five traits."""
    return ["--n-individuals", str(n), "--n-loci", str(m), "--n-qtl", str(m), "--rel-aa", "0,0.1,0.5,1,3", "--out", str(out)]


def simulations(folder: Path, n: int, m: int, repeats: int) -> Iterator[dict[str, Any]]:
    """The native simulator against AlphaSimR: as the study has it, with text files, and in our R stage, which writes the same file."""
    ours = partial(stage, "simulate", *flags(n, m, folder / "data.h5"))
    for name, other in (
        ("AlphaSimR, the study's script", [str(STUDY), str(n), str(m), str(folder)]),
        ("AlphaSimR, r/simulate.R", [str(PROJECT / "r" / "simulate.R"), *flags(n, m, folder / "alphasimr.h5"), "--overwrite"]),
    ):
        peer = partial(run, "Rscript", "--vanilla", *other) if peer_version("AlphaSimR") else None
        measured = paired_processes(ours, peer, repeats)
        yield {"work": f"simulate, {n} × {m}, 5 traits", "peer": name, **measured, **absent("AlphaSimR")}


def large_simulation(folder: Path, n: int, m: int) -> dict[str, Any]:
    out = folder / "large.h5"
    done = stage("simulate", *flags(n, m, out))
    disk = out.stat().st_size / 1e6
    out.unlink()
    work = f"simulate, {n} × {m}, 5 traits"
    return {"work": work, "ours_seconds": done.seconds, "peak_memory_mb": done.peak_memory_mb, "disk_mb": disk}


def text_import(folder: Path, n: int, m: int, repeats: int) -> dict[str, Any]:
    """Text to HDF5, both checked for nothing but that they end; the study's way in this process, ours as a stage."""
    stage("simulate", *flags(n, m, folder / "D.h5"))
    write_texts(folder / "D.h5", folder / "texts")
    command, runs = ("--from", folder / "texts", "--scenario", "s", "--out", folder / "imported.h5"), []

    def ours() -> float:
        runs.append(stage("import-alphasimr", *command))
        return runs[-1].seconds

    times = paired(ours, lambda: seconds(lambda: study_import(folder / "texts", folder)), repeats)
    work = f"import-alphasimr, {n} × {m}, 5 traits, from text"
    return {"work": work, "peer": "the study's reading", **times, "peak_memory_mb": runs[-1].peak_memory_mb}


def write_texts(source: Path, folder: Path) -> None:
    """The three files, named s_*.txt, that the study's recipe would have written of a dataset whose loci are all QTL."""
    folder.mkdir()
    with Dataset(source) as data:
        effects, alleles, phenotypes = data.effects(), data.genotypes().counts(), data.phenotypes()
    header = " ".join(f"{number}_1" for number in range(1, len(alleles) + 1))
    cells = (f"1_{locus} {' '.join(map(str, row))}" for locus, row in enumerate(alleles.T.tolist(), 1))
    (folder / "s_g.txt").write_text("\n".join([f"qtl {header}", *cells, ""]))
    traits = range(phenotypes.shape[1])
    values = (f"{number} {' '.join(f'{value:.15g}' for value in row)}" for number, row in enumerate(phenotypes.tolist(), 1))
    (folder / "s_p.txt").write_text("\n".join([f"ind {' '.join(f'Trait{trait + 1}' for trait in traits)}", *values, ""]))
    lines = ["trait locus add_eff epi_loc epi_eff sfs"]
    for trait in traits:
        pairs = zip(effects.pairs[trait].tolist(), effects.epistatic[trait].tolist(), strict=True)
        partners = {own: (other + 1, effect) for pair, effect in pairs for own, other in (pair, pair[::-1])}
        for locus, (additive, frequency) in enumerate(zip(effects.additive[:, trait], alleles.mean(axis=0), strict=True)):
            partner, effect = partners[locus]
            lines.append(f"{trait + 1} {locus + 1} {additive:.15g} {partner} {effect:.15g} {frequency:.15g}")
    (folder / "s_eff.txt").write_text("\n".join([*lines, ""]))


def study_import(texts: Path, out: Path) -> None:
    """Every allele a list of two numbers, every individual two gzipped datasets in a group of its own, as the study has it."""
    phenotypes = [[float(value) for value in line.split()[1:]] for line in (texts / "s_p.txt").read_text().split("\n")[1:-1]]
    loci = [line.split() for line in (texts / "s_g.txt").read_text().split("\n")]
    names, loci, coding = loci[0][1:], loci[1:-1], {"0": [1, 0], "1": [0, 1]}
    genotypes = [[coding[locus[column]] for locus in loci] for column in range(1, len(names) + 1)]
    cut = round(0.85 * len(names))
    for part, rows in (("train", slice(cut)), ("test", slice(cut, None))):
        with h5py.File(out / f"{part}.hdf5", "w") as file:
            for name, genotype, values in zip(names[rows], genotypes[rows], phenotypes[rows], strict=True):
                group = file.create_group(f"strains/{name}")
                group.create_dataset("phenotype", data=np.array(values))
                group.create_dataset("genotype", data=np.array(genotype, dtype=np.int8), chunks=True, compression="gzip")


def start_up(folder: Path, repeats: int) -> Iterator[dict[str, Any]]:
    """Stages with next to nothing to do."""
    data = folder / "tiny.h5"
    for name, command in (
        ("simulate", flags(20, 10, data)),
        ("fit-ridge", ["--data", data, "--n-splits", 1, "--out", folder / "tiny.csv"]),
    ):
        runs = [stage(name, *command) for _ in range(repeats)]
        middle = sorted(runs, key=lambda done: done.seconds)[len(runs) // 2]
        yield {"work": f"start-up of {name}", "ours_seconds": middle.seconds, "peak_memory_mb": middle.peak_memory_mb}
    replicates = 2 if repeats == 1 else 11
    yield {"work": f"a whole run of {2 * replicates} stages of next to nothing", "ours_seconds": driven(folder, replicates)}


def driven(folder: Path, replicates: int) -> float:
    """Seconds of a study of two small stages a replicate, one after the other."""
    config = folder / f"replicates_{replicates}.yaml"
    grid = f"[{{n_individuals: 20, n_qtl: 10, replicates: {replicates}}}]"
    config.write_text(f"experiments: {{small: {{scenario: 'rep{{replicate}}', grid: {grid}, models: {{ridge: {{n_splits: 1}}}}}}}}\n")
    study = ("--config", str(config), "--results", str(folder / config.stem), "--workers", "1", "--local-scheduler")
    return run(sys.executable, "-m", "luigi", "--module", "pipeline", "RunAll", *study).seconds
