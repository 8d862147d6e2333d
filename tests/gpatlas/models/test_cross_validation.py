"""gpatlas.models.evaluation under cross-validation, and with covariates, gaps and named loci. The fits are spies."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from diploids import TRAITS, description, diploid_counts, own_population
from populations import QUIET, SMALL, Array, fit_small, in_memory, write_dataset

import gpatlas
from gpatlas.data.dataset import DatasetError
from gpatlas.data.genotypes import Genotypes
from gpatlas.data.population import Population
from gpatlas.models import evaluation
from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.covariates import CovariateEffects
from gpatlas.models.evaluation import Evaluation, evaluate
from gpatlas.models.registry import MODELS, Model, RidgeSettings
from gpatlas.models.settings import FitSettings
from gpatlas.models.splits import assign_folds, fold_splits

QUICK: dict[str, Any] = {**SMALL, "epochs": 3, "lasso_epochs": 3, "min_importance": 0.0, "min_columns": 2, "max_columns": 12}
Judged = Callable[..., Evaluation]


def cross_validation(**values: Any) -> FitSettings:
    return FitSettings(protocol="cross_validation", **{"n_folds": 3, **values})


@dataclass
class Slope:
    """A fit that predicts the standardised trait by how often locus 1 has the counted allele; it keeps the parts that it saw."""

    parts: list[tuple[Part, Part]] = field(default_factory=list)

    def __call__(self, train: Part, validation: Part, settings: FitSettings, progress: FitProgress) -> dict[str, Fitted]:
        self.parts.append((train, validation))
        n_traits, number = train.phenotypes.shape[1], float(len(self.parts))

        def predict(genotypes: Genotypes) -> Array:
            return np.tile(genotypes.counts()[:, :1] - 1.0, (1, n_traits)) * np.arange(1, n_traits + 1) + number

        coefficients = np.full((train.genotypes.n_loci, n_traits), number)
        return {"slope": Fitted(predict, coefficients, {"penalty": number})}


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Judged:
    """`evaluate` of a model whose fit is given."""

    def judged(fit: Any, settings: FitSettings, population: Population) -> Evaluation:
        monkeypatch.setattr(evaluation, "resolve", lambda _: fit)
        return evaluate(Model("slope", "slope", 1, FitSettings, "fit", (), validates=False), settings, population, QUIET)

    return judged


def complete(n: int = 30, n_traits: int = 2, **described: Any) -> Population:
    random = np.random.default_rng(3)
    counts, phenotypes = diploid_counts(n, 4, missing=0), 100 + 5 * random.standard_normal((n, n_traits))
    return in_memory(counts, phenotypes, description(n, 4, TRAITS[:n_traits], **described))


def test_table_by_hand(judged: Judged) -> None:
    """Two repeats of three folds: r and R² of each repeat's pooled predictions, their spread over all six folds."""
    population, settings, fit = complete(), cross_validation(n_repeats=2, seed=5), Slope()
    table = pd.DataFrame(judged(fit, settings, population).rows)
    y, x = population.phenotypes, population.genotypes.counts()[:, 0] - 1.0
    r, r_squared, of_folds = [], [], []
    number = 0
    for repeat in range(2):
        folds = assign_folds(30, None, 3, np.random.default_rng((1, repeat)))
        predicted, means = np.empty((30, 2)), np.empty((30, 2))
        for fold in range(3):
            number += 1
            train, test = folds != fold, folds == fold
            mean, sd = y[train].mean(axis=0), y[train].std(axis=0)
            predicted[test] = (np.outer(x[test], [1, 2]) + number) * sd + mean
            means[test] = mean
            of_folds.append([np.corrcoef(predicted[test, trait], y[test, trait])[0, 1] for trait in range(2)])
            np.testing.assert_allclose(fit.parts[number - 1][0].phenotypes, (y[train] - mean) / sd)
        r.append([np.corrcoef(predicted[:, trait], y[:, trait])[0, 1] for trait in range(2)])
        r_squared.append(1 - ((y - predicted) ** 2).sum(axis=0) / ((y - means) ** 2).sum(axis=0))
    np.testing.assert_allclose(table["pearson_r"], np.mean(r, axis=0))
    np.testing.assert_allclose(table["r_squared"], np.mean(r_squared, axis=0))
    np.testing.assert_allclose(table["pearson_r_sd"], np.std(of_folds, axis=0, ddof=1))
    np.testing.assert_allclose(table["penalty"], [3.5, 3.5])
    np.testing.assert_allclose(table["truth_sd"], y.std(axis=0))
    facts = table[["model", "trait", "protocol", "n_folds", "n_repeats", "n_train", "n_test", "seed"]]
    assert facts.to_numpy().tolist() == [["slope", trait, "cross_validation", 3, 2, 20, 30, 5] for trait in (1, 2)]


def test_predictions_are_of_everyone_by_the_fold_that_never_saw_them(judged: Judged) -> None:
    population, settings = complete(n=31), cross_validation(n_repeats=2)
    table = judged(Slope(), settings, population).tables["predictions"]
    assert list(table) == ["model", "repeat", "fold", "id", "trait", "observed", "predicted"]
    splits = fold_splits(31, None, False, settings)
    for (repeat, trait), some in table.groupby(["repeat", "trait"]):
        assert sorted(some["id"]) == sorted(f"i{number}" for number in range(31))
        rows = some["id"].str[1:].astype(int).to_numpy()
        np.testing.assert_array_equal(some["observed"], population.phenotypes[rows, trait - 1])
        of_repeat = [split for split in splits if split.repeat == repeat]
        wanted = {f"i{row}": split.fold for split in of_repeat for row in split.test.tolist()}
        assert dict(zip(some["id"], some["fold"], strict=True)) == wanted
    assert set(table["model"]) == {"slope"}


def test_scores_are_those_of_the_predictions(judged: Judged) -> None:
    result = judged(Slope(), cross_validation(), own_population())
    table = result.tables["predictions"]
    for row in result.rows:
        some = table[table["trait"] == row["trait"]]
        assert row["pearson_r"] == pytest.approx(np.corrcoef(some["observed"], some["predicted"])[0, 1])
        assert row["n_test"] == len(some) == (75 if row["trait"] == 3 else 90)
        assert not some.isna().any(axis=None)


def test_covariates_are_taken_off_before_a_fit_and_added_to_what_it_predicts(judged: Judged) -> None:
    population, fit, settings = own_population(n_gaps=0), Slope(), cross_validation()
    assert population.described is not None
    covariates, y = population.described.covariates, population.phenotypes
    result = judged(fit, settings, population)
    split = fold_splits(90, population.described.groups, False, settings)[0]
    effects = CovariateEffects.fit(covariates[split.train], y[split.train])
    left = y[split.train] - effects.of(covariates[split.train])
    np.testing.assert_allclose(fit.parts[0][0].phenotypes, (left - left.mean(axis=0)) / left.std(axis=0))
    table = result.tables["predictions"]
    of_fold = table[(table["trait"] == 1) & (table["fold"] == 1)]
    np.testing.assert_allclose(of_fold["by_covariates"], effects.of(covariates[split.test])[:, 0])
    by_locus = population.genotypes.counts()[split.test, 0] - 1.0
    wanted = (by_locus + 1) * left[:, 0].std() + left[:, 0].mean() + effects.of(covariates[split.test])[:, 0]
    np.testing.assert_allclose(of_fold["predicted"], wanted)
    assert {"pearson_r_adjusted", "r_squared_adjusted", "covariates_r_squared"} <= set(result.rows[0])
    bare = replace(population, described=replace(population.described, covariates=covariates[:, :0], covariate_names=()))
    assert not {"pearson_r_adjusted", "r_squared_adjusted", "covariates_r_squared"} & set(judged(fit, settings, bare).rows[0])


def test_effects_of_named_loci_are_per_counted_allele_over_folds(judged: Judged) -> None:
    """The spy's coefficients are 1, 2 and 3 times a trait's standard deviation, for two alleles."""
    population = complete()
    table = judged(Slope(), cross_validation(), population).tables["loci"]
    assert list(table)[:6] == ["model", "trait", "locus", "id", "chromosome", "position"]
    assert table["id"].tolist() == ["s0", "s1", "s2", "s3"] * 2
    assert table["trait"].tolist() == [1] * 4 + [2] * 4
    splits = fold_splits(30, None, False, cross_validation())
    sd = np.array([population.phenotypes[split.train].std(axis=0) for split in splits])
    of_folds = np.array([1, 2, 3])[:, None] * sd / 2
    np.testing.assert_allclose(table["effect"], np.repeat(of_folds.mean(axis=0), 4))
    np.testing.assert_allclose(table["effect_sd"], np.repeat(of_folds.std(axis=0, ddof=1), 4))


def test_traits_with_gaps_keep_their_numbers_and_names(judged: Judged) -> None:
    population = own_population()
    facts = [{"trait_name": name} for name in TRAITS]
    fit = Slope()
    table = pd.DataFrame(judged(fit, cross_validation(traits=("yield", "weight")), replace(population, facts=facts)).rows)
    assert table[["trait", "trait_name", "n_test"]].to_numpy().tolist() == [[3, "yield", 75], [2, "weight", 90]]
    assert [train.phenotypes.shape[1] for train, _ in fit.parts] == [1] * 6


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_phenotype_is_an_error(judged: Judged, value: float) -> None:
    population = own_population()
    population.phenotypes[17, 1] = value
    with pytest.raises(DatasetError, match=r"^test: phenotype of individual 18, trait 2 is missing or not finite$"):
        judged(Slope(), cross_validation(), population)


def test_nobody_left_to_choose_by_is_an_error() -> None:
    """Two groups train, the third is tested."""
    population = own_population(n=110, n_gaps=0)
    assert population.described is not None
    groups = np.repeat(["a", "b", "c"], [50, 50, 10])
    grouped = replace(population, described=replace(population.described, groups=groups))
    with pytest.raises(DatasetError, match=r"^test: 110 individuals leave none to choose by \(early stopping\) beside 100 to train on"):
        evaluate(MODELS["mlp"], MODELS["mlp"].settings(protocol="holdout"), grouped, QUIET)
    assert evaluate(MODELS["ridge"], RidgeSettings(protocol="holdout"), grouped, QUIET).rows[0]["n_train"] == 100


@pytest.mark.parametrize("model", MODELS)
def test_simulated_populations_are_cross_validated_too(model: str, tmp_path: Any) -> None:
    source = write_dataset(tmp_path, n_individuals=60, n_loci=12, n_qtl=10, rel_aa=(0.0, 1.0))
    table = fit_small(model, source, protocol="cross_validation", n_folds=3, **{name: QUICK[name] for name in QUICK if name not in SMALL})
    assert table["model"].tolist() == [name for name in MODELS[model].titles for _ in range(2)]
    assert (table[["n_folds", "n_repeats", "n_train", "n_test"]] == [3, 1, 40, 60]).all(axis=None)
    assert np.isfinite(table[["pearson_r", "pearson_r_sd", "r_squared", "r_squared_sd"]]).all(axis=None)
    predictions = pd.read_csv(tmp_path / "table.predictions.csv")
    counts = predictions.groupby(["model", "trait"])["id"].nunique()
    assert counts.tolist() == [60] * len(table)
    assert not (tmp_path / "table.loci.csv").exists(), "its loci have no names"


def test_models_are_compared_by_cross_validation() -> None:
    table = gpatlas.compare(own_population(), ["ridge", "pairwise"], "cross_validation", n_folds=3)
    assert table["model"].tolist() == ["ridge"] * 3 + ["pairwise"] * 3
    assert {"pearson_r", "pearson_r_low", "pearson_r_high", "r_squared"} <= set(table)
