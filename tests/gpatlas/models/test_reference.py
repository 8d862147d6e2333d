"""Our scores on AlphaSimR's data beside those of the study's own scripts (tests/data/reference_results.csv)."""

from pathlib import Path

import pandas as pd
import pytest
from drivers import LOCAL, PROJECT, run
from populations import QUIET

from gpatlas.data import alphasimr
from gpatlas.data.dataset import Dataset
from gpatlas.data.settings import ImportSettings
from gpatlas.models.evaluation import evaluate
from gpatlas.models.registry import MODELS, RidgeSettings

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


@pytest.mark.parametrize(("experiment", "scenario", "h2"), SCENARIOS, ids=[scenario for _, scenario, _ in SCENARIOS])
def test_ridge_on_the_studys_splits_gives_the_studys_numbers(tmp_path: Path, experiment: str, scenario: str, h2: float) -> None:
    settings = ImportSettings(scenario=scenario, h2=h2)
    alphasimr.run(settings, DATA / f"alphasimr_{experiment}_input.tar.xz", tmp_path / "data.h5", QUIET)
    with Dataset(tmp_path / "data.h5") as data:
        table = pd.DataFrame(evaluate(MODELS["ridge"], RidgeSettings(splits="per_trait"), data.population(), QUIET).rows)
    expected = reference("ridge").loc[scenario].loc[table["trait"]]
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


def test_networks_agree_with_the_studys(tmp_path: Path) -> None:
    code, output = run(PROJECT / "configs" / "alphasimr.yaml", tmp_path, *LOCAL)
    assert code == 0, output
    ours = pd.read_csv(tmp_path / "alphasimr" / "results.csv")
    for model, largest in (("linear_sgd", 0.03), ("mlp", 0.15)):
        table = ours[ours["model"] == model].set_index(["scenario", "trait"])["pearson_r"]
        assert len(table) == 15
        difference = table - reference(model)["pearson_r"].loc[table.index]
        assert difference.abs().drop(OUTLIER[1:] if model == OUTLIER[0] else []).max() < largest, difference
        assert abs(difference.mean()) < 0.03
