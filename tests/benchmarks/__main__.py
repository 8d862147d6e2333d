"""Benchmarks: `python tests/benchmarks` writes results/bench/, in about 25 minutes on two idle cores."""

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from costs import costs, draw
from measure import PROJECT, machine

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
COLUMNS = ["work", "peer", "ours_seconds", "peer_seconds", "ratio", "pearson_r", "peer_pearson_r"]
COLUMNS += ["peak_memory_mb", "peer_peak_memory_mb", "disk_mb", "fraction_of_peak", "note"]
TEXT = """# Benchmarks

Each stage beside what a user would pick instead, the `peer`; the two take turns, so that both meet the same load. Seconds are medians of
three pairs of wall times, of fewer where pairs take a minute or more; `ratio` is the median of peer / ours. Where both can be judged,
`pearson_r` is ours and `peer_pearson_r` the peer's, of the same individuals, which neither was fitted to. All cores are there for both.
Rows that say 'from …' are worked out from a part.

- The study's way is written anew in `tests/benchmarks/`, at its own cost.
- scikit-learn's models are fitted in the same process, as a user would write them, with `n_jobs=-1`, five folds and the settings of ours
  where both have them; an `untuned` one is as it comes. Of five traits each is fitted by itself.
- PLINK, GEMMA, bed-reader, pandas and AlphaSimR are processes, as are ours beside them, from files and to files. PLINK scans the pairs
  once, where ours also fits and predicts; GEMMA needs three calls for the predictions.
- A peer that is not installed leaves its columns empty, and `note` says so.

`make bench` repeats all this into `results/bench/`, in about 25 minutes on two idle cores. The peers that are not among the project's
packages: `apt-get install plink1.9 gemma`, `.venv/bin/pip install bed-reader`, and AlphaSimR in R.

{machine}

{table}

`fraction_of_peak`: floating-point operations a second of the matrix products, of those that one large matrix product reaches here.
Peak memory is that of the whole process. A GPU was not measured.

![Seconds and peak memory of four stages against individuals and loci](cost.png)
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="tiny sizes, once: tries the benchmarks, measures nothing")
    arguments.add_argument("--only", choices=MODULES, help="print this module's rows alone, write nothing")
    arguments.add_argument("--out", type=Path, default=PROJECT / "results" / "bench", help="folder to write")
    options = arguments.parse_args()
    facts = machine()
    table = pd.DataFrame(measured([options.only] if options.only else MODULES, options.quick))
    if not options.only:
        write(facts, table, pd.DataFrame(costs(options.quick)), options.out)


def measured(modules: list[str], quick: bool) -> Iterator[dict[str, Any]]:
    """The rows of all modules, each printed as soon as it is there."""
    for module in modules:
        for row in importlib.import_module(module).rows(quick):
            print("  ".join(f"{name} {shown(value)}" for name, value in row.items()), flush=True)
            yield row


def write(facts: dict[str, str], table: pd.DataFrame, costs: pd.DataFrame, out: Path) -> None:
    """benchmarks.csv, costs.csv, cost.png and benchmarks.md, which with cost.png goes to docs/ by hand."""
    out.mkdir(parents=True, exist_ok=True)
    table = table.reindex(columns=COLUMNS)
    table.to_csv(out / "benchmarks.csv", index=False)
    costs.to_csv(out / "costs.csv", index=False)
    draw(costs, out / "cost.png")
    about = markdown(["", ""], [[name, fact] for name, fact in facts.items()])
    cells = [[shown(value) for value in row] for row in table.itertuples(index=False)]
    (out / "benchmarks.md").write_text(TEXT.format(machine=about, table=markdown(COLUMNS, cells)))


def markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(value: Any) -> str:
    """Three digits; nothing where nothing was measured."""
    if isinstance(value, str):
        return value
    return "" if pd.isna(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


if __name__ == "__main__":
    main()
