"""Every column of every table that stages write: its kind, unit and meaning. The pages and the report's tooltips are made from this."""

import re
from collections.abc import Iterator

from pydantic import BaseModel

from gpatlas.data.layout import ATTRIBUTES, ATTRIBUTES_OF_TRAITS, BASE_PAIRS, DESCRIBED, FLAG, NUMBER, OF_TRAIT, SHARE, TEXT, WHOLE, Column
from gpatlas.data.places import DISTANCES_CM
from gpatlas.data.settings import TraitSettings
from gpatlas.models.scores import WITH_SD
from gpatlas.models.settings import FitSettings

Columns = dict[str, Column]  # by name; <word> in a name stands for any word


def of_setting(settings: type[BaseModel], name: str, kind: str, unit: str = "") -> Column:
    """With the meaning that the setting has."""
    return Column(kind, settings.model_fields[name].description or "", unit)


MODEL = Column(TEXT, "name of the fitted model")
TRAIT = Column(WHOLE, "number of the trait, from 1")
OF_A_STUDY: Columns = {
    "experiment": Column(TEXT, "experiment of the config"),
    "scenario": Column(TEXT, "population, as the experiment names it"),
    "replicate": Column(WHOLE, "number of the replicate, which is the seed of its simulation; of a user's own population 1"),
    "plan_gain": Column(NUMBER, "of an experiment with a plan: by how much r the best model is to be above the best additive one"),
    "plan_power": Column(NUMBER, "and in which share of the replicates", SHARE),
    "published_<column>": Column("text or number", "of a user's own traits, what the table 'published' says"),
}
OF_A_FIT: Columns = {
    "model": MODEL,
    "trait": TRAIT,
    "trait_name": Column(TEXT, "name of the trait, of imported populations and of parts of them"),
}
SCORES: Columns = {
    "pearson_r": Column(
        NUMBER, "correlation of observed and predicted phenotypes of individuals that the fit never saw; 0 of a constant prediction"
    ),
    "r_squared": Column(
        NUMBER, "1 − SSE/SST of the same predictions, SST about the mean of those fitted; not under protocol 'paper'", SHARE
    ),
    "pearson_r_adjusted": Column(
        NUMBER, "r of the genetic prediction with what covariates leave of the phenotype, where there are covariates"
    ),
    "r_squared_adjusted": Column(NUMBER, "1 − SSE/SST of what covariates leave", SHARE),
    "covariates_r_squared": Column(NUMBER, "1 − SSE/SST of covariates alone", SHARE),
    "effect_correlation": Column(NUMBER, "correlation of true and estimated additive effects over the loci, where both are known"),
    "truth_mean": Column(NUMBER, "mean of the observed phenotypes of the individuals predicted", OF_TRAIT),
    "truth_sd": Column(NUMBER, "their standard deviation", OF_TRAIT),
    "prediction_mean": Column(NUMBER, "mean of their predictions", OF_TRAIT),
    "prediction_sd": Column(NUMBER, "standard deviation of their predictions", OF_TRAIT),
}
SPREAD: Columns = {f"{name}_sd": Column(NUMBER, f"standard deviation of {name} over splits, where there are several") for name in WITH_SD}
SPLITS: Columns = {
    "protocol": of_setting(FitSettings, "protocol", TEXT),
    "n_folds": of_setting(FitSettings, "n_folds", WHOLE),
    "n_repeats": of_setting(FitSettings, "n_repeats", WHOLE),
    "n_train": Column(WHOLE, "individuals that were fitted, in the split with the fewest"),
    "n_test": Column(WHOLE, "individuals that were predicted: by the last split; under cross-validation by a whole repeat"),
    "seed": of_setting(FitSettings, "seed", WHOLE),
    "seconds": Column(NUMBER, "wall time of fits and predictions on all splits, of all traits that were fitted together", "s"),
}
POPULATION: Columns = {
    "n_individuals": Column(WHOLE, "individuals of the dataset file"),
    "n_traits": Column(WHOLE, "its traits"),
    "n_trait_groups": Column(WHOLE, "groups of simulated traits that share QTL and pairs"),
    "genetic_correlation": of_setting(TraitSettings, "genetic_correlation", NUMBER),
    **{name: ATTRIBUTES[name] for name in ("n_loci", "n_qtl", "n_pairs", "h2", "simulator", "population", "ploidy", "m_e")},
    **ATTRIBUTES_OF_TRAITS,
}
HERITABILITY: Columns = {
    "genomic_h2": Column(
        NUMBER, "under cross-validation: share of variance that the kernel explains, by restricted maximum likelihood", SHARE
    ),
    "genomic_h2_se": Column(NUMBER, "its standard error", SHARE),
}
EPOCHS = Column(NUMBER, "epochs of the training; where it was fitted again to all training individuals, of that")
RATE = Column(NUMBER, "learning rate of the best trial, where it was tuned")
# What a model's own fit adds to its rows, by the name of its entry in the registry
OF_MODELS: dict[str, Columns] = {
    "ridge": {"penalty": Column(NUMBER, "λ that was chosen, of effects on the share of counted alleles"), **HERITABILITY},
    "egblup": {
        "penalty": Column(NUMBER, "λ that was chosen: variance of the residual over that of genetic values"),
        "epistatic_weight": Column(NUMBER, "w that was chosen, the share of the epistatic relationship in the kernel", SHARE),
        **HERITABILITY,
    },
    "rkhs": {
        "penalty": Column(NUMBER, "λ that was chosen: variance of the residual over that of genetic values"),
        "bandwidth": Column(NUMBER, "of the Gaussian kernel, where one was chosen", "median squared distances"),
        "arc_cosine_layers": Column(NUMBER, "of the arc-cosine kernel, where one was chosen"),
        "additive_weight": Column(NUMBER, "share of the additive kernel in the mixture that was chosen; 1: it is alone", SHARE),
        **HERITABILITY,
    },
    "pairwise": {
        "threshold": Column(NUMBER, "factor on the noise level that was chosen; empty, where small effects of all loci do as well alone"),
        "penalty": Column(NUMBER, "λ that was chosen, of the ridge regression on the terms, or of the background"),
        "n_scanned": Column(NUMBER, "individuals that scored the pairs"),
        "n_pairs_found": Column(NUMBER, "pairs that were found, where the true ones are known"),
        "pair_precision": Column(
            NUMBER, "share of the pairs found whose intervals hold a pair that interacts; empty where none was found", SHARE
        ),
        "pair_recall": Column(NUMBER, "share of the pairs that interact which one found stands for; empty where none interacts", SHARE),
        **{
            f"precision_{cm}cm": Column(NUMBER, f"as pair_precision, both loci within {cm} cM of the true ones", SHARE)
            for cm in DISTANCES_CM
        },
        **{f"recall_{cm}cm": Column(NUMBER, f"as pair_recall, both loci within {cm} cM", SHARE) for cm in DISTANCES_CM},
    },
    "elastic_net": {
        "penalty": Column(NUMBER, "λ that was chosen, of effects on standardised loci"),
        "l1_ratio": Column(NUMBER, "α that was chosen; 1 is the lasso", SHARE),
        "n_loci_kept": Column(NUMBER, "loci whose effect is not 0"),
    },
    "boosting": {
        "n_trees": Column(NUMBER, "trees that were chosen; 0: the mean does best"),
        "max_depth": Column(NUMBER, "depth that was chosen"),
        "locus_share": Column(NUMBER, "share of the loci that each tree was offered", SHARE),
    },
    "linear_sgd": {"epochs": EPOCHS},
    "mlp": {"epochs": EPOCHS, "learning_rate": RATE},
    "network": {"epochs": EPOCHS, "penalty": Column(NUMBER, "λ that was chosen, on absolute weights of products", "noise levels")},
    "pruned": {
        "epochs": EPOCHS,
        "learning_rate": RATE,
        "n_columns": Column(NUMBER, "one-hot columns that were kept"),
        "causal_found": Column(NUMBER, "share of the trait's causal loci among them, where these are known", SHARE),
    },
    "stack": {"weight_<model>": Column(NUMBER, "weight of the model's prediction in the sum")},
}
CHOSEN: Columns = {name: column for columns in OF_MODELS.values() for name, column in columns.items()}
CHOSEN["penalty"] = Column(NUMBER, "penalty λ that was chosen; what it is on is the model's own")
RESULTS: Columns = {**OF_A_STUDY, **OF_A_FIT, **SCORES, **SPREAD, **SPLITS, **POPULATION, **CHOSEN}

FOLD: Columns = {
    "model": MODEL,
    "repeat": Column(WHOLE, "number of the cross-validation, from 1"),
    "fold": Column(WHOLE, "fold that was left out, from 1"),
    "id": Column(TEXT, "name of the individual; its number from 1 where it has none"),
    "trait": TRAIT,
}
SPLIT = Column(WHOLE, "which of several splits, from 1")
PLACE: Columns = {
    "id": Column(TEXT, "name of the locus"),
    "chromosome": Column(TEXT, "its chromosome"),
    "position": Column(WHOLE, "its position", BASE_PAIRS),
}


def _of_pairs() -> Iterator[tuple[str, Column]]:
    for side in (1, 2):
        for end, what in (("", "locus"), ("_from", "first locus of the interval"), ("_to", "last locus of the interval")):
            yield (
                f"locus_{side}{end}",
                Column(WHOLE, f"{what} {side} of the pair, from 1" if not end else f"{what} that locus {side} may stand for"),
            )
            yield from ((f"{name}_{side}{end}", column) for name, column in PLACE.items())


# By the word that follows the file's name: <out>.<word>.csv; of those that are collected, <word>.csv
TABLES: dict[str, Columns] = {
    "results": RESULTS,
    "predictions": {
        **FOLD,
        "observed": Column(NUMBER, "phenotype", OF_TRAIT),
        "predicted": Column(NUMBER, "as predicted by a fit that never saw the individual, by covariates and genome together", OF_TRAIT),
        "by_covariates": Column(NUMBER, "what covariates add to that, where there are any", OF_TRAIT),
    },
    "inner_predictions": {
        **FOLD,
        "predicted": Column(
            NUMBER, "of an individual outside the fold, by a fit to others outside the fold: by genome, and the mean", OF_TRAIT
        ),
    },
    "loci": {
        "model": MODEL,
        "trait": TRAIT,
        "locus": Column(WHOLE, "number of the locus, from 1"),
        **PLACE,
        "counted_allele": Column(TEXT, DESCRIBED["loci/counted_allele"].meaning),
        "other_allele": Column(TEXT, DESCRIBED["loci/other_allele"].meaning),
        "effect": Column(NUMBER, "additive effect of a counted allele, the mean over fits", OF_TRAIT),
        "effect_sd": Column(NUMBER, "its standard deviation over fits", OF_TRAIT),
    },
    "pairs": {
        "trait": TRAIT,
        **dict(_of_pairs()),
        "effect": Column(NUMBER, "effect on the product x_1·x_2 of the two loci", OF_TRAIT),
        "score": Column(NUMBER, "effect over its standard error, by least squares"),
        "stability": Column(NUMBER, "share of the inner folds in which the pair was found", SHARE),
        "false_discovery_rate": Column(
            NUMBER, "of the list that ends with the pair, by permuted traits; empty without --n-permutations", SHARE
        ),
        "causal": Column(WHOLE, "1 where the pair stands for one that interacts, else 0; of populations whose effects are known"),
        "split": SPLIT,
    },
    "trials": {
        "trial": Column(WHOLE, "number of the trial, from 1"),
        "learning_rate": Column(NUMBER, "learning rate that was tried"),
        "max_columns": Column(WHOLE, "columns that were kept at most"),
        "loss": Column(
            NUMBER, "mean absolute error of the validation part at the best epoch; empty where the trial was given up", "sd of the trait"
        ),
        "state": Column(TEXT, "COMPLETE, or PRUNED: given up, or diverged"),
        "reused": Column(FLAG, "whether an earlier trial was the same, and was not trained again"),
        "epochs": Column(WHOLE, "epochs that it was trained"),
        "split": SPLIT,
    },
    "columns": {
        "locus": Column(WHOLE, "number of the locus, from 1"),
        **PLACE,
        "allele": Column(WHOLE, "count of the counted allele that the one-hot column stands for"),
        "importance": Column(NUMBER, "largest absolute weight over traits that the lasso gave it", "sd of the trait"),
        "n_traits_causal": Column(WHOLE, "traits for which the locus is causal, where these are known"),
        "split": SPLIT,
    },
}


def column_of(table: str, name: str) -> Column | None:
    """What a column of one of TABLES is; None where it is not there."""
    known = TABLES[table]
    if name in known:
        return known[name]
    return next(
        (column for pattern, column in known.items() if "<" in pattern and re.fullmatch(re.sub(r"<\w+>", ".+", pattern), name)), None
    )
