"""r/simulate.R in tests: run where AlphaSimR is installed."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "r" / "simulate.R"
QUIET = {"OMP_WAIT_POLICY": "PASSIVE"}  # threads that wait do not spin, which on a busy machine takes most of the time
NEEDED = {"AlphaSimR": "1.4.2", "hdf5r": None, "jsonlite": None}


def rscript(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["Rscript", "--vanilla", *map(str, arguments)], capture_output=True, text=True, env=os.environ | QUIET)


def skip_without_packages() -> None:
    """Skips where the script can't simulate."""
    for package, wanted in NEEDED.items():
        answer = rscript("-e", f"cat(as.character(packageVersion('{package}')))")
        if answer.returncode or (wanted and answer.stdout != wanted):
            pytest.skip(f"R package {package} {wanted or ''} is missing (found: {answer.stdout or 'none'})")


def simulate_by_alphasimr(flags: str, out: Path) -> Path:
    finished = rscript(SCRIPT, "simulate", *flags.split(), "--out", out)
    assert finished.returncode == 0, finished.stderr
    return out
