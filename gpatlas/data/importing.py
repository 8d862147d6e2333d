"""Imports a user's own population: joins the files by id, filters the loci, writes the dataset, and reports what was left out."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gpatlas.data.dataset import DatasetError
from gpatlas.data.genotypes import MISSING, ByteArray
from gpatlas.data.imported import PopulationWriter
from gpatlas.data.joining import Joined, Tables, check_traits, join
from gpatlas.data.matching import People
from gpatlas.data.population import Loci
from gpatlas.data.settings import OwnDataSettings
from gpatlas.data.sources import SourceError
from gpatlas.progress import Progress

BLOCK_BYTES = 1 << 24  # of calls that are decoded at once, a byte each
Mask = npt.NDArray[np.bool_]


class GenotypeFile(People, Protocol):
    """A file of genotypes, open. `ploidy` is known with the first block; `skipped`: loci that it cannot hand out, by reason."""

    ploidy: int
    skipped: Counter[str]

    def blocks(self) -> Iterator[tuple[ByteArray, Loci]]:
        """Counts (k, n) 0, 1, 2 or MISSING of some loci after the other, the individuals in the order of the file."""
        ...

    def done(self) -> tuple[int, int]:
        """How much of the file is read, and of how much."""
        ...


def loci_at_once(n_individuals: int) -> int:
    """Of a block; a multiple of 8."""
    return max(8, min(1024, BLOCK_BYTES // n_individuals) // 8 * 8)


@dataclass
class LocusFilter:
    """Which loci are kept, as counted on the `n_individuals` that are imported; and the calls at those loci, by individual."""

    n_individuals: int
    min_maf: float
    max_missing: float
    left_out: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    heterozygous: int = 0

    def __post_init__(self) -> None:
        self.called = np.zeros(self.n_individuals, np.int64)

    def keep(self, counts: ByteArray, ploidy: int) -> Mask:
        """(k,) of `counts` (k, n)."""
        n_called, n_one, n_two = (counts != MISSING).sum(axis=1), (counts == 1).sum(axis=1), (counts == 2).sum(axis=1)
        alleles = n_one + 2 * n_two
        rarer = np.minimum(alleles, ploidy * n_called - alleles)
        most = np.maximum(np.maximum(n_one, n_two), n_called - n_one - n_two)
        reasons = {
            "without_calls": n_called == 0,
            "above_max_missing": (self.n_individuals - n_called) / self.n_individuals > self.max_missing,
            "without_variation": most == n_called,
            "below_min_maf": rarer / np.maximum(ploidy * n_called, 1) < self.min_maf,
        }
        kept = np.ones(len(counts), bool)
        for reason, mask in reasons.items():
            self.left_out[reason] += int((kept & mask).sum())
            kept &= ~mask
        self.kept += int(kept.sum())
        self.called += (counts[kept] != MISSING).sum(axis=0)
        self.heterozygous += int(n_one[kept].sum())
        return kept


def import_population(
    stage: str,
    settings: OwnDataSettings,
    open_genotypes: Callable[[frozenset[str]], GenotypeFile],
    source: Path,
    out: Path,
    progress: Progress,
) -> None:
    """Import into the dataset file `out`. `open_genotypes` is told the ids of the individuals with phenotypes.

    Raises DatasetError, naming file and line, or id, where a file is broken or disagrees with another or with `settings`.
    """
    try:
        tables = Tables.read(settings)
        genotyped = open_genotypes(tables.ids())
        joined = join(genotyped, tables)
        loci = LocusFilter(len(joined.rows), settings.min_maf, settings.max_missing)
        with PopulationWriter(out, joined.individuals) as writer:
            names = [
                _write(writer, counts.take(joined.rows, axis=1), found, genotyped, loci, progress) for counts, found in genotyped.blocks()
            ]
            if not loci.kept:
                reasons = ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in (genotyped.skipped + loci.left_out).items())
                raise DatasetError(f"{source}: no locus is left to import ({reasons or 'the file has none'})")
            report = _report(joined, tables, loci, genotyped, np.concatenate(names))
            _finish(writer, joined, tables, loci, report, {"ploidy": genotyped.ploidy, "stage": stage, "source": source.name})
    except SourceError as error:
        raise DatasetError(str(error)) from error
    shown = {name: report[name] for name in ("n_individuals", "n_loci")}
    _, total = genotyped.done()
    progress(total, total, **shown, **{f"warning_{number}": text for number, text in enumerate(report["warnings"], start=1)})
    progress.report(report=report)


def _write(
    writer: PopulationWriter, counts: ByteArray, found: Loci, genotyped: GenotypeFile, loci: LocusFilter, progress: Progress
) -> npt.NDArray[np.str_]:
    """The loci of a block that are kept; returns their ids."""
    kept = loci.keep(counts, genotyped.ploidy)
    found = _named(Loci(**{one.name: getattr(found, one.name)[kept] for one in fields(Loci)}))
    if kept.any():
        writer.write(counts[kept], found)
    done, total = genotyped.done()
    if done < total:
        progress(done, total)
    return found.id


def _named(loci: Loci) -> Loci:
    """Loci without an id are called chromosome:position."""
    names = [
        f"{chromosome}:{position}" if name in ("", ".") else name
        for name, chromosome, position in zip(loci.id, loci.chromosome, loci.position, strict=True)
    ]
    return replace(loci, id=np.array(names, np.str_))


def _report(joined: Joined, tables: Tables, loci: LocusFilter, genotyped: GenotypeFile, names: npt.NDArray[np.str_]) -> dict[str, Any]:
    """What is known before the individuals without calls are found."""
    left_out = {f"loci_{reason}": n for reason, n in (*genotyped.skipped.items(), *loci.left_out.items())}
    return {
        **joined.report,
        "n_loci": loci.kept,
        **left_out,
        "repeated_locus_ids": len(names) - len(np.unique(names)),
        "covariates": list(joined.individuals.covariate_names),
        "warnings": tables.warnings,
    }


def _finish(
    writer: PopulationWriter, joined: Joined, tables: Tables, loci: LocusFilter, report: dict[str, Any], facts: dict[str, Any]
) -> None:
    """Adds to `report` what depends on the individuals that have calls, and writes it with the rest of the file."""
    individuals = joined.individuals.rows(loci.called > 0)
    check_traits(tables, individuals.phenotypes)
    n = len(individuals.ids)
    report["without_calls"] = len(joined.rows) - n
    report["n_individuals"] = n
    report["traits"] = dict(zip(individuals.traits, (~np.isnan(individuals.phenotypes)).sum(axis=0).tolist(), strict=True))
    report["n_groups"] = None if individuals.groups is None else len(np.unique(individuals.groups))
    report["missing_rate"] = 1 - int(loci.called.sum()) / (n * loci.kept)
    report["heterozygosity"] = loci.heterozygous / int(loci.called.sum()) if facts["ploidy"] == 2 else None
    writer.finish(facts["ploidy"], facts["stage"], {"source": facts["source"], "report": json.dumps(report)})
