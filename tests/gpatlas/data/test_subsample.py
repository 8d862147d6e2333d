"""gpatlas.data.subsample: individuals drawn from a population, with a trait as it was measured."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_files import content, load, phenotypes, small, text, write
from populations import QUIET, fit_small, write_dataset

from gpatlas import cli
from gpatlas.data.dataset import Dataset, DatasetError
from gpatlas.data.settings import SimulateTraitsSettings, SubsampleSettings
from gpatlas.data.simulate_traits import run as simulate_traits
from gpatlas.data.subsample import run
from gpatlas.settings import build

UNMEASURED = ["i03", "i07", "i21"]  # of 30


def imported(folder: Path) -> Path:
    """30 individuals in five families with covariates, 27 of them with a height."""
    rows = [[row[0], "NA", *row[2:]] if row[0] in UNMEASURED else row for row in phenotypes()]
    write({**small(), "P.tsv": text(rows)}, folder)
    return load(folder / "X.bed", folder / "imported.h5", covariates=folder / "C.tsv")


def drawn(source: Path, out: str = "drawn.h5", **values: Any) -> Path:
    path = source.with_name(out)
    run(build(SubsampleSettings, {"trait": "height", **values}), source, path, QUIET)
    return path


def test_everything_known_of_those_who_are_drawn_comes_along(tmp_path: Path) -> None:
    source = imported(tmp_path)
    before, after = content(source), content(drawn(source, n_individuals=20))
    rows = [before["ids"].tolist().index(name) for name in after["ids"]]
    assert len(rows) == 20
    assert rows == sorted(set(rows)), "in the order that they have"
    assert np.array_equal(after["phenotypes"], before["phenotypes"][rows, :1])
    for name in ("genotypes", "groups", "covariates"):
        assert np.array_equal(after[name], before[name][rows])
    for name in ("names", "id", "chromosome", "position", "counted_allele", "other_allele"):
        assert np.array_equal(after[name], before[name])
    with Dataset(source.with_name("drawn.h5")) as data:
        (facts,) = data.facts()
        assert (data.effects(), data.genetic_values(), data.attributes["source"]) == (None, None, "imported.h5")
    known = {"trait_name": "height", "n_individuals": 20, "n_loci": 12, "n_traits": 1, "ploidy": 2, "simulator": "subsample"}
    assert facts == known, "what is not known of the trait is not there"


def test_individuals_without_the_trait_are_not_drawn(tmp_path: Path) -> None:
    source = imported(tmp_path)
    for n in (None, 27):
        everyone = content(drawn(source, f"{n}.h5", n_individuals=n))
        assert len(everyone["ids"]) == 27
        assert not set(everyone["ids"]) & set(UNMEASURED)
    assert len(content(drawn(source, "yield.h5", trait="yield"))["ids"]) == 30
    with pytest.raises(DatasetError, match=r"imported\.h5: n_individuals: must be at most the 27 that have 'height', got 28$"):
        drawn(source, "more.h5", n_individuals=28)


def test_fewer_are_among_more_of_the_same_seed(tmp_path: Path) -> None:
    source = imported(tmp_path)
    ids = {(n, seed): set(content(drawn(source, f"{n}_{seed}.h5", n_individuals=n, seed=seed))["ids"]) for n in (10, 20) for seed in (1, 2)}
    assert ids[10, 1] < ids[20, 1]
    assert ids[10, 1] != ids[10, 2]
    assert drawn(source, "again.h5", n_individuals=10).read_bytes() == (tmp_path / "10_1.h5").read_bytes()


def test_they_are_those_on_whom_traits_are_simulated(tmp_path: Path) -> None:
    source = imported(tmp_path)
    settings = build(SimulateTraitsSettings, {"n_qtl": 8, "rel_aa": (1.0,), "n_individuals": 12, "seed": 5})
    simulate_traits(settings, source, tmp_path / "simulated.h5", QUIET)
    chosen = content(drawn(source, trait="yield", n_individuals=12, seed=5))["ids"]
    assert chosen.tolist() == content(tmp_path / "simulated.h5")["ids"].tolist()


def test_a_trait_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    source = imported(tmp_path)
    message = r"imported\.h5: trait: has none that is called 'heigth', did you mean 'height'\? \(allowed: height, yield\)$"
    with pytest.raises(DatasetError, match=message):
        drawn(source, trait="heigth")
    assert not source.with_name("drawn.h5").exists()


@pytest.mark.parametrize("values", [{}, {"population": "f2", "missing_rate": 0.1}], ids=["format 1", "format 2"])
def test_truth_of_simulated_populations_is_left_behind(tmp_path: Path, values: dict[str, Any]) -> None:
    source = write_dataset(tmp_path, n_individuals=60, **values)
    path = drawn(source, trait="2", n_individuals=40)
    with Dataset(source) as data, Dataset(path) as part:
        assert part.population().effects is None
        assert np.isin(part.phenotypes()[:, 0], data.phenotypes()[:, 1]).all()
        assert part.bits == data.bits
        rows = np.searchsorted(data.phenotypes()[:, 1], part.phenotypes()[:, 0], sorter=np.argsort(data.phenotypes()[:, 1]))
        rows = np.argsort(data.phenotypes()[:, 1])[rows]
        assert np.array_equal(part.genotypes().counts(), data.genotypes().counts()[rows])
    assert fit_small("ridge", path, protocol="cross_validation", n_folds=3)["trait_name"].tolist() == [2]


def test_by_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = imported(tmp_path), tmp_path / "part.h5"
    for flags, code in ((["--n-individuals", "10", "--seed", "3"], 0), (["--n-individuals", "50", "--overwrite"], 1)):
        with pytest.raises(SystemExit) as ended:
            cli.main(["subsample", "--data", str(source), "--trait", "height", *flags, "--out", str(out)])
        assert ended.value.code == code
    assert "n_individuals: must be at most the 27 that have 'height', got 50" in capsys.readouterr().err
    assert len(content(out)["ids"]) == 10
