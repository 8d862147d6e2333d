"""gpatlas.figures.effects: places along the genome, the strongest loci, and pairs counted over fits."""

import numpy as np
import pandas as pd
import pytest
from cross_validated import own_tables

from gpatlas.figures.effects import along, found_pairs, strongest


def loci(places: list[tuple[str, int]]) -> pd.DataFrame:
    table = pd.DataFrame(places, columns=["chromosome", "position"])
    return table.assign(scenario="mine", label="oil", locus=range(1, len(places) + 1), id=[f"l{place}" for place in range(len(places))])


def test_chromosomes_lie_side_by_side_in_natural_order() -> None:
    """100 and 50 long, with a gap of a hundredth of 150 between them."""
    x = along(loci([("10", 1000), ("10", 1050), ("2", 5), ("2", 105)]))["x"]
    np.testing.assert_allclose(x, np.array([101.5, 151.5, 0.0, 100.0]) / 151.5)


def test_loci_without_a_chromosome_come_last() -> None:
    x = along(loci([("0", 7), ("1", 10), ("1", 20), ("", 9)]))["x"].to_numpy()
    assert x[1] == 0 < x[2] < x[0] < x[3] == 1


def test_one_locus_and_one_place() -> None:
    assert along(loci([("1", 5)]))["x"].tolist() == [0.0]
    assert along(loci([("", 0)]))["x"].tolist() == [1.0]


def test_the_strongest_lie_apart() -> None:
    table = loci([("1", 0), ("1", 1), ("1", 50), ("1", 100)]).assign(effect=[1.0, -1.1, 0.0, 0.5])
    table = along(table)
    assert strongest(table, 3, apart=0.04)["id"].tolist() == ["l1", "l3"]
    assert strongest(table, 2)["id"].tolist() == ["l1", "l0"]
    assert strongest(table.assign(effect=np.nan), 3).empty


def test_a_pair_is_the_same_whichever_locus_stands_first() -> None:
    tables = own_tables(1, ("pairwise",))
    turned = tables["pairs"].rename(columns=lambda name: name[:-1] + {"1": "2", "2": "1"}.get(name[-1], name[-1]))
    both = pd.concat([tables["pairs"].query("split <= 2"), turned.query("split > 2")])
    found = found_pairs(tables["results"], "own", both)
    assert found[["id_1", "id_2", "found", "n_fits"]].to_numpy().tolist() == [["snp_3", "snp_40", 5, 5], ["snp_17", "snp_18", 2, 5]]
    assert found["effect"].tolist() == [pytest.approx(0.3)] * 2


def test_pairs_that_overlap_are_one_by_the_name_of_the_strongest() -> None:
    """Of the first fit snp_3 and snp_40, of the others a neighbour of snp_3 whose interval overlaps."""
    tables = own_tables(1)
    pairs = tables["pairs"].drop_duplicates(["split"]).copy()
    others = pairs["split"] > pairs["split"].min()
    pairs.loc[others, ["locus_1", "id_1"]] = [4, "snp_4"]
    pairs["score"] = np.where(others, 5.0, -6.0)
    ends = {"locus_1_from": np.where(others, 4, 2), "locus_1_to": np.where(others, 5, 4)}
    ends |= {f"locus_2_{end}": pairs["locus_2"].to_numpy() for end in ("from", "to")}
    found = found_pairs(tables["results"], "own", pairs.assign(**ends))
    assert found[["id_1", "id_2", "found"]].to_numpy().tolist() == [["snp_3", "snp_40", len(pairs)]]
    apart = found_pairs(tables["results"], "own", pairs.assign(**{**ends, "locus_1_to": np.where(others, 5, 3)}))
    assert apart["id_1"].tolist() == ["snp_4", "snp_3"]


def test_without_pairs_there_are_none() -> None:
    tables = own_tables(1)
    assert found_pairs(tables["results"], "own", pd.DataFrame()).empty
    assert found_pairs(tables["results"], "own", tables["pairs"].assign(experiment="other")).empty
