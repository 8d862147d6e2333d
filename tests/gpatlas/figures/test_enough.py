"""gpatlas.figures.enough: expected accuracy and the number of individuals, by hand."""

import numpy as np
import pandas as pd
import pytest

from gpatlas.figures.enough import enough, expected_r


def table(*rows: list[float], sizes: tuple[int, ...] = (100, 200, 400)) -> pd.DataFrame:
    """Gains: a row per replicate, a column per number of individuals."""
    return pd.DataFrame(list(rows), columns=list(sizes))


def test_expected_r_is_that_of_daetwyler() -> None:
    # 200·0.5 = 100 of 100 + 100 segments, times sqrt(0.5): sqrt(0.5)·sqrt(0.5)
    r = expected_r(pd.Series([200.0, 1e12]), pd.Series([0.5, 0.64]), pd.Series([100.0, 100.0]))
    assert r.tolist() == pytest.approx([0.5, 0.8])


def test_the_number_lies_where_the_curve_comes_to_the_share() -> None:
    gains = table(*[[0.0, 0.0, 0.1], [0.0, 0.1, 0.1]] * 4)  # shares 0, a half, 1
    half = enough(gains, 0.1, 0.5)
    assert half.n == pytest.approx(200, rel=0.02)
    assert half.n / half.low == pytest.approx(half.high / half.n, rel=0.02)
    assert half.n < enough(gains, 0.1, 0.7).n < enough(gains, 0.1, 0.9).n < 400
    assert enough(gains, 0.11, 0.5).n > 400


def test_many_replicates_come_to_the_truth() -> None:
    """The share is 1 / (1 + (300 / n)³): 0.8 at 300·4^(1/3) = 476."""
    shares = {n: 1 / (1 + (300 / n) ** 3) for n in (100, 200, 400, 800)}
    gains = pd.DataFrame({n: (np.arange(1000) < 1000 * share).astype(float) for n, share in shares.items()})
    found = enough(gains, 0.5, 0.8)
    assert found.n == pytest.approx(476, rel=0.03)
    assert 440 < found.low < found.n < found.high < 520


def test_the_number_may_lie_outside_what_was_tried() -> None:
    none, all_of_them = enough(table(*[[0.0] * 3] * 8), 0.1, 0.8), enough(table(*[[0.1] * 3] * 8), 0.1, 0.8)
    assert 400 < none.low < none.n < none.high
    assert all_of_them.low < all_of_them.n < all_of_them.high < 100


def test_a_replicate_that_lacks_a_size_counts_for_the_others() -> None:
    whole = table(*[[0.0, 0.0, 0.1]] * 4)
    assert enough(pd.concat([whole, table([np.nan] * 3)]), 0.1, 0.8) == enough(whole, 0.1, 0.8)
    assert enough(pd.concat([whole, table([np.nan, 0.1, np.nan])]), 0.1, 0.8).n < enough(whole, 0.1, 0.8).n


def test_the_interval_covers_the_number() -> None:
    """A replicate gains from a number on that is log-normal, half of its variance its own at every size: 0.8 at 300·2^0.84 = 538.

    Of 100 plans of 10 replicates, 95 are to cover it; 84 have a chance of less than 1 in 10,000.
    """
    random, covered = np.random.default_rng(1), 0
    for _ in range(100):
        thresholds = random.normal(size=(10, 1)) / 2**0.5 + random.normal(size=(10, 5)) / 2**0.5
        gains = pd.DataFrame((np.log2(np.array([100, 200, 400, 800, 1600]) / 300) > thresholds).astype(float))
        found = enough(gains.set_axis([100, 200, 400, 800, 1600], axis=1), 0.5, 0.8)
        covered += found.low <= 538 <= found.high
    assert covered >= 85
