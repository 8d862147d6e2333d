"""What the figures of an experiment ask of it: the models that they draw, fitted to something."""

from collections.abc import Collection

from gpatlas.figures.registry import FIGURES, Populations
from gpatlas.models.registry import MODELS
from gpatlas.settings import nearest
from pipeline.faults import Faults
from pipeline.models import FittedBlock


def chosen_figures(
    name: str,
    experiment: FittedBlock,
    populations: Populations,
    protocols: Collection[str],
    published: Collection[Collection[str]] | None,
    faults: Faults,
) -> list[str]:
    """The figures of an experiment; each must exist, and be one of such populations, models and protocols. Further models must be there.

    `published`: as `FigureEntry.fault` has it.
    """
    for position, figure in enumerate(experiment.figures):
        key = f"experiments.{name}.figures.{position}"
        if figure not in FIGURES:
            faults.add(key, f"{figure!r} is no figure" + nearest(figure, list(FIGURES)))
        elif fault := FIGURES[figure].fault(experiment.models, populations, protocols, published):
            faults.add(key, f"figure {figure!r} {fault}")
    for position, result in enumerate(experiment.further_models):
        (model,) = (model.name for model in MODELS.values() if result in model.titles)
        if model not in experiment.models:
            whose = "" if model == result else f" is a result of the model {model!r}, which"
            faults.add(f"experiments.{name}.further_models.{position}", f"{result!r}{whose} is not among this experiment's models")
    return experiment.figures


def check_fits(name: str, experiment: FittedBlock, sizes: list[int], faults: Faults) -> None:
    """Every model that a figure draws must be fitted to some scenario: its `max_n_individuals` leaves the larger ones out.

    `sizes`: individuals of every population, ascending.
    """
    limits = {model: (given or {}).get("max_n_individuals") for model, given in experiment.models.items() if isinstance(given, dict | None)}
    unfitted = {model: limit for model, limit in limits.items() if type(limit) is int and sizes and limit < sizes[0]}
    drawn = [
        (f"figures.{place}", f"figure {figure!r}", FIGURES[figure].models)
        for place, figure in enumerate(experiment.figures)
        if figure in FIGURES
    ]
    for place, result in enumerate(experiment.further_models):
        drawn.append((f"further_models.{place}", f"{result!r}", tuple(model.name for model in MODELS.values() if result in model.titles)))
    for key, what, models in drawn:
        for model in (model for model in models if model in unfitted):
            below = f"max_n_individuals {unfitted[model]} is below every size of this experiment ({', '.join(map(str, sizes))})"
            faults.add(f"experiments.{name}.{key}", f"{what} needs the model {model}, whose {below}")
    if limits and unfitted.keys() == experiment.models.keys():
        faults.add(f"experiments.{name}.models", f"max_n_individuals of every model is below every size ({', '.join(map(str, sizes))})")
