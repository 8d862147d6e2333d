"""gpatlas.models.boosting: on traits whose truth is known, the same for any number of threads."""

from typing import Any

import numpy as np
import pytest
from populations import QUIET, Array, part_of

from gpatlas.data.genotypes import MISSING, Genotypes
from gpatlas.models import boosting
from gpatlas.models.boosting import fit
from gpatlas.models.contract import Fitted, Part
from gpatlas.models.registry import MODELS, BoostingSettings
from gpatlas.models.ridge import fit as fit_ridge
from gpatlas.settings import build

NOBODY = part_of(np.zeros((0, 0), np.uint8), np.zeros((0, 0)))


def trees(part: Part, **values: object) -> Fitted:
    return fit(part, NOBODY, build(BoostingSettings, {"threads": 1, "n_forests": 2, **values}), QUIET)["boosting"]


def interaction(n: int, seed: int, n_loci: int = 20) -> tuple[Array, Array]:
    """One pair of loci without additive effects, and one locus with."""
    random = np.random.default_rng(seed)
    alleles = random.integers(0, 2, (n, n_loci), dtype=np.uint8)
    x = 2.0 * alleles - 1
    return alleles, (x[:, 4] * x[:, 11] + 0.5 * x[:, 7] + 0.3 * random.standard_normal(n))[:, None]


def r(fitted: Fitted, alleles: Array, wanted: Array) -> float:
    return float(np.corrcoef(fitted.predict(Genotypes.of(alleles))[:, 0], wanted[:, 0])[0, 1])


def test_an_interaction_is_learned_that_ridge_cannot_see() -> None:
    train, (others, wanted) = part_of(*interaction(600, 1)), interaction(500, 2)
    ridge = fit_ridge(train, NOBODY, MODELS["ridge"].settings(), QUIET)["ridge"]  # type: ignore[arg-type]
    fitted = trees(train)
    assert r(ridge, others, wanted) < 0.55
    assert r(fitted, others, wanted) > 0.9
    assert fitted.columns["n_trees"].item() > 10


def test_noise_is_no_better_than_the_mean() -> None:
    alleles, _ = interaction(200, 1)
    noise = np.random.default_rng(5).standard_normal((200, 6))
    fitted = trees(part_of(alleles, noise))
    others, _ = interaction(500, 2)
    assert np.median(fitted.predict(Genotypes.of(others)).std(axis=0)) < 0.3
    assert np.median(fitted.columns["n_trees"]) <= 20


def test_a_constant_trait_and_constant_loci_do_no_harm() -> None:
    alleles, trait = interaction(100, 1)
    alleles[:, 3] = 1
    fitted = trees(part_of(alleles, np.column_stack([trait, np.full(100, 3.0)])))
    np.testing.assert_allclose(fitted.predict(Genotypes.of(alleles))[:, 1], 3)
    assert fitted.columns["n_trees"][1] == 0


def test_whether_a_call_is_missing_may_matter() -> None:
    """A missing call is no count: what it goes with is learned."""
    random = np.random.default_rng(1)
    counts = random.integers(0, 3, (400, 10)).astype(np.uint8)
    counts[random.random(counts.shape) < 0.2] = MISSING
    trait = 2.0 * (counts[:, 2] == MISSING) + (counts[:, 5] == 1) + 0.1 * random.standard_normal(400)
    fitted = trees(part_of(counts[:300], trait[:300, None]))
    assert r(fitted, counts[300:], trait[300:, None]) > 0.95


def test_few_missing_calls_predict_as_those_of_the_same_row_elsewhere() -> None:
    """Genotypes that happen to be complete are packed otherwise, and predicted alike."""
    counts = np.random.default_rng(1).integers(0, 3, (80, 10)).astype(np.uint8)
    counts[0, 0] = MISSING
    fitted = trees(part_of(counts, counts[:, 1:2].astype(float)))
    np.testing.assert_array_equal(fitted.predict(Genotypes.of(counts[1:])), fitted.predict(Genotypes.of(counts))[1:])


@pytest.mark.parametrize("missing", [False, True])
def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch, missing: bool) -> None:
    monkeypatch.setattr(boosting, "CALLS_PER_THREAD", 1)
    alleles, trait = interaction(300, 1, n_loci=200)
    alleles[:20, :5] = MISSING if missing else 1
    predicted: list[Any] = [
        trees(part_of(alleles, trait), threads=threads, max_trees=30).predict(Genotypes.of(alleles)) for threads in (1, 2, 3)
    ]
    np.testing.assert_array_equal(predicted[1], predicted[0])
    np.testing.assert_array_equal(predicted[2], predicted[0])


def test_another_seed_gives_other_trees() -> None:
    part = part_of(*interaction(100, 1))
    first, same, other = (trees(part, seed=seed).predict(part.genotypes) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_the_unit_of_a_trait_does_not_matter_to_the_estimator() -> None:
    import gpatlas

    alleles, trait = interaction(200, 1)
    estimator = gpatlas.Boosting(threads=1, max_trees=50)
    first, other = (estimator.fit(alleles, y).predict(alleles) for y in (trait[:, 0], 170 + 10 * trait[:, 0]))
    assert np.corrcoef(first, other)[0, 1] == pytest.approx(1, abs=1e-4)
