"""The Slurm runner without a cluster: what it asks of Slurm, what it makes of the answers, and what of their absence."""

import fcntl
import multiprocessing
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from drivers import is_waited_for, wait_for

from gpatlas.needs import Needs
from gpatlas.stages import STAGES
from pipeline import slurm, slurm_board, slurm_runner, slurm_submit
from pipeline.runners import Job, RunnerError
from pipeline.session import Session, session
from pipeline.slurm import LOST, Ended, NoAnswer, NoRoom, Queued, Refused
from pipeline.slurm_attempts import MOST_LOSSES, Attempts
from pipeline.slurm_board import Board
from pipeline.slurm_comment import Comment, of_results
from pipeline.slurm_options import MOST_STAGES_PER_JOB, SlurmOptions
from pipeline.slurm_runner import SlurmRunner
from pipeline.slurm_script import Ending, ending, finished, flags, remove_files, resources, shared_script, stage_script
from pipeline.slurm_submit import Pool, Request, submitted

DEAD = Session("h", "b", 1, "2")


def ended(state: str, exit_code: int = 0, signal: int = 0, by: str = "") -> Ended:
    return Ended("7", state, by, exit_code, signal, 3, "node1", 60.0)


def job(folder: Path, **needs: int) -> Job:
    arguments = ("collect", "--manifest", str(folder / "manifest.json"), "--out", str(folder / "table.csv"))
    granted = Needs(**{"cpu": 1, "memory_gb": 1, "gpu": 0, "minutes": 10, **needs})
    return Job(STAGES["collect"], arguments, folder, (), granted, {"task": "a b", "key": "0123"})


def request(folder: Path, script: str = "true\n", cpu: int = 1, memory_gb: int = 1) -> Request:
    return Request(folder, f"key-of-{folder.name}", Needs(cpu, memory_gb, 0, 10), script)


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
    found = flags("0123", "gpatlas host/boot/1/2", tmp_path, "job-%j.log", Needs(1, 1, 0, 10), SlurmOptions())
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
    text = stage_script(job(folder), shlex.join(command), SlurmOptions(prologue="export MARK=1"))
    done = subprocess.run(["bash", "-s"], input=text, env={**os.environ, "SLURM_JOB_ID": "7"}, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, f"{folder}\n", "")
    end = ending(folder, "7")
    assert end is not None
    assert (end.exit_code, end.sizes) == (3, {"manifest.json": 7, "table.csv": 7, "job-6.log": 7})
    assert 0 <= end.seconds < 60
    assert not (folder / "inner").exists()
    assert not (folder / ".table.csv.aside").exists()


def test_stages_that_share_a_job_each_have_their_own_log_and_end(tmp_path: Path) -> None:
    """One fails, one's folder is gone; started again, on another node, the job runs what has not ended."""
    names = ("good", "bad", "gone")
    commands = {tmp_path / name: ["sh", "-c", f"echo {name}; echo {name} >> {tmp_path}/ran; exit {3 * (name == 'bad')}"] for name in names}
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    text = shared_script({folder: stage_script(job(folder), shlex.join(command), SlurmOptions()) for folder, command in commands.items()})
    environment = {**os.environ, "SLURM_JOB_ID": "7", "SLURMD_NODENAME": "node1"}
    for late in ("", "gone"):
        if late:
            (tmp_path / late).mkdir()
        subprocess.run(["bash", "-s"], input=text, env=environment, text=True, capture_output=True)
    assert (tmp_path / "ran").read_text().split() == ["good", "bad", "gone"]
    ends = [ending(tmp_path / name, "7") for name in names]
    assert [(end.exit_code, end.stages, end.node, end.sizes) for end in ends if end] == [
        (0, 3, "node1", {"job-7.log": 5}),
        (3, 3, "node1", {"job-7.log": 4}),
        (0, 3, "node1", {"job-7.log": 5}),
    ]
    assert (tmp_path / "bad" / "job-7.log").read_text() == "bad\n"
    assert (finished(tmp_path / "good"), finished(tmp_path / "bad")) == (["7"], [])


def test_a_job_that_a_controller_forgot_is_not_joined_by_a_second(tmp_path: Path) -> None:
    with second_start(tmp_path, stage_script(job(tmp_path), f"touch {tmp_path}/ran", SlurmOptions())) as second:
        assert not (tmp_path / "ran").exists()
    assert second.wait(60) == 0
    assert (tmp_path / "ran").exists()


@contextmanager
def second_start(folder: Path, script: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The script, as job 7, waiting for another start of the stage in the folder, which runs until the block ends."""
    lock = folder / "job-lock"
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        second = subprocess.Popen(["bash", "-c", script], env={**os.environ, "SLURM_JOB_ID": "7"})
        wait_for(lambda: is_waited_for(lock))
        yield second


def ended_in_shared_job(folder: Path) -> None:
    (folder / "job-7.end").write_text("0 1.0 2.0 2 node1\n2 table.csv\n")


def taken_over(folder: Path) -> None:
    remove_files(folder)


def published(folder: Path) -> None:
    folder.rename(folder.with_name("stage"))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("meanwhile", [ended_in_shared_job, taken_over, published])
def test_a_second_start_leaves_alone_what_is_done_meanwhile(tmp_path: Path, meanwhile: Callable[[Path], None], shared: bool) -> None:
    """As of a job whose node was thought to be lost."""
    folder = tmp_path / "stage.part"
    folder.mkdir()
    (folder / "table.csv").write_text("r\n")
    text = stage_script(job(folder), f"touch {tmp_path}/ran", SlurmOptions())
    with second_start(folder, shared_script({folder: text}) if shared else text) as second:
        meanwhile(folder)
    second.wait(60)
    again = meanwhile is ended_in_shared_job and not shared  # of a job by itself Slurm's end counts
    assert (tmp_path / "ran").exists() == again
    assert [path.read_text() for path in tmp_path.glob("stage*/table.csv")] == ([] if again else ["r\n"])


def test_a_script_that_cannot_write_its_last_words_ends_with_a_code_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "job-7.end.aside").mkdir()
    text = stage_script(job(tmp_path), "true", SlurmOptions())
    assert subprocess.run(["bash", "-c", text], env={**os.environ, "SLURM_JOB_ID": "7"}, capture_output=True).returncode == 74


def test_a_folder_that_is_gone_ends_the_script(tmp_path: Path) -> None:
    text = stage_script(job(tmp_path / "gone"), f"touch {tmp_path}/ran", SlurmOptions())
    assert (
        subprocess.run(["bash", "-s"], input=text, env={**os.environ, "SLURM_JOB_ID": "7"}, capture_output=True, text=True).returncode == 1
    )
    assert not (tmp_path / "ran").exists()


def test_without_a_gpu_none_is_seen(tmp_path: Path) -> None:
    assert " CUDA_VISIBLE_DEVICES=\n" in stage_script(job(tmp_path), "true", SlurmOptions())
    assert "CUDA" not in stage_script(job(tmp_path, gpu=1), "true", SlurmOptions())


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
    squeue = f"{away}; echo '7|PENDING|None|{Comment.of(DEAD, [tmp_path])}|{tmp_path}'"
    fake(monkeypatch, programs, sbatch=sbatch, squeue=squeue)
    monkeypatch.setattr(slurm, "SECONDS_BETWEEN_TRIES", 0)
    assert submitted([request(tmp_path)], SlurmOptions()) == "7"
    assert (tmp_path / "submitted").read_text() == "once\n"


def test_a_controller_that_stays_away_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, tmp_path, sbatch="echo 'Connection refused' >&2; exit 1", squeue="echo 'Connection refused' >&2; exit 1")
    monkeypatch.setattr(slurm, "SECONDS_BETWEEN_TRIES", 0)
    monkeypatch.setattr(slurm_submit, "SECONDS_FOR_CONTROLLER", 0.1)
    with pytest.raises(NoAnswer, match=r"^Connection refused$"):
        submitted([request(tmp_path)], SlurmOptions())


def pooled(folder: Path, requests: list[Request], **options: Any) -> list[str | None]:
    """The answers that the tasks of these stages get, all at once."""
    pool = Pool(folder, SlurmOptions(**options))
    with ThreadPoolExecutor(len(requests)) as tasks:
        return list(tasks.map(pool.job_of, requests))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `sbatch` that notes its script and its flags, and takes every job; nothing is in the queue."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(slurm_submit, "SECONDS_FOR_COMPANY", 0.5)
    sbatch = f'n=$(($(ls {tmp_path}/sent-* 2>/dev/null | wc -l) + 1)); {{ echo "$@"; cat; }} > {tmp_path}/sent-$n; echo $n'
    fake(monkeypatch, folder, sbatch=sbatch, squeue="true")
    return folder


def test_stages_that_wait_at_the_same_time_get_into_one_job(tmp_path: Path, programs: Path) -> None:
    requests = [request(tmp_path / name, f"echo {name}\n", memory_gb=n) for n, name in enumerate("abc", 1)]
    assert pooled(programs, requests) == ["1", "1", "1"]
    sent = (tmp_path / "sent-1").read_text()
    assert {sent.count(f"\necho {name}\n") for name in "abc"} == {1}
    assert "--time=30 " in sent.splitlines()[0] + " "
    assert "--mem=2862M" in sent
    assert f"--chdir={tmp_path} " in sent


def test_a_job_has_no_more_stages_than_it_may_and_a_stage_that_is_left_over_has_its_own(tmp_path: Path, programs: Path) -> None:
    requests = [request(tmp_path / name) for name in "abc"] + [request(tmp_path / "wide", cpu=8)]
    *answers, wide = pooled(programs, requests, stages_per_job=2)
    assert sorted(map(str, answers)) == ["1", "1", "None"]
    assert wide is None


def test_a_shared_job_that_a_dead_task_has_submitted_is_found(tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comment = Comment.of(session(), [tmp_path / "a", tmp_path / "b"])
    fake(monkeypatch, programs, squeue=f"echo '9|RUNNING|None|{comment}|{tmp_path}'")
    assert pooled(programs, [request(tmp_path / name) for name in "abcd"]) == ["9", "9", "1", "1"]


def test_where_slurm_refuses_a_shared_job_each_stage_gets_its_own(
    tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(monkeypatch, programs, sbatch="echo 'Requested time limit is invalid' >&2; exit 1")
    assert pooled(programs, [request(tmp_path / name) for name in "ab"]) == [None, None]
    assert capsys.readouterr().err == "Slurm takes no job of several stages (Requested time limit is invalid); each gets its own\n"


def test_the_comment_of_the_largest_shared_job_is_one_that_slurm_takes() -> None:
    driver = Session("h" * 64, "b" * 36, 4194304, "9" * 12)
    assert len(str(Comment.of(driver, [Path(str(n)) for n in range(MOST_STAGES_PER_JOB)]))) <= 1024


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_a_comment_is_read_as_it_was_written(tmp_path: Path, names: list[str]) -> None:
    comment = Comment.of(DEAD, [tmp_path / name for name in names])
    assert str(comment).startswith("gpatlas h/b/1/2 ")
    assert Comment.parse(str(comment)) == comment
    assert [comment.has(tmp_path / name) for name in "abc"] == [name in names for name in "abc"]
    assert comment.is_shared() == (names == ["a", "b"])


@pytest.mark.parametrize(
    "text", ["", "(null)", "gpatlas", "gpatlas h/b/1/2", "gpatlas my own notes", "gpatlas h/b/x/2 0123", "other h/b/1/2 0123"]
)
def test_a_job_with_another_comment_is_nobody_s(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "queue", lambda: [Queued("7", "RUNNING", "", text, tmp_path)])
    assert Comment.parse(text) is None
    assert of_results(tmp_path) == []


def test_only_what_takes_seconds_shares_a_job() -> None:
    runner = SlurmRunner()
    assert [runner._may_share(Needs(1, 1, gpu, minutes)) for gpu, minutes in ((0, 10), (0, 11), (1, 10))] == [True, False, False]
    runner.options = SlurmOptions(stages_per_job=1)
    assert not runner._may_share(Needs(1, 1, 0, 10))


def test_where_there_is_no_room_it_waits_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count = f"echo once >> {tmp_path}/tried; [ $(wc -l < {tmp_path}/tried) -gt 3 ]"
    full = f"{count} && echo 7 || {{ echo QOSMaxSubmitJobPerUserLimit >&2; exit 1; }}"
    fake(monkeypatch, tmp_path, sbatch=full, squeue="true")
    monkeypatch.setattr(slurm, "SECONDS_BETWEEN_TRIES", 0)
    monkeypatch.setattr(slurm_submit, "SECONDS_FOR_CONTROLLER", 0)
    assert submitted([request(tmp_path)], SlurmOptions()) == "7"
    assert capsys.readouterr().err == "waiting for Slurm (QOSMaxSubmitJobPerUserLimit)\n"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Board, list[Queued], dict[str, Ended]]:
    """A board on which a task follows job 7, what the queue tells it, and what the accounting."""
    queued: list[Queued] = []
    known: dict[str, Ended] = {}
    monkeypatch.setattr(slurm, "queue", lambda: queued)
    monkeypatch.setattr(slurm, "accounted", lambda ids: {name: one for name, one in known.items() if name in ids})
    board = Board(tmp_path, 10)
    board.follow("7")
    return board, queued, known


def test_a_job_in_the_queue_has_not_ended_whatever_the_accounting_says(asked: tuple[Board, list[Queued], dict[str, Ended]]) -> None:
    """One that is requeued has failed there in between."""
    board, queued, known = asked
    queued.append(Queued("7", "PENDING", "BeginTime", "", Path("/")))
    known["7"] = ended("NODE_FAIL")
    board.look()
    assert (board.ended("7"), board.waiting("7")) == (None, "pending: BeginTime")
    queued.clear()
    known["7"] = ended("COMPLETED")
    board.look()
    assert board.ended("7") == ended("COMPLETED")
    assert board.open_ids() == []


def test_a_job_that_slurm_has_forgotten_is_lost_after_a_while(
    asked: tuple[Board, list[Queued], dict[str, Ended]], monkeypatch: pytest.MonkeyPatch
) -> None:
    board, _, known = asked
    known["7"] = ended("RUNNING")
    board.look()
    assert board.ended("7") is None
    monkeypatch.setattr(slurm_board, "SECONDS_UNKNOWN", 0)
    board.look()
    found = board.ended("7")
    assert found is not None
    assert found.state == LOST


def test_a_number_that_is_given_twice_is_another_job(asked: tuple[Board, list[Queued], dict[str, Ended]]) -> None:
    board, _, known = asked
    known["7"] = ended("COMPLETED")
    board.look()
    board.follow("7")
    assert board.ended("7") is None


def test_how_a_job_ended_stays_known_to_another_stage_that_was_given_its_number(
    asked: tuple[Board, list[Queued], dict[str, Ended]], tmp_path: Path
) -> None:
    board, _, known = asked
    known["7"] = ended("TIMEOUT")
    runner = SlurmRunner()
    runner._board = board
    assert runner._follow(job(tmp_path), "7", False, lambda line: None) == (ended("TIMEOUT"), None)
    assert board.ended("7") == ended("TIMEOUT")


def test_a_silent_slurm_is_said_once(
    asked: tuple[Board, list[Queued], dict[str, Ended]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent() -> list[Queued]:
        raise NoAnswer("connect failure")

    board = asked[0]
    monkeypatch.setattr(slurm, "queue", silent)
    monkeypatch.setattr(board, "seconds", 0)
    for _ in range(3):
        board.ask_if_due()
    assert capsys.readouterr().err == "Slurm does not answer (connect failure); jobs go on, and are asked for again\n"
    assert board.ended("7") is None


def test_the_task_that_asks_may_be_killed(asked: tuple[Board, list[Queued], dict[str, Ended]], monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is at it the others do not ask; then one of them does."""
    board, _, known = asked
    known["7"] = ended("COMPLETED")
    at_it = board.folder / "at it"

    def hang() -> None:
        at_it.touch()
        time.sleep(600)

    monkeypatch.setattr(board, "look", hang)
    task = multiprocessing.get_context("fork").Process(target=board.ask_if_due)
    task.start()
    wait_for(at_it.exists)
    monkeypatch.undo()
    monkeypatch.setattr(slurm, "queue", list)
    monkeypatch.setattr(slurm, "accounted", lambda ids: known)
    board.ask_if_due()
    assert board.ended("7") is None
    task.kill()
    task.join()
    board.ask_if_due()
    assert board.ended("7") == ended("COMPLETED")


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


@pytest.mark.parametrize(
    ("state", "exit_code", "again"),
    [
        ("COMPLETED", 0, False),
        ("FAILED", 3, False),
        ("FAILED", 137, True),
        ("COMPLETED", None, True),
        ("TIMEOUT", None, True),
        ("OUT_OF_MEMORY", None, True),
        ("NODE_FAIL", None, True),
        ("PartitionTimeLimit", None, True),
        ("CANCELLED", None, False),
    ],
)
def test_a_stage_that_a_shared_job_left_undone_gets_its_own_job_and_no_more_than_before(
    state: str, exit_code: int | None, again: bool
) -> None:
    attempts = Attempts(NEEDS, SlurmOptions(max_minutes=60, max_memory_gb=4), shared=True)
    end = None if exit_code is None else Ending(exit_code, 1.5, 3, "node1", {})
    assert attempts.again(ended(state, exit_code or 0), end) is again
    assert (attempts.shared, attempts.needs, len(attempts.earlier)) == (not again, NEEDS, again)


END = Ending(0, 1.5, 1, "node1", {})


@pytest.mark.parametrize("exit_code", [0, 3])
def test_a_job_that_slurm_has_forgotten_but_ran_to_its_end_is_not_run_again(exit_code: int) -> None:
    attempts, end = Attempts(NEEDS, SlurmOptions()), Ending(exit_code, 1.5, 1, "node1", {})
    assert not attempts.again(ended(LOST), end)
    assert attempts.outcome(ended(LOST), end).exit_code == exit_code


@pytest.mark.parametrize(
    ("how", "end", "exit_code", "why"),
    [
        (ended("COMPLETED"), END, 0, ""),
        (ended("COMPLETED"), None, 75, "ended well on node1, by its job 7, but its files do not appear here"),
        (ended("FAILED", 3), END, 3, ""),
        (ended("FAILED", 139), END, -11, ""),
        (ended("FAILED", 74), END, 74, ""),
        (ended("FAILED", 74), None, 74, "could not write on node1, by its job 7; is the disk, or a quota, full?"),
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
            self._write(job_id, {"ended": {**vars(ended(state))}})

    runner = SlurmRunner()
    (tmp_path / "board").mkdir()
    runner._board = Known(tmp_path / "board", 10)
    lines: list[str] = []
    thread = threading.Thread(target=appear)
    thread.start()
    _, end = runner._follow(job(tmp_path), "7", False, lines.append)
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

        after_a_look("job-7.end", "0 1.0 2.5 1 node1\n4 table.csv\n10 job-7.log\n")
        after_a_look("job-7.log", "first\n")
        after_a_look("table.csv", "r\n")
        after_a_look("table.csv", "r\n1\n")
        after_a_look("job-7.log", "first\nlast")

    lines, end = followed(tmp_path, appear)
    assert lines == ["first\n", "last"]
    assert end == Ending(0, 1.5, 1, "node1", {"table.csv": 4, "job-7.log": 10})


def test_a_stage_of_a_shared_job_has_ended_with_its_own_last_words(tmp_path: Path) -> None:
    runner, lines = SlurmRunner(), list[str]()
    (tmp_path / "board").mkdir()
    runner._board = Board(tmp_path / "board", 1000)
    runner._board._ask = lambda: pytest.fail("asked")  # type: ignore[method-assign]
    (tmp_path / "job-7.log").write_text("first\n")
    (tmp_path / "job-7.end").write_text("3 1.0 3.0 5 node2\n6 job-7.log\n")
    assert runner._follow(job(tmp_path), "7", True, lines.append) == (
        Ended("7", "FAILED", "", 3, 0, 2, "node2", None),
        Ending(3, 2.0, 5, "node2", {"job-7.log": 6}),
    )
    assert lines == ["first\n"]


def test_a_shared_job_that_can_never_start_is_given_up_by_all_its_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by one that looks after it was cancelled."""
    cancelled: list[str] = []
    monkeypatch.setattr(slurm, "cancel", cancelled.extend)
    monkeypatch.setattr(slurm, "queue", lambda: [Queued("7", "PENDING", "PartitionTimeLimit", "", tmp_path)])
    (tmp_path / "board").mkdir()
    runner = SlurmRunner()
    runner._board = Board(tmp_path / "board", 1000)
    (first, end) = runner._follow(job(tmp_path), "7", True, lambda line: None)
    assert (first.state, end, cancelled) == ("PartitionTimeLimit", None, ["7"])
    monkeypatch.setattr(slurm, "queue", list)
    runner._board.look()
    assert runner._board.ended("7") == first
    with pytest.raises(RunnerError, match=r"^Slurm will never start job 8 \(PartitionTimeLimit\)"):
        runner._refuse_hopeless("8", "pending: PartitionTimeLimit", False)


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
    monkeypatch.setattr(
        slurm, "queue", lambda: [Queued(name, "RUNNING", "", str(Comment.of(DEAD, [place])), place) for name, place in places.items()]
    )
    cancelled: list[str] = []
    monkeypatch.setattr(slurm, "cancel", cancelled.extend)
    runner = SlurmRunner()
    assert runner.evict(tmp_path)
    assert runner._inherited == {tmp_path: ("7", False)}
    assert cancelled == ["9"]


def test_of_two_jobs_in_a_folder_the_shared_one_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "log.txt").write_text("")
    marks = {"7": str(Comment.of(DEAD, [tmp_path])), "8": str(Comment.of(DEAD, [tmp_path / "other", tmp_path]))}
    monkeypatch.setattr(slurm, "queue", lambda: [Queued(name, "RUNNING", "", mark, tmp_path) for name, mark in marks.items()])
    cancelled: list[str] = []
    monkeypatch.setattr(slurm, "cancel", cancelled.extend)
    runner = SlurmRunner()
    assert runner.evict(tmp_path)
    assert (runner._inherited, cancelled) == ({tmp_path: ("8", True)}, ["7"])


def test_a_job_that_ended_while_there_was_no_driver_is_adopted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it ended well, and all that it wrote is here."""
    monkeypatch.setattr(slurm, "queue", list)
    for job_id, end in {
        "8": "0 1.0 2.0 1 node1\n2 table.csv\n",
        "9": "0 1.0 2.0 1 node1\n3 table.csv\n",
        "10": "1 1.0 2.0 1 node1\n",
    }.items():
        (tmp_path / f"job-{job_id}.end").write_text(end)
    (tmp_path / "table.csv").write_text("r\n")
    runner = SlurmRunner()
    assert runner.evict(tmp_path)
    assert runner._inherited == {tmp_path: ("8", False)}
    (tmp_path / "table.csv").unlink()
    assert not runner.evict(tmp_path)


def test_the_command_to_repeat_a_stage_is_srun_s(tmp_path: Path) -> None:
    words = shlex.split(SlurmRunner().command(job(tmp_path, cpu=2)))
    assert words[0] == "srun"
    assert "--cpus-per-task=2" in words
    assert words[words.index(sys.executable) :][:4] == [sys.executable, "-m", "gpatlas", "collect"]
