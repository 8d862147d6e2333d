"""gpatlas.figures.words: numbers, lists and models as they stand in sentences."""

import pandas as pd
import pytest

from gpatlas.figures.words import as_percent, as_r, by_registry, course, joined, listed, name_in_text, natural, title_of, written
from gpatlas.models.registry import titles


def test_models_are_called_as_the_registry_says() -> None:
    assert {name: title_of(name) for name in titles()} == titles()
    assert {name for name in titles() if name_in_text(name) != title_of(name)} == {"mlp"}
    assert (title_of("mlp"), name_in_text("mlp")) == ("MLP", "the MLP")
    assert (title_of("forest"), name_in_text("forest")) == ("forest", "forest")


def test_models_stand_in_the_order_of_the_registry_and_unknown_ones_last() -> None:
    assert by_registry(["forest", "mlp", "pairwise", "ridge"]) == ["ridge", "pairwise", "mlp", "forest"]


def test_names_are_sorted_as_a_reader_does() -> None:
    assert sorted(["10", "X", "2", "chr10", "chr9", ""], key=natural) == ["", "2", "10", "X", "chr9", "chr10"]


@pytest.mark.parametrize(("value", "form", "text"), [(-0.001, "+.2f", "0.00"), (-0.5, ".1f", "−0.5"), (0.5, "+.0%", "+50%")])
def test_numbers_have_a_printed_minus_and_zero_no_sign(value: float, form: str, text: str) -> None:
    assert written(value, form) == text


def test_lists() -> None:
    assert (joined(["a"]), joined(["a", "b", "c"])) == ("a", "a, b and c")
    assert (listed(["a", 1]), listed([])) == ("'a', '1'", "nothing")


def test_a_course_goes_from_the_least_x_to_the_largest() -> None:
    points = pd.DataFrame({"n_qtl": [1000, 10, 10, 100], "value": [0.1, 0.5, 0.7, 9.0]})
    assert course(points, "n_qtl", "{:,.0f} QTL", as_r, "mean") == "from 0.60 at 10 QTL to 0.10 at 1,000 QTL"
    assert course(points[1:3], "n_qtl", "{:,.0f} QTL", as_percent) == "+60% at 10 QTL"
    assert course(points.assign(n_qtl=float("nan")), "n_qtl", "{:g}", as_r) == "0.60"
