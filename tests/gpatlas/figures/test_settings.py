"""gpatlas.figures.settings: further models are names of a table's column `model`."""

import pytest

from gpatlas.figures.settings import FigureSettings
from gpatlas.models.registry import titles
from gpatlas.settings import SettingsError, build


def test_every_result_of_a_model_may_be_a_further_model() -> None:
    names = tuple(titles())
    assert {"ridge", "pruned_mlp"} < set(names)
    assert build(FigureSettings, {"figure": "1a", "further_models": names}).further_models == names


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("ridge", "egblub"), "further_models.1: 'egblub' is no model, did you mean 'egblup'? (allowed: boosting, egblup, "),
        (("pruned",), "further_models.0: 'pruned' is no model, did you mean 'pruned_mlp'? (allowed: "),
    ],
)
def test_an_unknown_further_model_is_an_error_with_a_hint(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError) as fault:
        build(FigureSettings, {"figure": "1a", "further_models": names})
    assert str(fault.value).startswith(message)
