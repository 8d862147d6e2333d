"""gpatlas.models.pairwise: finds the pairs that the simulators put in, and does no harm where there is nothing to find."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from populations import QUIET, Recorder, fit_by_stage, write_dataset

from gpatlas import needs
from gpatlas.data import alphasimr
from gpatlas.data.dataset import Dataset
from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import Genotypes
from gpatlas.data.places import Places
from gpatlas.data.settings import ImportSettings
from gpatlas.models.contract import Part
from gpatlas.models.pairwise import (
    Trial,
    fit,
    folds,
    interacting,
    is_causal,
    settle_threshold,
    success,
    success_within,
    true_pairs,
)
from gpatlas.models.registry import PairwiseSettings
from gpatlas.models.scores import pearson_r
from gpatlas.models.splits import ordered_split
from gpatlas.progress import Progress
from gpatlas.stages import Stage

DATA = Path(__file__).parents[2] / "data"
CEILING = 0.99  # below sqrt(h2) = 0.9995 by what an estimate costs


def simulated(folder: Path, **values: Any) -> Path:
    return write_dataset(folder, **{"n_individuals": 1000, **values})


def fitted(source: Path, progress: Progress = QUIET, **values: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of a fit, and the pairs found."""
    table = fit_by_stage("pairwise", source, progress, **{"protocol": "holdout", **values})
    return table, pd.read_csv(Stage.beside(source.with_name("table.csv"), "pairs"))


def epistatic(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["rel_aa"] >= 0.5]


# What it finds


@pytest.mark.parametrize("n_qtl", [46, 90, 120])
def test_finds_the_pairs_of_the_studys_smallest_populations(tmp_path: Path, n_qtl: int) -> None:
    table, pairs = fitted(simulated(tmp_path, n_loci=n_qtl, n_qtl=n_qtl))
    strong = epistatic(table)
    assert (table["pearson_r"] > CEILING).all()
    assert strong["pair_precision"].mean() > 0.9
    assert strong["pair_recall"].mean() > 0.9
    assert pairs.groupby("trait").size().reindex(table["trait"], fill_value=0).tolist() == table["n_pairs_found"].tolist()


def test_finds_them_where_there_are_twenty_pairs_an_individual(tmp_path: Path) -> None:
    """202 loci make 20301 pairs."""
    table, _ = fitted(simulated(tmp_path, n_loci=202, n_qtl=202, rel_aa=(0.5, 3.0)))
    assert (table["pearson_r"] > CEILING).all()
    assert (table[["pair_precision", "pair_recall"]].mean() > 0.9).all()


def test_screens_loci_too_where_they_are_many(tmp_path: Path) -> None:
    """40 causal among 1200 loci, more than individuals: 720600 terms."""
    table, _ = fitted(simulated(tmp_path, n_loci=1200, n_qtl=40, rel_aa=(0.0, 1.0)))
    assert (table["pearson_r"] > CEILING).all()
    assert table["pair_precision"][1] > 0.9
    assert table["pair_recall"][1] > 0.9
    assert table["n_pairs_found"][0] <= 2
    assert (table["effect_correlation"] > CEILING).all()


def test_effects_are_those_of_the_simulator(tmp_path: Path) -> None:
    """The noise has sd 0.03, so an effect has the standard error 0.03/sqrt(850); five of them."""
    source = simulated(tmp_path, n_loci=46, n_qtl=46, rel_aa=(1.0,))
    _, pairs = fitted(source)
    with Dataset(source) as data:
        effects = data.effects()
    wanted = {tuple(sorted(pair + 1)): effect for pair, effect in zip(effects.pairs[0], effects.epistatic[0], strict=True)}
    causal = pairs[pairs["causal"] == 1]
    assert len(causal) > 18
    for pair in causal.itertuples():
        assert pair.effect == pytest.approx(wanted[pair.locus_1, pair.locus_2], abs=5 * 0.0316 / np.sqrt(850))
        assert abs(pair.score) > 4
        assert np.sign(pair.score) == np.sign(pair.effect)
    assert (pairs["locus_1"] < pairs["locus_2"]).all()


SCENARIOS = [
    ("scaling", "qhaplo_46qtl_1000n_rep1", 0.999),
    ("scaling", "qhaplo_90qtl_1000n_rep1", 0.999),
    ("dilution", "qhaplo_100qtl_250marker_2000n_rep1", 0.9999),
    ("pleio", "qhaplo_50qtl_1000n_0pleio_10trait_rep1", 0.999),
]


@pytest.mark.parametrize(("experiment", "scenario", "h2"), SCENARIOS, ids=[scenario for _, scenario, _ in SCENARIOS])
def test_finds_alphasimrs_pairs(tmp_path: Path, experiment: str, scenario: str, h2: float) -> None:
    archive = DATA / f"alphasimr_{experiment}_input.tar.xz"
    alphasimr.run(ImportSettings(scenario=scenario, h2=h2), archive, tmp_path / "data.h5", QUIET)
    table, _ = fitted(tmp_path / "data.h5")
    assert (table["pearson_r"] > CEILING).all()
    assert table["pair_precision"][1:].mean() > 0.9
    assert table["pair_recall"][1:].mean() > 0.9


# What it does not find


def test_permuted_phenotypes_are_not_predicted(tmp_path: Path) -> None:
    """A correlation with noise has the standard error 1/sqrt(n_test). There are 5 × 703 pairs to be misled by."""
    source = simulated(tmp_path, n_loci=37, n_qtl=36, rel_aa=(0.0, 0.1, 0.5, 1.0, 3.0))
    with Dataset(source) as data:
        genotypes, phenotypes = data.genotypes(), np.random.default_rng(1).permutation(data.phenotypes())
    split = ordered_split(1000, "paper", validates=False)
    everyone = Part(genotypes, phenotypes)
    model = fit(everyone.rows(split.train), everyone.rows(split.validation), PairwiseSettings(), QUIET)["pairwise"]
    predicted = model.predict(genotypes.rows(split.test))
    assert (abs(pearson_r(phenotypes[split.test], predicted)) < 3 / np.sqrt(len(split.test))).all()
    assert len(model.tables["pairs"]) <= 5


@pytest.mark.parametrize("seed", [1, 2])
def test_low_heritability_is_no_worse_than_ridge(tmp_path: Path, seed: int) -> None:
    """The standard error of a correlation is at most 1/sqrt(150)."""
    source = simulated(tmp_path, n_loci=46, n_qtl=46, h2=0.2, seed=seed)
    table, _ = fitted(source)
    ridge = fit_by_stage("ridge", source, out="ridge.csv", protocol="holdout")
    assert (table["pearson_r"] > ridge["pearson_r"] - 1 / np.sqrt(150)).all()


def test_without_pairs_it_is_ridge(tmp_path: Path) -> None:
    source = simulated(tmp_path, n_loci=30, n_qtl=30, h2=0.3, rel_aa=(0.0,))
    table, pairs = fitted(source, thresholds=(2.0,))
    ridge = fit_by_stage("ridge", source, out="ridge.csv", protocol="holdout")
    same = ["pearson_r", "effect_correlation", "prediction_mean", "prediction_sd", "penalty"]
    pd.testing.assert_frame_equal(table[same], ridge[same], rtol=1e-9)
    assert pairs.empty
    assert table["n_pairs_found"].tolist() == [0]
    assert table[["pair_precision", "pair_recall"]].isna().all(axis=None)


# How it goes about it


def test_columns_progress_and_numbers_of_the_table(tmp_path: Path) -> None:
    progress = Recorder()
    source = simulated(tmp_path, n_loci=20, n_qtl=12, rel_aa=(1.0, 1.0))
    table, pairs = fitted(source, progress, max_scan_individuals=400)
    own = ["n_pairs_found", "pair_precision", "pair_recall", "threshold", "penalty", "n_scanned"]
    assert list(table)[9 : 9 + len(own)] == own
    ends = ["locus_1_from", "locus_1_to", "locus_2_from", "locus_2_to"]
    assert list(pairs) == ["trait", "locus_1", "locus_2", "effect", "score", *ends, "stability", "false_discovery_rate", "causal"]
    assert (pairs[ends].to_numpy() == pairs[["locus_1", "locus_1", "locus_2", "locus_2"]].to_numpy()).all(), "no neighbours are linked"
    assert pairs["stability"].between(0, 1).all()
    assert pairs["false_discovery_rate"].isna().all()
    assert table[["model", "trait", "n_scanned", "n_train"]].to_numpy().tolist() == [["pairwise", 1, 400, 850], ["pairwise", 2, 400, 850]]
    assert set(table["threshold"]) <= {0.8, 0.9, 1.0, 1.1}
    assert progress.steps == [(n, 12) for n in range(1, 13)]


def test_both_protocols_train_the_same_individuals(tmp_path: Path) -> None:
    source = simulated(tmp_path, n_individuals=201, n_loci=12, n_qtl=12)
    holdout, paper = (fitted(source, protocol=protocol)[0] for protocol in ("holdout", "paper"))
    different = ["protocol", "seconds"]
    pd.testing.assert_frame_equal(holdout.drop(columns=[*different, "r_squared"]), paper.drop(columns=different))
    assert holdout[["n_train", "n_test"]].to_numpy().tolist() == [[171, 30]] * 5


def test_folds_hold_out_everyone_once_or_a_thousand() -> None:
    few = folds(53, PairwiseSettings())
    assert [len(part) for part in few] == [11, 11, 11, 10, 10]
    assert sorted(np.concatenate(few).tolist()) == list(range(53))
    assert [len(part) for part in folds(2500, PairwiseSettings())] == [500, 500]
    assert [len(part) for part in folds(8500, PairwiseSettings(n_inner_folds=4))] == [2125]
    assert folds(53, PairwiseSettings(seed=2))[0].tolist() != few[0].tolist()
    with pytest.raises(ValueError, match=r"^n_inner_folds: 9 training individuals cannot be cut into 5 folds of at least 2; lower it$"):
        folds(9, PairwiseSettings())


def test_the_step_of_least_error_is_chosen_and_what_most_folds_found_there() -> None:
    def terms(*loci: int) -> npt.NDArray[np.intp]:
        return np.array([[0, locus] for locus in loci], dtype=np.intp).reshape(-1, 2)

    def missed(squares: float) -> npt.NDArray[np.float64]:
        return np.array([-np.sqrt(squares)])

    trials = [
        [Trial(1.1, terms(1), missed(5.0)), Trial(0.9, terms(1, 2, 3), missed(2.0)), Trial(1.1, terms(4), missed(2.0))],
        [Trial(1.1, terms(1), missed(5.0)), Trial(0.9, terms(3, 2), missed(1.0)), Trial(1.1, terms(4), missed(1.0))],
        [Trial(1.1, terms(1), missed(0.0)), Trial(0.9, terms(3), missed(3.0)), Trial(1.1, terms(4), missed(3.5))],
        [Trial(1.1, terms(1), missed(0.0)), Trial(0.9, terms(3, 5), missed(3.0)), Trial(1.1, terms(4), missed(3.5))],
    ]
    of_folds, found = settle_threshold(trials)
    assert of_folds.threshold == 0.9
    np.testing.assert_allclose(of_folds.misses**2, [2, 1, 3, 3])
    assert found.tolist() == [[0, 3]], "2 was found by half of the folds only"


def test_success_by_hand() -> None:
    effects = Effects(
        additive=np.zeros((8, 3)),
        pairs=np.array([[[5, 1], [2, 3]], [[0, 7], [2, 3]], [[0, 1], [2, 3]]], dtype=np.int32),
        epistatic=np.array([[1.0, -1.0], [1.0, 0.0], [0.0, 0.0]]),
        intercept=np.zeros(3),
    )
    pairs = pd.DataFrame({"trait": [1, 1, 1, 3], "locus_1": [2, 1, 3, 1], "locus_2": [6, 8, 5, 2]})
    pairs = pairs.assign(**{f"locus_{side}_{end}": pairs[f"locus_{side}"] for side in (1, 2) for end in ("from", "to")})
    pairs["causal"] = is_causal(pairs, effects)
    assert pairs["causal"].tolist() == [1, 0, 0, 0]
    found = success(pairs, effects)
    assert found["n_pairs_found"].tolist() == [3, 0, 1]
    np.testing.assert_array_equal(found["pair_precision"], [1 / 3, np.nan, 0])
    np.testing.assert_array_equal(found["pair_recall"], [0.5, 0, np.nan])


def test_a_pair_is_true_that_stands_for_a_true_one() -> None:
    """Of three true pairs the first finding stands for two, and so does the second, whose loci are the other way round."""
    effects = Effects(np.zeros((90, 1)), np.array([[[9, 49], [11, 50], [79, 85]]], dtype=np.int32), np.ones((1, 3)), np.zeros(1))
    ends = {"locus_1_from": [8, 45, 9], "locus_1_to": [12, 52, 10], "locus_2_from": [50, 5, 70], "locus_2_to": [60, 12, 75]}
    pairs = pd.DataFrame({"trait": 1, "locus_1": [10, 48, 9], "locus_2": [52, 8, 72], **ends})
    pairs["causal"] = is_causal(pairs, effects)
    assert pairs["causal"].tolist() == [1, 1, 0]
    found = success(pairs, effects)
    assert (found["n_pairs_found"][0], found["pair_precision"][0], found["pair_recall"][0]) == (3, 2 / 3, 2 / 3)


def placed() -> Effects:
    """Loci every 2 cM of two chromosomes, six each, and a hidden QTL at 3.2 cM of the first; pairs of loci 2 and 8, and 12 and 10."""
    places = Places(np.array([0] * 6 + [1] * 6 + [0]), np.array([0.0, 2, 4, 6, 8, 10] * 2 + [3.2]), 12)
    effects = Effects(np.zeros((13, 1)), np.array([[[2, 8], [12, 10]]], np.int32), np.ones((1, 2)), np.zeros(1))
    return replace(effects, places=places)


def test_pairs_are_found_by_distance_in_either_order() -> None:
    """The first finding is 2 and 4 cM from the first pair; the second, turned round, 0.8 and 0 cM from the other; the third near none."""
    pairs = pd.DataFrame({"trait": 1, "locus_1": [4, 11, 1], "locus_2": [11, 3, 2]})
    found = {name: float(values[0]) for name, values in success_within(pairs, placed()).items()}
    assert found == {
        **{"precision_1cm": 1 / 3, "recall_1cm": 1 / 2},
        **{"precision_5cm": 2 / 3, "recall_5cm": 1},
        **{"precision_10cm": 2 / 3, "recall_10cm": 1},
    }
    nothing = success_within(pairs[:0], placed())
    assert np.isnan(nothing["precision_5cm"]).all()
    assert nothing["recall_5cm"].tolist() == [0]
    assert success_within(pairs, replace(placed(), places=None)) == {}


def test_a_finding_may_stand_for_the_locus_next_to_a_hidden_qtl() -> None:
    assert [of_trait.tolist() for of_trait in true_pairs(placed())] == [[[3, 9], [3, 11]]]


def test_dominance_by_dominance_alone_makes_a_pair_true() -> None:
    effects = replace(placed(), epistatic=np.zeros((1, 2)), dominance=np.zeros((13, 1)), dominance_epistatic=np.array([[0.0, 1.0]]))
    assert [of_trait.tolist() for of_trait in interacting(effects)] == [[[12, 10]]]


def test_nothing_at_all_is_found_in_noise_among_many_loci() -> None:
    """Then the mean is predicted, or nearly: ridge regression with a large penalty may do as well."""
    random = np.random.default_rng(1)
    genotypes, phenotypes = Genotypes.of(random.integers(0, 2, (60, 90), dtype=np.uint8)), random.standard_normal((60, 2))
    everyone = Part(genotypes, phenotypes)
    model = fit(everyone, everyone.rows(np.arange(0)), PairwiseSettings(thresholds=(3.0,)), QUIET)["pairwise"]
    pairs = model.tables["pairs"]
    np.testing.assert_allclose(model.predict(genotypes.rows(slice(0, 3))), np.tile(phenotypes.mean(axis=0), (3, 1)), atol=0.01)
    assert pairs.empty
    effects = Effects(np.zeros((90, 2)), np.zeros((2, 0, 2), np.int32), np.zeros((2, 0)), np.zeros(2))
    assert success(pairs.assign(causal=is_causal(pairs, effects)), effects)["n_pairs_found"].tolist() == [0, 0]


def test_a_population_that_does_not_fit_is_refused_with_what_it_would_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "machine_memory", lambda: 10_000_000)
    source = simulated(tmp_path, n_loci=46, n_qtl=46)
    message = r"data\.h5: fit-pairwise of 1000 individuals and 46 loci needs 0\.\d GB of memory; there are 0\.0 GB$"
    with pytest.raises(ValueError, match=message):
        fitted(source)
    assert not (tmp_path / "table.csv").exists()
