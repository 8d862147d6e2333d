"""gpatlas.data: public data sets, as shared beside the project, against plink1.9 and an independent reading."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from own_files import content, load, report, same

from gpatlas.data.dataset import Dataset

REAL = Path(__file__).parents[4] / "shared" / "real"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="needs the public data sets in ../shared/real")
PLINK = shutil.which("plink1.9")
needs_plink = pytest.mark.skipif(PLINK is None, reason="needs plink1.9 (Debian)")


def plink(*arguments: str | Path) -> None:
    subprocess.run([str(PLINK), *map(str, arguments)], check=True, capture_output=True)


def counts_of(path: Path) -> "pd.DataFrame":
    """(individuals, loci), NaN where missing, homozygotes 0 and 2."""
    with Dataset(path) as data:
        described, genotypes = data.description(), data.genotypes()
    assert described is not None
    counts = genotypes.counts().astype(float)
    counts[counts == 3] = np.nan
    return pd.DataFrame(counts * (2 / genotypes.highest), described.ids, described.loci.id)


@needs_plink
@pytest.mark.parametrize(("name", "n_individuals", "n_loci"), [("wheat", 599, 1279), ("pine", 861, 4810)])
def test_allele_counts_are_those_of_plink(name: str, n_individuals: int, n_loci: int, tmp_path: Path) -> None:
    """Loci that do not vary among the individuals with a phenotype are left out: 43 of the pines'."""
    traits = ("DBH",) if name == "pine" else None
    values = {"phenotypes": REAL / f"{name}.pheno.tsv", "traits": traits, "group_column": "mother" if name == "pine" else None}
    counts = counts_of(load(REAL / f"{name}.bed", tmp_path / "D.h5", **values))
    kept = tmp_path / "kept.txt"
    kept.write_text("".join(f"{one} {one}\n" for one in counts.index))
    plink("--bfile", REAL / name, "--keep", kept, "--keep-allele-order", "--freq", "counts", "--out", tmp_path / "theirs")
    theirs = pd.read_csv(tmp_path / "theirs.frq.counts", sep=r"\s+").set_index("SNP")
    varying = theirs[(theirs["C1"] > 0) & (theirs["C2"] > 0)]
    assert counts.shape == (n_individuals, n_loci)
    assert counts.columns.tolist() == varying.index.tolist()
    assert counts.sum().tolist() == varying["C1"].tolist()
    assert counts.isna().sum().tolist() == varying["G0"].tolist()


@needs_plink
@pytest.mark.parametrize("compressed", [(), ("bgz",)])
def test_wheat_as_vcf(compressed: tuple[str, ...], tmp_path: Path) -> None:
    """PLINK writes A1 as ALT; its ids in a VCF are FID_IID."""
    values = {"phenotypes": REAL / "wheat.pheno.tsv", "group_column": None}
    plink("--bfile", REAL / "wheat", "--keep-allele-order", "--recode", "vcf", *compressed, "--out", tmp_path / "wheat")
    [source] = tmp_path.glob("wheat.vcf*")
    ours = load(source, tmp_path / "V.h5", **values)
    assert same(ours, load(REAL / "wheat.bed", tmp_path / "B.h5", **values))


def test_yeast_table(tmp_path: Path) -> None:
    out = load(REAL / "BYxRM_GenoData.txt.gz", tmp_path / "D.h5", phenotypes=REAL / "BYxRM_PhenoData.txt.gz", group_column=None)
    genotypes, found = pd.read_csv(REAL / "BYxRM_GenoData.txt.gz", sep="\t", index_col=0), content(out)
    measured = pd.read_csv(REAL / "BYxRM_PhenoData.txt.gz", sep="\t", index_col=0).dropna(how="all")
    ids = found["ids"].tolist()
    assert sorted(ids) == sorted(measured.index)
    assert (counts_of(out).to_numpy() / 2 == (genotypes[ids] == "R").to_numpy().T).all()
    np.testing.assert_array_equal(found["phenotypes"], measured.loc[ids].to_numpy())
    assert found["id"].tolist() == genotypes.index.tolist()
    assert found["chromosome"][0] == "chr01"
    assert found["position"][0] == 27915
    assert len(set(found["chromosome"])) == 16
    assert (found["position"] > 0).all()
    assert report(out)["without_phenotype"] == 1
