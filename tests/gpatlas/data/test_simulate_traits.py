"""gpatlas.data.simulate_traits: new traits on the genotypes of any dataset file, on some of its individuals, or with offspring."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from own_files import IDS, bed, bim, covariates, fam, load, phenotypes, text, write
from populations import QUIET, fit_small, write_dataset

from gpatlas import cli
from gpatlas.data.dataset import Dataset, DatasetError
from gpatlas.data.genotypes import MISSING
from gpatlas.data.population import Description, Population
from gpatlas.data.settings import SimulateTraitsSettings
from gpatlas.data.simulate_traits import run
from gpatlas.settings import build

Array = npt.NDArray[Any]
N_LOCI = 40
DOMINANCE = {"dominance_degree_mean": 0.3, "dominance_degree_sd": 0.2, "rel_dd": 0.5}


def counts_of(n: int = 30, missing: float = 0.05) -> Array:
    random = np.random.default_rng(1)
    counts = random.integers(0, 3, (n, N_LOCI)).astype(np.uint8)
    counts[random.random(counts.shape) < missing] = MISSING
    return counts


def imported(folder: Path, counts: Array | None = None) -> Path:
    """30 individuals in five families, with covariates, at 40 loci of one chromosome, 100 base pairs apart."""
    loci = [f"m{number}" for number in range(N_LOCI)]
    files = {"x.bed": bed(counts_of() if counts is None else counts), "x.fam": text(fam(IDS)), "x.bim": text(bim(loci))}
    files |= {"p.tsv": text(phenotypes()), "c.tsv": text(covariates())}
    write(files, folder)
    settings = {"phenotypes": folder / "p.tsv", "covariates": folder / "c.tsv", "group_column": "family"}
    return load(folder / "x.bed", folder / "imported.h5", **settings)


def traits_on(source: Path, out: str = "traits.h5", **values: Any) -> Path:
    path = source.with_name(out)
    run(build(SimulateTraitsSettings, {"n_qtl": 8, "rel_aa": (1.0,), "h2": 0.6, **values}), source, path, QUIET)
    return path


def read(path: Path) -> tuple[Population, Description]:
    with Dataset(path) as data:
        population = data.population()
    assert population.described is not None
    return population, population.described


def values_again(population: Population, highest: int) -> Array:
    """Genetic values recomputed from the file, a missing call as the most frequent one of its locus."""
    counts = population.genotypes.counts()
    numbers = np.array([(counts == count).sum(axis=0) for count in range(3)])
    counts = np.where(counts == MISSING, numbers.argmax(axis=0).astype(np.uint8), counts)
    assert population.effects is not None
    return population.effects.total(population.effects.parts_of(counts, highest))


def test_what_is_known_of_the_population_stays(tmp_path: Path) -> None:
    source = imported(tmp_path)
    (before, known), (after, stays) = read(source), read(traits_on(source, **DOMINANCE))
    assert np.array_equal(after.genotypes.counts(), before.genotypes.counts())
    assert not after.genotypes.complete
    assert stays.ids.tolist() == known.ids.tolist()
    assert stays.groups is not None
    assert known.groups is not None
    assert stays.groups.tolist() == known.groups.tolist()
    assert np.array_equal(stays.covariates, known.covariates)
    assert (stays.covariate_names, stays.ploidy, stays.trait_names) == (known.covariate_names, 2, ("1",))
    assert stays.loci.id.tolist() == known.loci.id.tolist()
    assert stays.loci.position.tolist() == known.loci.position.tolist()
    assert after.phenotypes.shape == (30, 1)
    assert {"population": "imported", "simulator": "native", "n_qtl": 8, "n_pairs": 4, "h2": 0.6}.items() <= after.facts[0].items()


@pytest.mark.parametrize("values", [{}, {"n_individuals": 20}, {"n_individuals": 75}], ids=["all", "some", "with offspring"])
def test_genetic_values_follow_from_the_files_genotypes_exactly(tmp_path: Path, values: dict[str, Any]) -> None:
    source = imported(tmp_path)
    population, _ = read(traits_on(source, n_traits=2, genetic_correlation=0.5, **DOMINANCE, **values))
    assert population.genetic_values is not None
    assert len(population.genetic_values) == values.get("n_individuals", 30)
    assert np.array_equal(values_again(population, 2), population.genetic_values)
    np.testing.assert_allclose(population.genetic_values.var(axis=0), 1)


def test_a_subsample_is_drawn_without_replacement(tmp_path: Path) -> None:
    source = imported(tmp_path)
    (before, known), (some, few), (_, others) = (
        read(path) for path in (source, traits_on(source, n_individuals=20), traits_on(source, "2.h5", n_individuals=20, seed=2))
    )
    rows = [known.ids.tolist().index(name) for name in few.ids]
    assert len(set(rows)) == 20
    assert few.ids.tolist() != others.ids.tolist()
    assert np.array_equal(some.genotypes.counts(), before.genotypes.counts()[rows])
    assert np.array_equal(few.covariates, known.covariates[rows])


def test_offspring_have_names_and_groups_of_their_own(tmp_path: Path) -> None:
    source = imported(tmp_path)
    (before, known), (after, all_of_them) = read(source), read(traits_on(source, n_individuals=100))
    names = all_of_them.ids.tolist()
    born = [name.startswith("offspring_") for name in names]
    assert sum(born) == len({*names} - {*known.ids.tolist()}) == 70
    assert born[:70].count(True) < 65, "in random order"
    parents = [names.index(name) for name in known.ids]
    counts = after.genotypes.counts()
    assert np.array_equal(counts[parents], before.genotypes.counts())
    assert not (counts[born] == MISSING).any()
    assert all_of_them.groups is not None
    assert all_of_them.groups[born].tolist() == all_of_them.ids[born].tolist()
    np.testing.assert_allclose(all_of_them.covariates[born], np.tile(known.covariates.mean(axis=0), (70, 1)))


def test_offspring_of_offspring_have_other_names(tmp_path: Path) -> None:
    once = traits_on(imported(tmp_path), n_individuals=40)
    _, described = read(traits_on(once, "twice.h5", n_individuals=50))
    assert len(set(described.ids.tolist())) == 50


def test_inbred_lines_stay_inbred(tmp_path: Path) -> None:
    """Homozygotes, coded 0 and 2: so are their offspring, and dominance has no meaning."""
    source = imported(tmp_path, counts_of(missing=0) // 2 * 2)
    path = traits_on(source, n_individuals=60)
    with h5py.File(path) as file:
        assert (file.attrs["bits_per_locus"], file.attrs["ploidy"]) == (2, 2)
    population, _ = read(path)
    assert population.genotypes.highest == 1
    assert np.array_equal(values_again(population, 1), np.asarray(population.genetic_values))
    with pytest.raises(
        DatasetError, match=r"imported\.h5: dominance_degree_mean: must be 0 where no individual is heterozygous, got 0\.3$"
    ):
        traits_on(source, **DOMINANCE)


@pytest.mark.parametrize(
    ("values", "population", "ploidy", "highest"),
    [({}, "unlinked", 1, 1), ({"population": "f2", "n_chromosomes": 2}, "f2", 2, 2), ({"population": "dh"}, "dh", 1, 1)],
)
def test_simulated_populations_have_traits_anew(tmp_path: Path, values: dict[str, Any], population: str, ploidy: int, highest: int) -> None:
    source = write_dataset(tmp_path, n_individuals=50, **values)
    anew, described = read(traits_on(source, n_individuals=80))
    assert (described.ploidy, anew.facts[0]["population"], anew.n_traits) == (ploidy, population, 1)
    assert np.array_equal(values_again(anew, highest), np.asarray(anew.genetic_values))


def test_settings_make_the_same_file_again_in_any_block(tmp_path: Path) -> None:
    source = imported(tmp_path)
    paths = [traits_on(source, f"{size}.h5", n_individuals=50, block_size=size) for size in (7, 4096)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert traits_on(source, "other.h5", n_individuals=50, seed=2).read_bytes() != paths[0].read_bytes()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_qtl": 42}, r"imported\.h5: n_qtl: must be at most the number of loci that vary \(40\), got 42$"),
        ({"pair_linkage": "unlinked"}, r"imported\.h5: pair_linkage: must be 'any', .* the loci make 0 disjoint pairs that are unlinked"),
    ],
)
def test_genotypes_that_do_not_do(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    source = imported(tmp_path)
    with pytest.raises(DatasetError, match=message):
        traits_on(source, **values)
    assert not source.with_name("traits.h5").exists()


def test_both_stages_by_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And what cannot be done is said without a traceback."""
    genomes, traits = str(tmp_path / "genomes.h5"), str(tmp_path / "traits.h5")
    linked = ["--population", "ril", "--n-chromosomes", "4", "--n-individuals", "80", "--missing-rate", "0.05", "--hidden-qtl"]
    drawn = ["--n-qtl", "10", "--rel-aa", "1", "--h2", "0.5", "--pair-linkage", "linked"]
    lines = [
        ["simulate", *linked, "--out", genomes],
        ["simulate-traits", "--genotypes", genomes, *drawn, "--out", traits],
        ["simulate-traits", "--genotypes", genomes, "--n-qtl", "48", "--out", str(tmp_path / "other.h5")],
    ]
    codes = []
    for line in lines:
        with pytest.raises(SystemExit) as ended:
            cli.main(line)
        codes.append(ended.value.code)
    assert codes == [0, 0, 1]
    assert "genomes.h5: n_qtl: must be at most the number of loci that vary (46), got 48" in capsys.readouterr().err
    _, described = read(Path(traits))
    assert described.loci.chromosome[0] == "chr1"


@pytest.mark.parametrize("protocol", ["holdout", "cross_validation"])
def test_fits_name_the_loci_of_pairs_and_say_how_near_they_are(tmp_path: Path, protocol: str) -> None:
    """Ten pairs without additive effects would be hard; one strong pair is found, within 10 cM at least."""
    linked = {"population": "f2", "n_chromosomes": 4, "n_individuals": 400, "n_loci": 60, "missing_rate": 0.02, "hidden_qtl": True}
    source = write_dataset(tmp_path, **linked, n_qtl=4, n_pairs=1, rel_aa=(3.0,), h2=0.9)
    row = fit_small("pairwise", source, protocol=protocol, n_folds=3, n_inner_folds=3).iloc[0]
    assert row["recall_10cm"] == 1
    assert row["recall_1cm"] <= row["recall_5cm"] <= row["recall_10cm"]
    assert row["precision_1cm"] <= row["precision_5cm"] <= row["precision_10cm"] <= 1
    assert (row["n_pairs"], row["population"], row["ploidy"]) == (1, "f2", 2)
    assert np.isnan(row["effect_correlation"]), "no locus of the file has an effect"
    pairs = pd.read_csv(tmp_path / "table.pairs.csv")
    assert {"chromosome_1", "position_1", "id_1", "chromosome_2", "position_2", "causal"} <= set(pairs)
    assert pairs["chromosome_1"].str.startswith("chr").all()


@pytest.mark.parametrize("model", ["ridge", "elastic_net", "boosting", "mlp"])
def test_diploids_with_missing_calls_families_and_covariates_are_fitted(tmp_path: Path, model: str) -> None:
    source = traits_on(imported(tmp_path), n_individuals=90)
    for protocol in ("holdout", "cross_validation"):
        table = fit_small(model, source, protocol=protocol, n_folds=3, epochs=2, n_inner_folds=3)
        assert np.isfinite(table["pearson_r"]).all()
        assert (table["linear_r_squared"] <= 1).all()
