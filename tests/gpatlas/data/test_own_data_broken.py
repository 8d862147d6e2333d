"""gpatlas.data: files of one's own that are broken or do not fit together are refused, with the file, the place, the value and the cure."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_files import IDS, LOCI, Files, bed, calls, covariates, fam, genotype_table, load, phenotypes, small, text, vcf, write

from gpatlas.data.dataset import DatasetError
from gpatlas.data.text_tables import files_of

Change = Callable[[Files], Any]
JOINED = [f"f_{name}" for name in IDS]


def line(name: str, number: int, old: str, new: str) -> Change:
    """`new` in place of the first `old` in one line of a file; lines count from 1."""

    def change(files: Files) -> None:
        lines = files[name].split("\n")
        assert old in lines[number - 1]
        lines[number - 1] = lines[number - 1].replace(old, new, 1)
        files[name] = "\n".join(lines)

    return change


def put(**contents: Any) -> Change:
    """Whole files; `P` is P.tsv, `C` C.tsv, and so on."""
    ends = {"P": "P.tsv", "C": "C.tsv"}
    return lambda files: files.update({ends.get(name, name.replace("_", ".")): value for name, value in contents.items()})


def cut(name: str, n: int) -> Change:
    return lambda files: files.update({name: files[name][:n]})


def gone(name: str) -> Change:
    return lambda files: files.pop(name)


def column(table: list[list[str]], values: list[str], name: str = "more") -> str:
    return text([[*table[0], name], *([*row, value] for row, value in zip(table[1:], values, strict=True))])


def renamed(names: list[str]) -> str:
    return text([phenotypes()[0], *([name, *row[1:]] for name, row in zip(names, phenotypes()[1:], strict=True))])


def table(row: int, cell: int, value: str, words: tuple[str, ...] = ("0", "1", "2", "NA")) -> str:
    cells = genotype_table(calls(), IDS, LOCI, words)
    cells[row][cell] = value
    return text(cells, ",")


def covariates_that_add_up() -> str:
    """`more` is twice the age and 3 at site W."""
    return column(covariates(), [str(2 * int(row[1]) + 3 * (row[2] == "W")) for row in covariates()[1:]])


CLASHING = {"X.fam": text([["a", "b_c", *"000", "-9"], ["a_b", "c", *"000", "-9"], *fam(IDS[2:])]), "P.tsv": renamed(["a_b_c", *IDS[1:]])}
WITH_C: dict[str, Any] = {"covariates": "C.tsv"}
LONG_VCF = gzip.compress(vcf(np.tile(calls(), 400), IDS, [f"m{i}" for i in range(4800)]).encode())
HALF_CALL = small()["X.vcf"].replace("0|1", "./1", 1)

# By name: genotypes, what is changed, settings, what the message must hold.
BROKEN: dict[str, tuple[str, Change, dict[str, Any], list[str]]] = {
    "no common ids": (
        "X.bed",
        put(P=renamed([f"z{i}" for i in range(30)])),
        {},
        ["P.tsv and ", "X.bed have no individual in common. Ids of the table: 'z0', 'z1', 'z2'; of the genotypes: 'i00', 'i01', 'i02'"],
    ),
    "ids in capitals": ("X.vcf", put(P=renamed([name.upper() for name in IDS])), {}, ["the ids differ in upper and lower case", "'I00'"]),
    "family in the ids of a VCF": (
        "X.vcf",
        put(X_vcf=vcf(calls(), JOINED, LOCI)),
        {},
        ["the genotypes' ids look like FID_IID: give the table columns FID and IID"],
    ),
    "family in the ids of a table": (
        "X.vcf",
        put(P=renamed(JOINED)),
        {},
        ["the table's ids look like FID_IID: give it columns FID and IID"],
    ),
    "no common ids with a table": (
        "X.csv",
        put(P=renamed(JOINED)),
        {},
        ["X.csv: the ids of the phenotypes are neither of rows nor of columns", "Rows: 'i00'", "columns: 'm0'", "phenotypes: 'f_i00'"],
    ),
    "orientation not clear": (
        "X.csv",
        put(X_csv=text(genotype_table(calls(), IDS, IDS[:12], ("0", "1", "2", "NA")), ",")),
        {},
        ["X.csv: the ids of the phenotypes are of both 30 rows and 12 columns", "--orientation individuals or loci"],
    ),
    "id of several": (
        "X.bed",
        lambda files: files.update(CLASHING),
        {},
        ["P.tsv, line 2: 'a_b_c' may be 'b_c' of family 'a' and 'c' of family 'a_b'"],
    ),
    "individual under two ids": (
        "X.bed",
        put(X_fam=text(fam(IDS, ["f"] * 30)), P=renamed(["f_i01", *IDS[1:]])),
        {},
        ["P.tsv, line 3: 'i01' is the same individual as ", "P.tsv, line 2"],
    ),
    "individual twice in the phenotypes": (
        "X.bed",
        line("P.tsv", 5, "i03", "i00"),
        {},
        ["P.tsv, line 5: individual 'i00' is there twice, first in ", "P.tsv, line 2"],
    ),
    "individual twice in the covariates": (
        "X.bed",
        line("C.tsv", 5, "i03", "i00"),
        WITH_C,
        ["C.tsv, line 5: individual 'i00' is there twice"],
    ),
    "individual twice in the .fam": (
        "X.bed",
        line("X.fam", 5, "i04 i04", "i00 i00"),
        {},
        ["X.fam, line 5: individual 'i00' is there twice, first in ", "X.fam, line 1"],
    ),
    "individual twice in a VCF": ("X.vcf", line("X.vcf", 4, "i04", "i00"), {}, ["X.vcf: not a readable VCF", "name every individual once"]),
    "individual twice in a table": ("X.csv", line("X.csv", 6, "i04", "i00"), {}, ["X.csv, line 6: individual 'i00' is there twice"]),
    "no id": ("X.bed", line("P.tsv", 3, "i01", ""), {}, ["P.tsv, line 3: the individual has no id"]),
    "not a .bed": ("X.bed", put(X_bed=b"hello" * 20), {}, ["X.bed: not a PLINK 1 .bed file, it starts with 68 65 6c instead of 6c 1b 01"]),
    "empty .bed": ("X.bed", put(X_bed=b""), {}, ["X.bed: not a PLINK 1 .bed file, it starts with nothing"]),
    "individual-major .bed": (
        "X.bed",
        put(X_bed=b"\x6c\x1b\x00" + bed(calls())[3:]),
        {},
        ["X.bed: stored by individuals, not by loci; write it anew with plink1.9 --make-bed"],
    ),
    "truncated .bed": (
        "X.bed",
        cut("X.bed", 90),
        {},
        ["X.bed: has 90 bytes, but 30 individuals of X.fam and 12 loci of X.bim make 99: it is cut short, or the files do not"],
    ),
    "longer .fam": (
        "X.bed",
        put(X_fam=text(fam([*IDS, "a", "b", "c"]))),
        {},
        ["X.bed: has 99 bytes, but 33 individuals of X.fam and 12 loci"],
    ),
    "shorter .bim": ("X.bed", cut("X.bim", 30), {}, ["X.bed: has 99 bytes, but 30 individuals of X.fam and 2 loci of X.bim make 19"]),
    "no .bim": ("X.bed", gone("X.bim"), {}, ["X.bim: no such file; a .bed needs its .bim and .fam beside it"]),
    "no .fam": ("X.bed", gone("X.fam"), {}, ["X.fam: no such file; a .bed needs its .bim and .fam beside it"]),
    "empty .fam": ("X.bed", put(X_fam=""), {}, ["X.fam: is empty"]),
    "ragged .fam": ("X.bed", line("X.fam", 7, " -9", ""), {}, ["X.fam, line 7: has 5 fields separated by spaces, a .fam has 6"]),
    "position in a .bim": ("X.bed", line("X.bim", 2, "200", "2e2"), {}, ["X.bim, line 2: position '2e2' is no whole number"]),
    "half-call": (
        "X.vcf",
        put(X_vcf=HALF_CALL),
        {},
        ["X.vcf, site 1:100: individual 'i", "has a half-call, one allele of two; set such calls to missing"],
    ),
    "triploid": (
        "X.vcf",
        put(X_vcf=small()["X.vcf"].replace("0/0", "0/0/0")),
        {},
        ["site 1:100: calls have 3 alleles, only haploids and diploids"],
    ),
    "mixed ploidy at a site": ("X.vcf", line("X.vcf", 6, "0/0", "0"), {}, ["site 1:200: individual 'i", "another number of alleles"]),
    "mixed ploidy of sites": (
        "X.vcf",
        lambda files: files.update({"X.vcf": files["X.vcf"] + "X\t5\t.\tA\tG\t.\t.\t.\tGT" + "\t1" * 30 + "\n"}),
        {},
        ["site X:5: individual 'i00' has another number of alleles than others or than at other sites (a sex chromosome?)"],
    ),
    "record without GT": ("X.vcf", line("X.vcf", 5, "GT", "DP"), {}, ["X.vcf, site 1:100: the record has no genotypes (GT)"]),
    "not a VCF": ("X.vcf", put(X_vcf="hello\n"), {}, ["X.vcf: not a readable VCF or BCF file"]),
    "VCF without individuals": ("X.vcf", line("X.vcf", 4, "\tFORMAT\t" + "\t".join(IDS), ""), {}, ["X.vcf: holds no individuals"]),
    "broken record": ("X.vcf", line("X.vcf", 7, "0/0", "x/0"), {}, ["X.vcf: is cut short or broken after 1:200"]),
    "VCF cut within a line": ("X.vcf", cut("X.vcf", -20), {}, ["X.vcf: is cut short or broken after 1:1100"]),
    "code out of range": (
        "X.csv",
        put(X_csv=table(3, 5, "3")),
        {},
        ["X.csv, line 4, column 6 (m4): '3' is no call; allowed are 0, 1, 2, one letter, two letters, and NA or nothing where"],
    ),
    "dosage": ("X.csv", put(X_csv=table(3, 5, "0.5")), {}, ["X.csv, line 4, column 6 (m4): '0.5' is no call"]),
    "missing as -9": ("X.csv", put(X_csv=table(1, 1, "-9")), {}, ["X.csv, line 2, column 2 (m0): '-9' is no call"]),
    "half-call in a table": (
        "X.csv",
        put(X_csv=table(9, 2, "AN", ("AA", "AG", "GG", "NN"))),
        {},
        ["line 10, column 3 (m1): 'AN' is no call"],
    ),
    "two codings": (
        "X.csv",
        put(X_csv=table(3, 5, "AG")),
        {},
        ["line 4, column 6 (m4): 'AG' is a call by two letters, those before are by numbers"],
    ),
    "three letters": (
        "X.csv",
        put(X_csv=table(30, 5, "CA", ("AA", "AG", "GG", "NA"))),
        {},
        ["X.csv, line 31, column 6: locus 'm4' has a third letter, 'AC' beside", "heterozygotes are two letters"],
    ),
    "three letters in a row": (
        "X.csv",
        put(X_csv=text([list(row) for row in zip(*genotype_table(calls(), IDS, LOCI, ("A", "H", "B", "NA")), strict=True)])),
        {},
        ["X.csv, line 2, column ", "locus 'm0' has a third letter, 'H' beside A and B"],
    ),
    "ragged table": ("X.csv", line("X.csv", 4, ",", ",0,"), {}, ["X.csv, line 4: has 14 fields, the header has 13"]),
    "header alone": ("X.csv", put(X_csv=",".join(["id", *LOCI])), {}, ["X.csv: has no row below its header"]),
    "empty table": ("X.csv", put(X_csv=""), {}, ["X.csv: is empty, or its first line is"]),
    "spreadsheet": ("X.csv", put(X_csv=b"PK\x03\x04\x14\x00\xff\xfe\n"), {}, ["X.csv: is no text in UTF-8 (", "save tables as CSV"]),
    "gzip cut short": ("X.tsv.gz", put(**{"X_tsv.gz": b"\x1f\x8b\x08\x00"}), {}, ["X.tsv.gz: compressed file is cut short or broken"]),
    "position in a table": (
        "X.csv",
        put(X_csv=text([["id", "pos", *IDS], *([name, "x", *"01" * 15] for name in LOCI)])),
        {},
        ["X.csv, line 2, column 2: position 'x' is no whole number"],
    ),
    "no phenotypes": ("X.bed", gone("P.tsv"), {}, ["P.tsv: no such file"]),
    "phenotypes are a folder": ("X.bed", put(), {"phenotypes": "."}, ["is a folder, expected a file"]),
    "empty phenotypes": ("X.bed", put(P=""), {}, ["P.tsv: is empty"]),
    "phenotypes are binary": ("X.bed", put(P=bytes(range(256))), {}, ["P.tsv: is no text in UTF-8"]),
    "ids alone": ("X.bed", put(P=text([["id"], *([name] for name in IDS)])), {}, ["P.tsv: has no column beside the ids"]),
    "no header": (
        "X.bed",
        put(P=text(phenotypes()[1:])),
        {"group_column": None},
        ["P.tsv, line 1: '", "is a value, not the name of a column"],
    ),
    "ragged phenotypes": (
        "X.bed",
        line("P.tsv", 4, "\t", "\ttall\t"),
        {},
        ["P.tsv, line 4: has 5 fields, the header has 4"],
    ),
    "phenotype is a word": (
        "X.bed",
        put(P=column(phenotypes(), ["1", "tall", *["2"] * 28])),
        {},
        ["P.tsv, line 3: individual 'i01', more is no finite number: 'tall'; write NA where it is missing", "--traits"],
    ),
    "phenotype is infinite": ("X.bed", put(P=column(phenotypes(), ["1", "inf", *["2"] * 28])), {}, ["more is no finite number: 'inf'"]),
    "decimal comma": (
        "X.bed",
        put(P=column(phenotypes(), ["1,5", *["2"] * 29])),
        {},
        ["P.tsv, line 2: individual 'i00', more is no finite number: '1,5'"],
    ),
    "column twice": ("X.bed", line("P.tsv", 1, "yield", "height"), {}, ["P.tsv, line 1: column 'height' is there twice"]),
    "column without a name": ("X.bed", line("P.tsv", 1, "yield", ""), {}, ["P.tsv, line 1: column 3 has no name"]),
    "unknown trait": (
        "X.bed",
        put(),
        {"traits": ("hieght",)},
        ["P.tsv: has no trait 'hieght', did you mean 'height'? (allowed: height, yield)"],
    ),
    "group as a trait": ("X.bed", put(), {"traits": ("family",)}, ["P.tsv: 'family' is the group column, not a trait"]),
    "trait twice": ("X.bed", put(), {"traits": ("yield", "yield")}, ["P.tsv: a trait is asked for twice: yield, yield"]),
    "unknown group": (
        "X.bed",
        put(),
        {"group_column": "familie"},
        ["P.tsv: has no column 'familie' for the groups, did you mean 'family'?"],
    ),
    "unknown id column": (
        "X.bed",
        put(),
        {"id_column": "name"},
        ["P.tsv: has no column 'name' for the ids (allowed: family, height, id, yield)"],
    ),
    "constant trait": (
        "X.bed",
        put(P=column(phenotypes(), ["7"] * 30)),
        {},
        ["P.tsv: 'more' is 7 in every individual; leave it out with --traits"],
    ),
    "too few phenotypes": (
        "X.bed",
        put(P=column(phenotypes(), [*map(str, range(19)), *["NA"] * 11])),
        {},
        ["P.tsv: 'more' has 19 phenotypes of individuals that can be imported, at least 20 are needed"],
    ),
    "too few in common": (
        "X.bed",
        put(P=renamed([*IDS[:5], *(f"z{i}" for i in range(25))])),
        {},
        ["'height' has 5 phenotypes of individuals"],
    ),
    "no covariates": ("X.bed", gone("C.tsv"), WITH_C, ["C.tsv: no such file"]),
    "covariates of others": ("X.bed", put(C="id\tage\nz\t1\n"), WITH_C, ["C.tsv and ", "have no individual in common", "'z'"]),
    "covariates nobody has": (
        "X.bed",
        put(C="id\tage\ni00\tNA\n"),
        WITH_C,
        ["'height' has 0 phenotypes of individuals that can be imported"],
    ),
    "ids as a covariate": ("X.bed", put(C=column(covariates(), IDS)), WITH_C, ["C.tsv: column 'more' equals the ids"]),
    "factor with a level each": (
        "X.bed",
        put(C=column(covariates(), [f"w{i}" for i in range(30)])),
        WITH_C,
        ["C.tsv: column 'more' is a factor with 30 levels among 30 individuals, as 'w", "leave it out, or correct its values"],
    ),
    "typo in a covariate": (
        "X.bed",
        put(C=column(covariates(), [*map(str, range(29)), "3o"])),
        WITH_C,
        ["column 'more' is a factor", "as '3o' is no number"],
    ),
    "collinear covariates": (
        "X.bed",
        lambda files: files.update({"C.tsv": covariates_that_add_up()}),
        WITH_C,
        ["C.tsv: column 'more' follows from others (age, site=S, site=W): covariates must not be collinear"],
    ),
    "no calls at all": (
        "X.bed",
        put(X_bed=bed(np.full_like(calls(), 3))),
        {},
        ["X.bed: no locus is left to import (12 without calls"],
    ),
    "filters too strict": (
        "X.bed",
        put(X_bed=bed(np.tile([[1], [0], [0]], (10, 12)).astype(np.uint8))),
        {"min_maf": 0.2},
        ["X.bed: no locus is left to import (", "12 below min maf"],
    ),
    "gzipped VCF cut short": ("X.vcf.gz", put(**{"X_vcf.gz": gzip.compress(small()["X.vcf"].encode())[:-90]}), {}, ["X.vcf.gz: "]),
    "long gzipped VCF cut short": (
        "X.vcf.gz",
        put(**{"X_vcf.gz": LONG_VCF[: len(LONG_VCF) // 2]}),
        {},
        ["X.vcf.gz: is cut short or broken after "],
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(case: str, tmp_path: Path) -> None:
    name, change, settings, expected = BROKEN[case]
    files = small()
    change(files)
    folder = write(files, tmp_path / "own")
    paths = {key: folder / settings[key] for key in ("phenotypes", "covariates") if key in settings}
    with pytest.raises(DatasetError) as error:
        load(folder / name, tmp_path / "D.h5", **{**settings, **paths})
    missing = [part for part in expected if part not in str(error.value)]
    assert not missing, f"{missing} not in: {error.value}"


def test_another_file_of_plink(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"X.bim: name the .bed file; its .bim and .fam are looked for beside it"):
        files_of("import-plink", write(small(), tmp_path) / "X.bim")
