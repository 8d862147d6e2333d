"""The settings that models share; each model's own are with its entry in `gpatlas.models.registry`."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from gpatlas.settings import BLOCK, Bool, Float, Int, Positive, Settings, Size

Protocol = Literal["holdout", "paper", "cross_validation"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "bf16", "auto"]

# Of EG-BLUP: from so many individuals on, and up to so many loci each, one decomposition and products with all loci take less time than
# one decomposition per weight.
MIN_INDIVIDUALS, MAX_LOCI_PER_INDIVIDUAL = 2000, 0.1
# What says who is trained on and who is tested: not a model's own.
OF_THE_SPLITS = frozenset({"protocol", "n_splits", "splits", "n_folds", "n_repeats", "traits", "fits"})


class FitSettings(Settings):
    """What all fits share."""

    protocol: Protocol = Field(
        "paper",
        description="paper: as the study did; holdout: validation from the training part, the test part used once; "
        "cross_validation: every individual is predicted by a fit that never saw it",
    )
    n_folds: Annotated[Int, Field(ge=2)] = Field(10, description="folds of protocol 'cross_validation'")
    n_repeats: Positive = Field(1, description="cross-validations, each with other folds")
    traits: tuple[str, ...] | None = Field(
        None, description="names of the traits to fit, or numbers from 1 where they have no names; left out, all", min_length=1
    )
    seed: Int = Field(1, description="seed of initial weights, batch order and random splits", ge=0, lt=2**32)
    threads: Positive | None = Field(None, description="processor threads; left out, all cores")

    def identity(self) -> dict[str, Any]:
        """Without the folds where there are none, and without the traits where all are fitted."""
        left_out = set() if self.protocol == "cross_validation" else {"n_folds", "n_repeats"}
        left_out |= set() if self.traits else {"traits"}
        return {name: value for name, value in super().identity().items() if name not in left_out}

    def most_train(self, n_individuals: int) -> int:
        """Individuals that train and validate, at most."""
        if self.protocol == "cross_validation":
            return n_individuals - n_individuals // self.n_folds
        return split_sizes(n_individuals, "paper")[0]

    def memory(self, size: Size) -> float:
        """Bytes that a fit takes at its largest, beside packed genotypes and vectors over individuals: a block of unpacked individuals."""
        return 16 * BLOCK * size.n_loci


class PenaltySettings(FitSettings):
    """What the fits share that choose their penalty by leave-one-out."""

    n_penalties: Annotated[Int, Field(ge=1, le=10_000)] = Field(100, description="penalties tried, evenly spaced in logarithm")
    log10_penalty_min: Float = Field(-5.0, description="exponent of the smallest penalty")
    log10_penalty_max: Float = Field(5.0, description="exponent of the largest penalty")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.log10_penalty_min > self.log10_penalty_max:
            raise ValueError(
                f"log10_penalty_min: must be at most log10_penalty_max ({self.log10_penalty_max:g}), got {self.log10_penalty_min:g}"
            )
        return self


class NeuralSettings(FitSettings):
    """What everything trained by the one training loop shares.

    Another number of threads adds up in another order, and training makes much of a last digit: it is part of the key. So is the device
    that `auto` comes to, which the driver adds.
    """

    resources: ClassVar[frozenset[str]] = frozenset({"device"})

    learning_rate: Float = Field(0.01, description="initial learning rate", gt=0)
    batch_size: Annotated[Int, Field(ge=2)] = Field(128, description="individuals per training step")
    epochs: Positive = Field(100, description="epochs at most")
    patience: Positive = Field(10, description="epochs without improvement before training stops")
    min_delta: Float = Field(0.003, description="smallest fall of the evaluation loss that counts as improvement", ge=0)
    device: Device = Field("auto", description="where to compute; auto takes cuda where there is one")

    def memory(self, size: Size) -> float:
        """Six arrays of the weights' size, and a few batches of evaluation; a linear model has no hidden layer."""
        hidden = self.hidden_units(size)
        weights = 2 * size.n_loci * hidden + hidden**2
        return 6 * 4 * weights + 3 * 4 * BLOCK * (2 * size.n_loci + hidden)

    def hidden_units(self, size: Size) -> int:
        """Units of the first layer."""
        return size.n_traits


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

    def hidden_units(self, size: Size) -> int:
        return self.hidden_size


def split_sizes(n_individuals: int, protocol: str) -> tuple[int, int, int]:
    """Training, validation and test individuals of the ordered split. Under 'paper' the test part is also the validation part."""
    fitted = round(0.85 * n_individuals)
    n_test = n_individuals - fitted
    if protocol == "paper":
        return fitted, n_test, n_test
    n_train = round(0.85 * fitted)
    return n_train, fitted - n_train, n_test
