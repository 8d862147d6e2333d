"""gpatlas.figures.observed: individuals of one repeat, by the model to pick, with r, R² and slope."""

import numpy as np
import pandas as pd
from cross_validated import own_tables

from gpatlas.figures import observed
from gpatlas.figures.chart import chart_of, points_of
from gpatlas.figures.draw import draw


def points(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return points_of("observed", tables["results"], beside=tables.__getitem__)


def test_every_individual_is_there_once_as_the_picked_model_predicts_it() -> None:
    tables = own_tables(2, n_repeats=2)
    found = points(tables)
    assert len(found) == 2 * 200
    assert (found["model"] == found["pick"]).all()
    expected = tables["predictions"].query("repeat == 1 and trait == 1").merge(found.query("trait == 1")[["id", "model"]])
    assert found.query("trait == 1")["predicted"].tolist() == expected["predicted"].tolist()


def test_slope_is_that_of_least_squares() -> None:
    found = points(own_tables(1, ("ridge",)))
    assert np.isclose(found["slope"].iloc[0], np.polyfit(found["predicted"], found["value"], 1)[0])


def test_panels_have_the_one_to_one_line_and_name_model_and_scores() -> None:
    tables = own_tables(3)
    figure = draw("observed", tables["results"], beside=tables.__getitem__)
    row = points(tables).query("trait == 3").iloc[0]
    titles = {axes.get_title("left").partition("\n")[0]: axes for axes in figure.axes}
    assert list(titles) == ["height", "oil", "yield_2019"]
    assert titles["oil"].get_title("left").endswith(f"r {row['pearson_r']:.2f}, R² {row['r_squared']:.2f}")
    for axes in figure.axes:
        (line,) = (line for line in axes.lines if line.get_label() == "1:1")
        assert line.get_xy1()[0] == line.get_xy1()[1]


def test_of_many_traits_the_first_by_name_and_of_many_individuals_some() -> None:
    tables = own_tables(46, ("ridge",))
    figure = draw("observed", tables["results"], beside=tables.__getitem__)
    names = [axes.get_title("left").partition("\n")[0] for axes in figure.axes]
    assert names[:3] == ["height", "oil", "protein content of the gr…"]
    assert names[3:5] == ["trait_5", "trait_6"]
    assert "12 of 46 traits shown, the first by name" in figure.texts[-1].get_text().replace("\n", " ")
    many = own_tables(1, ("ridge",), n=observed.MOST_POINTS + 500)
    figure = draw("observed", many["results"], beside=many.__getitem__)
    assert len(figure.axes[0].collections[0].get_offsets()) == observed.MOST_POINTS
    assert "3,000 of up to 3,500 individuals drawn" in figure.texts[-1].get_text().replace("\n", " ")


def test_constant_predictions_are_told() -> None:
    tables = own_tables(1, ("ridge",))
    tables["predictions"]["predicted"] = 1.5
    tables["results"] = tables["results"].assign(pearson_r=0.0, r_squared=-0.25)
    assert chart_of("observed").say(points(tables)) == "height by ridge regression: r 0.00, R² −0.25, one prediction for all."
    draw("observed", tables["results"], beside=tables.__getitem__)
