"""gpatlas.evaluation: who is trained on, who is judged, and what the table says."""

import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from gpatlas import simulate
from gpatlas.dataset import Dataset, DatasetError, FloatArray, Genotypes
from gpatlas.evaluation import (
    Fitted,
    Part,
    ordered_split,
    pearson_r,
    random_splits,
    run_fit,
    run_fits,
    score,
    summarise,
    training_splits,
    write_table,
)
from gpatlas.progress import Progress
from gpatlas.settings import FitSettings, SimulateSettings, build
from gpatlas.stages import MODELS

QUIET = Progress("test", io.StringIO())
PAPER, HOLDOUT = FitSettings(protocol="paper"), FitSettings(protocol="holdout")
FACTS = ["n_individuals", "n_loci", "n_qtl", "n_traits", "n_trait_groups", "h2", "simulator", "genetic_correlation"]
TRAIT_FACTS = ["rel_aa", "v_a", "v_aa", "v_a_over_v_g"]
MOMENTS = ["truth_mean", "truth_sd", "prediction_mean", "prediction_sd"]


def write_dataset(folder: Path, **values: Any) -> Path:
    path = folder / "data.h5"
    simulate.run(build(SimulateSettings, {"n_individuals": 40, "n_loci": 64, "n_qtl": 20, **values}), None, path, QUIET)
    return path


class Spy:
    """A fit that predicts `answer`, and records whom it sees: the numbers of the individuals, told by their alleles."""

    def __init__(self, data: Dataset, coefficients: FloatArray | None = None) -> None:
        self.numbers = {alleles.tobytes(): number for number, alleles in enumerate(data.genotypes().alleles())}
        assert len(self.numbers) == data.n_individuals, "individuals must differ to be told apart"
        self.answer = data.phenotypes() ** 3
        self.coefficients = coefficients
        self.parts: list[tuple[list[int], list[int]]] = []
        self.predicted: list[list[int]] = []

    def rows(self, genotypes: Genotypes) -> list[int]:
        return [self.numbers[row.tobytes()] for row in genotypes.alleles()]

    def __call__(self, train: Part, validation: Part, settings: FitSettings, progress: Progress) -> Fitted:
        assert self.predicted == [] or len(self.predicted) == len(self.parts)
        self.parts.append((self.rows(train.genotypes), self.rows(validation.genotypes)))
        return Fitted(self.predict, self.coefficients, {"penalty": float(len(self.parts)), "note": np.arange(self.answer.shape[1]) * 2.0})

    def predict(self, genotypes: Genotypes) -> FloatArray:
        rows = self.rows(genotypes)
        self.predicted.append(rows)
        return np.asarray(self.answer[rows])


# Splits


@pytest.mark.parametrize(("n", "n_train"), [(1000, 850), (40, 34), (101, 86), (7, 6)])
def test_paper_split_is_the_first_part_and_the_rest(n: int, n_train: int) -> None:
    (split,) = ordered_split(n, PAPER)
    assert split.train.tolist() == list(range(n_train))
    assert split.test.tolist() == list(range(n_train, n))
    assert split.validation.tolist() == split.test.tolist()


@pytest.mark.parametrize(("n", "n_train", "n_validation"), [(1000, 722, 128), (40, 29, 5), (101, 73, 13)])
def test_holdout_split_is_disjoint_and_covers_everyone(n: int, n_train: int, n_validation: int) -> None:
    (split,) = ordered_split(n, HOLDOUT)
    assert split.train.tolist() == list(range(n_train))
    assert split.validation.tolist() == list(range(n_train, n_train + n_validation))
    assert split.test.tolist() == list(range(n_train + n_validation, n))
    assert split.test.tolist() == ordered_split(n, PAPER)[0].test.tolist()


@pytest.mark.parametrize(("n", "n_train"), [(1000, 850), (101, 86)])
def test_split_without_validation_is_the_networks_with_both_parts_joined(n: int, n_train: int) -> None:
    (split,) = training_splits(n)
    assert split.train.tolist() == list(range(n_train))
    assert split.validation.tolist() == []
    assert split.test.tolist() == ordered_split(n, HOLDOUT)[0].test.tolist()


def test_random_splits() -> None:
    splits = random_splits(101, 10, np.random.default_rng(4))
    assert len(splits) == 10
    for split in splits:
        assert (len(split.train), len(split.validation), len(split.test)) == (85, 0, 16)  # int(85.85)
        assert sorted([*split.train, *split.test]) == list(range(101))
    assert len({tuple(sorted(split.test)) for split in splits}) == 10
    again, other = random_splits(101, 10, np.random.default_rng(4)), random_splits(101, 10, np.random.default_rng(5))
    assert [split.test.tolist() for split in again] == [split.test.tolist() for split in splits]
    assert [split.test.tolist() for split in other] != [split.test.tolist() for split in splits]


def test_fit_never_sees_the_test_part_under_holdout(tmp_path: Path) -> None:
    with Dataset(write_dataset(tmp_path)) as data:
        spy = Spy(data)
        run_fit("spy", spy, ordered_split(40, HOLDOUT), HOLDOUT, data, QUIET)
    assert spy.parts == [(list(range(29)), list(range(29, 34)))]
    assert spy.predicted == [list(range(34, 40))]  # once, after the fit


def test_fit_validates_on_the_test_part_under_paper(tmp_path: Path) -> None:
    with Dataset(write_dataset(tmp_path)) as data:
        spy = Spy(data)
        run_fit("spy", spy, ordered_split(40, PAPER), PAPER, data, QUIET)
    assert spy.parts == [(list(range(34)), list(range(34, 40)))]
    assert spy.predicted == [list(range(34, 40))]


def test_every_random_split_is_fitted_without_its_test_part(tmp_path: Path) -> None:
    with Dataset(write_dataset(tmp_path)) as data:
        spy, splits = Spy(data), random_splits(40, 3, np.random.default_rng(1))
        run_fit("spy", spy, splits, PAPER, data, QUIET)
    assert spy.parts == [(split.train.tolist(), []) for split in splits]
    assert spy.predicted == [split.test.tolist() for split in splits]


QUICK: dict[str, dict[str, Any]] = {
    "linear_sgd": {"epochs": 2},
    "mlp": {"epochs": 2, "hidden_size": 8, "tune": True, "n_trials": 2},
    "pruned": {"epochs": 2, "hidden_size": 8, "n_trials": 1, "lasso_epochs": 2, "min_importance": 0.0, "min_columns": 4, "max_columns": 8},
}


@pytest.mark.parametrize("model", MODELS)
def test_no_model_learns_from_phenotypes_of_the_test_part(model: str, tmp_path: Path) -> None:
    """Under 'holdout': the predictions of the test part stay what they are where its phenotypes are made nonsense."""
    source, stage = write_dataset(tmp_path, n_individuals=120, n_loci=16, n_qtl=16, rel_aa=(0.0, 1.0)), MODELS[model]
    settings = build(stage.settings, {"protocol": "holdout", "threads": 1, **QUICK.get(model, {})})
    tables = []
    for factor in (1, -1000):
        with h5py.File(source, "r+") as file:
            file["phenotypes"][102:] *= factor
        stage.load()(settings, source, tmp_path / "table.csv", QUIET)
        tables.append(pd.read_csv(tmp_path / "table.csv"))
    sensible, nonsense = tables
    assert sensible["n_test"].unique().tolist() == [18]
    assert (nonsense["truth_sd"] > 100 * sensible["truth_sd"]).all()
    pd.testing.assert_frame_equal(sensible[["prediction_mean", "prediction_sd"]], nonsense[["prediction_mean", "prediction_sd"]])


@pytest.mark.parametrize("model", MODELS)
def test_permuted_phenotypes_are_not_predicted(model: str, tmp_path: Path) -> None:
    """The r of n individuals with noise has the standard error 1/√(n − 1); a constant prediction has none."""
    source, stage = write_dataset(tmp_path, n_individuals=800, n_loci=20, n_qtl=20, rel_aa=(0.0, 1.0)), MODELS[model]
    settings = build(stage.settings, {"protocol": "holdout", "threads": 1, **QUICK.get(model, {})})
    with h5py.File(source, "r+") as file:
        file["phenotypes"][:] = np.random.default_rng(1).permutation(file["phenotypes"][:])
    stage.load()(settings, source, tmp_path / "table.csv", QUIET)
    table = pd.read_csv(tmp_path / "table.csv")
    assert (table["pearson_r"].abs().fillna(0) < 3 / np.sqrt(table["n_test"] - 1)).all()


def test_part_keeps_alleles_and_phenotypes_of_an_individual_together(tmp_path: Path) -> None:
    with Dataset(write_dataset(tmp_path)) as data:
        part = Part(data.genotypes(), data.phenotypes()).rows(np.array([5, 2, 5]))
        assert np.array_equal(part.genotypes.alleles(), data.genotypes().alleles()[[5, 2, 5]])
        assert np.array_equal(part.phenotypes, data.phenotypes()[[5, 2, 5]])


# Scores


@pytest.mark.parametrize("n", [2, 3, 50])
def test_pearson_r_is_numpys(n: int) -> None:
    random = np.random.default_rng(n)
    first = random.standard_normal((n, 4)) * [1, 1e-6, 1e6, 1] + [0, 0, 0, 1e3]
    second = first * [1, -1, 0.5, 0.1] + random.standard_normal((n, 4))
    wanted = [np.corrcoef(first[:, trait], second[:, trait])[0, 1] for trait in range(4)]
    np.testing.assert_allclose(pearson_r(first, second), wanted, rtol=1e-10)


@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1, -1 / 3, 1e6 + 0.1])
@pytest.mark.parametrize("n", [7, 150])
def test_pearson_r_of_a_constant_is_nan(constant: float, n: int) -> None:
    """Also where the mean of n equal numbers is not that number, but for its last bit."""
    varied = np.random.default_rng(1).standard_normal((n, 2))
    half_constant = np.column_stack([np.full(n, constant), varied[:, 1]])
    for r in (pearson_r(half_constant, varied), pearson_r(varied, half_constant)):
        assert np.isnan(r[0])
        assert r[1] == pytest.approx(1)


def test_score_by_hand() -> None:
    test = Part(Genotypes.of(np.zeros((3, 2), dtype=np.uint8)), np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 3.0]]))
    predicted = np.array([[3.0, 1.0], [2.0, 1.0], [1.0, 7.0]])
    fitted = Fitted(lambda genotypes: predicted, np.array([[1.0, 2.0], [2.0, 4.0]]), {"epochs": 9, "penalty": np.array([0.1, 0.2])})
    table = pd.DataFrame(score(fitted, test, np.array([[1.0, 2.0], [5.0, 1.0]])))
    assert list(table) == ["trait", "pearson_r", "effect_correlation", *MOMENTS, "epochs", "penalty"]
    wanted = {
        "trait": [1, 2],
        "pearson_r": [-1, 1],
        "effect_correlation": [1, -1],
        "truth_mean": [2, 1],
        "truth_sd": [np.sqrt(2 / 3), np.sqrt(2)],
        "prediction_mean": [2, 3],
        "prediction_sd": [np.sqrt(2 / 3), np.sqrt(8)],
        "epochs": [9, 9],
        "penalty": [0.1, 0.2],
    }
    pd.testing.assert_frame_equal(table, pd.DataFrame(wanted), check_dtype=False)


def test_score_without_coefficients() -> None:
    test = Part(Genotypes.of(np.zeros((3, 1), dtype=np.uint8)), np.array([[1.0], [2.0], [3.0]]))
    table = pd.DataFrame(score(Fitted(lambda genotypes: test.phenotypes), test, np.array([[1.0], [5.0]])))
    assert list(table) == ["trait", "pearson_r", *MOMENTS]


def test_summary_is_mean_and_sample_sd_over_splits() -> None:
    tables = [
        [
            {"trait": 1, "pearson_r": r, "truth_mean": r, "penalty": 10 * r},
            {"trait": 2, "pearson_r": 2 * r, "truth_mean": r, "penalty": 0.0},
        ]
        for r in (0.1, 0.2, 0.6)
    ]
    table = pd.DataFrame(summarise(tables))
    assert list(table) == ["trait", "pearson_r", "pearson_r_sd", "truth_mean", "penalty", "penalty_sd"]
    sd = np.sqrt((0.2**2 + 0.1**2 + 0.3**2) / 2)
    np.testing.assert_allclose(table, [[1, 0.3, sd, 0.3, 3, 10 * sd], [2, 0.6, 2 * sd, 0.3, 0, 0]], atol=1e-12)


def test_one_split_has_no_spread() -> None:
    table = [{"trait": 1, "pearson_r": 0.5}]
    assert summarise([table]) == table


def test_splits_without_an_r_do_not_count() -> None:
    of_splits = [[{"trait": 1, "pearson_r": first, "truth_mean": 1.0}] for first in (0.2, np.nan, 0.4)]
    (row,) = summarise(of_splits)
    assert row == pytest.approx({"trait": 1, "pearson_r": 0.3, "pearson_r_sd": 0.2 / np.sqrt(2), "truth_mean": 1.0})
    (row,) = summarise([[{"trait": 1, "pearson_r": np.nan}]] * 2)
    assert np.isnan([row["pearson_r"], row["pearson_r_sd"]]).all()


# The table of a fit


def test_columns_and_facts_of_the_table(tmp_path: Path) -> None:
    with Dataset(write_dataset(tmp_path, rel_aa=(0.0, 1.0), h2=0.5)) as data:
        settings = FitSettings(protocol="holdout", seed=12)
        table = pd.DataFrame(run_fit("spy", Spy(data, data.effects().additive), ordered_split(40, settings), settings, data, QUIET))
        wanted = pearson_r(data.phenotypes()[34:], data.phenotypes()[34:] ** 3)
        facts = pd.DataFrame(data.facts())
    fit = ["protocol", "n_train", "n_test", "seed", "seconds"]
    own = ["penalty", "note"]
    assert list(table) == ["model", "trait", "pearson_r", "effect_correlation", *MOMENTS, *own, *fit, *FACTS, *TRAIT_FACTS]
    assert table["model"].tolist() == ["spy", "spy"]
    assert table["trait"].tolist() == [1, 2]
    np.testing.assert_allclose(table["pearson_r"], wanted, rtol=1e-12)
    np.testing.assert_allclose(table["effect_correlation"], 1)
    assert table["note"].tolist() == [0, 2]
    assert table[["protocol", "n_train", "n_test", "seed"]].to_numpy().tolist() == [["holdout", 29, 6, 12]] * 2
    pd.testing.assert_frame_equal(table[[*FACTS, *TRAIT_FACTS]], facts)
    assert table["rel_aa"].tolist() == [0, 1]


def test_columns_over_several_splits(tmp_path: Path) -> None:
    with Dataset(write_dataset(tmp_path)) as data:
        table = pd.DataFrame(
            run_fit("spy", Spy(data, data.effects().additive), random_splits(40, 4, np.random.default_rng(1)), PAPER, data, QUIET)
        )
    names = ["pearson_r", "pearson_r_sd", "effect_correlation", "effect_correlation_sd", *MOMENTS, "penalty", "penalty_sd", "note"]
    assert list(table)[2 : 2 + len(names)] == names
    assert table["penalty"].tolist() == [2.5] * 5  # the spy's penalties are 1, 2, 3, 4
    np.testing.assert_allclose(table["penalty_sd"], np.std([1, 2, 3, 4], ddof=1))


class Twins:
    """A fit of two models, each predicting an answer of its own and each with a column that the other lacks."""

    def __init__(self, data: Dataset, traits: slice = slice(None)) -> None:
        self.spy, self.phenotypes, self.effects = Spy(data), data.phenotypes()[:, traits], data.effects().additive[:, traits]
        self.spy.answer = self.phenotypes**3

    def __call__(self, train: Part, validation: Part, settings: FitSettings, progress: Progress) -> dict[str, Fitted]:
        number = len(self.spy.parts) + 1.0
        cube = self.spy(train, validation, settings, progress).predict  # the spy's own record is of this model
        opposite = Fitted(lambda genotypes: -self.phenotypes[self.spy.rows(genotypes)], columns={"note": -number})
        return {"cube": Fitted(cube, self.effects, {"penalty": number}), "opposite": opposite}


def test_several_models_of_one_fit(tmp_path: Path) -> None:
    """A row per model and trait; what a model does not have is missing; everything else is said of both."""
    with Dataset(write_dataset(tmp_path, rel_aa=(0.0, 1.0))) as data:
        twins = Twins(data)
        table = pd.DataFrame(run_fits(twins, ordered_split(40, HOLDOUT), HOLDOUT, data, QUIET))
        wanted = pearson_r(data.phenotypes()[34:], data.phenotypes()[34:] ** 3)
        facts = pd.DataFrame(data.facts())
    assert twins.spy.parts == [(list(range(29)), list(range(29, 34)))]  # one fit for both
    assert twins.spy.predicted == [list(range(34, 40))]
    assert table[["model", "trait"]].to_numpy().tolist() == [["cube", 1], ["cube", 2], ["opposite", 1], ["opposite", 2]]
    np.testing.assert_allclose(table["pearson_r"], [*wanted, -1, -1], rtol=1e-12)
    np.testing.assert_array_equal(table[["penalty", "note"]], [[1, np.nan], [1, np.nan], [np.nan, -1], [np.nan, -1]])
    assert table["effect_correlation"].isna().tolist() == [False, False, True, True]
    assert table[["protocol", "n_train", "n_test", "seed"]].to_numpy().tolist() == [["holdout", 29, 6, 1]] * 4
    assert table["seconds"].nunique() == 1
    pd.testing.assert_frame_equal(table[[*FACTS, *TRAIT_FACTS]], pd.concat([facts, facts], ignore_index=True))
    assert table.index.tolist() == [0, 1, 2, 3]


def test_several_models_over_several_splits(tmp_path: Path) -> None:
    """Each model's mean is over its own tables; the traits keep their numbers where only some are fitted."""
    with Dataset(write_dataset(tmp_path)) as data:
        traits, splits = slice(3, 5), random_splits(40, 4, np.random.default_rng(1))
        table = pd.DataFrame(run_fits(Twins(data, traits), splits, PAPER, data, QUIET, traits))
    assert table[["model", "trait"]].to_numpy().tolist() == [["cube", 4], ["cube", 5], ["opposite", 4], ["opposite", 5]]
    np.testing.assert_array_equal(table["penalty"], [2.5, 2.5, np.nan, np.nan])
    np.testing.assert_array_equal(table["note"], [np.nan, np.nan, -2.5, -2.5])


def test_one_model_is_one_of_several(tmp_path: Path) -> None:
    with Dataset(write_dataset(tmp_path)) as data:
        splits = random_splits(40, 3, np.random.default_rng(1))
        alone = pd.DataFrame(run_fit("spy", Spy(data), splits, PAPER, data, QUIET))
        spy = Spy(data)
        among = pd.DataFrame(run_fits(lambda *arguments: {"spy": spy(*arguments)}, splits, PAPER, data, QUIET))
    pd.testing.assert_frame_equal(alone.drop(columns="seconds"), among.drop(columns="seconds"), check_exact=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_missing_phenotype_is_an_error_that_names_it(tmp_path: Path, value: float) -> None:
    path = write_dataset(tmp_path)
    with h5py.File(path, "r+") as file:
        file["phenotypes"][17, 3] = value
    with Dataset(path) as data:
        spy = Spy(data)
        with pytest.raises(DatasetError) as caught:
            run_fit("spy", spy, ordered_split(40, PAPER), PAPER, data, QUIET)
    assert str(caught.value) == f"{path}: phenotype of individual 18, trait 4 is missing or not finite"
    assert spy.parts == []


def test_written_numbers_are_exact(tmp_path: Path) -> None:
    values = np.random.default_rng(1).standard_normal(200) * 10.0 ** np.arange(-100, 100)
    write_table([{"model": "x", "value": value} for value in values.tolist()], tmp_path / "table.csv")
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0] == "model,value"
    assert [float(line.split(",")[1]) for line in lines[1:]] == values.tolist()


def test_what_is_missing_is_empty(tmp_path: Path) -> None:
    write_table([{"model": "x", "penalty": np.nan}, {"model": "y, z", "note": 1}], tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == 'model,penalty,note\nx,,\n"y, z",,1\n'


def test_json_of_trait_groups_survives_the_file(tmp_path: Path) -> None:
    with Dataset(write_dataset(tmp_path, rel_aa=(1.0,), n_traits=3, genetic_correlation=0.25)) as data:
        assert json.loads(data.attributes["trait_groups"])[0]["n_traits"] == 3
        assert [row["genetic_correlation"] for row in data.facts()] == [0.25] * 3
