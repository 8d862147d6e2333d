"""The native simulator against AlphaSimR, a second implementation written without sight of it: the same populations, but for chance.

What is compared is a mean over independent units (individuals of a cross, chromosomes of an outbred population, traits), so that its
standard error is known; two simulators differ by less than `MOST` of them.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from alphasimr_runs import simulate_by_alphasimr, skip_without_packages

from gpatlas.cli import main
from gpatlas.data.dataset import Dataset
from gpatlas.data.genotypes import FloatArray, Genotypes, pack_counts, unpack, unpack_counts
from gpatlas.data.traits import causal_loci
from gpatlas.data.variance import effective_segments, statistical_components

pytestmark = pytest.mark.skipif(shutil.which("Rscript") is None, reason="Rscript is not installed")

MOST, ROUNDING = 4.0, 1e-9  # standard errors; of shares and variances
TRAITS = "--n-qtl 20 --n-pairs 5 --n-traits 40 --independent --rel-aa 0.5 --h2 0.5"
CROSS = f"--n-individuals 2000 --n-loci 120 --n-chromosomes 3 {TRAITS}"
DOMINANCE = "--dominance-degree-mean 0.5 --dominance-degree-sd 0.3"
POPULATIONS = {
    "dh": f"--population dh {CROSS} --seed 1",
    "f2": f"--population f2 {CROSS} {DOMINANCE} --seed 2",
    "ril": f"--population ril --n-generations 3 {CROSS} --hidden-qtl --seed 3",
    "bc": f"--population bc {CROSS} {DOMINANCE} --effect-distribution equal --seed 4",
    "outbred": f"--population outbred --n-founders 25 --n-generations 8 --allele-frequency-shape 1,2 --n-individuals 1000 --n-loci 400 "
    f"--n-chromosomes 40 {TRAITS} {DOMINANCE} --effect-distribution gamma --seed 5",
}
CROSSES = [name for name in POPULATIONS if name != "outbred"]
DISTANCES = (0, 5, 10, 20, 30, 50, 75, 101)  # cM between loci; and on different chromosomes


@dataclass(frozen=True)
class World:
    """A dataset file: `counts` (n, m) of the loci of the genotypes and of hidden ones, `cm` and `chromosome` (m,), and the rest."""

    path: Path
    counts: FloatArray
    chromosome: np.ndarray
    cm: FloatArray
    ploidy: int
    attributes: dict[str, Any]
    truth: dict[str, np.ndarray]
    phenotypes: FloatArray


def read(path: Path) -> World:
    with h5py.File(path) as file:
        m, bits, ploidy = (int(file.attrs[name]) for name in ("n_loci", "bits_per_locus", "ploidy"))
        unpacked = unpack if bits == 1 else unpack_counts
        counts, chromosome, position = unpacked(file["genotypes"][:], m), file["loci/chromosome"].asstr()[:], file["loci/position"][:]
        truth = {name: file["truth"][name][:] for name in file["truth"] if name != "hidden"}
        if "hidden" in file["truth"]:
            hidden = file["truth/hidden"]
            counts = np.concatenate([counts, unpacked(hidden["genotypes"][:], len(truth["additive"]) - m)], axis=1)
            chromosome = np.concatenate([chromosome, hidden["chromosome"].asstr()[:]])
            position = np.concatenate([position, hidden["position"][:]])
        attributes, phenotypes = dict(file.attrs), file["phenotypes"][:]
    return World(path, counts.astype(float), chromosome, (position - 1) / 1e6, ploidy, attributes, truth, phenotypes)


Both = Callable[[str], tuple[World, World]]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """The native simulator's world and AlphaSimR's of one population, made once."""
    skip_without_packages()

    @cache
    def made(population: str) -> tuple[World, World]:
        folder = tmp_path_factory.mktemp(population)
        with pytest.raises(SystemExit, match="0"):
            main(["simulate", *POPULATIONS[population].split(), "--out", str(folder / "native.h5")])
        return read(folder / "native.h5"), read(simulate_by_alphasimr(POPULATIONS[population], folder / "alphasimr.h5"))

    return made


def differences(native: FloatArray, alphasimr: FloatArray) -> FloatArray:
    """Of the means over units (u, …), in standard errors; 0 where both are the same but for rounding."""
    apart = native.mean(axis=0) - alphasimr.mean(axis=0)
    error = np.sqrt(native.var(axis=0, ddof=1) / len(native) + alphasimr.var(axis=0, ddof=1) / len(alphasimr))
    return np.where(np.abs(apart) < ROUNDING, 0.0, apart / np.maximum(error, ROUNDING))


def compare(measure: Callable[[World], FloatArray], worlds: tuple[World, World]) -> None:
    found = differences(*map(measure, worlds))
    assert np.abs(found).max() < MOST, found.round(1)


def coded(world: World) -> FloatArray:
    return world.counts * 2 / world.ploidy - 1


def pairs_at(world: World) -> FloatArray:
    """Which pairs of loci are in which class of distance, on one chromosome, or on two as the last class: (classes, m, m)."""
    same = world.chromosome[:, None] == world.chromosome
    apart = np.where(same, np.abs(world.cm[:, None] - world.cm), 1e3)
    classes = np.digitize(apart, DISTANCES) - 1
    np.fill_diagonal(classes, -1)
    return np.array([classes == number for number in range(len(DISTANCES))], dtype=float)


def linkage(world: World) -> FloatArray:
    """Each individual's mean product of two loci, by distance: (n, classes)"""
    x, weights = coded(world), pairs_at(world)
    return np.stack([((x @ of_class) * x).sum(axis=1) / of_class.sum() for of_class in weights], axis=1)


@pytest.mark.parametrize("population", CROSSES)
def test_linkage_decays_alike(both: Both, population: str) -> None:
    compare(linkage, both(population))


@pytest.mark.parametrize("population", CROSSES)
def test_allele_frequencies_are_alike(both: Both, population: str) -> None:
    compare(lambda world: coded(world)[:, ::3], both(population))


@pytest.mark.parametrize("population", CROSSES)
def test_heterozygosity_is_alike(both: Both, population: str) -> None:
    compare(lambda world: ((world.counts == 1) & (world.ploidy == 2)).mean(axis=1), both(population))


def by_chromosome(world: World) -> FloatArray:
    """Of each chromosome: expected and observed heterozygosity, share of loci that vary, squared frequency, r² by distance."""
    frequency, rows = world.counts.mean(axis=0) / world.ploidy, []
    for name in np.unique(world.chromosome):
        mine = world.chromosome == name
        p, counts = frequency[mine], world.counts[:, mine]
        varying = (p > 0.05) & (p < 0.95)
        r2 = np.asarray(np.corrcoef(counts[:, varying].T)) ** 2
        apart = np.abs(world.cm[mine][varying][:, None] - world.cm[mine][varying])
        decay = [r2[(apart > low) & (apart <= high)].mean() for low, high in ((0, 15), (15, 40), (40, 100))]
        observed = (counts == 1).mean() if world.ploidy == 2 else 0.0
        rows.append([(2 * p * (1 - p)).mean(), observed, ((p > 0) & (p < 1)).mean(), (p**2).mean(), *decay])
    return np.array(rows)


def test_outbred_populations_are_alike(both: Both) -> None:
    compare(by_chromosome, both("outbred"))


COMPONENTS = ("v_a", "v_d", "v_aa", "v_a_over_v_g", "v_a_statistical", "v_d_statistical", "v_i_statistical", "linear_r_squared")


@pytest.mark.parametrize("population", POPULATIONS)
def test_variance_components_are_alike(both: Both, population: str) -> None:
    compare(lambda world: np.stack([world.attributes[name] for name in COMPONENTS], axis=1), both(population))


@pytest.mark.parametrize("population", POPULATIONS)
def test_noise_is_alike(both: Both, population: str) -> None:
    compare(lambda world: (world.phenotypes - world.truth["genetic_values"]).std(axis=0), both(population))


@pytest.mark.parametrize("population", POPULATIONS)
def test_effects_make_alphasimrs_genetic_values(both: Both, population: str) -> None:
    _, world = both(population)
    x, het, truth = coded(world), (world.counts == 1) * (world.ploidy - 1.0), world.truth
    values = truth["intercept"] + x @ truth["additive"] + het @ truth["dominance"]
    for trait, (first, second) in enumerate(truth["pairs"].transpose(0, 2, 1)):
        values[:, trait] += (x[:, first] * x[:, second]) @ truth["epistatic"][trait]
    np.testing.assert_allclose(truth["genetic_values"], values, rtol=0, atol=1e-9)
    np.testing.assert_allclose(values.var(axis=0), 1, rtol=1e-9)


@pytest.mark.parametrize("population", POPULATIONS)
def test_variance_components_of_the_same_population(both: Both, population: str) -> None:
    """AlphaSimR's population: by r/simulate.R with least squares, and by the native decomposition, which has less sampling error."""
    _, world = both(population)
    with Dataset(world.path) as data:
        effects, genetic_values = data.effects(), data.genetic_values()
    assert effects is not None
    assert genetic_values is not None
    loci = causal_loci(effects)
    qtl = Genotypes(pack_counts(world.counts[:, loci].astype(np.uint8)), len(loci), 2, world.ploidy)
    native = statistical_components(effects.of_loci(loci), qtl, genetic_values)
    found = np.array([world.attributes[f"{name}_statistical"] for name in ("v_a", "v_d", "v_i")])
    np.testing.assert_allclose(found.sum(axis=0), 1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found, native, rtol=0, atol=0.1)
    np.testing.assert_allclose((found - native).mean(axis=1), 0, rtol=0, atol=0.01)


@pytest.mark.parametrize("population", POPULATIONS)
def test_effective_segments_of_the_same_population(both: Both, population: str) -> None:
    _, world = both(population)
    counts = world.counts[:500, : world.attributes["n_loci"]].astype(np.uint8)
    assert world.attributes["m_e"] == pytest.approx(effective_segments(counts), rel=1e-4)
