"""gpatlas.figures.chart: every figure's sentence and table, with numbers worked out by hand from tables of a few rows."""

import pandas as pd
import pytest
from figure_tables import STUDY, TABLES, experiment_of, table_of
from runs import dilution, limits, linkage, plan, pleiotropy, row, scaling

from gpatlas.figures.chart import chart_of, points_of
from gpatlas.figures.draw import draw
from gpatlas.figures.registry import FIGURES
from gpatlas.figures.words import title_of

SENTENCES = {
    # with 10 QTL 0.8/0.4 − 1 and 0.9/0.9 − 1, with 20 QTL 0.32/0.4 − 1 and 0.8/0.8 − 1
    "1a": (
        "Median gain of the MLP over the linear model: with no more QTL pairs than individuals +100% for V_A/V_G 0.25 and 0% for "
        "V_A/V_G 1.00; with more QTL pairs than individuals −20% for V_A/V_G 0.25 and 0% for V_A/V_G 1.00."
    ),
    "1b": (
        "Median r of the MLP: with no more QTL pairs than individuals 0.80 for V_A/V_G 0.25 and 0.90 for V_A/V_G 1.00; "
        "with more QTL pairs than individuals 0.32 for V_A/V_G 0.25 and 0.80 for V_A/V_G 1.00."
    ),
    # the ceilings are sqrt(0.81) and sqrt(0.25·0.81) = 0.45; (0 + 0.35 − 0.1 − 0.13)/4 = 0.03
    "accessory_mlp": (
        "Mean r of the MLP: from 0.85 at 10 QTL to 0.56 at 20 QTL with 100 individuals. "
        "Over all it lies 0.03 above the ceiling of linear models."
    ),
    # (0 − 0.05 − 0.1 − 0.05)/4 = −0.05
    "accessory_linear": (
        "Mean r of the linear model trained by SGD: from 0.65 at 10 QTL to 0.60 at 20 QTL with 100 individuals. "
        "Over all it lies 0.05 below the ceiling of linear models."
    ),
    # 0.01, 0.02, 0.03, −0.02
    "s1": "The r of SGD minus that of ridge regression is +0.010 on average, and between −0.020 and +0.030 (n = 4).",
    # mlp 0.2, 0.4 and 0, −0.1; pruned_linear 0, 0 and 0.1, 0.1; pruned_mlp 0.1, 0.2 and 0.3, 0.3
    "2": (
        "Median gain in r over ridge regression for V_A/V_G 0.25: MLP from +0.30 at 10 loci to −0.05 at 50 loci; pruned linear model "
        "from 0.00 at 10 loci to +0.10 at 50 loci; pruned MLP from +0.15 at 10 loci to +0.30 at 50 loci."
    ),
    # over 0.4: 0.6, 0.64 and 0.68 with 10 QTL, 0.4, 0.44 and 0.48 with 30
    "3": (
        "Median gain of the MLP over ridge regression. 2 traits: from +60% at 10 QTL to +10% at 30 QTL; at 10 QTL +50% at correlation 0 "
        "with own pairs and from +60% at correlation 0 to +70% at correlation 0.5 with shared pairs."
    ),
    "4": (
        "Mean r for V_A/V_G 0.25 and 100 individuals. At 0.45 QTL pairs per individual: ridge regression from 0.10 at heritability 0.2 to "
        "0.40 at heritability 0.81; EG-BLUP from 0.20 at heritability 0.2 to 0.60 at heritability 0.81; pairwise screening from 0.30 at "
        "heritability 0.2 to 0.80 at heritability 0.81; MLP from 0.20 at heritability 0.2 to 0.50 at heritability 0.81. "
        "At heritability 0.81: ridge regression from 0.40 at 0.45 pairs to 0.30 at 1.9 pairs; EG-BLUP from 0.60 at 0.45 pairs to 0.35 at "
        "1.9 pairs; pairwise screening from 0.80 at 0.45 pairs to 0.70 at 1.9 pairs; MLP from 0.50 at 0.45 pairs to 0.30 at 1.9 pairs."
    ),
    "5": (
        "Pairs found for V_A/V_G 0.25 and 100 individuals. At 0.45 QTL pairs per individual: precision from 0.50 at heritability 0.2 to "
        "1.00 at heritability 0.81; recall from 0.25 at heritability 0.2 to 0.75 at heritability 0.81. At heritability 0.81: precision "
        "from 1.00 at 0.45 pairs to 0.90 at 1.9 pairs; recall from 0.75 at 0.45 pairs to 0.60 at 1.9 pairs."
    ),
    "linkage": (
        "Mean r of the best model at heritability 0.2 and 0.81, that of ridge regression in parentheses: F2 0.30 by pairwise screening "
        "(0.10) and 0.80 by pairwise screening (0.40); doubled haploids 0.20 by ridge regression and 0.70 by pairwise screening (0.30)."
    ),
    # (0.6 + 0.8)/2
    "linkage_pairs": (
        "Pairwise screening at heritability 0.81, mean over populations: recall within 1 cM 0.70, recall within 5 cM 0.70, recall within "
        "10 cM 0.70, precision within 1 cM 0.70, precision within 5 cM 0.70 and precision within 10 cM 0.70."
    ),
    # all of the larger populations gain and none of the smaller ones: half of them half way on a logarithmic scale; of the 340 who train,
    # sqrt(275.4/375.4·0.81) = 0.77 is expected
    "plan": (
        "Individuals it takes to gain 0.05 in r over ridge regression in 50% of replicates, with 95% intervals: more than 400, if any do "
        "(EG-BLUP gains 0.000 there) for heritability 0.81, V_A/V_G 1.00; 200 (<100 to >400) by EG-BLUP for heritability 0.81, "
        "V_A/V_G 0.25. Where all is additive, mean r of ridge regression lies at most 0.47 from its expectation (Daetwyler et al. 2010)."
    ),
}
SMALL = {"scaling": scaling, "dilution": dilution, "pleiotropy": pleiotropy, "limits": limits, "linkage": linkage, "plan": plan}


def test_every_figure_has_a_sentence() -> None:
    assert set(STUDY) == SENTENCES.keys()


@pytest.mark.parametrize("figure", SENTENCES)
def test_the_sentence_says_what_the_table_holds(figure: str) -> None:
    assert chart_of(figure).say(points_of(figure, SMALL[experiment_of(figure)]())) == SENTENCES[figure]


@pytest.mark.parametrize("figure", [name for name, entry in FIGURES.items() if entry.further_models])
def test_further_models_are_told_as_the_mlp_is(figure: str) -> None:
    """What the sentence says of them is what it would say of an MLP with their r."""
    table, chart = SMALL[experiment_of(figure)](), chart_of(figure)
    further = [
        table[table["model"] == "mlp"].assign(model=model, pearson_r=0.1 * place) for place, model in enumerate(("egblup", "pairwise"), 7)
    ]
    said = chart.say(points_of(figure, pd.concat([table, *further]), ("egblup", "pairwise")))
    for rows in further:
        alone = pd.concat([table[table["model"] != "mlp"], rows.assign(model="mlp")])
        as_mlp = chart.say(points_of(figure, alone))
        told = as_mlp.partition(": ")[2].partition(";")[0] if figure == "2" else as_mlp
        assert told.replace("MLP" if figure == "2" else "the MLP", title_of(rows["model"].iloc[0])) in said


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("figure", SENTENCES)
def test_whatever_is_drawn_is_told(figure: str, name: str) -> None:
    chart = chart_of(figure)
    points = points_of(figure, table_of(experiment_of(figure), name))
    sentence, summary = chart.say(points), chart.summary(points)
    assert sentence.endswith(".")
    assert "nan" not in sentence
    assert summary["n"].sum() == points["value"].notna().sum() > 0
    assert list(summary) == [*chart.by, "mean", "sd", "n"]


def test_gains_that_are_not_defined_are_not_counted() -> None:
    table = scaling()
    table.loc[table["model"] == "linear_sgd", "pearson_r"] = -0.1
    chart, points = chart_of("1a"), points_of("1a", table)
    assert chart.say(points) == "No point of this figure is defined in this run."
    assert chart.summary(points)["n"].eq(0).all()


def test_a_summary_has_mean_sd_and_number_of_the_replicates() -> None:
    rows = [row("scaling", "mlp", 1, 10, r, replicate=replicate) for replicate, r in enumerate((0.5, 0.7, 0.9), 1)]
    (summary,) = chart_of("1b").summary(points_of("1b", pd.DataFrame(rows))).to_dict("records")
    assert summary == pytest.approx(
        {"model": "mlp", "share": 1.0, "n_individuals": 100, "qtl_pairs_per_individual": 0.45, "mean": 0.7, "sd": 0.2, "n": 3}
    )


def test_further_models_are_checked() -> None:
    with pytest.raises(ValueError, match=r"^figure 's1' draws no further models; those that do: '1a', '1b', '2', '3'$"):
        draw("s1", table_of("scaling", "one replicate"), ("egblup",))
    with pytest.raises(ValueError, match=r"^no row of model 'egblup' in experiment 'dilution'; it has 'ridge', "):
        draw("2", table_of("dilution", "one replicate"), ("egblup",))


def test_a_further_model_that_a_figure_draws_anyway_changes_nothing() -> None:
    table = table_of("dilution", "study")
    pd.testing.assert_frame_equal(points_of("2", table, ("mlp", "ridge", "pruned_mlp")), points_of("2", table))


@pytest.mark.parametrize("figure", STUDY)
def test_the_points_of_an_experiment_of_another_name_are_the_same(figure: str) -> None:
    table = table_of(experiment_of(figure), "one replicate")
    both = pd.concat([table.assign(experiment="linked"), table.assign(pearson_r=0.1)])
    points = points_of(figure, both, experiment="linked")
    pd.testing.assert_frame_equal(points.drop(columns="experiment"), points_of(figure, table).drop(columns="experiment"))
    assert set(points["experiment"]) == {"linked"}
