"""gpatlas.models.contract: what every model of the registry keeps to, and that none of them sees what it must not.

Sizes are small and one thread is used; what is learned is judged in standard errors (SE).
"""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from crosses import Cross
from populations import NEURAL, QUIET, SMALL, Array, Recorder, fit_small, in_memory, random_part, write_dataset

from gpatlas.data.dataset import Dataset
from gpatlas.models.contract import Fitted
from gpatlas.models.evaluation import evaluate
from gpatlas.models.registry import MODELS
from gpatlas.models.settings import split_sizes
from gpatlas.settings import build, resolve

N_LOCI, N_TRAITS = 12, 3
QUICK: dict[str, Any] = {
    **SMALL,
    **{"hidden_size": 8, "epochs": 2, "lasso_epochs": 2, "n_trials": 2, "min_importance": 0.0, "min_columns": 4, "max_columns": 8},
}
# Every model, and those that go about it in two ways
WAYS = [*((name, {}) for name in MODELS), ("mlp", {"tune": True})]
NAMES = [name + ("".join(f", {key}" for key in values)) for name, values in WAYS]


def fitted(name: str, progress: Recorder, **values: Any) -> dict[str, Fitted]:
    """By the model's fit, of 60 individuals without any signal; 20 more validate, where the model does so."""
    model = MODELS[name]
    known = {key: value for key, value in {**QUICK, **values}.items() if key in model.settings.model_fields}
    train = random_part(60, N_LOCI, N_TRAITS)
    validation = random_part(20 if model.validates else 0, N_LOCI, N_TRAITS, seed=2)
    models: dict[str, Fitted] = resolve(model.fit)(train, validation, build(model.settings, known), progress)
    return models


@pytest.mark.parametrize(("name", "values"), WAYS, ids=NAMES)
def test_a_fit_gives_what_the_contract_says(name: str, values: dict[str, Any]) -> None:
    progress = Recorder()
    models = fitted(name, progress, **values)
    assert list(models) == list(MODELS[name].titles)
    for one in models.values():
        for n in (1, 7):
            predicted = one.predict(random_part(n, N_LOCI, N_TRAITS, seed=3).genotypes)
            assert predicted.shape == (n, N_TRAITS)
            assert predicted.dtype == np.float64
            assert np.isfinite(predicted).all()
        assert one.coefficients is None or one.coefficients.shape == (N_LOCI, N_TRAITS)
        assert {np.shape(values) for values in one.columns.values()} <= {(), (N_TRAITS,)}
        assert all(isinstance(table, pd.DataFrame) for table in one.tables.values())
    tables = [table for one in models.values() for table in one.tables]
    assert set(tables) <= set(MODELS[name].tables), "an entry names all further tables of its model"
    assert len(tables) == len(set(tables)), "the tables of all models of a fit are written beside each other"
    done, totals = zip(*progress.steps, strict=True)
    assert len(set(totals)) == 1
    assert list(done) == sorted(set(done))
    assert done[-1] == totals[-1]


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.judge])
def test_a_judge_adds_columns_and_takes_nothing_away(name: str, tmp_path: Path) -> None:
    with Dataset(write_dataset(tmp_path, n_loci=N_LOCI, n_qtl=4, rel_aa=(0.0, 1.0, 3.0))) as data:
        effects = data.effects()
    models = fitted(name, Recorder())
    judged = resolve(MODELS[name].judge or "")(models, effects)
    assert list(judged) == list(models)
    for before, after in zip(models.values(), judged.values(), strict=True):
        assert set(before.columns) < set(after.columns)
        assert set(before.tables) == set(after.tables)
        for table in before.tables:
            pd.testing.assert_frame_equal(after.tables[table][list(before.tables[table])], before.tables[table])
        assert after.predict == before.predict


def test_part_keeps_alleles_and_phenotypes_of_an_individual_together() -> None:
    everyone = random_part(9, N_LOCI, N_TRAITS)
    part = everyone.rows(np.array([5, 2, 5]))
    assert np.array_equal(part.genotypes.counts(), everyone.genotypes.counts()[[5, 2, 5]])
    assert np.array_equal(part.phenotypes, everyone.phenotypes[[5, 2, 5]])


# What others work with in the same process


def global_state() -> dict[str, Any]:
    return {
        "torch's threads": torch.get_num_threads(),
        "torch's random numbers": torch.get_rng_state().tolist(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "numpy's random numbers": np.random.get_state()[1].tolist(),  # type: ignore[index]
        "Python's random numbers": random.getstate(),
    }


@pytest.fixture(params=[False, True], ids=["any kernels", "deterministic kernels"])
def state(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Three threads, which no fit here is told to use."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(3)
    torch.use_deterministic_algorithms(request.param)
    yield global_state()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.mark.parametrize(("name", "values"), WAYS, ids=NAMES)
def test_a_fit_and_its_predictions_leave_the_global_state_alone(name: str, values: dict[str, Any], state: dict[str, Any]) -> None:
    models = fitted(name, Recorder(), **values)
    assert global_state() == state
    for one in models.values():
        one.predict(random_part(7, N_LOCI, N_TRAITS, seed=3).genotypes)
    assert global_state() == state


@pytest.mark.parametrize("name", NEURAL)
def test_a_fit_that_fails_leaves_the_global_state_alone(name: str, state: dict[str, Any]) -> None:
    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        fitted(name, Recorder(stop))
    assert global_state() == state


@pytest.mark.parametrize(("name", "values"), [way for way in WAYS if way[0] in NEURAL], ids=lambda value: str(value))
def test_a_fit_does_not_depend_on_the_random_numbers_drawn_before(name: str, values: dict[str, Any]) -> None:
    def predictions() -> list[Array]:
        genotypes = random_part(7, N_LOCI, N_TRAITS, seed=3).genotypes
        return [one.predict(genotypes) for one in fitted(name, Recorder(), **values).values()]

    first = predictions()
    torch.rand(3)
    np.testing.assert_array_equal(first, predictions())


# What no model may see. Under holdout: the test part decides nothing.


def rewrite_phenotypes(source: Path, rows: Array, values: Array) -> Path:
    copy = source.with_name("changed.h5")
    shutil.copy(source, copy)
    with h5py.File(copy, "r+") as file:
        phenotypes = file["phenotypes"][:]
        phenotypes[rows] = values
        file["phenotypes"][:] = phenotypes
    return copy


@pytest.mark.parametrize(("name", "values"), WAYS, ids=NAMES)
def test_permuted_phenotypes_cannot_be_predicted(tmp_path: Path, name: str, values: dict[str, Any]) -> None:
    """r of n_test individuals is 0 with SE 1/√(n_test − 1), for each of 5 traits; a constant prediction has none."""
    n = 1000
    source = write_dataset(tmp_path, n_individuals=n, n_loci=20, n_qtl=20)
    with Dataset(source) as data:
        permuted = np.random.default_rng(1).permutation(data.phenotypes())
    r = fit_small(name, rewrite_phenotypes(source, np.arange(n), permuted), protocol="holdout", epochs=15, max_trees=50, **values)[
        "pearson_r"
    ]
    se = 1 / np.sqrt(split_sizes(n, "holdout")[2] - 1)
    assert r.abs().fillna(0).max() < 3 * se
    assert abs(r.fillna(0).mean()) < 3 * se / np.sqrt(5)


@pytest.mark.parametrize(("name", "values"), WAYS, ids=NAMES)
def test_permuted_phenotypes_of_linked_loci_explain_nothing(name: str, values: dict[str, Any]) -> None:
    """R² of a prediction that has nothing to do with the n_test individuals is below 0 but for a few 1/√n_test."""
    cross = Cross.simulated(700, 3, loci_per_chromosome=40)
    phenotype, _ = cross.trait(8, 0.5, 0.8, seed=4)
    permuted = np.column_stack([np.random.default_rng(seed).permutation(phenotype) for seed in range(5)])
    model, told = MODELS[name], {**SMALL, "protocol": "holdout", "epochs": 10, "max_trees": 50, **values}
    settings = build(model.settings, {key: value for key, value in told.items() if key in model.settings.model_fields})
    rows = evaluate(model, settings, in_memory(cross.alleles, permuted), QUIET).rows
    se = 1 / np.sqrt(split_sizes(700, "holdout")[2])
    for result in model.titles:
        r_squared = np.array([row["r_squared"] for row in rows if row["model"] == result])
        assert r_squared.max() < 2 * se
        assert r_squared.mean() < se / np.sqrt(5)


@pytest.mark.parametrize("nonsense", ["noise", "a thousandfold"])
@pytest.mark.parametrize(("name", "values"), WAYS, ids=NAMES)
def test_phenotypes_of_the_test_part_do_not_touch_the_fit_under_holdout(
    tmp_path: Path, name: str, values: dict[str, Any], nonsense: str
) -> None:
    """The predictions of the test part, and what was chosen, stay what they are to the last bit."""
    source = write_dataset(tmp_path, n_individuals=200, n_loci=20, n_qtl=20)
    n_test = split_sizes(200, "holdout")[2]
    with Dataset(source) as data:
        phenotypes = data.phenotypes()[-n_test:]
    other = -1000 * phenotypes if nonsense == "a thousandfold" else np.random.default_rng(1).standard_normal((n_test, 5)) * 9 + 4
    changed = rewrite_phenotypes(source, np.arange(200 - n_test, 200), other)
    values = {"protocol": "holdout", "epochs": 6, "patience": 2, **values}
    first, second = (fit_small(name, path, **values) for path in (source, changed))
    own = ("epochs", "penalty", "learning_rate", "n_columns", "causal_found", "threshold", "epistatic_weight")
    own += ("bandwidth", "arc_cosine_layers", "additive_weight")
    names = [name for name in map(str, first) if name.startswith("prediction") or name in own]
    pd.testing.assert_frame_equal(first[names], second[names], check_exact=True)
    assert first["n_test"].unique().tolist() == [n_test] == [30]
    assert (first["truth_mean"] != second["truth_mean"]).all()
    assert (second["truth_sd"] > (100 if nonsense == "a thousandfold" else 5) * first["truth_sd"]).all()


@pytest.mark.parametrize("name", ["linear_sgd", "mlp", "pruned"])
def test_a_callers_default_type_and_modes_do_no_harm(name: str) -> None:
    plain = {key: one.predict(random_part(7, N_LOCI, N_TRAITS, seed=3).genotypes) for key, one in fitted(name, Recorder()).items()}
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), torch.inference_mode():
            other = fitted(name, Recorder())
            assert torch.is_inference_mode_enabled()
        assert torch.get_default_dtype() == torch.float64
        for key, one in other.items():
            np.testing.assert_array_equal(one.predict(random_part(7, N_LOCI, N_TRAITS, seed=3).genotypes), plain[key])
    finally:
        torch.set_default_dtype(torch.float32)
