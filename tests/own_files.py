"""Help for tests of importers: a small population, and the files that a user might have of it."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpatlas.data.dataset import Dataset
from gpatlas.progress import Progress
from gpatlas.settings import build
from gpatlas.stages import STAGES

N, M, MISSING = 30, 12, 3
IDS = [f"i{i:02}" for i in range(N)]
LOCI = [f"m{j}" for j in range(M)]
Files = dict[str, Any]  # by name: text, or bytes
Table = list[list[str]]


def calls() -> npt.NDArray[np.uint8]:
    """Counts (N, M) 0, 1, 2 of allele G, the other is A; three are missing."""
    counts = np.random.default_rng(1).integers(0, 3, (N, M)).astype(np.uint8)
    counts[[0, 4, 9], [2, 2, 7]] = MISSING
    return counts


def text(table: Table, delimiter: str = "\t") -> str:
    return "".join(delimiter.join(row) + "\n" for row in table)


def phenotypes() -> Table:
    values = np.random.default_rng(2).normal(size=(N, 2)).round(3).astype(str)
    rows = [[name, *values[i], f"F{i % 5}"] for i, name in enumerate(IDS)]
    return [["id", "height", "yield", "family"], *rows]


def covariates() -> Table:
    return [["id", "age", "site"], *([name, str(20 + i * i % 7), "NSW"[i % 3]] for i, name in enumerate(IDS))]


def bed(counts: npt.NDArray[np.uint8]) -> bytes:
    """By the letter of PLINK's description: 00 two of A1, 01 missing, 10 one, 11 none; four individuals a byte, the first lowest."""
    code = {2: 0b00, MISSING: 0b01, 1: 0b10, 0: 0b11}
    content = bytearray(b"\x6c\x1b\x01")
    for locus in counts.T.tolist():
        for start in range(0, len(locus), 4):
            content.append(sum(code[call] << 2 * place for place, call in enumerate(locus[start : start + 4])))
    return bytes(content)


def fam(ids: list[str], families: list[str] | None = None) -> Table:
    return [[family, name, "0", "0", "0", "-9"] for family, name in zip(families or ids, ids, strict=True)]


def bim(loci: list[str]) -> Table:
    return [["1", name, "0", str(100 * j + 100), "G", "A"] for j, name in enumerate(loci)]


def vcf(counts: npt.NDArray[np.uint8], ids: list[str], loci: list[str]) -> str:
    written = {0: "0/0", 1: "0|1", 2: "1/1", MISSING: "./."}
    head = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *ids]
    rows = [
        ["1", str(100 * j + 100), name, "A", "G", ".", ".", ".", "GT", *(written[call] for call in counts[:, j].tolist())]
        for j, name in enumerate(loci)
    ]
    meta = '##fileformat=VCFv4.2\n##contig=<ID=1>\n##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    return meta + text([head, *rows])


def genotype_table(counts: npt.NDArray[np.uint8], ids: list[str], loci: list[str], words: tuple[str, ...]) -> Table:
    """A row per individual; `words`: for 0, 1, 2 and missing."""
    return [["id", *loci], *([name, *(words[call] for call in row)] for name, row in zip(ids, counts.tolist(), strict=True))]


def small() -> Files:
    """The same population in all forms."""
    counts = calls()
    return {
        "P.tsv": text(phenotypes()),
        "C.tsv": text(covariates()),
        "X.bed": bed(counts),
        "X.fam": text(fam(IDS), " "),
        "X.bim": text(bim(LOCI)),
        "X.vcf": vcf(counts, IDS, LOCI),
        "X.csv": text(genotype_table(counts, IDS, LOCI, ("0", "1", "2", "NA")), ","),
    }


def write(files: Files, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        raw = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") and not raw.startswith(b"\x1f\x8b") else raw)
    return folder


def load(source: Path, out: Path, **settings: Any) -> Path:
    """Import by the stage that the file's name asks for."""
    kinds = {"bed": "import-plink", "vcf": "import-vcf", "bcf": "import-vcf"}
    stage = STAGES[kinds.get(source.name.removesuffix(".gz").rpartition(".")[2], "import-table")]
    values = {"phenotypes": source.parent / "P.tsv", "group_column": "family", **settings}
    stage.load()(build(stage.settings, values), source, out, Progress(stage.name))
    return out


def content(path: Path) -> dict[str, Any]:
    """All of a dataset file but its report and its source: counts as they are stored, texts and numbers."""
    with Dataset(path) as data:
        described, stored = data.description(), np.asarray(data._file["genotypes"][:])
        assert described is not None
        found = {"genotypes": stored, "phenotypes": data.phenotypes(), "groups": described.groups, **vars(described.loci)}
        return {**found, "ids": described.ids, "covariates": described.covariates, "names": described.covariate_names}


def same(one: Path, other: Path) -> bool:
    ours, theirs = content(one), content(other)
    number = ("phenotypes", "covariates")
    return ours["names"] == theirs["names"] and all(
        np.array_equal(ours[name], theirs[name], equal_nan=name in number) for name in ours if name != "names"
    )


def stored_counts(path: Path) -> dict[str, dict[str, int]]:
    """Counts by id and locus."""
    with Dataset(path) as data:
        packed, described = np.asarray(data._file["genotypes"][:]), data.description()
        bits = int(data.attributes["bits_per_locus"])
        assert described is not None
        per_byte = 8 // bits
        counts = [[row[j // per_byte] >> bits * (j % per_byte) & (2**bits - 1) for j in range(data.n_loci)] for row in packed.tolist()]
        return {
            name: dict(zip(described.loci.id.tolist(), row, strict=True)) for name, row in zip(described.ids.tolist(), counts, strict=True)
        }


def report(path: Path) -> dict[str, Any]:
    with Dataset(path) as data:
        found: dict[str, Any] = json.loads(data.attributes["report"])
        return found


def with_files(config: Path, folder: Path) -> Path:
    """The config; a copy of it in `folder`, with small stand-ins, where its files are not in the project but the reader's to fetch."""
    if config.stem != "yeast":
        return config
    files, ids, traits = folder / "yeast", [f"A01_{number:02}" for number in range(1, 41)], [f"trait_{number}" for number in range(1, 47)]
    files.mkdir(parents=True)
    genotypes = [["marker", *ids], *([f"{locus}_chr01_{locus}_T_C", *"BR" * 20] for locus in range(1, 4))]
    measured = [["", *traits], *([name, *map(str, range(46))] for name in ids)]
    for name, table in (("Geno", genotypes), ("Pheno", measured)):
        (files / f"BYxRM_{name}Data.txt.gz").write_bytes(gzip.compress(text(table).encode()))
    (files / "published.csv").write_text(text([["trait", "broad_h2", "narrow_h2"], *([trait, "0.7", "0.5"] for trait in traits)], ","))
    return Path(shutil.copy(config, folder))
