"""A run from the command line: `luigi --module pipeline RunAll …` with signals, log, console and a verdict of our own.

Luigi's command offers no hook around a run, and its exit code is no verdict (it is not 0 where another driver did part
of the work, and can be 0 with outputs missing), so `install` wraps the one function that the command calls.
"""

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any

import luigi.interface
from luigi.cmdline_parser import CmdlineParser
from luigi.configuration import LuigiConfigParser
from luigi.parameter import ParameterException
from luigi.rpc import RPCError
from luigi.task_register import TaskClassException

from images import PROJECT
from pipeline.console import Console, Unread, Work, say
from pipeline.faults import ConfigError
from pipeline.machine import limit
from pipeline.plan import Plan, laid_out, looking_for
from pipeline.publish import CONFIG, CRATE, RUN
from pipeline.registry import RUNNERS, SLURM
from pipeline.root import RunAll
from pipeline.runners import RunnerError
from pipeline.scheduler import NoScheduler, declared, kept_informed
from pipeline.session import driver, set_driver
from pipeline.stage_task import StageTask, git_commit
from pipeline.store import LOG
from pipeline.tasks import StudyTask

LUIGI_CFG = PROJECT / "luigi.cfg"
EXIT_FAILED, EXIT_CONFIG, EXIT_INTERRUPTED = 1, 2, 130
EXIT_UNREAD = 128 + signal.SIGPIPE  # what is printed has no reader, as behind `| head`
PUBLISH = "publish"  # the root task's label
FRUITLESS_ROUNDS = 3  # that many runs of Luigi in a row which get nothing done are enough
MOST_MISSING = 20  # missing stages that are told one by one
RunLuigi = Callable[[RunAll], Any]


def install() -> None:
    """Make Luigi's command run our root tasks through `drive`, and say in a line that it knows no such task."""
    luigi.interface._run = _wrap(luigi.interface._run)
    sys.excepthook = _with_unknown_task(sys.excepthook)


def _with_unknown_task(other: Callable[..., Any]) -> Callable[..., Any]:
    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if not issubclass(kind, TaskClassException):
            other(kind, error, traceback)
            return
        print(f"{str(error).partition('.')[0]}; a study's tasks are RunAll and Plan", file=sys.stderr)
        sys.exit(EXIT_CONFIG)

    return hook


def _wrap(luigi_run: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(luigi_run)
    def run(arguments: list[str], *args: Any, **kwargs: Any) -> Any:
        try:
            root, core = _parsed(arguments)
        except (ConfigError, ParameterException, TaskClassException, ValueError) as error:
            print(error, file=sys.stderr)
            sys.exit(EXIT_CONFIG)
        if not isinstance(root, RunAll):
            return luigi_run(arguments, *args, **kwargs)
        with CmdlineParser.global_instance(list(arguments)):
            sys.exit(drive(root, core, lambda task: luigi.interface._schedule_and_run([task], None)))

    return run


def use_luigi_settings() -> None:
    """Give Luigi the project's settings; those of a luigi.cfg in the current folder, or of $LUIGI_CONFIG_PATH, win."""
    with LUIGI_CFG.open() as file:
        LuigiConfigParser.instance().read_file(file)
    LuigiConfigParser.reload()


def _parsed(arguments: list[str]) -> tuple[luigi.Task, luigi.interface.core]:
    """The root task and Luigi's own flags. Raises what Luigi's parsing raises, and ConfigError."""
    use_luigi_settings()
    warnings.filterwarnings("ignore", message=".*'rpc_retry")  # Luigi reads these two, but does not declare them
    with CmdlineParser.global_instance(list(arguments)) as parser:
        root, core = parser.get_task_obj(), luigi.interface.core()
    if core.workers < 1:
        raise ConfigError(f"--workers: must be at least 1, got {core.workers}")
    return root, core


def drive(root: RunAll, core: luigi.interface.core, luigi_run: RunLuigi) -> int:
    """Run `root` and return the exit code, which follows the root task's completeness. `core`: Luigi's own flags."""
    try:
        SLURM.options = root.study.slurm
        stages = laid_out(root)
        _check_results(root)
        if isinstance(root, Plan):
            root.run()
            return 0
        with looking_for(root, stages):
            done = root.complete()
        if done:
            say(f"nothing to do: all {len(stages)} stages are done")
        return _verdict(root if done else _run_what_can_be(root, core, luigi_run))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    except Unread:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or its flush at the end would tell
        return EXIT_UNREAD
    except (NoScheduler, RPCError, RunnerError, OSError) as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept, and the same command goes on from there", file=sys.stderr)
        return EXIT_INTERRUPTED


def _check_results(root: RunAll) -> None:
    for folder in (root.folder, root.results / "store"):
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise ConfigError(f"--results: {there} is a file; results go into a folder")
        if not os.access(there, os.W_OK):
            raise ConfigError(f"--results: {there} cannot be written to")


def _run_what_can_be(root: RunAll, core: luigi.interface.core, luigi_run: RunLuigi) -> RunAll:
    """Run the study, then, as long as stages fail, what there is without them; returns what was run last."""
    while rest := _without_failed(root, _run_rounds(root, core, luigi_run)):
        root = rest
    return root


def _without_failed(root: RunAll, failed: Mapping[str, str]) -> RunAll | None:
    """The study without the stages that failed; None where none did, nothing is left, or an earlier run has published all of it."""
    missing = _missing(root, failed)
    rest = root.without(missing)
    collect = rest.report.collect
    if missing.keys() == root.missing.keys() or collect.label in missing or not collect.fits or root.is_published():
        return None
    return rest


def _missing(root: RunAll, failed: Mapping[str, str]) -> dict[str, Any]:
    """What the study is to go without, and why: stages that failed, and of single scenarios those that read from one."""
    missing = dict(root.missing)
    for task in (task for task in root.stages() if not task.complete()):  # inputs first
        log = task.entry.failed / LOG
        if task.label in failed:
            missing[task.label] = {"why": failed[task.label], "log": str(log.relative_to(root.results)) if log.exists() else None}
        elif not isinstance(task, StudyTask) and (unread := [other.label for other in task.requires() if other.label in missing]):
            missing[task.label] = {"why": f"reads from {unread[0]}", "log": None}
    return missing


def _run_rounds(root: RunAll, core: luigi.interface.core, luigi_run: RunLuigi) -> dict[str, str]:
    """Let Luigi run as long as there is something it can do; returns the labels of the stages that failed, and why.

    Luigi leaves early where the scheduler took this driver for dead, for it was paused, or has come back without its memory.
    """
    failed: dict[str, str] = {}
    stages = root.stages()
    left, fruitless = _left(root, stages, failed), 0
    while left and fruitless < FRUITLESS_ROUNDS:
        failed |= _run_stages(root, stages, core, luigi_run)
        before, left = left, _left(root, stages, failed)
        fruitless = fruitless + 1 if len(left) == len(before) else 0
        if left and fruitless < FRUITLESS_ROUNDS:
            with suppress(Unread):
                say(f"the scheduler lost this driver with {len(left)} stages to do; going on")
    return failed


def _left(root: RunAll, stages: list[StageTask], failed: Mapping[str, str]) -> list[str]:
    """Labels of what is not done, although neither it nor anything that it reads has failed."""
    pending = [task for task in stages if not task.complete()]
    stuck = {task.label for task in pending if task.label in failed}
    for task in pending:  # inputs first
        if any(other.label in stuck for other in task.requires()):
            stuck.add(task.label)
    if pending:
        return [task.label for task in pending if task.label not in stuck]
    return [] if root.complete() or PUBLISH in failed else [PUBLISH]


def _run_stages(root: RunAll, stages: list[StageTask], core: luigi.interface.core, luigi_run: RunLuigi) -> dict[str, str]:
    """Let Luigi run what is not done; returns the labels of the stages that failed, and why."""
    todo = [task for task in stages if not task.complete()]
    work = {task.label: Work(task.name, task.size.n_individuals or 1) for task in todo}
    log = root.folder / "luigi.log"
    set_driver(os.getpid())
    git_commit()
    runner = RUNNERS[root.chosen_runner]
    limit(declared(core, runner.capacity()))
    by_id = {task.task_id: task for task in stages}
    ready = runner.ready({task.entry.part: task.stage for task in todo}, root.results)
    with _signals(), ready, _luigi_log(log), kept_informed(core, by_id), Console(work, core.workers) as console:
        without = f" without {len(root.missing)} that are missing" if root.missing else ""
        console.print(f"{root.study.path}: {len(stages)} stages{without}, {len(todo)} to do; Luigi's log: {log}")
        for task in todo:
            if task.estimate.memory_gb > task.needs.memory_gb:
                console.print(f"{task.label} may need {task.estimate.memory_gb} GB of memory, and gets {task.needs.memory_gb} GB")
            if task.estimate.minutes > task.needs.minutes:
                console.print(f"{task.label} may run for {task.estimate.minutes:,} minutes, and gets {task.needs.minutes:,}")
        with suppress(RPCError):  # where the scheduler stays away, the next round says so
            luigi_run(root)
    return console.failed


def _verdict(root: RunAll) -> int:
    """Say what there is now."""
    if not root.complete():
        undone = [task.label for task in root.stages() if not task.complete()]
        earlier = "; what is published is of an earlier run" if (root.folder / RUN).exists() else ""
        print(f"not finished: {len(undone)} stages are not done; details in {root.folder / 'luigi.log'}{earlier}", file=sys.stderr)
        return EXIT_FAILED
    say("\n".join(str(root.folder / name) for name in [RUN, CONFIG, CRATE, *root.published()]))
    if not root.missing:
        return 0
    print(f"INCOMPLETE, missing stages: {len(root.missing)}; the same command tries them again", file=sys.stderr)
    for label, facts in list(root.missing.items())[:MOST_MISSING]:
        print(f"  {label}: {facts['why']}" + (f"; log: {root.results / facts['log']}" if facts["log"] else ""), file=sys.stderr)
    if len(root.missing) > MOST_MISSING:
        print(f"  and {len(root.missing) - MOST_MISSING} more, see {root.folder / 'run.json'}", file=sys.stderr)
    return EXIT_FAILED


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the driver as Ctrl-C does: everything it started is stopped. What is ignored, as under nohup, stays so."""
    heard = [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]

    def interrupt(number: int, frame: object) -> None:
        if os.getpid() == driver():
            raise KeyboardInterrupt
        for later in heard:  # a task's process, told by whoever told the driver, and by the driver: it ends once, silently
            signal.signal(later, signal.SIG_IGN)
        sys.exit(128 + number)

    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _LogFile(logging.FileHandler):
    """Says once, in a line, that it cannot be written; logging itself prints a traceback for every record."""

    _said = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._said:
            self._said = True
            print(f"{self.baseFilename}: {sys.exc_info()[1]}", file=sys.stderr)


@contextmanager
def _luigi_log(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _LogFile(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        with suppress(OSError):  # has been said
            handler.close()
