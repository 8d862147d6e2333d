"""Format 2 of simulated populations: what the file of `simulate` holds beyond the study's, and how it is read."""

import hashlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from populations import write_dataset

from gpatlas.data.dataset import Dataset
from gpatlas.data.genotypes import MISSING, unpack, unpack_counts
from gpatlas.data.population import Population
from gpatlas.data.settings import SimulateSettings
from gpatlas.settings import build

Array = npt.NDArray[Any]

SMALL = {"n_individuals": 60, "n_loci": 30, "n_qtl": 6, "rel_aa": (1.0, 0.0), "n_chromosomes": 3}
DOMINANCE = {"dominance_degree_mean": 0.3, "dominance_degree_sd": 0.2, "rel_dd": 0.5}
POPULATIONS: dict[str, dict[str, Any]] = {
    "dh": {"population": "dh", **SMALL},
    "ril": {"population": "ril", **SMALL, "pair_linkage": "linked"},
    "f2, hidden QTL": {"population": "f2", **SMALL, **DOMINANCE, "hidden_qtl": True},
    "dh, hidden QTL": {"population": "dh", **SMALL, "hidden_qtl": True},
    "bc": {"population": "bc", **SMALL, "pair_linkage": "unlinked"},
    "outbred": {"population": "outbred", **SMALL, **DOMINANCE, "n_founders": 40},
    "outbred haploids": {"population": "outbred", **SMALL, "n_founders": 40, "ploidy": 1},
    "unlinked, gamma": {**SMALL, "n_chromosomes": 1, "effect_distribution": "gamma"},
    "unlinked, few pairs": {**SMALL, "n_chromosomes": 1, "n_pairs": 1},
}
EACH_POPULATION = pytest.mark.parametrize("values", POPULATIONS.values(), ids=POPULATIONS)


def read(path: Path) -> Population:
    with Dataset(path) as data:
        return data.population()


def true_counts(path: Path) -> Array:
    """Of the file's loci and the hidden ones, (n, m)."""
    with h5py.File(path) as file:
        n_loci, two_bits = int(file.attrs["n_loci"]), file.attrs["bits_per_locus"] == 2
        counts = [(unpack_counts if two_bits else unpack)(file["genotypes"][:], n_loci)]
        if "truth/hidden" in file:
            n_hidden = len(file["truth/hidden/position"])
            counts.append((unpack_counts if two_bits else unpack)(file["truth/hidden/genotypes"][:], n_hidden))
    return np.concatenate(counts, axis=1)


@EACH_POPULATION
def test_genetic_values_follow_from_stored_effects_and_genotypes_exactly(tmp_path: Path, values: dict[str, Any]) -> None:
    path = write_dataset(tmp_path, **values)
    with Dataset(path) as data:
        effects, genetic_values = data.effects(), data.genetic_values()
    assert effects is not None
    assert genetic_values is not None
    counts = true_counts(path)
    assert np.array_equal(effects.total(effects.parts_of(counts, build(SimulateSettings, values).n_alleles)), genetic_values)
    np.testing.assert_allclose(genetic_values.var(axis=0), 1)


@EACH_POPULATION
def test_the_file_does_not_depend_on_the_block_size(tmp_path: Path, values: dict[str, Any]) -> None:
    first, again = (write_dataset(tmp_path, f"{size}.h5", block_size=size, **values) for size in (7, 4096))
    assert first.read_bytes() == again.read_bytes()


@EACH_POPULATION
def test_every_trait_has_the_facts(tmp_path: Path, values: dict[str, Any]) -> None:
    population, settings = read(write_dataset(tmp_path, h2=0.4, **values)), build(SimulateSettings, values)
    for facts, rel_aa in zip(population.facts, (1.0, 0.0), strict=True):
        wanted = {"population": settings.population, "ploidy": settings.n_alleles, "n_individuals": 60, "n_loci": 30, "n_qtl": 6}
        wanted |= {"n_pairs": settings.n_pairs or 3, "n_traits": 2, "n_trait_groups": 2, "h2": 0.4, "rel_aa": rel_aa, "simulator": "native"}
        assert wanted.items() <= facts.items()
        assert facts["v_a_statistical"] + facts["v_d_statistical"] + facts["v_i_statistical"] == pytest.approx(1, rel=1e-12)
        assert facts["linear_r_squared"] == pytest.approx(max(facts["v_a_statistical"], 1 / 60))
        assert 1 < facts["m_e"] < 40
        linked = settings.population != "unlinked"
        assert (facts["marker_qtl_cm"] >= 0) if linked else np.isnan(facts["marker_qtl_cm"])
        assert (facts["marker_qtl_cm"] > 0) == settings.hidden_qtl
    assert population.facts[1]["v_aa"] == 0


def test_names_of_individuals_loci_and_traits(tmp_path: Path) -> None:
    described = read(write_dataset(tmp_path, population="f2", **{**SMALL, "n_loci": 5, "n_qtl": 4, "n_chromosomes": 2})).described
    assert described is not None
    assert described.ids.tolist() == [str(number) for number in range(1, 61)]
    assert described.trait_names == ("1", "2")
    assert (described.groups, described.covariates.shape, described.ploidy) == (None, (60, 0), 2)
    loci = described.loci
    assert loci.chromosome.tolist() == ["chr1"] * 3 + ["chr2"] * 2
    assert loci.position.tolist() == [1, 50_000_001, 100_000_001, 1, 100_000_001]
    assert loci.id.tolist() == ["chr1_1", "chr1_50000001", "chr1_100000001", "chr2_1", "chr2_100000001"]
    assert set(loci.counted_allele.tolist()) == {"B"}
    assert set(loci.other_allele.tolist()) == {"A"}


def test_unlinked_loci_have_no_place(tmp_path: Path) -> None:
    population = read(write_dataset(tmp_path, **POPULATIONS["unlinked, gamma"]))
    assert population.described is not None
    assert population.effects is not None
    assert population.effects.places is None
    assert set(population.described.loci.chromosome.tolist()) == {""}


def test_hidden_qtl_are_not_among_the_genotypes(tmp_path: Path) -> None:
    """6 QTL of each of two groups, on the map but not in the file, whose loci have no effect."""
    effects = read(write_dataset(tmp_path, **POPULATIONS["f2, hidden QTL"])).effects
    assert effects is not None
    assert effects.places is not None
    assert effects.additive.shape == (42, 2)
    assert not effects.additive[:30].any()
    assert np.count_nonzero(effects.additive) == 12
    assert (effects.pairs >= 30).all()
    assert len(np.unique(effects.places.cm[30:])) == 12


def test_errors_and_missing_calls_are_in_the_genotypes_alone(tmp_path: Path) -> None:
    """Of 60,000 calls; SE of a share s: √(s(1 − s)/60,000), below 0.0012."""
    values = {**SMALL, "population": "f2", "n_individuals": 1000, "n_loci": 60}
    plain = write_dataset(tmp_path, "plain.h5", **values)
    observed = write_dataset(tmp_path, "observed.h5", missing_rate=0.1, error_rate=0.02, **values)
    with h5py.File(plain) as one, h5py.File(observed) as other:
        for name in ("truth/genetic_values", "truth/additive", "phenotypes"):
            assert np.array_equal(one[name][:], other[name][:])
    true, seen = true_counts(plain), true_counts(observed)
    assert (seen == MISSING).mean() == pytest.approx(0.1, abs=0.005)
    assert (seen != true)[seen != MISSING].mean() == pytest.approx(1 - 0.98**2, abs=0.005)


def test_inbred_lines_have_one_bit_a_locus_unless_calls_are_missing(tmp_path: Path) -> None:
    values = {**SMALL, "population": "dh"}
    for rate, bits in ((0.0, 1), (0.2, 2)):
        genotypes = read(write_dataset(tmp_path, f"{bits}.h5", missing_rate=rate, **values)).genotypes
        assert (genotypes.bits, genotypes.highest, genotypes.complete) == (bits, 1, not rate)


def test_pairs_that_cannot_be_linked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^pair_linkage: must be 'any', or n_pairs lower: the loci make 3 .* are linked, and 4"):
        write_dataset(tmp_path, population="dh", n_loci=9, n_qtl=8, n_chromosomes=3, pair_linkage="linked")


# sha256 of whole files, written by version 0.1.0, before there were other populations than the study's
STUDY: dict[str, tuple[dict[str, Any], str]] = {
    "defaults": ({}, "7ac319afedcf9dba896f01f2a6809976b127e1ef30a9c8ba6a654d363e9896e8"),
    "neutral loci": (
        {"n_individuals": 300, "n_loci": 83, "n_qtl": 20, "seed": 7, "h2": 0.5},
        "d19fad3283b73c4ae243a44867dba3d92b094513765a284ca07c2f95ec2f3495",
    ),
    "independent": (
        {"n_individuals": 200, "n_loci": 60, "n_qtl": 60, "rel_aa": (0.5,), "n_traits": 3, "independent": True, "seed": 3},
        "2107478da7350f0493dfc060a4c3be568687b6a362505c88aeb5f3d5b39dd5ad",
    ),
    "correlated": (
        {"n_individuals": 200, "n_loci": 60, "n_qtl": 24, "rel_aa": (1.0,), "n_traits": 3, "genetic_correlation": -0.4},
        "6f1ee13a306cef5e8d39a1cc2c9d2eab6dd69b80236df656dfc8b3dbb10ad19d",
    ),
}


@pytest.mark.parametrize(("values", "checksum"), STUDY.values(), ids=STUDY)
def test_the_studys_populations_are_written_as_ever_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], checksum: str
) -> None:
    monkeypatch.setattr("gpatlas.data.traits.__version__", "0.1.0")  # which the file names
    assert hashlib.sha256(write_dataset(tmp_path, **values).read_bytes()).hexdigest() == checksum
    explicit = {**values, "n_pairs": values.get("n_qtl", 46) // 2, "pair_linkage": "unlinked"}
    with h5py.File(tmp_path / "data.h5") as file:
        assert file.attrs["format_version"] == 1
        genotypes = file["genotypes"][:]
    with h5py.File(write_dataset(tmp_path, "explicit.h5", **explicit)) as file:
        assert file.attrs["format_version"] == 1
        assert np.array_equal(file["genotypes"][:], genotypes)
