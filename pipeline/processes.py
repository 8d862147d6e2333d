"""The process of a stage on this machine, tied to the task that started it.

On Linux a stage's Python process is forked from a driver that has imported what stages import, which takes seconds.
"""

import ctypes
import gc
import logging
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from setproctitle import setproctitle

from gpatlas.cli import main
from gpatlas.stages import Stage
from images import PROJECT

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, however that ends (Linux; elsewhere a no-op)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def preload(stages: Iterable[Stage]) -> None:
    """Import what the stages will import, for those that are forked from this process; not from its working directory.

    What cannot be imported is left to the stage, which tells why.
    """
    sys.path[:] = [str(PROJECT), *(path for path in sys.path if path not in ("", os.getcwd()))]
    for module in dict.fromkeys(module for stage in stages for module in stage.modules()):
        with suppress(Exception):
            import_module(module)
    gc.freeze()  # what a collection only looks at, it copies


class ForkedStage:
    """A stage's command in a process forked from this one, with what the local runner needs of `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], shown: Sequence[str]) -> None:
        """`shown`: the command line by which a person finds the process."""
        read, write = os.pipe()
        sys.stdout.flush()  # or both processes would write what waits there
        sys.stderr.flush()
        parent, self._pid = os.getpid(), os.fork()
        if not self._pid:
            _run_forked(arguments, shown, write, parent)
        os.close(write)
        self.stdout = os.fdopen(read, errors="replace")

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code; negative: the signal that ended it. To be called once."""
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def _run_forked(arguments: Sequence[str], shown: Sequence[str], output: int, parent: int) -> NoReturn:
    """Run the command as if nothing of the driver were there."""
    exit_code = 1
    try:
        _leave_driver(output, parent)
        setproctitle(shlex.join(shown))
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # peak memory counts from here
        main(list(arguments))
    except SystemExit as ended:
        exit_code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(exit_code)


def _leave_driver(output: int, parent: int) -> None:
    os.setsid()
    die_with(parent)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    logging.root.handlers.clear()
    logging.root.setLevel(logging.WARNING)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
