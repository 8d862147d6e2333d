"""The settings of the stage that draws a figure, and the check of the further models that it names."""

from typing import Annotated

from pydantic import AfterValidator, Field

from gpatlas.figures.registry import FIGURES
from gpatlas.models.registry import titles
from gpatlas.settings import Float, Int, Settings, nearest

DRAW_FURTHER = [name for name, entry in FIGURES.items() if entry.further_models]


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    allowed = list(titles())
    for position, name in enumerate(names):
        if name not in allowed:
            raise ValueError(f"{position}: {name!r} is no model{nearest(name, allowed)}")
    return names


# Names of the column `model` of a table, in the order they are drawn.
FurtherModels = Annotated[tuple[str, ...], AfterValidator(_known)]


class PlanTarget(Settings):
    """What a plan asks for: that the best model that is not additive has more r than the best additive one, often ridge regression."""

    gain: Float = Field(0.02, description="so much more", gt=0, lt=1)
    power: Float = Field(0.8, description="in this share of the replicates", gt=0, lt=1)


class FigureSettings(Settings):
    """Draws one figure from the collected table."""

    figure: str = Field(description="which figure")
    experiment: str | None = Field(None, description="experiment to draw; left out: the figure's usual one")
    further_models: FurtherModels = Field((), description=f"models drawn beside the study's in figures {', '.join(DRAW_FURTHER)}")
    dpi: Annotated[Int, Field(ge=50, le=1200)] = Field(200, description="dots per inch")
