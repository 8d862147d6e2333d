"""The Docker runner on the real engine: the same tables as without it, shut-in stages, and what it survives."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pandas as pd
import pytest
from docker.models.containers import Container
from drivers import (
    ENVIRONMENT,
    LOCAL,
    PROJECT,
    RIDGE_STUDY,
    SLOW_STUDY,
    assert_repeatable,
    changed,
    run,
    small_study,
    start,
    table,
    undisturbed_table,
    wait_for,
    write_study,
)

from gpatlas.models.registry import MODELS
from gpatlas.needs import Needs
from gpatlas.stages import STAGES
from images import IMAGES
from pipeline.docker_runner import LABEL, DockerRunner, container_options
from pipeline.runners import Job, RunnerError

IN_DOCKER = (*LOCAL, "--runner", "docker")
ONE_SCENARIO = small_study({"ridge": None}, 200, 10)
QUICK: dict[str, Any] = {  # for every model, those of these values that its settings have
    **{"hidden_size": 16, "epochs": 5, "lasso_epochs": 5, "n_trials": 2, "n_penalties": 20, "min_columns": 4, "max_columns": 16},
    **{"max_trees": 20, "models": ["ridge", "egblup"]},
}
ImageId = Callable[[str], str]


@pytest.fixture(scope="module")
def gpu_image(image: ImageId) -> str:
    return image("gpu")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of the study of one scenario, from the local runner."""
    return undisturbed_table(tmp_path_factory.mktemp("undisturbed"), ONE_SCENARIO)


@pytest.fixture(scope="module")
def undisturbed_slow(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """That of the slow study, from the local runner."""
    return undisturbed_table(tmp_path_factory.mktemp("undisturbed"), SLOW_STUDY)


@pytest.fixture
def ours(engine: docker.DockerClient, tmp_path: Path) -> Iterator[Callable[[], list[Container]]]:
    """Lists the containers that write below this test's folder; at the end there must be none."""

    def containers() -> list[Container]:
        labelled = engine.containers.list(all=True, filters={"label": LABEL + "folder"}, ignore_removed=True)
        return [container for container in labelled if container.labels[LABEL + "folder"].startswith(str(tmp_path))]

    yield containers
    assert not containers()


@pytest.fixture
def slow_study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "slow.yaml", SLOW_STUDY)


def running(ours: Callable[[], list[Container]], command: str) -> Container | None:
    """The container that runs this command and has begun to report."""
    for container in ours():
        if container.status == "running" and command in container.attrs["Config"]["Cmd"] and b'"done"' in container.logs():
            return container
    return None


def test_every_model_gives_the_same_table(
    tmp_path: Path, engine: docker.DockerClient, gpu_image: str, ours: Callable[[], list[Container]]
) -> None:
    models = {name: {key: value for key, value in QUICK.items() if key in model.settings.model_fields} for name, model in MODELS.items()}
    experiment = {
        "scenario": "rep{replicate}",
        "simulation": {"rel_aa": [0, 1]},
        "grid": [{"n_individuals": 200, "n_qtl": 10, "n_loci": 20}],
        "models": {**models, "mlp": {**models["mlp"], "tune": True}},
        "figures": ["4"],
    }
    config = write_study(tmp_path / "study.yaml", {"protocol": "holdout", "experiments": {"scaling": experiment}})
    results = tmp_path / "results"
    code, output = run(config, results, *IN_DOCKER)
    assert code == 0, output
    assert_repeatable(results, tmp_path / "here", rtol=1e-4)
    provenances = [json.loads(path.read_text()) for path in results.glob("store/*/*/*/provenance.json")]
    assert len(provenances) == 1 + len(MODELS) + 3
    assert {provenance["image"] for provenance in provenances} == {gpu_image}
    assert all(provenance["peak_memory_mb"] < 1000 * memory_gb(provenance) for provenance in provenances)
    assert {path.stat().st_uid for path in results.rglob("*")} == {os.getuid()}
    assert {path.stat().st_gid for path in results.rglob("*")} == {os.getgid()}


def memory_gb(provenance: dict[str, Any]) -> int:
    return int(provenance["needs"]["memory_gb"])


def test_a_stage_can_be_repeated_by_hand(tmp_path: Path, gpu_image: str, ours: Callable[[], list[Container]]) -> None:
    config, results = write_study(tmp_path / "study.yaml", ONE_SCENARIO), tmp_path / "results"
    assert run(config, results, *IN_DOCKER)[0] == 0
    (folder,) = (results / "store" / "scaling" / "qhaplo_10qtl_200n_rep1").glob("ridge-*")
    hand = tmp_path / "hand"
    hand.mkdir(mode=0o777)
    hand.chmod(0o777)
    subprocess.run(["sh", "-c", json.loads((folder / "provenance.json").read_text())["command"]], cwd=hand, check=True)
    repeated, original = pd.read_csv(hand / "table.csv"), pd.read_csv(folder / "table.csv")
    pd.testing.assert_frame_equal(repeated.drop(columns="seconds"), original.drop(columns="seconds"))


def test_files_from_outside_the_results_are_imported(tmp_path: Path, gpu_image: str, ours: Callable[[], list[Container]]) -> None:
    archive = shutil.copy(PROJECT / "tests" / "data" / "alphasimr_scaling_input.tar.xz", tmp_path)
    experiment = {**RIDGE_STUDY["experiments"]["scaling"], "grid": [{"n_individuals": 1000, "n_qtl": 46, "replicates": 1}]}
    study = {"simulator": "import", "source": str(archive), "runner": "docker", "experiments": {"scaling": experiment}}
    code, output = run(write_study(tmp_path / "study.yaml", study), tmp_path / "results")
    assert code == 0, output
    assert len(table(tmp_path / "results", "study")) == 5


def test_a_user_s_own_files_are_imported(tmp_path: Path, gpu_image: str, ours: Callable[[], list[Container]]) -> None:
    for path in (PROJECT / "tests" / "data" / "own").glob("own.*"):
        shutil.copy(path, tmp_path)
    data = {"genotypes": "own.bed", "phenotypes": "own.pheno.tsv", "covariates": "own.covariates.tsv", "group_column": "family"}
    experiment = {"data": {**data, "traits": ["height"]}, "models": {"ridge": None}}
    code, output = run(
        write_study(tmp_path / "study.yaml", {"n_folds": 5, "experiments": {"own": experiment}}), tmp_path / "results", *IN_DOCKER
    )
    assert code == 0, output
    assert table(tmp_path / "results", "study")["trait_name"].tolist() == ["height"]
    assert len(pd.read_csv(tmp_path / "results" / "study" / "predictions.csv")) == 288


def r_has_alphasimr() -> bool:
    packages = ["Rscript", "-e", "library(AlphaSimR); library(hdf5r)"]
    return bool(shutil.which("Rscript")) and not subprocess.run(packages, capture_output=True).returncode


@pytest.mark.parametrize("runner", ["local", "docker"])
def test_alphasimr_gives_the_study_s_own_results(
    tmp_path: Path, engine: docker.DockerClient, ours: Callable[[], list[Container]], runner: str
) -> None:
    """Simulated from the seed, or imported from the study's file: the same fit."""
    if runner == "docker" and not engine.images.list(IMAGES["r"].tag):
        pytest.skip(f"{IMAGES['r'].tag} is not built: AlphaSimR's source is needed")
    if runner == "local" and not r_has_alphasimr():
        pytest.skip("AlphaSimR and hdf5r are not installed in R here")
    experiment = {**RIDGE_STUDY["experiments"]["scaling"], "grid": [{"n_individuals": 1000, "n_qtl": 46, "replicates": 2}]}
    study = {"protocol": "holdout", "simulator": "alphasimr", "experiments": {"scaling": experiment}}
    code, output = run(write_study(tmp_path / "made.yaml", study), tmp_path / "results", *LOCAL, "--runner", runner)
    assert code == 0, output
    archive = PROJECT / "tests" / "data" / "alphasimr_scaling_input.tar.xz"
    given = {**experiment, "simulation": {"h2": 0.999}}  # left out, it would be estimated
    study |= {"simulator": "import", "source": str(archive), "experiments": {"scaling": given}}
    assert run(write_study(tmp_path / "imported.yaml", study), tmp_path / "results")[0] == 0
    made, imported = (table(tmp_path / "results", name) for name in ("made", "imported"))
    assert len(made) == 10
    assert set(made["simulator"]) == {"alphasimr"}
    pd.testing.assert_frame_equal(made, imported[made.columns], rtol=1e-9, check_exact=False)


PROBE = """
import json, os, pathlib, socket
def refused(action):
    try:
        action()
    except OSError as error:
        return error.strerror
def write(path):
    return refused(lambda: pathlib.Path(path, "probe").write_text("x"))
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "interfaces": [name for _, name in socket.if_nameindex()],
    "connect": refused(lambda: socket.create_connection(("192.0.2.1", 80), timeout=5)),
    "written": {path: write(path) for path in PATHS},
    "uid": os.getuid(), "capabilities": [status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")],
    "no_new_privileges": status["NoNewPrivs"],
}))
"""


def make_job(results: Path, *arguments: str, **needs: int) -> Job:
    """Of a folder as the driver would have made it."""
    folder = results / "store" / "stage.part"
    folder.mkdir(parents=True)
    results.chmod(0o755)
    return Job(STAGES["simulate"], arguments, folder, (results,), Needs(**{"cpu": 1, "memory_gb": 1, "gpu": 0, **needs}), {})


def test_a_stage_is_shut_in(tmp_path: Path, engine: docker.DockerClient, gpu_image: str) -> None:
    """Asked from inside, with the very options that a stage's container gets."""
    job = make_job(tmp_path)
    job.folder.chmod(0o777)
    paths = ["/", "/usr", "/etc", "/root", "/var/tmp", str(tmp_path), str(job.folder.parent), str(job.folder), "/tmp"]
    options = container_options(job, user=f"{os.getuid() or 65534}:{os.getgid() or 65534}")
    options |= {"entrypoint": ["python", "-c", PROBE.replace("PATHS", repr(paths))]}
    seen = json.loads(engine.containers.run(gpu_image, remove=True, **options))
    assert seen["interfaces"] == ["lo"]
    assert seen["connect"] == "Network is unreachable"
    assert [path for path, error in seen["written"].items() if error is None] == [str(job.folder), "/tmp"]
    assert seen["uid"] != 0
    assert set(seen["capabilities"]) == {"0000000000000000"}
    assert seen["no_new_privileges"] == "1"


def test_root_in_the_driver_is_not_root_in_the_stage(tmp_path: Path, engine: docker.DockerClient, gpu_image: str) -> None:
    lines: list[str] = []
    job = make_job(tmp_path, "simulate", "--n-individuals", "20", "--n-loci", "4", "--n-qtl", "4", "--out")
    job = replace(job, arguments=(*job.arguments, str(job.folder / "data.h5")))
    outcome = DockerRunner().run(job, lines.append)
    assert outcome.exit_code == 0, lines
    assert (job.folder / "data.h5").stat().st_uid == os.getuid()
    assert json.loads(lines[-1])["facts"]["peak_memory_mb"] > 10


def test_lines_arrive_whole_and_in_order(tmp_path: Path, engine: docker.DockerClient, gpu_image: str) -> None:
    lines: list[str] = []
    job = make_job(tmp_path, "simulate", "--n-individuals", "500", "--n-loci", "4", "--n-qtl", "4", "--block-size", "1", "--out")
    DockerRunner().run(replace(job, arguments=(*job.arguments, str(job.folder / "data.h5"))), lines.append)
    assert [message["done"] for message in map(json.loads, lines) if "done" in message] == list(range(1, 501))


def test_a_killed_driver_leaves_a_container_that_the_next_one_removes(
    tmp_path: Path, gpu_image: str, ours: Callable[[], list[Container]], slow_study: Path, undisturbed_slow: pd.DataFrame
) -> None:
    driver = start(slow_study, tmp_path / "results", *IN_DOCKER)
    orphan = wait_for(lambda: running(ours, "fit-ridge"))
    driver.kill()
    driver.communicate()
    assert orphan.id in [container.id for container in ours()]
    code, output = run(slow_study, tmp_path / "results", *IN_DOCKER)
    assert code == 0, output
    same_as(undisturbed_slow, slow_study, tmp_path)


def same_as(expected: pd.DataFrame, study: Path, tmp_path: Path) -> None:
    """The study's results are these, and nothing is left beside them."""
    pd.testing.assert_frame_equal(table(tmp_path / "results", study.stem), expected, rtol=1e-4)
    assert not list((tmp_path / "results").glob("store/*/*/*.part")) + list((tmp_path / "results").glob("store/*/*/*.failed"))


@pytest.mark.parametrize("how", ["killed", "removed"])
def test_a_container_that_is_lost_is_run_again(
    tmp_path: Path, gpu_image: str, ours: Callable[[], list[Container]], slow_study: Path, undisturbed_slow: pd.DataFrame, how: str
) -> None:
    driver = start(slow_study, tmp_path / "results", *IN_DOCKER)
    container = wait_for(lambda: running(ours, "fit-ridge"))
    container.kill() if how == "killed" else container.remove(force=True)
    output, _ = driver.communicate(timeout=600)
    assert driver.returncode == 0, output
    assert "ridge: was killed by signal 9" in output or "removed from outside" in output
    same_as(undisturbed_slow, slow_study, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_stop_the_containers(
    tmp_path: Path, gpu_image: str, ours: Callable[[], list[Container]], slow_study: Path, number: signal.Signals
) -> None:
    driver = start(slow_study, tmp_path / "results", *IN_DOCKER)
    wait_for(lambda: running(ours, "fit-ridge"))
    driver.send_signal(number)
    output, _ = driver.communicate(timeout=600)
    assert driver.returncode == 130, output
    assert not ours()


def test_a_stage_out_of_memory_says_so(tmp_path: Path, gpu_image: str, ours: Callable[[], list[Container]]) -> None:
    """A simulator of six million individuals takes more than it is given, and the kernel kills it."""
    experiment = {
        "scenario": "qhaplo_{n_qtl}qtl_{n_individuals}n_rep{replicate}",
        "grid": [{"n_individuals": 6_000_000, "n_qtl": 8}],
        "models": {"ridge": None},
    }
    study = {"protocol": "holdout", "runner": "docker", "memory_gb": 1, "experiments": {"scaling": experiment}}
    code, output = run(write_study(tmp_path / "study.yaml", study), tmp_path / "results")
    assert code == 1
    assert "simulate: ran out of memory at its limit of 1 GB; give every stage more by the config's memory_gb" in output


def test_a_fit_that_cannot_have_its_memory_says_so_before_it_starts(tmp_path: Path, gpu_image: str) -> None:
    experiment = {
        "scenario": "qhaplo_{n_qtl}qtl_{n_individuals}n_rep{replicate}",
        "grid": [{"n_individuals": 60, "n_qtl": 10, "replicates": 1}],
        "models": {"mlp": {"hidden_size": 4096, "epochs": 1, "device": "cpu"}},
    }
    study = {"protocol": "holdout", "runner": "docker", "memory_gb": 1, "experiments": {"scaling": experiment}}
    config = write_study(tmp_path / "study.yaml", study)
    code, output = run(config, tmp_path / "results")
    assert code == 1
    assert "fit-mlp of 60 individuals and 10 loci needs 1.2 GB of memory; there are 1.0 GB" in output
    write_study(config, {**study, "memory_gb": 0})
    code, output = run(config, tmp_path / "results")
    assert code == 0, output
    assert len(table(tmp_path / "results", "study")) == 5


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    disk = tmp_path / "results"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("runner", ["local", "docker"])
def test_a_disk_without_a_byte_left_is_a_few_lines(tmp_path: Path, gpu_image: str, small_disk: Path, runner: str) -> None:
    """Where the driver's own files have no room either."""
    config = write_study(tmp_path / "study.yaml", RIDGE_STUDY)
    (small_disk / "study").mkdir()
    (small_disk / "study" / "luigi.log").touch()
    with suppress(OSError), (small_disk / "filling").open("wb", buffering=0) as filling:
        while True:
            filling.write(bytes(4096))
    code, output = run(config, small_disk, *LOCAL, "--runner", runner)
    assert code == 1
    assert "No space left on device" in output
    assert "Traceback" not in output
    assert len(output.splitlines()) < 60


def test_a_full_disk_is_named_and_a_rerun_ends_right(
    tmp_path: Path, gpu_image: str, ours: Callable[[], list[Container]], small_disk: Path
) -> None:
    config = write_study(tmp_path / "study.yaml", small_study({"ridge": None}, 20000, 10))
    code, output = run(config, small_disk, *IN_DOCKER)
    assert code == 1
    assert "No space left on device" in output
    assert "Traceback" not in output
    assert not (small_disk / "study" / "results.csv").exists()
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    code, output = run(config, small_disk, *IN_DOCKER)
    assert code == 0, output
    assert_repeatable(small_disk, tmp_path / "here", rtol=1e-4)


def test_an_image_removed_in_between_is_named(
    tmp_path: Path, engine: docker.DockerClient, gpu_image: str, ours: Callable[[], list[Container]], undisturbed: pd.DataFrame
) -> None:
    """On a copy of the project with other sources, so on an image of its own."""
    project = tmp_path / "project"
    for name in ("gpatlas", "pipeline", "images", "r"):
        shutil.copytree(PROJECT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Dockerfile.gpu", "Dockerfile.r", "luigi.cfg"):
        shutil.copy(PROJECT / name, project)
    with (project / "gpatlas" / "__init__.py").open("a") as source:
        source.write(f"\nCOPY = {str(tmp_path)!r}\n")
    ask = ["-c", "from images import IMAGES; print(IMAGES['gpu'].tag)"]
    tag = subprocess.run([sys.executable, *ask], cwd=project, capture_output=True, text=True, check=True).stdout.strip()
    assert tag != IMAGES["gpu"].tag
    config = write_study(tmp_path / "study.yaml", ONE_SCENARIO)
    code, output = run(config, tmp_path / "results", *IN_DOCKER, project=project)
    assert (code, output) == (1, f"image {tag} is not there: build it with: python -m images build gpu\n")
    engine.images.get(gpu_image).tag(tag)
    driver = start(config, tmp_path / "results", *IN_DOCKER, project=project)
    wait_for(lambda: list((tmp_path / "results").glob("store/scaling/*/simulate-*/data.h5")))
    engine.images.remove(tag)
    output, _ = driver.communicate(timeout=600)
    assert driver.returncode == 1, output
    assert f"RunnerError: image {tag} is not there" in output
    engine.images.get(gpu_image).tag(tag)
    try:
        code, output = run(config, tmp_path / "results", *IN_DOCKER, project=project)
        assert code == 0, output
    finally:
        engine.images.remove(tag)
    same_as(undisturbed, config, tmp_path)


def test_no_engine_is_said_before_any_work(tmp_path: Path) -> None:
    config = write_study(tmp_path / "study.yaml", RIDGE_STUDY)
    environment = {**ENVIRONMENT, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    code, output = run(config, tmp_path / "results", *IN_DOCKER, env=environment)
    assert code == 1
    assert output.startswith("no Docker engine answers (")
    assert output.endswith("start it, or use --runner local\n")
    assert not (tmp_path / "results" / "store").exists()


def test_a_gpu_that_the_engine_does_not_offer_is_said(tmp_path: Path, engine: docker.DockerClient, gpu_image: str) -> None:
    if "nvidia" in engine.info()["Runtimes"]:
        pytest.skip("this engine offers GPUs")
    with pytest.raises(RunnerError, match="use device: cpu, or install NVIDIA's container toolkit"):
        DockerRunner().run(make_job(tmp_path, "--help", gpu=1), print)


def test_the_command_to_repeat_names_the_image() -> None:
    job = Job(STAGES["simulate"], ("simulate", "--out", "data.h5"), Path("x"), (Path("/a: ,b"),), Needs(1, 1, 0), {})
    words = shlex.split(DockerRunner().command(job))
    assert words[:2] == ["docker", "run"]
    mount = 'type=bind,"source=/a: ,b","target=/a: ,b",readonly'
    assert words[-6:] == ["--mount", mount, IMAGES["gpu"].tag, "simulate", "--out", "data.h5"]
    assert {"--read-only", "--cap-drop", "--network"} <= set(words)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_colons_and_commas_in_folders_and_roots_own_umask(tmp_path: Path, gpu_image: str, umask: int) -> None:
    """Stages run, and their command repeats them; what a run with umask 077 left serves one with 022."""
    config = write_study(
        tmp_path / "study.yaml", changed(ONE_SCENARIO, "experiments.scaling.scenario", "q{n_qtl}+{n_individuals}_{replicate}")
    )
    results = tmp_path / "a: b,c" / "results"
    code, output = run(config, results, *IN_DOCKER, umask=umask)
    assert code == 0, output
    for table_of_fits in results.glob("store/collected/study/*"):
        shutil.rmtree(table_of_fits)
    shutil.rmtree(results / "study")
    for folder in results.glob("store/*/*/*"):
        folder.chmod(0o700)
        for path in folder.iterdir():
            path.chmod(0o600)
    code, output = run(config, results, *IN_DOCKER, umask=0o022)
    assert code == 0, output
    (folder,) = (results / "store" / "scaling" / "q10+200_1").glob("ridge-*")
    hand = tmp_path / "by: hand,x"
    hand.mkdir()
    subprocess.run(["sh", "-c", json.loads((folder / "provenance.json").read_text())["command"]], cwd=hand, check=True)
    assert (hand / "table.csv").is_file()


@pytest.mark.skipif(os.getuid() != 0, reason="is about root's own folder")
def test_results_below_roots_home(gpu_image: str) -> None:
    with tempfile.TemporaryDirectory(dir="/root") as folder:
        code, output = run(write_study(Path(folder) / "study.yaml", ONE_SCENARIO), Path(folder) / "results", *IN_DOCKER)
        assert code == 0, output


def test_a_source_folder_of_links_is_imported(tmp_path: Path, gpu_image: str) -> None:
    with tarfile.open(PROJECT / "tests" / "data" / "alphasimr_scaling_input.tar.xz") as archive:
        archive.extractall(tmp_path / "real: files", filter="data")
    (tmp_path / "links").mkdir()
    for number, path in enumerate(sorted((tmp_path / "real: files").rglob("*.txt"))):
        relative = os.path.relpath(path, tmp_path / "links")
        (tmp_path / "links" / path.name).symlink_to(relative if number % 2 else path)
    experiment = {**RIDGE_STUDY["experiments"]["scaling"], "grid": [{"n_individuals": 1000, "n_qtl": 46, "replicates": 1}]}
    study = {"simulator": "import", "source": "links", "runner": "docker", "experiments": {"scaling": experiment}}
    code, output = run(write_study(tmp_path / "study.yaml", study), tmp_path / "results")
    assert code == 0, output
    assert len(table(tmp_path / "results", "study")) == 5


def test_a_container_knows_its_own_limits(tmp_path: Path, engine: docker.DockerClient, gpu_image: str) -> None:
    code = "from gpatlas.machine import machine_memory, machine_cores; print(machine_memory(), machine_cores())"
    options = container_options(make_job(tmp_path), user="65534:65534") | {"entrypoint": ["python", "-c", code]}
    memory, cores = map(int, engine.containers.run(gpu_image, remove=True, **options).split())
    assert (memory // 4096, cores) == (10**9 // 4096, 1)
