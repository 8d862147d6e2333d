"""Our scores on AlphaSimR's data beside those of the study's own scripts (tests/data/reference_results.csv)."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from drivers import PROJECT
from populations import QUIET

from gpatlas.data import alphasimr
from gpatlas.data.dataset import Dataset
from gpatlas.data.settings import ImportSettings
from gpatlas.models.evaluation import evaluate
from gpatlas.models.registry import MODELS
from gpatlas.settings import build

DATA = PROJECT / "tests" / "data"
SCENARIOS = [
    ("scaling", "qhaplo_46qtl_1000n_rep1", 0.999),
    ("scaling", "qhaplo_46qtl_1000n_rep2", 0.999),
    ("scaling", "qhaplo_90qtl_1000n_rep1", 0.999),
    ("dilution", "qhaplo_100qtl_250marker_2000n_rep1", 0.9999),
    ("pleio", "qhaplo_50qtl_1000n_0pleio_10trait_rep1", 0.999),
    ("pleio", "qhaplo_50qtl_2000n_0.5pleio_10trait_rep1", 0.999),
]


def reference(model: str) -> pd.DataFrame:
    table = pd.read_csv(DATA / "reference_results.csv")
    return table[table["model"] == model].set_index(["scenario", "trait"])


def scores(folder: Path, experiment: str, scenario: str, h2: float, model: str, **values: Any) -> pd.DataFrame:
    """Of the study's models on the study's data, a row per trait."""
    settings = ImportSettings(scenario=scenario, h2=h2)
    alphasimr.run(settings, DATA / f"alphasimr_{experiment}_input.tar.xz", folder / "data.h5", QUIET)
    with Dataset(folder / "data.h5") as data:
        evaluation = evaluate(MODELS[model], build(MODELS[model].settings, values), data.population(), QUIET)
    return pd.DataFrame(evaluation.rows).set_index("trait")


@pytest.mark.parametrize(("experiment", "scenario", "h2"), SCENARIOS, ids=[scenario for _, scenario, _ in SCENARIOS])
def test_ridge_on_the_studys_splits_gives_the_studys_numbers(tmp_path: Path, experiment: str, scenario: str, h2: float) -> None:
    table = scores(tmp_path, experiment, scenario, h2, "ridge", splits="per_trait")
    expected = reference("ridge").loc[scenario].loc[table.index]
    for ours, theirs in (
        ("pearson_r", "pearson_r"),
        ("pearson_r_sd", "pearson_r_sd_over_splits"),
        ("effect_correlation", "effect_correlation"),
        ("penalty", "best_penalty_mean"),
    ):
        assert table[ours].to_numpy() == pytest.approx(expected[theirs].to_numpy(), rel=1e-6), ours


# The study's networks are unseeded. In this cell its one draw, r = 0.127, lies far below what its own training function gives on
# the same data: 0.163 ± 0.008 over 12 seeds; ours gives 0.163 ± 0.009 over 16.
OUTLIER = ("linear_sgd", "qhaplo_90qtl_1000n_rep1", 5)


# 1024 hidden units are enough here: r is on average 0.003 below that of the study's 4096.
@pytest.mark.parametrize(
    ("model", "scenario", "largest", "values"),
    [*(("linear_sgd", scenario, 0.03, {}) for _, scenario, _ in SCENARIOS[:3]), ("mlp", SCENARIOS[0][1], 0.15, {"hidden_size": 1024})],
)
def test_networks_agree_with_the_studys(tmp_path: Path, model: str, scenario: str, largest: float, values: dict[str, Any]) -> None:
    r = scores(tmp_path, "scaling", scenario, 0.999, model, device="cpu", **values)["pearson_r"]
    assert len(r) == 5
    difference = r - reference(model)["pearson_r"].loc[scenario]
    assert difference.drop(OUTLIER[2] if OUTLIER[:2] == (model, scenario) else []).abs().max() < largest, difference
    assert abs(difference.mean()) < 0.03
