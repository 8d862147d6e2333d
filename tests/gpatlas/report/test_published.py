"""gpatlas.report.published: which of our rows a published value is compared with."""

import pandas as pd
import pytest
from figure_tables import LOCI, OWN, SHARED, dilution_table, pleiotropy_table, scaling_table

from gpatlas.report.published import compared, published


def dilution(simulator: str, mlp: float = 0.7) -> pd.DataFrame:
    """The study's dilution experiment with r 0.5 of ridge regression, and of every replicate 0.01 more."""
    table = dilution_table(5, LOCI, n_qtl=100).assign(simulator=simulator)
    r = table["model"].map({"ridge": 0.5, "mlp": mlp}).fillna(0.6)
    return table.assign(pearson_r=r + 0.01 * table["replicate"])


def of(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The compared rows with these values."""
    found = compared(table)
    for name, value in values.items():
        found = found[found[name] == value]
    return found


def test_the_published_values_are_whole() -> None:
    values = published()
    assert len(values) == 112
    assert not values.duplicated([name for name in values if name not in ("published", "source")]).any()
    assert (values["n_qtl"] <= values["n_loci"]).all()
    assert values["published"].between(-1, 1).all()
    assert values.groupby("quantity")["source"].unique().map(list).to_dict() == {
        "gain": ["read off Figure 2"],
        "pearson_r": ["one scenario"],
        "relative_gain": ["read off Figure 3"],
    }


def test_a_read_off_median_is_compared_with_the_median() -> None:
    table = dilution("native")
    rows = of(table, quantity="gain", model="mlp")
    assert list(rows["n_loci"]) == list(LOCI)
    assert list(rows["ours"]) == pytest.approx([0.2] * 8)
    assert rows["difference"].iloc[0] == pytest.approx(0.2 - 0.39)
    assert set(rows["what"]) == {"median"}
    assert set(rows["n"]) == {5}


def test_a_scenario_is_compared_with_the_same_replicate_where_the_seed_makes_the_same_data() -> None:
    (ours,) = of(dilution("alphasimr"), quantity="pearson_r", model="ridge", n_loci=100)[["ours", "difference", "n", "what"]].to_dict(
        "records"
    )
    assert ours == pytest.approx({"ours": 0.53, "difference": 0.53 - 0.566, "n": 1, "what": "same replicate"})
    (ours,) = of(dilution("native"), quantity="pearson_r", model="ridge", n_loci=100)[["ours", "sd", "n", "what"]].to_dict("records")
    assert ours == pytest.approx({"ours": 0.53, "sd": 0.01 * 2.5**0.5, "n": 5, "what": "mean"})


def test_traits_are_known_by_rel_aa() -> None:
    rows = scaling_table(1, {10_000: [202]}, rel_aa=(3.0, 1.0))
    found = compared(rows)
    assert dict(found.groupby("model")["rel_aa"].unique().map(list)) == {"linear_sgd": [1, 3], "mlp": [1, 3]}
    for _, cell in found.iterrows():
        mine = rows[(rows["rel_aa"] == cell["rel_aa"]) & (rows["model"] == cell["model"])]
        assert cell["ours"] == pytest.approx(mine["pearson_r"].item())


def test_our_control_is_not_taken_for_the_studys_design() -> None:
    own, shared = (pleiotropy_table(2, [100], [10], [arm]) for arm in (OWN, SHARED))
    with_control = pd.concat([own, shared.assign(pearson_r=0.1)])
    (ours,) = of(with_control, quantity="relative_gain", n_qtl=100)["ours"]
    assert ours == of(own, quantity="relative_gain", n_qtl=100)["ours"].item()
    assert compared(shared).empty


def test_a_value_over_all_correlations_takes_all_of_them() -> None:
    rows = of(pleiotropy_table(2, [500], [10]), quantity="relative_gain")
    assert list(rows["n"]) == [5 * 2 * 10]
    assert rows["genetic_correlation"].isna().all()


def test_other_sizes_have_nothing_to_compare() -> None:
    assert compared(scaling_table(2, {1000: [202], 3000: [202]})).empty
    assert compared(dilution("native").assign(h2=0.5)).empty
