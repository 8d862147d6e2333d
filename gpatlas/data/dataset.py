"""The dataset file: one simulated or imported population in HDF5, written once, read by every fit.

`gpatlas.data.layout` lists what stands in it. Format 1 is of simulated populations of haploids without linkage: with x = 2·allele − 1,
genetic value = intercept + Σ additive·x + Σ epistatic·x_i·x_j. The bits are AlphaSimR's own packing. Format 2 is of imported populations,
and of simulated ones that are linked, diploid, or on imported genotypes; gpatlas.data.effects.Effects says what genetic values are made
of. They are those of the true genotypes: where calls are wrong or missing, the file's do not make them. The components of V_G are
functional and statistical, as gpatlas.data.variance explains them.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gpatlas.data.effects import Effects, TraitFacts
from gpatlas.data.genotypes import ByteArray, FloatArray, Genotypes
from gpatlas.data.places import Places
from gpatlas.data.population import Description, Loci, Population, TextArray

FORMAT_VERSION, DESCRIBED_FORMAT = 1, 2
WHOLE = {  # by format: what a file has in any case, and its attributes
    FORMAT_VERSION: (("genotypes", "phenotypes", "effects"), ("n_loci", "n_qtl", "h2", "trait_groups")),
    DESCRIBED_FORMAT: (
        ("genotypes", "phenotypes", "covariates", "individuals", "traits", "loci"),
        ("n_loci", "bits_per_locus", "ploidy", "simulator"),
    ),
}
# Attributes that are columns of tables where they are there: of the file, and of every trait
FACTS: dict[str, type[int] | type[float] | type[str]] = {"population": str, "ploidy": int, "n_pairs": int, "m_e": float}
FACTS_OF_TRAITS = (
    *("rel_aa", "v_a", "v_d", "v_aa", "v_dd", "v_a_over_v_g", "v_a_statistical", "v_d_statistical", "v_i_statistical"),
    *("linear_r_squared", "marker_qtl_cm"),
)
LOCKING = False  # the file is written aside and never changed after that; some file systems have no locks


class DatasetError(ValueError):
    """A file is not a dataset this version can read, or input data are broken. The message names the file."""


@dataclass
class DatasetWriter:
    """Streams one dataset into `path`; the caller writes aside and renames."""

    path: Path
    n_individuals: int
    n_loci: int
    n_traits: int
    with_genetic_values: bool = True
    _file: h5py.File = field(init=False, repr=False)

    def __enter__(self) -> "DatasetWriter":
        self._file = h5py.File(self.path, "w", locking=LOCKING)
        self._file.create_dataset("genotypes", (self.n_individuals, -(-self.n_loci // 8)), np.uint8)
        names = ["phenotypes", "genetic_values"] if self.with_genetic_values else ["phenotypes"]
        for name in names:
            self._file.create_dataset(name, (self.n_individuals, self.n_traits), np.float64)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write_rows(self, name: str, start: int, rows: ByteArray | FloatArray) -> None:
        self._file[name][start : start + len(rows)] = rows

    def write_genotype_columns(self, start: int, columns: ByteArray) -> None:
        """Packed bytes (n_individuals, k) of the loci from 8·start on."""
        self._file["genotypes"][:, start : start + columns.shape[1]] = columns

    def read_rows(self, name: str, start: int, stop: int) -> Any:
        return self._file[name][start:stop]

    def finish(self, effects: Effects, facts: TraitFacts, attributes: dict[str, Any]) -> None:
        for name in ("additive", "pairs", "epistatic", "intercept"):
            self._file.create_dataset(f"effects/{name}", data=getattr(effects, name))
        for name in ("rel_aa", "v_a", "v_aa", "v_a_over_v_g"):
            self._file.attrs[name] = getattr(facts, name)
        self._file.attrs.update(attributes)
        self._file.attrs["n_loci"] = self.n_loci
        self._file.attrs["n_qtl"] = 2 * effects.pairs.shape[1]
        self._file.attrs["format_version"] = FORMAT_VERSION


class Dataset:
    """A dataset file opened for reading. Raises DatasetError where the file is not one, or of another version."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DatasetError(f"{path}: no such file")
        try:
            self._file = h5py.File(path, "r", locking=LOCKING)
        except OSError as error:
            raise DatasetError(f"{path}: not a readable HDF5 file ({error})") from error
        version = self._file.attrs.get("format_version")
        if version not in WHOLE:
            self._file.close()
            known = " and ".join(map(str, WHOLE))
            raise DatasetError(f"{path}: dataset format version {version}, this version of gpatlas reads {known}")
        contents, attributes = WHOLE[int(version)]
        missing = [name for name in contents if name not in self._file]
        missing += [name for name in attributes if name not in self._file.attrs]
        if missing:
            self._file.close()
            raise DatasetError(f"{path}: not a whole dataset file, it lacks {', '.join(missing)}")
        self.path, self.name = path, str(path)
        self.attributes: dict[str, Any] = dict(self._file.attrs)
        self.described = version == DESCRIBED_FORMAT
        self.n_loci, self.bits = int(self.attributes["n_loci"]), int(self.attributes.get("bits_per_locus", 1))
        self.n_individuals, self.n_traits = self._file["phenotypes"].shape

    def __enter__(self) -> "Dataset":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def phenotypes(self) -> FloatArray:
        """(n_individuals, n_traits)"""
        return np.asarray(self._file["phenotypes"][:])

    def genetic_values(self) -> FloatArray | None:
        """(n_individuals, n_traits), or None where the source does not give them."""
        name = "truth/genetic_values" if self.described else "genetic_values"
        return np.asarray(self._file[name][:]) if name in self._file else None

    def packed(self) -> ByteArray:
        """Genotypes as the file has them, (n_individuals, bytes)"""
        return np.asarray(self._file["genotypes"][:])

    def genotypes(self) -> Genotypes:
        if self.bits == 1:
            return Genotypes(self.packed(), self.n_loci)
        return Genotypes.of_two_bits(self.packed(), self.n_loci)

    def effects(self) -> Effects | None:
        """None of a population whose traits are not simulated."""
        name = "truth" if self.described else "effects"
        if name not in self._file:
            return None
        group = self._file[name]
        further = {name: group[name][:] for name in ("dominance", "dominance_epistatic") if name in group}
        effects = Effects(group["additive"][:], group["pairs"][:], group["epistatic"][:], group["intercept"][:], **further)
        return replace(effects, places=self._places()) if self.described else effects

    def _places(self) -> Places | None:
        """Of the loci, and of the hidden ones after them."""
        hidden = "truth/hidden" in self._file
        chromosome, position = self._texts("loci/chromosome"), self._file["loci/position"][:]
        if hidden:
            chromosome = np.concatenate([chromosome, self._texts("truth/hidden/chromosome")])
            position = np.concatenate([position, self._file["truth/hidden/position"][:]])
        places = Places.of(chromosome, position, self.n_loci, float(self.attributes.get("cm_per_mb", 1)))
        return places if places.known else None

    def description(self) -> Description | None:
        """None of format 1, whose individuals and loci have no names."""
        if not self.described:
            return None
        groups = self._texts("individuals/group") if "individuals/group" in self._file else None
        names, covariates = tuple(json.loads(self._file["covariates"].attrs["names"])), np.asarray(self._file["covariates"][:])
        texts = {name: self._texts(f"loci/{name}") for name in ("id", "chromosome", "counted_allele", "other_allele")}
        loci = Loci(position=self._file["loci/position"][:], **texts)
        traits = tuple(map(str, self._texts("traits/name")))
        return Description(self._texts("individuals/id"), groups, traits, covariates, names, loci, int(self.attributes["ploidy"]))

    def _texts(self, name: str) -> TextArray:
        return np.asarray(self._file[name].asstr()[:], dtype=np.str_)

    def population(self) -> Population:
        """All of the file, in memory."""
        parts = self.genotypes(), self.phenotypes(), self.effects(), self.genetic_values(), self.facts(), self.description()
        return Population(self.name, *parts)

    def facts(self) -> list[dict[str, Any]]:
        """One row per trait: the parameters of the population and of the trait, as columns of a table."""
        size = {"n_individuals": self.n_individuals, "n_loci": self.n_loci}
        simulator = {"simulator": str(self.attributes["simulator"])}
        if "trait_groups" not in self.attributes:
            known = {**size, "n_traits": self.n_traits, "ploidy": int(self.attributes["ploidy"]), **simulator}
            return [{"trait_name": str(name), **known} for name in self._texts("traits/name")]
        groups = json.loads(self.attributes["trait_groups"])
        correlations = [group["genetic_correlation"] for group in groups for _ in range(group["n_traits"])]
        numbers = {"n_qtl": int(self.attributes["n_qtl"]), "n_traits": self.n_traits, "n_trait_groups": len(groups)}
        further = {name: kind(self.attributes[name]) for name, kind in FACTS.items() if name in self.attributes}
        shared = {**size, **numbers, "h2": float(self.attributes["h2"]), **simulator, **further}
        names = [name for name in FACTS_OF_TRAITS if name in self.attributes]
        return [
            {**shared, "genetic_correlation": correlations[trait], **{name: float(self.attributes[name][trait]) for name in names}}
            for trait in range(self.n_traits)
        ]
