"""gpatlas.figures.planning: curves, ceilings, expectation and the number are where the table says."""

import numpy as np
import pandas as pd
import pytest
from figure_tables import drawn, path, plan_table, table_of
from runs import plan

from gpatlas.figures.chart import chart_of, points_of
from gpatlas.figures.draw import draw
from gpatlas.figures.planning import answers, rows_of_answers
from gpatlas.figures.settings import PlanTarget

MODELS = {"ridge": "ridge regression", "egblup": "EG-BLUP", "pairwise": "pairwise screening"}


def test_a_panel_per_architecture_has_means_ceilings_and_the_expectation() -> None:
    table, figure = table_of("plan", "study"), drawn("plan", "study")
    cells = [(h2, rel_aa) for h2 in (0.3, 0.7) for rel_aa in (0.0, 1.0, 3.0)]
    assert len(figure.axes) == len(cells)
    for axes, (h2, rel_aa) in zip(figure.axes, cells, strict=True):
        part, share = table[(table["h2"] == h2) & (table["rel_aa"] == rel_aa)], 1 / (1 + 2 * rel_aa)
        assert axes.get_title("left") == f"heritability {h2:g}, $V_A/V_G$ {share:.2f}"
        for model, label in MODELS.items():
            means = part[part["model"] == model].groupby("n_individuals")["pearson_r"].mean()
            np.testing.assert_allclose(path(axes, label), (means.index, means))
        np.testing.assert_allclose(path(axes, "ceiling: any model")[1], h2**0.5)
        np.testing.assert_allclose(path(axes, "ceiling: linear model")[1], (share * h2) ** 0.5)
        n, r = path(axes, "expectation: linear model")
        np.testing.assert_allclose(r, (0.85 * n * share * h2 / (0.85 * n * share * h2 + 40) * share * h2) ** 0.5)


def test_the_number_is_marked_where_it_lies_and_said_where_it_does_not() -> None:
    figure = drawn("plan", "study")
    for axes, answer in zip(figure.axes, answers(points_of("plan", table_of("plan", "study"))), strict=True):
        (text,) = (found.get_text() for found in axes.texts)
        if answer.found:
            assert path(axes, "number")[0][0] == answer.enough.n
            assert text.endswith(f"\n{MODELS[answer.model]}")
        else:
            assert text == "more than 3,200,\nif any do"
    found = [answer.found for answer in answers(points_of("plan", table_of("plan", "study")))]
    assert found == [False, True, True] * 2


def test_the_model_is_the_one_that_takes_the_fewest() -> None:
    """Its gain is 5/12·log10(n / 150) in the mean, and 0.02 in four fifths of replicates somewhat above 168."""
    (answer,) = answers(points_of("plan", plan_table(20, [100, 200, 400, 800], [0.5], (1.0,))))
    assert answer.model == "egblup"
    assert 150 < answer.enough.low <= answer.enough.n <= answer.enough.high < 400


def test_more_is_asked_for_by_the_plan_of_the_experiment() -> None:
    table = plan_table(10, [100, 200, 400, 800], [0.5], (1.0,))
    numbers = [answers(points_of("plan", table.assign(plan_gain=gain)))[0].enough.n for gain in (0.02, 0.05, 0.09)]
    assert numbers == sorted(set(numbers))
    few, many = (answers(points_of("plan", table.assign(plan_power=power)))[0].enough.n for power in (0.3, 0.9))
    assert few < many
    left_out = answers(points_of("plan", table.drop(columns=["plan_gain", "plan_power"])))[0].target
    assert left_out == PlanTarget(gain=0.02, power=0.8)


def test_traits_of_one_architecture_are_replicates() -> None:
    (answer,) = answers(points_of("plan", plan_table(2, [100, 400], [0.5], (1.0, 1.0, 1.0))))
    assert answer.label == "heritability 0.5, V_A/V_G 0.33"


def test_what_differs_is_in_the_name() -> None:
    table = plan_table(2, [100, 400], [0.5], (1.0,))
    both = [table, table.assign(population="dh", n_qtl=40, scenario="dh" + table["scenario"])]
    labels = [answer.label for answer in answers(points_of("plan", pd.concat(both)))]
    assert labels == ["F2, 20 QTL, heritability 0.5, V_A/V_G 0.33", "doubled haploids, 40 QTL, heritability 0.5, V_A/V_G 0.33"]


def test_unlinked_loci_are_a_segment_each() -> None:
    table = plan_table(1, [100, 400], [0.5], (0.0,), "unlinked").drop(columns=["m_e", "population"])
    points = points_of("plan", table)
    n = points["n_individuals"]
    np.testing.assert_allclose(points["expected"], (0.85 * n * 0.5 / (0.85 * n * 0.5 + 200) * 0.5) ** 0.5)


def test_of_five_folds_four_train() -> None:
    table = plan_table(1, [100, 400], [0.5], (0.0,)).assign(protocol="cross_validation", n_folds=5)
    points = points_of("plan", table)
    n = points["n_individuals"]
    np.testing.assert_allclose(points["expected"], (0.8 * n * 0.5 / (0.8 * n * 0.5 + 40) * 0.5) ** 0.5)


def test_the_table_of_answers() -> None:
    rows = rows_of_answers(points_of("plan", plan())).to_dict("list")
    assert rows["architecture"] == ["heritability 0.81, V_A/V_G 1.00", "heritability 0.81, V_A/V_G 0.25"]
    assert rows["enough"][0].startswith(">400 (")
    assert rows["enough"][1].startswith("200 (")
    assert rows["model"] == ["EG-BLUP"] * 2
    assert rows["gain"] == pytest.approx([0.0, 0.1])
    assert rows["gaining"] == [0.0, 1.0]


def test_it_takes_ridge_regression_and_a_model_that_is_not_additive() -> None:
    table = plan_table(1, [100, 400], [0.5], (1.0,))
    for models in (["ridge"], ["egblup", "pairwise"]):
        with pytest.raises(ValueError, match=r"^experiment 'plan' needs ridge regression and a model that is not additive$"):
            draw("plan", table[table["model"].isin(models)])


def test_what_lies_beyond_the_numbers_that_were_tried_is_not_told() -> None:
    said = chart_of("plan").say(points_of("plan", table_of("plan", "imported")))
    assert "180 (120 to >400) by EG-BLUP for heritability 0.3, V_A/V_G 0.14" in said
    said = chart_of("plan").say(points_of("plan", table_of("plan", "one population")))
    assert said.partition(": ")[2].startswith("<300 (<300 to >300) by")
