"""gpatlas.figures.curves: curves stay among their points."""

import numpy as np
import pandas as pd
import pytest
from figure_tables import STUDY, TABLES, drawn, experiment_of, path, points

from gpatlas.figures.curves import smooth

PANELLED = [name for name in STUDY if experiment_of(name) == "scaling" and name != "s1"]


def test_smooth_meets_lone_means_and_ignores_missing_values() -> None:
    x, y = smooth(pd.Series([10.0, 10, 100, 1000]), pd.Series([1.0, 3, 8, np.nan]), 0.1)
    np.testing.assert_allclose((x[0], x[-1], y[0], y[-1]), (10, 100, 2, 8))
    assert (np.diff(y) > 0).all()
    assert [list(axis) for axis in smooth(pd.Series([100]), pd.Series([0.5]), 0.1)] == [[100], [0.5]]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("figure", PANELLED)
def test_a_curve_per_size_stays_among_its_points(figure: str, name: str) -> None:
    for axes in drawn(figure, name).axes:
        for label, xy in points(axes).items():
            x, y = path(axes, f"{label} mean")
            np.testing.assert_allclose([np.min(x), np.max(x)], [xy[:, 0].min(), xy[:, 0].max()])
            assert xy[:, 1].min() - 1e-9 <= np.min(y)
            assert np.max(y) <= xy[:, 1].max() + 1e-9


@pytest.mark.parametrize(
    ("figure", "name", "labels"),
    [
        ("1a", "one replicate", ["16", "46", "202"]),
        ("accessory_linear", "one population", ["46"]),
        ("accessory_mlp", "study", ["30", "100", "300", "1000", "3000"]),
        ("1b", "one replicate", ["0.1", "0.3", "1", "3", "10", "30"]),
    ],
)
def test_x_ticks_are_plain_numbers(figure: str, name: str, labels: list[str]) -> None:
    assert [label.get_text() for label in drawn(figure, name).axes[0].get_xticklabels()] == labels
