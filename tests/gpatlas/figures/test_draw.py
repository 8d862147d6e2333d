"""gpatlas.figures.draw: every figure is drawn, nothing covers anything, and its file is as asked."""

import io
import itertools
import re
from pathlib import Path

import pandas as pd
import pytest
from figure_tables import (
    STUDY,
    TABLES,
    Saved,
    drawn,
    experiment_of,
    limits_table,
    points,
    scaling_table,
    table_of,
    with_further,
)
from PIL import Image

from gpatlas.figures.draw import draw, run
from gpatlas.figures.settings import FigureSettings
from gpatlas.progress import Progress

SCALING = [name for name in STUDY if experiment_of(name) == "scaling"]
PANELLED = [name for name in SCALING if name != "s1"]
FURTHER = {"pairwise": "Pairwise screening", "egblup": "EG-BLUP"}


def n_panels(figure: str, name: str) -> int:
    table = table_of(experiment_of(figure), name)
    if experiment_of(figure) == "limits":
        shown = table if figure == "4" else table[table["pair_recall"].notna()]
        return 2 * table["n_individuals"].nunique() * shown["trait"].nunique()
    if figure == "linkage_pairs":
        table = table[table["recall_1cm"].notna()]
    if experiment_of(figure) == "linkage":
        return (1 if name == "one population" else 3) * table["population"].nunique()
    if figure == "plan":
        return len(table[["h2", "rel_aa"]].drop_duplicates())
    column = {"scaling": "trait", "dilution": "n_loci", "pleiotropy": "n_traits"}[experiment_of(figure)]
    return 1 if figure == "s1" else table[column].nunique()


@pytest.mark.parametrize("figure", ["1a", "1b", "2", "3"])
def test_nothing_overlaps_beside_further_models(figure: str) -> None:
    for name in ("one replicate", "imported"):
        saved = Saved(draw(figure, with_further(table_of(experiment_of(figure), name)), tuple(FURTHER)))
        assert len(saved.axes) == n_panels(figure, name) * (1 if figure == "2" else 3)
        for one, other in itertools.combinations([saved.legend, saved.footer, saved.title, *saved.axes], 2):
            assert not one.overlaps(other)
        assert saved.columns == saved.labelled_columns


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("figure", STUDY)
def test_nothing_overlaps_in_the_saved_figure(figure: str, name: str) -> None:
    saved = Saved(drawn(figure, name))
    assert saved.legend.width > 20
    assert len(saved.axes) == n_panels(figure, name)
    picks = 2 * table_of("limits", name)["n_individuals"].nunique()
    written = {"4": picks, "linkage": 1 if name == "one population" else 3, "plan": len(saved.axes)}
    assert len(saved.labels) == (2 if figure in PANELLED else written.get(figure, 0))
    for one, other in itertools.combinations([saved.legend, saved.footer, saved.title, *saved.axes], 2):
        assert not one.overlaps(other)
    assert saved.columns == saved.labelled_columns
    assert_apart(saved)


def assert_apart(saved: Saved) -> None:
    """No text of an axis touches another."""
    for one, other in itertools.combinations([*saved.ticks, *saved.labels], 2):
        assert not one.padded(1).overlaps(other.padded(1))


TRAITS = (0.0, 0.5, 3.0)
GRIDS = {
    "close heritabilities": limits_table(1, [0.5, 0.52, 0.9, 0.99], [0.5, 1, 20], [1000], TRAITS),
    "many heritabilities": limits_table(1, [share / 20 for share in range(4, 20)], [0.1, 0.2, 0.4, 1, 2, 4, 10, 20], [1000], TRAITS),
    "close pairs": limits_table(1, [0.5], [1, 1.1, 1.2], [10_000], TRAITS),
    "pairs over many decades": limits_table(1, [0.5], [0.001, 0.1, 1, 100, 1000], [100_000], TRAITS),
    "many sizes": limits_table(1, [0.2, 0.5, 0.8], [0.5, 1, 4], [1000, 1100, 1200, 10**6], TRAITS[::2]),
    "negative r": table_of("limits", "one replicate").eval("pearson_r = pearson_r - 0.35"),
    "very negative r": table_of("limits", "one replicate").eval("pearson_r = pearson_r - 0.9"),
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("figure", ["4", "5"])
def test_no_text_touches_another_whatever_the_grid(figure: str, grid: str) -> None:
    """The row of picks has its name beside it, where no tick may be."""
    saved = Saved(draw(figure, GRIDS[grid]))
    assert len(saved.ticks) > 10
    assert_apart(saved)


@pytest.mark.parametrize("sizes", [(1000, 1100, 1200), (100, 1000, 10**4, 10**5, 10**6)])
@pytest.mark.parametrize("figure", SCALING)
def test_no_text_touches_another_whatever_the_sizes(figure: str, sizes: tuple[int, ...]) -> None:
    assert_apart(Saved(draw(figure, scaling_table(1, {n: [4, 46, 202, 2000] for n in sizes}))))


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("one replicate", "protocol: paper · simulator: native · 1 replicate · "),
        ("imported", "protocol: paper · simulator: alphasimr · 1 to 3 replicates · "),
        ("study", "protocol: paper · simulator: native · {study} replicates · "),
    ],
)
@pytest.mark.parametrize("figure", STUDY)
def test_the_footer_says_where_the_data_come_from(figure: str, name: str, start: str) -> None:
    text = drawn(figure, name).texts[-1].get_text().replace("\n", " ")
    assert text.startswith(start.format(study=10 if figure in (*SCALING, "plan") else 5))


@pytest.mark.parametrize("figure", STUDY)
def test_other_experiments_change_nothing(figure: str) -> None:
    table = table_of(experiment_of(figure), "one population")
    both = pd.concat([table.assign(experiment="other", pearson_r=0.1), table])
    for alone, beside in zip(drawn(figure, "one population").axes, draw(figure, both).axes, strict=True):
        assert {label: xy.tolist() for label, xy in points(alone).items()} == {label: xy.tolist() for label, xy in points(beside).items()}


@pytest.mark.parametrize("figure", STUDY)
def test_run_writes_a_png_of_the_asked_resolution(figure: str, tmp_path: Path) -> None:
    table_of(experiment_of(figure), "one population").to_csv(tmp_path / "results.csv", index=False)
    stream = io.StringIO()
    run(FigureSettings(figure=figure), tmp_path / "results.csv", tmp_path / "aside.png", Progress("figure", stream))
    size = drawn(figure, "one population").get_size_inches()
    with Image.open(tmp_path / "aside.png") as image:
        assert image.format == "PNG"
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert image.size == pytest.approx(tuple(200 * size), rel=0.15)
    assert '"done": 1, "total": 1' in stream.getvalue()


@pytest.mark.parametrize(("suffix", "start"), [(".pdf", b"%PDF-"), (".svg", b"<?xml"), (".png", b"\x89PNG")])
def test_the_suffix_names_the_format(tmp_path: Path, suffix: str, start: bytes) -> None:
    table_of("limits", "one population").to_csv(tmp_path / "results.csv", index=False)
    run(FigureSettings(figure="5"), tmp_path / "results.csv", tmp_path / f"out{suffix}", Progress("figure", io.StringIO()))
    assert (tmp_path / f"out{suffix}").read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["out.jpg", "out"])
def test_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^--out: '{name}' names no format of a figure; end it in '.png', '.pdf', '.svg'$"):
        run(FigureSettings(figure="5"), tmp_path / "results.csv", tmp_path / name, Progress("figure"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("figure", STUDY)
def test_a_figure_of_many_panels_is_wide(figure: str) -> None:
    width, height = drawn(figure, "study").get_size_inches()
    assert width > (5.5 if figure == "s1" else 12.5)
    assert height > 4.3


def test_an_unknown_figure_is_an_error_with_a_hint(tmp_path: Path) -> None:
    allowed = "1a, 1b, 2, 3, 4, 5, accessory_linear, accessory_mlp, gain, heritability, linkage, linkage_pairs, loci, observed, plan, "
    allowed += "prediction, s1"
    message = f"figure 'accessory_mpl' is not in FIGURES, did you mean 'accessory_mlp'? (allowed: {allowed})"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        run(FigureSettings(figure="accessory_mpl"), tmp_path / "absent.csv", tmp_path / "out.png", Progress("figure"))


def test_run_draws_an_experiment_of_another_name(tmp_path: Path) -> None:
    source, progress = tmp_path / "results.csv", Progress("figure", io.StringIO())
    table_of("scaling", "one population").to_csv(source, index=False)
    run(FigureSettings(figure="1a"), source, tmp_path / "usual.png", progress)
    table_of("scaling", "one population").assign(experiment="linked").to_csv(source, index=False)
    run(FigureSettings(figure="1a", experiment="linked"), source, tmp_path / "linked.png", progress)
    assert (tmp_path / "linked.png").read_bytes() == (tmp_path / "usual.png").read_bytes()
    with pytest.raises(ValueError, match=r"results\.csv: no row of experiment 'scaling'; the table has 'linked'$"):
        run(FigureSettings(figure="1a"), source, tmp_path / "absent.png", progress)
