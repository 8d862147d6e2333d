"""Inner predictions: what models tell of training individuals, by fits that have not seen them; and a stack of such fits at hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from diploids import own_population
from populations import QUIET, SMALL, Array, part_of, random_part, random_population, write_dataset

from gpatlas.data.genotypes import MISSING
from gpatlas.models.base_fits import BaseFits
from gpatlas.models.contract import Fitted, Part
from gpatlas.models.decomposed import Decomposed
from gpatlas.models.evaluation import evaluate
from gpatlas.models.kernel_ridge import ChosenKernels
from gpatlas.models.kernels import Kernel, KernelCoding, Sums, centre_and_scale
from gpatlas.models.registry import MODELS, EgblupSettings, RidgeSettings, StackSettings
from gpatlas.models.ridge import fit as fit_ridge
from gpatlas.models.settings import FitSettings
from gpatlas.models.splits import inner_folds
from gpatlas.settings import beside, build, resolve
from gpatlas.stages import FITS

TELLING = [name for name, model in MODELS.items() if not model.validates and name != "stack"]
BASES = ("ridge", "egblup", "elastic_net")


def settings_of(model: str, **values: Any) -> FitSettings:
    known = {**SMALL, "max_trees": 40, "protocol": "cross_validation", **values}
    return build(MODELS[model].settings, {name: value for name, value in known.items() if name in MODELS[model].settings.model_fields})


def fitted(model: str, train: Part, **values: Any) -> Fitted:
    return dict(resolve(MODELS[model].fit)(train, train.rows(np.arange(0)), settings_of(model, **values), QUIET))[model]


@pytest.mark.parametrize("n_loci", [20, 300])
def test_those_of_ridge_regression_are_refits_with_its_penalty(n_loci: int) -> None:
    train = random_part(120, n_loci, 2)
    settings = build(
        RidgeSettings, {"protocol": "cross_validation", "n_penalties": 1, "log10_penalty_min": 1, "log10_penalty_max": 1, "seed": 3}
    )
    inner = fit_ridge(train, train.rows(np.arange(0)), settings, QUIET)["ridge"].inner_predictions
    assert inner is not None
    for rest, held_out in inner_folds(120, 5, 3):
        refit = fit_ridge(train.rows(rest), train.rows(np.arange(0)), settings, QUIET)["ridge"]
        np.testing.assert_allclose(inner[held_out], refit.predict(train.genotypes.rows(held_out)), atol=1e-9)


def test_those_of_a_kernel_are_refits_with_its_penalty() -> None:
    train = random_part(90, 40, 2)
    sums = Sums.of(train.genotypes, train.genotypes, KernelCoding.centred(train.genotypes), squares=True)
    kernel = Kernel("epistatic")(sums)
    centre_and_scale(kernel)
    settings = build(EgblupSettings, {"protocol": "cross_validation", "n_penalties": 5})
    chosen = ChosenKernels.of([[Decomposed.of(kernel)]], 1, train.phenotypes, settings, QUIET)
    assert chosen.inner_predictions is not None
    for rest, held_out in inner_folds(90, 5, settings.seed):
        for trait, penalty in enumerate(chosen.penalty):
            system = np.block(
                [[kernel[np.ix_(rest, rest)] + penalty * np.eye(len(rest)), np.ones((len(rest), 1))], [np.ones(len(rest)), 0]]
            )
            solved = np.linalg.solve(system, np.append(train.phenotypes[rest, trait], 0))
            wanted = kernel[np.ix_(held_out, rest)] @ solved[:-1] + solved[-1]
            np.testing.assert_allclose(chosen.inner_predictions[held_out, trait], wanted, atol=1e-8)


@pytest.mark.parametrize("model", TELLING)
def test_all_individuals_are_predicted_better_than_by_chance_and_worse_than_by_their_own_fit(model: str) -> None:
    alleles, noise = random_population(300, 30, 2)
    x = 2.0 * alleles - 1
    train = part_of(alleles, noise + np.column_stack([x[:, :5].sum(axis=1), 2 * x[:, 7] * x[:, 8] + x[:, 9]]))
    one = fitted(model, train)
    assert one.inner_predictions is not None
    r_inner, r_own = (_r(train.phenotypes, values) for values in (one.inner_predictions, one.predict(train.genotypes)))
    assert r_inner[0] > 0.5
    assert (r_inner < r_own).all()


@pytest.mark.parametrize("model", TELLING)
def test_phenotypes_that_have_nothing_to_do_with_loci_are_not_predicted(model: str) -> None:
    train = random_part(300, 30, 4, seed=5)
    inner = fitted(model, train).inner_predictions
    assert inner is not None
    explained = 1 - ((train.phenotypes - inner) ** 2).sum(axis=0) / ((train.phenotypes - train.phenotypes.mean(axis=0)) ** 2).sum(axis=0)
    assert (explained < 3 * 2 / np.sqrt(300)).all()


def _r(first: Array, second: Array) -> Array:
    return np.array([np.corrcoef(one, other)[0, 1] for one, other in zip(first.T, second.T, strict=True)])


def test_pairwise_tells_those_of_the_folds_that_it_fits() -> None:
    inner = fitted("pairwise", random_part(1200, 12, 1)).inner_predictions
    assert inner is not None
    folds = inner_folds(1200, settings_of("pairwise").model_dump()["n_inner_folds"], 1)
    told = [~np.isnan(inner[held_out, 0]) for _, held_out in folds]
    assert [bool(of_fold.all()) for of_fold in told] == [bool(of_fold.any()) for of_fold in told]
    assert sum(of_fold.sum() for of_fold in told) >= 1000


def write_bases(folder: Path, source: Path, **values: Any) -> Path:
    """The tables of the base models, and the manifest that lists them."""
    tables = {}
    for name in BASES:
        tables[name] = str(folder / f"{name}.csv")
        FITS[name].load()(settings_of(name, **values), source, Path(tables[name]), QUIET)
    (folder / "bases.json").write_text(json.dumps(tables))
    return folder / "bases.json"


def test_a_stack_of_fits_at_hand_is_the_stack_that_fits_them(tmp_path: Path) -> None:
    source = write_dataset(tmp_path, n_individuals=150, n_loci=20, n_qtl=20, rel_aa=(0.0, 1.0), seed=2)
    fits = write_bases(tmp_path, source, n_folds=2, n_penalties=100)
    tables = {}
    for name, path in (("alone", None), ("at_hand", fits)):
        settings = StackSettings(protocol="cross_validation", n_folds=2, models=BASES, fits=path)
        FITS["stack"].load()(settings, source, tmp_path / f"{name}.csv", QUIET)
        tables[name] = pd.read_csv(tmp_path / f"{name}.csv").drop(columns="seconds")
        tables[f"{name} predictions"] = pd.read_csv(beside(tmp_path / f"{name}.csv", "predictions"))
    pd.testing.assert_frame_equal(tables["alone"], tables["at_hand"], rtol=1e-8)
    pd.testing.assert_frame_equal(tables["alone predictions"], tables["at_hand predictions"], rtol=1e-6, atol=1e-8)
    assert tables["alone"][[f"weight_{name}" for name in BASES]].to_numpy().max() > 0.1


def test_of_a_population_with_gaps_groups_and_covariates_too(tmp_path: Path) -> None:
    population, models = own_population(), ("ridge", "egblup")
    settings: dict[str, Any] = {"n_folds": 3, "n_repeats": 2, "n_penalties": 100}
    tables = {}
    for name in models:
        evaluation = evaluate(MODELS[name], settings_of(name, **settings), population, QUIET)
        tables[name] = str(tmp_path / f"{name}.csv")
        for table in ("predictions", "inner_predictions"):
            evaluation.tables[table].to_csv(beside(Path(tables[name]), table), index=False)
    (tmp_path / "bases.json").write_text(json.dumps(tables))
    stack = StackSettings(protocol="cross_validation", n_folds=3, n_repeats=2, models=models)
    alone, at_hand = (
        pd.DataFrame(evaluate(MODELS["stack"], stack, population, QUIET, fits).rows).drop(columns="seconds")
        for fits in (None, BaseFits.read(tmp_path / "bases.json", models))
    )
    assert population.genotypes.counts().max() == MISSING
    pd.testing.assert_frame_equal(alone, at_hand, rtol=1e-6)


def test_fits_that_lack_something_are_refused(tmp_path: Path) -> None:
    source = write_dataset(tmp_path, n_individuals=60, n_loci=8, n_qtl=8, seed=2)
    fits = write_bases(tmp_path, source, n_folds=3)
    run = FITS["stack"].load()
    with pytest.raises(ValueError, match=r"bases.json: lacks the model 'rkhs', which the stack combines"):
        run(StackSettings(protocol="cross_validation", n_folds=3, models=("ridge", "rkhs"), fits=fits), source, tmp_path / "t.csv", QUIET)
    with pytest.raises(ValueError, match="ridge: its predictions lack individuals of fold 1; was it cross-validated otherwise"):
        run(StackSettings(protocol="cross_validation", n_folds=4, models=BASES, fits=fits), source, tmp_path / "t.csv", QUIET)
    with pytest.raises(ValueError, match="fits: goes with protocol 'cross_validation', not 'holdout'"):
        build(StackSettings, {"protocol": "holdout", "fits": fits})
