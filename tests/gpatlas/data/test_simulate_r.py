"""r/simulate.R: AlphaSimR's data to the last digit, in the file, with the flags and the refusals of the native simulator."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from alphasimr_runs import SCRIPT, rscript, simulate_by_alphasimr, skip_without_packages

from gpatlas.cli import main
from gpatlas.data import alphasimr
from gpatlas.data.dataset import FACTS_OF_TRAITS, Dataset
from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import FloatArray
from gpatlas.data.settings import ImportSettings, SimulateSettings
from gpatlas.data.simulate import realised
from gpatlas.models.settings import split_sizes
from gpatlas.progress import Progress
from gpatlas.settings import build

DATA = Path(__file__).parents[2] / "data"
pytestmark = pytest.mark.skipif(shutil.which("Rscript") is None, reason="Rscript is not installed")

SCALING = "--rel-aa 0,0.1,0.5,1,3 --h2 0.999"
DILUTION = "--rel-aa 0,1 --h2 0.9999"
GROUP = "--rel-aa 1 --n-traits 10 --h2 0.999"
LARGE_GROUP = f"--n-individuals 10000 --n-loci 100 --n-qtl 100 {GROUP}"
GOLDEN = {
    "qhaplo_46qtl_1000n_rep1": f"--n-individuals 1000 --n-loci 46 --n-qtl 46 {SCALING} --seed 1",
    "qhaplo_46qtl_1000n_rep2": f"--n-individuals 1000 --n-loci 46 --n-qtl 46 {SCALING} --seed 2",
    "qhaplo_90qtl_1000n_rep1": f"--n-individuals 1000 --n-loci 90 --n-qtl 90 {SCALING} --seed 1",
    "qhaplo_64qtl_10000n_rep1": f"--n-individuals 10000 --n-loci 64 --n-qtl 64 {SCALING} --seed 1",
    "qhaplo_102qtl_10000n_rep1": f"--n-individuals 10000 --n-loci 102 --n-qtl 102 {SCALING} --seed 1",
    "qhaplo_100qtl_250marker_2000n_rep1": f"--n-individuals 2000 --n-loci 250 --n-qtl 100 {DILUTION} --seed 1",
    "qhaplo_100qtl_250marker_10000n_rep4": f"--n-individuals 10000 --n-loci 250 --n-qtl 100 {DILUTION} --seed 4",
    "qhaplo_50qtl_1000n_0pleio_10trait_rep1": f"--n-individuals 1000 --n-loci 50 --n-qtl 50 {GROUP} --independent --seed 1",
    "qhaplo_50qtl_2000n_0.5pleio_10trait_rep1": f"--n-individuals 2000 --n-loci 50 --n-qtl 50 {GROUP} --genetic-correlation 0.5 --seed 1",
    "qhaplo_100qtl_10000n_0.5pleio_10trait_rep1": f"{LARGE_GROUP} --genetic-correlation 0.5 --seed 1",
    "qhaplo_100qtl_10000n_0.95pleio_10trait_rep4": f"{LARGE_GROUP} --genetic-correlation 0.95 --seed 4",
}
ARCHIVED = {
    "qhaplo_46qtl_1000n_rep1": "scaling",
    "qhaplo_46qtl_1000n_rep2": "scaling",
    "qhaplo_90qtl_1000n_rep1": "scaling",
    "qhaplo_100qtl_250marker_2000n_rep1": "dilution",
    "qhaplo_50qtl_1000n_0pleio_10trait_rep1": "pleio",
    "qhaplo_50qtl_2000n_0.5pleio_10trait_rep1": "pleio",
}
SMALL = {
    "a group per rel_aa": "--n-individuals 100",
    "neutral loci, one trait": "--n-individuals 100 --n-loci 83 --n-qtl 20 --rel-aa 0.5 --h2 0.5 --seed 7",
    "one group": "--n-individuals 100 --n-loci 60 --n-qtl 24 --rel-aa 1 --n-traits 3 --genetic-correlation -0.4",
    "uncorrelated group": "--n-individuals 100 --n-loci 48 --n-qtl 48 --rel-aa 1 --n-traits 3",
    "one pair": "--n-individuals 100 --n-loci 9 --n-qtl 2 --rel-aa 0,1",
}
LINKED = {
    "haploids, hidden QTL, one group": "--population outbred --ploidy 1 --n-founders 20 --n-generations 2 --n-individuals 90 --n-qtl 10 "
    "--n-chromosomes 4 --hidden-qtl --rel-aa 1 --n-traits 3 --genetic-correlation 0.5 --effect-distribution gamma",
    "diploids, hidden QTL, dominance": "--population f2 --n-individuals 90 --n-loci 45 --n-chromosomes 2 --n-qtl 10 --n-pairs 3 "
    "--hidden-qtl --dominance-degree-mean 0.5",
    "unlinked, few pairs": "--n-individuals 90 --n-qtl 10 --n-pairs 2 --effect-distribution equal",
}
LONG = "--n-individuals 100000"  # seconds after its first step
Simulate = Callable[[str], Path]


@pytest.fixture(scope="module")
def packages() -> None:
    skip_without_packages()


@pytest.fixture(scope="module")
def simulate(packages: None, tmp_path_factory: pytest.TempPathFactory) -> Simulate:
    """The dataset file that flags make, made once."""
    return cache(lambda flags: simulate_by_alphasimr(flags, tmp_path_factory.mktemp("r") / "data.h5"))


def refusal_of_python(flags: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and message of `python -m gpatlas simulate`."""
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *flags])
    assert isinstance(ended.value.code, int)
    error = capsys.readouterr().err
    return ended.value.code, error[error.index("Error: ") :]


# The study's data


@cache
def golden() -> pd.DataFrame:
    table = pd.read_csv(DATA / "golden.csv").set_index("scenario")
    columns = ["phenotype_mean", "phenotype_sd", "first_phenotype", "last_phenotype"]
    table[columns] = table[columns].apply(lambda column: column.str.extract(r"\((.*)\)", expand=False).astype(float))
    return table


def test_every_golden_scenario_is_tested() -> None:
    assert set(golden().index) == set(GOLDEN)


@pytest.mark.parametrize("scenario", GOLDEN)
def test_golden_scenarios(simulate: Simulate, scenario: str) -> None:
    with Dataset(simulate(GOLDEN[scenario])) as data:
        phenotypes, packed = data.phenotypes(), data.genotypes().packed
    expected = golden().loc[scenario]
    assert [hashlib.sha256(packed.tobytes()).hexdigest()] == expected["genotypes_packed_sha256"].unique().tolist()
    test = phenotypes[-split_sizes(len(phenotypes), "paper")[1] :]
    for found, column, tolerance in (
        (phenotypes.mean(axis=0), "phenotype_mean", 1e-12),
        (phenotypes.std(axis=0), "phenotype_sd", 1e-12),
        (phenotypes[0], "first_phenotype", 1e-13),
        (phenotypes[-1], "last_phenotype", 1e-13),
        (test.mean(axis=0), "test_mean", 5.1e-7),
        (test.std(axis=0), "test_sd", 5.1e-7),
    ):
        np.testing.assert_allclose(found, expected[column], rtol=0, atol=tolerance, err_msg=column)


def digits(values: FloatArray) -> FloatArray:
    """As R writes them to a text: 15 significant digits."""
    return np.array([float(f"{value:.15g}") for value in values.ravel()]).reshape(values.shape)


def pairs_of(effects: Effects, trait: int) -> dict[frozenset[int], float]:
    return dict(zip(map(frozenset, effects.pairs[trait].tolist()), digits(effects.epistatic[trait]).tolist(), strict=True))


@pytest.mark.parametrize("scenario", ARCHIVED)
def test_archived_scenarios_to_the_last_digit(simulate: Simulate, tmp_path: Path, scenario: str) -> None:
    """Genotypes bit for bit. Sums come by way of R's linear algebra library, of which one rounds the last digit otherwise than another."""
    tolerance = 1e-13
    settings = build(ImportSettings, {"scenario": scenario, "h2": 0.9999 if ARCHIVED[scenario] == "dilution" else 0.999})
    quiet = Progress("import-alphasimr", io.StringIO())
    alphasimr.run(settings, DATA / f"alphasimr_{ARCHIVED[scenario]}_input.tar.xz", tmp_path / "archived.h5", quiet)
    with Dataset(tmp_path / "archived.h5") as archived, Dataset(simulate(GOLDEN[scenario])) as data:
        assert np.array_equal(data.genotypes().packed, archived.genotypes().packed)
        np.testing.assert_allclose(digits(data.phenotypes()), archived.phenotypes(), rtol=0, atol=tolerance)
        effects, expected = data.effects(), archived.effects()
        np.testing.assert_allclose(digits(effects.additive), expected.additive, rtol=0, atol=tolerance)
        for trait in range(data.n_traits):
            assert pairs_of(effects, trait) == pytest.approx(pairs_of(expected, trait), rel=0, abs=tolerance)


@pytest.mark.parametrize("flags", [*GOLDEN.values(), *SMALL.values()], ids=[*GOLDEN, *SMALL])
def test_effects_make_the_genetic_values(simulate: Simulate, flags: str) -> None:
    with Dataset(simulate(flags)) as data:
        effects, attributes, genetic_values = data.effects(), data.attributes, data.genetic_values()
        additive, epistatic = effects.parts(data.genotypes().packed)
    assert genetic_values is not None
    np.testing.assert_allclose(genetic_values, effects.intercept + additive + epistatic, rtol=0, atol=1e-12)
    np.testing.assert_allclose(genetic_values.var(axis=0), 1, rtol=1e-12)
    facts = realised(additive, epistatic, attributes["rel_aa"])
    for name in ("v_a", "v_aa", "v_a_over_v_g"):
        np.testing.assert_allclose(attributes[name], getattr(facts, name), rtol=1e-10, atol=1e-30)


@pytest.mark.parametrize("flags", SMALL.values(), ids=SMALL)
def test_spare_bits_are_0(simulate: Simulate, flags: str) -> None:
    with Dataset(simulate(flags)) as data:
        bits = np.unpackbits(data.genotypes().packed, axis=1, bitorder="little")
        assert not bits[:, data.n_loci :].any()
        assert bits[:, : data.n_loci].any(axis=0).all()


def test_a_group_shares_its_pairs_and_only_a_group(simulate: Simulate) -> None:
    distinct = {}
    for scenario in ("qhaplo_50qtl_2000n_0.5pleio_10trait_rep1", "qhaplo_50qtl_1000n_0pleio_10trait_rep1"):
        with Dataset(simulate(GOLDEN[scenario])) as data:
            distinct[scenario] = len({pairs.tobytes() for pairs in data.effects().pairs})
    assert list(distinct.values()) == [1, 10]


# The native simulator's file


def described(path: Path) -> dict[str, Any]:
    """What h5py tells of a file beside its values."""
    with h5py.File(path) as file:
        arrays: dict[str, Any] = {}
        file.visititems(lambda name, item: arrays.update({name: (item.shape, item.dtype, item.chunks)} if hasattr(item, "dtype") else {}))
        stored = {name: file.attrs.get_id(name) for name in file.attrs}
        attributes = {name: (type(file.attrs[name]), stored[name].shape, stored[name].dtype) for name in stored}
    return {"arrays": arrays, "attributes": attributes}


@pytest.mark.parametrize("flags", [*SMALL.values(), *LINKED.values()], ids=[*SMALL, *LINKED])
def test_file_is_like_the_native_simulators(simulate: Simulate, tmp_path: Path, flags: str) -> None:
    native = tmp_path / "native.h5"
    with pytest.raises(SystemExit, match="0"):
        main(["simulate", *flags.split(), "--out", str(native)])
    assert described(simulate(flags)) == described(native)
    with Dataset(simulate(flags)) as ours, Dataset(native) as theirs:
        same = ("format_version", "n_loci", "n_qtl", "h2", "seed")
        assert [ours.attributes[name] for name in same] == [theirs.attributes[name] for name in same]
        assert ours.attributes["rel_aa"].tolist() == theirs.attributes["rel_aa"].tolist()
        assert json.loads(ours.attributes["trait_groups"]) == json.loads(theirs.attributes["trait_groups"])
        assert [ours.attributes["simulator"], ours.attributes["simulator_version"]] == ["alphasimr", "1.4.2"]
        drawn = {*FACTS_OF_TRAITS, "m_e", "simulator"} - {"rel_aa"}
        for row, expected in zip(ours.facts(), theirs.facts(), strict=True):
            assert {name: row[name] for name in row.keys() - drawn} == {name: expected[name] for name in expected.keys() - drawn}


def test_ridge_reads_it(simulate: Simulate, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["fit-ridge", "--data", str(simulate(GOLDEN["qhaplo_46qtl_1000n_rep1"])), "--out", str(tmp_path / "ridge.csv")])
    assert pd.read_csv(tmp_path / "ridge.csv")["pearson_r"][0] > 0.99  # trait 1 is additive


@pytest.mark.parametrize(
    ("flags", "block_size"),
    [*((SMALL["neutral loci, one trait"], size) for size in (1, 7, 100)), (LINKED["diploids, hidden QTL, dominance"], 7)],
)
def test_blocks_do_not_change_a_byte(simulate: Simulate, flags: str, block_size: int) -> None:
    assert simulate(f"{flags} --block-size {block_size}").read_bytes() == simulate(flags).read_bytes()


# Flags and refusals, which need neither AlphaSimR nor hdf5r

OTHER_FLAGS = ("--out", "--overwrite", "--help")


def flags_in(help_text: str) -> dict[str, str]:
    """Every flag, with its type, and what is said of it."""
    flags = re.findall(r"^  (--\S+(?: [A-Z]+| \[\S+\])?)\s+((?:.+\n?(?!  --))+)", help_text.partition("Options:\n")[2], flags=re.MULTILINE)
    return {flag: " ".join(text.split()) for flag, text in flags}


def test_same_flags_as_the_native_simulator(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["simulate", "--help"])
    shown = rscript(SCRIPT, "simulate", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert len(flags_in(shown.stdout)) == len(SimulateSettings.model_fields) + len(OTHER_FLAGS)
    assert flags_in(shown.stdout) == flags_in(capsys.readouterr().out)


REFUSED = [
    "--n-loci 1e3",
    "--n-loci=",
    "--h2 half",
    "--rel-aa 1,a",
    "--rel-aa 1,,2",
    "--n-individuals 1 --n-loci 0 --n-qtl 1 --seed -1 --block-size 0",
    "--rel-aa 1,-1,nan,-0.00001 --h2 0",
    "--h2 1.5 --genetic-correlation -2",
    "--genetic-correlation=inf",
    "--n-qtl 45",
    "--n-qtl 48",
    "--n-loci 10",
    "--n-traits 3",
    "--n-traits 3 --independent",
    "--n-traits 0 --rel-aa 1",
    "--independent",
    "--genetic-correlation 0.5",
    "--n-traits 3 --rel-aa 1 --independent --genetic-correlation 0.5",
    "--n-traits 3 --rel-aa 1 --genetic-correlation -0.5",
    "--n-traits 3 --rel-aa 1 --genetic-correlation 1",
    "--population foo",
    "--ploidy 3",
    "--ploidy 2",
    "--effect-distribution cauchy --gamma-shape 0",
    "--n-pairs 0 --n-generations 0 --missing-rate 1 --error-rate 0.5 --n-founders 1 --chromosome-cm 0",
    "--population ril --n-qtl 7 --n-pairs 4",
    "--population dh --n-chromosomes 60",
    "--population dh --n-qtl 48",
    "--population f2 --ploidy 1",
    "--hidden-qtl",
    "--chromosome-cm 50",
    "--n-founders 5",
    "--population f2 --n-generations 3",
    "--population dh --n-chromosomes 2 --allele-frequency-shape 1,2",
    "--population outbred --ploidy 1 --rel-dd 1",
    "--dominance-degree-sd 0.5",
    "--population dh --dominance-degree-mean -0.25 --rel-dd 1",
    "--population outbred --allele-frequency-shape 1",
    "--allele-frequency-shape 1,2,0.5",
    "--population f2 --pair-linkage unlinked",
    "--pair-linkage linked",
    "--overwrite=yes",
    "--seed",
    "twice simulate",
]
REFUSED_HERE = {
    "--n-lociz 3": "No such option '--n-lociz'. (allowed: --out, --overwrite, --n-qtl",
    "--seed 3000000000": "--seed: must be less than or equal to 2147483647, got 3000000000",
    "--n-individuals 1000000 --n-loci 20000": "--n-individuals: AlphaSimR holds at most 2147483647 bytes of genotypes",
    "--population f2 --rel-dd 1": "--rel-dd: AlphaSimR has no dominance x dominance effects, got 1.0; the native simulator has",
    "--population f2 --pair-linkage linked": "--pair-linkage: AlphaSimR has no choice of pairs, got linked; the native simulator has",
    "--population f2 --error-rate 0.01": "--error-rate: AlphaSimR has no genotyping errors, got 0.01; the native simulator has",
    "--population f2 --missing-rate 0.01": "--missing-rate: AlphaSimR has no missing calls, got 0.01; the native simulator has",
    "--n-qtl 7 --n-pairs 2": "--n-qtl: AlphaSimR pairs all QTL, so it must be even, got 7",
}


@pytest.fixture(scope="module")
def refusals() -> dict[str, str]:
    """What the script says to each of these flags, asked in one R process."""
    sources = f"source('{SCRIPT.with_name('settings.R')}');"
    ask = "tryCatch({parse_settings(strsplit(line, ' ')[[1]]); 'allowed'}, refusal = conditionMessage)"
    program = f"{sources} for (line in readLines(file('stdin'))) cat(jsonlite::toJSON({ask}, auto_unbox = TRUE), '\\n')"
    asked = [*REFUSED, *REFUSED_HERE]
    lines = "".join(f"--out data.h5 {flags}\n" for flags in asked)
    answered = subprocess.run(["Rscript", "--vanilla", "-e", program], input=lines, capture_output=True, text=True)
    return dict(zip(asked, map(json.loads, answered.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("flags", REFUSED)
def test_same_refusals_as_the_native_simulator(refusals: dict[str, str], capsys: pytest.CaptureFixture[str], flags: str) -> None:
    assert refusal_of_python(["--out", "data.h5", *flags.split()], capsys) == (2, f"Error: {refusals[flags]}\n")


@pytest.mark.parametrize("flags", REFUSED_HERE)
def test_refusals_of_its_own(refusals: dict[str, str], flags: str) -> None:
    assert refusals[flags].startswith(REFUSED_HERE[flags])


def test_refusals_about_the_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "data.h5"
    there.write_text("precious")
    new = str(tmp_path / "new" / "data.h5")
    for code, words in ((2, []), (2, ["--out", str(tmp_path)]), (2, ["--out", new, "--ploidy", "3"]), (1, ["--out", str(there)])):
        refused = rscript(SCRIPT, *words)
        assert (refused.returncode, refused.stderr) == refusal_of_python(words, capsys)
        assert refused.returncode == code
    assert there.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [there]


# How it runs


def test_progress_is_json(packages: None, tmp_path: Path) -> None:
    finished = rscript(SCRIPT, "--out", tmp_path / "new" / "data.h5", "--n-individuals", "10", "--block-size", "4")
    assert (finished.returncode, finished.stdout) == (0, "")
    first, *steps, last = map(json.loads, finished.stderr.splitlines())
    assert first["facts"]["versions"].keys() == {"R", "AlphaSimR", "hdf5r"}
    assert steps == [{"stage": "simulate", "done": done, "total": 8} for done in range(1, 9)]
    assert last["facts"]["peak_memory_mb"] > 10
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["data.h5"]


def test_overwrite(simulate: Simulate, tmp_path: Path) -> None:
    (tmp_path / "data.h5").write_text("old")
    flags = SMALL["one pair"]
    assert rscript(SCRIPT, *flags.split(), "--out", tmp_path / "data.h5", "--overwrite").returncode == 0
    assert (tmp_path / "data.h5").read_bytes() == simulate(flags).read_bytes()


def test_nothing_is_left_of_a_failure(packages: None, tmp_path: Path) -> None:
    """Two individuals with the same two alleles."""
    flags = "--n-individuals 2 --n-loci 2 --n-qtl 2 --rel-aa 1 --seed 8"
    failed = rscript(SCRIPT, *flags.split(), "--out", tmp_path / "data.h5")
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1] == "Error: trait 1: its effects make no genetic variance in these individuals"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("send", "number", "code"),
    [(os.kill, signal.SIGTERM, -15), (os.kill, signal.SIGKILL, -9), (os.killpg, signal.SIGTERM, -15), (os.killpg, signal.SIGINT, 130)],
)
def test_nothing_is_left_of_a_kill(packages: None, tmp_path: Path, send: Callable[[int, int], None], number: int, code: int) -> None:
    words = ["Rscript", "--vanilla", str(SCRIPT), *LONG.split(), "--out", str(tmp_path / "data.h5")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "done" in line)
        assert list(tmp_path.iterdir())
        send(process.pid, number)
        process.stderr.read()  # to its end: the folder's guard holds it too
    assert process.returncode == code
    assert not list(tmp_path.iterdir())


def test_genetic_values_of_other_effects_are_refused() -> None:
    """As AlphaSimR 2.0 and 2.1 make them; here trait 2 has trait 1's values."""
    check = "source('{}'); g <- matrix(c(1, -1, 2, 0, 1, 1, -1, -1), 4); check_explained(g{}, g, '2.1.0')"
    assert rscript("-e", check.format(SCRIPT.with_name("traits.R"), " + 1e-12")).returncode == 0
    refused = rscript("-e", check.format(SCRIPT.with_name("traits.R"), "[, c(1, 1)]"))
    assert refused.returncode == 1
    found = "trait 2: AlphaSimR 2.1.0 gives genetic values that its effects do not explain (correlation -0.4472, largest difference 3"
    assert found in " ".join(refused.stderr.split())
