"""The inputs of networks: one-hot alleles, expanded from bits batch by batch."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gpatlas.data.genotypes import Genotypes, pack
from gpatlas.settings import BLOCK

InputColumns = npt.NDArray[np.int64]
BITS = torch.from_numpy(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")).float()  # (256, 8)
ONE_HOT = torch.stack((1 - BITS, BITS), dim=2).flatten(1)  # (256, 16)


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
        """One-hot alleles, [1, 0] for allele 0, [0, 1] for allele 1, locus after locus; or some columns of them, by number."""
        if columns is None:
            return cls(torch.from_numpy(genotypes.packed).to(device), ONE_HOT.to(device), 2 * genotypes.n_loci)
        loci, alleles = columns // 2, columns % 2
        chosen = pack(((genotypes.packed[:, loci // 8] >> (loci % 8).astype(np.uint8)) & 1) == alleles)
        return cls(torch.from_numpy(chosen).to(device), BITS.to(device), len(columns))

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
