"""gpatlas new-config: what it writes is a config that runs as it is, and tells what the files hold."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from drivers import PROJECT, run
from own_files import IDS, N, small, text, write

from gpatlas import new_config
from gpatlas.cli import main
from gpatlas.data.population import Description, Loci
from gpatlas.new_config import Found, choose_folds, choose_models, written_name
from gpatlas.settings import Size
from pipeline.config import load_config

OWN = PROJECT / "tests" / "data" / "own"
TABLES = ["--phenotypes", str(OWN / "own.pheno.tsv"), "--covariates", str(OWN / "own.covariates.tsv"), "--group-column", "family"]


def written(out: Path, *flags: str, genotypes: Path = OWN / "own.bed") -> str:
    """What the command writes into the file `out`."""
    with pytest.raises(SystemExit) as end:
        main(["new-config", "--genotypes", str(genotypes), "--out", str(out), *flags])
    assert end.value.code == 0
    return out.read_text()


def test_it_tells_what_was_found(tmp_path: Path) -> None:
    found = written(tmp_path / "my.yaml", *TABLES)
    for line in (
        "# 288 individuals have genotypes and phenotypes; 0 have genotypes only, 0 phenotypes only.",
        "# 345 loci, ploidy 2, 2.1 % of calls missing, heterozygosity 0.412.",
        "# Left out or told apart: loci without variation 45.",
        "      group_column: family  # 24 groups; each is in one fold as a whole",
        "        - protein  # 235 individuals, mean 11.39, sd 0.8068",
    ):
        assert line in found.splitlines()
    assert [path.name for path in tmp_path.iterdir()] == ["my.yaml"]


def test_what_it_writes_is_valid_and_says_what_was_asked(tmp_path: Path) -> None:
    written(tmp_path / "my.yaml", *TABLES, "--traits", "yield,height", "--min-maf", "0.05")
    config = load_config(tmp_path / "my.yaml")
    (scenario,) = config.own
    assert (scenario.trait_sets, scenario.settings.min_maf) == ((("yield",), ("height",)), 0.05)
    assert scenario.genotypes == OWN / "own.bed"
    assert [model for model, _ in scenario.models] == ["ridge", "egblup", "rkhs", "pairwise", "elastic_net", "boosting", "mlp", "stack"]
    assert {settings.n_folds for _, settings in scenario.models} == {10}
    assert {figure for _, figure in config.figures} == {"prediction", "observed", "heritability", "loci"}


def test_what_it_writes_runs_unedited(tmp_path: Path) -> None:
    write(small(), tmp_path)
    written(
        tmp_path / "my.yaml",
        "--phenotypes",
        str(tmp_path / "P.tsv"),
        "--group-column",
        "family",
        "--traits",
        "yield",
        genotypes=tmp_path / "X.bed",
    )
    code, output = run(tmp_path / "my.yaml", tmp_path / "results")
    assert code == 0, output
    assert (tmp_path / "results" / "my" / "report.html").exists()


def test_an_existing_file_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "my.yaml"
    out.write_text("mine")
    with pytest.raises(SystemExit) as end:
        main(["new-config", "--genotypes", str(OWN / "own.bed"), "--out", str(out), *TABLES])
    assert end.value.code == 1
    assert "exists already: name another --out, or add --overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert written(out, *TABLES, "--overwrite").startswith("# Written by")


def test_columns_that_are_no_traits_are_left_out_and_told(tmp_path: Path) -> None:
    rows = (OWN / "own.pheno.tsv").read_text().splitlines()
    table = ["\t".join([rows[0], "note", '"a,b"']), *("\t".join([row, "fine", str(n)]) for n, row in enumerate(rows[1:]))]
    (tmp_path / "p.tsv").write_text("\n".join(table) + "\n")
    found = written(tmp_path / "my.yaml", "--phenotypes", str(tmp_path / "p.tsv"))
    assert "# No trait: family, which holds text." in found
    assert '# No trait: "a,b", which has a comma in its name.' in found
    assert load_config(tmp_path / "my.yaml").own[0].trait_sets == (("height",), ("yield",), ("protein",))


def test_whole_numbers_may_be_families(tmp_path: Path) -> None:
    rows = [["id", "height", "mother"], *([name, f"{n * n % 31}.5", str(n % 7)] for n, name in enumerate(IDS))]
    (tmp_path / "p.tsv").write_text(text(rows))
    (tmp_path / "x.csv").write_text(small()["X.csv"])
    found = written(tmp_path / "my.yaml", "--phenotypes", str(tmp_path / "p.tsv"), genotypes=tmp_path / "x.csv")
    assert [line.split()[1] for line in found.splitlines() if "; whole numbers: if they name families, this is no trait" in line] == [
        "mother"
    ]
    assert f"- height  # {N} individuals" in found


def test_files_that_cannot_be_imported_are_refused_as_the_importer_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(OWN / "own.bed", tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["new-config", "--genotypes", str(tmp_path / "own.bed"), "--out", str(tmp_path / "my.yaml"), *TABLES])
    assert end.value.code == 1
    assert "own.bim: no such file; a .bed needs its .bim and .fam beside it" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["own.bed"]


def found(n: int, groups: list[str] | None = None, n_measured: int | None = None) -> Found:
    names = np.array([str(number) for number in range(n)])
    phenotypes = np.arange(n, dtype=float)[:, None]
    phenotypes[n if n_measured is None else n_measured :] = np.nan
    loci = Loci(names, names, np.arange(n), names, names)
    described = Description(names, None if groups is None else np.array(groups), ("y",), np.zeros((n, 0)), (), loci, 2)
    return Found(Size(n, 10, 1, 2), {}, described, phenotypes, {})


@pytest.mark.parametrize(
    ("population", "n_folds"),
    [
        (found(1000), 10),
        (found(99), 5),
        (found(1000, n_measured=60), 5),
        (found(1000, [str(n % 7) for n in range(1000)]), 7),
        (found(1000, [str(n % 2) for n in range(1000)]), 2),
    ],
)
def test_folds_suit_individuals_and_groups(population: Found, n_folds: int) -> None:
    assert choose_folds(population) == n_folds


def test_one_group_is_refused() -> None:
    with pytest.raises(ValueError, match="no two folds of whole groups have two individuals of every trait"):
        choose_folds(found(100, ["a"] * 100))


def test_models_that_need_more_memory_than_there_is_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_config, "machine_memory", lambda: 32 * 10**9)
    models, too_large = choose_models(Size(60_000, 2000, 1, 2), 10)
    assert "egblup" not in models
    assert models["mlp"] == {"hidden_size": 1024}
    assert too_large[0].startswith("egblup: needs 1")
    assert too_large[0].endswith(" GB of memory; there are 32 GB")


@pytest.mark.parametrize(
    ("name", "as_yaml"), [("E1", "E1"), ("a b", '"a b"'), ("no", '"no"'), ("../x.bed", "../x.bed"), ("1", '"1"'), ("µ", '"µ"')]
)
def test_names_are_quoted_where_yaml_would_read_anything_else(name: str, as_yaml: str) -> None:
    assert written_name(name) == as_yaml
