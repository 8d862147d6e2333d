"""Collected tables of a cross-validated population without truth, with likely numbers, and the tables beside them."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

NAMES = ("height", "yield_2019", "oil", "protein content of the grain, dry")
STRENGTHS = {"ridge": 1.0, "egblup": 1.02, "pairwise": 0.8, "linear_sgd": 0.9, "mlp": 0.95, "lasso": 0.85, "pruned_mlp": 0.7, "forest": 1.1}
FOUND = {"ridge": 0.45, "egblup": 0.52}  # genomic_h2


def trait_names(n_traits: int) -> list[str]:
    return [*NAMES, *(f"trait_{number}" for number in range(5, n_traits + 1))][:n_traits]


def own_tables(
    n_traits: int = 4, models: Sequence[str] = ("ridge", "egblup", "pairwise"), scenario: str = "mine", n: int = 200, n_repeats: int = 1
) -> dict[str, pd.DataFrame]:
    """results, predictions, loci and pairs of `n` individuals, 5 folds; traits fall in how well they are predicted."""
    parts = [_fit(trait, name, model, n, n_repeats) for trait, name in enumerate(trait_names(n_traits), 1) for model in models]
    head = {"experiment": "own", "scenario": scenario}
    tables = {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in ("results", "predictions", "loci", "pairs")}
    tables["results"].insert(0, "replicate", 1)
    for table in tables.values():
        for place, (name, value) in enumerate(head.items()):
            table.insert(place, name, value)
    return tables


def _fit(trait: int, name: str, model: str, n: int, n_repeats: int) -> dict[str, pd.DataFrame]:
    """The tables of one model and trait; every model sees the same individuals and folds."""
    shared, own = np.random.default_rng(trait), np.random.default_rng((trait, sum(map(ord, model))))
    genetic, noise = shared.standard_normal((2, n))
    observed = genetic / trait**0.25 + 0.5 * noise
    head = {"model": model, "trait": trait, "trait_name": name}
    parts = []
    for repeat in range(1, n_repeats + 1):
        fold = shared.permutation(n) % 5 + 1
        predicted = STRENGTHS[model] * 0.75 * (genetic + 0.6 * own.standard_normal(n)) / trait**0.25
        ids = [f"plant_{number}" for number in range(1, n + 1)]
        parts.append(pd.DataFrame({**head, "repeat": repeat, "fold": fold, "id": ids, "observed": observed, "predicted": predicted}))
    predictions = pd.concat(parts, ignore_index=True)
    r = np.corrcoef(predictions["observed"], predictions["predicted"])[0, 1]
    error = ((predictions["observed"] - predictions["predicted"]) ** 2).mean() / predictions["observed"].var(ddof=0)
    row = {**head, "pearson_r": r, "r_squared": 1 - error, "protocol": "cross_validation", "n_folds": 5, "n_repeats": n_repeats}
    row |= {"n_train": n - n // 5, "n_test": n, "n_individuals": n, "n_loci": 60, "n_traits": 4, "ploidy": 2, "simulator": "import-plink"}
    h2 = FOUND.get(model, np.nan) / trait**0.2
    row |= {"seed": 1, "seconds": 0.5, "genomic_h2": h2, "genomic_h2_se": 0.1 * h2}
    row |= {"published_broad_h2": 0.9 - 0.003 * trait, "published_narrow_h2": 0.3 + 0.2 * shared.random()}
    return {"results": pd.DataFrame([row]), "predictions": predictions, **_effects(head, own)}


def places() -> pd.DataFrame:
    """60 loci on chromosomes 1, 2, 10 and X."""
    rows = [(chromosome, 1_000_000 * step) for chromosome, step in product(("1", "2", "10", "X"), range(1, 16))]
    table = pd.DataFrame(rows, columns=["chromosome", "position"])
    table.insert(0, "locus", range(1, 61))
    table.insert(1, "id", [f"snp_{locus}" for locus in table["locus"]])
    return table.assign(counted_allele="A", other_allele="G")


def _effects(head: dict[str, object], random: np.random.Generator) -> dict[str, pd.DataFrame]:
    loci, pairs = pd.DataFrame(), pd.DataFrame()
    if head["model"] in ("ridge", "pairwise"):
        loci = places().assign(effect=0.1 * random.standard_normal(60) ** 3, effect_sd=0.02)
    if head["model"] == "pairwise":
        found = [(split, one, other) for (one, other), often in {(3, 40): 5, (17, 18): 2}.items() for split in range(1, often + 1)]
        pairs = pd.DataFrame(found, columns=["split", "locus_1", "locus_2"])
        for end in ("_1", "_2"):
            at = places().set_index("locus").loc[pairs[f"locus{end}"]].reset_index(drop=True)
            pairs = pairs.assign(**{f"{name}{end}": at[name] for name in ("id", "chromosome", "position")})
        pairs = pairs.assign(effect=0.3, score=6.0)
    for table in (loci, pairs):
        for place, (name, value) in enumerate(head.items()) if len(table) else ():
            table.insert(place, name, value)
    return {"loci": loci, "pairs": pairs}


def write_tables(folder: Path, tables: dict[str, pd.DataFrame]) -> Path:
    """As the collect stage leaves them; the path of the results."""
    for name, table in tables.items():
        table.to_csv(folder / ("table.csv" if name == "results" else f"table.{name}.csv"), index=False)
    return folder / "table.csv"
