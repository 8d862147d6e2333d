"""What a user would pick instead, where it is installed, and genotypes in the forms that it reads."""

import re
import shutil
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpatlas.data.genotypes import MISSING

Counts = npt.NDArray[np.uint8]  # (n, n_loci): 0, 1, 2 or MISSING

PEERS = {  # what prints the version of a program; nothing for a Python package
    "PLINK": ("plink1.9", "--version"),
    "GEMMA": ("gemma",),
    "AlphaSimR": ("Rscript", "-e", "cat(format(packageVersion('AlphaSimR')))"),
    "bed-reader": (),
}
BED_CODE = np.array([0b11, 0b10, 0b00, 0b01], np.uint8)  # of the counts of allele A1: 0, 1, 2, missing
VCF_HEAD = '##fileformat=VCFv4.2\n##contig=<ID=1>\n##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'


@cache
def peer_version(name: str) -> str | None:
    """None where it is not installed."""
    if not PEERS[name]:
        try:
            return version(name)
        except PackageNotFoundError:
            return None
    if not shutil.which(PEERS[name][0]):
        return None
    found = re.search(r"\d+\.[\w.]+", subprocess.run(PEERS[name], capture_output=True, text=True).stdout)
    return found and found[0]


def absent(name: str) -> dict[str, Any]:
    """The column that says why a peer has no time; none where it has."""
    return {} if peer_version(name) else {"note": f"{name} is not installed"}


def names(letter: str, n: int) -> list[str]:
    """Of individuals or loci."""
    return [f"{letter}{number}" for number in range(1, n + 1)]


def write_plink(prefix: Path, counts: Counts, phenotype: npt.NDArray[np.float64]) -> None:
    """prefix.bed, .bim and .fam; a phenotype (n,) that is NaN is not known."""
    n, n_loci = counts.shape
    codes = np.zeros((n_loci, -(-n // 4) * 4), np.uint8)
    codes[:, :n] = BED_CODE[counts.T]
    packed = codes.reshape(n_loci, -1, 4) << np.array([0, 2, 4, 6], np.uint8)
    prefix.with_suffix(".bed").write_bytes(b"\x6c\x1b\x01" + packed.sum(axis=2, dtype=np.uint8).tobytes())
    loci = (f"1 {name} 0 {100 * place} G A\n" for place, name in enumerate(names("m", n_loci), 1))
    prefix.with_suffix(".bim").write_text("".join(loci))
    values = ("-9" if np.isnan(value) else repr(float(value)) for value in phenotype)
    prefix.with_suffix(".fam").write_text(
        "".join(f"{name} {name} 0 0 0 {value}\n" for name, value in zip(names("i", n), values, strict=True))
    )


def write_vcf(path: Path, counts: Counts) -> None:
    calls = np.array([b"\t0/0", b"\t0/1", b"\t1/1", b"\t./."])
    fixed = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT"]
    with path.open("wb") as file:
        file.write((VCF_HEAD + "\t".join([*fixed, *names("i", len(counts))]) + "\n").encode())
        for place, (name, locus) in enumerate(zip(names("m", counts.shape[1]), counts.T, strict=True), 1):
            file.write(f"1\t{100 * place}\t{name}\tA\tG\t.\t.\t.\tGT".encode() + calls[locus].tobytes() + b"\n")


def write_table(path: Path, counts: Counts) -> None:
    """A row per individual; missing calls are empty."""
    words = ["0", "1", "2", ""]
    with path.open("w") as file:
        file.write(",".join(["id", *names("m", counts.shape[1])]) + "\n")
        for name, row in zip(names("i", len(counts)), counts.tolist(), strict=True):
            file.write(",".join([name, *(words[call] for call in row)]) + "\n")


def write_phenotype(path: Path, phenotype: npt.NDArray[np.float64]) -> None:
    """A row per individual."""
    rows = (f"{name}\t{value}\n" for name, value in zip(names("i", len(phenotype)), phenotype.tolist(), strict=True))
    path.write_text("id\ttrait\n" + "".join(rows))


def drawn_counts(n: int, n_loci: int) -> Counts:
    """Diploids; one call in a hundred is missing."""
    random = np.random.default_rng(1)
    counts = random.binomial(2, random.uniform(0.05, 0.95, n_loci), (n, n_loci)).astype(np.uint8)
    counts[random.random(counts.shape) < 0.01] = MISSING
    return counts
