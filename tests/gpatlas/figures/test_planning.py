"""gpatlas.figures.planning: curves, ceilings, expectation and the number are where the table says."""

import numpy as np
import pandas as pd
import pytest
from figure_tables import Saved, drawn, measured_rows, path, plan_table, table_of
from runs import plan

from gpatlas.figures.answers import answers, rounded, rows_of_answers
from gpatlas.figures.chart import chart_of, points_of
from gpatlas.figures.draw import draw
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


# The best of several additive models


def with_elastic_net(table: pd.DataFrame, more: float = 0.05) -> pd.DataFrame:
    """With elastic net, so much above ridge regression up to 400 individuals, and so much below it beyond."""
    ridge = table[table["model"] == "ridge"]
    r = ridge["pearson_r"] + np.where(ridge["n_individuals"] <= 400, more, -more)
    return pd.concat([table, ridge.assign(model="elastic_net", pearson_r=r)], ignore_index=True)


def test_gains_are_over_the_additive_model_of_the_greater_mean() -> None:
    """As if ridge regression had what elastic net has up to 400 individuals."""
    table = plan_table(10, [100, 200, 400, 800, 1600], [0.5], (0.0, 3.0))
    lifted = table.assign(pearson_r=table["pearson_r"] + 0.05 * ((table["model"] == "ridge") & (table["n_individuals"] <= 400)))
    found, expected = (answers(points_of("plan", of)) for of in (with_elastic_net(table), lifted))
    assert [answer.enough for answer in found] == [answer.enough for answer in expected]
    assert [answer.gain for answer in found] == [answer.gain for answer in expected]
    assert found[1].enough.n > answers(points_of("plan", table))[1].enough.n
    assert [answer.additive for answer in found] == ["ridge", "ridge"]
    smaller = with_elastic_net(table[table["n_individuals"] <= 400])
    assert [answer.additive for answer in answers(points_of("plan", smaller))] == ["elastic_net", "elastic_net"]


def test_the_mean_decides_and_not_the_single_replicate() -> None:
    """Elastic net beats ridge regression in one of two replicates, and in the mean: its r is what counts in both."""
    table = plan_table(2, [100, 200], [0.5], (3.0,))
    ridge = table[table["model"] == "ridge"]
    r = ridge["pearson_r"] + np.where(ridge["replicate"] == 1, 0.3, -0.1)
    (answer,) = answers(points_of("plan", pd.concat([table, ridge.assign(model="elastic_net", pearson_r=r)])))
    plain = answers(points_of("plan", table))[0]
    assert answer.gain == pytest.approx(plain.gain - 0.1)


def test_where_one_is_not_fitted_the_other_is_the_best() -> None:
    table = with_elastic_net(plan_table(3, [100, 200, 400], [0.5], (3.0,)))
    part = table[(table["model"] != "elastic_net") | (table["n_individuals"] == 100)]
    (answer,) = answers(points_of("plan", part))
    assert (answer.additive, answer.most) == ("ridge", 400)
    without_ridge = table[(table["model"] != "ridge") | (table["n_individuals"] < 400)]
    assert answers(points_of("plan", without_ridge))[0].additive == "elastic_net"


def test_what_gains_are_over_is_said_and_drawn() -> None:
    points = points_of("plan", with_elastic_net(plan_table(3, [100, 200, 400], [0.5], (0.0, 3.0))))
    said, figure = chart_of("plan").say(points), chart_of("plan").draw(points)
    assert said.startswith("Individuals it takes to gain 0.02 in r over the best additive model in 80% of replicates, with 95% intervals: ")
    assert figure.get_suptitle() == "Individuals it takes to gain 0.02 in r over the best additive model"
    note = "the best additive model: of ridge regression and elastic net the one with the highest mean r at each number"
    assert f". T{note[1:]}. Where all is additive" in said
    assert note in figure.texts[-1].get_text().replace("\n", " ")
    assert rows_of_answers(points)["additive"].tolist() == ["elastic net", "elastic net"]


def test_with_ridge_regression_alone_nothing_is_said_of_others() -> None:
    points = points_of("plan", plan())
    assert "additive model" not in chart_of("plan").say(points)
    assert drawn("plan", "study").get_suptitle() == "Individuals it takes to gain 0.02 in r over ridge regression"
    assert "best additive" not in drawn("plan", "study").texts[-1].get_text()
    assert "additive" not in rows_of_answers(points)


# Traits as measured


MEASURED_TOO = pd.concat(
    [plan_table(3, [100, 200, 400], [0.5], (0.0, 3.0)), measured_rows(4, [100, 200], ["height", "price in $ or $/t, of the second year"])]
)


def test_a_trait_as_measured_has_a_panel_without_truth() -> None:
    figure, points = draw("plan", MEASURED_TOO), points_of("plan", MEASURED_TOO)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles[2:] == ["height, as measured", r"price in \$ or \$/t, of the sec…, as measured"]
    for axes, trait in zip(figure.axes[2:], ("height", "price in $ or $/t, of the second year"), strict=True):
        part = MEASURED_TOO[MEASURED_TOO["trait_name"] == trait]
        for model, label in MODELS.items():
            means = part[part["model"] == model].groupby("n_individuals")["pearson_r"].mean()
            np.testing.assert_allclose(path(axes, label), (means.index, means))
        assert {line.get_label() for line in axes.lines} <= {*MODELS.values(), "number"}
        assert len(axes.texts) == 1
    assert {"ceiling: any model", "expectation: linear model"} <= {line.get_label() for line in figure.axes[0].lines}
    saved = Saved(figure)
    assert not any(one.overlaps(other) for one in saved.axes for other in (saved.legend, saved.footer, saved.title))
    assert points["expected"].notna().tolist() == points["h2"].notna().tolist()


def test_its_number_is_said_and_in_the_table() -> None:
    """EG-BLUP gains 0.06 with 200 individuals and nothing with 100."""
    points = points_of("plan", MEASURED_TOO)
    found = answers(points)
    assert [answer.label for answer in found][2:] == ["height, as measured", "price in $ or $/t, of the second year, as measured"]
    assert (found[2].model, found[2].most, found[2].share) == ("egblup", 200, 1.0)
    assert 100 < found[2].enough.n < 200
    assert found[2].gain == pytest.approx(0.06)
    said = chart_of("plan").say(points)
    assert f"{rounded(found[2].enough.n)} (" in said
    assert "by EG-BLUP for height, as measured;" in said
    assert "As measured: random subsamples, which overlap: their intervals are too narrow." in said
    assert rows_of_answers(points)["architecture"].tolist()[2] == "height, as measured"
    assert "subsamples" not in chart_of("plan").say(points_of("plan", plan()))


def test_simulated_panels_are_the_same_beside_measured_ones() -> None:
    plain = MEASURED_TOO[MEASURED_TOO["simulator"] == "native"].drop(columns="trait_name")
    assert answers(points_of("plan", MEASURED_TOO))[:2] == answers(points_of("plan", plain))


def test_other_figures_of_simulated_populations_leave_them_out() -> None:
    both, plain = (points_of("4", table, experiment="plan") for table in (MEASURED_TOO, MEASURED_TOO[MEASURED_TOO["h2"].notna()]))
    assert len(both) == len(plain) > 0
    assert set(both["simulator"]) == {"native"}
