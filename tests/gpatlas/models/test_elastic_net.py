"""gpatlas.models.elastic_net: against scikit-learn's own path, and on traits whose truth is known."""

import numpy as np
import pytest
from populations import QUIET, Array, Recorder, part_of
from sklearn.linear_model import ElasticNet

from gpatlas.data.genotypes import MISSING, Genotypes
from gpatlas.models.contract import Fitted, Part
from gpatlas.models.elastic_net import fit
from gpatlas.models.registry import ElasticNetSettings
from gpatlas.models.settings import FitSettings
from gpatlas.settings import Size, build

NOBODY = part_of(np.zeros((0, 0), np.uint8), np.zeros((0, 0)))
CAUSAL = [3, 50, 120, 250]


def net(part: Part, **values: object) -> Fitted:
    return fit(part, NOBODY, build(ElasticNetSettings, values), QUIET)["elastic_net"]


def sparse_trait(n: int = 200, n_loci: int = 300, noise: float = 0.3, seed: int = 1) -> tuple[Array, Array]:
    """Counts 0 to 2 at more loci than individuals, and a trait of four of them."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, 3, (n, n_loci)).astype(np.uint8)
    return counts, counts[:, CAUSAL] @ np.array([1.0, -1, 0.8, 0.6]) + noise * random.standard_normal(n)


def test_a_sparse_trait_is_found_where_loci_outnumber_individuals() -> None:
    counts, trait = sparse_trait()
    fitted = net(part_of(counts, trait[:, None]))
    assert fitted.coefficients is not None
    effects = fitted.coefficients[:, 0]
    assert set(np.argsort(-np.abs(effects))[:4]) == set(CAUSAL)
    np.testing.assert_allclose(effects[CAUSAL], [2, -2, 1.6, 1.2], atol=0.3)  # of all counted alleles against none, shrunken
    assert np.delete(np.abs(effects), CAUSAL).max() < 0.2
    assert fitted.columns["n_loci_kept"].tolist() == [np.count_nonzero(effects)]
    others, wanted = sparse_trait(seed=2, noise=0)
    assert np.corrcoef(fitted.predict(Genotypes.of(others))[:, 0], wanted)[0, 1] > 0.98


@pytest.mark.parametrize("l1_ratio", [1.0, 0.3])
@pytest.mark.parametrize("n", [60, 400])
def test_the_effects_are_scikit_learns_at_the_chosen_penalty(n: int, l1_ratio: float) -> None:
    counts, trait = sparse_trait(n)
    fitted = net(part_of(counts, trait[:, None]), l1_ratios=(l1_ratio,))
    z = (counts - counts.mean(axis=0)) / counts.std(axis=0)
    theirs = ElasticNet(alpha=fitted.columns["penalty"][0], l1_ratio=l1_ratio, tol=1e-10, max_iter=100_000).fit(z, trait)
    np.testing.assert_allclose(fitted.predict(Genotypes.of(counts))[:, 0], theirs.predict(z), atol=0.02 * trait.std())
    assert fitted.coefficients is not None
    np.testing.assert_allclose(fitted.coefficients[:, 0] * counts.std(axis=0) / 2, theirs.coef_, atol=0.01)


def test_the_mixture_that_predicts_best_is_chosen_for_each_trait() -> None:
    """The lasso where few loci matter; where all do, many are kept."""
    counts, sparse = sparse_trait(400, 300)
    random = np.random.default_rng(3)
    dense = counts @ random.standard_normal(300) / 15 + 0.5 * random.standard_normal(400)
    fitted = net(part_of(counts, np.column_stack([sparse, dense])), l1_ratios=(1.0, 0.05))
    assert fitted.columns["l1_ratio"].tolist() == [1.0, 0.05]
    assert fitted.columns["n_loci_kept"][0] < 60 < 200 < fitted.columns["n_loci_kept"][1]


def test_several_traits_are_what_each_is_alone() -> None:
    counts, trait = sparse_trait()
    both = net(part_of(counts, np.column_stack([trait[::-1], trait])))
    alone = net(part_of(counts, trait[:, None]))
    assert both.coefficients is not None
    assert alone.coefficients is not None
    np.testing.assert_allclose(both.coefficients[:, 1], alone.coefficients[:, 0], atol=1e-6)


def test_noise_keeps_few_loci_or_none() -> None:
    counts, _ = sparse_trait()
    noise = np.random.default_rng(5).standard_normal((200, 6))
    assert np.median(net(part_of(counts, noise)).columns["n_loci_kept"]) <= 10


def test_a_constant_trait_and_constant_loci_do_no_harm() -> None:
    counts, trait = sparse_trait()
    counts[:, 7:20] = [[0], [2]][0]
    counts[:, 20] = 2
    fitted = net(part_of(counts, np.column_stack([trait, np.full(200, 3.0)])))
    assert fitted.coefficients is not None
    assert not fitted.coefficients[7:21].any()
    assert not fitted.coefficients[:, 1].any()
    np.testing.assert_allclose(fitted.predict(Genotypes.of(counts))[:, 1], 3)


def test_a_missing_call_counts_as_the_training_mean() -> None:
    counts, trait = sparse_trait()
    counts[np.random.default_rng(4).random(counts.shape) < 0.05] = MISSING
    fitted = net(part_of(counts, trait[:, None]))
    assert fitted.coefficients is not None
    assert set(np.argsort(-np.abs(fitted.coefficients[:, 0]))[:4]) == set(CAUSAL)
    one, other = counts[:1].copy(), counts[:1].copy()
    one[0, 3], other[0, 3] = MISSING, 0
    called = counts[:, 3] != MISSING
    difference = np.diff([fitted.predict(Genotypes.of(np.concatenate([row, counts])))[0, 0] for row in (other, one)]).item()
    assert difference == pytest.approx(fitted.coefficients[3, 0] * counts[called, 3].mean() / 2)


def test_progress_counts_the_penalties_of_all_paths() -> None:
    counts, trait = sparse_trait(60, 260)
    progress = Recorder()
    fit(part_of(counts, np.column_stack([trait, trait])), NOBODY, ElasticNetSettings(n_penalties=30, patience=3), progress)
    assert progress.steps[-1] == (180, 180)
    assert [done for done, _ in progress.steps] == sorted({done for done, _ in progress.steps})


def test_memory_covers_the_dense_loci() -> None:
    settings: FitSettings = ElasticNetSettings()
    assert settings.memory(Size(10_000, 5_000, 1)) > 4 * 0.85 * 10_000 * 5_000
