"""A folder for one process at a time: by the kernel's lock, or where the file system has no locks by a claim.

Either ends with the process that holds it, whatever ends that.
"""

import errno
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote

from pipeline.session import Session, this_process

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
HELD = {errno.EEXIST, errno.ENOTEMPTY}
SECONDS_BETWEEN_TRIES = 0.2


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder, which need not be there. The lock lies beside it, so that the folder may be made and renamed meanwhile."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        if not _locked_by_kernel(folder.with_name(f".{folder.name}.lock"), held):
            held.enter_context(_claimed(folder.with_name(f".{folder.name}.claim")))
        yield


@contextmanager
def locked_at_once(path: Path) -> Iterator[bool]:
    """Hold the file, which is on a disk of this machine, for the block; False, at once, where another process has it."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _locked_by_kernel(path: Path, held: ExitStack) -> bool:
    """Lock the file until `held` is closed, which also removes it; False where the file system has no locks.

    It is open for writing: over NFS no other file can be locked exclusively.
    """
    while True:
        with ExitStack() as attempt:
            file = attempt.enter_context(path.open("a"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                path.unlink(missing_ok=True)
                return False
            if _is_there(file.fileno(), path):
                attempt.callback(path.unlink, missing_ok=True)
                held.push(attempt.pop_all())
                return True


def _is_there(descriptor: int, path: Path) -> bool:
    """Whether the open file still is the one at `path`: whoever held it before has removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _claimed(claim: Path) -> Iterator[None]:
    """Hold the folder `claim`, by a record in it: an empty file that is named by its process.

    The record is made in a folder aside, which is then renamed to `claim`. That fails while another record is there, and takes the place
    of an empty folder, so that what a dead process left is gone as soon as anybody removes its record.
    """
    record = quote(str(this_process()), safe="")
    aside = claim.with_name(f"{claim.name}.{record}")
    aside.mkdir(exist_ok=True)
    (aside / record).touch()
    try:
        while not _renamed(aside, claim, record):
            _remove_ended(claim)
            time.sleep(SECONDS_BETWEEN_TRIES)
        yield
    finally:
        for folder in (claim, aside):
            (folder / record).unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()


def _renamed(aside: Path, claim: Path, record: str) -> bool:
    """Over NFS a rename can succeed and be called a failure, so the record has the last word."""
    try:
        aside.rename(claim)
    except OSError as error:
        if error.errno not in HELD and not (claim / record).exists():
            raise
    return (claim / record).exists()


def _remove_ended(claim: Path) -> None:
    with suppress(FileNotFoundError):
        for path in claim.iterdir():
            owner = Session.parse(unquote(path.name))
            if owner.ended():
                path.unlink(missing_ok=True)
            elif owner.host != this_process().host:
                _say(claim, owner)
    with suppress(OSError):
        claim.rmdir()


@cache
def _say(claim: Path, owner: Session) -> None:
    """Once: of a process on another host nobody here knows whether it lives."""
    print(f"waiting for process {owner.pid} of {owner.host}; if it is gone, remove {claim}", file=sys.stderr)
