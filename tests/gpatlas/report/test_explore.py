"""gpatlas.report.explore: what is embedded of a table, and that a large one is bounded."""

import json

import numpy as np
import pandas as pd
import pytest
from figure_tables import pleiotropy_table
from runs import plan, row, scaling

from gpatlas.report import explore
from gpatlas.report.explore import explorer


def names(entries: list[dict[str, object]]) -> list[object]:
    return [entry["name"] for entry in entries]


def test_what_varies_places_the_points() -> None:
    (experiment,) = explorer(scaling())["experiments"]
    assert names(experiment["axes"]) == [
        "qtl_pairs_per_individual",
        "n_qtl",
        "n_loci",
        "rel_aa",
        "v_a_over_v_g",
        "trait",
        "scenario",
        "model",
    ]
    assert names([axis for axis in experiment["axes"] if "start" in axis]) == ["qtl_pairs_per_individual"]
    assert experiment["traits"] == ["trait 1, rel_aa 0", "trait 2, rel_aa 1.5"]
    assert experiment["axes"][0]["values"] == [0.45, 0.45, 1.9, 1.9]
    assert names(experiment["measures"]) == ["pearson_r", "seconds"]


def test_every_fit_is_a_row_and_an_undefined_r_stays_one() -> None:
    table = scaling()
    table.loc[0, "pearson_r"] = np.nan
    explored = explorer(table)
    (experiment,) = explored["experiments"]
    titles = [explored["models"][model]["title"] for model in experiment["rows"]["model"]]
    units = [
        (experiment["scenarios"][scenario], experiment["traits"][trait][:7])
        for scenario, trait in zip(experiment["units"]["scenario"], experiment["units"]["trait"], strict=True)
    ]
    found = list(zip([units[unit] for unit in experiment["rows"]["unit"]], titles, experiment["measures"][0]["values"], strict=True))
    expected = [
        (
            (of.scenario, f"trait {of.trait}"),
            {"mlp": "MLP", "ridge": "ridge regression"}.get(of.model, "linear model trained by SGD"),
            of.pearson_r,
        )
        for of in table.itertuples()
    ]
    assert found[1:] == expected[1:]
    assert found[0] == (*expected[0][:2], None)
    assert "n_fits" not in experiment["rows"]


def test_an_infinite_number_is_none_as_json_has_none() -> None:
    table = scaling().assign(r_squared=[-np.inf, *np.linspace(0, 1, 11)])
    assert json.loads(json.dumps(explorer(table), allow_nan=False))["experiments"][0]["measures"][1]["values"][0] is None


@pytest.mark.parametrize("simulator", ["import-plink", "native"])
def test_traits_of_one_population_stand_beside_each_other(simulator: str) -> None:
    table = pd.DataFrame([row("own", model, trait, 10, 0.5) for model in ("ridge", "mlp") for trait in (1, 2)])
    table = table.assign(simulator=simulator, trait_name=table["trait"].map({1: "weight 10", 2: "weight 9"}))
    table = table.drop(columns=["n_qtl", "rel_aa", "v_a_over_v_g"])
    (experiment,) = explorer(table)["experiments"]
    assert names(experiment["axes"]) == ["trait", "model"]
    assert experiment["axes"][0]["start"]
    assert experiment["traits"] == ["weight 9", "weight 10"]


def test_a_single_fit_stands_over_its_model() -> None:
    (experiment,) = explorer(scaling().iloc[:1])["experiments"]
    assert experiment["axes"] == [{"name": "model", "title": "model", "start": True}]


def test_published_columns_are_axes() -> None:
    table = plan().assign(published_h2=np.arange(16) // 2 / 10.0)
    (experiment,) = explorer(table)["experiments"]
    assert ("published_h2", "published h2") in [(axis["name"], axis["title"]) for axis in experiment["axes"]]


def test_of_a_large_experiment_points_are_means_over_traits(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pleiotropy_table(2, [100, 200], [10, 100]).assign(seed=1, seconds=1.0).reset_index(drop=True)
    table.loc[table["trait"] == 3, "pearson_r"] = np.nan
    whole = len(json.dumps(explorer(table)))
    monkeypatch.setattr(explore, "MOST_OF_ALL", len(table) - 1)
    explored = explorer(table)
    (experiment,) = explored["experiments"]
    assert len(json.dumps(explored)) < whole / 10
    groups = table.groupby(["scenario", "model"], sort=False)["pearson_r"]
    expected = {key: (pytest.approx(r, rel=1e-4), n) for key, r, n in zip(groups.groups, groups.mean(), groups.size(), strict=True)}
    models = ["ridge", "mlp"]
    found = {
        (experiment["scenarios"][experiment["units"]["scenario"][unit]], models[model]): (r, n)
        for unit, model, n, r in zip(*experiment["rows"].values(), experiment["measures"][0]["values"], strict=True)
    }
    assert found == expected
    assert experiment["measures"][0]["missing"] == {str(place): 1 for place in range(len(found))}
    assert experiment["traits"] == ["mean of 10 traits", "mean of 100 traits"]
