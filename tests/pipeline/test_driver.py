"""The driver, run as a person runs it: what it makes, what it reuses, what it says, and what it survives."""

import base64
import hashlib
import json
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from crates import Crate
from damage import flip_a_bit
from drivers import (
    ENVIRONMENT,
    LOCAL,
    PROJECT,
    RIDGE_STUDY,
    SLOW_STUDY,
    entries,
    processes,
    run,
    start,
    table,
    undisturbed_table,
    wait_for,
    write_study,
)
from explained import named_on_page, unexplained
from luigi.rpc import RemoteScheduler
from PIL import Image

from gpatlas.report.run_record import RunRecord
from gpatlas.settings import build
from pipeline import RunAll

FIGURES = ["1a", "1b", "accessory_mlp", "accessory_linear", "s1", "2", "3", "4", "5"]
TEST_CONFIG = PROJECT / "configs" / "test.yaml"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Results of configs/test.yaml, and what the run printed."""
    results = tmp_path_factory.mktemp("test")
    code, output = run(TEST_CONFIG, results)
    assert code == 0, output
    return results, output


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of the ridge study, from a run that nothing happened to."""
    return undisturbed_table(tmp_path_factory.mktemp("undisturbed"), RIDGE_STUDY)


def test_a_run_publishes_what_it_says(finished: tuple[Path, str]) -> None:
    results, output = finished
    for name in (
        "results.csv",
        *(f"figures/figure_{figure}.png" for figure in FIGURES),
        "run.json",
        "config.yaml",
        "ro-crate-metadata.json",
        "report.html",
    ):
        assert (results / "test" / name).is_file()
        assert str(results / "test" / name) in output
    assert output.splitlines()[-1] == str(results / "test" / "report.html")
    assert "[49/49]" in output
    assert "luigi" not in output.lower().replace("luigi's log", "").replace("luigi.log", "")
    assert "Done scheduling tasks" in (results / "test" / "luigi.log").read_text()


def test_the_table_has_a_row_per_scenario_model_and_trait(finished: tuple[Path, str]) -> None:
    published = table(finished[0], "test")
    assert list(published.columns[:5]) == ["experiment", "scenario", "replicate", "model", "trait"]
    further = {"scaling": {"linear_sgd"}, "dilution": {"lasso", "pruned_linear", "pruned_mlp"}}
    for experiment, traits in (("scaling", [1, 2]), ("dilution", [1, 2]), ("pleiotropy", [1, 2, 3]), ("limits", [1, 2])):
        rows = published[published["experiment"] == experiment]
        assert all(list(found) == traits for _, found in rows.groupby(["scenario", "model"])["trait"])
        assert set(rows["model"]) == {"ridge", "egblup", "mlp", "pairwise"} | further.get(experiment, set())
    assert sorted(published.loc[published["experiment"] == "scaling", "n_qtl"].unique()) == [16, 30]
    assert published.loc[published["rel_aa"] == 0, "v_a_over_v_g"].eq(1).all()
    assert published.query("model == 'ridge' and rel_aa == 0 and h2 > 0.99")["pearson_r"].gt(0.99).all()


def test_tables_beside_a_result_are_kept(finished: tuple[Path, str]) -> None:
    (folder,) = (finished[0] / "store" / "dilution" / "qhaplo_10qtl_40marker_300n_rep1").glob("pruned-*")
    columns, published = pd.read_csv(folder / "table.columns.csv"), table(finished[0], "test")
    assert len(pd.read_csv(folder / "table.trials.csv")) == 3
    assert published.loc[published["model"] == "pruned_mlp", "n_columns"].eq(len(columns)).all()


def test_figures_are_sharp(finished: tuple[Path, str]) -> None:
    for figure in FIGURES:
        with Image.open(finished[0] / "test" / "figures" / f"figure_{figure}.png") as image:
            assert image.info["dpi"][0] >= 149


def reported(results: Path, study: str = "test") -> RunRecord:
    """What the driver told the report that it published last."""
    key = json.loads((results / study / "run.json").read_text())["published"]["report.html"]["key"]
    return build(RunRecord, json.loads((results / "store" / "collected" / study / f"report-{key}" / "run.json").read_text()))


def test_the_report_holds_every_figure_and_what_the_run_was(finished: tuple[Path, str]) -> None:
    results, record = finished[0], reported(finished[0])
    page = (results / "test" / "report.html").read_text()
    for figure in FIGURES:
        png = (results / "test" / "figures" / f"figure_{figure}.png").read_bytes()
        assert f"data:image/png;base64,{base64.b64encode(png).decode()}" in page
    assert record.command in page
    assert "0 reused" in page
    assert (len(record.stages), {stage.session for stage in record.stages}) == (48, {record.session})
    assert record.content == yaml.safe_load(TEST_CONFIG.read_text())
    assert all(stage.peak_memory_mb and stage.wall_seconds and stage.versions["gpatlas"] for stage in record.stages)


def test_provenance_tells_how_to_repeat_a_stage(finished: tuple[Path, str], tmp_path: Path) -> None:
    (folder,) = (finished[0] / "store" / "scaling" / "qhaplo_16qtl_200n_rep1").glob("ridge-*")
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["settings"]["protocol"] == "holdout"
    assert provenance["exit_code"] == 0
    assert provenance["wall_seconds"] > 0
    assert provenance["peak_memory_mb"] > 10
    assert set(provenance["versions"]) == {"gpatlas", "h5py", "numpy"}
    assert folder.name == f"ridge-{provenance['key']}"
    assert list(provenance["ingredients"]["inputs"]) == ["data"]
    subprocess.run(shlex.split(provenance["command"]), cwd=tmp_path, env=ENVIRONMENT, check=True, capture_output=True)
    repeated, original = pd.read_csv(tmp_path / "table.csv"), pd.read_csv(folder / "table.csv")
    pd.testing.assert_frame_equal(repeated.drop(columns="seconds"), original.drop(columns="seconds"))


def test_the_pages_explain_every_file_key_and_column(finished: tuple[Path, str]) -> None:
    published, store = finished[0] / "test", finished[0] / "store"
    files = {str(path.relative_to(published)) for path in published.rglob("*") if path.is_file()}
    assert {re.sub(r"figure_\w+", "figure_*", name) for name in files} <= named_on_page("files.md", "What a run publishes")
    assert set(json.loads((published / "run.json").read_text())) == named_on_page("files.md", "run.json")
    left = {path for path in store.rglob("*.*") if path.is_file() and not path.name.startswith(".")}
    assert {re.sub(r"^table\.\w+\.csv", "table.<name>.csv", path.name) for path in left} <= named_on_page("files.md", "What a stage leaves")
    keys = {key for path in left if path.name == "provenance.json" for key in json.loads(path.read_text())}
    elsewhere = {"report", "h2", "h2_source", "warning", "slurm", "fault"}  # of imports, clusters, and what went wrong
    assert keys - elsewhere == named_on_page("files.md", "provenance.json") - elsewhere
    assert not unexplained("results", published / "results.csv")
    assert not [path for path in left if path.match("table.*.csv") and unexplained(path.name.split(".")[1], path)]


def test_the_published_folder_is_a_valid_run_crate(finished: tuple[Path, str], faults_of_crate: Callable[[Path], str]) -> None:
    assert faults_of_crate(finished[0] / "test") == ""


def test_the_validator_finds_faults(finished: tuple[Path, str], tmp_path: Path, faults_of_crate: Callable[[Path], str]) -> None:
    crate = shutil.copytree(finished[0] / "test", tmp_path / "crate")
    (crate / "figures" / "figure_1b.png").unlink()
    metadata = json.loads((crate / "ro-crate-metadata.json").read_text())
    action = next(item for item in metadata["@graph"] if item.get("name") == "scaling/qhaplo_16qtl_200n_rep1 ridge")
    del action["instrument"]
    (crate / "ro-crate-metadata.json").write_text(json.dumps(metadata))
    faults = faults_of_crate(crate)
    assert "figures/figure_1b.png" in faults
    assert "instrument" in faults


def test_the_crate_tells_what_was_made_of_what(finished: tuple[Path, str]) -> None:
    results, crate = finished[0], Crate(finished[0] / "test")
    labels = {stage["stage"] for stage in json.loads((results / "test" / "run.json").read_text())["stages"]}
    assert set(crate.actions) == labels | {"Run of the study test"}
    for item in (item for item in crate.items.values() if item["@type"] == "File" and "sha256" in item and "text" not in item):
        content = (results / item["alternateName"]).read_bytes()
        assert (item["contentSize"], item["sha256"]) == (str(len(content)), hashlib.sha256(content).hexdigest())
    published = json.loads((results / "test" / "run.json").read_text())["published"]
    assert {part["@id"] for part in crate.items["./"]["hasPart"]} == published.keys() - {"ro-crate-metadata.json"}
    assert yaml.safe_load((results / "test" / "config.yaml").read_text()) == yaml.safe_load(TEST_CONFIG.read_text())
    fit = crate.actions["scaling/qhaplo_16qtl_200n_rep1 ridge"]
    (tool,) = crate.of(fit, "instrument")
    provenance = json.loads((results / fit["@id"].removeprefix("#") / "provenance.json").read_text())
    versions = {item["name"]: item["softwareVersion"] for item in crate.of(tool, "softwareRequirements")}
    assert versions | {"gpatlas": tool["softwareVersion"]} == provenance["versions"] | {"python": provenance["python"]}
    assert fit["startTime"] == provenance["started"]


def test_no_place_of_the_machine_is_in_the_crate(finished: tuple[Path, str]) -> None:
    folder = finished[0] / "test"
    texts = [(folder / name).read_text() for name in ("ro-crate-metadata.json", "config.yaml")]
    assert not [place for place in (finished[0], PROJECT, sys.prefix, Path.home()) for text in texts if f"{place}/" in text]


@pytest.mark.parametrize("stage", ["scaling/qhaplo_16qtl_200n_rep1 ridge", "collected/test figure_1b"])
def test_a_stage_can_be_repeated_from_the_crate_alone(finished: tuple[Path, str], tmp_path: Path, stage: str) -> None:
    (name, made), *_ = Crate(shutil.copytree(finished[0] / "test", tmp_path / "crate")).repeat(stage, tmp_path / "empty").items()
    if name.endswith(".png"):
        assert made.read_bytes() == (finished[0] / "test" / name).read_bytes()
    else:
        original = pd.read_csv(finished[0] / name.removeprefix("#"))
        pd.testing.assert_frame_equal(pd.read_csv(made).drop(columns="seconds"), original.drop(columns="seconds"))


def test_a_second_run_executes_nothing(finished: tuple[Path, str]) -> None:
    before = entries(finished[0])
    code, output = run(TEST_CONFIG, finished[0])
    assert code == 0
    assert output.startswith("nothing to do: all 49 stages are done")
    assert entries(finished[0]) == before


def test_a_changed_setting_reruns_what_follows_from_it(finished: tuple[Path, str], tmp_path: Path) -> None:
    results, flags, study = finished[0], (*LOCAL, "--experiments", "pleiotropy"), "test-pleiotropy"
    code, output = run(TEST_CONFIG, results, *flags)
    assert code == 0, output
    assert "[3/3]" in output, "the fits are those of the whole study"
    before = entries(results)
    last = 'egblup: {n_penalties: 20}\n    figures: ["3"]'
    assert last in TEST_CONFIG.read_text()
    (tmp_path / "test.yaml").write_text(TEST_CONFIG.read_text().replace(last, last.replace("20", "21")))
    _, plan = run(tmp_path / "test.yaml", results, *flags, task="Plan")
    assert re.search(r"13 stages: 8 done, 5 to do", plan)
    shutil.rmtree(results / study)  # another config file of that name is refused
    code, output = run(tmp_path / "test.yaml", results, *flags)
    assert code == 0, output
    assert output.count("(again: n_penalties 20 → 21)") == 2
    assert "results  " in output
    new = {re.sub(r"-[0-9a-f]{12}$", "", name.removeprefix("store/")) for name in entries(results).keys() - before.keys()}
    scenarios = {f"pleiotropy/qhaplo_10qtl_200n_{correlation}pleio_3trait_rep1" for correlation in ("0", "0.5")}
    assert new == {f"{scenario}/egblup" for scenario in scenarios} | {
        f"collected/{study}/{name}" for name in ("results", "figure_3", "report")
    }
    assert {name: time for name, time in entries(results).items() if name in before} == before
    record = reported(results, study)
    again = [stage.name for stage in record.stages if stage.session == record.session]
    assert sorted(again) == ["egblup", "egblup", "figure_3", "results"]


def test_a_damaged_result_is_made_again(tmp_path: Path, undisturbed: pd.DataFrame) -> None:
    config = write_study(tmp_path / "study.yaml", RIDGE_STUDY)
    assert run(config, tmp_path / "results")[0] == 0
    (damaged,) = (tmp_path / "results" / "store" / "scaling" / "qhaplo_10qtl_200n_rep1").glob("ridge-*/table.csv")
    damaged.unlink()
    (tmp_path / "results" / "study" / "results.csv").unlink()
    (collected,) = (tmp_path / "results" / "store" / "collected" / "study").glob("results-*/table.csv")
    collected.unlink()
    code, output = run(config, tmp_path / "results")
    assert code == 0, output
    assert "qhaplo_10qtl_200n_rep1 ridge" in output
    assert "(again: table.csv is gone)" in output
    pd.testing.assert_frame_equal(table(tmp_path / "results", "study"), undisturbed)


@pytest.mark.parametrize("finished_stages", [0, 2, 4])
def test_a_killed_driver_leaves_nothing_behind_and_a_rerun_ends_the_same(
    tmp_path: Path, undisturbed: pd.DataFrame, finished_stages: int
) -> None:
    config, results = write_study(tmp_path / "study.yaml", RIDGE_STUDY), tmp_path / "results"
    driver = start(config, results, *LOCAL)
    assert driver.stdout is not None
    for _ in range(finished_stages + 1):  # the first line says what is to do
        assert driver.stdout.readline()
    if finished_stages < 4:
        wait_for(lambda: processes("gpatlas", str(results)))
    driver.kill()
    driver.wait()
    wait_for(lambda: not processes(str(results)))
    code, output = run(config, results)
    assert code == 0, output
    pd.testing.assert_frame_equal(table(results, "study"), undisturbed)
    assert not [name for name in entries(results) if name.endswith((".part", ".failed"))]


def test_a_killed_stage_is_run_again(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    config, results = write_study(tmp_path / "study.yaml", SLOW_STUDY), tmp_path / "results"
    driver = start(config, results, *LOCAL)
    stage, *_ = wait_for(lambda: processes("fit-ridge", str(results)))
    os.kill(stage, signal.SIGKILL)
    output, _ = driver.communicate(timeout=600)
    assert driver.returncode == 0, output
    assert "ridge: was killed by signal 9" in output
    undisturbed = undisturbed_table(tmp_path_factory.mktemp("undisturbed"), SLOW_STUDY)
    pd.testing.assert_frame_equal(table(results, "study"), undisturbed)


@pytest.mark.parametrize(("number", "send"), [(signal.SIGHUP, os.kill), (signal.SIGTERM, os.killpg), (signal.SIGINT, os.killpg)])
def test_signals_stop_everything(tmp_path: Path, number: signal.Signals, send: Callable[[int, int], None]) -> None:
    """To the driver alone, and, as `timeout` and Ctrl-C in a terminal send them, to the processes of its tasks too."""
    config, results = write_study(tmp_path / "study.yaml", SLOW_STUDY), tmp_path / "results"
    driver = start(config, results, *LOCAL, start_new_session=True)
    wait_for(lambda: processes("fit-ridge", str(results)))
    send(driver.pid, number)
    output, _ = driver.communicate(timeout=600)
    assert driver.returncode == 130, output
    first, *finished, last = output.splitlines()
    assert first.startswith(f"{config}: ")
    assert all(line.startswith("[") for line in finished), output
    assert last == "interrupted; what was finished is kept, and the same command goes on from there"
    assert not processes("gpatlas", str(results))


def test_what_a_run_is_told_to_ignore_does_not_stop_it(tmp_path: Path) -> None:
    config, results = write_study(tmp_path / "study.yaml", SLOW_STUDY), tmp_path / "results"
    driver = start(config, results, *LOCAL, before=["nohup"])
    wait_for(lambda: processes("fit-ridge", str(results)))
    driver.send_signal(signal.SIGHUP)
    output, _ = driver.communicate(timeout=600)
    assert driver.returncode == 0, output


def test_a_failed_stage_is_explained_and_others_still_run(tmp_path: Path, undisturbed: pd.DataFrame) -> None:
    source = tmp_path / "texts"
    _make_texts(source, ["qhaplo_46qtl_1000n_rep1", "qhaplo_46qtl_1000n_rep2"])
    phenotypes = source / "qhaplo_46qtl_1000n_rep1_p.txt"
    intact = phenotypes.read_text()
    lines = intact.splitlines()
    lines[7] = "7 NA " + lines[7].split(" ", 2)[2]
    phenotypes.write_text("\n".join(lines) + "\n")
    study = {
        "simulator": "import",
        "source": "texts",
        "experiments": {
            "scaling": {
                "scenario": "qhaplo_{n_qtl}qtl_{n_individuals}n_rep{replicate}",
                "grid": [{"n_individuals": 1000, "n_qtl": 46, "replicates": 2}],
                "models": {"ridge": None},
            }
        },
    }
    config, results = write_study(tmp_path / "study.yaml", study), tmp_path / "results"
    code, output = run(config, results)
    assert code == 1
    assert "FAILED scaling/qhaplo_46qtl_1000n_rep1 import-alphasimr: ended with exit code 1" in output
    assert output.count("FAILED") == 1
    assert re.search(r"Error: .*qhaplo_46qtl_1000n_rep1_p\.txt.* line 8.*missing", output)
    assert "qhaplo_46qtl_1000n_rep2 ridge" in output
    assert "INCOMPLETE, missing stages: 2" in output
    assert re.search(r"^  scaling/qhaplo_46qtl_1000n_rep1 ridge: reads from .*_rep1 import-alphasimr$", output, re.MULTILINE)
    assert table(results, "study")["replicate"].tolist() == [2] * 5
    (log,) = re.findall(r"^  log: +(\S+)", output, re.MULTILINE)
    assert "missing" in Path(log).read_text()
    (repeat,) = re.findall(r"^  repeat: (.+)", output, re.MULTILINE)
    again = subprocess.run(shlex.split(repeat), cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert again.returncode == 1
    assert "line 8" in again.stderr
    phenotypes.write_text(intact)
    code, output = run(config, results)
    assert code == 0, output
    assert len(table(results, "study")) == 10


def _make_texts(folder: Path, scenarios: list[str]) -> None:
    with tarfile.open(PROJECT / "tests" / "data" / "alphasimr_scaling_input.tar.xz") as archive:
        members = [member for member in archive if member.name.rsplit("_", 1)[0] in scenarios]
        archive.extractall(folder, members, filter="data")


def test_a_wrong_config_ends_before_any_work(tmp_path: Path) -> None:
    config = write_study(tmp_path / "study.yaml", {**RIDGE_STUDY, "protocl": "paper"})
    code, output = run(config, tmp_path / "results")
    assert code == 2
    assert output.startswith(f"{config}: protocl: unknown key, did you mean 'protocol'?")
    assert "Traceback" not in output
    assert not (tmp_path / "results").exists()


def test_names_that_look_like_numbers_reach_the_report(tmp_path: Path) -> None:
    grid, scenarios = [{"n_individuals": 200, "n_qtl": [10, 20]}], {"NA": "{n_qtl}", "1e3": "{n_qtl}e{replicate}"}
    common = {"grid": grid, "models": {"ridge": None}, "figures": ["4"]}
    content = {"experiments": {experiment: {"scenario": scenario, **common} for experiment, scenario in scenarios.items()}}
    code, output = run(write_study(tmp_path / "study.yaml", content), tmp_path / "results")
    assert code == 0, output
    names = pd.read_csv(tmp_path / "results" / "study" / "results.csv", dtype=str, keep_default_na=False)[["experiment", "scenario"]]
    wanted = {(experiment, name.format(n_qtl=n_qtl, replicate=1)) for experiment, name in scenarios.items() for n_qtl in (10, 20)}
    assert set(names.itertuples(index=False, name=None)) == wanted


def test_plan_counts_and_runs_nothing(tmp_path: Path) -> None:
    config = write_study(tmp_path / "study.yaml", RIDGE_STUDY)
    code, output = run(config, tmp_path / "results", task="Plan")
    assert code == 0
    assert f"{config}: 2 scenarios, 6 stages: 0 done, 6 to do" in output
    assert re.search(r"simulate +0 done +2 to do", output)
    assert "scaling/qhaplo_20qtl_200n_rep1  200 20 20; 0/2" in output
    assert re.search(r"disk: 0\.[12] MB for the datasets to make", output)
    assert not (tmp_path / "results").exists()


def test_a_terminal_sees_progress_and_the_time_left(tmp_path: Path) -> None:
    config = write_study(tmp_path / "study.yaml", SLOW_STUDY)
    ours, theirs = pty.openpty()
    driver = start(config, tmp_path / "results", *LOCAL, stdout=theirs, stderr=theirs, text=False, env={**ENVIRONMENT, "TERM": "xterm"})
    os.close(theirs)
    shown = b""
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:  # the terminal's other end is closed
            break
        shown += block
    assert driver.wait() == 0
    text = shown.decode()
    assert re.search(r"stages.* 1/4", text)
    assert "min left" in text
    assert re.search(r"qhaplo_400qtl_3000n_rep1 ridge.* \d+/20", text)


def start_luigid(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """A luigid of our settings that gives a lost driver up after two seconds."""
    config = folder / "luigid.cfg"
    config.write_text(re.sub(r"worker_disconnect_delay = \d+", "worker_disconnect_delay = 2", (PROJECT / "luigi.cfg").read_text()))
    command = [str(Path(sys.executable).with_name("luigid")), "--address", "127.0.0.1", "--port", str(port)]
    environment = {**ENVIRONMENT, "LUIGI_CONFIG_PATH": str(config)}
    server = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: _answers(port))
    return server


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[list[str]]:
    """Yields the flags that lead to a luigid."""
    port = free_port()
    server = start_luigid(tmp_path, port)
    yield ["--scheduler-host", "127.0.0.1", "--scheduler-port", str(port)]
    server.terminate()
    server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_two_drivers_share_the_work(tmp_path: Path, undisturbed: pd.DataFrame, scheduler: list[str]) -> None:
    config, results = write_study(tmp_path / "study.yaml", RIDGE_STUDY), tmp_path / "results"
    drivers = [start(config, results, *scheduler) for _ in range(2)]
    outputs = [driver.communicate(timeout=600)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], outputs
    ran = [label for output in outputs for label in re.findall(r"^\[\d+/\d+\] (\S+ \S+)", output, re.MULTILINE)]
    assert len(ran) == len(set(ran)) == 6
    pd.testing.assert_frame_equal(table(results, "study"), undisturbed)


def test_a_driver_killed_under_luigid_is_replaced(tmp_path: Path, undisturbed: pd.DataFrame, scheduler: list[str]) -> None:
    config, results = write_study(tmp_path / "study.yaml", RIDGE_STUDY), tmp_path / "results"
    driver = start(config, results, *scheduler)
    wait_for(lambda: processes("gpatlas", str(results)))
    driver.kill()
    driver.communicate()
    second = start(config, results, *scheduler)
    output, _ = second.communicate(timeout=600)
    assert second.returncode == 0, output
    pd.testing.assert_frame_equal(table(results, "study"), undisturbed)


def test_a_stage_that_a_lost_driver_finished_is_not_waited_for(tmp_path: Path, undisturbed: pd.DataFrame, scheduler: list[str]) -> None:
    """The driver died between a stage's end and its report: to luigid the stage still runs."""
    config, results = write_study(tmp_path / "study.yaml", RIDGE_STUDY), tmp_path / "results"
    assert run(config, results)[0] == 0
    shutil.rmtree(results / "study")
    shutil.rmtree(results / "store" / "collected")
    (fitted,) = (results / "store" / "scaling" / "qhaplo_10qtl_200n_rep1").glob("ridge-*")
    shutil.rmtree(fitted)
    finished = next(task for task in RunAll(config=config, results=results).stages() if task.label.endswith("10qtl_200n_rep1 simulate"))
    server = RemoteScheduler(f"http://127.0.0.1:{scheduler[-1]}/")
    server.add_task(worker="lost", task_id=finished.task_id, family="Data", status="RUNNING")
    code, output = run(config, results, *scheduler)
    assert code == 0, output
    pd.testing.assert_frame_equal(table(results, "study"), undisturbed)


def test_damage_that_a_reader_finds_is_mended_under_luigid(tmp_path: Path, undisturbed: pd.DataFrame, scheduler: list[str]) -> None:
    config, results = write_study(tmp_path / "study.yaml", RIDGE_STUDY), tmp_path / "results"
    assert run(config, results, *scheduler)[0] == 0
    scenario = results / "store" / "scaling" / "qhaplo_10qtl_200n_rep1"
    for pattern in ("scaling/qhaplo_10qtl_200n_rep1/ridge-*", "collected/study/results-*", "collected/study/report-*"):
        (folder,) = (results / "store").glob(pattern)
        shutil.rmtree(folder)
    shutil.rmtree(results / "study")
    (data,) = scenario.glob("simulate-*/data.h5")
    flip_a_bit(data)
    code, output = run(config, results, *scheduler)
    assert code == 0, output
    assert "FAILED" not in output
    assert "(again: data.h5 is damaged (checksum))" in output
    pd.testing.assert_frame_equal(table(results, "study"), undisturbed)


def test_the_web_view_tells_how_far_a_stage_is_and_where_its_log_lies(tmp_path: Path, scheduler: list[str]) -> None:
    config, results = write_study(tmp_path / "study.yaml", SLOW_STUDY), tmp_path / "results"
    driver = start(config, results, *scheduler)
    server = RemoteScheduler(f"http://127.0.0.1:{scheduler[-1]}/")
    (shown,) = wait_for(lambda: [task for task in server.task_list("RUNNING", "", search="Fit(").values() if task["status_message"]])
    assert shown["progress_percentage"] in range(5, 101, 5)
    assert (shown["params"]["scenario"], shown["params"]["model"]) == ("qhaplo_400qtl_3000n_rep1", "ridge")
    assert re.match(r"\d+/20 ", shown["status_message"])
    log = shown["status_message"].partition("log: ")[2]
    assert Path(log).is_relative_to(results)
    assert shown["tracking_url"] == f"file://{log}"
    assert shown["resources_running"] == {"cpu": 1, "memory_gb": 1, "gpu": 0}
    driver.communicate(timeout=600)
    stages = [task for task in server.task_list("DONE", "").values() if task["name"] != "RunAll"]
    assert len(stages) == 4
    assert all(Path(task["status_message"].partition("log: ")[2]).is_file() for task in stages)


def test_stages_that_do_not_fit_together_wait(tmp_path: Path, scheduler: list[str]) -> None:
    """The scheduler has 2 GB to share out, a stage needs all of it: with two workers, never two stages at once."""
    server = RemoteScheduler(f"http://127.0.0.1:{scheduler[-1]}/")
    for name, amount in (("cpu", 8), ("memory_gb", 2), ("gpu", 0)):
        server.update_resource(name, amount)
    config, results = write_study(tmp_path / "study.yaml", {**RIDGE_STUDY, "memory_gb": 5}), tmp_path / "results"
    code, output = run(config, results, *scheduler)
    assert code == 0, output
    provenances = [json.loads(path.read_text()) for path in results.glob("store/*/*/*/provenance.json")]
    assert {provenance["needs"]["memory_gb"] for provenance in provenances} == {2}
    events = re.findall(r"Worker .*\) (running|done) +(?:Data|Fit|Collect|Report)\(", (results / "study" / "luigi.log").read_text())
    assert events == ["running", "done"] * 6


def test_a_missing_scheduler_is_named(tmp_path: Path) -> None:
    config = write_study(tmp_path / "study.yaml", RIDGE_STUDY)
    code, output = run(config, tmp_path / "results", "--scheduler-host", "127.0.0.1", "--scheduler-port", "1")
    assert code == 1
    assert output.startswith("no scheduler answers at http://127.0.0.1:1/")
    assert "start one with gpatlas scheduler, or add --local-scheduler" in output


def test_luigid_forgets_a_failure_of_an_earlier_run(tmp_path: Path, undisturbed: pd.DataFrame, scheduler: list[str]) -> None:
    config, results = write_study(tmp_path / "study.yaml", RIDGE_STUDY), tmp_path / "results"
    blocked = results / "store" / "scaling" / "qhaplo_10qtl_200n_rep1"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where the stage's folder should be")
    code, output = run(config, results, *scheduler)
    assert code == 1
    assert re.search(r"FAILED scaling/qhaplo_10qtl_200n_rep1 simulate: (FileExists|NotADirectory)Error", output)
    blocked.unlink()
    code, output = run(config, results, *scheduler)
    assert code == 0, output
    pd.testing.assert_frame_equal(table(results, "study"), undisturbed)


def test_a_driver_that_was_paused_goes_on(tmp_path: Path, undisturbed: pd.DataFrame, scheduler: list[str]) -> None:
    """So long that luigid has given it up."""
    config, results = write_study(tmp_path / "study.yaml", RIDGE_STUDY), tmp_path / "results"
    driver = start(config, results, *scheduler)
    server = RemoteScheduler(f"http://127.0.0.1:{scheduler[-1]}/")
    wait_for(lambda: processes("gpatlas", str(results)))
    driver.send_signal(signal.SIGSTOP)
    wait_for(lambda: server.prune() or not server.worker_list())
    driver.send_signal(signal.SIGCONT)
    output, _ = driver.communicate(timeout=600)
    assert driver.returncode == 0, output
    assert re.search(r"the scheduler lost this driver with \d+ stages to do; going on", output)
    pd.testing.assert_frame_equal(table(results, "study"), undisturbed)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_luigid_that_comes_back_is_told_again(tmp_path: Path, undisturbed: pd.DataFrame, number: signal.Signals) -> None:
    config, results, port = write_study(tmp_path / "study.yaml", RIDGE_STUDY), tmp_path / "results", free_port()
    server = start_luigid(tmp_path, port)
    driver = start(config, results, "--scheduler-host", "127.0.0.1", "--scheduler-port", str(port))
    try:
        wait_for(lambda: processes("gpatlas", str(results)))
        server.send_signal(number)
        server.wait()
        server = start_luigid(tmp_path, port)
        output, _ = driver.communicate(timeout=600)
    finally:
        server.kill()
        server.wait()
    assert driver.returncode == 0, output
    pd.testing.assert_frame_equal(table(results, "study"), undisturbed)


def test_a_stage_that_failed_is_not_tried_for_ever(tmp_path: Path) -> None:
    """What does not read from it is done, in one round."""
    config, results = write_study(tmp_path / "study.yaml", RIDGE_STUDY), tmp_path / "results"
    blocked = results / "store" / "scaling" / "qhaplo_10qtl_200n_rep1"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where the stage's folder should be")
    code, output = run(config, results)
    assert code == 1
    assert output.count("Luigi's log") == 2
    assert len(re.findall(r"^\[\d+/6\]", output, re.MULTILINE)) == 2
    assert "4 stages without 2 that are missing, 2 to do" in output
    assert "INCOMPLETE, missing stages: 2" in output


WRONG_FLAGS = [
    (["--workers", "0"], "--workers: must be at least 1, got 0"),
    (["--workers", "-3"], "--workers: must be at least 1, got -3"),
    (["--workers", "two"], "core[args=(), kwargs={}]: Error when parsing the default value of 'workers'"),
    (["--runner", "nonsense"], "nonsense is not a valid choice from "),
    (["--results", "FILE"], "--results: FILE is a file; results go into a folder"),
    (["--results", "FILE/below"], "--results: FILE is a file; results go into a folder"),
    (["--config", "FOLDER"], "FOLDER: cannot be read: Is a directory"),
]


@pytest.mark.parametrize(
    ("task", "flags", "said"),
    [*(("RunAll", *wrong) for wrong in WRONG_FLAGS), *(("Plan", *wrong) for wrong in WRONG_FLAGS[::2])],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value * (value in ("RunAll", "Plan")),
)
def test_wrong_flags_are_one_line(tmp_path: Path, task: str, flags: list[str], said: str) -> None:
    config = write_study(tmp_path / "study.yaml", RIDGE_STUDY)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    places = {"FILE": str(tmp_path / "file"), "FOLDER": str(tmp_path / "folder")}
    for name, place in places.items():
        flags, said = [flag.replace(name, place) for flag in flags], said.replace(name, place)
    code, output = run(config, tmp_path / "results", *LOCAL, *flags, task=task)
    assert code == 2
    assert output.startswith(said)
    assert output.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "study.yaml"]


def test_a_mistyped_task_is_one_line(tmp_path: Path) -> None:
    code, output = run(tmp_path / "study.yaml", tmp_path / "results", task="RunAl")
    assert (code, output) == (2, "No task RunAl; a study's tasks are RunAll and Plan\n")


@pytest.mark.parametrize(("module", "absent"), [("pipeline", ["torch", "numpy", "pandas", "h5py"]), ("gpatlas", ["luigi", "numpy"])])
def test_imports_stay_apart(module: str, absent: list[str]) -> None:
    code = f"import sys, {module}; print([name for name in {absent} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
