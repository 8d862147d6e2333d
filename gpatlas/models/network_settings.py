"""The settings of the models that are trained by gradient descent."""

from typing import Self

from pydantic import Field, model_validator

from gpatlas.models.settings import NeuralSettings, TuningSettings
from gpatlas.settings import Bool, Float, Positive


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
