"""gpatlas.data.own_files: which importer reads a file, and how large its population is at most."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from own_files import M, N, small, write

from gpatlas.data.own_files import SUFFIXES, importer_of, phenotyped, size_at_most
from gpatlas.data.sources import SourceError
from gpatlas.settings import Size


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write(small(), tmp_path)


def test_every_suffix_has_one_importer() -> None:
    assert all(importer_of(Path("a.b" + suffix.upper())) == stage for stage, suffixes in SUFFIXES.items() for suffix in suffixes)
    with pytest.raises(SourceError, match=r"'a.bim' ends with none of .bed, .vcf, "):
        importer_of(Path("a.bim"))


def test_plink_s_sizes_are_counted(files: Path) -> None:
    assert size_at_most("import-plink", files / "X.bed", 1000, 2) == Size(N, M, 2, bits=2)
    assert size_at_most("import-plink", files / "X.bed", N - 5, 2).n_individuals == N - 5


@pytest.mark.parametrize("name", ["X.vcf", "X.csv", "packed.vcf.gz", "packed.csv.gz"])
def test_sizes_of_other_files_are_not_too_small(files: Path, name: str) -> None:
    for plain in ("X.vcf", "X.csv"):
        (files / f"packed{plain[1:]}.gz").write_bytes(gzip.compress((files / plain).read_bytes()))
    size = size_at_most(importer_of(Path(name)), files / name, N, 2)
    assert M <= size.n_loci <= 20 * M
    assert size.n_individuals == N


def test_individuals_and_groups_of_a_table(files: Path) -> None:
    assert phenotyped(files / "P.tsv", None, None) == (N, None)
    assert phenotyped(files / "P.tsv", None, "family") == (N, 5)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.vcf", b"##fileformat=VCFv4.2\n", "has no line #CHROM, which names the individuals"),
        ("a.csv.gz", gzip.compress(b"id,m1\n" * 1000, mtime=0)[:40], "compressed file is cut short or broken"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, name: str, content: Any, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        size_at_most(importer_of(Path(name)), tmp_path / name, N, 2)
