"""gpatlas.models.splits: folds of cross-validation, whole groups together, and traits that some individuals lack."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from diploids import TRAITS, description, own_population
from populations import Array, in_memory, random_population

from gpatlas.data.population import Population
from gpatlas.models.registry import MODELS
from gpatlas.models.settings import FitSettings
from gpatlas.models.splits import assign_folds, chosen_traits, measured_together, ordered_split, plan_splits

GROUPS = np.array([*"aaaaaaabbbbbcccddddeefg"])


def cross_validation(**values: Any) -> FitSettings:
    return FitSettings(protocol="cross_validation", **values)


@pytest.mark.parametrize(("n", "n_folds"), [(100, 10), (103, 10), (7, 7), (5, 2)])
def test_folds_are_equal_in_size_but_for_one(n: int, n_folds: int) -> None:
    folds = assign_folds(n, None, n_folds, np.random.default_rng(1))
    sizes = np.bincount(folds, minlength=n_folds)
    assert (len(sizes), sizes.sum(), np.ptp(sizes)) == (n_folds, n, int(n % n_folds > 0))
    others = assign_folds(n, None, n_folds, np.random.default_rng(2))
    assert n < 10 or (folds != others).any()


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_together_in_folds_as_equal_as_they_can_be(seed: int) -> None:
    """7 + 5 + 3 + 4 + 2 + 1 + 1 are 8, 8 and 7 in three folds: the largest first, each where there is most room."""
    folds = assign_folds(len(GROUPS), GROUPS, 3, np.random.default_rng(seed))
    assert all(len(set(folds[group == GROUPS])) == 1 for group in set(GROUPS))
    assert sorted(np.bincount(folds)) == [7, 8, 8]
    order = np.random.default_rng(9).permutation(len(GROUPS))
    assert np.array_equal(assign_folds(len(GROUPS), GROUPS[order], 3, np.random.default_rng(seed)), folds[order])


def test_groups_of_one_size_are_drawn() -> None:
    groups = np.repeat(np.arange(20), 3).astype(np.str_)
    folds = [assign_folds(60, groups, 4, np.random.default_rng(seed)) for seed in (1, 2)]
    assert all(np.bincount(of_seed).tolist() == [15] * 4 for of_seed in folds)
    assert (folds[0] != folds[1]).any()


def test_more_folds_than_groups_or_individuals() -> None:
    with pytest.raises(ValueError, match=r"^n_folds: 7 groups cannot be cut into 8 folds; lower it to 7 at most$"):
        assign_folds(len(GROUPS), GROUPS, 8, np.random.default_rng(1))
    with pytest.raises(ValueError, match=r"^n_folds: 5 individuals cannot be cut into 6 folds; lower it to 5 at most$"):
        assign_folds(5, None, 6, np.random.default_rng(1))
    population = own_population(n=15)
    with pytest.raises(ValueError, match=r"^n_folds: 5 groups cannot be cut into 10 folds; lower it to 5 at most$"):
        plan_splits(MODELS["ridge"], cross_validation(), population)


def plain(n: int, n_traits: int = 1) -> Population:
    return in_memory(*random_population(n, 3, n_traits))


@pytest.mark.parametrize("population", [plain(53), own_population(n=60, n_gaps=0)], ids=["alone", "families"])
@pytest.mark.parametrize("model", MODELS)
def test_everyone_is_tested_once_in_each_repeat_by_a_fit_without_them(model: str, population: Population) -> None:
    """In the same folds by every model, whole groups together."""
    ((traits, splits),) = plan_splits(MODELS[model], cross_validation(n_folds=5, n_repeats=2), population)
    assert traits == list(range(population.n_traits))
    assert [(split.repeat, split.fold) for split in splits] == [(repeat, fold) for repeat in (1, 2) for fold in range(1, 6)]
    everyone = list(range(population.n_individuals))
    for repeat in (1, 2):
        tested = np.concatenate([split.test for split in splits if split.repeat == repeat])
        assert sorted(tested.tolist()) == everyone
    groups = population.described.groups if population.described else None
    for split in splits:
        parts = [split.train, split.validation, split.test]
        assert sorted(np.concatenate(parts).tolist()) == everyone
        share = len(split.validation) / (population.n_individuals - len(split.test))
        assert (0.1 < share < 0.2) if MODELS[model].validates else share == 0
        if groups is not None:
            assert sum(len(set(groups[part])) for part in parts) == len(set(groups))
    reference = plan_splits(MODELS["ridge"], cross_validation(n_folds=5, n_repeats=2, seed=7), population)[0][1]
    assert all(np.array_equal(split.test, other.test) for split, other in zip(splits, reference, strict=True))
    assert any(
        len(splits[fold].test) != len(splits[5 + fold].test) or (splits[fold].test != splits[5 + fold].test).any() for fold in range(5)
    )


def test_validation_of_few_groups_is_one_of_them() -> None:
    """Three groups in three folds leave two: one trains, the other validates."""
    described = description(30, 3, ("trait 1",), family=10)
    population = replace(plain(30), described=described)
    ((_, splits),) = plan_splits(MODELS["mlp"], cross_validation(n_folds=3), population)
    assert [(len(split.train), len(split.validation), len(split.test)) for split in splits] == [(10, 10, 10)] * 3


# Ordered splits


@pytest.mark.parametrize(("family", "wanted"), [(1, (73, 13, 15)), (10, (80, 10, 11)), (7, (77, 14, 10))])
def test_holdout_cuts_at_the_borders_of_groups(family: int, wanted: tuple[int, int, int]) -> None:
    """101 individuals are cut at 73 and 86, or where the group ends that either cut would go through."""
    groups = (np.arange(101) // family).astype(np.str_)
    split = ordered_split(101, "holdout", groups=groups)
    assert (len(split.train), len(split.validation), len(split.test)) == wanted
    assert np.concatenate([split.train, split.validation, split.test]).tolist() == list(range(101))
    without = ordered_split(101, "holdout", validates=False, groups=groups)
    assert (without.test.tolist(), len(without.validation)) == (split.test.tolist(), 0)


def test_holdout_keeps_groups_whole_that_do_not_stand_together() -> None:
    """a to h, a to h, …: a to f train, g validates, h is tested."""
    split = ordered_split(40, "holdout", groups=np.array([*"abcdefgh" * 5]))
    assert split.train.tolist() == [row for group in range(6) for row in range(group, 40, 8)]
    assert (split.validation.tolist(), split.test.tolist()) == ([*range(6, 40, 8)], [*range(7, 40, 8)])


# Traits that some individuals lack


def gaps() -> Array:
    """Traits 1 and 3 of everyone; 2 and 5 of those from the third on; 4 of the first ten."""
    phenotypes = np.random.default_rng(1).standard_normal((40, 5))
    phenotypes[:2, [1, 4]] = np.nan
    phenotypes[10:, 3] = np.nan
    return phenotypes


def test_traits_of_the_same_individuals_are_fitted_together() -> None:
    together = measured_together(gaps())
    assert [traits for traits, _ in together] == [[0, 2], [1, 4], [3]]
    assert [rows.tolist() for _, rows in together] == [list(range(40)), list(range(2, 40)), list(range(10))]


@pytest.mark.parametrize("model", MODELS)
def test_holdout_is_of_those_who_have_the_trait(model: str) -> None:
    counts, _ = random_population(40, 3, 1)
    plan = plan_splits(MODELS[model], FitSettings(protocol="holdout"), in_memory(counts, gaps()))
    assert [traits for traits, _ in plan] == [[0, 2], [1, 4], [3]]
    wanted = [ordered_split(n, "holdout", MODELS[model].validates) for n in (40, 38, 10)]
    for (_, (split,)), of_all, first in zip(plan, wanted, (0, 2, 0), strict=True):
        for part in ("train", "validation", "test"):
            assert getattr(split, part).tolist() == (getattr(of_all, part) + first).tolist()


def test_folds_are_the_same_for_every_trait() -> None:
    """Those who lack it left out: so models and traits are compared on the same folds."""
    counts, _ = random_population(40, 3, 1)
    plan = plan_splits(MODELS["mlp"], cross_validation(n_folds=4), in_memory(counts, gaps()))
    everyone = plan[0][1]
    for (_, splits), rows in zip(plan[1:], (range(2, 40), range(10)), strict=True):
        for split, whole in zip(splits, everyone, strict=True):
            for part in ("train", "validation", "test"):
                assert getattr(split, part).tolist() == [row for row in getattr(whole, part).tolist() if row in rows]
            assert (split.repeat, split.fold) == (whole.repeat, whole.fold)


def test_chosen_traits_by_name_or_number() -> None:
    population = own_population(n=30)
    assert chosen_traits(FitSettings(), population) == [0, 1, 2]
    settings = cross_validation(n_folds=3, traits=("yield", "height"))
    assert chosen_traits(settings, population) == [2, 0]
    assert [traits for traits, _ in plan_splits(MODELS["ridge"], settings, population)] == [[2], [0]]
    assert chosen_traits(FitSettings(traits=("2",)), plain(20, 3)) == [1]
    with pytest.raises(ValueError, match=r"^traits: test has no trait 'hight', did you mean 'height'\?"):
        chosen_traits(FitSettings(traits=("hight",)), population)
    assert TRAITS == ("height", "weight", "yield")
