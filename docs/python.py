# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Python
#
# Populations in memory, models side by side, and every model as an estimator of scikit-learn. This page is a notebook that was executed
# when the pages were built: copy its cells into yours.

# %% tags=["hide"]
# A folder of its own, and the program of this very environment.
import os
import sys
import tempfile

os.chdir(tempfile.mkdtemp())
os.environ["PATH"] = (
    f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
)

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import gpatlas

# %% [markdown]
# ## Which model predicts my traits?
#
# A small population comes with the package, 288 plants of 24 families; this copies its files into the current folder.

# %%
# !gpatlas configs copy own

# %% [markdown]
# `load` reads genotypes of your own (PLINK, VCF or a table) and a table of phenotypes, and joins them by id. Of a dataset file, as
# every simulator and importer writes it, it takes the path alone: `gpatlas.load("data.h5")`.

# %%
plants = gpatlas.load(
    "data/own/own.bed",
    phenotypes="data/own/own.pheno.tsv",
    covariates="data/own/own.covariates.tsv",
    group_column="family",
    min_maf=0.02,
)
plants

# %% [markdown]
# `compare` fits models and scores them on individuals that they never saw; in cross-validation whole families are in one fold.

# %%
models = {"ridge": {}, "egblup": {"n_penalties": 20}, "pairwise": {}}
scores = gpatlas.compare(plants, models, "cross_validation", n_folds=5)
scores[
    ["model", "trait_name", "pearson_r", "pearson_r_low", "pearson_r_high"]
].round(3)

# %% [markdown]
# The intervals of r allow for the training individuals that folds share. Those of one trait overlap: 288 plants do not tell the
# models apart, and the simplest one will do.

# %%
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for place, (model, rows) in enumerate(scores.groupby("model", sort=False)):
    ends = [
        rows["pearson_r"] - rows["pearson_r_low"],
        rows["pearson_r_high"] - rows["pearson_r"],
    ]
    axes.errorbar(
        rows["trait"] + 0.15 * (place - 1),
        rows["pearson_r"],
        ends,
        fmt="o",
        capsize=3,
        label=model,
    )
axes.set(
    xticks=[1, 2, 3],
    xticklabels=plants.trait_names,
    ylabel="r, with 95 % interval",
    ylim=(0, 1),
)
axes.legend(ncols=3)
plt.show()

# %% [markdown]
# ## How close are single predictions?
#
# `arrays` gives what scikit-learn takes, of the individuals that have the trait: counts of alleles, the trait in its own unit, and
# families. Every model is an estimator, so all of scikit-learn's tools work.

# %%
from sklearn.model_selection import GroupKFold, cross_val_predict

X, y, families = plants.arrays("height")
predicted = cross_val_predict(
    gpatlas.Ridge(), X, y, groups=families, cv=GroupKFold(8)
)

# %% [markdown]
# Each point is a plant, as observed and as predicted from the other families; on the line the two agree.

# %%
figure, axes = plt.subplots(figsize=(4, 4), layout="constrained")
axes.plot(predicted, y, ".", alpha=0.6)
axes.axline((y.mean(), y.mean()), slope=1, color="grey", lw=1)
axes.set(
    xlabel="Predicted height", ylabel="Observed height", aspect="equal"
)
plt.show()

# %% [markdown]
# ## What would epistasis change?
#
# In a simulated population the truth is known. `simulate` takes the settings of `gpatlas simulate`; each value of `rel_aa` gives a
# trait, from additive to mostly epistatic.

# %%
lines = gpatlas.simulate(
    n_individuals=1000,
    n_loci=100,
    n_qtl=30,
    rel_aa=[0, 1, 4],
    h2=0.8,
    seed=3,
)
table = gpatlas.compare(
    lines, {"ridge": {}, "egblup": {"n_penalties": 20}, "pairwise": {}}
)
table.pivot(
    index="v_a_over_v_g", columns="model", values="pearson_r"
).round(2)

# %% [markdown]
# Pairwise screening, an estimator like any other, names the pairs of loci that it found.

# %%
X, y, _ = lines.arrays(3)
model = gpatlas.Pairwise().fit(X, y)
found = model.tables_["pairs"]
found[["locus_1", "locus_2", "effect", "stability"]].head()

# %% [markdown]
# Are these the true ones?

# %%
pairs = lines.effects.pairs[2] + 1  # loci are numbered from 1, as in tables
true = pd.DataFrame(
    {
        "pair": [tuple(sorted(pair)) for pair in pairs.tolist()],
        "true": abs(lines.effects.epistatic[2]),
    }
)
named = pd.DataFrame(
    {
        "pair": found[["locus_1", "locus_2"]].apply(tuple, axis=1),
        "estimated": abs(found["effect"]),
    }
)
both = true.merge(named, on="pair", how="outer").fillna(0.0)
print(
    f"{len(named)} pairs found, {(both['true'] * both['estimated'] > 0).sum()} of the {len(true)} true ones"
)

# %% [markdown]
# Estimated effects of pairs against true ones: those that it misses, at 0, have the smallest.

# %%
figure, axes = plt.subplots(figsize=(4, 4), layout="constrained")
axes.plot(both["true"], both["estimated"], "o", alpha=0.6)
axes.axline((0, 0), slope=1, color="grey", lw=1)
axes.set(
    xlabel="True effect of the pair (absolute)",
    ylabel="Estimated, 0 where not found",
)
plt.show()

# %% [markdown]
# ## And over a whole grid?
#
# Whole grids are the driver's: it uses all cores, keeps what is done, and writes one table. Here a config, and its run.

# %%
_ = Path("study.yaml").write_text("""
protocol: holdout
experiments:
  heritability:
    scenario: "{h2:g}h2"
    simulation: {n_individuals: 800, n_loci: 60, n_qtl: 20, rel_aa: [2]}
    grid: [{h2: [0.3, 0.6, 0.9]}]
    models: {ridge: , pairwise: }
    figures: []
""")

# %%
# !gpatlas run --config study.yaml --workers 2 2>&1 | tail -n 3

# %% [markdown]
# `results.csv` has a row per scenario, model and trait, and every parameter is a column.

# %%
results = pd.read_csv("results/study/results.csv")
wide = results.pivot(index="h2", columns="model", values="pearson_r")
wide.round(3)

# %% [markdown]
# Accuracy of both models by heritability, below the ceiling that no model can pass.

# %%
axes = wide.plot(
    marker="o",
    figsize=(6, 3),
    xlabel="Heritability",
    ylabel="r",
    ylim=(0, 1),
)
axes.plot(
    wide.index,
    wide.index**0.5,
    ":",
    color="grey",
    label="ceiling of any model",
)
axes.legend()
plt.show()
