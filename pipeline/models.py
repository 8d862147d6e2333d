"""The models of an experiment: what they are told, and which populations they are fitted to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from gpatlas.figures.settings import FurtherModels
from gpatlas.models.registry import MODELS, StackSettings
from gpatlas.models.settings import FitSettings, Protocol, split_sizes
from gpatlas.settings import Int, Positive, nearest
from pipeline.faults import Faults

SAID_ELSEWHERE = {
    "seed": "is the replicate number; choose replicates in the grid",
    "traits": "are chosen for all models: in the block 'data'",
    "fits": "are those of the experiment, which the driver hands to a stack",
}
Folds = Annotated[Int, Field(ge=2)]


class FittedBlock(BaseModel):
    """What every block of `experiments` has: the models that are fitted to its populations, how they are tested, what is drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: Annotated[dict[str, Any], Field(min_length=1)]
    protocol: Protocol | None = None
    n_folds: Folds | None = None
    n_repeats: Positive | None = None
    figures: list[str] = []
    further_models: FurtherModels = ()

    usual_protocol: ClassVar[Protocol]

    def shared(self, of_all: Mapping[str, Any], where: str, faults: Faults) -> dict[str, Any]:
        """What all its models are told: what `of_all` experiments are, where it says nothing else; the usual protocol where nobody does."""
        own = {name: value for name in ("protocol", "n_folds", "n_repeats") if (value := getattr(self, name)) is not None}
        shared = {"protocol": self.usual_protocol, **of_all, **own}
        for name in own.keys() - {"protocol"} if shared["protocol"] != "cross_validation" else ():
            faults.add(f"{where}.{name}", f"goes with protocol 'cross_validation', not {shared['protocol']!r}")
        return shared


@dataclass(frozen=True)
class ChosenModel:
    """A model's settings, and the largest population it is fitted to."""

    settings: FitSettings
    max_n_individuals: int | None

    def takes(self, n_individuals: int, key: str, faults: Faults) -> bool:
        """Whether to fit a population of this size; a fault where it is too small to be split."""
        if self.max_n_individuals is not None and n_individuals > self.max_n_individuals:
            return False
        protocol, n_folds = self.settings.protocol, self.settings.n_folds
        if protocol == "cross_validation":
            if n_individuals < 2 * n_folds:
                faults.add(key, f"n_individuals {n_individuals} leaves less than 2 for each of n_folds {n_folds}")
            return True
        for part, size in zip(("train", "validation", "test"), split_sizes(n_individuals, protocol), strict=True):
            if size < 2:
                message = f"leaves a {part} part of {size} under protocol {protocol!r}; it must hold at least 2"
                faults.add(key, f"n_individuals {n_individuals} {message}")
        return True


def chosen_models(block: FittedBlock, shared: Mapping[str, Any], where: str, faults: Faults) -> dict[str, ChosenModel]:
    """The models of the block, by name; without those that have faults. `shared`: what is told to every one that has such a setting."""
    chosen = {name: _model(name, given, shared, f"{where}.models.{name}", faults) for name, given in block.models.items()}
    return {name: model for name, model in chosen.items() if model is not None}


def _model(name: str, given: Any, shared: Mapping[str, Any], key: str, faults: Faults) -> ChosenModel | None:
    if name not in MODELS:
        faults.add(key, "unknown model" + nearest(name, list(MODELS)))
        return None
    if not isinstance(given, dict | None):
        faults.add(key, f"must be a mapping of settings, got {given!r}")
        return None
    own = dict(given or {})
    limit = own.pop("max_n_individuals", None)
    if limit is not None and type(limit) is not int:
        faults.add(f"{key}.max_n_individuals", f"must be a whole number, got {limit!r}")
    for setting in SAID_ELSEWHERE.keys() & own.keys():
        faults.add(f"{key}.{setting}", SAID_ELSEWHERE[setting])
    common = {setting: value for setting, value in shared.items() if setting in MODELS[name].settings.model_fields}
    settings = faults.build(MODELS[name].settings, {**common, **own}, key)
    return ChosenModel(settings, limit) if settings is not None and type(limit) in (int, type(None)) else None


def combined(settings: FitSettings, others: Mapping[str, FitSettings]) -> dict[str, FitSettings]:
    """Those of the `others`, by model, whose fits a stack of these settings combines; none where it has to fit its models itself.

    It does where one of them is not fitted to the population, is cross-validated otherwise, or does not tell its inner predictions.
    """
    if not isinstance(settings, StackSettings) or settings.protocol != "cross_validation":
        return {}
    same = {"protocol", "n_folds", "n_repeats"}
    bases = {
        name: others[name]
        for name in settings.models
        if name in others and not MODELS[name].validates and others[name].model_dump(include=same) == settings.model_dump(include=same)
    }
    return bases if len(bases) == len(settings.models) else {}
