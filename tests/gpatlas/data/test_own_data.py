"""gpatlas.data: a user's own PLINK, VCF and table files become datasets, individuals joined by their ids."""

import hashlib
from pathlib import Path

import cyvcf2
import numpy as np
import pytest
from click.testing import CliRunner
from own_files import (
    IDS,
    LOCI,
    MISSING,
    Files,
    bed,
    calls,
    content,
    covariates,
    fam,
    genotype_table,
    load,
    phenotypes,
    report,
    same,
    small,
    stored_counts,
    text,
    vcf,
    write,
)

from gpatlas import cli
from gpatlas.data.dataset import Dataset
from gpatlas.data.settings import ImportPlinkSettings
from gpatlas.data.sources import SourceError
from gpatlas.data.text_tables import files_of, trait_names

EXPECTED = {name: dict(zip(LOCI, row, strict=True)) for name, row in zip(IDS, calls().tolist(), strict=True)}
LETTERS = ("AA", "AG", "GG", "NA")


def transposed(table: list[list[str]]) -> list[list[str]]:
    return [list(row) for row in zip(*table, strict=True)]


def table_files() -> Files:
    letters = genotype_table(calls(), IDS, LOCI, LETTERS)
    return {
        "letters.csv": text(letters, ","),
        "slashes.txt": text(genotype_table(calls(), IDS, LOCI, ("A/A", "G|A", "G/G", "./.")), "  "),
        "loci.tsv.gz": text(transposed(letters)),
        "semicolons.csv": text(genotype_table(calls(), IDS, LOCI, ("0", "1.0", "2", "")), ";"),
        "quoted.csv": "\ufeff" + text([[f'"{cell}"' for cell in row] for row in letters], ","),
        "lines.csv": text(letters, ",").replace("\n", "\r\n"),
        "r.txt": text([letters[0][1:], *letters[1:]], " "),
        "loci.csv": text(transposed(genotype_table(calls(), IDS, LOCI, ("0", "1", "2", "NA"))), ","),
    }


@pytest.mark.parametrize("name", ["X.bed", "X.vcf", "X.vcf.gz", "X.csv", *table_files()])
def test_every_form_gives_the_same_calls(name: str, tmp_path: Path) -> None:
    files = {**small(), **table_files()}
    folder = write({**files, "X.vcf.gz": files["X.vcf"]}, tmp_path / "own")
    out = load(folder / name, tmp_path / "D.h5")
    assert stored_counts(out) == EXPECTED
    found = report(out)
    called = calls() != MISSING
    assert (found["n_individuals"], found["n_loci"], found["n_groups"], found["traits"]) == (30, 12, 5, {"height": 30, "yield": 30})
    assert found["missing_rate"] == pytest.approx(1 - called.mean())
    assert found["heterozygosity"] == pytest.approx((calls() == 1).sum() / called.sum())
    with Dataset(out) as data:
        described = data.description()
    assert described is not None
    assert described.ploidy == 2
    numbers = name in ("X.csv", "semicolons.csv", "loci.csv")
    assert set(described.loci.counted_allele) == {"2" if numbers else "G"}
    assert set(described.loci.other_allele) == {"0" if numbers else "A"}
    if name.startswith("X.") and not numbers:
        assert described.loci.position.tolist() == [100 * j + 100 for j in range(len(LOCI))]
        assert set(described.loci.chromosome) == {"1"}


@pytest.mark.parametrize("mode", ["wb", "wz"])
def test_bcf_and_bgzip(mode: str, tmp_path: Path) -> None:
    folder = write(small(), tmp_path / "own")
    source = folder / ("Y.bcf" if mode == "wb" else "Y.vcf.gz")
    records = cyvcf2.VCF(str(folder / "X.vcf"))
    writer = cyvcf2.Writer(str(source), records, mode=mode)
    for record in records:
        writer.write_record(record)
    writer.close()
    assert same(load(source, tmp_path / "D.h5"), load(folder / "X.vcf", tmp_path / "E.h5"))


@pytest.mark.parametrize("kind", ["X.bed", "X.vcf", "letters.csv", "loci.tsv"])
def test_the_order_in_the_files_does_not_matter(kind: str, tmp_path: Path) -> None:
    folder = write({**small(), **table_files(), "loci.tsv": table_files()["loci.tsv.gz"]}, tmp_path / "own")
    order = np.random.default_rng(3).permutation(len(IDS))
    ids, counts = [IDS[i] for i in order], calls()[order]
    letters = genotype_table(counts, ids, LOCI, LETTERS)
    shuffled = {
        "P.tsv": text([phenotypes()[0], *reversed(phenotypes()[1:])]),
        "C.tsv": text([covariates()[0], *covariates()[9:], *covariates()[1:9]]),
        "X.bed": bed(counts),
        "X.fam": text(fam(ids), " "),
        "X.bim": small()["X.bim"],
        "X.vcf": vcf(counts, ids, LOCI),
        "letters.csv": text(letters, ","),
        "loci.tsv": text(transposed(letters)),
    }
    other = write(shuffled, tmp_path / "shuffled")
    one = load(folder / kind, tmp_path / "D.h5", covariates=folder / "C.tsv")
    assert same(one, load(other / kind, tmp_path / "E.h5", covariates=other / "C.tsv"))


def test_individuals_are_in_the_order_of_hashes_and_groups_stay_together(tmp_path: Path) -> None:
    folder = write(small(), tmp_path / "own")
    found = content(load(folder / "X.bed", tmp_path / "D.h5"))
    keys = [[hashlib.sha256(word.encode()).hexdigest() for word in pair] for pair in zip(found["groups"], found["ids"], strict=True)]
    assert keys == sorted(keys)
    by_id = {row[0]: row for row in phenotypes()}
    assert [by_id[name][3] for name in found["ids"]] == found["groups"].tolist()
    assert found["phenotypes"].tolist() == [[float(value) for value in by_id[name][1:3]] for name in found["ids"]]
    ungrouped = content(load(folder / "X.bed", tmp_path / "E.h5", group_column=None, traits=("height",)))
    assert ungrouped["groups"] is None
    assert ungrouped["ids"].tolist() == sorted(IDS, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def test_who_is_left_out_is_told(tmp_path: Path) -> None:
    p, c = phenotypes(), covariates()
    p[1][1:3] = ["NA", ""]
    p[2][3] = "NA"
    p[3][1] = "NaN"
    p = [*p[:-1], ["other", "1", "2", "F1"]]
    c[4][2] = ""
    c = [*c[:5], *c[6:], ["nobody", "3", "N"]]
    counts = calls()
    counts[8] = MISSING
    folder = write({**small(), "X.bed": bed(counts), "P.tsv": text(p), "C.tsv": text(c)}, tmp_path / "own")
    out = load(folder / "X.bed", tmp_path / "D.h5", covariates=folder / "C.tsv")
    found = report(out)
    expected = {
        "in_genotypes_only": 1,
        "in_phenotypes_only": 1,
        "without_phenotype": 1,
        "without_group": 1,
        "in_covariates_only": 2,
        "without_covariates": 2,
        "without_calls": 1,
        "n_individuals": 24,
        "traits": {"height": 23, "yield": 24},
    }
    assert {name: found[name] for name in expected} == expected
    left = {IDS[i] for i in (0, 1, 3, 4, 8, 29)}
    assert stored_counts(out) == {name: row for name, row in EXPECTED.items() if name not in left}


def test_loci_are_judged_on_the_individuals_that_are_imported(tmp_path: Path) -> None:
    """The last of the 30 has no phenotype: without it locus 0 does not vary."""
    counts = calls()
    counts[:-1, 0], counts[-1, 0] = 1, 2
    counts[:, 1] = MISSING
    counts[:7, 2] = MISSING
    counts[:, 3] = 0
    counts[:2, 3] = 1
    counts[:, 4] = 2
    folder = write({**small(), "X.bed": bed(counts), "P.tsv": text(phenotypes()[:-1])}, tmp_path / "own")
    found = report(load(folder / "X.bed", tmp_path / "D.h5", min_maf=2 / 58, max_missing=7 / 29))
    names = ("loci_without_calls", "loci_above_max_missing", "loci_without_variation", "loci_below_min_maf", "n_loci")
    assert [found[name] for name in names] == [1, 0, 2, 0, 9]
    found = report(load(folder / "X.bed", tmp_path / "E.h5", min_maf=0.035, max_missing=0.24))
    assert [found[name] for name in names] == [1, 1, 2, 1, 7]


def test_covariates_in_numbers(tmp_path: Path) -> None:
    c = [[*row, "plot" if i == 0 else "same"] for i, row in enumerate(covariates())]
    folder = write({**small(), "C.tsv": text(c)}, tmp_path / "own")
    out = load(folder / "X.vcf", tmp_path / "D.h5", covariates=folder / "C.tsv")
    found, by_id = content(out), {row[0]: row for row in c}
    assert found["names"] == ("age", "site=S", "site=W")
    rows = [by_id[name] for name in found["ids"]]
    assert found["covariates"].tolist() == [[float(row[1]), row[2] == "S", row[2] == "W"] for row in rows]
    assert report(out)["constant_covariates"] == ["plot"]


FAMILIES = [f"f{i // 2}" for i in range(len(IDS))]
JOINED = [f"{family}_{name}" for family, name in zip(FAMILIES, IDS, strict=True)]
REPEATED = [str(1 + i % 2) for i in range(len(IDS))]  # ids that are only unique within a family


@pytest.mark.parametrize(
    ("iids", "columns", "names"),
    [
        (IDS, {"id": IDS}, IDS),
        (IDS, {"id": JOINED}, JOINED),
        (IDS, {"FID": FAMILIES, "IID": IDS}, IDS),
        (IDS, {"#FID": ["0"] * 30, "IID": IDS}, IDS),
        (IDS, {"FID": IDS, "IID": IDS}, IDS),
        (REPEATED, {"FID": FAMILIES, "IID": REPEATED}, [f"{f}_{i}" for f, i in zip(FAMILIES, REPEATED, strict=True)]),
        (REPEATED, {"id": [f"{f}_{i}" for f, i in zip(FAMILIES, REPEATED, strict=True)]}, None),
    ],
)
def test_families_in_plink_files(iids: list[str], columns: dict[str, list[str]], names: list[str] | None, tmp_path: Path) -> None:
    ids = transposed(list(columns.values()))
    table = [[*columns, "height"], *([*row, str(i % 7)] for i, row in enumerate(ids))]
    folder = write({**small(), "X.fam": text(fam(iids, FAMILIES), " "), "P.tsv": text(table)}, tmp_path / "own")
    found = load(folder / "X.bed", tmp_path / "D.h5", group_column=None)
    names = names or columns["id"]
    assert stored_counts(found) == dict(zip(names, EXPECTED.values(), strict=True))
    assert trait_names(folder / "P.tsv") == ("height",)


def test_a_table_that_plink_wrote(tmp_path: Path) -> None:
    """The form of --recode A."""
    rows = genotype_table(calls(), IDS, [f"{name}_G" for name in LOCI], ("0", "1", "2", "NA"))
    words = [["FID", "IID", "PAT", "MAT", "SEX", "PHENOTYPE"], *([f, i, "0", "0", "0", "-9"] for f, i in zip(FAMILIES, IDS, strict=True))]
    table = text([[*first, *row[1:]] for first, row in zip(words, rows, strict=True)], " ")
    folder = write(
        {**small(), "X.raw": table, "P.tsv": text([["id", "height"], *([n, str(k % 7)] for k, n in enumerate(JOINED))])}, tmp_path / "own"
    )
    out = load(folder / "X.raw", tmp_path / "D.h5", group_column=None)
    assert {name: list(row.values()) for name, row in stored_counts(out).items()} == {
        name: list(row.values()) for name, row in zip(JOINED, EXPECTED.values(), strict=True)
    }


def test_a_vcf_that_plink_wrote_has_both_ids_in_one(tmp_path: Path) -> None:
    table = [["FID", "IID", "height"], *([f, i, str(k % 7)] for k, (f, i) in enumerate(zip(FAMILIES, IDS, strict=True)))]
    folder = write({**small(), "X.vcf": vcf(calls(), JOINED, LOCI), "P.tsv": text(table)}, tmp_path / "own")
    write({"X.fam": text(fam(IDS, FAMILIES))}, folder)
    ours, theirs = (
        load(folder / "X.vcf", tmp_path / "D.h5", group_column=None),
        load(folder / "X.bed", tmp_path / "E.h5", group_column=None),
    )
    assert same(ours, theirs)


def test_plinks_families_may_be_the_groups(tmp_path: Path) -> None:
    table = [["FID", "IID", "height"], *([f, i, str(k % 7)] for k, (f, i) in enumerate(zip(FAMILIES, IDS, strict=True)))]
    folder = write({**small(), "P.tsv": text(table)}, tmp_path / "own")
    found = content(load(folder / "X.vcf", tmp_path / "D.h5", group_column="FID"))
    assert dict(zip(found["ids"], found["groups"], strict=True)) == dict(zip(IDS, FAMILIES, strict=True))
    assert trait_names(folder / "P.tsv", None, "FID") == ("height",)


def test_a_family_that_differs_is_another_individual(tmp_path: Path) -> None:
    families = ["elsewhere", *FAMILIES[1:]]
    table = [["FID", "IID", "height"], *([f, i, str(k % 7)] for k, (f, i) in enumerate(zip(families, IDS, strict=True)))]
    folder = write({**small(), "X.fam": text(fam(IDS, FAMILIES)), "P.tsv": text(table)}, tmp_path / "own")
    found = report(load(folder / "X.bed", tmp_path / "D.h5", group_column=None))
    assert (found["n_individuals"], found["in_genotypes_only"], found["in_phenotypes_only"]) == (29, 1, 1)


@pytest.mark.parametrize("by_loci", [False, True])
def test_letters_of_haploids(by_loci: bool, tmp_path: Path) -> None:
    """The alphabetically later letter is counted, whichever comes first; one bit a locus where no call is missing."""
    alleles = (calls() > 0).astype(np.uint8)
    table = genotype_table(alleles, IDS, ["27915_chr01_27915_T_C", "chrX:5", "chr2_9_chr3_4", *LOCI[3:]], ("B", "R", "", ""))
    folder = write({**small(), "T.tsv": text(transposed(table) if by_loci else table)}, tmp_path / "own")
    out = load(folder / "T.tsv", tmp_path / "D.h5", traits=("yield",))
    with Dataset(out) as data:
        loci, attributes = data.description().loci, data.attributes  # type: ignore[union-attr]
    assert (attributes["ploidy"], attributes["bits_per_locus"]) == (1, 1)
    assert [list(row.values()) for row in stored_counts(out).values()] == alleles[[IDS.index(name) for name in stored_counts(out)]].tolist()
    assert (set(loci.counted_allele), set(loci.other_allele)) == ({"R"}, {"B"})
    assert list(zip(loci.chromosome.tolist()[:4], loci.position.tolist()[:4], strict=True)) == [
        ("chr01", 27915),
        ("chrX", 5),
        ("", 0),
        ("", 0),
    ]


def test_columns_with_the_place_of_a_locus(tmp_path: Path) -> None:
    table = transposed(genotype_table(calls(), IDS, LOCI, ("0", "1", "2", "")))
    table = [[row[0], "chrom" if i == 0 else "4", "pos" if i == 0 else str(7 * i), *row[1:]] for i, row in enumerate(table)]
    folder = write({**small(), "T.tsv": text(table)}, tmp_path / "own")
    found = content(load(folder / "T.tsv", tmp_path / "D.h5"))
    assert found["position"].tolist() == [7 * i for i in range(1, 13)]
    assert set(found["chromosome"]) == {"4"}


def test_orientation_may_be_told(tmp_path: Path) -> None:
    """Loci that are called like individuals."""
    table = text(genotype_table(calls(), IDS, IDS[:12], ("0", "1", "2", "")))
    folder = write({**small(), "T.tsv": table}, tmp_path / "own")
    out = load(folder / "T.tsv", tmp_path / "D.h5", orientation="individuals")
    assert [list(row.values()) for row in stored_counts(out).values()] == [list(EXPECTED[name].values()) for name in stored_counts(out)]


def site(line: str, cells: dict[int, str]) -> str:
    """A line of a VCF with other cells."""
    return "\t".join(cells.get(column, cell) for column, cell in enumerate(line.split("\t")))


def test_sites_of_a_vcf_that_are_special(tmp_path: Path) -> None:
    lines = small()["X.vcf"].splitlines()
    lines[4] = site(lines[4], {4: "G,T"})
    lines[5] = site(lines[5], {2: "."})
    lines[6] = site(lines[6], {9: "."})
    lines[7] = site(lines[7], {2: "m4"})
    lines[8] = site(lines[8], {9 + i: "./." for i in range(30)})
    lines[9] = site(lines[9], {4: "."} | {9 + i: "0/0" for i in range(30)})
    folder = write({**small(), "X.vcf": "\n".join(lines) + "\n"}, tmp_path / "own")
    out = load(folder / "X.vcf", tmp_path / "D.h5")
    found = report(out)
    names = ("loci_multi_allelic", "repeated_locus_ids", "loci_without_calls", "loci_without_variation", "n_loci")
    assert [found[name] for name in names] == [1, 0, 1, 1, 9]
    assert content(out)["id"].tolist() == ["1:200", "m2", "m4", "m6", "m7", "m8", "m9", "m10", "m11"]
    assert "i00" in stored_counts(out)
    assert stored_counts(out)["i00"]["m2"] == MISSING


def test_haploid_vcf(tmp_path: Path) -> None:
    source = small()["X.vcf"]
    for diploid, haploid in {"0/0": "0", "0|1": "1", "1/1": "1", "./.": "."}.items():
        source = source.replace(diploid, haploid)
    folder = write({**small(), "X.vcf": source}, tmp_path / "own")
    out = load(folder / "X.vcf", tmp_path / "D.h5")
    assert {name: list(row.values()) for name, row in stored_counts(out).items()} == {
        name: [{2: 1}.get(call, call) for call in row.values()] for name, row in EXPECTED.items()
    }
    with Dataset(out) as data:
        assert (data.attributes["ploidy"], data.attributes["bits_per_locus"]) == (1, 2)


def test_repeated_and_missing_names_of_loci(tmp_path: Path) -> None:
    lines = small()["X.bim"].splitlines()
    lines[1], lines[2], lines[3] = (
        line.replace(f"\tm{i}\t", "\t.\t" if i < 3 else "\tm0\t") for i, line in zip((1, 2, 3), lines[1:4], strict=True)
    )
    folder = write({**small(), "X.bim": "\n".join(lines) + "\n"}, tmp_path / "own")
    out = load(folder / "X.bed", tmp_path / "D.h5")
    assert content(out)["id"].tolist()[:5] == ["m0", "1:200", "1:300", "m0", "m4"]
    assert report(out)["repeated_locus_ids"] == 1


def test_minus_nine_is_a_number_with_a_warning(tmp_path: Path) -> None:
    p = phenotypes()
    p[3][1] = p[7][1] = "-9"
    folder = write({**small(), "P.tsv": text(p)}, tmp_path / "own")
    out = load(folder / "X.csv", tmp_path / "D.h5")
    assert (content(out)["phenotypes"] == -9).sum() == 2
    [warning] = report(out)["warnings"]
    assert "2 values of 'height' are -9 and were taken as numbers; write NA where a value is missing" in warning


@pytest.mark.parametrize("size", [8, 16])
def test_the_size_of_blocks_does_not_matter(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write({**small(), **table_files()}, tmp_path / "own")
    whole = {name: load(folder / name, tmp_path / f"{name}.h5") for name in ("X.bed", "X.vcf", "letters.csv", "loci.tsv.gz")}
    for module in ("plink", "vcf", "genotype_table"):
        monkeypatch.setattr(f"gpatlas.data.{module}.loci_at_once", lambda n: size)
    monkeypatch.setattr("gpatlas.data.imported.LOCI", 8)
    for name, expected in whole.items():
        assert same(load(folder / name, tmp_path / "D.h5"), expected)


def test_what_the_driver_asks_for(tmp_path: Path) -> None:
    folder = write(small(), tmp_path / "own")
    assert files_of("import-plink", folder / "X.bed") == (folder / "X.bed", folder / "X.bim", folder / "X.fam")
    assert files_of("import-vcf", folder / "X.vcf") == (folder / "X.vcf",)
    assert trait_names(folder / "P.tsv", None, "family") == ("height", "yield")
    assert trait_names(folder / "P.tsv", "yield") == ("id", "height", "family")
    with pytest.raises(SourceError, match=r"P.tsv: has no column 'familiy' for the groups, did you mean 'family'\?"):
        trait_names(folder / "P.tsv", None, "familiy")
    settings = {"phenotypes": folder / "P.tsv", "covariates": folder / "C.tsv"}
    assert ImportPlinkSettings(**settings).identity() == ImportPlinkSettings(phenotypes="elsewhere").identity()  # type: ignore[arg-type]


def test_the_example_files_are_the_small_population() -> None:
    names = {"P.tsv": "phenotypes.tsv", "C.tsv": "covariates.tsv"}
    for name, content_of in small().items():
        written = (Path(__file__).parents[2] / "data" / "own" / names.get(name, name.replace("X", "plants"))).read_bytes()
        assert written == (content_of if isinstance(content_of, bytes) else content_of.encode())


def test_commands(tmp_path: Path) -> None:
    folder = write(small(), tmp_path / "own")
    arguments = ["import-plink", "--from", str(folder / "X.bed"), "--out", str(tmp_path / "D.h5"), "--group-column", "family"]
    done = CliRunner().invoke(
        cli.command_line(), [*arguments, "--phenotypes", str(folder / "P.tsv"), "--traits", "yield", "--min-maf", "0.01"]
    )
    assert done.exit_code == 0, done.output
    assert '"without_phenotype": 0' in done.output
    assert report(tmp_path / "D.h5")["traits"] == {"yield": 30}
    failed = CliRunner().invoke(cli.command_line(), [*arguments, "--phenotypes", str(folder / "Q.tsv"), "--overwrite"])
    assert failed.exit_code == 2
    assert "'--phenotypes': File" in failed.output
    assert "does not exist" in failed.output
    failed = CliRunner().invoke(cli.command_line(), [*arguments, "--phenotypes", str(folder / "P.tsv"), "--min-maf", "0.6", "--overwrite"])
    assert "--min-maf: must be less than or equal to 0.5, got 0.6" in failed.output
