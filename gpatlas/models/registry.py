"""Every model: its settings, what it is called, where its fit is, the memory that takes. The one place that lists the models.

Everything else follows from an entry: the stage and its flags, what a config may say, the driver's memory check, the titles
of figures, the tests. Pure Python on purpose: the driver and the command line read it at start-up, without numpy.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from gpatlas.models.network_settings import LinearSgdSettings, MlpSettings, NetworkSettings, PrunedSettings
from gpatlas.models.settings import MAX_LOCI_PER_INDIVIDUAL, MIN_INDIVIDUALS, FitSettings, PenaltySettings
from gpatlas.settings import BLOCK, Float, Int, Positive, Size, nearest


@dataclass(frozen=True)
class Model:
    """One entry. `version` is raised when the model's results change.

    `fit`: "module:function", loaded when it runs, of the one signature `gpatlas.models.contract.Fit`. `validates`: whether the fit
    chooses by a validation part; where not, those individuals join the training part. `judge`: "module:function", of the signature
    `gpatlas.models.contract.Judge`, that adds what only the true effects can tell. `packages`: what the results depend on. `tables`: the
    further tables that it may return. `in_text`: the title in a sentence. `results`: what it returns, name to title, where that is not
    one model of this name.
    """

    name: str
    title: str
    version: int
    settings: type[FitSettings]
    fit: str
    packages: tuple[str, ...]
    validates: bool = False
    judge: str | None = None
    tables: tuple[str, ...] = ()
    in_text: str = ""
    results: tuple[tuple[str, str], ...] = ()

    @property
    def titles(self) -> dict[str, str]:
        """The names of what it fits, which are those of the column `model`, and their titles."""
        return dict(self.results) or {self.name: self.title}

    @property
    def class_name(self) -> str:
        """Of its scikit-learn estimator: linear_sgd is LinearSgd."""
        return "".join(word.capitalize() for word in self.name.split("_"))


class RidgeSettings(PenaltySettings):
    """Ridge regression on allele counts, the penalty chosen by leave-one-out (stands for rrBLUP)."""

    n_splits: Positive = Field(10, description="random splits of protocol 'paper'")
    splits: Literal["shared", "per_trait"] = Field(
        "shared",
        description="protocol 'paper': shared: all traits on the same splits; per_trait: the study's very splits, which differ by trait",
    )

    def memory(self, size: Size) -> float:
        """A block of unpacked individuals, and five Gram matrices of the smaller side."""
        return 16 * BLOCK * size.n_loci + 5 * 8 * min(size.n_individuals, size.n_loci) ** 2


class EgblupSettings(PenaltySettings):
    """Kernel ridge regression on additive and pairwise epistatic relationships (EG-BLUP), chosen by leave-one-out."""

    epistatic_weights: tuple[Annotated[Float, Field(ge=0, le=1)], ...] = Field(
        (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), description="shares of the epistatic relationship in the kernel that are tried", min_length=1
    )

    def memory(self, size: Size) -> float:
        """Six matrices of n × n while one is decomposed; then one, and of few loci a matrix of theirs for every weight and penalty."""
        n, tried = self.most_train(size.n_individuals), len(self.epistatic_weights) * self.n_penalties
        few = size.n_loci if n >= MIN_INDIVIDUALS and size.n_loci <= MAX_LOCI_PER_INDIVIDUAL * n else 0
        return 8 * (max(6 * n**2, 2 * n**2 + tried * (few**2 + 3 * n)) + 2 * n * min(size.n_loci, 1024))


class RkhsSettings(PenaltySettings):
    """Kernel ridge regression on the kernel that suits each trait (RKHS), alone or mixed with the additive one, chosen by leave-one-out."""

    bandwidths: tuple[Annotated[Float, Field(gt=0)], ...] = Field(
        (0.1, 0.25, 0.5, 1.0, 2.0, 4.0),
        description="Gaussian kernels exp(-bandwidth*d/median) that are tried, d the squared distance of two individuals",
        min_length=1,
    )
    arc_cosine_layers: Annotated[Int, Field(ge=0)] = Field(3, description="arc-cosine kernels of one to so many layers are tried")
    additive_weights: tuple[Annotated[Float, Field(ge=0, le=1)], ...] = Field(
        (0.0, 0.5), description="shares of the additive kernel in a mixture that are tried; that kernel alone is always tried", min_length=1
    )

    def memory(self, size: Size) -> float:
        """Ten matrices of n × n: as EG-BLUP, and the sums that kernels are made of, two in diploids, and what an arc-cosine one takes."""
        n, choices = self.most_train(size.n_individuals), size.n_traits * self.n_penalties
        return 8 * (10 * n**2 + 2 * n * min(size.n_loci, 1024) + (n + 512) * choices)


class PairwiseSettings(PenaltySettings):
    """Additive effects and sparse pairwise interactions by iterated screening; threshold by cross-validation, then ridge."""

    thresholds: tuple[Annotated[Float, Field(gt=0)], ...] = Field(
        (1.1, 1.0, 0.9, 0.8),
        description="falling factors on the noise level sqrt(2·ln(pairs)), which are passed down and up again; where to stop is chosen",
        min_length=1,
    )
    n_inner_folds: Annotated[Int, Field(ge=2)] = Field(
        5, description="folds of the training individuals; they are fitted until 1000 individuals have been predicted"
    )
    max_scan_individuals: Positive = Field(50_000, description="training individuals that score the pairs at most; all fit those found")
    max_loci_per_individual: Float = Field(
        0.25,
        description="loci per training individual up to which all have an additive effect; above, these are screened as pairs are",
        ge=0,
        le=0.5,
    )
    clump_r_squared: Float = Field(
        0.9,
        description="neighbouring loci of at least this squared correlation are one signal; where there are any, and above "
        "max_loci_per_individual, small effects of all loci are a random background",
        gt=0,
        le=1,
    )
    background_thresholds: tuple[Annotated[Float, Field(gt=0)], ...] = Field(
        (1.2, 1.1, 1.0, 0.9), description="the thresholds in front of a background", min_length=1
    )
    max_background: Positive = Field(
        6000, description="individuals, or loci where these are fewer, up to which unlinked loci are tried in front of a background too"
    )
    n_permutations: Int = Field(0, description="permuted traits that tell the false discovery rate of the pairs; 0: it is not told", ge=0)

    @model_validator(mode="after")
    def _falling(self) -> Self:
        for name in ("thresholds", "background_thresholds"):
            values = getattr(self, name)
            if list(values) != sorted(set(values), reverse=True):
                raise ValueError(f"{name}: must fall, got {', '.join(map(str, values))}")
        return self

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        """Half as many terms as individuals are allowed; additive effects may take up four fifths of these, also without one fold."""
        most = 0.4 * (1 - 1 / self.n_inner_folds)
        if self.max_loci_per_individual > most:
            raise ValueError(
                f"max_loci_per_individual: must be at most {most:.3g} with {self.n_inner_folds} folds, so that there is room for pairs, "
                f"got {self.max_loci_per_individual:g}"
            )
        return self

    @staticmethod
    def most_terms(n_train: int, n_loci: int) -> int:
        """Terms of a model at most: fewer than half as many as individuals, and not many times as many as loci."""
        return min(n_train // 2, 2 * n_loci + 1000)

    def memory(self, size: Size) -> float:
        """The screening at its largest: loci and terms as bits, the scanned individuals unpacked, torch, five Gram matrices.

        Where loci are many, the background's components and the projected loci too. Whether fewer loci are linked is not known before;
        then it is as if they were not.
        """
        n, m = self.most_train(size.n_individuals), size.n_loci
        n_terms, n_scanned = self.most_terms(n, m), min(n, self.max_scan_individuals)
        bits = n / 8 * (2 * m + 3 * n_terms)
        scan = 5 * n_scanned * (m + 256) + 3072 * m + 2.5e8 * (n_scanned * m**2 > 4e10)
        many = m > self.max_loci_per_individual * n
        background = 8 * (6 * min(n, m) ** 2 + 3 * n * min(n, m) + n * n_terms + m * min(n, m)) if many else 0
        return bits + scan + 5 * 8 * n_terms**2 + 16 * BLOCK * n_terms + background


class ElasticNetSettings(FitSettings):
    """Elastic net on standardised loci, the lasso with it; penalty and mixture by cross-validation of the training individuals."""

    l1_ratios: tuple[Annotated[Float, Field(ge=0.01, le=1)], ...] = Field(
        (1.0, 0.5, 0.1), description="mixtures of absolute and squared effects that are tried; 1 is the lasso", min_length=1
    )
    n_inner_folds: Annotated[Int, Field(ge=2)] = Field(5, description="folds of the training individuals that choose penalty and mixture")
    n_penalties: Annotated[Int, Field(ge=2, le=10_000)] = Field(100, description="penalties of a path, evenly spaced in logarithm")
    smallest_penalty: Float = Field(1e-3, description="end of a path, as a share of the smallest penalty that keeps no locus", gt=0, lt=1)
    patience: Positive = Field(10, description="penalties without a smaller error before a path ends")
    clump_r_squared: Float = Field(
        0.95, description="neighbouring loci of at least this squared correlation are one: that in their middle", gt=0, le=1
    )

    def memory(self, size: Size) -> float:
        """All loci in single precision; for every fold, as many of them as individuals, twice, and their Gram matrix thrice."""
        n, m = self.most_train(size.n_individuals), size.n_loci
        inside = min(n, m)
        return 4 * n * m + (self.n_inner_folds + 1) * 8 * (2 * n * inside + 3 * inside**2 + 6 * m) + 16 * BLOCK * m


class BoostingSettings(FitSettings):
    """Gradient-boosted trees; their depth, number and share of loci by cross-validation of the training individuals."""

    max_depths: tuple[Positive, ...] = Field((2, 4), description="depths of a tree that are tried", min_length=1)
    locus_shares: tuple[Annotated[Float, Field(gt=0, le=1)], ...] = Field(
        (0.5,), description="shares of the loci that are drawn for each tree, which are tried", min_length=1
    )
    learning_rate: Float = Field(0.15, description="share of a tree's values that is added", gt=0, le=1)
    max_trees: Positive = Field(1000, description="trees at most")
    patience: Positive = Field(20, description="trees without a smaller error before growing stops")
    n_inner_folds: Annotated[Int, Field(ge=2)] = Field(5, description="folds of the training individuals that choose")
    n_forests: Positive = Field(3, description="times that the chosen trees are grown on all training individuals; their mean predicts")
    individual_share: Float = Field(0.7, description="share of the individuals that is drawn for each tree", gt=0, le=1)
    min_individuals: Positive = Field(5, description="individuals in a leaf at least")
    clump_r_squared: Float = Field(
        0.95, description="neighbouring loci of at least this squared correlation are one: that in their middle", gt=0, le=1
    )

    def memory(self, size: Size) -> float:
        """A byte per call, of the folds' individuals and their bins; blocks of predictions."""
        n, m = self.most_train(size.n_individuals), size.n_loci
        return (2 * self.n_inner_folds + 2) * n * m + 16 * BLOCK * m


class StackSettings(FitSettings):
    """A non-negative combination of other models, weighted by their predictions of training individuals whom they have not seen."""

    resources: ClassVar[frozenset[str]] = FitSettings.resources | {"fits"}

    models: tuple[str, ...] = Field(("ridge", "rkhs", "pairwise", "elastic_net", "boosting"), description="models to combine", min_length=1)
    n_inner_folds: Annotated[Int, Field(ge=2)] = Field(5, description="folds of the training individuals that decide the weights")
    fits: Path | None = Field(
        None, description="JSON of fits that are at hand, {model: its table}, by the same cross-validation; left out, all are fitted here"
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        others = [name for name in MODELS if name != "stack"]
        for name in (name for name in self.models if name not in others):
            raise ValueError(f"models: {name!r} is no model to combine" + nearest(name, others))
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"models: names one twice, got {', '.join(self.models)}")
        if self.fits and self.protocol != "cross_validation":
            raise ValueError(f"fits: goes with protocol 'cross_validation', not {self.protocol!r}")
        return self

    def memory(self, size: Size) -> float:
        """That of the largest of its models twice: one is fitted while all others are kept. Of fits at hand, of every prediction."""
        if self.fits:
            return 300 * size.n_individuals * size.n_traits * len(self.models) * self.n_folds * self.n_repeats
        return 2 * max(MODELS[name].settings(protocol=self.protocol).memory(size) for name in self.models)


ARRAYS = ("h5py", "numpy")
NETWORKS = (*ARRAYS, "torch")
TUNED = (*NETWORKS, "optuna", "pandas")

# The simplest first: of models that do as well, the first one is the one to pick.
MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model("ridge", "ridge regression", 5, RidgeSettings, "gpatlas.models.ridge:fit", ARRAYS),
        Model("egblup", "EG-BLUP", 5, EgblupSettings, "gpatlas.models.egblup:fit", ARRAYS),
        Model("rkhs", "RKHS regression", 3, RkhsSettings, "gpatlas.models.rkhs:fit", ARRAYS),
        Model(
            "pairwise",
            "pairwise screening",
            8,
            PairwiseSettings,
            "gpatlas.models.pairwise:fit",
            (*ARRAYS, "pandas"),
            judge="gpatlas.models.pairwise:judge",
            tables=("pairs",),
        ),
        Model("elastic_net", "elastic net", 2, ElasticNetSettings, "gpatlas.models.elastic_net:fit", (*ARRAYS, "scikit-learn")),
        Model("boosting", "boosted trees", 2, BoostingSettings, "gpatlas.models.boosting:fit", (*ARRAYS, "xgboost-cpu")),
        Model("linear_sgd", "linear model trained by SGD", 5, LinearSgdSettings, "gpatlas.models.linear_sgd:fit", NETWORKS, validates=True),
        Model("mlp", "MLP", 5, MlpSettings, "gpatlas.models.mlp:fit", TUNED, validates=True, tables=("trials",), in_text="the MLP"),
        Model("network", "interaction network", 2, NetworkSettings, "gpatlas.models.network:fit", NETWORKS, validates=True),
        Model(
            "pruned",
            "pruned models",
            5,
            PrunedSettings,
            "gpatlas.models.pruned:fit",
            TUNED,
            validates=True,
            judge="gpatlas.models.pruned:judge",
            tables=("trials", "columns"),
            results=(("lasso", "lasso"), ("pruned_linear", "pruned linear model"), ("pruned_mlp", "pruned MLP")),
        ),
        Model("stack", "stack", 2, StackSettings, "gpatlas.models.stack:fit", (*ARRAYS, "pandas", "scipy", "xgboost-cpu")),
    )
}


# Of any model: the predictions of a cross-validation, those of its inner folds, and the effects of named loci.
OF_ANY_MODEL = ("predictions", "inner_predictions", "loci")


def further_tables() -> set[str]:
    """The further tables of all models."""
    return {*OF_ANY_MODEL, *(table for model in MODELS.values() for table in model.tables)}


def titles() -> dict[str, str]:
    """The title of everything that the column `model` of a table may say."""
    return {name: title for model in MODELS.values() for name, title in model.titles.items()}
