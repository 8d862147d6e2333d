"""What a process may use, read from control groups as Linux shows them in files, version 1 and 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from drivers import ENVIRONMENT, PROJECT

from gpatlas import needs
from gpatlas.machine import machine_cores, machine_memory
from pipeline.machine import capacity

INSTALLED = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
ALLOWED = len(os.sched_getaffinity(0))
MB = 10**6


def system(folder: Path, groups: str, **files: str) -> Path:
    """A root folder with these control groups; the files by their place in /sys/fs/cgroup, with + for /."""
    contents = {"proc/self/cgroup": groups} | {f"sys/fs/cgroup/{name.replace('+', '/')}": text for name, text in files.items()}
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")
    return folder


@pytest.mark.parametrize(
    ("groups", "files", "memory"),
    [
        ("0::/", {"memory.max": f"{5 * MB}"}, 5 * MB),
        ("0::/", {"memory.max": "max"}, INSTALLED),
        ("0::/", {}, INSTALLED),
        ("0::/a/b", {"a+b+memory.max": "max", "a+memory.max": f"{7 * MB}"}, 7 * MB),
        ("0::/a/b", {"a+b+memory.max": f"{3 * MB}", "a+memory.max": f"{7 * MB}"}, 3 * MB),
        ("0::/a/b", {"a+c+memory.max": f"{3 * MB}"}, INSTALLED),
        ("0::/../..", {"memory.max": f"{4 * MB}"}, 4 * MB),
        ("9:memory:/job\n0::/", {"memory+job+memory.limit_in_bytes": f"{2 * MB}"}, 2 * MB),
        ("9:memory:/docker/1f", {"memory+memory.limit_in_bytes": f"{2 * MB}"}, 2 * MB),  # mounted without its host's path
        ("9:memory:/", {"memory+memory.limit_in_bytes": "9223372036854771712"}, INSTALLED),
        ("9:cpu:/", {"memory+memory.limit_in_bytes": f"{2 * MB}"}, INSTALLED),
        ("9:memory:/a\n0::/a", {"unified+a+memory.max": f"{6 * MB}"}, 6 * MB),
    ],
)
def test_memory(tmp_path: Path, groups: str, files: dict[str, str], memory: int) -> None:
    assert machine_memory(system(tmp_path, groups, **files)) == memory


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/", {"cpu.max": "max 100000"}, ALLOWED),
        ("0::/", {"cpu.max": "100000 100000"}, 1),
        ("0::/", {"cpu.max": "10000 100000"}, 1),
        ("0::/a/b", {"a+b+cpu.max": "max 100000", "a+cpu.max": "190000 100000"}, 1),
        ("0::/", {"cpu.max": f"{ALLOWED * 100_000 + 50_000} 100000"}, ALLOWED),
        ("4:cpu,cpuacct:/job", {"cpu,cpuacct+job+cpu.cfs_quota_us": "100000", "cpu,cpuacct+job+cpu.cfs_period_us": "100000"}, 1),
        ("4:cpuacct,cpu:/job", {"cpu+job+cpu.cfs_quota_us": "50000", "cpu+job+cpu.cfs_period_us": "50000"}, 1),
        ("4:cpu:/", {"cpu+cpu.cfs_quota_us": "-1", "cpu+cpu.cfs_period_us": "100000"}, ALLOWED),
        ("4:cpuset:/", {"cpuset+cpu.cfs_quota_us": "1", "cpuset+cpu.cfs_period_us": "1"}, ALLOWED),
    ],
)
def test_cores(tmp_path: Path, groups: str, files: dict[str, str], cores: int) -> None:
    assert machine_cores(system(tmp_path, groups, **files)) == cores


def test_without_control_groups_the_machine_is_all_there_is(tmp_path: Path) -> None:
    assert (machine_memory(tmp_path), machine_cores(tmp_path)) == (INSTALLED, ALLOWED)


def test_affinity_is_heeded() -> None:
    """As `taskset` or a batch system sets it."""
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    code += "; from pipeline.machine import capacity; print(capacity()['cpu'])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert answer.stdout == "1\n"


def test_driver_and_stages_ask_the_same_function(monkeypatch: pytest.MonkeyPatch) -> None:
    assert needs.machine_memory is machine_memory
    capacity.cache_clear()
    monkeypatch.setattr("pipeline.machine.machine_memory", lambda: 3_900_000_000)
    assert capacity()["memory_gb"] == 3
    capacity.cache_clear()
    monkeypatch.setattr("pipeline.machine.machine_memory", lambda: 300_000_000)
    assert capacity()["memory_gb"] == 1
    capacity.cache_clear()
