"""One holder at a time, on file systems with locks and without; a dead holder blocks nobody."""

import errno
import fcntl
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pipeline import locks
from pipeline.locks import locked
from pipeline.session import this_process

FORK = multiprocessing.get_context("fork")


def refuse(number: int) -> Callable[..., None]:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return flock


@pytest.fixture(params=["locks", "no locks"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The kind of file system."""
    if request.param == "no locks":
        monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))
    monkeypatch.setattr(locks, "SECONDS_BETWEEN_TRIES", 0.001)
    return str(request.param)


def beside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.iterdir() if path != folder)


def _count_up(folder: Path, times: int) -> None:
    number = folder.with_name("number")
    for _ in range(times):
        with locked(folder):
            number.write_text(str(int(number.read_text()) + 1))


def test_one_holder_at_a_time(kind: str, tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    processes = [FORK.Process(target=_count_up, args=(tmp_path / "part", 25)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert (tmp_path / "number").read_text() == "100"
    assert beside(tmp_path / "part") == ["number"]


def test_the_folder_may_be_made_and_renamed_meanwhile(kind: str, tmp_path: Path) -> None:
    with locked(tmp_path / "inner" / "part"):
        (tmp_path / "inner" / "part").mkdir()
        (tmp_path / "inner" / "part").rename(tmp_path / "inner" / "result")
    assert beside(tmp_path / "inner" / "part") == ["result"]


def test_an_error_inside_lets_go(kind: str, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="inside"), locked(tmp_path / "part"):
            raise ValueError("inside")
    assert beside(tmp_path / "part") == []


def _die_at(folder: Path, step: int) -> None:
    """Die, as by SIGKILL, at the file operation of that number, or while the lock is held."""
    steps = count()

    def wrapped(operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*arguments, **options)

        return run

    for name in ("mkdir", "touch", "open", "rename", "unlink", "rmdir", "exists"):
        setattr(Path, name, wrapped(getattr(Path, name)))
    with locked(folder):
        wrapped(bool)()


def test_a_process_that_dies_at_any_point_blocks_nobody(kind: str, tmp_path: Path) -> None:
    for step in range(100):
        folder = tmp_path / str(step) / "part"
        dying = FORK.Process(target=_die_at, args=(folder, step))
        dying.start()
        dying.join()
        with locked(folder):
            pass
        if dying.exitcode == 0:
            break
    assert {"locks": 3, "no locks": 8}[kind] < step < 99


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_every_way_to_say_that_there_are_no_locks(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse(number))
    with locked(tmp_path / "part"):
        (claim,) = beside(tmp_path / "part")
        assert claim == ".part.claim"
        assert beside(tmp_path / claim / "part") == [quote(str(this_process()), safe="")]


def test_another_error_is_none_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), locked(tmp_path / "part"):
        pass


def test_what_is_locked_is_a_file_open_for_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS refuses exclusive locks on all else."""
    found = []

    def flock(file: Any, operation: int) -> None:
        found.append((stat.S_ISREG(os.fstat(file.fileno()).st_mode), fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path / "part"):
        assert found == [(True, True)]


def _claim_of(owner: object, folder: Path) -> Path:
    record = folder / ".part.claim" / quote(str(owner), safe="")
    record.parent.mkdir()
    record.touch()
    return record


def test_a_claim_from_another_host_is_waited_for_and_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))
    record, tries = _claim_of(replace(this_process(), host="elsewhere", pid=7), tmp_path), count(1)

    def sleep(_: float) -> None:
        if next(tries) == 3:
            record.unlink()

    monkeypatch.setattr(locks.time, "sleep", sleep)
    with locked(tmp_path / "part"):
        assert not record.exists()
    said = f"waiting for process 7 of elsewhere; if it is gone, remove {tmp_path / '.part.claim'}\n"
    assert capsys.readouterr().err == said


def test_a_claim_of_an_earlier_boot_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))
    record = _claim_of(replace(this_process(), boot="earlier"), tmp_path)
    with locked(tmp_path / "part"):
        assert not record.exists()


def test_a_claim_belongs_to_the_process_and_not_to_its_driver(tmp_path: Path) -> None:
    """A driver outlives the processes of its tasks."""
    code = "from pipeline.session import set_driver, session, this_process; set_driver(1); print(session().pid, this_process().pid)"
    driver, own = map(int, subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert driver == 1
    assert own != 1
