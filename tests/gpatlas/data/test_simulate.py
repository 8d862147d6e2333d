"""gpatlas.data.simulate: the file keeps its promises, and the draws have the distributions that the model states.

Everything is recomputed from the arrays of the file in plain numpy. A tolerance is a number of standard errors (SE), each
derived where it is used; n is the number of individuals, q of QTL, h the heritability.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from gpatlas.data.settings import SimulateSettings
from gpatlas.data.simulate import run
from gpatlas.data.traits import draw_effects
from gpatlas.progress import Progress
from gpatlas.settings import build

Array = npt.NDArray[Any]
Arrays = dict[str, Array]

ARRAYS = (
    "genotypes",
    "phenotypes",
    "genetic_values",
    "effects/additive",
    "effects/pairs",
    "effects/epistatic",
    "effects/intercept",
)
REL_AA = (0.0, 0.1, 0.5, 1.0, 3.0)
GROUP = {"rel_aa": (1.0,), "n_traits": 3}
POPULATIONS: dict[str, dict[str, Any]] = {
    "a group per rel_aa": {"n_loci": 46, "n_qtl": 46},
    "neutral loci": {"n_loci": 83, "n_qtl": 20},
    "one group": {"n_loci": 60, "n_qtl": 60, **GROUP, "genetic_correlation": 0.5},
    "one group, neutral loci": {"n_loci": 60, "n_qtl": 24, **GROUP, "genetic_correlation": -0.4},
    "independent": {"n_loci": 60, "n_qtl": 60, **GROUP, "independent": True},
    "independent, neutral loci": {"n_loci": 60, "n_qtl": 24, **GROUP, "independent": True},
}
EACH_POPULATION = pytest.mark.parametrize("values", POPULATIONS.values(), ids=POPULATIONS)


def simulate(folder: Path, **values: Any) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and the attributes of the file that `values` make."""
    path = folder / "data.h5"
    run(build(SimulateSettings, values), None, path, Progress("simulate", io.StringIO()))
    with h5py.File(path) as file:
        return {name: file[name][:] for name in ARRAYS}, dict(file.attrs)


def alleles(arrays: Arrays, n_loci: int) -> Array:
    """0/1 (n, n_loci), unpacked without numpy's bit functions."""
    loci = np.arange(n_loci)
    return (arrays["genotypes"][:, loci // 8] >> (loci % 8).astype(np.uint8)) & 1


def parts(arrays: Arrays) -> tuple[Array, Array]:
    """Σ a·x and Σ e·x_i·x_j, (n, T) each."""
    x = 2.0 * alleles(arrays, len(arrays["effects/additive"])) - 1
    epistatic = [
        (x[:, first] * x[:, second]) @ effects
        for (first, second), effects in zip(arrays["effects/pairs"].transpose(0, 2, 1), arrays["effects/epistatic"], strict=True)
    ]
    return x @ arrays["effects/additive"], np.stack(epistatic, axis=1)


def groups_of(arrays: Arrays, values: dict[str, Any]) -> list[list[int]]:
    """The traits of every group."""
    n_traits = arrays["phenotypes"].shape[1]
    alone = "n_traits" not in values or values.get("independent", False)
    return [[trait] for trait in range(n_traits)] if alone else [list(range(n_traits))]


# What the file promises


@EACH_POPULATION
def test_genetic_values_have_mean_0_and_variance_1(tmp_path: Path, values: dict[str, Any]) -> None:
    arrays, _ = simulate(tmp_path, n_individuals=500, **values)
    genetic_values = arrays["genetic_values"]
    n = len(genetic_values)
    np.testing.assert_allclose(genetic_values.sum(axis=0) / n, 0, atol=1e-12)
    np.testing.assert_allclose((genetic_values**2).sum(axis=0) / n, 1, atol=1e-12)


@EACH_POPULATION
def test_genetic_values_follow_from_the_effects(tmp_path: Path, values: dict[str, Any]) -> None:
    arrays, _ = simulate(tmp_path, n_individuals=500, block_size=77, **values)
    additive, epistatic = parts(arrays)
    np.testing.assert_allclose(arrays["genetic_values"], arrays["effects/intercept"] + additive + epistatic, rtol=0, atol=1e-12)


@EACH_POPULATION
def test_recorded_variances_are_those_of_the_population(tmp_path: Path, values: dict[str, Any]) -> None:
    arrays, attributes = simulate(tmp_path, n_individuals=500, **values)
    additive, epistatic = parts(arrays)
    v_a, v_aa, v_g = (part.var(axis=0) for part in (additive, epistatic, additive + epistatic))
    np.testing.assert_allclose(attributes["v_a"], v_a, rtol=1e-10)
    np.testing.assert_allclose(attributes["v_aa"], v_aa, rtol=1e-10)
    np.testing.assert_allclose(attributes["v_a_over_v_g"], v_a / v_g, rtol=1e-10)


@EACH_POPULATION
def test_pairs_are_disjoint_and_cover_the_qtl(tmp_path: Path, values: dict[str, Any]) -> None:
    arrays, attributes = simulate(tmp_path, n_individuals=20, **values)
    assert attributes["n_qtl"] == values["n_qtl"]
    for pairs, additive in zip(arrays["effects/pairs"], arrays["effects/additive"].T, strict=True):
        assert pairs.shape == (values["n_qtl"] // 2, 2)
        assert sorted(pairs.ravel()) == np.flatnonzero(additive).tolist()
        assert np.count_nonzero(additive) == values["n_qtl"]  # and so exactly 0 at neutral loci


@EACH_POPULATION
def test_pairs_are_shared_inside_a_group_only(tmp_path: Path, values: dict[str, Any]) -> None:
    arrays, _ = simulate(tmp_path, n_individuals=20, **values)
    groups = groups_of(arrays, values)
    for group in groups:
        assert all(np.array_equal(arrays["effects/pairs"][trait], arrays["effects/pairs"][group[0]]) for trait in group)
    sets = [{frozenset(pair) for pair in arrays["effects/pairs"][group[0]].tolist()} for group in groups]
    assert all(first != second for number, first in enumerate(sets) for second in sets[:number])


def test_groups_have_qtl_of_their_own(tmp_path: Path) -> None:
    arrays, _ = simulate(tmp_path, n_individuals=20, **POPULATIONS["independent, neutral loci"])
    qtl = [tuple(np.flatnonzero(additive)) for additive in arrays["effects/additive"].T]
    assert len(set(qtl)) == 3


@EACH_POPULATION
def test_attributes_say_what_was_simulated(tmp_path: Path, values: dict[str, Any]) -> None:
    arrays, attributes = simulate(tmp_path, n_individuals=20, h2=0.25, seed=11, **values)
    rel_aa = values.get("rel_aa", REL_AA) * (3 if "n_traits" in values else 1)
    assert (attributes["h2"], attributes["seed"], attributes["simulator"]) == (0.25, 11, "native")
    assert attributes["n_loci"] == values["n_loci"]
    assert attributes["rel_aa"].tolist() == list(rel_aa)
    correlation = values.get("genetic_correlation", 0.0)
    assert json.loads(attributes["trait_groups"]) == [
        {"rel_aa": rel_aa[group[0]], "n_traits": len(group), "genetic_correlation": correlation} for group in groups_of(arrays, values)
    ]


def test_without_epistasis(tmp_path: Path) -> None:
    arrays, attributes = simulate(tmp_path, n_individuals=300, rel_aa=(0.0,))
    assert not arrays["effects/epistatic"].any()
    assert attributes["v_aa"].tolist() == [0]
    assert attributes["v_a_over_v_g"] == pytest.approx(1, abs=1e-12)


def test_full_heritability_is_no_noise(tmp_path: Path) -> None:
    arrays, _ = simulate(tmp_path, n_individuals=300, h2=1.0)
    assert np.array_equal(arrays["phenotypes"], arrays["genetic_values"])


def test_progress_ends_at_the_last_individual(tmp_path: Path) -> None:
    stream = io.StringIO()
    run(build(SimulateSettings, {"n_individuals": 10, "block_size": 4}), None, tmp_path / "data.h5", Progress("simulate", stream))
    steps = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert steps == [{"stage": "simulate", "done": done, "total": 10} for done in (4, 8, 10)]


# The same seed, whatever the blocks


@pytest.mark.parametrize("n_loci", [64, 70, 131])
@pytest.mark.parametrize("block_size", [1, 7, 64])
def test_blocks_do_not_change_a_byte(tmp_path: Path, n_loci: int, block_size: int) -> None:
    values = {"n_individuals": 100, "n_loci": n_loci, "n_qtl": 20, "h2": 0.5, "seed": 3}
    arrays, attributes = simulate(tmp_path, block_size=4096, **values)
    others, other_attributes = simulate(tmp_path, block_size=block_size, **values)
    assert {name: array.tobytes() for name, array in arrays.items()} == {name: array.tobytes() for name, array in others.items()}
    assert {name: np.array(value).tobytes() for name, value in attributes.items()} == {
        name: np.array(value).tobytes() for name, value in other_attributes.items()
    }


def test_another_seed_changes_everything(tmp_path: Path) -> None:
    first, second = (simulate(tmp_path, n_individuals=50, h2=0.5, rel_aa=(1.0,), seed=seed)[0] for seed in (1, 2))
    for name in ARRAYS:
        assert not np.array_equal(first[name], second[name]), name
    noise = [arrays["phenotypes"] - arrays["genetic_values"] for arrays in (first, second)]
    assert not np.array_equal(noise[0], noise[1])


def test_draws_have_streams_of_their_own(tmp_path: Path) -> None:
    first, _ = simulate(tmp_path, n_individuals=50, rel_aa=(1.0,), h2=0.5)
    noisier, _ = simulate(tmp_path, n_individuals=50, rel_aa=(1.0,), h2=0.1)
    other_traits, _ = simulate(tmp_path, n_individuals=50, rel_aa=(3.0, 0.0), h2=0.5)
    assert all(np.array_equal(first[name], noisier[name]) for name in ARRAYS if name != "phenotypes")
    assert np.array_equal(first["genotypes"], other_traits["genotypes"])


GOLDEN: dict[str, tuple[dict[str, Any], str, list[float], float]] = {
    "neutral loci": (
        {"n_individuals": 5000, "n_loci": 83, "n_qtl": 40, "h2": 0.5, "seed": 7},
        "bba6d04fa9257b1c0c8ec20843434ce862844228c2833d6d47c0669e437f9681",
        [-0.5641235913704299, -1.4086231376303302, 0.6121531656419352, -0.2729816696206791, -1.5195001439658316],
        49821.28518994819,
    ),
    "one group": (
        {"n_individuals": 500, "n_loci": 60, "n_qtl": 60, "h2": 0.5, "seed": 7, **GROUP, "genetic_correlation": 0.5},
        "a78be5352669129aa1ea1c45ac3594f2948b1ff6dc317728f4ea28f8e1d1cb6d",
        [0.7939528424979004, 1.9826779031725872, 1.3833030062157408],
        2937.8304471536603,
    ),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_a_seed_means_the_same_population_forever(tmp_path: Path, case: str) -> None:
    """The genotypes' bytes; of the phenotypes the last individual and the sum of squares, but for rounding by another libm."""
    values, checksum, last, squares = GOLDEN[case]
    arrays, _ = simulate(tmp_path, **values)
    assert hashlib.sha256(arrays["genotypes"].tobytes()).hexdigest() == checksum
    np.testing.assert_allclose(arrays["phenotypes"][-1], last, rtol=1e-11)
    np.testing.assert_allclose((arrays["phenotypes"] ** 2).sum(), squares, rtol=1e-11)


# The distributions


def test_alleles_are_fair_coins(tmp_path: Path) -> None:
    """SE of a frequency: 0.5/√n for a locus, 0.5/√(n·m) over m loci. SE of the correlation of two loci: 1/√n.

    Bounds: 5 SE for the largest of 131 loci, of 131·130/2 pairs of loci and of 131 correlations between successive
    individuals, 4 for a mean. The squared correlations, in SE², have mean 1 and SE √(2/pairs).
    """
    n, m = 4096, 131
    arrays, _ = simulate(tmp_path, n_individuals=n, n_loci=m, n_qtl=2, rel_aa=(0.0,), seed=1)
    x = 2.0 * alleles(arrays, m) - 1
    assert abs(x.mean()) < 4 / np.sqrt(n * m)
    assert abs(x.mean(axis=0)).max() < 5 / np.sqrt(n)
    between_loci: Array = np.asarray(np.corrcoef(x, rowvar=False))[np.triu_indices(m, 1)] * np.sqrt(n)
    assert abs(between_loci).max() < 5
    assert (between_loci**2).mean() == pytest.approx(1, abs=4 * np.sqrt(2 / len(between_loci)))
    between_individuals = (x[1:] * x[:-1]).mean(axis=0) * np.sqrt(n - 1)
    assert abs(between_individuals).max() < 5
    assert len(np.unique(arrays["genotypes"], axis=0)) == n


@pytest.mark.parametrize("n_loci", [2, 8, 46, 64, 65, 70, 131])
def test_spare_bits_are_0(tmp_path: Path, n_loci: int) -> None:
    arrays, _ = simulate(tmp_path, n_individuals=200, n_loci=n_loci, n_qtl=2, rel_aa=(0.0,))
    assert arrays["genotypes"].shape == (200, (n_loci + 7) // 8)
    every_bit = np.unpackbits(arrays["genotypes"], axis=1, bitorder="little")
    assert not every_bit[:, n_loci:].any()
    assert every_bit[:, :n_loci].any(axis=0).all()


@pytest.mark.parametrize("h2", [0.25, 0.6, 0.999])
def test_heritability(tmp_path: Path, h2: float) -> None:
    """H2 is estimated by r² of genetic value and phenotype; the noise has mean 0, and is independent between traits.

    V_G is exactly 1, so r² = (1 + c)²/(1 + 2c + s²), where c, the covariance of g and the noise, has variance σ²/n, and
    s², the noise variance, has variance 2σ⁴/n, with σ² = 1/h − 1. The derivatives are 2h(1 − h) and −h², which gives
    r² the SE (1 − h)·√((4h − 2h²)/n).
    """
    n, bound = 4000, 4
    arrays, _ = simulate(tmp_path, n_individuals=n, h2=h2, seed=5)
    noise = arrays["phenotypes"] - arrays["genetic_values"]
    sd = np.sqrt(1 / h2 - 1)
    r2 = [np.corrcoef(g, y)[0, 1] ** 2 for g, y in zip(arrays["genetic_values"].T, arrays["phenotypes"].T, strict=True)]
    np.testing.assert_allclose(r2, h2, rtol=0, atol=bound * (1 - h2) * np.sqrt((4 * h2 - 2 * h2**2) / n))
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=bound * sd / np.sqrt(n))
    np.testing.assert_allclose(noise.var(axis=0), sd**2, rtol=bound * np.sqrt(2 / n))
    between_traits = np.corrcoef(noise, rowvar=False)[np.triu_indices(5, 1)]
    np.testing.assert_allclose(between_traits, 0, atol=bound / np.sqrt(n))


def test_additive_share_of_the_genetic_variance(tmp_path: Path) -> None:
    """The mean of V_A/V_G over replicates is p = 1/(1 + 2·rel_aa).

    Between replicates: A = Σa² has relative variance 2/q, E = Σe² (q/2 terms) 4/q, and A/(A + E) the derivative p(1 − p)
    in the logarithm of each, so variance p²(1 − p)²·6/q. Within a population of n: p²·(4p(1 − p) + 4(1 − p)²)/n = 4p²(1 − p)/n
    from the sampling covariance of the parts and from V_A. The curvature shifts the mean by at most 4p(1 − p)/q, a quarter
    of the SE below.
    """
    n, q, replicates = 1000, 400, 12
    values = {"n_individuals": n, "n_loci": q, "n_qtl": q, "rel_aa": REL_AA}
    shares = [simulate(tmp_path, seed=seed, **values)[1]["v_a_over_v_g"] for seed in range(1, replicates + 1)]
    p = 1 / (1 + 2 * np.array(REL_AA))
    one = np.sqrt(p**2 * (1 - p) ** 2 * 6 / q + 4 * p**2 * (1 - p) / n)
    assert (abs(np.mean(shares, axis=0) - p) <= 4 * one / np.sqrt(replicates) + 1e-12).all()
    # and the spread is the one derived: the SE of a standard deviation is about 1/√(2·(replicates − 1)) of it
    np.testing.assert_allclose(np.std(shares, axis=0, ddof=1)[1:], one[1:], rtol=4 / np.sqrt(2 * (replicates - 1)))


def test_unscaled_effects_have_the_stated_variances() -> None:
    """a ~ N(0, 1), e ~ N(0, 4·rel_aa): relative SE √(2/k) of a variance and σ/√k of a mean, of k effects."""
    q = 2000
    settings = build(SimulateSettings, {"n_loci": q, "n_qtl": q, "rel_aa": REL_AA})
    effects = draw_effects(settings, np.arange(settings.n_loci), settings.n_loci, np.random.default_rng(1))
    np.testing.assert_allclose(effects.additive.var(axis=0), 1, rtol=4 * np.sqrt(2 / q))
    np.testing.assert_allclose(effects.additive.mean(axis=0), 0, atol=4 / np.sqrt(q))
    wanted = 4 * np.array(REL_AA)
    np.testing.assert_allclose(effects.epistatic.var(axis=1), wanted, rtol=4 * np.sqrt(2 / (q / 2)))
    assert (abs(effects.epistatic.mean(axis=1)) <= 4 * np.sqrt(wanted / (q / 2))).all()


def test_qtl_and_pairs_are_drawn_at_random() -> None:
    """Mean position of q of m loci: SE (m/√12)·√((1 − q/m)/q). Neighbours among the QTL make a pair once on average (Poisson)."""
    m, q = 4000, 1000
    settings = build(SimulateSettings, {"n_loci": m, "n_qtl": q, "rel_aa": (1.0,)})
    effects = draw_effects(settings, np.arange(settings.n_loci), settings.n_loci, np.random.default_rng(2))
    qtl = np.flatnonzero(effects.additive[:, 0])
    assert qtl.mean() == pytest.approx((m - 1) / 2, abs=4 * m / np.sqrt(12) * np.sqrt((1 - q / m) / q))
    ranks = np.searchsorted(qtl, effects.pairs[0])
    assert np.count_nonzero(abs(ranks[:, 0] - ranks[:, 1]) == 1) < 8
    # either locus of a pair may be the first: a fair coin, SE ½/√(q/2)
    assert (ranks[:, 0] < ranks[:, 1]).mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(q / 2))


@pytest.mark.parametrize(
    ("correlation", "independent"), [(-0.3, False), (0.0, False), (0.25, False), (0.5, False), (0.95, False), (0.0, True)]
)
def test_effects_are_correlated_between_traits(tmp_path: Path, correlation: float, independent: bool) -> None:
    """atanh of a correlation over k effects has SE 1/√(k − 3), whatever the correlation; both kinds of effects, 6 pairs of traits."""
    q, n_traits = 2000, 4
    arrays, _ = simulate(
        tmp_path,
        n_individuals=16,
        n_loci=q,
        n_qtl=q,
        rel_aa=(1.0,),
        n_traits=n_traits,
        genetic_correlation=correlation,
        independent=independent,
    )
    for effects in (arrays["effects/additive"].T, arrays["effects/epistatic"]):
        r = np.corrcoef(effects)[np.triu_indices(n_traits, 1)]
        np.testing.assert_allclose(np.arctanh(r), np.arctanh(correlation), rtol=0, atol=4 / np.sqrt(effects.shape[1] - 3))


def test_negative_correlation_makes_genetic_values_oppose(tmp_path: Path) -> None:
    """Two traits, correlation −0.95 of both kinds of effects: so of the genetic values, SE of atanh about 1/√(q/2)."""
    q = 1000
    arrays, _ = simulate(tmp_path, n_loci=q, n_qtl=q, rel_aa=(1.0,), n_traits=2, genetic_correlation=-0.95)
    r = np.corrcoef(arrays["genetic_values"], rowvar=False)[0, 1]
    assert np.arctanh(r) == pytest.approx(np.arctanh(-0.95), abs=4 / np.sqrt(q / 2))


@pytest.mark.parametrize("values", [{"n_individuals": 2, "n_loci": 2, "n_qtl": 2, "rel_aa": (0.5,), "seed": 2}])
def test_a_trait_without_genetic_variance_is_refused(values: dict[str, Any], tmp_path: Path) -> None:
    """As r/simulate.R does; it used to be written as NaN."""
    message = "trait 1 has no genetic variance: its genetic value is the same in all 2 individuals; simulate more"
    with pytest.raises(ValueError, match=f"^{message}"):
        run(build(SimulateSettings, values), None, tmp_path / "data.h5", Progress("simulate"))
