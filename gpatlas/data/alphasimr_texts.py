"""Readers of the study's genotype and phenotype text files, each checked field by field.

    <scenario>_g.txt    qtl 1_1 2_1 3_1 …      a row per locus, a 0/1 per individual
    <scenario>_p.txt    ind Trait1 Trait2 …    a row per individual

Every fault is a DatasetError that names the file, the line (from 1) and, where there is one, the individual.
"""

from array import array
from collections.abc import Iterator, Sequence
from math import isfinite, nan

import numpy as np

from gpatlas.data.dataset import DatasetError
from gpatlas.data.genotypes import ByteArray, FloatArray
from gpatlas.data.sources import Text

MISSING = b"NA"
SLAB_BYTES = 64
ONE_AND_SPACE = int.from_bytes(b"1 ", "little")  # "0 " is one less


def fault(text: Text, line: int, message: str) -> DatasetError:
    """The error for something wrong in one line (from 1) of a text."""
    return DatasetError(f"{text.name}, line {line}: {message}")


def numbered_lines(text: Text) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line without its end); empty lines are allowed at the end only."""
    empty = 0
    for number, raw in enumerate(text.stream, start=1):
        line = raw.rstrip(b"\r\n")
        if not line:
            empty = empty or number
        elif empty:
            raise fault(text, empty, "is empty, but is not the last line")
        else:
            yield number, line


def read_header(text: Text, rows: Iterator[tuple[int, bytes]]) -> list[bytes]:
    """The fields of the first of `rows`; DatasetError where there is none."""
    _, line = next(rows, (0, b""))
    if not line:
        raise DatasetError(f"{text.name}: is empty")
    return line.split(b" ")


def quoted(field: bytes) -> str:
    """A field as messages quote it, cut at 40 characters."""
    return repr(field[:40].decode("utf-8", "replace"))


def numbers(text: Text, line: int, fields: Sequence[bytes], names: Sequence[str], owner: bytes = b"") -> list[float]:
    """The finite numbers in `fields`, or the error for the first that is none: `names` say what they are, `owner` whose."""
    try:
        values = [float(field) for field in fields]
    except ValueError:
        values = [nan]
    if all(map(isfinite, values)) and b"_" not in b"".join(fields):
        return values
    field, name = next(pair for pair in zip(fields, names, strict=True) if not _is_number(pair[0]))
    whose = f"individual {quoted(owner)}, " if owner else ""
    what = "is missing" if is_missing(field) else "is not a finite number"
    raise fault(text, line, f"{whose}{name} {what}: {quoted(field)}; every value must be a number")


def _is_number(field: bytes) -> bool:
    """Python also takes 1_0, for 10; the files never mean that."""
    try:
        return isfinite(float(field)) and b"_" not in field
    except ValueError:
        return False


def is_missing(field: bytes) -> bool:
    """R writes NA; two spaces in a row make an empty field."""
    return field in (MISSING, b"")


def check_length(text: Text, line: int, fields: Sequence[bytes], expected: int) -> None:
    """`expected`: the number of fields in the header."""
    if len(fields) != expected:
        raise fault(text, line, f"has {len(fields)} fields separated by single spaces, the header has {expected}")


def _check_unique(text: Text, individuals: list[bytes], first_line: int, per_line: int) -> None:
    """`first_line + per_line·i` is the line of individual i."""
    if len(set(individuals)) == len(individuals):
        return
    known: set[bytes] = set()
    for index, individual in enumerate(individuals):
        if individual in known:
            raise fault(
                text, first_line + per_line * index, f"individual {quoted(individual)} is there twice (the second is number {index + 1})"
            )
        known.add(individual)


def read_phenotypes(text: Text, n_traits: int) -> tuple[list[bytes], FloatArray]:
    """Names of the individuals, and phenotypes (n_individuals, n_traits), of `_p.txt`; `n_traits` as the effects have."""
    rows = numbered_lines(text)
    header = read_header(text, rows)
    _check_phenotype_header(text, header, n_traits)
    names = [name.decode() for name in header[1:]]
    individuals: list[bytes] = []
    values = array("d")
    for line, content in rows:
        individual, *fields = content.split(b" ")
        check_length(text, line, [individual, *fields], len(header))
        individuals.append(individual)
        values.extend(numbers(text, line, fields, names, individual))
    _check_unique(text, individuals, first_line=2, per_line=1)
    return individuals, np.array(values, dtype=np.float64).reshape(-1, n_traits)


def _check_phenotype_header(text: Text, header: list[bytes], n_traits: int) -> None:
    expected = [b"Trait%d" % (trait + 1) for trait in range(len(header) - 1)]
    if header[0] != b"ind" or not expected or header[1:] != expected:
        raise fault(text, 1, f"header must be 'ind Trait1 Trait2 …', a column per trait in order, got {quoted(b' '.join(header))}")
    if len(expected) > n_traits:
        raise fault(text, 1, f"Trait{n_traits + 1} has no effects: the _eff.txt file has {n_traits} traits")
    if len(expected) < n_traits:
        raise fault(text, 1, f"trait {len(expected) + 1} of the _eff.txt file has no column Trait{len(expected) + 1} here")


class GenotypeReader:
    """Streams `_g.txt`, loci by individuals, into bit-packed columns: memory for one line and SLAB_BYTES per individual.

    `individuals`: their names, known at once. `frequencies` (n_loci,): of allele 1, complete when `slabs` is exhausted.
    """

    def __init__(self, text: Text) -> None:
        self.text = text
        self._rows = numbered_lines(text)
        first, *names = read_header(text, self._rows)
        if first != b"qtl" or not names:
            raise fault(text, 1, f"header must be 'qtl 1_1 2_1 …', a column per individual, got {quoted(b' '.join([first, *names[:8]]))}")
        for column, name in enumerate(names, start=2):
            if not name.endswith(b"_1") or len(name) < 3:
                raise fault(text, 1, f"column {column} is {quoted(name)}, expected <individual>_1: one genome per individual (haploid)")
        self.individuals = [name[:-2] for name in names]
        _check_unique(text, self.individuals, first_line=1, per_line=0)

    def slabs(self, n_loci: int) -> Iterator[tuple[int, ByteArray]]:
        """(first byte column, packed bytes (n_individuals, k)) of consecutive loci; exactly `n_loci` must come."""
        n = len(self.individuals)
        slab = np.zeros((SLAB_BYTES, n), np.uint8)
        self.frequencies = np.zeros(n_loci)
        locus = written = 0
        for line, content in self._rows:
            if locus == n_loci:
                raise fault(self.text, line, f"locus {n_loci + 1} has no effects: the _eff.txt file has {n_loci} loci")
            alleles = self._alleles(line, content, locus + 1)
            self.frequencies[locus] = np.count_nonzero(alleles) / n
            slab[locus // 8 - written] |= alleles << (locus % 8)
            locus += 1
            if locus == 8 * (written + SLAB_BYTES):
                yield written, np.ascontiguousarray(slab.T)
                written += SLAB_BYTES
                slab[:] = 0
        if locus < n_loci:
            raise DatasetError(f"{self.text.name}: ends after {locus} loci, the _eff.txt file has {n_loci}")
        if locus > 8 * written:
            yield written, np.ascontiguousarray(slab[: -(-locus // 8) - written].T)

    def _alleles(self, line: int, content: bytes, locus: int) -> ByteArray:
        """0/1 of every individual, (n_individuals,); `locus` from 1."""
        name = b"1_%d " % locus
        if content.startswith(name) and len(content) == len(name) + 2 * len(self.individuals) - 1:
            cells = np.frombuffer(content + b" ", "<u2", offset=len(name))  # of an allele and a space each
            if (cells | 1 == ONE_AND_SPACE).all():
                return (cells & 1).astype(np.uint8)
        raise self._explain(line, content.split(b" "), locus)

    def _explain(self, line: int, fields: list[bytes], locus: int) -> DatasetError:
        """The error for a row that is not well-formed."""
        if fields[0] != b"1_%d" % locus:
            return fault(self.text, line, f"locus is called {quoted(fields[0])}, expected '1_{locus}': loci of one chromosome, in order")
        check_length(self.text, line, fields, 1 + len(self.individuals))
        individual, field = next(pair for pair in zip(self.individuals, fields[1:], strict=True) if pair[1] not in (b"0", b"1"))
        what = "is missing" if is_missing(field) else "is unknown"
        return fault(self.text, line, f"locus 1_{locus}, individual {quoted(individual)}: allele {what}: {quoted(field)}, expected 0 or 1")
