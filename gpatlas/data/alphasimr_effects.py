"""Reader of the study's `<scenario>_eff.txt`: a row per trait and locus, `trait locus add_eff epi_loc epi_eff sfs`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpatlas.data.alphasimr_texts import MISSING, check_length, fault, numbered_lines, numbers, quoted, read_header
from gpatlas.data.dataset import DatasetError
from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import FloatArray
from gpatlas.data.sources import Text

EFFECT_COLUMNS = ("trait", "locus", "add_eff", "epi_loc", "epi_eff", "sfs")


@dataclass(frozen=True)
class EffectTable:
    """`_eff.txt`: the effects (intercept 0, the file has none) and the allele frequencies `sfs` (n_traits, n_loci)."""

    text: Text
    effects: Effects
    sfs: FloatArray

    def line(self, trait: int, locus: int) -> int:
        """Of `trait` and `locus`, both from 0."""
        return _effect_line(self.sfs.shape[1], trait, locus)


def _effect_line(n_loci: int, trait: int, locus: int) -> int:
    return 2 + trait * n_loci + locus


def read_effects(text: Text) -> EffectTable:
    """The effects of every trait, at 0-based locus positions.

    `epi_loc` and the rows it stands in number the QTL, not the loci: AlphaSimR's epiEff indexes the QTL list, and the study
    joined it to the loci as it is. So the k-th row that has an `epi_loc` speaks of the k-th QTL, and the QTL are
    the loci with an additive effect (all loci, where all rows have a partner).
    """
    columns = _read_effect_columns(text)
    n_loci = _check_complete(text, columns[0], columns[1])
    add_eff, epi_loc, epi_eff, sfs = (np.array(column).reshape(-1, n_loci) for column in columns[2:])
    drawn = [_pairs(text, trait, add_eff[trait], epi_loc[trait], epi_eff[trait]) for trait in range(len(add_eff))]
    n_qtl = [2 * len(pairs) for pairs, _ in drawn]
    for trait, count in enumerate(n_qtl):
        if count != n_qtl[0]:
            raise DatasetError(f"{text.name}: trait {trait + 1} has {count} QTL, but trait 1 has {n_qtl[0]}: all must have as many")
    pairs = np.array([pairs for pairs, _ in drawn], dtype=np.int32)
    epistatic = np.array([epistatic for _, epistatic in drawn])
    return EffectTable(text, Effects(np.ascontiguousarray(add_eff.T), pairs, epistatic, np.zeros(len(pairs))), sfs)


def _read_effect_columns(text: Text) -> list[list[float]]:
    """The six columns; NaN where epi_loc and epi_eff are NA."""
    rows = numbered_lines(text)
    header = read_header(text, rows)
    if header != [name.encode() for name in EFFECT_COLUMNS]:
        raise fault(text, 1, f"header must be '{' '.join(EFFECT_COLUMNS)}', got {quoted(b' '.join(header))}")
    columns: list[list[float]] = [[] for _ in EFFECT_COLUMNS]
    for line, content in rows:
        fields = content.split(b" ")
        check_length(text, line, fields, len(EFFECT_COLUMNS))
        for column, value in zip(columns, _effect_row(text, line, fields), strict=True):
            column.append(value)
    if not columns[0]:
        raise DatasetError(f"{text.name}: has a header but no rows")
    return columns


def _effect_row(text: Text, line: int, fields: list[bytes]) -> tuple[float, ...]:
    trait, locus = _whole(text, line, fields[0], "trait"), _whole(text, line, fields[1], "locus")
    additive, frequency = numbers(text, line, [fields[2], fields[5]], ["add_eff", "sfs"])
    if (fields[3] == MISSING) != (fields[4] == MISSING):
        raise fault(text, line, f"epi_loc is {quoted(fields[3])} and epi_eff {quoted(fields[4])}: both or neither must be NA")
    if fields[3] == MISSING:
        return trait, locus, additive, np.nan, np.nan, frequency
    partner = _whole(text, line, fields[3], "epi_loc")
    return trait, locus, additive, partner, numbers(text, line, [fields[4]], ["epi_eff"])[0], frequency


def _whole(text: Text, line: int, field: bytes, name: str) -> int:
    """A whole number, also as R may write it: 1e+05."""
    value = numbers(text, line, [field], [name])[0]
    if not value.is_integer():
        raise fault(text, line, f"{name} must be a whole number, got {quoted(field)}")
    return int(value)


def _check_complete(text: Text, traits: list[float], loci: list[float]) -> int:
    """The number of loci; every trait 1, 2, … must list the loci 1, 2, … in order."""
    n_loci = next((row for row, trait in enumerate(traits) if trait != traits[0]), len(traits))
    for row, (trait, locus) in enumerate(zip(traits, loci, strict=True)):
        expected = (row // n_loci + 1, row % n_loci + 1)
        if (trait, locus) != expected:
            raise fault(
                text,
                row + 2,
                f"is trait {trait:g}, locus {locus:g}; expected trait {expected[0]}, locus {expected[1]}: "
                f"every trait lists the same loci 1, 2, … in order (trait 1 has {n_loci})",
            )
    if len(traits) % n_loci:
        raise DatasetError(f"{text.name}: ends after locus {loci[-1]:g} of trait {traits[-1]:g}, trait 1 has {n_loci} loci")
    return n_loci


def _pairs(
    text: Text, trait: int, add_eff: FloatArray, epi_loc: FloatArray, epi_eff: FloatArray
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Loci (n_qtl/2, 2), from 0, and epistatic effects (n_qtl/2,) of one trait's pairs, from its rows (n_loci,)."""
    rows = np.flatnonzero(~np.isnan(epi_loc))
    n_qtl = len(rows)
    qtl = rows if n_qtl == len(add_eff) else np.flatnonzero(add_eff)
    name = f"{text.name}: trait {trait + 1}"
    if len(qtl) != n_qtl or n_qtl == 0:
        raise DatasetError(
            f"{name}: {len(qtl)} loci have an additive effect, but {n_qtl} rows an epi_loc; each should be the number of QTL"
        )
    if n_qtl % 2:
        raise DatasetError(f"{name}: {n_qtl} QTL, expected an even number: they form pairs")
    if not (np.array_equal(rows, np.arange(n_qtl)) or np.array_equal(rows, qtl)):
        raise DatasetError(f"{name}: epi_loc must stand in the rows of loci 1 to {n_qtl}, or in those of the QTL")
    epi_loc, epi_eff = epi_loc[rows], epi_eff[rows]
    for index, row in enumerate(rows):
        if message := _partner_fault(index, epi_loc, epi_eff):
            raise fault(text, _effect_line(len(add_eff), trait, int(row)), f"trait {trait + 1}, QTL {index + 1}: {message}")
    partners = epi_loc.astype(np.int64) - 1
    firsts = np.flatnonzero(np.arange(n_qtl) < partners)
    return np.stack([qtl[firsts], qtl[partners[firsts]]], axis=1), epi_eff[firsts]


def _partner_fault(index: int, epi_loc: FloatArray, epi_eff: FloatArray) -> str | None:
    """What is wrong with the partner of QTL `index` (from 0), if anything; arguments (n_qtl,)."""
    partner = int(epi_loc[index]) - 1
    if not 0 <= partner < len(epi_loc):
        return f"epi_loc {partner + 1} is not the number of a QTL, 1 to {len(epi_loc)}"
    if partner == index:
        return "is its own partner"
    if epi_loc[partner] != index + 1:
        return f"its partner is QTL {partner + 1}, whose partner is QTL {epi_loc[partner]:g}; partners must name each other"
    if epi_eff[partner] != epi_eff[index]:
        own, other = float(epi_eff[index]), float(epi_eff[partner])
        return f"epi_eff is {own!r}, but {other!r} at its partner QTL {partner + 1}; both must have the effect of the pair"
    return None
