"""Help for tests that run the driver as a person does: in a process of its own, on a results folder of its own."""

import contextlib
import copy
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from gpatlas.cli import main
from gpatlas.stages import STAGES

PROJECT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}


def small_study(models: dict[str, Any], n_individuals: int, n_qtl: int | list[int], protocol: str = "holdout") -> dict[str, Any]:
    """A study of one experiment, with one replicate."""
    grid = [{"n_individuals": n_individuals, "n_qtl": n_qtl, "replicates": 1}]
    experiment = {"scenario": "qhaplo_{n_qtl}qtl_{n_individuals}n_rep{replicate}", "grid": grid, "models": models}
    return {"protocol": protocol, "experiments": {"scaling": experiment}}


RIDGE_STUDY = small_study({"ridge": None}, 200, [10, 20])
# Of one fit, which takes seconds and tells of every split: work to be disturbed in.
SLOW_STUDY = small_study({"ridge": {"n_splits": 20}}, 3000, 400, protocol="paper")
LOCAL = ("--local-scheduler",)


def write_study(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def changed(content: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy with one value replaced; `key` is dotted, numbers index lists. A value of ... removes the key."""
    content = copy.deepcopy(content)
    *parents, last = key.split(".")
    place: Any = content
    for part in parents:
        place = place[int(part) if isinstance(place, list) else part]
    if value is ...:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return content


def start(
    config: Path, results: Path, *flags: str, task: str = "RunAll", project: Path = PROJECT, before: Sequence[str] = (), **options: Any
) -> subprocess.Popen[str]:
    """`before`: the words of a command that runs the driver."""
    command = [*before, sys.executable, "-m", "luigi", "--module", "pipeline", task, "--config", str(config), "--results", str(results)]
    environment = {**ENVIRONMENT, "PYTHONPATH": str(project)}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": environment, **options}
    # A shell's background job hands on that it ignores Ctrl-C.
    return subprocess.Popen([*command, "--workers", "2", *flags], cwd=project, preexec_fn=hear_ctrl_c, **streams)


def hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(config: Path, results: Path, *flags: str, **options: Any) -> tuple[int, str]:
    """Exit code and everything printed."""
    driver = start(config, results, *(flags or LOCAL), **options)
    output, _ = driver.communicate(timeout=600)
    return driver.returncode, output


def table(results: Path, study: str) -> pd.DataFrame:
    """The published table, without what no two runs share."""
    return pd.read_csv(results / study / "results.csv").drop(columns="seconds")


def undisturbed_table(folder: Path, content: dict[str, Any]) -> pd.DataFrame:
    """The table of a study, from a run by the local runner that nothing happens to."""
    code, output = run(write_study(folder / "study.yaml", content), folder / "results")
    assert code == 0, output
    return table(folder / "results", "study")


def repeated(stage: Path, into: Path) -> Path:
    """The output of a finished stage, made again in the folder `into`: by the command in its provenance, in this process."""
    words = shlex.split(json.loads((stage / "provenance.json").read_text())["command"])
    first = next(place for place, word in enumerate(words) if word in {known.command for known in STAGES.values()})
    into.mkdir()
    with contextlib.chdir(into), pytest.raises(SystemExit) as end:
        main(words[first:])
    assert end.value.code == 0
    return into / words[words.index("--out") + 1]


def assert_repeatable(results: Path, folder: Path, **exactness: Any) -> None:
    """Datasets, fits and the collected table are what their commands give in this process; into `folder`, which is made."""
    folder.mkdir()
    stages = [path.parent for name in ("data.h5", "table.csv") for path in results.glob(f"store/*/*/*/{name}")]
    for stage in stages:
        again = repeated(stage, folder / stage.name)
        if again.suffix == ".h5":
            assert again.read_bytes() == (stage / again.name).read_bytes()
        else:
            made, found = (pd.read_csv(path).drop(columns="seconds") for path in (stage / again.name, again))
            pd.testing.assert_frame_equal(made, found, **exactness)


def processes(*words: str) -> dict[int, str]:
    """Command lines of the living processes that contain all the words."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if all(word in command for word in words) and state != "Z":
            found[int(folder.name)] = command
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 600) -> Any:
    """What `condition` returns, as soon as that is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"{condition} did not become true in {seconds} s")


def is_waited_for(lock: Path) -> bool:
    """Whether a process waits for the lock of this file."""
    inode = f":{lock.stat().st_ino} "
    return any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


def entries(results: Path) -> dict[str, float]:
    """Every folder of the store, with the time of its last change."""
    return {str(path.relative_to(results)): path.stat().st_mtime for path in _folders(results / "store")}


def _folders(store: Path) -> Iterator[Path]:
    return store.glob("*/*/*")
