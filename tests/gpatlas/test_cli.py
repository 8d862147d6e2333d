"""gpatlas.cli: flags and settings say the same, a file is whole or absent, and nothing heavy is loaded before it is needed."""

import io
import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import pytest
from threadpoolctl import threadpool_info

from gpatlas import __version__
from gpatlas.cli import main
from gpatlas.models.registry import further_tables
from gpatlas.progress import Progress
from gpatlas.settings import Settings, build
from gpatlas.stages import STAGES, Stage

ROOT = Path(__file__).parents[2]
TINY = ["--n-individuals", "10", "--n-loci", "4", "--n-qtl", "4", "--rel-aa", "1"]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def command(*arguments: str | Path) -> int:
    """The exit code of a command line, run in this process."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return code


class Spy:
    """Stands for every stage's function."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.source: Path | None = None
        self.aside: Path | None = None
        self.siblings: list[str] = []  # files that it writes beside its output, each holding its own name
        self.fault: BaseException | None = None
        self.environment: dict[str, str] = {}

    def __call__(self, settings: Settings, source: Path | None, out: Path, progress: Progress) -> None:
        self.settings, self.source, self.aside = settings, source, out
        self.environment = dict(os.environ)
        out.write_text("half of it")
        for name in self.siblings:
            out.with_name(name).write_text(name)
        if self.fault:
            raise self.fault
        out.write_text("new")


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    double = Spy()
    monkeypatch.setattr(Stage, "load", lambda stage: double)
    for variable in THREAD_VARIABLES:
        monkeypatch.setenv(variable, "7")  # and so put back afterwards
    monkeypatch.delenv("GPATLAS_TRACEBACK", raising=False)
    return double


def source_flags(stage: Stage, folder: Path) -> list[str]:
    """The flag that names the source, where the stage has one, and a file for it."""
    if stage.source is None:
        return []
    (folder / "source").write_text("")
    return [f"--{stage.source}", str(folder / "source")]


# Flags


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_help_lists_every_setting(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(stage.name, "--help") == 0
    text = capsys.readouterr().out
    listed = re.findall(r"^  (--[a-z0-9-]+)", text, re.MULTILINE)
    fields = ["--" + name.replace("_", "-") for name in stage.settings.model_fields]
    assert listed == [*([f"--{stage.source}"] if stage.source else []), "--out", "--overwrite", *fields, "--help"]
    words = " ".join(text.split())
    for field in stage.settings.model_fields.values():
        assert " ".join((field.description or "?").split()) in words


def test_help_lists_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--help") == 0
    text = capsys.readouterr().out
    _, _, commands = text.partition("Commands:\n")
    assert re.findall(r"^  ([a-z][a-z-]+) ", commands, re.MULTILINE) == sorted([*STAGES, "new-config"])


def test_help_tells_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    command("fit-mlp", "--help")
    words = " ".join(capsys.readouterr().out.split())
    for default in ("4096", "0.01", "1e-05", "paper", "auto", "10", "0.5,0.1,0.05,0.01,0.005,0.001,0.0001"):
        assert f"[default {default}]" in words
    command("simulate", "--help")
    words = " ".join(capsys.readouterr().out.split())
    assert "[default 0,0.1,0.5,1,3]" in words
    command("import-alphasimr", "--help")
    assert "[required]" in capsys.readouterr().out


ROUND_TRIPS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in STAGES if name not in ("figure", "subsample") and not name.startswith("import-")),
    ("subsample", {"trait": "plant height"}),
    ("subsample", {"trait": "1", "n_individuals": 100, "seed": 7}),
    ("simulate", {"n_individuals": 12345, "n_loci": 99, "n_qtl": 12, "h2": 0.1 + 0.2, "seed": 2**40, "block_size": 7}),
    ("simulate", {"rel_aa": (1e-05, 0.1, 3.0), "h2": 1.0, "seed": 0}),
    ("simulate", {"rel_aa": (1.0,), "n_traits": 10, "genetic_correlation": -0.05}),
    ("simulate", {"rel_aa": (1 / 3,), "n_traits": 10, "independent": True}),
    ("import-alphasimr", {"scenario": "qhaplo_46qtl_1000n_rep1"}),
    ("import-alphasimr", {"scenario": "a b", "rel_aa": (0.0, 1e-05), "n_loci": 5, "h2": 0.5, "allow_unexplained": True}),
    *((f"import-{kind}", {"phenotypes": Path(__file__)}) for kind in ("plink", "vcf", "table")),
    ("import-plink", {"phenotypes": Path(__file__), "traits": ("E1", "plant height"), "min_maf": 0.05, "max_missing": 0.2}),
    ("import-table", {"phenotypes": Path(__file__), "covariates": Path(__file__), "id_column": "line", "orientation": "loci"}),
    ("fit-ridge", {"protocol": "holdout", "seed": 3, "threads": 2, "n_splits": 4, "log10_penalty_min": -7.5, "log10_penalty_max": -1.0}),
    ("fit-egblup", {"epistatic_weights": (0.0, 1e-05, 0.95), "n_penalties": 4, "threads": 2}),
    ("fit-pairwise", {"thresholds": (1.25, 1e-05), "n_inner_folds": 3, "max_scan_individuals": 7, "max_loci_per_individual": 0.0}),
    ("fit-mlp", {"learning_rate": 1e-05, "weight_decay": 1e-300, "hidden_size": 3, "device": "cpu", "min_delta": 0.0, "threads": 1}),
    ("fit-mlp", {"tune": True, "n_trials": 3, "learning_rates": (0.25, 1e-05), "reuse_trials": True, "prune_trials": True}),
    ("fit-pruned", {"min_columns": 1, "max_columns": 7, "n_trials": 1, "learning_rates": (0.1,), "reuse_trials": True}),
    ("fit-pruned", {"lasso_penalty": 0.0, "lasso_learning_rate": 1e-05, "lasso_epochs": 3, "lasso_patience": 2, "min_importance": 0.0}),
    ("fit-linear-sgd", {"penalty": 0.0, "learning_rate": 12345678.9, "batch_size": 2, "epochs": 1, "patience": 1, "protocol": "holdout"}),
    ("figure", {"figure": "1a"}),
    ("figure", {"figure": "accessory_mlp", "dpi": 50}),
    ("figure", {"figure": "2", "further_models": ("egblup",)}),
    ("figure", {"figure": "3", "further_models": ("pairwise", "egblup")}),
]


@pytest.mark.parametrize(("name", "values"), ROUND_TRIPS)
def test_flags_of_a_stage_are_read_back(name: str, values: dict[str, Any], tmp_path: Path, spy: Spy) -> None:
    stage = STAGES[name]
    settings = build(stage.settings, values)
    assert all(getattr(settings, key) == value for key, value in values.items())
    assert command(name, *source_flags(stage, tmp_path), "--out", tmp_path / "out", *stage.flags(settings)) == 0
    assert spy.settings == settings
    assert type(spy.settings) is stage.settings
    assert spy.source == (tmp_path / "source" if stage.source else None)


@pytest.mark.parametrize(
    "name", ["simulate", "fit-ridge", "fit-egblup", "fit-pairwise", "fit-mlp", "fit-pruned", "fit-linear-sgd", "collect"]
)
def test_without_flags_the_defaults_hold(name: str, tmp_path: Path, spy: Spy) -> None:
    assert command(name, *source_flags(STAGES[name], tmp_path), "--out", tmp_path / "out") == 0
    assert spy.settings == STAGES[name].settings()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n-individuals", "many"], "Error: Invalid value for '--n-individuals': 'many' is not a valid integer."),
        (["--h2", "high"], "Error: Invalid value for '--h2': 'high' is not a valid float."),
        (["--rel-aa", "1,x"], "Error: Invalid value for '--rel-aa': '1,x' is not a list of numbers separated by commas"),
        (["--rel-aa", "0,-1"], "Error: --rel-aa: must be greater than or equal to 0, got -1.0"),
        (["--h2", "2"], "Error: --h2: must be less than or equal to 1, got 2.0"),
        (["--n-qtl", "45"], "Error: --n-qtl: must be even where n_pairs is left out (loci are cut into pairs), got 45"),
        (["--n-qtl", "48"], "Error: --n-qtl: must be at most n_loci (46), got 48"),
        (["--n-traits", "3"], "Error: --n-traits: goes with a single rel_aa, got 3 with the rel_aa 0, 0.1, 0.5, 1, 3\n"),
        (["--allele-frequency-shape", "1"], "Error: --allele-frequency-shape: must be two numbers, got 1\n"),
        (
            ["--rel-dd", "0.5"],
            "Error: --rel-dd: goes with diploids (population bc, f2, outbred or ril), got 0.5 with population 'unlinked' of",
        ),
        (["--n-qtls", "4"], "Error: No such option '--n-qtls'"),
        (["--out"], "Error: Option '--out' requires an argument."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_flag_is_named_with_its_value(
    arguments: list[str], message: str, tmp_path: Path, spy: Spy, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("simulate", "--out", tmp_path / "data.h5", *arguments) == 2
    assert message in capsys.readouterr().err
    assert spy.settings is None
    assert list(tmp_path.iterdir()) == []


def test_every_wrong_flag_is_told_at_once(tmp_path: Path, spy: Spy, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("simulate", "--out", tmp_path / "data.h5", "--h2", "2", "--seed", "-1") == 2
    error = capsys.readouterr().err
    assert "--h2: must be less than or equal to 1, got 2.0" in error
    assert "--seed: must be greater than or equal to 0, got -1" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulate"], "Missing option '--out'"),
        (["fit-mlp", "--out", "x"], "Missing option '--data'"),
        (["fit-mlp", "--data", "nowhere.h5", "--out", "x"], "'nowhere.h5' does not exist"),
        (["fit-mpl"], "No such command 'fit-mpl'"),
        (["fit-mlp", "--device", "gpu"], "'gpu' is not one of 'auto', 'cpu', 'cuda'"),
    ],
)
def test_wrong_command_line_exits_with_2(arguments: list[str], message: str, spy: Spy, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*arguments) == 2
    assert message in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--version") == 0
    assert capsys.readouterr().out == f"gpatlas, version {__version__}\n"


# The file


def test_existing_file_is_not_overwritten(tmp_path: Path, spy: Spy, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "data.h5"
    out.write_text("old")
    assert command("simulate", "--out", out) == 1
    assert capsys.readouterr().err == f"Error: {out} exists already: name another --out, or add --overwrite\n"
    assert out.read_text() == "old"
    assert spy.settings is None
    assert command("simulate", "--out", out, "--overwrite") == 0
    assert out.read_text() == "new"
    assert list(tmp_path.iterdir()) == [out]


def test_stage_writes_aside(tmp_path: Path, spy: Spy) -> None:
    out = tmp_path / "deep" / "er" / "figure.png"
    assert command("simulate", "--out", out) == 0
    assert spy.aside is not None
    # In a hidden folder beside it, so on the same disk; under its own name, for matplotlib goes by the suffix.
    assert (spy.aside.parent.parent, spy.aside.name) == (out.parent, "figure.png")
    assert spy.aside.parent.name.startswith(".figure.png.")
    assert list(out.parent.iterdir()) == [out]


SIBLINGS = ["a.csv", "table.trials.csv", "z.csv"]  # before and after table.csv in the alphabet


def test_what_a_stage_writes_beside_its_file_comes_along(tmp_path: Path, spy: Spy) -> None:
    out = tmp_path / "table.csv"
    (tmp_path / "other.csv").write_text("untouched")
    spy.siblings = SIBLINGS
    assert command("simulate", "--out", out) == 0
    files = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert files == {"table.csv": "new", "other.csv": "untouched", **{name: name for name in SIBLINGS}}


@pytest.mark.parametrize("blocked", SIBLINGS)
def test_the_file_comes_after_what_stands_beside_it(blocked: str, tmp_path: Path, spy: Spy) -> None:
    """Whichever sibling cannot be moved, for a folder is in its place: the file itself is not there."""
    (tmp_path / blocked / "full").mkdir(parents=True)
    spy.siblings = SIBLINGS
    assert command("simulate", "--out", tmp_path / "table.csv", "--overwrite") == 1
    assert not (tmp_path / "table.csv").exists()
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("name", sorted(further_tables()))
def test_a_table_beside_an_earlier_file_is_not_overwritten(name: str, tmp_path: Path, spy: Spy, capsys: pytest.CaptureFixture[str]) -> None:
    there, fit = tmp_path / f"table.{name}.csv", ["fit-mlp", *source_flags(STAGES["fit-mlp"], tmp_path), "--out", tmp_path / "table.csv"]
    there.write_text("old")
    assert command(*fit) == 1
    assert capsys.readouterr().err == f"Error: {there} exists already: name another --out, or add --overwrite\n"
    assert spy.settings is None
    spy.fault = ValueError("no good")
    assert command(*fit, "--overwrite") == 1
    assert there.read_text() == "old"


def test_a_file_that_no_one_foresaw_is_refused_before_anything_is_replaced(
    tmp_path: Path, spy: Spy, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "z.csv").write_text("old")
    spy.siblings = SIBLINGS
    assert command("simulate", "--out", tmp_path / "table.csv") == 1
    assert f"Error: {tmp_path / 'z.csv'} exists already" in capsys.readouterr().err
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"z.csv": "old"}
    assert command("simulate", "--out", tmp_path / "table.csv", "--overwrite") == 0
    assert (tmp_path / "z.csv").read_text() == "z.csv"


def test_tables_of_an_earlier_run_go_with_it(tmp_path: Path, spy: Spy) -> None:
    """What the new run writes is new, what it does not write is gone; other files stay."""
    for name in ("table.csv", "table.pairs.csv", "table.trials.csv", "table.notes.csv", "other.pairs.csv"):
        (tmp_path / name).write_text("old")
    spy.siblings = ["table.trials.csv"]
    assert command("fit-mlp", *source_flags(STAGES["fit-mlp"], tmp_path), "--out", tmp_path / "table.csv", "--overwrite") == 0
    files = {path.name: path.read_text() for path in tmp_path.glob("*.csv")}
    assert files == {"table.csv": "new", "table.trials.csv": "table.trials.csv", "table.notes.csv": "old", "other.pairs.csv": "old"}


def test_file_has_the_usual_mode(tmp_path: Path, spy: Spy) -> None:
    before = os.umask(0o027)
    try:
        assert command("simulate", "--out", tmp_path / "data.h5") == 0
    finally:
        os.umask(before)
    assert (tmp_path / "data.h5").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("fault", [ValueError("no good"), FileNotFoundError("no such table")], ids=["value", "missing file"])
@pytest.mark.parametrize("old", [None, "old"])
def test_failed_stage_leaves_no_file(
    fault: Exception, old: str | None, tmp_path: Path, spy: Spy, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data.h5"
    if old:
        out.write_text(old)
    spy.siblings, spy.fault = SIBLINGS, fault
    assert command("simulate", "--out", out, "--overwrite") == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"Error: {fault}"
    assert [path.read_text() for path in tmp_path.iterdir()] == ([old] if old else [])


@pytest.mark.parametrize("fault", [RuntimeError, MemoryError])
def test_unforeseen_fault_leaves_no_file_and_is_not_hidden(fault: type[Exception], tmp_path: Path, spy: Spy) -> None:
    spy.siblings, spy.fault = SIBLINGS, fault("unforeseen")
    with pytest.raises(fault, match="unforeseen"):
        main(["simulate", "--out", str(tmp_path / "data.h5")])
    assert list(tmp_path.iterdir()) == []


def test_interrupted_stage_leaves_no_file(tmp_path: Path, spy: Spy) -> None:
    spy.siblings, spy.fault = SIBLINGS, KeyboardInterrupt()
    assert command("simulate", "--out", tmp_path / "data.h5") == 1
    assert list(tmp_path.iterdir()) == []


def test_traceback_on_demand(tmp_path: Path, spy: Spy, monkeypatch: pytest.MonkeyPatch) -> None:
    spy.fault = ValueError("no good")
    monkeypatch.setenv("GPATLAS_TRACEBACK", "1")
    with pytest.raises(ValueError, match="no good"):
        main(["simulate", "--out", str(tmp_path / "data.h5")])
    assert list(tmp_path.iterdir()) == []


def test_broken_dataset_is_one_line_of_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data.h5"
    data.write_text("not a dataset")
    assert command("fit-ridge", "--data", data, "--out", tmp_path / "table.csv") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"Error: {data}: not a readable HDF5 file (")
    assert list(tmp_path.iterdir()) == [data]


def test_threads_are_set_before_the_stage_is_loaded(tmp_path: Path, spy: Spy) -> None:
    arguments = ["fit-ridge", *source_flags(STAGES["fit-ridge"], tmp_path), "--overwrite", "--out", str(tmp_path / "table.csv")]
    assert command(*arguments) == 0
    assert [spy.environment[variable] for variable in THREAD_VARIABLES] == ["7"] * 3
    assert command(*arguments, "--threads", "3") == 0
    assert [spy.environment[variable] for variable in THREAD_VARIABLES] == ["3"] * 3


def test_libraries_that_are_loaded_are_told_their_threads_and_then_have_those_they_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    told: list[int] = []
    monkeypatch.setattr(Stage, "load", lambda stage: lambda *_: told.extend(loaded()))
    for variable in THREAD_VARIABLES:
        monkeypatch.setenv(variable, "7")  # and so put back afterwards
    before = loaded()
    arguments = ["fit-ridge", *source_flags(STAGES["fit-ridge"], tmp_path), "--out", str(tmp_path / "table.csv")]
    assert command(*arguments, "--threads", "3") == 0
    assert told == [3] * len(before) != []
    assert loaded() == before


# Progress


def test_progress_is_a_line_of_json_a_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("simulate", "--out", tmp_path / "data.h5", *TINY, "--block-size", "3") == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    first, *steps, last = [json.loads(line) for line in captured.err.splitlines()]
    assert first.keys() == {"stage", "facts"}
    assert first["facts"]["versions"] == {"gpatlas": __version__, **{name: version(name) for name in ("h5py", "numpy", "scipy")}}
    assert steps == [{"stage": "simulate", "done": done, "total": 10} for done in (3, 6, 9, 10)]
    assert last["facts"]["peak_memory_mb"] > 10
    with h5py.File(tmp_path / "data.h5") as file:
        assert file["phenotypes"].shape == (10, 1)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_at_a_terminal() -> None:
    stream = Terminal()
    progress = Progress("fit-mlp", stream)
    progress.report(device="cpu")
    progress(1, 2, loss=0.123456)
    progress(2, 2, loss=0.1)
    first, second = stream.getvalue().split("\r")[1:]
    assert first.endswith(f"fit-mlp [{'#' * 15}{'-' * 15}] 1/2  loss 0.1235")
    assert second.endswith(f"fit-mlp [{'#' * 30}] 2/2  loss 0.1\n")


# What is loaded, in a process of its own

HEAVY = ("h5py", "luigi", "matplotlib", "numpy", "optuna", "pandas", "scipy", "sklearn", "torch")


def loaded(code: str, *arguments: str | Path) -> set[str]:
    """Which of HEAVY a new Python has loaded after `code`, told by the last line it prints."""
    script = f"import atexit, sys\natexit.register(lambda: print(*(name for name in {HEAVY} if name in sys.modules)))\n{code}"
    done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "modules", ["gpatlas", "gpatlas.cli", "gpatlas.settings, gpatlas.stages, gpatlas.data.sources, gpatlas.data.text_tables"]
)
def test_what_the_driver_and_the_command_line_import_is_light(modules: str) -> None:
    assert loaded(f"import {modules}") == set()


def test_help_loads_nothing_heavy() -> None:
    assert loaded("import sys; print(); from gpatlas.cli import main; main()", "fit-mlp", "--help") == set()


def test_simulate_and_ridge_load_only_what_they_need(tmp_path: Path) -> None:
    run = "from gpatlas.cli import main; main()"
    data = tmp_path / "data.h5"
    assert loaded(run, "simulate", "--out", data, *TINY) == {"h5py", "numpy"}
    assert data.exists()
    fit: list[str | Path] = ["--data", data, "--out", tmp_path / "table.csv", "--n-splits", "2", "--n-penalties", "3", "--threads", "1"]
    assert loaded(run, "fit-ridge", *fit) == {"h5py", "numpy"}
    assert (tmp_path / "table.csv").exists()


def test_a_network_that_is_not_tuned_does_without_optuna(tmp_path: Path) -> None:
    data, run = tmp_path / "data.h5", "from gpatlas.cli import main; main()"
    assert command("simulate", "--out", data, *TINY, "--n-individuals", "40") == 0
    fit: list[str | Path] = ["--data", data, "--out", tmp_path / "table.csv", "--hidden-size", "4", "--epochs", "1", "--threads", "1"]
    assert loaded(run, "fit-mlp", *fit) == {"h5py", "numpy", "torch"}
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["data.h5", "table.csv"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["simulate", *TINY, "--out", "data.h5"], 0, ""),
        (["simulate", *TINY, "--out", "there.h5"], 1, "there.h5 exists already"),
        (["simulate", "--h2", "0"], 2, "Missing option '--out'"),
    ],
)
def test_exit_codes_of_the_module(arguments: list[str], code: int, message: str, tmp_path: Path) -> None:
    (tmp_path / "there.h5").write_text("")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "gpatlas", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
