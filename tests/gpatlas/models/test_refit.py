"""gpatlas.models.training: under holdout the last fit is of training and validation individuals together, as chosen before."""

from typing import Any

import numpy as np
import pytest
import torch
from populations import NEURAL, QUIET, Recorder, part_of, random_part
from torch import Tensor, nn

from gpatlas.models.contract import Fitted, Part
from gpatlas.models.network_settings import MlpSettings
from gpatlas.models.registry import MODELS
from gpatlas.models.settings import NeuralSettings
from gpatlas.models.training import Diverged, Recipe, Trained, Training, TrainingStep, refit, train_and_refit
from gpatlas.settings import build, resolve

N_LOCI = 12
ONE_EPOCH: dict[str, Any] = {"epochs": 1, "lasso_epochs": 1, "learning_rates": (0.01,), "n_trials": 1, "min_importance": 0.0}
ONE_EPOCH |= {"penalties": (0.5,), "hidden_size": 8, "min_columns": 24, "max_columns": 24, "threads": 1, "device": "cpu"}
WAYS = [*((name, {}) for name in NEURAL), ("mlp", {"tune": True})]


def part(n: int, seed: int = 1) -> Part:
    return random_part(n, N_LOCI, 2, seed)


def fitted(name: str, train: Part, validation: Part, **values: Any) -> dict[str, Fitted]:
    known = {key: value for key, value in {**ONE_EPOCH, **values}.items() if key in MODELS[name].settings.model_fields}
    models: dict[str, Fitted] = resolve(MODELS[name].fit)(train, validation, build(MODELS[name].settings, known), QUIET)
    return models


def test_parts_are_joined() -> None:
    everyone = part(9)
    joined = everyone.rows(np.arange(4)).joined(everyone.rows(np.arange(4, 9)))
    assert joined.genotypes.counts().tolist() == everyone.genotypes.counts().tolist()
    assert joined.phenotypes.tolist() == everyone.phenotypes.tolist()


@pytest.mark.parametrize(("name", "values"), WAYS, ids=lambda value: str(value))
def test_where_nothing_is_to_be_chosen_the_fit_is_that_of_all_individuals(name: str, values: dict[str, Any]) -> None:
    """One epoch, one rate, all columns: under holdout the 150 and 50 are one training part, under paper the 150 are."""
    everyone, test = part(200), part(30, seed=2)
    train, validation = everyone.rows(np.arange(150)), everyone.rows(np.arange(150, 200))
    of_all = fitted(name, everyone, test, protocol="paper", **values)
    under_paper = fitted(name, train, validation, protocol="paper", **values)
    for model, one in fitted(name, train, validation, protocol="holdout", **values).items():
        np.testing.assert_array_equal(one.predict(test.genotypes), of_all[model].predict(test.genotypes))
        assert (one.predict(test.genotypes) != under_paper[model].predict(test.genotypes)).all()
        assert one.columns["epochs"] == 1


class Seen:
    """A recipe whose step records the individuals, told by a number as phenotype, and the learning rate."""

    def __init__(self) -> None:
        self.epochs: list[tuple[list[float], float]] = []
        self.recipe = Recipe(nn.Linear, self.step)

    def step(self, network: nn.Linear) -> TrainingStep:
        def step(inputs: Tensor, wanted: Tensor, rate: float) -> None:
            self.epochs.append((sorted(wanted.flatten().tolist()), rate))

        return step


def numbered(*numbers: float) -> Part:
    return Part(part(len(numbers)).genotypes, np.array(numbers)[:, None])


TRAINED = Trained(
    nn.Linear(24, 1), None, NeuralSettings(protocol="holdout", device="cpu", epochs=20), Training(14, 0.5, (1.0, 1.0, 0.5, 0.25))
)


def test_a_refit_repeats_the_epochs_up_to_the_best_one_at_their_rates() -> None:
    seen, progress = Seen(), Recorder()
    again = refit(seen.recipe, TRAINED, numbered(1, 2, 3), numbered(4, 5), progress)
    assert seen.epochs == [([1, 2, 3, 4, 5], rate) for rate in (1.0, 1.0, 0.5, 0.25)]
    assert again.training.epochs == 4
    assert progress.steps == [(5, 20), (10, 20), (15, 20), (20, 20)]


def test_under_paper_nothing_is_fitted_again() -> None:
    """There the validation part is the test part."""
    seen = Seen()
    trained = Trained(TRAINED.network, None, NeuralSettings(protocol="paper"), TRAINED.training)
    assert refit(seen.recipe, trained, numbered(1, 2, 3), numbered(4, 5)) is trained
    train_and_refit(seen.recipe, numbered(1, 2, 3), numbered(4, 5), NeuralSettings(protocol="paper", device="cpu", epochs=2), QUIET)
    assert seen.epochs == [([1, 2, 3], 0.01)] * 2


@pytest.mark.parametrize("protocol", ["paper", "holdout"])
def test_progress_of_both_trainings_is_one(protocol: str) -> None:
    """On phenotypes without signal training stops early; the second one is the other half of the progress."""
    settings = MlpSettings(protocol=protocol, epochs=40, patience=3, hidden_size=8, device="cpu")
    progress = Recorder()
    models = resolve(MODELS["mlp"].fit)(part(200), part(50, seed=2), settings, progress)
    done, totals = zip(*progress.steps, strict=True)
    assert list(done) == sorted(set(done))
    if protocol == "paper":
        assert set(totals) == {40}
        assert done[-1] == models["mlp"].columns["epochs"] < 40
    else:
        assert set(totals) == {80}
        assert done[-1] == 80
        assert len(done) == 2 * models["mlp"].columns["epochs"] + 3


def test_a_refit_that_diverges_is_an_error() -> None:
    def step(network: nn.Linear) -> TrainingStep:
        weight = network.weight.detach()
        return lambda inputs, wanted, rate: weight.fill_(torch.nan)  # type: ignore[func-returns-value]

    with pytest.raises(Diverged) as caught:
        refit(Recipe(nn.Linear, step), TRAINED, numbered(1, 2, 3), numbered(4, 5))
    assert str(caught.value) == "training diverged: it ended with a loss of nan; learning_rate 0.01 is too high"


@pytest.mark.parametrize("protocol", ["paper", "holdout"])
def test_a_training_that_ends_far_away_is_an_error(protocol: str) -> None:
    """Without a penalty nothing overflows: every step moves a weight by the learning rate at most."""
    with pytest.raises(Diverged, match=r"^training diverged: it ended with a loss of [0-9.e+]+; learning_rate 1e\+06 is too high$"):
        fitted("linear_sgd", part(200), part(50, seed=2), protocol=protocol, learning_rate=1e6, penalty=0.0)


@pytest.mark.parametrize(("name", "values"), WAYS, ids=lambda value: str(value))
def test_an_allele_that_no_one_had_says_nothing(name: str, values: dict[str, Any]) -> None:
    """All have allele 0 of the first locus: allele 1 is as good as no input. Of the pruned models, the lasso sees all columns."""
    parts = [part(n, seed) for n, seed in ((150, 1), (50, 2))]
    alleles = [one.genotypes.counts() for one in parts]
    for one in alleles:
        one[:, 0] = 0
    train, validation = (part_of(genotypes, one.phenotypes) for genotypes, one in zip(alleles, parts, strict=True))
    one = next(iter(fitted(name, train, validation, protocol="holdout", epochs=3, **values).values()))
    weight = next(one.predict.__self__.network.parameters())  # type: ignore[attr-defined]
    assert (weight[:, 1] == 0).all()
    assert (weight[:, [0, *range(2, 24)]] != 0).any(dim=0).all()
