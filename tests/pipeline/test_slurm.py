"""The Slurm runner on a cluster of two nodes: the same tables as without it, nothing left in the queue, and what it survives."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pandas as pd
import pytest
import yaml
from conftest import unavailable
from documented import everywhere
from drivers import (
    ENVIRONMENT,
    LOCAL,
    PROJECT,
    assert_repeatable,
    is_waited_for,
    run,
    small_study,
    start,
    table,
    undisturbed_table,
    wait_for,
    write_study,
)
from slurm_cluster import Cluster, missing_programs
from tiny_image import exported_tiny_image

from images import IMAGES

ON_SLURM = (*LOCAL, "--runner", "slurm", "--workers", "8")
SECONDS = 400  # that a disturbed run may take on a busy machine
# What runs a driver that takes a job for lost when Slurm has not known it for 3 s.
IMPATIENT = (
    sys.executable,
    "-c",
    "import runpy, sys; from pipeline import slurm_board; slurm_board.SECONDS_UNKNOWN = 3; del sys.argv[:3]; "
    "runpy.run_module('luigi', run_name='__main__')",
)
# In place of Python on a node, for the stages whose results a test does not look at.
STAND_IN = f'function {sys.executable} {{ while [ "$1" != --out ]; do shift; done; echo stood in > "$2"; }}'
STUDY = small_study({"ridge": None}, 200, 10)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if missing := missing_programs():
        unavailable(
            f"no Slurm to start a cluster of, {', '.join(missing)} missing: apt-get install slurm-wlm slurmdbd munge mariadb-server"
        )
    if os.getuid():
        unavailable("slurmd starts jobs as root alone")
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def tiny_images(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images for Charliecloud, in which a tiny one has the place of ours."""
    if shutil.which("ch-run") is None:
        unavailable("no Charliecloud: apt-get install charliecloud")
    return exported_tiny_image(engine, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's results, from the local runner."""
    folder = tmp_path_factory.mktemp("local")
    undisturbed_table(folder, STUDY)
    return folder / "results"


@pytest.fixture(scope="module")
def undisturbed(local: Path) -> pd.DataFrame:
    return table(local, "study")


class Study:
    """The study in a folder of its own, whose jobs each write a line into `starts`, and those of the stage `held` wait for `go`.

    `real`: the stages that are run for real, as a pattern of bash.
    """

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster, self.results = folder, cluster, folder / "results"
        self.config = self.write()
        self.drivers: list[subprocess.Popen[str]] = []

    def write(
        self,
        name: str = "study.yaml",
        held: str = "",
        prologue: str = "",
        real: str = "*/@(simulate|ridge|results)-*",
        content: dict[str, Any] = STUDY,
        **slurm: Any,
    ) -> Path:
        lines = [f'echo "$SLURM_JOB_ID $SLURMD_NODENAME $PWD" >> {self.folder}/starts']
        lines += ["shopt -s extglob", f"case $PWD in {real}) ;; *) {STAND_IN};; esac"]
        if held:
            lines.append(f"case $PWD in */{held}-*) until [ -e {self.folder}/go ]; do sleep 0.1; done;; esac")
        options = {"seconds_between_polls": 1, "stages_per_job": 1, "prologue": "\n".join([*lines, prologue]), **slurm}
        return write_study(self.folder / name, {**content, "slurm": options})

    def start(self, **options: Any) -> "subprocess.Popen[str]":
        driver = start(self.config, self.results, *ON_SLURM, env=self.environment, **options)
        self.drivers.append(driver)
        return driver

    def put_before(self, program: str, script: str) -> None:
        """A program of bash in place of one of Slurm's, which it reaches as `$real`."""
        (self.folder / "bin").mkdir(exist_ok=True)
        (self.folder / "bin" / program).write_text(f"#!/bin/bash\nreal={shutil.which(program)}\n{script}\n")
        (self.folder / "bin" / program).chmod(0o755)

    def run(self, config: Path | None = None) -> tuple[int, str]:
        return run(config or self.config, self.results, *ON_SLURM, env=self.environment)

    @property
    def environment(self) -> dict[str, str]:
        return {**self.cluster.environment, **ENVIRONMENT, "SLURM_CONF": self.cluster.environment["SLURM_CONF"], **self._path()}

    def _path(self) -> dict[str, str]:
        return {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}

    def starts(self, stage: str) -> list[tuple[str, str]]:
        """(job, node) of every start of the stage."""
        path = self.folder / "starts"
        rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(job, node) for job, node, folder in rows if Path(folder).name.startswith(f"{stage}-")]

    def wait_for_start(self, stage: str, n: int = 1) -> tuple[str, str]:
        return wait_for(lambda: len(self.starts(stage)) >= n and self.starts(stage)[-1], SECONDS)

    def go(self) -> None:
        (self.folder / "go").touch()

    def occupy_nodes(self) -> None:
        """By a job on all of them, which ends as soon as there is a file `room`."""
        wait = f"--wrap=until [ -e {self.folder}/room ]; do sleep 0.1; done"
        job = self.cluster.client("sbatch", "--parsable", "--nodes=2", "--exclusive", "--time=5", "--output=/dev/null", wait).strip()
        wait_for(lambda: any(line.startswith(f"{job} ") and "RUNNING" in line for line in self.cluster.queue()))

    def end(self, driver: "subprocess.Popen[str]") -> tuple[int, str]:
        output, _ = driver.communicate(timeout=SECONDS)
        return driver.returncode, output

    def provenance(self, stage: str) -> dict[str, Any]:
        (path,) = self.results.glob(f"store/*/*/{stage}-*/provenance.json")
        return dict(json.loads(path.read_text()))


@pytest.fixture
def study(tmp_path: Path, cluster: Cluster) -> Iterator[Study]:
    """At the end nothing may be left in the queue. A driver that a failed test left is ended, with its jobs, for the tests after it."""
    study = Study(tmp_path, cluster)
    yield study
    left = [driver for driver in study.drivers if driver.poll() is None]
    for driver in left:
        driver.kill()
    if left:
        cluster.client("scancel", "--user=root")
    wait_for(lambda: not cluster.queue())


@pytest.fixture
def held(study: Study, local: Path) -> Study:
    """The study whose population is there, and whose ridge regression waits until it is told to go."""
    (there,) = local.glob("store/*/*/simulate-*")
    shutil.copytree(there, study.results / there.relative_to(local))
    study.config = study.write(held="ridge")
    return study


@pytest.fixture
def sham(study: Study) -> Study:
    """The same without a stage that computes anything."""
    study.config = study.write(held="ridge", real="none")
    return study


def test_tables_are_those_of_this_process_to_the_last_bit(study: Study, tmp_path: Path, faults_of_crate: Callable[[Path], str]) -> None:
    """Of a config as it stands, whose short stages share jobs, by the commands of README and pages; and its crate is valid."""
    config, flags = PROJECT / "configs" / "test.yaml", ("--experiments", "pleiotropy")
    commands = [shlex.split(command) for command in everywhere("slurm")]
    assert [command[3] for command in commands] == ["Plan", "RunAll"]
    for command in commands:
        (of_page,) = (word for word in command if word.startswith("configs/"))
        words = [str(config) if word == of_page else word for word in command[1:]]
        words = [sys.executable, "-m", "luigi", *words, f"--results={study.results}", *flags]
        ended = subprocess.run(words, cwd=PROJECT, env=study.environment, capture_output=True, text=True, timeout=SECONDS)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    assert_repeatable(study.results, tmp_path / "here", check_exact=True)
    facts = [json.loads(path.read_text())["slurm"] for path in study.results.glob("store/*/*/*/provenance.json")]
    assert len(facts) == 13
    assert {fact["node"] for fact in facts} <= {"node1", "node2"}
    assert all(fact["elapsed_seconds"] >= 0 and not fact["earlier_jobs"] for fact in facts)
    of_job = {fact["job"]: [other["stages"] for other in facts if other["job"] == fact["job"]] for fact in facts}
    assert all(set(stages) == {len(stages)} for stages in of_job.values())
    assert len(of_job) < 13
    assert not list(study.results.rglob("job-*"))
    assert faults_of_crate(study.results / "test-pleiotropy") == ""


def test_results_of_the_local_runner_are_reused(study: Study, local: Path) -> None:
    shutil.copytree(local, study.results)
    shutil.rmtree(study.results / "store" / "collected")
    code, output = study.run()
    assert code == 0, output
    assert not study.starts("simulate")
    assert not study.starts("ridge")


def test_a_killed_driver_s_job_is_adopted(held: Study, undisturbed: pd.DataFrame) -> None:
    driver = held.start()
    job, node = held.wait_for_start("ridge")
    driver.kill()
    driver.communicate()
    second = held.start()
    wait_for(lambda: f"job {job} is running" in _log(held, "ridge"), SECONDS)
    held.go()
    code, output = held.end(second)
    assert code == 0, output
    assert len(held.starts("ridge")) == 1
    slurm = held.provenance("ridge")["slurm"]
    assert (slurm["job"], slurm["node"]) == (job, node)
    said = held.cluster.client("sacct", "--noheader", "--parsable2", f"--jobs={job}", "--format=ElapsedRaw,MaxRSS")
    (seconds, _), (_, peak) = (line.split("|") for line in said.splitlines())
    assert slurm["elapsed_seconds"] == int(seconds) > 0
    assert slurm["peak_memory_mb"] == round(int(peak.removesuffix("K")) * 1024 / 1e6, 1) > 0
    pd.testing.assert_frame_equal(table(held.results, "study"), undisturbed, check_exact=True)


def _log(study: Study, stage: str) -> str:
    return "".join(path.read_text() for path in study.results.glob(f"store/*/*/{stage}-*/log.txt"))


def test_a_killed_driver_s_job_that_nobody_wants_is_cancelled(sham: Study) -> None:
    driver = sham.start()
    job, _ = sham.wait_for_start("ridge")
    driver.kill()
    driver.communicate()
    content = yaml.safe_load(sham.write("other.yaml", real="none").read_text())
    other = write_study(sham.folder / "other.yaml", {**content, "experiments": {"other": STUDY["experiments"]["scaling"]}})
    code, output = sham.run(other)
    assert code == 0, output
    assert "CANCELLED" in sham.cluster.client("sacct", "--noheader", "--jobs", job, "--format=State%20")


def test_a_stopped_driver_cancels_its_jobs(sham: Study) -> None:
    for n, number in enumerate((signal.SIGTERM, signal.SIGINT), 1):
        driver = sham.start()
        sham.wait_for_start("ridge", n)
        driver.send_signal(number)
        code, output = sham.end(driver)
        assert code == 130, output
        assert not sham.cluster.queue()
    sham.go()
    assert sham.run()[0] == 0


def test_a_killed_driver_s_shared_job_is_adopted(study: Study) -> None:
    """By the task of every stage in it."""
    grid = {"grid": [{"n_individuals": 200, "n_qtl": 10, "replicates": 3}]}
    content = {**STUDY, "experiments": {"scaling": {**STUDY["experiments"]["scaling"], **grid}}}
    study.config = study.write(held="simulate", real="none", content=content, stages_per_job=3)
    driver = study.start()
    job, _ = study.wait_for_start("simulate")
    driver.kill()
    driver.communicate()
    second = study.start()
    wait_for(lambda: _log(study, "simulate").count(f"job {job} is running") == 3, SECONDS)
    study.go()
    code, output = study.end(second)
    assert code == 0, output
    assert {found for found, _ in study.starts("simulate")} == {job}
    assert len(study.starts("simulate")) == 3
    assert len({found for found, _ in study.starts("ridge")}) == 1


def test_a_killed_task_that_asks_for_all_is_replaced(sham: Study) -> None:
    sham.put_before("squeue", f'echo $PPID > {sham.folder}/asking; exec $real "$@"')
    driver = sham.start()
    sham.wait_for_start("ridge")
    (sham.folder / "asking").unlink()
    os.kill(int(wait_for(lambda: (sham.folder / "asking").exists() and (sham.folder / "asking").read_text())), signal.SIGKILL)
    sham.go()
    code, output = sham.end(driver)
    assert code == 0, output
    assert {len(sham.starts(stage)) for stage in ("simulate", "ridge", "results", "report")} == {1}


def test_a_job_cancelled_by_hand_is_said_and_not_tried_again(sham: Study) -> None:
    driver = sham.start()
    job, node = sham.wait_for_start("ridge")
    sham.cluster.client("scancel", job)
    code, output = sham.end(driver)
    assert code == 1
    assert f"ridge: failed: its job {job} on {node} was cancelled by root" in output
    assert len(sham.starts("ridge")) == 1
    sham.go()
    assert sham.run()[0] == 0


def test_a_job_over_its_memory_gets_more(study: Study, undisturbed: pd.DataFrame) -> None:
    greedy = f'[ "$SLURM_MEM_PER_NODE" -gt 1000 ] || {sys.executable} -c "import time; x = bytes(3) * 10**9; time.sleep(5)"'
    study.config = study.write(prologue=f"case $PWD in */ridge-*) {greedy};; esac")
    code, output = study.run()
    assert code == 0, output
    assert len(study.starts("ridge")) == 2
    slurm = study.provenance("ridge")["slurm"]
    assert slurm["granted"]["memory_gb"] == 2
    assert slurm["stages"] == 1
    assert re.fullmatch(r"job \d+ on node\d ran out of memory at its limit of 1 GB", slurm["earlier_jobs"][0])
    pd.testing.assert_frame_equal(table(study.results, "study"), undisturbed, check_exact=True)


def test_a_job_over_its_time_gets_more(held: Study, undisturbed: pd.DataFrame) -> None:
    driver = held.start()
    job, node = held.wait_for_start("ridge")
    held.cluster.client("scontrol", "update", f"JobId={job}", "EndTime=now+10")  # "now" is past, and refused, where a second goes by
    held.wait_for_start("ridge", 2)
    held.go()
    code, output = held.end(driver)
    assert code == 0, output
    slurm = held.provenance("ridge")["slurm"]
    assert slurm["granted"]["minutes"] == 20
    assert slurm["earlier_jobs"] == [f"job {job} on {node} ran longer than its 10 minutes"]
    pd.testing.assert_frame_equal(table(held.results, "study"), undisturbed, check_exact=True)


def test_a_controller_that_is_away_is_waited_for(study: Study) -> None:
    study.config = study.write(real="none")
    study.cluster.kill("slurmctld", signal.SIGTERM)
    driver = study.start(stderr=subprocess.PIPE)
    assert driver.stderr is not None
    try:
        said = driver.stderr.readline()
    finally:
        study.cluster.start("slurmctld")
    code, output = study.end(driver)
    assert said.startswith("waiting for Slurm (")
    assert code == 0, output


def test_a_lost_node_s_job_goes_to_another(held: Study, undisturbed: pd.DataFrame) -> None:
    driver = held.start()
    job, node = held.wait_for_start("ridge")
    held.cluster.lose(node)
    held.go()
    again, other = held.wait_for_start("ridge", 2)
    code, output = held.end(driver)
    held.cluster.start(node)
    assert code == 0, output
    assert (again, other != node) == (job, True)
    pd.testing.assert_frame_equal(table(held.results, "study"), undisturbed, check_exact=True)


def test_a_preempted_job_runs_again(held: Study, undisturbed: pd.DataFrame) -> None:
    driver = held.start()
    job, node = held.wait_for_start("ridge")
    urgent = held.cluster.client(
        "sbatch", "--parsable", "--partition=urgent", f"--nodelist={node}", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"
    )
    again, _ = held.wait_for_start("ridge", 2)
    assert "COMPLETED" in held.cluster.client("sacct", "--noheader", "--jobs", urgent.strip(), "--format=State%20")
    held.go()
    code, output = held.end(driver)
    assert code == 0, output
    assert again == job
    pd.testing.assert_frame_equal(table(held.results, "study"), undisturbed, check_exact=True)


def test_a_killed_controller_is_waited_for(held: Study, undisturbed: pd.DataFrame) -> None:
    """While a job waits, while one runs and ends, and right after it took one, before it answered and saved it."""
    held.put_before(
        "sbatch",
        f"""
        if [[ " $* " == */results-* && ! -e {held.folder}/killed ]]
            then until [ -e {held.folder}/controller ]; do sleep 0.1; done
                $real "$@"; kill -9 $(< {held.folder}/controller); touch {held.folder}/killed
                echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1
            else exec $real "$@"
        fi""",
    )
    held.occupy_nodes()
    driver = held.start()
    job = wait_for(lambda: re.search(r"job (\d+) is pending: Resources", _log(held, "ridge")), SECONDS)[1]
    held.cluster.save(job)
    held.cluster.kill("slurmctld")
    held.cluster.start("slurmctld")
    (held.folder / "room").touch()
    assert held.wait_for_start("ridge")[0] == job
    held.cluster.save(job)
    held.cluster.kill("slurmctld")
    held.go()
    wait_for(lambda: list(held.results.glob("store/*/*/ridge-*.part/job-*.end")), SECONDS)
    held.cluster.start("slurmctld")
    (held.folder / "pid").write_text(str(held.cluster.processes["slurmctld"].pid))
    (held.folder / "pid").rename(held.folder / "controller")
    wait_for((held.folder / "killed").exists, SECONDS)
    held.cluster.processes["slurmctld"].wait()
    held.cluster.start("slurmctld")
    code, output = held.end(driver)
    assert code == 0, output
    assert {len(held.starts(stage)) for stage in ("ridge", "report")} == {1}
    assert (
        len(held.starts("results")) <= 2
    )  # what a controller forgets that has taken it may have started; the script's lock keeps them apart
    pd.testing.assert_frame_equal(table(held.results, "study"), undisturbed, check_exact=True)


def test_a_job_that_a_killed_controller_has_forgotten_runs_again(held: Study, undisturbed: pd.DataFrame) -> None:
    """As of one that had not saved the job."""
    state, earlier = held.cluster.folder / "state", held.folder / "state"
    held.cluster.kill("slurmctld", signal.SIGTERM)  # it saves all that it knows
    shutil.copytree(state, earlier)
    held.cluster.start("slurmctld")
    driver = held.start(before=IMPATIENT)
    job, _ = held.wait_for_start("ridge")
    held.cluster.kill("slurmctld")
    shutil.rmtree(state)
    shutil.copytree(earlier, state)
    held.cluster.start("slurmctld")
    wait_for(lambda: re.search(f"job {job} on no node was lost by Slurm; again", _log(held, "ridge")), SECONDS)
    held.go()
    code, output = held.end(driver)
    assert code == 0, output
    assert len(held.starts("ridge")) == 2
    pd.testing.assert_frame_equal(table(held.results, "study"), undisturbed, check_exact=True)


def test_stages_run_in_containers_without_a_daemon(study: Study, tiny_images: Path) -> None:
    """A tiny image stands in: its entry point says what it sees. Its stages share a job."""
    study.config = study.write(real="*", container="charliecloud", images=str(tiny_images), stages_per_job=20)
    code, output = study.run()
    assert code == 0, output
    assert study.provenance("ridge")["image"] == str(tiny_images / IMAGES["gpu"].exported("charliecloud"))
    assert study.provenance("ridge")["ingredients"]["environment"] == {"image": IMAGES["gpu"].environment}
    log = _log(study, "ridge")
    assert re.search(r"^sees bin ch dev etc lib.*, of variables A CH_RUNNING ", log, re.MULTILINE)
    assert "Read-only file system" in log


@pytest.fixture
def small_disk(study: Study) -> Iterator[None]:
    """The results are on a file system of 4 MB."""
    study.results.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", study.results], capture_output=True, text=True)
    if mount.returncode:
        unavailable(f"no file system can be mounted: {mount.stderr}")
    yield
    subprocess.run(["umount", study.results], check=True)


def test_a_full_disk_is_named_and_room_mends_it(study: Study, small_disk: None, undisturbed: pd.DataFrame) -> None:
    ballast = study.results / "ballast"
    fill = f"case $PWD in */ridge-*) [ -e {study.folder}/go ] || head -c 10M /dev/zero > {ballast};; esac"
    study.config = study.write(prologue=fill)
    code, output = study.run()
    assert code == 1
    assert "No space left on device" in output
    study.go()
    ballast.unlink()
    code, output = study.run()
    assert code == 0, output
    pd.testing.assert_frame_equal(table(study.results, "study"), undisturbed, check_exact=True)


def test_two_hosts_share_a_store(held: Study, undisturbed: pd.DataFrame) -> None:
    drivers = [held.start(before=before) for before in ((), ("unshare", "--uts", "sh", "-c", 'hostname other; exec "$@"', "sh"))]
    held.wait_for_start("ridge")
    (lock,) = held.results.glob("store/*/*/.ridge-*.lock")
    wait_for(lambda: is_waited_for(lock), SECONDS)
    held.go()
    outputs = [held.end(driver) for driver in drivers]
    assert [code for code, _ in outputs] == [0, 0], outputs
    assert {len(held.starts(stage)) for stage in ("ridge", "results")} == {1}
    pd.testing.assert_frame_equal(table(held.results, "study"), undisturbed, check_exact=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"partition": "nonsense"}, "Slurm refuses the jobs of this study (sbatch: error: invalid partition specified: nonsense"),
        ({"flags": ["--mem-bind=nonsense"]}, "Slurm refuses the jobs of this study ("),
    ],
    ids=["partition", "flag"],
)
def test_what_slurm_refuses_is_said_before_any_work(study: Study, options: dict[str, Any], said: str) -> None:
    code, output = study.run(study.write("wrong.yaml", **options))
    assert code == 1
    assert output.startswith(said)
    assert output.count("\n") == 1
    assert not (study.results / "store").exists()


def test_a_job_that_can_never_start_is_refused(study: Study) -> None:
    code, output = study.run(study.write("late.yaml", partition="other", minutes_factor=100.0))
    assert code == 1
    assert re.search(r"RunnerError: Slurm will never start job \d+ \(PartitionTimeLimit\): see the config's block slurm", output)


def test_without_slurm_s_commands_it_says_so(study: Study) -> None:
    environment = {**study.environment, "PATH": "/nowhere"}
    code, output = run(study.config, study.results, *ON_SLURM, env=environment)
    assert (code, output) == (1, "runner 'slurm' needs Slurm's commands on this host; not on PATH: sbatch, squeue, sacct, scancel\n")
