"""The settings of the models that are trained by gradient descent."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from gpatlas.models.settings import NeuralSettings, TuningSettings
from gpatlas.settings import BLOCK, Bool, Float, Int, Positive, Size


class LinearSgdSettings(NeuralSettings):
    """A linear layer on one-hot alleles, trained by SGD on the mean absolute error with an L2 penalty."""

    learning_rate: Float = Field(0.1, description="initial learning rate", gt=0)
    epochs: Positive = Field(200, description="epochs at most")
    patience: Positive = Field(20, description="epochs without improvement before training stops")
    min_delta: Float = Field(0.001, description="smallest fall of the evaluation loss that counts as improvement", ge=0)
    penalty: Float = Field(0.1, description="weight of half the sum of squares of all parameters in the loss", ge=0)


class MlpSettings(TuningSettings):
    """Two hidden layers with batch normalisation on one-hot alleles, AdamW on the mean absolute error."""

    tune: Bool = Field(False, description="choose the learning rate by trials")


class NetworkSettings(NeuralSettings):
    """A linear layer on one-hot alleles beside sparse products of all pairs of loci, AdamW on the mean absolute error."""

    learning_rate: Float = Field(0.003, description="initial learning rate", gt=0)
    batch_size: Annotated[Int, Field(ge=2)] = Field(32, description="individuals per training step")
    epochs: Positive = Field(300, description="epochs at most")
    patience: Positive = Field(20, description="epochs without improvement before training stops")
    min_delta: Float = Field(0.0, description="smallest fall of the evaluation loss that counts as improvement", ge=0)
    penalties: tuple[Annotated[Float, Field(ge=0)], ...] = Field(
        (1.0, 0.5, 0.2),
        description="penalties on absolute product weights that are tried, in units of the noise level sqrt(2·ln(pairs)/individuals)",
        min_length=1,
    )
    initial_weight: Float = Field(0.1, description="a factor of every product weight at the start, where the other is 0", gt=0)
    max_product_loci: Positive = Field(1000, description="loci in the products at most; where there are more, they are screened")

    def memory(self, size: Size) -> float:
        """Seven arrays of the weights' size, two batches of evaluation; and where loci are screened, these as numbers, and their scores."""
        m, k = size.n_loci, min(size.n_loci, self.max_product_loci)
        weights = size.n_traits * (2 * k**2 + 2 * m)
        screening = 8 * m * (self.most_train(size.n_individuals) + 1024) if m > k else 0
        return 7 * 4 * weights + 3 * 4 * BLOCK * (2 * m + size.n_traits * k) + screening


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
