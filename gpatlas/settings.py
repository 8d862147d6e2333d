"""The settings of every stage: one class each, its fields the keys of a config, the flags of a command, the columns of a table.

Pure Python on purpose: the driver and the command line read it at start-up, without numpy. Defaults are the study's
values (Sandler & York 2025, doi 10.57844/arcadia-25nt-guw3).
"""

import difflib
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AllowInfNan, BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator

Int = Annotated[int, Strict()]
Float = Annotated[float, Strict(), AllowInfNan(False)]
Bool = Annotated[bool, Strict()]
Positive = Annotated[Int, Field(ge=1)]
Protocol = Literal["holdout", "paper"]
Device = Literal["auto", "cpu", "cuda"]
FurtherModel = Literal["egblup", "pairwise"]
Precision = Literal["fp32", "bf16", "auto"]
S = TypeVar("S", bound=BaseModel)

# How a stage is run, not what it computes: left out of its key.
RESOURCES = frozenset({"threads", "device", "block_size"})


class Settings(BaseModel):
    """A frozen set of values; unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)  # a command needs one class of them all

    def identity(self) -> dict[str, Any]:
        """The values that decide the result, ready for JSON."""
        return self.model_dump(mode="json", exclude=set(RESOURCES))


class SimulateSettings(Settings):
    """One simulated scenario: haploid genomes without linkage, traits with additive and pairwise epistatic effects."""

    n_individuals: Int = Field(1000, description="haploid individuals", ge=2)
    n_loci: Positive = Field(46, description="segregating sites on the chromosome")
    n_qtl: Int = Field(46, description="causal loci of each trait; even, at most n_loci", ge=2)
    n_traits: Positive | None = Field(None, description="traits of the one rel_aa; left out, one trait per rel_aa value")
    rel_aa: tuple[Annotated[Float, Field(ge=0)], ...] = Field(
        (0.0, 0.1, 0.5, 1.0, 3.0),
        description="half the expected V_AA/V_A; several values: a trait group of one each",
        min_length=1,
    )
    genetic_correlation: Float = Field(0.0, description="correlation of the effects between the traits of a group", ge=-1, le=1)
    independent: Bool = Field(False, description="every trait a group of its own, with its own effects and pairs")
    h2: Float = Field(0.999, description="broad-sense heritability, V_G/V_P", gt=0, le=1)
    seed: Int = Field(1, description="seed of all random draws; the study uses the replicate number", ge=0)
    block_size: Positive = Field(4096, description="individuals held in memory at once; does not change the result")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.n_qtl % 2:
            raise ValueError(f"n_qtl: must be even (loci are cut into pairs), got {self.n_qtl}")
        if self.n_qtl > self.n_loci:
            raise ValueError(f"n_qtl: must be at most n_loci ({self.n_loci}), got {self.n_qtl}")
        if self.n_traits is not None and len(self.rel_aa) > 1:
            raise ValueError(f"n_traits: goes with a single rel_aa, got {len(self.rel_aa)} values of rel_aa")
        if self.independent and self.n_traits is None:
            raise ValueError("independent: goes with n_traits; several values of rel_aa are independent anyway")
        self._positive_definite()
        return self

    def _positive_definite(self) -> None:
        """The correlation matrix (1 on the diagonal, r elsewhere) of T traits is positive definite where −1/(T − 1) < r < 1."""
        largest = max(size for _, size in self.trait_groups())
        if self.genetic_correlation and largest == 1:
            raise ValueError(f"genetic_correlation: must be 0 where every trait is a group of its own, got {self.genetic_correlation:g}")
        lowest = -1 / (largest - 1) if largest > 1 else -1.0
        if self.genetic_correlation and not lowest < self.genetic_correlation < 1:
            raise ValueError(
                f"genetic_correlation: the correlation matrix of {largest} traits must be positive definite, "
                f"so between {lowest:.4g} and 1, got {self.genetic_correlation:g}"
            )

    def trait_groups(self) -> list[tuple[float, int]]:
        """(rel_aa, traits in the group), in trait order. A group shares its QTL and its pairs."""
        if self.n_traits is None:
            return [(rel_aa, 1) for rel_aa in self.rel_aa]
        if self.independent:
            return [(self.rel_aa[0], 1)] * self.n_traits
        return [(self.rel_aa[0], self.n_traits)]


class ImportSettings(Settings):
    """One scenario of AlphaSimR's text files. The sizes, where given, are checked against the files."""

    scenario: str = Field(description="stem of the files: <scenario>_g.txt, <scenario>_p.txt, <scenario>_eff.txt", min_length=1)
    n_individuals: Positive | None = Field(None, description="individuals the files must hold")
    n_loci: Positive | None = Field(None, description="loci the files must hold")
    n_qtl: Positive | None = Field(None, description="causal loci each trait must have")
    rel_aa: tuple[Annotated[Float, Field(ge=0)], ...] | None = Field(None, description="rel_aa of every trait, which the files do not tell")
    h2: Float = Field(0.999, description="heritability the data were simulated with, which the files do not tell", gt=0, le=1)
    allow_unexplained: Bool = Field(False, description="keep phenotypes that the effects do not explain; genetic values are then left out")


class FitSettings(Settings):
    """What all fits share."""

    protocol: Protocol = Field(
        "paper", description="paper: as the study did; holdout: validation from the training part, the test part used once"
    )
    seed: Int = Field(1, description="seed of initial weights, batch order and random splits", ge=0, lt=2**32)
    threads: Positive | None = Field(None, description="processor threads; left out, all cores")


class PenaltySettings(FitSettings):
    """What the fits share that choose their penalty by leave-one-out."""

    n_penalties: Annotated[Int, Field(ge=1)] = Field(100, description="penalties tried, evenly spaced in logarithm")
    log10_penalty_min: Float = Field(-5.0, description="exponent of the smallest penalty")
    log10_penalty_max: Float = Field(5.0, description="exponent of the largest penalty")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.log10_penalty_min > self.log10_penalty_max:
            raise ValueError(
                f"log10_penalty_min: must be at most log10_penalty_max ({self.log10_penalty_max:g}), got {self.log10_penalty_min:g}"
            )
        return self


class RidgeSettings(PenaltySettings):
    """Ridge regression on allele counts, the penalty chosen by leave-one-out (stands for rrBLUP)."""

    n_splits: Positive = Field(10, description="random splits of protocol 'paper'")
    splits: Literal["shared", "per_trait"] = Field(
        "shared",
        description="protocol 'paper': shared: all traits on the same splits; per_trait: the study's very splits, which differ by trait",
    )


class EgblupSettings(PenaltySettings):
    """Kernel ridge regression on additive and pairwise epistatic relationships (EG-BLUP), chosen by leave-one-out."""

    epistatic_weights: tuple[Annotated[Float, Field(ge=0, le=1)], ...] = Field(
        (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), description="shares of the epistatic relationship in the kernel that are tried", min_length=1
    )


class PairwiseSettings(PenaltySettings):
    """Additive effects and sparse pairwise interactions by iterated screening; threshold by cross-validation, then ridge."""

    thresholds: tuple[Annotated[Float, Field(gt=0)], ...] = Field(
        (1.1, 1.0, 0.9, 0.8),
        description="falling factors on the noise level sqrt(2·ln(pairs)), which are passed down and up again; where to stop is chosen",
        min_length=1,
    )
    n_folds: Annotated[Int, Field(ge=2)] = Field(
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

    @model_validator(mode="after")
    def _falling(self) -> Self:
        if list(self.thresholds) != sorted(set(self.thresholds), reverse=True):
            raise ValueError(f"thresholds: must fall, got {', '.join(map(str, self.thresholds))}")
        return self


class NeuralSettings(FitSettings):
    """What everything trained by the one training loop shares."""

    learning_rate: Float = Field(0.01, description="initial learning rate", gt=0)
    batch_size: Annotated[Int, Field(ge=2)] = Field(128, description="individuals per training step")
    epochs: Positive = Field(100, description="epochs at most")
    patience: Positive = Field(10, description="epochs without improvement before training stops")
    min_delta: Float = Field(0.003, description="smallest fall of the evaluation loss that counts as improvement", ge=0)
    device: Device = Field("auto", description="where to compute; auto takes cuda where there is one")


class TuningSettings(NeuralSettings):
    """Optuna's trials over the learning rate, and what they may save."""

    n_trials: Positive = Field(10, description="trials of the tuning")
    learning_rates: tuple[Annotated[Float, Field(gt=0)], ...] = Field(
        (0.5, 0.1, 0.05, 0.01, 0.005, 0.001, 0.0001), description="learning rates that a trial chooses from", min_length=1
    )
    reuse_trials: Bool = Field(False, description="do not train again what an earlier trial has trained")
    prune_trials: Bool = Field(False, description="give up a trial whose loss is above the median of earlier ones at the same epoch")
    hidden_size: Positive = Field(4096, description="units of each hidden layer of the multilayer perceptron")
    weight_decay: Float = Field(1e-5, description="AdamW's weight decay", ge=0)
    precision: Precision = Field(
        "fp32", description="of the products in training; auto: bf16 on 1024 hidden units and more where it is faster"
    )


class MlpSettings(TuningSettings):
    """Two hidden layers with batch normalisation on one-hot alleles, AdamW on the mean absolute error."""

    tune: Bool = Field(False, description="choose the learning rate by trials, then fit again with the best")


class LinearSgdSettings(NeuralSettings):
    """A linear layer on one-hot alleles, trained by SGD on the mean absolute error with an L2 penalty."""

    learning_rate: Float = Field(0.1, description="initial learning rate", gt=0)
    epochs: Positive = Field(200, description="epochs at most")
    patience: Positive = Field(20, description="epochs without improvement before training stops")
    min_delta: Float = Field(0.001, description="smallest fall of the evaluation loss that counts as improvement", ge=0)
    penalty: Float = Field(0.1, description="weight of half the sum of squares of all parameters in the loss", ge=0)


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


class CollectSettings(Settings):
    """Gathers the tables of all fits, as a manifest lists them, into one tidy table."""


class FigureSettings(Settings):
    """Draws one figure from the collected table."""

    figure: str = Field(description="which figure")
    further_models: tuple[FurtherModel, ...] = Field((), description="models drawn beside the study's in figures 1A, 1B, 2 and 3")
    dpi: Annotated[Int, Field(ge=50)] = Field(200, description="dots per inch")


class ReportSettings(Settings):
    """Writes one page (HTML) on a whole run: figures, tables, values beside the study's, time and memory, how to repeat it."""

    max_rows: Annotated[Int, Field(ge=0)] = Field(1000, description="the page holds the collected table where it has at most so many rows")
    n_slowest: Positive = Field(20, description="slowest stages that the page lists")


def n_qtl_for(n_individuals: int, qtl_pairs_per_individual: float) -> int:
    """The study's QTL count: the number of loci whose n(n − 1)/2 pairs are `qtl_pairs_per_individual` per individual, made even."""
    count = round((1 + math.sqrt(1 + 8 * qtl_pairs_per_individual * n_individuals)) / 2)
    return count + count % 2


def dataset_bytes(settings: SimulateSettings) -> int:
    """Size on disk, in bytes, of the dataset file that these settings make."""
    n_traits = sum(size for _, size in settings.trait_groups())
    genotypes = settings.n_individuals * math.ceil(settings.n_loci / 8)
    per_trait = 16 * settings.n_individuals + 8 * settings.n_loci + 8 * settings.n_qtl
    return genotypes + n_traits * per_trait + 11_500


def nearest(name: str, allowed: list[str]) -> str:
    """', did you mean …?' and what is allowed, for a name that is not."""
    close = difflib.get_close_matches(name, allowed, n=1)
    hint = f", did you mean {close[0]!r}?" if close else ""
    return f"{hint} (allowed: {', '.join(sorted(allowed))})"


class SettingsError(ValueError):
    """Every fault of one set of settings, as (key, message) pairs in `faults`."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        self.faults = faults
        super().__init__("\n".join(f"{key}: {message}" if key else message for key, message in faults))


def build(cls: type[S], values: Mapping[str, Any]) -> S:
    """`cls(**values)`; raises SettingsError with every fault, each naming its key, its value and what would be right."""
    try:
        return cls.model_validate(dict(values))
    except ValidationError as error:
        fields = list(cls.model_fields)
        faults = [dict(fault) for fault in error.errors(include_url=False)]
        raise SettingsError([_explain(fault, fields) for fault in faults if not _follows(fault, faults)]) from None


def _follows(fault: dict[str, Any], faults: list[dict[str, Any]]) -> bool:
    """Whether a list is called too short only because of its faulty elements."""
    place = fault["loc"]
    return fault["type"] == "too_short" and any(other["loc"][: len(place)] == place and other is not fault for other in faults)


def _explain(fault: dict[str, Any], fields: list[str]) -> tuple[str, str]:
    key = ".".join(str(part) for part in fault["loc"])
    match fault["type"]:
        case "extra_forbidden":
            return key, "unknown key" + nearest(key, fields)
        case "missing":
            return key, "is required"
        case "value_error":
            inner, _, message = str(fault["ctx"]["error"]).partition(": ")
            return ".".join(filter(None, [key, inner])), message
    message = fault["msg"].removeprefix("Input ").replace("should", "must")
    return key, f"{message}, got {fault['input']!r}"


def split_sizes(n_individuals: int, protocol: str) -> tuple[int, int, int]:
    """Training, validation and test individuals of the ordered split. Under 'paper' the test part is also the validation part."""
    fitted = round(0.85 * n_individuals)
    n_test = n_individuals - fitted
    if protocol == "paper":
        return fitted, n_test, n_test
    n_train = round(0.85 * fitted)
    return n_train, fitted - n_train, n_test
