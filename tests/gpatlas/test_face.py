"""gpatlas.load, gpatlas.simulate and gpatlas.compare: what a notebook has of the package."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from populations import write_dataset
from scipy.special import stdtrit

import gpatlas
from gpatlas import needs
from gpatlas.cli import main
from gpatlas.data.dataset import DatasetError
from gpatlas.models import registry
from gpatlas.progress import Progress
from gpatlas.settings import SettingsError

ROOT = Path(__file__).parents[2]
SMALL = {"n_individuals": 200, "n_loci": 10, "n_qtl": 10, "rel_aa": [0.0, 1.0]}


def test_simulated_population_is_the_file_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--n-individuals", "200", "--n-loci", "10", "--n-qtl", "10", "--rel-aa", "0,1", "--out", str(path)])
    assert ended.value.code == 0
    simulated, loaded = gpatlas.simulate(**SMALL), gpatlas.load(path)
    assert (simulated.n_individuals, simulated.n_loci, simulated.n_traits) == (200, 10, 2)
    assert np.array_equal(simulated.genotypes.packed, loaded.genotypes.packed)
    assert np.array_equal(simulated.phenotypes, loaded.phenotypes)
    assert np.array_equal(simulated.genetic_values, loaded.genetic_values)
    assert repr(simulated) == "Population(simulated: 200 individuals, 10 loci, 2 traits)"
    assert loaded.name == str(path)


def test_traits_are_simulated_on_the_genotypes_of_a_file(tmp_path: Path) -> None:
    path, out = tmp_path / "data.h5", tmp_path / "traits.h5"
    write_dataset(tmp_path, population="f2", n_individuals=60, n_loci=10, n_qtl=4)
    with pytest.raises(SystemExit):
        main(["simulate-traits", "--genotypes", str(path), "--n-qtl", "6", "--rel-aa", "1", "--h2", "0.5", "--out", str(out)])
    simulated = gpatlas.simulate(genotypes=path, n_qtl=6, rel_aa=[1.0], h2=0.5)
    assert np.array_equal(simulated.phenotypes, gpatlas.load(out).phenotypes)
    assert np.array_equal(simulated.genotypes.packed, gpatlas.load(path).genotypes.packed)


def test_simulate_names_every_fault() -> None:
    with pytest.raises(SettingsError) as fault:
        gpatlas.simulate(n_individual=10, h2=2.0)
    assert "n_individual: unknown key, did you mean 'n_individuals'?" in str(fault.value)
    assert "h2: must be less than or equal to 1, got 2.0" in str(fault.value)


def test_load_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nothing\.h5: no such file$"):
        gpatlas.load(tmp_path / "nothing.h5")


OWN = ROOT / "tests" / "data" / "own"
PLANTS = {"phenotypes": OWN / "phenotypes.tsv", "group_column": "family"}


def test_files_of_ones_own_are_what_the_importer_makes_of_them(tmp_path: Path) -> None:
    path = tmp_path / "own.h5"
    words = ["--phenotypes", str(PLANTS["phenotypes"]), "--group-column", "family", "--out", str(path)]
    with pytest.raises(SystemExit):
        main(["import-plink", "--from", str(OWN / "plants.bed"), *words])
    found, wanted = gpatlas.load(OWN / "plants.bed", **PLANTS), gpatlas.load(path)
    assert np.array_equal(found.genotypes.packed, wanted.genotypes.packed)
    assert np.array_equal(found.phenotypes, wanted.phenotypes, equal_nan=True)
    assert found.trait_names == ("height", "yield")
    assert found.name == str(OWN / "plants.bed")


@pytest.mark.parametrize(
    ("path", "settings", "message"),
    [
        (OWN / "plants.bed", {}, r"^phenotypes: is required$"),
        (OWN / "plants.bed", {**PLANTS, "min_maff": 0.1}, r"^min_maff: unknown key, did you mean 'min_maf'\?"),
        ("data.h5", PLANTS, r"^'data\.h5' ends with none of \.bed, "),
        (OWN / "plants.bed", {"phenotypes": "nothing.tsv"}, r"^nothing\.tsv: no such file$"),
    ],
)
def test_what_is_wrong_with_ones_own_files_is_said(path: str | Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gpatlas.load(path, **settings)


def test_arrays_are_of_those_that_have_the_trait() -> None:
    plants = gpatlas.load(OWN / "own.bed", phenotypes=OWN / "own.pheno.tsv", group_column="family")
    X, y, groups = plants.arrays("protein")
    measured = ~np.isnan(plants.phenotypes[:, 2])
    assert 0 < len(y) == measured.sum() < plants.n_individuals
    assert np.array_equal(y, plants.phenotypes[measured, 2])
    assert groups is not None
    assert plants.described is not None
    assert np.array_equal(groups, plants.described.groups[measured])
    counts = plants.genotypes.counts()[measured]
    assert np.array_equal(np.isnan(X), counts == 3)
    assert np.array_equal(X[counts < 3], counts[counts < 3])
    assert gpatlas.Ridge().fit(X, y).score(X, y) > 0.3
    with pytest.raises(ValueError, match=r"has no trait 'hieght', did you mean 'height'\?"):
        plants.arrays("hieght")


def test_arrays_of_a_trait_without_a_name() -> None:
    data = gpatlas.simulate(**SMALL)
    X, y, groups = data.arrays(2)
    assert np.array_equal(X, data.genotypes.counts())
    assert np.array_equal(y, data.phenotypes[:, 1])
    assert groups is None


def test_intervals_are_those_of_nadeau_and_bengio() -> None:
    data = gpatlas.simulate(**SMALL)
    table = gpatlas.compare(data, ["ridge"], "cross_validation", n_folds=5, every_column=True)
    half = stdtrit(4, 0.975) * table["pearson_r_sd"] * np.sqrt(1 / 5 + 1 / 4)
    assert np.allclose(table["pearson_r"] - table["pearson_r_low"], half, rtol=1e-6)
    assert np.allclose(table["pearson_r_high"], np.minimum(table["pearson_r"] + half, 1.0), rtol=1e-6)


def test_a_notebook_has_a_bar_that_goes_at_the_end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[str] = []

    def display(data: dict[str, str], **_: object) -> SimpleNamespace:
        shown.append(data["text/plain"])
        return SimpleNamespace(update=display)

    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())
    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr("gpatlas.progress.REDRAWN", 0.0)
    progress = Progress("fit", lines=False)
    progress(1, 2)
    progress(2, 2)
    progress.close()
    assert shown == [f"fit [{'#' * 15}{'-' * 15}] 1/2  ", f"fit [{'#' * 30}] 2/2  ", ""]
    assert capsys.readouterr().err == ""


def test_comparison_is_the_table_of_the_commands(tmp_path: Path) -> None:
    data = gpatlas.simulate(**SMALL)
    table = gpatlas.compare(data, ["ridge", "egblup"], every_column=True)
    assert table["model"].tolist() == ["ridge", "ridge", "egblup", "egblup"]
    path = tmp_path / "data.h5"
    for words in (
        ["simulate", "--n-individuals", "200", "--n-loci", "10", "--n-qtl", "10", "--rel-aa", "0,1", "--out", str(path)],
        *(["fit-" + model, "--data", str(path), "--protocol", "holdout", "--out", str(tmp_path / model)] for model in ("ridge", "egblup")),
    ):
        with pytest.raises(SystemExit):
            main(words)
    written = pd.concat([pd.read_csv(tmp_path / model) for model in ("ridge", "egblup")], ignore_index=True)
    pd.testing.assert_frame_equal(
        table.drop(columns="seconds"), written[list(table)].drop(columns="seconds"), check_dtype=False, check_exact=False, rtol=1e-12
    )
    short = ["model", "trait", "pearson_r", "rel_aa", "v_a_over_v_g", "n_train", "n_test", "seconds"]
    assert list(gpatlas.compare(path, ["ridge"])) == short


def test_models_with_settings_and_the_studys_protocol() -> None:
    data = gpatlas.simulate(**SMALL)
    few = gpatlas.compare(data, {"ridge": {"n_splits": 2}, "egblup": None}, protocol="paper", every_column=True)
    assert few["protocol"].unique().tolist() == ["paper"]
    assert few["pearson_r_sd"].notna().tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["rigde"], "models: unknown model 'rigde', did you mean 'ridge'?"),
        ([], "models: names at least one"),
        ("rigde", "models: unknown model 'rigde', did you mean 'ridge'?"),
        ({"ridge": 3}, "ridge: settings are names and values, as {'n_penalties': 20}, got 3"),
        ({"ridge": {"protocol": "paper"}, "egblup": None}, "ridge.protocol: is said once for all models"),
        ({"mlp": {"hidden_sise": 8}}, "mlp.hidden_sise: unknown key, did you mean 'hidden_size'?"),
        ({"ridge": {"n_penalties": 0}}, "ridge.n_penalties: must be greater than or equal to 1, got 0"),
    ],
)
def test_what_is_wrong_is_said_before_any_fit(models: object, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpatlas.face.evaluate", lambda *_: pytest.fail("work has started"))
    with pytest.raises(ValueError, match="^" + message.replace("?", r"\?")):
        gpatlas.compare(gpatlas.simulate(**SMALL), models)  # type: ignore[arg-type]


def test_unknown_protocol() -> None:
    with pytest.raises(SettingsError, match=r"ridge\.protocol: must be 'holdout', 'paper' or 'cross_validation', got 'loocv'"):
        gpatlas.compare(gpatlas.simulate(**SMALL), ["ridge"], "loocv")


def test_memory_is_checked_before_any_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "machine_memory", lambda: 10_000_000)
    monkeypatch.setattr("gpatlas.face.evaluate", lambda *_: pytest.fail("work has started"))
    with pytest.raises(ValueError, match=r"simulated: fit-ridge of 200 individuals and 10 loci needs 0\.3 GB of memory"):
        gpatlas.compare(gpatlas.simulate(**SMALL), list(registry.MODELS))


def test_one_line_prints_a_small_table_and_nothing_else() -> None:
    code = "import gpatlas; print(gpatlas.compare(gpatlas.simulate(n_individuals=500), ['ridge', 'pairwise']))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()
    assert len(lines) == 11
    assert max(map(len, lines)) <= 80
    assert lines[0].split()[:3] == ["model", "trait", "pearson_r"]


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, gpatlas; dir(gpatlas); print(sorted({'numpy', 'pandas', 'torch', 'sklearn', 'h5py'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_numpy_values_are_settings_too() -> None:
    wanted = gpatlas.simulate(**SMALL)
    found = gpatlas.simulate(n_individuals=np.int64(200), n_loci=np.int32(10), n_qtl=10, rel_aa=np.array([0.0, 1.0]))
    assert np.array_equal(found.phenotypes, wanted.phenotypes)
    assert len(gpatlas.compare(found, {"ridge": {"n_penalties": np.arange(5, 8)[0]}})) == 2
