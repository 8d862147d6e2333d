"""gpatlas.figures.heritability: the table's estimates with their errors, beside what the best model predicts."""

import numpy as np
import pandas as pd
import pytest
from cross_validated import own_tables

from gpatlas.figures.chart import chart_of, points_of
from gpatlas.figures.draw import draw


def points(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return points_of("heritability", tables["results"], beside=tables.__getitem__)


def test_estimates_have_one_standard_error_to_both_sides() -> None:
    tables = own_tables(1)
    tables["results"] = tables["results"].assign(genomic_h2=[0.4, 0.95, np.nan], genomic_h2_se=[0.5, 0.1, np.nan])
    found = points(tables).set_index("level")
    assert list(found.index) == ["by the kernel of ridge regression", "by the kernel of EG-BLUP", "R² of the best model"]
    np.testing.assert_allclose(found[["value", "low", "high"]].iloc[:2], [[0.4, 0.0, 0.9], [0.95, 0.85, 1.0]])
    assert found["value"].iloc[2] in set(tables["results"]["r_squared"])


def test_beside_covariates_the_adjusted_r_squared_stands() -> None:
    tables = own_tables(1, ("ridge",))
    tables["results"] = tables["results"].assign(r_squared_adjusted=0.123)
    tables["predictions"] = tables["predictions"].assign(by_covariates=0.5)
    found = points(tables).set_index("level").loc["R² of the best model"]
    assert found["value"] == 0.123
    assert found["low"] < 0.123 < found["high"]
    footer = draw("heritability", tables["results"], beside=tables.__getitem__).texts[-1].get_text()
    assert footer.endswith("all of what covariates leave")


def test_the_most_heritable_trait_is_on_top() -> None:
    tables = own_tables(3)
    figure = draw("heritability", tables["results"], beside=tables.__getitem__)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["height", "yield_2019", "oil"]


def test_few_traits_are_told_one_by_one_and_many_by_their_range() -> None:
    tables = own_tables(1, ("ridge",))
    tables["results"] = tables["results"].assign(genomic_h2=0.4, genomic_h2_se=0.05, r_squared=0.3)
    said = "Genomic heritability of height: 0.40 ± 0.05 by the kernel of ridge regression; the best model predicts R² 0.30."
    assert chart_of("heritability").say(points(tables)) == said
    many = own_tables(5, ("ridge",))
    many["results"] = many["results"].assign(genomic_h2=[0.2, 0.4, 0.5, 0.6, 0.0], r_squared=[0.1, 0.2, 0.3, 0.3, 0.0])
    assert chart_of("heritability").say(points(many)) == (
        "Genomic heritability by the kernel of ridge regression from 0.00 (trait_5) to 0.60 (protein content of the grain, dry), "
        "median 0.40. "
        "R² of the best model is 0.50 of the highest estimate in the median."
    )


def test_a_table_without_estimates_is_refused() -> None:
    tables = own_tables(1)
    with pytest.raises(ValueError, match=r"^no column genomic_h2, genomic_h2_se: no model of the table estimates a heritability$"):
        points({**tables, "results": tables["results"].drop(columns=["genomic_h2", "genomic_h2_se"])})
    with pytest.raises(ValueError, match=r"^every genomic_h2 is empty in experiment 'own'$"):
        points({**tables, "results": tables["results"].assign(genomic_h2=np.nan)})
