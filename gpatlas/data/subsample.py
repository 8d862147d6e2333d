"""The stage subsample: a trait as it was measured, of individuals that are drawn from a population."""

from pathlib import Path

import h5py
import numpy as np

from gpatlas.data.dataset import DESCRIBED_FORMAT, LOCKING, Dataset, DatasetError
from gpatlas.data.genotypes import Rows
from gpatlas.data.imported import Individuals, write_tables
from gpatlas.data.population import unnamed
from gpatlas.data.settings import SUBSAMPLE, SubsampleSettings
from gpatlas.progress import Progress
from gpatlas.settings import nearest
from gpatlas.version import __version__


def run(settings: SubsampleSettings, source: Path, out: Path, progress: Progress) -> None:
    """Draw individuals of the dataset file `source` into `out`, format 2, with one of its traits. Other traits, and truth, are left behind.

    The same seed draws nested parts: the fewer are among the more. Where all individuals have the trait, they are those that
    `simulate-traits` draws. Raises DatasetError, naming the file, where it lacks the trait or has too few individuals with it.
    """
    with Dataset(source) as data:
        described = data.description() or unnamed(data.n_individuals, data.n_loci, data.n_traits)
        traits = list(described.trait_names)
        if settings.trait not in traits:
            raise DatasetError(f"{source}: trait: has none that is called {settings.trait!r}{nearest(settings.trait, traits)}")
        phenotypes, packed = data.phenotypes()[:, [traits.index(settings.trait)]], data.packed()
        form = {"n_loci": data.n_loci, "bits_per_locus": data.bits, "ploidy": described.ploidy}
    measured = np.flatnonzero(~np.isnan(phenotypes[:, 0]))
    n = len(measured) if settings.n_individuals is None else settings.n_individuals
    if n > len(measured):
        raise DatasetError(f"{source}: n_individuals: must be at most the {len(measured)} that have {settings.trait!r}, got {n}")
    (seed,) = np.random.SeedSequence(settings.seed).spawn(1)
    rows = measured[random_rows(len(measured), n, np.random.default_rng(seed))]
    drawn = described.rows(rows)
    with h5py.File(out, "w", locking=LOCKING) as file:
        file["genotypes"] = packed[rows]
        covariates = drawn.covariate_names, drawn.covariates
        write_tables(file, Individuals(drawn.ids, drawn.groups, (settings.trait,), phenotypes[rows], *covariates), [drawn.loci])
        facts = {"simulator": SUBSAMPLE, "simulator_version": __version__, "source": source.name}
        file.attrs.update({"format_version": DESCRIBED_FORMAT, **form, **facts})
    progress(n, n)


def random_rows(n_all: int, n: int, random: np.random.Generator) -> Rows:
    """`n` of `n_all` rows, without replacement, in ascending order."""
    return np.asarray(np.sort(random.permutation(n_all)[:n]))
