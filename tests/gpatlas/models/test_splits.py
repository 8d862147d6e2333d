"""gpatlas.models.splits: who trains, who validates, who is tested, under each protocol."""

import numpy as np
import pytest
from populations import in_memory, random_population

from gpatlas.models.registry import MODELS, RidgeSettings
from gpatlas.models.splits import Split, ordered_split, plan_splits, random_splits

POPULATION = in_memory(*random_population(101, 4, 3))


@pytest.mark.parametrize(("n", "n_train"), [(1000, 850), (40, 34), (101, 86), (7, 6)])
def test_paper_split_is_the_first_part_and_the_rest(n: int, n_train: int) -> None:
    split = ordered_split(n, "paper")
    assert split.train.tolist() == list(range(n_train))
    assert split.test.tolist() == list(range(n_train, n))
    assert split.validation.tolist() == split.test.tolist()


@pytest.mark.parametrize(("n", "n_train", "n_validation"), [(1000, 722, 128), (40, 29, 5), (101, 73, 13)])
def test_holdout_split_is_disjoint_and_covers_everyone(n: int, n_train: int, n_validation: int) -> None:
    split = ordered_split(n, "holdout")
    assert split.train.tolist() == list(range(n_train))
    assert split.validation.tolist() == list(range(n_train, n_train + n_validation))
    assert split.test.tolist() == list(range(n_train + n_validation, n))
    assert split.test.tolist() == ordered_split(n, "paper").test.tolist()


@pytest.mark.parametrize(
    "split", [ordered_split(101, "paper"), ordered_split(101, "holdout"), ordered_split(101, "paper", validates=False)]
)
def test_all_but_the_test_part_are_in_the_final_fit(split: Split) -> None:
    assert split.fitted.tolist() == list(range(86))


@pytest.mark.parametrize(("n", "n_train"), [(1000, 850), (101, 86)])
def test_split_without_validation_is_the_networks_with_both_parts_joined(n: int, n_train: int) -> None:
    split = ordered_split(n, "paper", validates=False)
    assert split.train.tolist() == list(range(n_train))
    assert split.validation.tolist() == []
    assert split.test.tolist() == ordered_split(n, "holdout").test.tolist()


def test_random_splits() -> None:
    splits = random_splits(np.arange(101), 10, np.random.default_rng(4))
    assert len(splits) == 10
    for split in splits:
        assert (len(split.train), len(split.validation), len(split.test)) == (85, 0, 16)  # int(85.85)
        assert sorted([*split.train, *split.test]) == list(range(101))
    assert len({tuple(sorted(split.test)) for split in splits}) == 10
    again, other = random_splits(np.arange(101), 10, np.random.default_rng(4)), random_splits(np.arange(101), 10, np.random.default_rng(5))
    assert [split.test.tolist() for split in again] == [split.test.tolist() for split in splits]
    assert [split.test.tolist() for split in other] != [split.test.tolist() for split in splits]


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_tested_on_the_same_individuals_under_holdout(model: str) -> None:
    """All others train, or train and validate."""
    ((traits, (split,)),) = plan_splits(MODELS[model], MODELS[model].settings(protocol="holdout"), POPULATION)
    assert traits == [0, 1, 2]
    assert split.test.tolist() == list(range(86, 101))
    assert sorted([*split.train, *split.validation]) == list(range(86))
    assert len(split.validation) == (13 if MODELS[model].validates else 0)


@pytest.mark.parametrize("model", [name for name in MODELS if name != "ridge"])
def test_every_model_but_ridge_has_the_ordered_split_under_paper(model: str) -> None:
    """A model that validates does so on the test part, as the study's do."""
    ((traits, (split,)),) = plan_splits(MODELS[model], MODELS[model].settings(protocol="paper"), POPULATION)
    assert traits == [0, 1, 2]
    assert split.train.tolist() == list(range(86))
    assert split.test.tolist() == list(range(86, 101))
    assert split.validation.tolist() == (split.test.tolist() if MODELS[model].validates else [])


def test_ridge_has_random_splits_under_paper_that_all_traits_share() -> None:
    ((traits, splits),) = plan_splits(MODELS["ridge"], RidgeSettings(seed=4), POPULATION)
    assert traits == [0, 1, 2]
    wanted = random_splits(np.arange(101), 10, np.random.default_rng(4))
    assert [split.test.tolist() for split in splits] == [split.test.tolist() for split in wanted]


def test_splits_per_trait_are_the_studys_stream() -> None:
    plan = plan_splits(MODELS["ridge"], RidgeSettings(splits="per_trait", n_splits=3), in_memory(*random_population(40, 3, 2)))
    assert [traits for traits, _ in plan] == [[0], [1]]
    np.random.seed(42)  # as the study does
    for _, splits in plan:
        for split in splits:
            assert split.train.tolist() == np.random.choice(40, size=34, replace=False).tolist()
