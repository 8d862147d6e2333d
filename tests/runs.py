"""Runs that never were: a record, the table and the pictures that it names, for tests of the report."""

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

SESSION = "host/boot/1/1"
SHARES = {1: 1.0, 2: 0.25}
NEAR = [f"{measure}_{cm}cm" for measure in ("recall", "precision") for cm in (1, 5, 10)]


def row(experiment: str, model: str, trait: int, n_qtl: int, r: float | None, **more: Any) -> dict[str, Any]:
    """A row of the collected table: 100 individuals, two traits with V_A/V_G 1 and 0.25, h2 0.81."""
    values = {"replicate": 1, "n_individuals": 100, "n_loci": n_qtl, "n_traits": 2, "n_trait_groups": 2, "genetic_correlation": 0.0}
    values |= {"h2": 0.81, "rel_aa": 1.5 * (trait - 1), "v_a_over_v_g": SHARES[trait], "simulator": "native", "protocol": "holdout"}
    values |= {"seed": 1, "seconds": 0.5, **more}
    scenario = f"{n_qtl}qtl_{values['n_loci']}loci_{values['genetic_correlation']}_{values['n_trait_groups']}_rep{values['replicate']}"
    return {"experiment": experiment, "scenario": scenario, "model": model, "trait": trait, "n_qtl": n_qtl, "pearson_r": r, **values}


def scaling() -> pd.DataFrame:
    """10 QTL are 0.45 pairs per individual, 20 are 1.9."""
    places = [(1, 10), (2, 10), (1, 20), (2, 20)]
    of_models = {"mlp": [0.90, 0.80, 0.80, 0.32], "linear_sgd": [0.90, 0.40, 0.80, 0.40], "ridge": [0.89, 0.38, 0.77, 0.42]}
    return pd.DataFrame(
        [row("scaling", model, *place, r) for model, values in of_models.items() for place, r in zip(places, values, strict=True)]
    )


def dilution() -> pd.DataFrame:
    """Two replicates of 10 and 50 loci."""
    of_models = {
        "ridge": [0.5, 0.4, 0.3, 0.2],
        "mlp": [0.7, 0.8, 0.3, 0.1],
        "lasso": [0.1] * 4,
        "pruned_linear": [0.5, 0.4, 0.4, 0.3],
        "pruned_mlp": [0.6, 0.6, 0.6, 0.5],
    }
    places = [(loci, replicate) for loci in (10, 50) for replicate in (1, 2)]
    rows = [
        row("dilution", model, trait, 10, r, n_loci=loci, replicate=replicate)
        for model, values in of_models.items()
        for (loci, replicate), r in zip(places, values, strict=True)
        for trait in (1, 2)
    ]
    return pd.DataFrame(rows)


def pleiotropy() -> pd.DataFrame:
    """Own pairs at correlation 0, shared ones at 0 (the control) and 0.5; ridge regression has 0.4 everywhere."""
    arms = {(0.0, 2): {10: 0.6, 30: 0.4}, (0.0, 1): {10: 0.64, 30: 0.44}, (0.5, 1): {10: 0.68, 30: 0.48}}
    rows = [
        row("pleiotropy", model, trait, n_qtl, r, genetic_correlation=correlation, n_trait_groups=groups)
        for (correlation, groups), of_qtl in arms.items()
        for n_qtl, mlp in of_qtl.items()
        for model, r in (("ridge", 0.4), ("mlp", mlp))
        for trait in (1, 2)
    ]
    return pd.DataFrame(rows)


def limits() -> pd.DataFrame:
    """10 QTL at h2 0.2 and 0.81, and 20 QTL at 0.81; trait 1 has no pairs."""
    places = [(10, 0.2), (10, 0.81), (20, 0.81)]
    of_models = {"ridge": [0.1, 0.4, 0.3], "egblup": [0.2, 0.6, 0.35], "pairwise": [0.3, 0.8, 0.7], "mlp": [0.2, 0.5, 0.3]}
    pairs = [(0.5, 0.25), (1.0, 0.75), (0.9, 0.6)]
    rows = [
        row("limits", model, trait, n_qtl, r, h2=h2, scenario=f"{n_qtl}qtl_{h2}h2")
        | ({"pair_precision": precision, "pair_recall": recall if trait == 2 else None} if model == "pairwise" else {})
        for model, values in of_models.items()
        for (n_qtl, h2), r, (precision, recall) in zip(places, values, pairs, strict=True)
        for trait in (1, 2)
    ]
    return pd.DataFrame(rows)


def linkage() -> pd.DataFrame:
    """An F2 and doubled haploids with 10 QTL at h2 0.2 and 0.81; trait 1 has no pairs."""
    of_models = {"ridge": {"f2": [0.1, 0.4], "dh": [0.2, 0.3]}, "pairwise": {"f2": [0.3, 0.8], "dh": [0.1, 0.7]}}
    found = {"f2": [0.0, 0.6], "dh": [0.2, 0.8]}
    rows = [
        row("linkage", model, trait, 10, r, h2=h2, population=population, marker_qtl_cm=0.0, scenario=f"{population}_{h2}h2")
        | (dict.fromkeys(NEAR, share) if model == "pairwise" and trait == 2 else {})
        for model, of_populations in of_models.items()
        for population, values in of_populations.items()
        for h2, r, share in zip((0.2, 0.81), values, found[population], strict=True)
        for trait in (1, 2)
    ]
    return pd.DataFrame(rows)


def plan() -> pd.DataFrame:
    """Two replicates of 100 and 400 individuals. Of trait 2, EG-BLUP gains 0.1 in the larger populations; of trait 1 nowhere."""
    places = [(n, replicate) for n in (100, 400) for replicate in (1, 2)]
    rows = [
        row("plan", model, trait, 10, 0.3 + (model == "egblup") * (n == 400) * (trait == 2) / 10, n_individuals=n, replicate=replicate)
        | {"scenario": f"f2_{n}n_rep{replicate}", "population": "f2", "m_e": 100.0, "plan_gain": 0.05, "plan_power": 0.5}
        for model in ("ridge", "egblup")
        for n, replicate in places
        for trait in (1, 2)
    ]
    return pd.DataFrame(rows)


def everything() -> pd.DataFrame:
    return pd.concat([scaling(), dilution(), pleiotropy(), limits(), linkage(), plan()], ignore_index=True)


def picture(size: tuple[int, int] = (600, 300)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "white").save(file, format="PNG")
    return file.getvalue()


def stage(folder: str, name: str, start: int = 0, **more: Any) -> dict[str, Any]:
    """A stage that ran for 30 seconds from `start`, at most 59 seconds after noon."""
    facts: dict[str, Any] = {"started": f"2026-01-01T12:00:{start:02d}.000+00:00", "wall_seconds": 30.0, "peak_memory_mb": 100.0}
    facts |= {"session": SESSION, "image": None, "versions": {"gpatlas": "0.1.0", "numpy": "2.0"}}
    return {"folder": folder, "name": name, **facts, **more}


def write_run(folder: Path, table: pd.DataFrame, names: list[str], **more: Any) -> Path:
    """Record, table and picture of a run with the figures `names`; `more` replaces what the record says."""
    table.to_csv(folder / "table.csv", index=False)
    (folder / "figure.png").write_bytes(picture())
    scenarios = (table["experiment"] + "/" + table["scenario"]).unique()
    stages = [stage(scenario, name, 10 * place) for scenario in scenarios for place, name in enumerate(("simulate", "ridge", "mlp"))]
    record = {
        "name": "study",
        "config": "configs/study.yaml",
        "content": {"protocol": "holdout"},
        "git_commit": "abc",
        "runner": "local",
        "session": SESSION,
        "command": "luigi --module pipeline RunAll --config configs/study.yaml",
        "results": str(folder / "table.csv"),
        "figures": [{"figure": figure, "path": str(folder / "figure.png")} for figure in names],
        "stages": [*stages, stage("collected/study", "results", 59)],
    }
    path = folder / "run.json"
    path.write_text(json.dumps({**record, **more}))
    return path
