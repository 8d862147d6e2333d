"""gpatlas.figures.rows: a table that lacks something is refused with what it lacks."""

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_tables import STUDY, experiment_of, table_of

from gpatlas.figures.chart import chart_of, points_of
from gpatlas.figures.draw import draw, run
from gpatlas.figures.rows import ALWAYS, linear_share, nothing_beside, read_beside, read_table
from gpatlas.figures.settings import FigureSettings
from gpatlas.progress import Progress

MODELS = {
    "1a": ["mlp", "linear_sgd"],
    "1b": ["mlp"],
    "2": ["ridge", "mlp", "pruned_linear", "pruned_mlp"],
    "3": ["ridge", "mlp"],
    "4": ["ridge", "egblup", "pairwise", "mlp"],
    "5": ["pairwise"],
    "linkage": ["ridge", "egblup", "pairwise"],
    "linkage_pairs": ["pairwise"],
    "plan": ["ridge", "egblup", "pairwise"],
    "accessory_mlp": ["mlp"],
    "accessory_linear": ["linear_sgd"],
    "s1": ["linear_sgd", "ridge"],
}
ANY_MODELS = ("4", "linkage", "plan")


def broken(table: pd.DataFrame, how: str) -> pd.DataFrame:
    match how:
        case "empty":
            return table.head(0)
        case "other experiment":
            return table.assign(experiment="other")
        case "no model":
            return table.assign(model="lasso")
        case "no column":
            return table.drop(columns=["h2", "v_a_over_v_g"])
        case "no r":
            return table.assign(pearson_r=np.nan)
        case "no share":
            return table.assign(v_a_over_v_g=np.nan)
    return pd.concat([table, table])


FAULTS = {
    "empty": "no row of experiment '{experiment}'; the table has nothing",
    "other experiment": "no row of experiment '{experiment}'; the table has 'other'",
    "no model": r"no row of model '.*' in experiment '{experiment}'; it has 'lasso'",
    "no column": r"no column {columns}; the table has '.*', 'pearson_r'",
    "no r": r"every pearson_r is empty of model '\w+' in experiment '{experiment}'",
    "no share": "a value that is not a positive number in column 'v_a_over_v_g' of experiment '{experiment}'",
    "repeated": "{rows} rows of experiment '{experiment}' repeat another one, the first is scenario {first}, replicate 1",
}


@pytest.mark.parametrize(
    ("how", "figure"), [(how, figure) for how, figure in itertools.product(FAULTS, STUDY) if how != "no model" or figure not in ANY_MODELS]
)
def test_a_table_that_lacks_something_is_an_error_that_says_what(figure: str, how: str, tmp_path: Path) -> None:
    source, experiment = tmp_path / "results.csv", experiment_of(figure)
    table = table_of(experiment, "one replicate")
    broken(table, how).to_csv(source, index=False)
    rows = table[table["model"].isin(MODELS[figure])]
    columns = "'v_a_over_v_g'" if figure in ("1a", "s1") else "'h2', 'v_a_over_v_g'"
    message = FAULTS[how].format(experiment=experiment, columns=columns, rows=len(rows), first=rows["scenario"].iloc[0])
    with pytest.raises(ValueError, match=f"^{re.escape(str(source))}: {message}"):
        run(FigureSettings(figure=figure), source, tmp_path / "out.png", Progress("figure"))
    assert not (tmp_path / "out.png").exists()


# What a figure needs beside ALWAYS.
COLUMNS = {
    "1a": ["n_qtl", "v_a_over_v_g"],
    "1b": ["n_qtl", "h2", "v_a_over_v_g"],
    "s1": ["n_qtl", "v_a_over_v_g"],
    "2": ["n_loci", "n_qtl", "h2", "v_a_over_v_g"],
    "3": ["n_qtl", "n_traits", "n_trait_groups", "genetic_correlation", "h2", "v_a_over_v_g"],
    "4": ["n_qtl", "h2", "v_a_over_v_g"],
    "5": ["n_qtl", "h2", "v_a_over_v_g", "pair_precision", "pair_recall"],
}


@pytest.mark.parametrize("figure", COLUMNS)
def test_a_figure_needs_its_own_columns_and_no_others(figure: str) -> None:
    needed = [*ALWAYS, *COLUMNS[figure]]
    table = table_of(experiment_of(figure), "one replicate")[needed]
    assert chart_of(figure).say(points_of(figure, table))
    assert draw(figure, table).axes
    for name in needed:
        with pytest.raises(ValueError, match=f"^no column '{name}'; the table has "):
            points_of(figure, table.drop(columns=name))


@pytest.mark.parametrize(
    ("figure", "missing", "left"),
    [
        ("1a", "linear_sgd", "'mlp', 'ridge'"),
        ("s1", "ridge", "'mlp', 'linear_sgd'"),
        ("2", "pruned_mlp", "'ridge', 'mlp', 'lasso', 'pruned_linear'"),
        ("3", "ridge", "'mlp'"),
        ("5", "pairwise", "'ridge', 'egblup', 'mlp'"),
    ],
)
def test_one_missing_model_is_named(figure: str, missing: str, left: str) -> None:
    table = table_of(experiment_of(figure), "one replicate")
    with pytest.raises(ValueError, match=f"^no row of model '{missing}' in experiment '{experiment_of(figure)}'; it has {left}$"):
        draw(figure, table[table["model"] != missing])


@pytest.mark.parametrize(("figure", "other"), [("1a", "linear_sgd"), ("2", "ridge"), ("3", "ridge")])
def test_models_that_share_no_population_are_an_error(figure: str, other: str) -> None:
    table = table_of(experiment_of(figure), "one replicate")
    apart = table[(table["model"] == "mlp") == (table["scenario"] == table["scenario"].iloc[0])]
    with pytest.raises(ValueError, match=rf"^no scenario, replicate and trait has an r of both 'mlp' and '{other}'$"):
        draw(figure, apart)


def test_names_are_read_as_text(tmp_path: Path) -> None:
    lines = ["experiment,scenario,trait,model,simulator,protocol,h2", "NA,1e3,1,null,True,7,NA", "nan,,2,mlp,,x,0.5"]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    table = read_table(tmp_path / "table.csv")
    assert table[["experiment", "scenario", "model", "simulator", "protocol"]].fillna("missing").to_numpy().tolist() == [
        ["NA", "1e3", "null", "True", "7"],
        ["nan", "missing", "mlp", "missing", "x"],
    ]
    assert list(table) == lines[0].split(",")
    assert table["trait"].tolist() == [1, 2]
    assert table["h2"].isna().tolist() == [True, False]


def test_tables_beside_are_read_with_their_names_as_text(tmp_path: Path) -> None:
    (tmp_path / "results.loci.csv").write_text("experiment,id,chromosome,trait_name,effect\nown,NA,01,1e3,0.5\n")
    table = read_beside(tmp_path / "results.csv", "loci")
    assert table.to_dict("records") == [{"experiment": "own", "id": "NA", "chromosome": "01", "trait_name": "1e3", "effect": 0.5}]
    assert read_beside(tmp_path / "results.csv", "pairs").empty
    (tmp_path / "pairs.csv").write_text("experiment\nown\n")
    assert len(read_beside(tmp_path / "results.csv", "pairs")) == 1
    assert nothing_beside("loci").empty


def test_the_linear_share_is_that_of_the_best_fit_where_it_is_known() -> None:
    """Imported populations have it, and may stand in one table with simulated ones."""
    rows = pd.DataFrame({"v_a_over_v_g": [0.2, 0.3]})
    assert linear_share(rows).tolist() == [0.2, 0.3]
    assert linear_share(rows.assign(linear_r_squared=[0.9, np.nan])).tolist() == [0.9, 0.3]


@pytest.mark.parametrize(("column", "text"), [("h2", "high"), ("pearson_r", "0,5"), ("n_qtl", "ten"), ("trait", "True")])
def test_text_among_numbers_is_named_with_its_place(tmp_path: Path, column: str, text: str) -> None:
    source, table = tmp_path / "results.csv", table_of("scaling", "one replicate").astype(object)
    table.loc[table.index[3], column] = text
    table.to_csv(source, index=False)
    message = f"{source}: column '{column}' holds '{text}' in line 5, where a number belongs"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        run(FigureSettings(figure="1b"), source, tmp_path / "out.png", Progress("figure"))
