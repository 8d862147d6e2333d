"""gpatlas.models.evaluation: whom a fit sees and when it is judged, and what the table says. The fits are spies."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from populations import QUIET, Array, Recorder, write_dataset

from gpatlas.data.dataset import Dataset, DatasetError
from gpatlas.data.effects import Effects
from gpatlas.data.genotypes import FloatArray, Genotypes
from gpatlas.data.population import Population
from gpatlas.models import evaluation
from gpatlas.models.contract import FitProgress, Fitted, Part
from gpatlas.models.evaluation import Evaluation, evaluate
from gpatlas.models.registry import Model, RidgeSettings
from gpatlas.models.scores import pearson_r
from gpatlas.models.settings import FitSettings
from gpatlas.models.splits import Plan, random_splits

PAPER, HOLDOUT = FitSettings(protocol="paper"), FitSettings(protocol="holdout")
FACTS = ["n_individuals", "n_loci", "n_qtl", "n_traits", "n_trait_groups", "h2", "simulator", "genetic_correlation"]
TRAIT_FACTS = ["rel_aa", "v_a", "v_aa", "v_a_over_v_g"]
MOMENTS = ["truth_mean", "truth_sd", "prediction_mean", "prediction_sd"]


def simulated(folder: Path, **values: Any) -> Population:
    with Dataset(write_dataset(folder, **{"n_individuals": 40, "n_loci": 64, "n_qtl": 20, **values})) as data:
        return data.population()


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`evaluate` of a model whose fit, and judge, are given; where a plan is given, on its traits and splits."""

    def judged(
        fit: Any,
        settings: FitSettings,
        population: Population,
        *,
        judge: Any = None,
        plan: Plan | None = None,
        progress: FitProgress = QUIET,
    ) -> Evaluation:
        places = {"fit": fit, "judge": judge}
        monkeypatch.setattr(evaluation, "resolve", places.__getitem__)
        if plan:
            monkeypatch.setattr(evaluation, "plan_splits", lambda *_: plan)
        model = Model("spy", "spy", 1, FitSettings, "fit", (), validates=True, judge="judge" if judge else None)
        return evaluate(model, settings, population, progress)

    return judged


class Spy:
    """A fit that predicts `answer`, and records whom it sees: the numbers of the individuals, told by their alleles."""

    def __init__(self, population: Population, coefficients: FloatArray | None = None) -> None:
        self.numbers = {alleles.tobytes(): number for number, alleles in enumerate(population.genotypes.counts())}
        assert len(self.numbers) == population.n_individuals, "individuals must differ to be told apart"
        self.answer = population.phenotypes**3
        self.coefficients = coefficients
        self.parts: list[tuple[list[int], list[int]]] = []
        self.predicted: list[list[int]] = []

    def rows(self, genotypes: Genotypes) -> list[int]:
        return [self.numbers[row.tobytes()] for row in genotypes.counts()]

    def __call__(self, train: Part, validation: Part, settings: FitSettings, progress: FitProgress) -> dict[str, Fitted]:
        assert self.predicted == [] or len(self.predicted) == len(self.parts)
        self.parts.append((self.rows(train.genotypes), self.rows(validation.genotypes)))
        columns = {"penalty": float(len(self.parts)), "note": np.arange(self.answer.shape[1]) * 2.0}
        return {"spy": Fitted(self.predict, self.coefficients, columns)}

    def predict(self, genotypes: Genotypes) -> FloatArray:
        rows = self.rows(genotypes)
        self.predicted.append(rows)
        return np.asarray(self.answer[rows])


class Twins:
    """A fit of two models, each predicting an answer of its own and each with a column that the other lacks."""

    def __init__(self, population: Population) -> None:
        assert population.effects is not None
        self.spy, self.phenotypes, self.effects = Spy(population), population.phenotypes, population.effects.additive

    def __call__(self, train: Part, validation: Part, settings: FitSettings, progress: FitProgress) -> dict[str, Fitted]:
        number = len(self.spy.parts) + 1.0
        cube = self.spy(train, validation, settings, progress)["spy"].predict  # the spy's own record is of this model
        opposite = Fitted(lambda genotypes: -self.phenotypes[self.spy.rows(genotypes)], columns={"note": -number})
        return {"cube": Fitted(cube, self.effects, {"penalty": number}), "opposite": opposite}


# Whom a fit sees


def test_fit_never_sees_the_test_part_under_holdout(tmp_path: Path, judged: Any) -> None:
    population = simulated(tmp_path)
    spy = Spy(population)
    judged(spy, HOLDOUT, population)
    assert spy.parts == [(list(range(29)), list(range(29, 34)))]
    assert spy.predicted == [list(range(34, 40))]  # once, after the fit


def test_fit_validates_on_the_test_part_under_paper(tmp_path: Path, judged: Any) -> None:
    population = simulated(tmp_path)
    spy = Spy(population)
    judged(spy, PAPER, population)
    assert spy.parts == [(list(range(34)), list(range(34, 40)))]
    assert spy.predicted == [list(range(34, 40))]


def test_every_random_split_is_fitted_without_its_test_part(tmp_path: Path, judged: Any) -> None:
    population = simulated(tmp_path)
    spy, splits = Spy(population), random_splits(np.arange(40), 3, np.random.default_rng(1))
    judged(spy, RidgeSettings(n_splits=3), population)
    assert spy.parts == [(split.train.tolist(), []) for split in splits]
    assert spy.predicted == [split.test.tolist() for split in splits]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_missing_phenotype_is_an_error_that_names_it(tmp_path: Path, judged: Any, value: float) -> None:
    path = write_dataset(tmp_path, n_individuals=40, n_loci=64, n_qtl=20)
    with h5py.File(path, "r+") as file:
        file["phenotypes"][17, 3] = value
    with Dataset(path) as data:
        population = data.population()
    spy = Spy(population)
    with pytest.raises(DatasetError) as caught:
        judged(spy, PAPER, population)
    assert str(caught.value) == f"{path}: phenotype of individual 18, trait 4 is missing or not finite"
    assert spy.parts == []


# The table


def test_columns_and_facts_of_the_table(tmp_path: Path, judged: Any) -> None:
    population = simulated(tmp_path, rel_aa=(0.0, 1.0), h2=0.5)
    assert population.effects is not None
    spy = Spy(population, population.effects.additive)
    table = pd.DataFrame(judged(spy, FitSettings(protocol="holdout", seed=12), population).rows)
    wanted = pearson_r(population.phenotypes[34:], population.phenotypes[34:] ** 3)
    fit = ["protocol", "n_train", "n_test", "seed", "seconds"]
    own = ["penalty", "note"]
    assert list(table) == ["model", "trait", "pearson_r", "r_squared", "effect_correlation", *MOMENTS, *own, *fit, *FACTS, *TRAIT_FACTS]
    assert table["model"].tolist() == ["spy", "spy"]
    assert table["trait"].tolist() == [1, 2]
    np.testing.assert_allclose(table["pearson_r"], wanted, rtol=1e-12)
    np.testing.assert_allclose(table["effect_correlation"], 1)
    assert table["note"].tolist() == [0, 2]
    assert table[["protocol", "n_train", "n_test", "seed"]].to_numpy().tolist() == [["holdout", 34, 6, 12]] * 2
    pd.testing.assert_frame_equal(table[[*FACTS, *TRAIT_FACTS]], pd.DataFrame(population.facts))
    assert table["rel_aa"].tolist() == [0, 1]


def test_columns_over_several_splits(tmp_path: Path, judged: Any) -> None:
    population = simulated(tmp_path)
    assert population.effects is not None
    table = pd.DataFrame(judged(Spy(population, population.effects.additive), RidgeSettings(n_splits=4), population).rows)
    names = ["pearson_r", "pearson_r_sd", "effect_correlation", "effect_correlation_sd", *MOMENTS, "penalty", "penalty_sd", "note"]
    assert list(table)[2 : 2 + len(names)] == names
    assert table["penalty"].tolist() == [2.5] * 5  # the spy's penalties are 1, 2, 3, 4
    np.testing.assert_allclose(table["penalty_sd"], np.std([1, 2, 3, 4], ddof=1))


def test_several_models_of_one_fit(tmp_path: Path, judged: Any) -> None:
    """A row per model and trait; what a model does not have is missing; everything else is said of both."""
    population = simulated(tmp_path, rel_aa=(0.0, 1.0))
    twins = Twins(population)
    table = pd.DataFrame(judged(twins, HOLDOUT, population).rows)
    wanted = pearson_r(population.phenotypes[34:], population.phenotypes[34:] ** 3)
    facts = pd.DataFrame(population.facts)
    assert twins.spy.parts == [(list(range(29)), list(range(29, 34)))]  # one fit for both
    assert twins.spy.predicted == [list(range(34, 40))]
    assert table[["model", "trait"]].to_numpy().tolist() == [["cube", 1], ["cube", 2], ["opposite", 1], ["opposite", 2]]
    np.testing.assert_allclose(table["pearson_r"], [*wanted, -1, -1], rtol=1e-12)
    np.testing.assert_array_equal(table[["penalty", "note"]], [[1, np.nan], [1, np.nan], [np.nan, -1], [np.nan, -1]])
    assert table["effect_correlation"].isna().tolist() == [False, False, True, True]
    assert table[["protocol", "n_train", "n_test", "seed"]].to_numpy().tolist() == [["holdout", 34, 6, 1]] * 4
    assert table["seconds"].nunique() == 1
    pd.testing.assert_frame_equal(table[[*FACTS, *TRAIT_FACTS]], pd.concat([facts, facts], ignore_index=True))
    assert table.index.tolist() == [0, 1, 2, 3]


def test_several_models_over_several_splits(tmp_path: Path, judged: Any) -> None:
    """Each model's mean is over its own tables; the traits keep their numbers where only some are fitted."""
    population, traits = simulated(tmp_path), [3, 4]
    plan = [(traits, random_splits(np.arange(40), 4, np.random.default_rng(1)))]
    table = pd.DataFrame(judged(Twins(population.traits(traits)), PAPER, population, plan=plan).rows)
    assert table[["model", "trait"]].to_numpy().tolist() == [["cube", 4], ["cube", 5], ["opposite", 4], ["opposite", 5]]
    np.testing.assert_array_equal(table["penalty"], [2.5, 2.5, np.nan, np.nan])
    np.testing.assert_array_equal(table["note"], [np.nan, np.nan, -2.5, -2.5])


def test_one_model_is_one_of_several(tmp_path: Path, judged: Any) -> None:
    population, settings = simulated(tmp_path), RidgeSettings(n_splits=3)
    alone = pd.DataFrame(judged(Spy(population), settings, population).rows)
    spy = Spy(population)
    constant = Fitted(lambda genotypes: np.zeros((len(genotypes), 5)))
    among = pd.DataFrame(judged(lambda *arguments: {**spy(*arguments), "constant": constant}, settings, population).rows)
    assert among["model"].tolist() == ["spy"] * 5 + ["constant"] * 5
    pd.testing.assert_frame_equal(alone.drop(columns="seconds"), among[:5].drop(columns="seconds"), check_exact=True)


def test_progress_of_several_fits_is_one(tmp_path: Path, judged: Any) -> None:
    """Two traits' groups of two splits, each of which takes three steps."""
    population, progress = simulated(tmp_path), Recorder()

    def fit(train: Part, validation: Part, settings: FitSettings, progress: FitProgress) -> dict[str, Fitted]:
        progress.report(device="cpu")
        for step in (1, 2, 3):
            progress(step, 3, loss=step)
        return {"spy": Fitted(lambda genotypes: np.zeros((len(genotypes), train.phenotypes.shape[1])))}

    splits = random_splits(np.arange(40), 2, np.random.default_rng(1))
    judged(fit, PAPER, population, plan=[([0, 1], splits), ([2, 3, 4], splits)], progress=progress)
    assert progress.steps == [(step, 12) for step in range(1, 13)]
    assert progress.losses == [1, 2, 3] * 4
    assert progress.reported == {"device": "cpu"}


# Further tables


class Finder:
    """A fit with two further tables: `found`, of every trait, and `trials`, of none. A number of each fit tells the rows apart."""

    def __init__(self) -> None:
        self.n_fits = 0

    def __call__(self, train: Part, validation: Part, settings: FitSettings, progress: FitProgress) -> dict[str, Fitted]:
        self.n_fits += 1
        n_traits = train.phenotypes.shape[1]
        found = pd.DataFrame({"trait": np.arange(1, n_traits + 1), "fit": self.n_fits, "locus": 10 + np.arange(n_traits)})
        trials = pd.DataFrame({"trial": [1, 2], "fit": self.n_fits})

        def predict(genotypes: Genotypes) -> Array:
            return np.zeros((len(genotypes), n_traits))

        return {"finder": Fitted(predict, tables={"found": found}), "other": Fitted(predict, tables={"trials": trials})}


def rows_of(table: pd.DataFrame, *columns: str) -> list[list[Any]]:
    rows: list[list[Any]] = table[list(columns)].to_numpy().tolist()
    return rows


def test_further_tables_of_one_split_are_as_the_fit_gives_them(tmp_path: Path, judged: Any) -> None:
    tables = judged(Finder(), HOLDOUT, simulated(tmp_path)).tables
    assert list(tables) == ["found", "trials"]
    assert list(tables["found"]) == ["trait", "fit", "locus"]
    assert rows_of(tables["found"], "trait", "fit", "locus") == [[trait, 1, 9 + trait] for trait in range(1, 6)]
    assert rows_of(tables["trials"], "trial", "fit") == [[1, 1], [2, 1]]


def test_further_tables_of_several_splits_are_joined_with_the_splits_number(tmp_path: Path, judged: Any) -> None:
    tables = judged(Finder(), RidgeSettings(n_splits=3), simulated(tmp_path)).tables
    assert list(tables["found"]) == ["trait", "fit", "locus", "split"]
    assert rows_of(tables["found"], "split", "trait", "fit") == [[split, trait, split] for split in (1, 2, 3) for trait in range(1, 6)]
    assert rows_of(tables["trials"], "split", "trial", "fit") == [[split, trial, split] for split in (1, 2, 3) for trial in (1, 2)]
    assert tables["found"].index.tolist() == list(range(15))


@pytest.mark.parametrize("n_splits", [1, 2])
def test_further_tables_of_traits_fitted_one_by_one_keep_the_traits_numbers(tmp_path: Path, judged: Any, n_splits: int) -> None:
    tables = judged(Finder(), RidgeSettings(splits="per_trait", n_splits=n_splits), simulated(tmp_path)).tables
    wanted = [[trait, split] for trait in range(1, 6) for split in range(1, n_splits + 1)]
    found = tables["found"] if n_splits > 1 else tables["found"].assign(split=1)
    assert ("split" in tables["found"]) == (n_splits > 1)
    assert rows_of(found, "trait", "split", "fit") == [[*row, number] for number, row in enumerate(wanted, 1)]
    assert tables["trials"]["fit"].tolist() == [number for number in range(1, 5 * n_splits + 1) for _ in range(2)]


def test_the_judge_is_told_the_true_effects_of_the_traits_that_were_fitted(tmp_path: Path, judged: Any) -> None:
    """What it adds to columns and tables is in the evaluation; without true effects it is not asked."""
    population, seen = simulated(tmp_path), []

    def judge(models: dict[str, Fitted], effects: Effects) -> dict[str, Fitted]:
        seen.append(effects.additive)
        found = models["finder"].tables["found"].assign(causal=1)
        return {**models, "finder": Fitted(models["finder"].predict, columns={"recall": 0.5}, tables={"found": found})}

    result = judged(Finder(), RidgeSettings(splits="per_trait", n_splits=1), population, judge=judge)
    assert population.effects is not None
    assert [additive.tolist() for additive in seen] == [[[value] for value in of_trait] for of_trait in population.effects.additive.T]
    assert [row.get("recall") for row in result.rows] == [0.5, None] * 5
    assert rows_of(result.tables["found"], "trait", "causal") == [[trait, 1] for trait in range(1, 6)]
    unknown = Population("unknown", population.genotypes, population.phenotypes, None, None, population.facts)
    rows = judged(Finder(), HOLDOUT, unknown, judge=judge).rows
    assert len(seen) == 5
    assert all("recall" not in row and "effect_correlation" not in row for row in rows)
