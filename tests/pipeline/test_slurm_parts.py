"""The Slurm runner without a cluster: what it asks of Slurm, what it makes of the answers, and what of their absence."""

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpatlas.needs import Needs
from gpatlas.stages import STAGES
from pipeline import slurm, slurm_poller, slurm_runner
from pipeline.runners import Job, RunnerError
from pipeline.slurm import LOST, Ended, NoAnswer, NoRoom, Queued, Refused
from pipeline.slurm_attempts import MOST_LOSSES, Attempts
from pipeline.slurm_options import SlurmOptions
from pipeline.slurm_poller import Board, Poller
from pipeline.slurm_runner import SlurmRunner
from pipeline.slurm_script import Ending, ending, flags, resources, script


def ended(state: str, exit_code: int = 0, signal: int = 0, by: str = "") -> Ended:
    return Ended("7", state, by, exit_code, signal, 3, "node1", 60.0)


def job(folder: Path, **needs: int) -> Job:
    arguments = ("collect", "--manifest", str(folder / "manifest.json"), "--out", str(folder / "table.csv"))
    granted = Needs(**{"cpu": 1, "memory_gb": 1, "gpu": 0, "minutes": 10, **needs})
    return Job(STAGES["collect"], arguments, folder, (), granted, {"task": "a b", "key": "0123"})


def fake(monkeypatch: pytest.MonkeyPatch, folder: Path, **programs: str) -> None:
    """Programs of these names, written in bash, in front of PATH."""
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_needs_become_flags() -> None:
    options = SlurmOptions(partition="long", account="lab", qos="low", gres="gpu:a100:1", flags=("--exclude=n1",))
    assert resources(Needs(4, 10, 1, 90), options) == [
        *("--nodes=1", "--ntasks=1", "--cpus-per-task=4", "--mem=9537M", "--time=90"),
        *("--partition=long", "--account=lab", "--qos=low", "--gres=gpu:a100:1", "--exclude=n1"),
    ]
    assert "--gres=gpu:a100:1" not in resources(Needs(4, 10, 0, 90), options)


def test_a_job_has_the_key_for_its_name_and_the_run_for_its_comment(tmp_path: Path) -> None:
    found = flags(job(tmp_path), Needs(1, 1, 0, 10), SlurmOptions(), "gpatlas host/boot/1/2")
    assert {"--job-name=0123", "--comment=gpatlas host/boot/1/2", "--dependency=singleton", f"--chdir={tmp_path}"} <= set(found)


def test_this_machine_does_not_bound_what_a_stage_gets() -> None:
    runner = SlurmRunner()
    assert runner.granted(Needs(500, 10**6, 1, 2), 0) == Needs(500, 10**6, 0, 10)
    runner.options = SlurmOptions(gres="gpu:1", minutes_factor=10.0, max_minutes=500, max_jobs=7)
    assert runner.granted(Needs(500, 10**6, 1, 40), 8) == Needs(500, 8, 1, 400)
    assert runner.granted(Needs(1, 1, 0, 400), 0).minutes == 500
    assert runner.capacity() == {"slurm_jobs": 7}
    assert runner.shares(Needs(500, 10**6, 1, 40)) == {"slurm_jobs": 1}


@pytest.mark.parametrize("path", ["part", "with space, 'quote' and $dollar"])
def test_the_script_clears_what_an_earlier_attempt_left_and_lists_what_it_wrote(tmp_path: Path, path: str) -> None:
    folder = tmp_path / path
    (folder / "inner").mkdir(parents=True)
    for name in ("log.txt", "manifest.json", "table.csv", ".table.csv.aside", "job-6.log"):
        (folder / name).write_text("earlier")
    command = ["sh", "-c", "pwd; cat manifest.json > table.csv; exit 3"]
    text = script(job(folder), command, SlurmOptions(prologue="export MARK=1"))
    done = subprocess.run(["bash", "-s"], input=text, env={**os.environ, "SLURM_JOB_ID": "7"}, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, f"{folder}\n", "")
    end = ending(folder, "7")
    assert end is not None
    assert (end.exit_code, end.sizes) == (3, {"log.txt": 7, "manifest.json": 7, "table.csv": 7, "job-6.log": 7})
    assert 0 <= end.seconds < 60
    assert not (folder / "inner").exists()
    assert not (folder / ".table.csv.aside").exists()


def test_a_folder_that_is_gone_ends_the_script(tmp_path: Path) -> None:
    text = script(job(tmp_path / "gone"), ["touch", str(tmp_path / "ran")], SlurmOptions())
    assert (
        subprocess.run(["bash", "-s"], input=text, env={**os.environ, "SLURM_JOB_ID": "7"}, capture_output=True, text=True).returncode == 1
    )
    assert not (tmp_path / "ran").exists()


def test_without_a_gpu_none_is_seen(tmp_path: Path) -> None:
    assert " CUDA_VISIBLE_DEVICES=\n" in script(job(tmp_path), ["true"], SlurmOptions())
    assert "CUDA" not in script(job(tmp_path, gpu=1), ["true"], SlurmOptions())


@pytest.mark.parametrize(
    ("stderr", "kind"),
    [
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)", NoAnswer),
        ("squeue: error: slurm_load_jobs error: Socket timed out on send/recv operation", NoAnswer),
        ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying", NoAnswer),
        (
            "sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection to host:db: Connection refused",
            NoAnswer,
        ),
        ("sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Job violates accounting/QOS policy (job submit limit, …)", NoRoom),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", NoRoom),
        ("sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Job violates accounting/QOS policy (job submit limit, …)", Refused),
        ("sbatch: error: invalid partition specified: nonsense", Refused),
        ("Slurm accounting storage is disabled", Refused),
    ],
)
def test_what_can_wait_is_told_from_what_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stderr: str, kind: type[Exception]
) -> None:
    fake(monkeypatch, tmp_path, squeue=f"echo {shlex.quote(stderr)} >&2; exit 1")
    with pytest.raises(kind, match=r"^" + stderr[:20]) as raised:
        slurm.call("squeue")
    assert type(raised.value) is kind


def test_a_driver_in_a_job_hands_none_of_its_variables_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, tmp_path, squeue="env")
    for name in ("SLURM_JOB_ID", "SLURM_MEM_PER_CPU", "SLURM_CONF"):
        monkeypatch.setenv(name, "x")
    assert [line for line in slurm.call("squeue").splitlines() if line.startswith("SLURM")] == ["SLURM_CONF=x"]


def test_answers_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queued = r"printf '%s\n' '7|PENDING|Priority|gpatlas h/b/1/2|/a|b' '8|RUNNING|None|(null)|/c'"
    known = r"printf '%s\n' '5|CANCELLED by 0|0:15|9|node1|' '5.batch|CANCELLED|0:15|9|node1|211824K' '6|FAILED|3:0|1|node2|'"
    fake(monkeypatch, tmp_path, squeue=queued, sacct=known)
    assert slurm.queue() == [
        Queued("7", "PENDING", "Priority", "gpatlas h/b/1/2", Path("/a|b")),
        Queued("8", "RUNNING", "None", "(null)", Path("/c")),
    ]
    assert slurm.accounted(["5", "6"]) == {
        "5": Ended("5", "CANCELLED", "0", 0, 15, 9, "node1", 216.9),
        "6": Ended("6", "FAILED", "", 3, 0, 1, "node2", None),
    }


def test_a_job_that_was_taken_without_an_answer_is_not_submitted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    sbatch = f"echo once >> {tmp_path}/submitted; echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1"
    away = f"[ -e {tmp_path}/asked ] || {{ touch {tmp_path}/asked; echo 'Connection refused' >&2; exit 1; }}"
    squeue = f"{away}; echo '7|PENDING|None|gpatlas h/b/1/2|{tmp_path}'"
    fake(monkeypatch, programs, sbatch=sbatch, squeue=squeue)
    monkeypatch.setattr(slurm, "SECONDS_BETWEEN_TRIES", 0)
    assert SlurmRunner()._submit(job(tmp_path), Needs(1, 1, 0, 10)) == "7"
    assert (tmp_path / "submitted").read_text() == "once\n"


def test_a_controller_that_stays_away_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, tmp_path, sbatch="echo 'Connection refused' >&2; exit 1", squeue="echo 'Connection refused' >&2; exit 1")
    monkeypatch.setattr(slurm, "SECONDS_BETWEEN_TRIES", 0)
    monkeypatch.setattr(slurm_runner, "SECONDS_FOR_CONTROLLER", 0.1)
    with pytest.raises(RunnerError, match=r"^Slurm does not answer \(Connection refused\)$"):
        SlurmRunner()._submit(job(tmp_path), Needs(1, 1, 0, 10))


def test_where_there_is_no_room_it_waits_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count = f"echo once >> {tmp_path}/tried; [ $(wc -l < {tmp_path}/tried) -gt 3 ]"
    full = f"{count} && echo 7 || {{ echo QOSMaxSubmitJobPerUserLimit >&2; exit 1; }}"
    fake(monkeypatch, tmp_path, sbatch=full, squeue="true")
    monkeypatch.setattr(slurm, "SECONDS_BETWEEN_TRIES", 0)
    monkeypatch.setattr(slurm_runner, "SECONDS_FOR_CONTROLLER", 0)
    assert SlurmRunner()._submit(job(tmp_path), Needs(1, 1, 0, 10)) == "7"
    assert capsys.readouterr().err == "waiting for Slurm (QOSMaxSubmitJobPerUserLimit)\n"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Poller, list[Queued], dict[str, Ended]]:
    """A poller that follows job 7, what the queue tells it, and what the accounting."""
    queued: list[Queued] = []
    known: dict[str, Ended] = {}
    monkeypatch.setattr(slurm, "queue", lambda: queued)
    monkeypatch.setattr(slurm, "accounted", lambda ids: {name: one for name, one in known.items() if name in ids})
    board = Board(tmp_path)
    board.follow("7")
    return Poller(board, 10), queued, known


def test_a_job_in_the_queue_has_not_ended_whatever_the_accounting_says(asked: tuple[Poller, list[Queued], dict[str, Ended]]) -> None:
    """One that is requeued has failed there in between."""
    poller, queued, known = asked
    queued.append(Queued("7", "PENDING", "BeginTime", "", Path("/")))
    known["7"] = ended("NODE_FAIL")
    poller.look()
    assert (poller.board.ended("7"), poller.board.waiting("7")) == (None, "pending: BeginTime")
    queued.clear()
    known["7"] = ended("COMPLETED")
    poller.look()
    assert poller.board.ended("7") == ended("COMPLETED")
    assert poller.board.open_ids() == []


def test_a_job_that_slurm_has_forgotten_is_lost_after_a_while(
    asked: tuple[Poller, list[Queued], dict[str, Ended]], monkeypatch: pytest.MonkeyPatch
) -> None:
    poller, _, known = asked
    known["7"] = ended("RUNNING")
    poller.look()
    assert poller.board.ended("7") is None
    monkeypatch.setattr(slurm_poller, "SECONDS_UNKNOWN", 0)
    poller.look()
    found = poller.board.ended("7")
    assert found is not None
    assert found.state == LOST


def test_a_number_that_is_given_twice_is_another_job(asked: tuple[Poller, list[Queued], dict[str, Ended]]) -> None:
    poller, _, known = asked
    known["7"] = ended("COMPLETED")
    poller.look()
    poller.board.follow("7")
    assert poller.board.ended("7") is None


def test_a_silent_slurm_is_said_once(
    asked: tuple[Poller, list[Queued], dict[str, Ended]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent() -> list[Queued]:
        raise NoAnswer("connect failure")

    poller = asked[0]
    monkeypatch.setattr(slurm, "queue", silent)
    for _ in range(3):
        poller._ask()
    assert capsys.readouterr().err == "Slurm does not answer (connect failure); jobs go on, and are asked for again\n"
    assert poller.board.ended("7") is None


NEEDS = Needs(1, 4, 0, 60)


@pytest.mark.parametrize(
    ("state", "granted"),
    [
        ("NODE_FAIL", NEEDS),
        ("BOOT_FAIL", NEEDS),
        ("PREEMPTED", NEEDS),
        (LOST, NEEDS),
        ("TIMEOUT", Needs(1, 4, 0, 100)),
        ("OUT_OF_MEMORY", Needs(1, 8, 0, 60)),
        ("FAILED", None),
        ("COMPLETED", None),
        ("CANCELLED", None),
        ("DEADLINE", None),
    ],
)
def test_what_another_attempt_gets(state: str, granted: Needs | None) -> None:
    attempts = Attempts(NEEDS, SlurmOptions(max_minutes=100))
    assert attempts.again(ended(state), None) is (granted is not None)
    assert attempts.needs == (granted or NEEDS)
    assert len(attempts.earlier) == (granted is not None)


def test_attempts_come_to_an_end() -> None:
    of_cluster = Attempts(NEEDS, SlurmOptions())
    assert [of_cluster.again(ended("NODE_FAIL"), None) for _ in range(MOST_LOSSES)] == [True] * (MOST_LOSSES - 1) + [False]
    of_time = Attempts(NEEDS, SlurmOptions(max_minutes=100))
    assert [of_time.again(ended("TIMEOUT"), None) for _ in range(2)] == [True, False]
    of_memory = Attempts(NEEDS, SlurmOptions(max_memory_gb=4))
    assert not of_memory.again(ended("OUT_OF_MEMORY"), None)
    endless = Attempts(NEEDS, SlurmOptions())
    assert [endless.again(ended("OUT_OF_MEMORY"), None) for _ in range(4)] == [True, True, True, False]
    assert endless.needs.memory_gb == 32


END = Ending(0, 1.5, {})


@pytest.mark.parametrize("exit_code", [0, 3])
def test_a_job_that_slurm_has_forgotten_but_ran_to_its_end_is_not_run_again(exit_code: int) -> None:
    attempts, end = Attempts(NEEDS, SlurmOptions()), Ending(exit_code, 1.5, {})
    assert not attempts.again(ended(LOST), end)
    assert attempts.outcome(ended(LOST), end).exit_code == exit_code


@pytest.mark.parametrize(
    ("how", "end", "exit_code", "why"),
    [
        (ended("COMPLETED"), END, 0, ""),
        (ended("COMPLETED"), None, 75, "ended well on node1, by its job 7, but its files do not appear here"),
        (ended("FAILED", 3), END, 3, ""),
        (ended("FAILED", 139), END, -11, ""),
        (ended("FAILED", 0, 9), None, -9, ""),
        (ended("TIMEOUT"), None, 124, "failed: its job 7 on node1 ran longer than its 60 minutes; raise slurm.max_minutes"),
        (
            ended("OUT_OF_MEMORY"),
            END,
            137,
            "failed: its job 7 on node1 ran out of memory at its limit of 4 GB; raise slurm.max_memory_gb, or the config's memory_gb",
        ),
        (ended("CANCELLED", by="0"), None, 143, "failed: its job 7 on node1 was cancelled by root"),
        (ended("CANCELLED", by="987654"), None, 143, "failed: its job 7 on node1 was cancelled by 987654"),
        (ended("NODE_FAIL"), None, 75, "failed: its job 7 on node1 lost its node"),
        (ended("DEADLINE"), None, 75, "failed: its job 7 on node1 ended as DEADLINE"),
    ],
    ids=lambda value: f"{value.state} {value.exit_code}:{value.signal}" if isinstance(value, Ended) else "",
)
def test_how_a_job_s_end_is_told(how: Ended, end: Ending | None, exit_code: int, why: str) -> None:
    outcome = Attempts(NEEDS, SlurmOptions()).outcome(how, end)
    assert (outcome.exit_code, outcome.why) == (exit_code, why)
    assert outcome.wall_seconds == (1.5 if end else 3)
    slurm_facts: dict[str, Any] = outcome.facts["slurm"]
    assert (slurm_facts["job"], slurm_facts["node"], slurm_facts["elapsed_seconds"], slurm_facts["peak_memory_mb"]) == (
        "7",
        "node1",
        3,
        60.0,
    )


def followed(tmp_path: Path, appear: Callable[[], None], state: str = "COMPLETED") -> tuple[list[str], Ending | None]:
    """What is handed over of job 7, which has ended, while `appear` runs beside; and its last words."""

    class Known(Board):
        def follow(self, job_id: str) -> None:
            self.write(job_id, {"ended": {**vars(ended(state))}})

    runner = SlurmRunner()
    (tmp_path / "board").mkdir()
    runner._board = Known(tmp_path / "board")
    lines: list[str] = []
    thread = threading.Thread(target=appear)
    thread.start()
    _, end = runner._follow(job(tmp_path), "7", lines.append)
    thread.join()
    return lines, end


def test_a_log_and_files_that_appear_late_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any order: the list of the files, which has their sizes, tells when all are there."""
    monkeypatch.setattr(slurm_runner, "SECONDS_BETWEEN_LOOKS", 0.01)
    looked = threading.Event()
    monkeypatch.setattr(slurm_runner, "ending", lambda folder, job_id: (looked.set(), ending(folder, job_id))[1])

    def appear() -> None:
        def after_a_look(name: str, text: str) -> None:
            looked.clear()
            looked.wait(10)
            (tmp_path / name).write_text(text)

        after_a_look("job-7.end", "0 1.0 2.5\n4 table.csv\n10 job-7.log\n")
        after_a_look("job-7.log", "first\n")
        after_a_look("table.csv", "r\n")
        after_a_look("table.csv", "r\n1\n")
        after_a_look("job-7.log", "first\nlast")

    lines, end = followed(tmp_path, appear)
    assert lines == ["first\n", "last"]
    assert end == Ending(0, 1.5, {"table.csv": 4, "job-7.log": 10})


def test_files_that_never_appear_are_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_runner, "SECONDS_FOR_FILES", 0.1)
    assert followed(tmp_path, lambda: None) == ([], None)


def test_a_job_that_was_stopped_has_no_last_words_to_wait_for(tmp_path: Path) -> None:
    (tmp_path / "job-7.log").write_text("half a li")
    assert followed(tmp_path, lambda: None, "TIMEOUT") == (["half a li"], None)


def test_an_empty_folder_is_not_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "queue", lambda: pytest.fail("asked"))
    assert not SlurmRunner().evict(tmp_path)


def test_jobs_left_in_a_folder_are_adopted_and_but_one_of_them_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "log.txt").write_text("")
    places = {"7": tmp_path, "8": tmp_path / "other", "9": tmp_path}
    monkeypatch.setattr(slurm, "queue", lambda: [Queued(name, "RUNNING", "", "gpatlas h/b/1/2", place) for name, place in places.items()])
    cancelled: list[str] = []
    monkeypatch.setattr(slurm, "cancel", cancelled.extend)
    runner = SlurmRunner()
    assert runner.evict(tmp_path)
    assert runner._inherited == {tmp_path: "7"}
    assert cancelled == ["9"]


def test_the_command_to_repeat_a_stage_is_srun_s(tmp_path: Path) -> None:
    words = shlex.split(SlurmRunner().command(job(tmp_path, cpu=2)))
    assert words[0] == "srun"
    assert "--cpus-per-task=2" in words
    assert words[words.index(sys.executable) :][:4] == [sys.executable, "-m", "gpatlas", "collect"]
