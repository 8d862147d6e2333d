"""The calls in the cells of a genotype table: numbers, one letter, or two letters; one coding in a file."""

import re
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from gpatlas.data.genotypes import MISSING, ByteArray
from gpatlas.data.text_tables import MISSING_VALUES

NUMBERS, LETTER, LETTERS = "numbers", "one letter", "two letters"
NO_CALLS = MISSING_VALUES | {".", "-", "--", "N", "NN", "N/N", "./.", "-/-"}
NUMBER, PAIR = re.compile(r"([012])(?:\.0*)?"), re.compile(r"([A-Z])[/|]?([A-Z])?")
ALLOWED = "0, 1, 2, one letter, two letters, and NA or nothing where a call is missing"


class CellError(ValueError):
    """A cell is no call, or of another coding than those before."""


class Cells(dict[str, int]):
    """The number that stands for a cell's text, given at its first time. `coding`: of all cells so far, None while all are missing.

    `counts` (256,) of a cell, of numbers; `alleles` (256, 2) as ASCII codes, of letters, 0 where the call is missing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.coding: str | None = None
        self.counts = np.full(256, MISSING, np.uint8)
        self.alleles = np.zeros((256, 2), np.uint8)

    def codes(self, cells: Iterable[str]) -> ByteArray:
        """The numbers (k,) of `cells`. CellError where one is no call."""
        return np.frombuffer(bytes(map(self.__getitem__, cells)), np.uint8)

    def __missing__(self, cell: str) -> int:
        text, code = cell.strip().upper(), len(self)
        if code == len(self.counts):
            raise CellError(f"{cell[:40]!r} is the {code + 1}th different call of the file, which are too many")
        if cell.strip() not in NO_CALLS and text not in NO_CALLS:
            self._add(code, text, cell)
        self[cell] = code
        return code

    def _add(self, code: int, text: str, cell: str) -> None:
        number, pair = NUMBER.fullmatch(text), PAIR.fullmatch(text)
        if number:
            coding, self.counts[code] = NUMBERS, int(number[1])
        elif pair and "N" not in text:
            coding = LETTERS if pair[2] else LETTER
            self.alleles[code] = ord(pair[1]), ord(pair[2] or pair[1])
        else:
            raise CellError(f"{cell[:40]!r} is no call; allowed are {ALLOWED}")
        if self.coding not in (None, coding):
            raise CellError(f"{cell[:40]!r} is a call by {coding}, those before are by {self.coding}; a file has one coding")
        self.coding = coding

    @property
    def ploidy(self) -> int:
        """1 where there is one letter a call, or only numbers 0 and 1."""
        if self.coding == NUMBERS:
            return 2 if (self.counts == 2).any() else 1
        return 2 if self.coding == LETTERS else 1


class Letters:
    """The two letters of each of some loci, (n_loci,): `first` and `second` in the order that they turned up, 0 while they did not."""

    def __init__(self, n_loci: int) -> None:
        self.first, self.second = np.zeros(n_loci, np.uint8), np.zeros(n_loci, np.uint8)

    def count(self, alleles: ByteArray, ploidy: int) -> ByteArray:
        """How often one individual has the second letter, or MISSING, from its `alleles` (n_loci, 2)."""
        for letters in alleles.T:
            new = (letters != 0) & (self.first == 0)
            self.first[new] = letters[new]
            new = (letters != 0) & (self.second == 0) & (letters != self.first)
            self.second[new] = letters[new]
        return _count(alleles, self.second, ploidy)

    def count_locus(self, locus: int, alleles: ByteArray, ploidy: int) -> ByteArray:
        """How often all individuals have the later letter of one locus, or MISSING, from their `alleles` (n, 2)."""
        found = np.flatnonzero(np.bincount(alleles.ravel(), minlength=2)[1:]) + 1
        if len(found):
            self.first[locus] = found[0]
        if len(found) > 1:
            self.second[locus] = found[1]
        return _count(alleles, self.second[locus], ploidy)

    def strange(self, alleles: ByteArray, loci: slice) -> npt.NDArray[np.bool_]:
        """Where an allele is neither letter of its locus, among `alleles` (k, 2) at `loci`: one, or as many."""
        known = np.stack([self.first[loci], self.second[loci], np.zeros_like(self.first[loci])])
        strange: npt.NDArray[np.bool_] = (alleles[None] != known[:, :, None]).all(axis=0).any(axis=1)
        return strange

    def text(self, locus: int) -> str:
        return " and ".join(chr(letter) for letter in (self.first[locus], self.second[locus]) if letter)


def _count(alleles: ByteArray, letter: ByteArray, ploidy: int) -> ByteArray:
    same = alleles == np.asarray(letter)[..., None]
    counts = same[:, 0] if ploidy == 1 else same.sum(axis=1)
    return np.where(alleles[:, 0] == 0, MISSING, counts).astype(np.uint8)
