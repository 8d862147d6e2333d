"""gpatlas.settings: the study's values are the defaults, every fault is named, sizes are foretold."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gpatlas.data import simulate
from gpatlas.data.settings import ImportSettings, SimulateSettings, SimulateTraitsSettings, dataset_bytes, n_qtl_for
from gpatlas.figures.settings import FigureSettings
from gpatlas.models.network_settings import LinearSgdSettings, MlpSettings, PrunedSettings
from gpatlas.models.registry import MODELS, Model, PairwiseSettings, RidgeSettings
from gpatlas.models.settings import split_sizes
from gpatlas.progress import Progress
from gpatlas.report.settings import CollectSettings
from gpatlas.settings import Settings, SettingsError, Size, build, nearest
from gpatlas.stages import STAGES

SIMULATE_KEYS = (
    "allele_frequency_shape, block_size, chromosome_cm, dominance_degree_mean, dominance_degree_sd, effect_distribution, error_rate, "
    "gamma_shape, genetic_correlation, h2, hidden_qtl, independent, missing_rate, n_chromosomes, n_founders, n_generations, "
    "n_individuals, n_loci, n_pairs, n_qtl, n_traits, pair_linkage, ploidy, population, rel_aa, rel_dd, seed"
)
MLP_KEYS = (
    "batch_size, device, epochs, hidden_size, learning_rate, learning_rates, min_delta, n_folds, n_repeats, n_trials, patience, "
    "precision, protocol, prune_trials, reuse_trials, seed, threads, traits, tune, weight_decay"
)
RATES = (0.5, 0.1, 0.05, 0.01, 0.005, 0.001, 0.0001)
ROOM = "so that there is room for pairs"
OF_FOLDS = {"n_folds": 10, "n_repeats": 1, "traits": None}
ONE_GROUP = {"rel_aa": (1.0,), "n_traits": 10}
LINKED = "goes with population bc, dh, f2, outbred or ril, got"
UNLINKED = "population 'unlinked'"
DIPLOIDS = "goes with diploids (population bc, f2, outbred or ril), got"
OUTBRED, DH, F2 = {"population": "outbred"}, {"population": "dh"}, {"population": "f2"}

FAULTS: list[tuple[type[Settings], dict[str, Any], str]] = [
    (SimulateSettings, {"n_qtls": 4}, f"n_qtls: unknown key, did you mean 'n_qtl'? (allowed: {SIMULATE_KEYS})"),
    (SimulateSettings, {"zzz": 4}, f"zzz: unknown key (allowed: {SIMULATE_KEYS})"),
    (MlpSettings, {"hiden_size": 4}, f"hiden_size: unknown key, did you mean 'hidden_size'? (allowed: {MLP_KEYS})"),
    (CollectSettings, {"seed": 1}, "seed: unknown key (allowed: )"),
    (SimulateSettings, {"n_individuals": "10"}, "n_individuals: must be a valid integer, got '10'"),
    (SimulateSettings, {"n_individuals": True}, "n_individuals: must be a valid integer, got True"),
    (SimulateSettings, {"n_individuals": None}, "n_individuals: must be a valid integer, got None"),
    (SimulateSettings, {"seed": 1.0}, "seed: must be a valid integer, got 1.0"),
    (SimulateSettings, {"h2": "high"}, "h2: must be a valid number, got 'high'"),
    (SimulateSettings, {"rel_aa": 1.0}, "rel_aa: must be a valid tuple, got 1.0"),
    (SimulateSettings, {"rel_aa": (1.0, "x")}, "rel_aa.1: must be a valid number, got 'x'"),
    (SimulateSettings, {"n_individuals": 1}, "n_individuals: must be greater than or equal to 2, got 1"),
    (SimulateSettings, {"n_qtl": 0}, "n_qtl: must be greater than or equal to 2, got 0"),
    (SimulateSettings, {"n_loci": 0}, "n_loci: must be greater than or equal to 1, got 0"),
    (SimulateSettings, {"seed": -1}, "seed: must be greater than or equal to 0, got -1"),
    (SimulateSettings, {"h2": 0.0}, "h2: must be greater than 0, got 0.0"),
    (SimulateSettings, {"h2": 1.5}, "h2: must be less than or equal to 1, got 1.5"),
    (SimulateSettings, {"genetic_correlation": 1.1}, "genetic_correlation: must be less than or equal to 1, got 1.1"),
    (SimulateSettings, {"rel_aa": (1.0, -1.0)}, "rel_aa.1: must be greater than or equal to 0, got -1.0"),
    (SimulateSettings, {"rel_aa": (-1.0,)}, "rel_aa.0: must be greater than or equal to 0, got -1.0"),
    (SimulateSettings, {"block_size": 0}, "block_size: must be greater than or equal to 1, got 0"),
    (SimulateSettings, {"n_qtl": 45}, "n_qtl: must be even where n_pairs is left out (loci are cut into pairs), got 45"),
    (SimulateSettings, {"n_qtl": 48}, "n_qtl: must be at most n_loci (46), got 48"),
    (SimulateSettings, {"n_traits": 2}, "n_traits: goes with a single rel_aa, got 2 with the rel_aa 0, 0.1, 0.5, 1, 3"),
    (
        SimulateSettings,
        {**ONE_GROUP, "genetic_correlation": 0.5, "independent": True},
        "genetic_correlation: must be 0 where every trait is a group of its own, got 0.5",
    ),
    (
        SimulateSettings,
        {**ONE_GROUP, "genetic_correlation": -0.5},
        "genetic_correlation: the correlation matrix of 10 traits must be positive definite, so between -0.1111 and 1, got -0.5",
    ),
    (
        SimulateSettings,
        {**ONE_GROUP, "genetic_correlation": 1.0},
        "genetic_correlation: the correlation matrix of 10 traits must be positive definite, so between -0.1111 and 1, got 1",
    ),
    (
        SimulateSettings,
        {"independent": True},
        "independent: goes with n_traits, which is not given; traits of several rel_aa are independent anyway",
    ),
    (SimulateSettings, {"n_pairs": 24}, "n_pairs: must be at most half of n_qtl (46), got 24"),
    (SimulateSettings, {"n_qtl": 45, "n_pairs": 23}, "n_pairs: must be at most half of n_qtl (45), got 23"),
    (SimulateSettings, {"effect_distribution": "beta"}, "effect_distribution: must be 'normal', 'gamma' or 'equal', got 'beta'"),
    (SimulateSettings, {"population": "nam"}, "population: must be 'unlinked', 'dh', 'ril', 'f2', 'bc' or 'outbred', got 'nam'"),
    (SimulateSettings, {**DH, "n_chromosomes": 47}, "n_loci: must be at least n_chromosomes (47), got 46"),
    (SimulateSettings, {"n_chromosomes": 2}, f"n_chromosomes: {LINKED} 2 with {UNLINKED}"),
    (SimulateSettings, {"chromosome_cm": 50.0}, f"chromosome_cm: {LINKED} 50 with {UNLINKED}"),
    (SimulateSettings, {"hidden_qtl": True}, f"hidden_qtl: {LINKED} {UNLINKED}"),
    (SimulateSettings, {"error_rate": 0.1}, f"error_rate: {LINKED} 0.1 with {UNLINKED}"),
    (SimulateSettings, {"missing_rate": 0.1}, f"missing_rate: {LINKED} 0.1 with {UNLINKED}"),
    (SimulateSettings, {**DH, "n_generations": 3}, "n_generations: goes with population outbred or ril, got 3 with population 'dh'"),
    (SimulateSettings, {**F2, "n_founders": 50}, "n_founders: goes with population outbred, got 50 with population 'f2'"),
    (
        SimulateSettings,
        {**F2, "allele_frequency_shape": (2.0, 2.0)},
        "allele_frequency_shape: goes with population outbred, got 2, 2 with population 'f2'",
    ),
    (SimulateSettings, {**F2, "ploidy": 1}, "ploidy: must be 2 for the population 'f2', got 1"),
    (SimulateSettings, {**DH, "ploidy": 2}, "ploidy: must be 1 for the population 'dh', got 2"),
    (SimulateSettings, {**OUTBRED, "ploidy": 3}, "ploidy: must be 1 or 2, got 3"),
    (SimulateSettings, {**OUTBRED, "n_founders": 1}, "n_founders: must be greater than or equal to 2, got 1"),
    (SimulateSettings, {**OUTBRED, "n_generations": 0}, "n_generations: must be greater than or equal to 1, got 0"),
    (SimulateSettings, {**OUTBRED, "allele_frequency_shape": (1.0, 0.0)}, "allele_frequency_shape.1: must be greater than 0, got 0.0"),
    (
        SimulateSettings,
        {**OUTBRED, "allele_frequency_shape": (1.0,)},
        "allele_frequency_shape: must be two numbers, got 1",
    ),
    (SimulateSettings, {**F2, "error_rate": 0.5}, "error_rate: must be less than 0.5, got 0.5"),
    (SimulateSettings, {**F2, "missing_rate": 1.0}, "missing_rate: must be less than 1, got 1.0"),
    (SimulateSettings, {"rel_dd": 1.0}, f"rel_dd: {DIPLOIDS} 1 with {UNLINKED} of ploidy 1"),
    (SimulateSettings, {**DH, "dominance_degree_sd": 0.1}, f"dominance_degree_sd: {DIPLOIDS} 0.1 with population 'dh' of ploidy 1"),
    (
        SimulateSettings,
        {**OUTBRED, "ploidy": 1, "dominance_degree_mean": 0.1},
        f"dominance_degree_mean: {DIPLOIDS} 0.1 with population 'outbred' of ploidy 1",
    ),
    (
        SimulateSettings,
        {**F2, "pair_linkage": "unlinked"},
        "pair_linkage: 'unlinked' takes more than one chromosome, got it with n_chromosomes 1",
    ),
    (SimulateSettings, {"pair_linkage": "linked"}, f"pair_linkage: 'linked' {LINKED} it with {UNLINKED}"),
    (SimulateTraitsSettings, {"n_individuals": 1}, "n_individuals: must be greater than or equal to 2, got 1"),
    (ImportSettings, {}, "scenario: is required"),
    (FigureSettings, {"figure": "1a", "dpi": 49}, "dpi: must be greater than or equal to 50, got 49"),
    (FigureSettings, {"figure": "1a", "dpi": 1201}, "dpi: must be less than or equal to 1200, got 1201"),
    (RidgeSettings, {"protocol": "papers"}, "protocol: must be 'holdout', 'paper' or 'cross_validation', got 'papers'"),
    (RidgeSettings, {"threads": 0}, "threads: must be greater than or equal to 1, got 0"),
    (
        RidgeSettings,
        {"log10_penalty_min": 3.0, "log10_penalty_max": 2.0},
        "log10_penalty_min: must be at most log10_penalty_max (2), got 3",
    ),
    (PairwiseSettings, {"thresholds": (1.0, 1.1)}, "thresholds: must fall, got 1.0, 1.1"),
    (PairwiseSettings, {"thresholds": (1.0, 1.0)}, "thresholds: must fall, got 1.0, 1.0"),
    (PairwiseSettings, {"thresholds": (1.0, 0.0)}, "thresholds.1: must be greater than 0, got 0.0"),
    (PairwiseSettings, {"n_inner_folds": 1}, "n_inner_folds: must be greater than or equal to 2, got 1"),
    (PairwiseSettings, {"max_loci_per_individual": 0.6}, "max_loci_per_individual: must be less than or equal to 0.5, got 0.6"),
    (
        PairwiseSettings,
        {"max_loci_per_individual": 0.5},
        "max_loci_per_individual: must be at most 0.32 with 5 folds, so that there is room for pairs, got 0.5",
    ),
    (
        PairwiseSettings,
        {"n_inner_folds": 2},
        "max_loci_per_individual: must be at most 0.2 with 2 folds, so that there is room for pairs, got 0.25",
    ),
    (MlpSettings, {"device": "gpu"}, "device: must be 'auto', 'cpu' or 'cuda', got 'gpu'"),
    (MlpSettings, {"batch_size": 1}, "batch_size: must be greater than or equal to 2, got 1"),
    (MlpSettings, {"learning_rate": 0.0}, "learning_rate: must be greater than 0, got 0.0"),
    (LinearSgdSettings, {"penalty": -0.1}, "penalty: must be greater than or equal to 0, got -0.1"),
    (MlpSettings, {"n_trials": 0}, "n_trials: must be greater than or equal to 1, got 0"),
    (MlpSettings, {"tune": 1}, "tune: must be a valid boolean, got 1"),
    (MlpSettings, {"learning_rates": (0.1, 0.0)}, "learning_rates.1: must be greater than 0, got 0.0"),
    (MlpSettings, {"learning_rates": 0.1}, "learning_rates: must be a valid tuple, got 0.1"),
    (MlpSettings, {"learning_rates": ()}, "learning_rates: Tuple must have at least 1 item, got ()"),
    (PrunedSettings, {"min_columns": 5, "max_columns": 4}, "min_columns: must be at most max_columns (4), got 5"),
    (PrunedSettings, {"min_columns": 0}, "min_columns: must be greater than or equal to 1, got 0"),
    (PrunedSettings, {"lasso_penalty": -0.1}, "lasso_penalty: must be greater than or equal to 0, got -0.1"),
    (PrunedSettings, {"min_importance": -0.1}, "min_importance: must be greater than or equal to 0, got -0.1"),
    (PrunedSettings, {"lasso_learning_rate": 0.0}, "lasso_learning_rate: must be greater than 0, got 0.0"),
]


@pytest.mark.parametrize(("cls", "values", "message"), FAULTS, ids=[message.split("(")[0] for _, _, message in FAULTS])
def test_fault_is_named_with_key_value_and_cure(cls: type[Settings], values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        build(cls, values)
    assert str(caught.value) == message


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        build(SimulateSettings, {"h2": 2.0, "seed": -1, "n_locus": 3})
    assert caught.value.faults == [
        ("h2", "must be less than or equal to 1, got 2.0"),
        ("seed", "must be greater than or equal to 0, got -1"),
        ("n_locus", f"unknown key, did you mean 'n_loci'? (allowed: {SIMULATE_KEYS})"),
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("cls", "key"), [(SimulateSettings, "h2"), (MlpSettings, "learning_rate"), (LinearSgdSettings, "penalty"), (SimulateSettings, "rel_aa")]
)
def test_numbers_must_be_finite(cls: type[Settings], key: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"^{key}"):
        build(cls, {key: (1.0, value) if key == "rel_aa" else value})


@pytest.mark.parametrize(
    "values",
    [
        {"n_qtl": 45, "n_pairs": 22},  # odd, as not all of them make pairs
        {"n_qtl": 48, "n_loci": 46, **DH, "hidden_qtl": True},
        {**DH, "n_chromosomes": 46},
        {**F2, "n_chromosomes": 2, "pair_linkage": "unlinked"},
        {"population": "ril", "n_generations": 1, "dominance_degree_sd": 0.3},
        {**OUTBRED, "ploidy": 1, "n_founders": 2, "allele_frequency_shape": (0.2, 2.0)},
    ],
)
def test_populations_just_inside_the_limits_are_taken(values: dict[str, Any]) -> None:
    assert build(SimulateSettings, values).model_dump(include=set(values)) == values


@pytest.mark.parametrize(("population", "ploidy"), [("unlinked", 1), ("dh", 1), ("ril", 2), ("f2", 2), ("bc", 2), ("outbred", 2)])
def test_ploidy_is_that_of_the_population(population: str, ploidy: int) -> None:
    assert build(SimulateSettings, {"population": population}).n_alleles == ploidy


def test_correlation_just_inside_the_limit_is_taken() -> None:
    assert build(SimulateSettings, {**ONE_GROUP, "genetic_correlation": -0.11}).genetic_correlation == -0.11


# The study's values for the fits, its smallest scaling scenario for the simulator
DEFAULTS: dict[str, dict[str, Any]] = {
    "simulate": {
        "n_individuals": 1000,
        "n_loci": 46,
        "n_qtl": 46,
        "n_traits": None,
        "rel_aa": (0.0, 0.1, 0.5, 1.0, 3.0),
        "genetic_correlation": 0.0,
        "independent": False,
        "h2": 0.999,
        "seed": 1,
        "block_size": 4096,
        "n_pairs": None,
        "effect_distribution": "normal",
        "gamma_shape": 0.4,
        "dominance_degree_mean": 0.0,
        "dominance_degree_sd": 0.0,
        "rel_dd": 0.0,
        "pair_linkage": "any",
        "population": "unlinked",
        "n_chromosomes": 1,
        "chromosome_cm": 100.0,
        "n_generations": None,
        "n_founders": 100,
        "allele_frequency_shape": (1.0, 1.0),
        "ploidy": None,
        "hidden_qtl": False,
        "error_rate": 0.0,
        "missing_rate": 0.0,
    },
    "fit-ridge": {
        "protocol": "paper",
        **OF_FOLDS,
        "seed": 1,
        "threads": None,
        "n_splits": 10,
        "splits": "shared",
        "n_penalties": 100,
        "log10_penalty_min": -5.0,
        "log10_penalty_max": 5.0,
    },
    "fit-mlp": {
        "protocol": "paper",
        **OF_FOLDS,
        "seed": 1,
        "threads": None,
        "learning_rate": 0.01,
        "batch_size": 128,
        "epochs": 100,
        "patience": 10,
        "min_delta": 0.003,
        "device": "auto",
        "n_trials": 10,
        "learning_rates": RATES,
        "reuse_trials": False,
        "prune_trials": False,
        "hidden_size": 4096,
        "weight_decay": 1e-5,
        "precision": "fp32",
        "tune": False,
    },
    "fit-pruned": {
        "protocol": "paper",
        **OF_FOLDS,
        "seed": 1,
        "threads": None,
        "learning_rate": 0.01,
        "batch_size": 128,
        "epochs": 100,
        "patience": 25,
        "min_delta": 0.003,
        "device": "auto",
        "n_trials": 20,
        "learning_rates": RATES,
        "reuse_trials": False,
        "prune_trials": False,
        "hidden_size": 4096,
        "weight_decay": 1e-5,
        "precision": "fp32",
        "lasso_penalty": 0.001,
        "lasso_learning_rate": 0.1,
        "lasso_epochs": 200,
        "lasso_patience": 20,
        "lasso_min_delta": 0.001,
        "min_importance": 0.03,
        "min_columns": 100,
        "max_columns": 1000,
    },
    "fit-linear-sgd": {
        "protocol": "paper",
        **OF_FOLDS,
        "seed": 1,
        "threads": None,
        "learning_rate": 0.1,
        "batch_size": 128,
        "epochs": 200,
        "patience": 20,
        "min_delta": 0.001,
        "device": "auto",
        "penalty": 0.1,
    },
}


@pytest.mark.parametrize("stage", DEFAULTS)
def test_defaults_are_the_studys(stage: str) -> None:
    assert STAGES[stage].settings().model_dump() == DEFAULTS[stage]


@pytest.mark.parametrize("stage", STAGES)
def test_every_field_says_what_it_is(stage: str) -> None:
    assert [name for name, field in STAGES[stage].settings.model_fields.items() if not field.description] == []


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RidgeSettings().seed = 2  # type: ignore[misc]


def test_identity_leaves_out_how_a_stage_is_run() -> None:
    assert RidgeSettings(threads=1).identity() == RidgeSettings(threads=8).identity()
    assert "block_size" not in SimulateSettings().identity()
    assert SimulateSettings(seed=2).identity() != SimulateSettings(seed=1).identity()


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_threads_are_part_of_what_training_computes(model: Model) -> None:
    """Only there: the fits without gradient descent give the same tables for any number of threads."""
    identities = [build(model.settings, {"threads": threads}).identity() for threads in (1, 2)]
    assert (identities[0] != identities[1]) == model.validates
    assert "device" not in identities[0]  # the driver adds the one that `auto` comes to


def test_identity_does_not_depend_on_how_a_number_is_written() -> None:
    first, second = build(SimulateSettings, {"h2": 1, "rel_aa": [1]}), build(SimulateSettings, {"h2": 1.0, "rel_aa": (1.0,)})
    assert json.dumps(first.identity()) == json.dumps(second.identity())


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        ({}, [(0.0, 1), (0.1, 1), (0.5, 1), (1.0, 1), (3.0, 1)]),
        ({"rel_aa": (1.0,), "n_traits": 3}, [(1.0, 3)]),
        ({"rel_aa": (1.0,), "n_traits": 3, "independent": True}, [(1.0, 1)] * 3),
    ],
)
def test_trait_groups(values: dict[str, Any], groups: list[tuple[float, int]]) -> None:
    assert build(SimulateSettings, values).trait_groups() == groups


SCALING = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 4.0, 7.0, 12.0, 20.0)


# The QTL counts of the study
@pytest.mark.parametrize(
    ("n_individuals", "counts"),
    [
        (1000, [16, 22, 26, 32, 46, 64, 90, 120, 156, 202]),
        (10_000, [46, 64, 78, 102, 142, 202, 284, 376, 490, 634]),
        (1_000_000, [448, 634, 776, 1002, 1416, 2002, 2830, 3742, 4900, 6326]),
    ],
)
def test_qtl_counts_of_the_study(n_individuals: int, counts: list[int]) -> None:
    assert [n_qtl_for(n_individuals, value) for value in SCALING] == counts


def test_first_and_last_qtl_count_of_a_hundred_thousand() -> None:
    assert (n_qtl_for(100_000, SCALING[0]), n_qtl_for(100_000, SCALING[-1])) == (142, 2002)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"rel_aa": (1.0,), "n_loci": 16, "n_qtl": 16},
        {"n_individuals": 2000, "n_loci": 5000, "n_qtl": 100, "rel_aa": (0.0, 1.0)},
        {"n_individuals": 3000, "n_loci": 1000, "n_qtl": 1000, "rel_aa": (1.0,), "n_traits": 100, "genetic_correlation": 0.5},
        {"n_individuals": 1500, "n_loci": 100, "n_qtl": 100, "rel_aa": (1.0,), "n_traits": 100, "independent": True},
        {"n_individuals": 10_000, "n_loci": 634, "n_qtl": 634},
        {"n_individuals": 2000, "n_loci": 1000, "n_qtl": 50, "population": "dh"},
        {"n_individuals": 2000, "n_loci": 1000, "n_qtl": 50, "population": "dh", "missing_rate": 0.1},
        {"n_individuals": 2000, "n_loci": 1000, "n_qtl": 200, "population": "f2", "hidden_qtl": True, "rel_aa": (0.0, 1.0)},
    ],
)
def test_size_of_the_dataset_file_is_foretold_within_a_twentieth(tmp_path: Path, values: dict[str, Any]) -> None:
    settings = build(SimulateSettings, values)
    simulate.run(settings, None, tmp_path / "data.h5", Progress("simulate", io.StringIO()))
    size = Size(settings.n_individuals, settings.n_loci, sum(size for _, size in settings.trait_groups()), settings.bits)
    assert dataset_bytes(settings, size) == pytest.approx((tmp_path / "data.h5").stat().st_size, rel=0.05)


@pytest.mark.parametrize(
    ("n_individuals", "paper", "holdout"),
    [(1000, (850, 150, 150), (722, 128, 150)), (101, (86, 15, 15), (73, 13, 15)), (20, (17, 3, 3), (14, 3, 3))],
)
def test_split_sizes(n_individuals: int, paper: tuple[int, int, int], holdout: tuple[int, int, int]) -> None:
    assert split_sizes(n_individuals, "paper") == paper
    assert split_sizes(n_individuals, "holdout") == holdout
    assert sum(holdout) == n_individuals


def test_nearest_lists_what_is_allowed() -> None:
    assert nearest("mpl", ["ridge", "mlp"]) == ", did you mean 'mlp'? (allowed: mlp, ridge)"
    assert nearest("svm", ["ridge", "mlp"]) == " (allowed: mlp, ridge)"
