"""Importer of AlphaSimR's text files, as the study (doi 10.57844/arcadia-25nt-guw3) wrote and archived them.

Genetic values are not in the files. They are recomputed from the effects, and phenotypes that they do not explain are refused.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from gpatlas.data.alphasimr_checks import check_genetic_variance, explained_h2
from gpatlas.data.alphasimr_effects import EffectTable, read_effects
from gpatlas.data.alphasimr_texts import GenotypeReader, fault, quoted, read_phenotypes
from gpatlas.data.dataset import DatasetError, DatasetWriter
from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import ByteArray, FloatArray, blocks
from gpatlas.data.linear import linear_r_squared
from gpatlas.data.settings import ImportSettings
from gpatlas.data.simulate import realised
from gpatlas.data.sources import SourceError, Text, open_texts
from gpatlas.progress import Progress

BLOCK_SIZE = 4096
FREQUENCY_TOLERANCE = 1e-6


def run(settings: ImportSettings, source: Path, out: Path, progress: Progress) -> None:
    """Import one scenario from a folder or tar archive into the dataset file `out`.

    Raises DatasetError, naming file and line, where the files are broken, disagree with each other or with the sizes in
    `settings`, and where the effects do not explain the phenotypes (unless `allow_unexplained`).
    """
    try:
        with open_texts(source, settings.scenario, out.parent) as texts:
            _import(settings, texts, out, progress)
    except SourceError as error:
        raise DatasetError(str(error)) from error


def _import(settings: ImportSettings, texts: Iterator[Text], out: Path, progress: Progress) -> None:
    table = read_effects(next(texts))
    n_loci, n_traits = table.effects.additive.shape
    _check_traits(settings, table)
    reader = GenotypeReader(next(texts))
    n = len(reader.individuals)
    _check_size("n_individuals", settings.n_individuals, n, reader.text)
    with DatasetWriter(out, n, n_loci, n_traits, with_genetic_values=not settings.allow_unexplained) as writer:
        for start, columns in reader.slabs(n_loci):
            writer.write_genotype_columns(start, columns)
            progress(min(8 * (start + columns.shape[1]), n_loci), n_loci)
        _check_frequencies(table, reader.frequencies)
        phenotype_text = next(texts)
        individuals, phenotypes = read_phenotypes(phenotype_text, n_traits)
        _check_individuals(phenotype_text, individuals, reader)
        writer.write_rows("phenotypes", 0, phenotypes)
        additive, epistatic = _recompute(writer, table.effects, n)
        check_genetic_variance(table.text, additive + epistatic)
        raw = table.effects
        effects = Effects(raw.additive, raw.pairs, raw.epistatic, -(additive + epistatic).mean(axis=0))
        genetic_values = effects.intercept + additive + epistatic
        h2 = settings.h2
        if not settings.allow_unexplained:
            h2 = explained_h2(phenotype_text, phenotypes, genetic_values, h2, 2 * effects.pairs.shape[1] < n_loci)
            writer.write_rows("genetic_values", 0, genetic_values)
        assert h2 is not None
        progress.report(h2=h2, h2_source=_h2_source(settings))
        rel_aa = np.full(n_traits, np.nan) if settings.rel_aa is None else np.array(settings.rel_aa)
        share = linear_r_squared(partial(_packed, writer, n), effects, genetic_values)
        attributes = {**import_attributes(settings, effects, h2), "linear_r_squared": share}
        writer.finish(effects, realised(additive, epistatic, rel_aa), attributes)


def _h2_source(settings: ImportSettings) -> str:
    return "given" if settings.h2 is not None else "estimated"


def import_attributes(settings: ImportSettings, effects: Effects, h2: float) -> dict[str, str | float]:
    """The dataset file's attributes that tell where the data came from; what the files do not tell is null, or -1 for the seed.

    Consecutive traits with the same QTL pairs are one trait group: AlphaSimR draws them once for all traits of a call.
    """
    groups: list[list[int]] = []
    for trait in range(len(effects.pairs)):
        if groups and np.array_equal(effects.pairs[trait], effects.pairs[groups[-1][0]]):
            groups[-1].append(trait)
        else:
            groups.append([trait])
    described = [
        {"rel_aa": _common_rel_aa(settings, group), "n_traits": len(group), "genetic_correlation": None if len(group) > 1 else 0.0}
        for group in groups
    ]
    return {
        "h2": h2,
        "h2_source": _h2_source(settings),
        "seed": -1,
        "simulator": "alphasimr",
        "simulator_version": "unknown",
        "trait_groups": json.dumps(described),
    }


def _common_rel_aa(settings: ImportSettings, traits: list[int]) -> float | None:
    values = set() if settings.rel_aa is None else {settings.rel_aa[trait] for trait in traits}
    return values.pop() if len(values) == 1 else None


def _recompute(writer: DatasetWriter, effects: Effects, n: int) -> tuple[FloatArray, FloatArray]:
    """Additive and epistatic part (n, T) of the genetic values, from the genotypes as they were written."""
    additive, epistatic = np.empty((n, len(effects.intercept))), np.empty((n, len(effects.intercept)))
    for (start, stop), packed in zip(blocks(n, BLOCK_SIZE), _packed(writer, n), strict=True):
        additive[start:stop], epistatic[start:stop] = effects.parts(packed)
    return additive, epistatic


def _packed(writer: DatasetWriter, n: int) -> Iterator[ByteArray]:
    return (writer.read_rows("genotypes", start, stop) for start, stop in blocks(n, BLOCK_SIZE))


def _check_size(name: str, expected: int | None, actual: int, text: Text) -> None:
    if expected is not None and expected != actual:
        raise DatasetError(f"{text.name}: {name} is {actual}, expected {expected} as set")


def _check_traits(settings: ImportSettings, table: EffectTable) -> None:
    n_loci, n_traits = table.effects.additive.shape
    _check_size("n_loci", settings.n_loci, n_loci, table.text)
    _check_size("n_qtl", settings.n_qtl, 2 * table.effects.pairs.shape[1], table.text)
    if settings.rel_aa is not None and len(settings.rel_aa) != n_traits:
        raise DatasetError(
            f"{table.text.name}: has {n_traits} traits, but rel_aa is set to {len(settings.rel_aa)} values; one per trait is needed"
        )


def _check_frequencies(table: EffectTable, frequencies: FloatArray) -> None:
    wrong = np.argwhere(~(np.abs(table.sfs - frequencies) <= FREQUENCY_TOLERANCE))
    if len(wrong):
        trait, locus = map(int, wrong[0])
        found = f"sfs is {table.sfs[trait, locus]:.9g}, but allele 1 has frequency {frequencies[locus]:.9g} in the genotypes"
        message = f"trait {trait + 1}, locus {locus + 1}: {found}; do the files belong together?"
        raise fault(table.text, table.line(trait, locus), message)


def _check_individuals(text: Text, individuals: list[bytes], reader: GenotypeReader) -> None:
    if individuals == reader.individuals:
        return
    for row, (name, expected) in enumerate(zip(individuals, reader.individuals, strict=False)):
        if name != expected and not _same_number(name, expected):
            message = f"individual {quoted(name)}, expected {quoted(expected)} as in {reader.text.name}"
            raise fault(text, row + 2, f"{message}: both must list the same individuals in the same order")
    if len(individuals) != len(reader.individuals):
        raise DatasetError(f"{text.name}: has {len(individuals)} individuals, but {reader.text.name} has {len(reader.individuals)}")


def _same_number(first: bytes, second: bytes) -> bool:
    """R may write 100000 as 1e+05."""
    try:
        return float(first) == float(second)
    except ValueError:
        return False
