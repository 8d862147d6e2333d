"""Writes a config for a user's own files: ready to run, with what was found in them as comments."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gpatlas.data.covariates import is_numeric
from gpatlas.data.dataset import Dataset, DatasetError
from gpatlas.data.genotypes import FloatArray
from gpatlas.data.matching import IndividualTable
from gpatlas.data.own_files import importer_of
from gpatlas.data.population import Description
from gpatlas.data.settings import OwnDataSettings
from gpatlas.data.text_tables import trait_names
from gpatlas.figures.registry import FIGURES
from gpatlas.machine import machine_memory
from gpatlas.models.registry import MODELS
from gpatlas.models.settings import FitSettings
from gpatlas.models.splits import fold_splits
from gpatlas.needs import memory_bytes
from gpatlas.progress import Progress
from gpatlas.settings import Size, build
from gpatlas.stages import FITS, STAGES

FOLDS = (10, 5, 4, 3, 2)
FEW = 100  # individuals; fewer are cut into fewer folds
PROTOCOL = "cross_validation"
# Units of the network's hidden layers, by the individuals up to which it has so few.
HIDDEN_SIZES = {1000: 128, 10_000: 512, 10**9: 1024}
PLAIN = re.compile(r"(\.{0,2}/)*[A-Za-z_][\w./+-]*", re.ASCII)
WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}  # that YAML does not take for text


@dataclass(frozen=True)
class Found:
    """What the files hold, as imported: `report` is the import's, `phenotypes` (n, T); `not_traits`: columns left out, and why."""

    size: Size
    report: dict[str, Any]
    described: Description
    phenotypes: FloatArray
    not_traits: dict[str, str]


def ready_config(settings: OwnDataSettings, genotypes: Path, config: Path, progress: Progress) -> str:
    """The text of the file `config`. The user's files are imported once, so that what is written runs.

    Raises ValueError, of the importers, where they cannot be.
    """
    folder = config.parent
    found = look(settings, genotypes, folder, progress)
    n_folds = choose_folds(found)
    models, too_large = choose_models(found.size, n_folds)
    lines = [
        "# Written by `gpatlas new-config`, ready to run:",
        f"# luigi --module pipeline RunAll --config {shlex.quote(str(config))} --workers 2 --local-scheduler",
        *(f"# {line}" for line in _told(found)),
        f"protocol: {PROTOCOL}  # every individual is predicted by fits that never saw it",
        f"n_folds: {n_folds}",
        "n_repeats: 1  # more of them, each with other folds, narrow the intervals",
        "experiments:",
        f"  {_name_of(genotypes)}:",
        "    data:",
        *(f"      {line}" for line in _data(found, settings, genotypes, folder)),
        "    models:",
        *(f"      {name}:{_flow(values)}" for name, values in models.items()),
        *(f"      # {line}" for line in too_large),
    ]
    figures = [name for name, entry in FIGURES.items() if not entry.fault(models, "imported", (PROTOCOL,))]
    return "\n".join([*lines, f"    figures: [{', '.join(map(written_name, figures))}]"]) + "\n"


def look(settings: OwnDataSettings, genotypes: Path, folder: Path, progress: Progress) -> Found:
    """Import the files into a dataset in `folder` that is removed again. Columns that can't be traits are left out."""
    stage = STAGES[importer_of(genotypes)]
    not_traits = {} if settings.traits else _not_traits(settings)
    traits = settings.traits or tuple(
        name for name in trait_names(settings.phenotypes, settings.id_column, settings.group_column) if name not in not_traits
    )
    if not traits:
        reasons = ", ".join(f"{name!r} {why}" for name, why in not_traits.items())
        raise DatasetError(f"{settings.phenotypes}: no column can be a trait: {reasons}")
    chosen = build(stage.settings, {**settings.model_dump(exclude_none=True), "traits": traits})
    with TemporaryDirectory(prefix=".new-config.", dir=folder) as aside:
        dataset = Path(aside) / stage.output
        stage.load()(chosen, genotypes, dataset, progress)
        with Dataset(dataset) as data:
            described = data.description()
            assert described is not None
            size = Size(data.n_individuals, data.n_loci, data.n_traits, data.bits)
            return Found(size, json.loads(data.attributes["report"]), described, data.phenotypes(), not_traits)


def _not_traits(settings: OwnDataSettings) -> dict[str, str]:
    names = trait_names(settings.phenotypes, settings.id_column, settings.group_column)
    columns = IndividualTable.read(settings.phenotypes, settings.id_column, names).values
    why = {name: "holds text" for name in names if not is_numeric(columns[name])}
    return why | {name: "has a comma in its name" for name in names if "," in name}


def choose_folds(found: Found) -> int:
    """The largest number of FOLDS of which each holds two individuals of every trait, in whole groups. ValueError where none does."""
    n, groups = found.size.n_individuals, found.described.groups
    measured = ~np.isnan(found.phenotypes)
    most = n if groups is None else len(set(groups.tolist()))
    for n_folds in sorted({*FOLDS, most}, reverse=True):
        if not 2 <= n_folds <= min(most, FOLDS[0] if measured.sum(axis=0).min() >= FEW else FOLDS[1]):
            continue
        tests = [split.test for split in fold_splits(n, groups, False, FitSettings(protocol=PROTOCOL, n_folds=n_folds))]
        if all(measured[test].sum(axis=0).min() >= 2 for test in tests):
            return n_folds
    raise ValueError("groups: no two folds of whole groups have two individuals of every trait; leave out --group-column, or a trait")


def choose_models(size: Size, n_folds: int) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Models with their settings, and what is to be said of those that need more memory than there is. One trait at a time is fitted."""
    hidden = next(units for n, units in HIDDEN_SIZES.items() if size.n_individuals <= n)
    chosen: dict[str, dict[str, Any]] = {name: {} for name in ("ridge", "egblup", "rkhs", "pairwise", "elastic_net", "boosting")}
    chosen["mlp"] = {"hidden_size": hidden}
    too_large = []
    for name in list(chosen):
        settings = build(MODELS[name].settings, {"protocol": PROTOCOL, "n_folds": n_folds, **chosen[name]})
        one_trait = Size(size.n_individuals, size.n_loci, 1, size.bits)
        needed, there = memory_bytes(FITS[name], settings, one_trait), machine_memory()
        if name != "ridge" and needed > there:
            del chosen[name]
            too_large.append(f"{name}: needs {needed / 1e9:,.0f} GB of memory; there are {there / 1e9:,.0f} GB")
    usual = MODELS["stack"].settings().model_dump()["models"]
    combined = [name for name in usual if name in chosen]
    chosen["stack"] = {} if len(combined) == len(usual) else {"models": combined}
    return chosen, too_large


def _told(found: Found) -> Iterator[str]:
    """What was found, in sentences."""
    report, size = found.report, found.size
    alone = f"{report['in_genotypes_only']:,} have genotypes only, {report['in_phenotypes_only']:,} phenotypes only."
    yield f"{size.n_individuals:,} individuals have genotypes and phenotypes; {alone}"
    yield f"{size.n_loci:,} loci, ploidy {found.described.ploidy}, {100 * report['missing_rate']:.2g} % of calls missing" + (
        "." if report["heterozygosity"] is None else f", heterozygosity {report['heterozygosity']:.3g}."
    )
    counts = {name: n for name, n in report.items() if name.startswith(("loci_", "without_", "repeated_")) and n}
    if counts:
        yield "Left out or told apart: " + ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in counts.items()) + "."
    for name, why in found.not_traits.items():
        yield f"No trait: {written_name(name)}, which {why}."
    yield from (" ".join(warning.split()) for warning in report["warnings"])


def _data(found: Found, settings: OwnDataSettings, genotypes: Path, folder: Path) -> Iterator[str]:
    """The lines of the block `data`."""
    described, report = found.described, found.report
    yield f"genotypes: {_path(genotypes, folder)}"
    yield f"phenotypes: {_path(settings.phenotypes, folder)}"
    if settings.covariates:
        yield f"covariates: {_path(settings.covariates, folder)}  # {', '.join(map(written_name, described.covariate_names))}"
    if settings.id_column:
        yield f"id_column: {written_name(settings.id_column)}"
    if settings.group_column:
        yield f"group_column: {written_name(settings.group_column)}  # {report['n_groups']:,} groups; each is in one fold as a whole"
    yield "traits:  # each is fitted by itself; [A, B] in place of A fits two together"
    for name, values in zip(described.trait_names, found.phenotypes.T, strict=True):
        there = values[~np.isnan(values)]
        hint = "; whole numbers: if they name families, this is no trait" if (there == there.round()).all() else ""
        yield f"  - {written_name(name)}  # {len(there):,} individuals, mean {there.mean():.4g}, sd {there.std(ddof=1):.4g}{hint}"
    yield f"min_maf: {settings.min_maf:g}  # loci with a lower frequency of the rarer allele are left out"
    yield f"max_missing: {settings.max_missing:g}  # and those with a larger share of missing calls"


def _name_of(genotypes: Path) -> str:
    """An experiment's name."""
    name = re.sub(r"[^A-Za-z0-9_+=-]", "_", genotypes.name.partition(".")[0]).lstrip("_+=-")[:100]
    return name if PLAIN.fullmatch(name) and name.lower() not in {*WORDS, "collected"} else f"own_{name}"[:100]


def _path(path: Path, folder: Path) -> str:
    return written_name(relpath(path.parent.resolve() / path.name, folder.resolve()))


def _flow(values: dict[str, Any]) -> str:
    return " {" + ", ".join(f"{name}: {value}" for name, value in values.items()) + "}" if values else ""


def written_name(text: str) -> str:
    """A text as YAML has it: in quotes where it may be taken for anything else."""
    return text if PLAIN.fullmatch(text) and text.lower() not in WORDS else json.dumps(text, ensure_ascii=False)
