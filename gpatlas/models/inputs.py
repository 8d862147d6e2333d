"""The inputs of networks: one-hot genotypes, expanded from bits batch by batch."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gpatlas.data.genotypes import Genotypes, pack
from gpatlas.settings import BLOCK

InputColumns = npt.NDArray[np.int64]
BITS = torch.from_numpy(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")).float()  # (256, 8)


@cache
def one_hot_table(bits: int, highest: int) -> Tensor:
    """The inputs that a byte of genotypes stands for, (256, w): of each locus one for every count, 0 to `highest`, none where missing."""
    loci = Genotypes(np.arange(256, dtype=np.uint8)[:, None], 8 // bits, bits, highest).counts()  # (256, loci)
    return torch.from_numpy(loci[:, :, None] == np.arange(highest + 1)).float().flatten(1)


@dataclass(frozen=True)
class Inputs:
    """A model's 0/1 inputs on a device, as bits, of which every batch is expanded by itself: `bits` (n, b), `n_columns` of them.

    `table` (256, w): the w inputs that a byte stands for.
    """

    bits: Tensor
    table: Tensor
    n_columns: int

    @classmethod
    def of(cls, genotypes: Genotypes, columns: InputColumns | None, device: torch.device) -> "Inputs":
        """A column per count of the counted allele, locus after locus: [1, 0] for 0, [0, 1] for 1, or [1, 0, 0], … where 2 occurs, all 0
        where the call is missing. Or some columns of them, by number."""
        n_counts = genotypes.highest + 1
        if columns is None:
            table = one_hot_table(genotypes.bits, genotypes.highest)
            return cls(torch.from_numpy(genotypes.packed).to(device), table.to(device), n_counts * genotypes.n_loci)
        loci, counts = columns // n_counts, columns % n_counts
        per_byte, bits = 8 // genotypes.bits, genotypes.bits
        found = (genotypes.packed[:, loci // per_byte] >> (loci % per_byte * bits).astype(np.uint8)) & (2**bits - 1)
        return cls(torch.from_numpy(pack(found == counts)).to(device), BITS.to(device), len(columns))

    def absent(self) -> Tensor:
        """Which inputs are 0 in everyone, (n_columns,)."""
        seen = torch.stack([self.expand(bits).amax(dim=0) for bits in torch.split(self.bits, BLOCK)])
        return seen.amax(dim=0) == 0

    def rows(self, rows: Tensor) -> Tensor:
        """Those individuals' inputs, float32 (k, n_columns)."""
        return self.expand(self.bits.index_select(0, rows))

    def expand(self, bits: Tensor) -> Tensor:
        """Bits (k, b) to inputs, float32 (k, n_columns)."""
        return self.table.index_select(0, bits.flatten().int()).view(len(bits), -1)[:, : self.n_columns]
