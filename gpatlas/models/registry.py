"""Every model: its settings, what it is called, where its fit is, the memory that takes. The one place that lists the models.

Everything else follows from an entry: the stage and its flags, what a config may say, the driver's memory check, the titles
of figures, the tests. Pure Python on purpose: the driver and the command line read it at start-up, without numpy.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gpatlas.models.settings import FitSettings, NeuralSettings, PenaltySettings, TuningSettings
from gpatlas.settings import BLOCK, Bool, Float, Int, Positive, Size


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
        """Six matrices of n × n while one is decomposed; the leave-one-out errors are few beside them."""
        n, choices = self.most_train(size.n_individuals), size.n_traits * self.n_penalties
        return 8 * (6 * n**2 + 2 * n * min(size.n_loci, 1024) + (n + 512) * choices)


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
    max_scan_individuals: Positive = Field(
        50_000, description="training individuals that score the pairs, at most; all of them fit those found"
    )
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
        """The screening at its largest: loci and terms as bits, the scanned individuals unpacked, five Gram matrices.

        Where loci are many, the background's components and the projected loci too. Whether fewer loci are linked is not known before;
        then it is as if they were not.
        """
        n, m = self.most_train(size.n_individuals), size.n_loci
        n_terms, n_scanned = self.most_terms(n, m), min(n, self.max_scan_individuals)
        bits = n / 8 * (2 * m + 3 * n_terms)
        scan = 4 * n_scanned * (m + 256) + 2048 * m
        many = m > self.max_loci_per_individual * n
        background = 8 * (6 * min(n, m) ** 2 + 3 * n * min(n, m) + n * n_terms + m * min(n, m)) if many else 0
        return bits + scan + 5 * 8 * n_terms**2 + 16 * BLOCK * n_terms + background


class LinearSgdSettings(NeuralSettings):
    """A linear layer on one-hot alleles, trained by SGD on the mean absolute error with an L2 penalty."""

    learning_rate: Float = Field(0.1, description="initial learning rate", gt=0)
    epochs: Positive = Field(200, description="epochs at most")
    patience: Positive = Field(20, description="epochs without improvement before training stops")
    min_delta: Float = Field(0.001, description="smallest fall of the evaluation loss that counts as improvement", ge=0)
    penalty: Float = Field(0.1, description="weight of half the sum of squares of all parameters in the loss", ge=0)


class MlpSettings(TuningSettings):
    """Two hidden layers with batch normalisation on one-hot alleles, AdamW on the mean absolute error."""

    tune: Bool = Field(False, description="choose the learning rate by trials, then fit again with the best")


class PrunedSettings(TuningSettings):
    """Feature selection by an SGD lasso, then a linear model and a tuned multilayer perceptron on the kept columns."""

    patience: Positive = Field(25, description="epochs without improvement before training of the perceptron stops")
    n_trials: Positive = Field(20, description="trials over the number of columns and the learning rate")
    lasso_penalty: Float = Field(0.001, description="weight of the sum of absolute weights in the lasso's loss", ge=0)
    lasso_learning_rate: Float = Field(0.1, description="initial learning rate of the lasso and the pruned linear model", gt=0)
    lasso_epochs: Positive = Field(200, description="epochs of the lasso at most")
    lasso_patience: Positive = Field(20, description="epochs without improvement before the lasso stops")
    lasso_min_delta: Float = Field(0.001, description="smallest fall of the evaluation loss that counts for the lasso", ge=0)
    min_importance: Float = Field(0.03, description="columns are kept whose largest absolute lasso weight over traits is above this", ge=0)
    min_columns: Positive = Field(100, description="smallest number of columns a trial may keep at most")
    max_columns: Positive = Field(1000, description="largest number of columns a trial may keep at most")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_columns > self.max_columns:
            raise ValueError(f"min_columns: must be at most max_columns ({self.max_columns}), got {self.min_columns}")
        return self


ARRAYS = ("h5py", "numpy")
NETWORKS = (*ARRAYS, "torch")
TUNED = (*NETWORKS, "optuna", "pandas")

# The simplest first: of models that do as well, the first one is the one to pick.
MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model("ridge", "ridge regression", 4, RidgeSettings, "gpatlas.models.ridge:fit", ARRAYS),
        Model("egblup", "EG-BLUP", 3, EgblupSettings, "gpatlas.models.egblup:fit", ARRAYS),
        Model(
            "pairwise",
            "pairwise screening",
            4,
            PairwiseSettings,
            "gpatlas.models.pairwise:fit",
            (*ARRAYS, "pandas"),
            judge="gpatlas.models.pairwise:judge",
            tables=("pairs",),
        ),
        Model("linear_sgd", "linear model trained by SGD", 5, LinearSgdSettings, "gpatlas.models.linear_sgd:fit", NETWORKS, validates=True),
        Model("mlp", "MLP", 5, MlpSettings, "gpatlas.models.mlp:fit", TUNED, validates=True, tables=("trials",), in_text="the MLP"),
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
    )
}


# Of any model: the predictions of a cross-validation, and the effects of named loci.
OF_ANY_MODEL = ("predictions", "loci")


def further_tables() -> set[str]:
    """The further tables of all models."""
    return {*OF_ANY_MODEL, *(table for model in MODELS.values() for table in model.tables)}


def titles() -> dict[str, str]:
    """The title of everything that the column `model` of a table may say."""
    return {name: title for model in MODELS.values() for name, title in model.titles.items()}
