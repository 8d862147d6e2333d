"""gpatlas.data.alphasimr: real archives of the study's form, and small ones that are broken on purpose."""

import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from gpatlas import cli
from gpatlas.data import alphasimr_texts, simulate
from gpatlas.data.alphasimr import run
from gpatlas.data.dataset import Dataset, DatasetError
from gpatlas.data.genotypes import FloatArray
from gpatlas.data.settings import ImportSettings, SimulateSettings
from gpatlas.progress import Progress
from gpatlas.settings import SettingsError, build

DATA = Path(__file__).parents[2] / "data"
REAL = {
    "qhaplo_46qtl_1000n_rep1": ("alphasimr_scaling_input.tar.xz", 0.999),
    "qhaplo_46qtl_1000n_rep2": ("alphasimr_scaling_input.tar.xz", 0.999),
    "qhaplo_90qtl_1000n_rep1": ("alphasimr_scaling_input.tar.xz", 0.999),
    "qhaplo_100qtl_250marker_2000n_rep1": ("alphasimr_dilution_input.tar.xz", 0.9999),
    "qhaplo_50qtl_1000n_0pleio_10trait_rep1": ("alphasimr_pleio_input.tar.xz", 0.999),
    "qhaplo_50qtl_2000n_0.5pleio_10trait_rep1": ("alphasimr_pleio_input.tar.xz", 0.999),
}
DILUTION = "qhaplo_100qtl_250marker_2000n_rep1"
TINY = "qhaplo_6qtl_10marker_200n_rep1"
TINY_H2 = 0.9
Texts = dict[str, list[list[str]]]  # kind to rows of fields


def import_texts(source: Path, scenario: str, out: Path, **settings: Any) -> Path:
    run(build(ImportSettings, {"scenario": scenario, **settings}), source, out, Progress("import-alphasimr"))
    return out


def unpacked(scenario: str, folder: Path) -> Path:
    with tarfile.open(DATA / REAL[scenario][0]) as archive:
        archive.extractall(folder, filter="data")
    return folder


def golden_sha256(scenario: str) -> str:
    golden = pd.read_csv(DATA / "golden.csv")
    return str(golden["genotypes_packed_sha256"][golden["scenario"] == scenario].iloc[0])


def read_independently(folder: Path, scenario: str) -> tuple[FloatArray, FloatArray, FloatArray, list[dict[frozenset[int], float]]]:
    """Alleles (n, m), phenotypes (n, T), genetic values (n, T) and each trait's pairs, by pandas and the formula term by term."""
    eff, g, p = (pd.read_csv(folder / f"{scenario}_{kind}.txt", sep=" ") for kind in ("eff", "g", "p"))
    alleles = g.drop(columns="qtl").to_numpy().T.astype(float)
    signs = 2 * alleles - 1
    values, all_pairs = [], []
    for _, rows in eff.groupby("trait"):
        qtl = [locus - 1 for locus, effect in zip(rows.locus, rows.add_eff, strict=True) if effect != 0]
        value = sum(effect * signs[:, locus - 1] for locus, effect in zip(rows.locus, rows.add_eff, strict=True))
        pairs: dict[frozenset[int], float] = {}
        for own, (partner, effect) in enumerate(rows[["epi_loc", "epi_eff"]].dropna().itertuples(index=False)):
            pairs[frozenset({qtl[own], qtl[int(partner) - 1]})] = effect
        for (first, second), effect in pairs.items():
            value = value + effect * signs[:, first] * signs[:, second]
        values.append(value - value.mean())
        all_pairs.append(pairs)
    return alleles, p.drop(columns="ind").to_numpy(), np.column_stack(values), all_pairs


@pytest.mark.parametrize("scenario", REAL)
def test_real_archives_agree_with_an_independent_reading(scenario: str, tmp_path: Path) -> None:
    archive, h2 = REAL[scenario]
    folder = unpacked(scenario, tmp_path / "texts")
    alleles, phenotypes, genetic_values, pairs = read_independently(folder, scenario)
    with Dataset(import_texts(DATA / archive, scenario, tmp_path / "archive.h5", h2=h2)) as data:
        assert np.array_equal(data.genotypes().counts(), alleles)
        assert np.array_equal(data.phenotypes(), phenotypes)
        imported = data.genetic_values()
        assert imported is not None
        np.testing.assert_allclose(imported, genetic_values, atol=1e-12)
        effects = data.effects()
        for trait, expected in enumerate(pairs):
            assert dict(zip(map(frozenset, effects.pairs[trait].tolist()), effects.epistatic[trait], strict=True)) == expected
        packed = data.genotypes().packed
    # AlphaSimR scales the genetic values to variance 1: a wrong pair of loci would show here, far above the rounding.
    np.testing.assert_allclose(imported.var(axis=0), 1, atol=1e-9)
    assert np.abs(imported.mean(axis=0)).max() < 1e-12
    assert all(np.corrcoef(phenotypes[:, trait], imported[:, trait])[0, 1] > np.sqrt(h2) - 1e-4 for trait in range(len(pairs)))
    assert hashlib.sha256(packed.tobytes()).hexdigest() == golden_sha256(scenario)
    import_texts(folder, scenario, tmp_path / "folder.h5", h2=h2)
    assert (tmp_path / "folder.h5").read_bytes() == (tmp_path / "archive.h5").read_bytes()


def test_cells_of_the_dilution_text(tmp_path: Path) -> None:
    """Read off the text by eye: trait 1 starts `1 1 -0.0555… 96`, `1 2 0 36`, and locus 1 is 0 0 1 0 1 …"""
    with Dataset(import_texts(DATA / REAL[DILUTION][0], DILUTION, tmp_path / "D.h5", h2=0.9999, rel_aa=(0.0, 1.0))) as data:
        assert data.genotypes().counts()[:5, 0].tolist() == [0, 0, 1, 0, 1]
        assert data.phenotypes()[0].tolist() == [0.843142898349002, -0.924410324013013]
        effects = data.effects()
        assert effects.additive[:4, 0].tolist() == [-0.0555900422710185, 0, 0, -0.134049795528384]
        qtl = np.flatnonzero(effects.additive[:, 0])
        assert [qtl[0], qtl[95]] in effects.pairs[0].tolist()
        assert [qtl[1], qtl[35]] in effects.pairs[0].tolist()
        facts = data.facts()
    assert [row["rel_aa"] for row in facts] == [0, 1]
    assert facts[0]["v_a_over_v_g"] == pytest.approx(1)
    assert facts[1]["v_a_over_v_g"] == pytest.approx(0.30336, abs=1e-5)
    assert [facts[0][name] for name in ("n_individuals", "n_loci", "n_qtl", "n_trait_groups", "h2")] == [2000, 250, 100, 2, 0.9999]


def test_attributes_say_what_is_unknown(tmp_path: Path) -> None:
    """The traits of one AlphaSimR call share their pairs; the files tell neither rel_aa, nor the correlation, nor the seed."""
    scenario = "qhaplo_50qtl_2000n_0.5pleio_10trait_rep1"
    with Dataset(import_texts(DATA / REAL[scenario][0], scenario, tmp_path / "D.h5")) as data:
        assert json.loads(data.attributes["trait_groups"]) == [{"rel_aa": None, "n_traits": 10, "genetic_correlation": None}]
        assert [data.attributes[name] for name in ("seed", "simulator", "simulator_version")] == [-1, "alphasimr", "unknown"]
        facts = data.facts()
    assert len(facts) == 10
    assert all(np.isnan(row["rel_aa"]) and row["genetic_correlation"] is None and row["n_trait_groups"] == 1 for row in facts)
    scenario = "qhaplo_50qtl_1000n_0pleio_10trait_rep1"
    with Dataset(import_texts(DATA / REAL[scenario][0], scenario, tmp_path / "E.h5", rel_aa=(1.0,) * 10)) as data:
        assert json.loads(data.attributes["trait_groups"]) == [{"rel_aa": 1.0, "n_traits": 1, "genetic_correlation": 0.0}] * 10


@pytest.mark.parametrize("scenario", REAL)
def test_the_best_linear_fit_of_the_studys_populations_is_their_additive_part(scenario: str, tmp_path: Path) -> None:
    with Dataset(import_texts(DATA / REAL[scenario][0], scenario, tmp_path / "D.h5")) as data:
        facts = data.facts()
    assert [row["linear_r_squared"] for row in facts] == pytest.approx([row["v_a_over_v_g"] for row in facts], abs=0.015)


def test_the_best_linear_fit_of_rare_alleles_explains_more_than_their_additive_part(tmp_path: Path) -> None:
    """At frequency 0.1 most of a product of two loci is linear in them."""
    rng = np.random.default_rng(1)
    alleles, additive, epistatic = (rng.random((1000, 6)) < 0.1).astype(int), rng.standard_normal(6), 4 * rng.standard_normal(3)
    signs = 2 * alleles - 1
    values = signs @ additive + (signs[:, ::2] * signs[:, 1::2]) @ epistatic
    scale = values.std()
    eff = [["trait", "locus", "add_eff", "epi_loc", "epi_eff", "sfs"]]
    for locus in range(6):
        effects = [f"{additive[locus] / scale:.15g}", str((locus ^ 1) + 1), f"{epistatic[locus // 2] / scale:.15g}"]
        eff.append(["1", str(locus + 1), *effects, f"{alleles[:, locus].mean():.15g}"])
    g = [["qtl", *(f"{i + 1}_1" for i in range(1000))], *([f"1_{k + 1}", *map(str, alleles[:, k])] for k in range(6))]
    p = [["ind", "Trait1"], *([str(i + 1), f"{value:.15g}"] for i, value in enumerate((values - values.mean()) / scale))]
    write_texts({"eff": eff, "g": g, "p": p}, tmp_path / "texts")
    with Dataset(import_texts(tmp_path / "texts", TINY, tmp_path / "D.h5")) as data:
        (facts,) = data.facts()
    design = np.column_stack([np.ones(1000), alleles])
    rest = values - design @ np.linalg.lstsq(design, values)[0]
    assert facts["linear_r_squared"] == pytest.approx(1 - rest.var() / values.var(), abs=0.02)
    assert facts["linear_r_squared"] > facts["v_a_over_v_g"] + 0.3
    assert facts["h2"] == pytest.approx(1)


@pytest.mark.parametrize("slab_bytes", [1, 4, 6, 12])
def test_result_does_not_depend_on_the_buffer(slab_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """90 loci are 12 bytes: several slabs, a last one that is not full, and exactly one."""
    monkeypatch.setattr(alphasimr_texts, "SLAB_BYTES", slab_bytes)
    scenario = "qhaplo_90qtl_1000n_rep1"
    with Dataset(import_texts(DATA / REAL[scenario][0], scenario, tmp_path / "D.h5")) as data:
        assert hashlib.sha256(data.genotypes().packed.tobytes()).hexdigest() == golden_sha256(scenario)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Texts]:
    """A small population of the native simulator, and the texts that the study's recipe would have written of it."""
    path = tmp_path_factory.mktemp("tiny") / "D.h5"
    values = {"n_individuals": 200, "n_loci": 10, "n_qtl": 6, "rel_aa": (0.0, 1.0), "h2": TINY_H2, "seed": 3}
    simulate.run(build(SimulateSettings, values), None, path, Progress("simulate"))
    with Dataset(path) as data:
        effects, alleles, phenotypes = data.effects(), data.genotypes().counts(), data.phenotypes()
    eff: list[list[str]] = [["trait", "locus", "add_eff", "epi_loc", "epi_eff", "sfs"]]
    for trait in range(2):
        qtl = np.flatnonzero(effects.additive[:, trait]).tolist()
        partners: dict[int, list[str]] = {}
        for pair, effect in zip(effects.pairs[trait].tolist(), effects.epistatic[trait], strict=True):
            first, second = map(qtl.index, pair)
            partners |= {first: [str(second + 1), f"{effect:.15g}"], second: [str(first + 1), f"{effect:.15g}"]}
        for locus in range(10):
            own = [str(trait + 1), str(locus + 1), f"{effects.additive[locus, trait]:.15g}"]
            eff.append([*own, *partners.get(locus, ["NA", "NA"]), f"{alleles[:, locus].mean():.15g}"])
    g = [["qtl", *(f"{i + 1}_1" for i in range(200))], *([f"1_{k + 1}", *map(str, alleles[:, k])] for k in range(10))]
    p = [["ind", "Trait1", "Trait2"], *([str(i + 1), *(f"{y:.15g}" for y in phenotypes[i])] for i in range(200))]
    return path, {"eff": eff, "g": g, "p": p}


def write_texts(texts: Texts, folder: Path, end: str = "\n", last: str = "\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for kind, rows in texts.items():
        (folder / f"{TINY}_{kind}.txt").write_bytes((end.join(" ".join(row) for row in rows) + last).encode())
    return folder


def same_as_simulated(imported: Path, simulated: Path) -> bool:
    with Dataset(imported) as ours, Dataset(simulated) as theirs:
        np.testing.assert_allclose(ours.phenotypes(), theirs.phenotypes(), rtol=1e-14)
        np.testing.assert_allclose(ours.genetic_values(), theirs.genetic_values(), atol=1e-12)  # type: ignore[arg-type]
        return np.array_equal(ours.genotypes().packed, theirs.genotypes().packed)


@pytest.mark.parametrize(("end", "last"), [("\n", "\n"), ("\r\n", "\r\n"), ("\n", ""), ("\n", "\n\n"), ("\r\n", "")])
def test_line_ends(tiny: tuple[Path, Texts], end: str, last: str, tmp_path: Path) -> None:
    folder = write_texts(tiny[1], tmp_path / "texts", end, last)
    assert same_as_simulated(import_texts(folder, TINY, tmp_path / "D.h5", h2=TINY_H2), tiny[0])


def test_names_of_individuals_as_r_may_write_them(tiny: tuple[Path, Texts], tmp_path: Path) -> None:
    texts = {**tiny[1], "p": [row.copy() for row in tiny[1]["p"]]}
    texts["p"][100][0] = "1e+02"
    folder = write_texts(texts, tmp_path / "texts")
    assert same_as_simulated(import_texts(folder, TINY, tmp_path / "D.h5", h2=TINY_H2), tiny[0])


def test_epi_loc_in_the_rows_of_the_qtl(tiny: tuple[Path, Texts], tmp_path: Path) -> None:
    """The same pairs, written into the rows of the loci they belong to instead of the first n_qtl rows."""
    texts = {**tiny[1], "eff": [row.copy() for row in tiny[1]["eff"]]}
    for start in (1, 11):
        rows = texts["eff"][start : start + 10]
        columns = iter([row[3:5] for row in rows if row[3] != "NA"])
        for row in rows:
            row[3:5] = next(columns) if row[2] != "0" else ["NA", "NA"]
    assert texts["eff"] != tiny[1]["eff"]
    folder = write_texts(texts, tmp_path / "texts")
    assert same_as_simulated(import_texts(folder, TINY, tmp_path / "D.h5", h2=TINY_H2), tiny[0])


def test_archive_with_the_genotypes_first(tiny: tuple[Path, Texts], tmp_path: Path) -> None:
    folder = write_texts(tiny[1], tmp_path / "texts")
    with tarfile.open(tmp_path / "texts.tar.gz", "w:gz") as archive:
        for kind in ("g", "p", "eff"):
            archive.add(folder / f"{TINY}_{kind}.txt", f"./data/{kind}/{TINY}_{kind}.txt")
    assert same_as_simulated(import_texts(tmp_path / "texts.tar.gz", TINY, tmp_path / "D.h5", h2=TINY_H2), tiny[0])


def cell(kind: str, line: int, column: int, value: str) -> Callable[[Texts], None]:
    """The mutation that puts `value` there; both count from 1."""

    def mutate(texts: Texts) -> None:
        texts[kind][line - 1][column - 1] = value

    return mutate


def rows(kind: str, change: Callable[[list[list[str]]], Any]) -> Callable[[Texts], None]:
    return lambda texts: change(texts[kind])


def noise(texts: Texts) -> None:
    """Trait 2 keeps its distribution but loses its individuals, as if computed from other loci."""
    values = [row[2] for row in texts["p"][1:]]
    for row, value in zip(texts["p"][1:], values[1:] + values[:1], strict=True):
        row[2] = value


def constant(texts: Texts) -> None:
    """Every QTL of trait 2 has the same allele in all individuals."""
    for row in texts["eff"][11:]:
        if row[2] != "0":
            texts["g"][int(row[1])][1:] = ["1"] * 200
    for row in texts["eff"][1:]:
        row[5] = str(np.mean([float(allele) for allele in texts["g"][int(row[1])][1:]]))


def shifted(texts: Texts) -> None:
    for row in texts["p"][1:]:
        row[1] = f"{float(row[1]) + 1}"


def unequal_partners(texts: Texts) -> None:
    texts["eff"][11][4] = "0.125"


def odd_qtl(texts: Texts) -> None:
    """Trait 1 with its last QTL gone from both columns."""
    next(row for row in reversed(texts["eff"][1:11]) if row[2] != "0")[2] = "0"
    texts["eff"][6][3:5] = ["NA", "NA"]


def misplaced_partners(texts: Texts) -> None:
    """Trait 1's last partner stands one row too low."""
    texts["eff"][6][3:5], texts["eff"][7][3:5] = texts["eff"][7][3:5], texts["eff"][6][3:5]


def other_qtl_count(texts: Texts) -> None:
    """Trait 2 with one pair of QTL less."""
    chosen = [row for row in texts["eff"][11:] if row[2] != "0"][4:]
    for row in chosen:
        row[2] = "0"
    for index, partner in enumerate((2, 1, 4, 3)):
        texts["eff"][11 + index][3:5] = [str(partner), "0.1"]
    for index in (4, 5):
        texts["eff"][11 + index][3:5] = ["NA", "NA"]


BROKEN: dict[str, tuple[Callable[[Texts], None], list[str]]] = {
    "missing phenotype": (cell("p", 4, 3, "NA"), ["_p.txt, line 4: individual '3', Trait2 is missing: 'NA'"]),
    "empty phenotype": (cell("p", 4, 2, ""), ["_p.txt, line 4: individual '3', Trait1 is missing: ''"]),
    "phenotype is a word": (cell("p", 201, 2, "tall"), ["_p.txt, line 201: individual '200', Trait1 is not a finite number: 'tall'"]),
    "phenotype with underscore": (cell("p", 2, 2, "1_0"), ["_p.txt, line 2: individual '1', Trait1 is not a finite number: '1_0'"]),
    "infinite phenotype": (cell("p", 9, 3, "Inf"), ["_p.txt, line 9: individual '8', Trait2 is not a finite number: 'Inf'"]),
    "nan phenotype": (cell("p", 9, 3, "NaN"), ["_p.txt, line 9: individual '8', Trait2 is not a finite number: 'NaN'"]),
    "short phenotype row": (rows("p", lambda p: p[6].pop()), ["_p.txt, line 7: has 2 fields", "the header has 3"]),
    "long phenotype row": (rows("p", lambda p: p[6].append("0")), ["_p.txt, line 7: has 4 fields", "the header has 3"]),
    "empty line inside": (rows("p", lambda p: p.insert(5, [])), ["_p.txt, line 6: is empty, but is not the last line"]),
    "swapped individuals": (
        rows("p", lambda p: p.insert(2, p.pop(1))),
        ["_p.txt, line 2: individual '2', expected '1' as in", "_g.txt: both must list the same individuals in the same order"],
    ),
    "individual twice": (cell("p", 4, 1, "2"), ["_p.txt, line 4: individual '2' is there twice (the second is number 3)"]),
    "individual twice in the header": (cell("g", 1, 4, "2_1"), ["_g.txt, line 1: individual '2' is there twice (the second is number 3)"]),
    "too few individuals": (rows("p", lambda p: p.pop()), ["_p.txt: has 199 individuals, but", "_g.txt has 200"]),
    "no trait columns": (
        rows("p", lambda p: p.__setitem__(slice(None), [row[:1] for row in p])),
        ["_p.txt, line 1: header must be 'ind Trait1"],
    ),
    "wrong trait column": (cell("p", 1, 3, "Trait3"), ["_p.txt, line 1: header must be", "in order, got 'ind Trait1 Trait3'"]),
    "header of phenotypes gone": (rows("p", lambda p: p.pop(0)), ["_p.txt, line 1: header must be 'ind Trait1 Trait2 …'"]),
    "trait without effects": (
        rows("eff", lambda eff: eff.__delitem__(slice(11, None))),
        ["_p.txt, line 1: Trait2 has no effects: the _eff.txt file has 1 traits"],
    ),
    "trait without phenotypes": (
        rows("p", lambda p: [row.pop() for row in p]),
        ["_p.txt, line 1: trait 2 of the _eff.txt file has no column Trait2 here"],
    ),
    "empty phenotypes": (rows("p", lambda p: p.clear()), ["_p.txt: is empty"]),
    "empty genotypes": (rows("g", lambda g: g.clear()), ["_g.txt: is empty"]),
    "empty effects": (rows("eff", lambda eff: eff.clear()), ["_eff.txt: is empty"]),
    "no effects": (rows("eff", lambda eff: eff.__delitem__(slice(1, None))), ["_eff.txt: has a header but no rows"]),
    "allele 2": (cell("g", 5, 4, "2"), ["_g.txt, line 5: locus 1_4, individual '3': allele is unknown: '2', expected 0 or 1"]),
    "allele x": (cell("g", 11, 201, "x"), ["_g.txt, line 11: locus 1_10, individual '200': allele is unknown: 'x'"]),
    "missing allele": (cell("g", 5, 4, "NA"), ["_g.txt, line 5: locus 1_4, individual '3': allele is missing: 'NA'"]),
    "empty allele": (cell("g", 5, 4, ""), ["_g.txt, line 5: locus 1_4, individual '3': allele is missing: ''"]),
    "short genotype row": (rows("g", lambda g: g[4].pop()), ["_g.txt, line 5: has 200 fields", "the header has 201"]),
    "long genotype row": (rows("g", lambda g: g[4].append("1")), ["_g.txt, line 5: has 202 fields", "the header has 201"]),
    "tab between alleles": (
        rows("g", lambda g: g[4].__setitem__(slice(3, 5), ["0\t1"])),
        ["_g.txt, line 5: has 200 fields separated by single"],
    ),
    "locus left out": (rows("g", lambda g: g.pop(4)), ["_g.txt, line 5: locus is called '1_5', expected '1_4'"]),
    "too few loci": (rows("g", lambda g: g.pop()), ["_g.txt: ends after 9 loci, the _eff.txt file has 10"]),
    "too many loci": (rows("g", lambda g: g.append(["1_11", *g[1][1:]])), ["_g.txt, line 12: locus 11 has no effects"]),
    "header of genotypes gone": (rows("g", lambda g: g.pop(0)), ["_g.txt, line 1: header must be 'qtl 1_1 2_1 …'"]),
    "diploid header": (cell("g", 1, 3, "1_2"), ["_g.txt, line 1: column 3 is '1_2', expected <individual>_1"]),
    "column of effects gone": (rows("eff", lambda eff: eff[0].pop()), ["_eff.txt, line 1: header must be 'trait locus add_eff epi_loc"]),
    "short effect row": (rows("eff", lambda eff: eff[2].pop()), ["_eff.txt, line 3: has 5 fields", "the header has 6"]),
    "missing additive effect": (cell("eff", 3, 3, "NA"), ["_eff.txt, line 3: add_eff is missing: 'NA'"]),
    "locus missing in trait 2": (
        rows("eff", lambda eff: eff.pop(13)),
        ["_eff.txt, line 14: is trait 2, locus 4; expected trait 2, locus 3: every trait lists the same loci 1, 2, … in order"],
    ),
    "effects cut short": (rows("eff", lambda eff: eff.pop()), ["_eff.txt: ends after locus 9 of trait 2, trait 1 has 10 loci"]),
    "half a locus": (cell("eff", 3, 2, "2.5"), ["_eff.txt, line 3: locus must be a whole number, got '2.5'"]),
    "partner out of range": (cell("eff", 2, 4, "7"), ["_eff.txt, line 2: trait 1, QTL 1: epi_loc 7 is not the number of a QTL, 1 to 6"]),
    "own partner": (cell("eff", 2, 4, "1"), ["_eff.txt, line 2: trait 1, QTL 1: is its own partner"]),
    "partner of a neutral locus": (
        cell("eff", 8, 4, "1"),
        ["_eff.txt, line 8: epi_loc is '1' and epi_eff 'NA': both or neither must be NA"],
    ),
    "one-sided pair effect": (unequal_partners, ["_eff.txt, line 12: trait 2, QTL 1: epi_eff is 0.125, but", "at its partner QTL"]),
    "one QTL less": (
        lambda texts: next(row for row in texts["eff"][1:] if row[2] != "0").__setitem__(2, "0"),
        ["_eff.txt: trait 1: 5 loci have an additive effect, but 6 rows an epi_loc"],
    ),
    "odd QTL count": (odd_qtl, ["_eff.txt: trait 1: 5 QTL, expected an even number: they form pairs"]),
    "misplaced partners": (
        misplaced_partners,
        ["_eff.txt: trait 1: epi_loc must stand in the rows of loci 1 to 6, or in those of the QTL"],
    ),
    "QTL counts differ": (other_qtl_count, ["_eff.txt: trait 2 has 4 QTL, but trait 1 has 6: all must have as many"]),
    "other frequencies": (
        cell("eff", 14, 6, "0.123"),
        ["_eff.txt, line 14: trait 2, locus 3: sfs is 0.123, but allele 1 has frequency 0.", "do the files belong together?"],
    ),
    "unexplained phenotypes": (
        noise,
        [
            "_p.txt: Trait2: the effects do not explain the phenotypes: these correlate",
            "their slope on them is",
            "expected 1 ±",
            "AlphaSimR 2.0 and 2.1",
        ],
    ),
    "no genetic variance": (constant, ["_eff.txt: trait 2: its effects make no genetic variance in these genotypes"]),
    "phenotypes with a mean": (shifted, ["_p.txt: Trait1: mean is 1.004, expected 0 ± 0.14: AlphaSimR shifts"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_texts(case: str, tiny: tuple[Path, Texts], tmp_path: Path) -> None:
    mutate, expected = BROKEN[case]
    texts = {kind: [row.copy() for row in table] for kind, table in tiny[1].items()}
    mutate(texts)
    with pytest.raises(DatasetError) as error:
        import_texts(write_texts(texts, tmp_path / "texts"), TINY, tmp_path / "D.h5", h2=TINY_H2)
    missing = [part for part in expected if part not in str(error.value)]
    assert not missing, f"{missing} not in: {error.value}"


def test_asymmetric_partners(tiny: tuple[Path, Texts], tmp_path: Path) -> None:
    texts = {**tiny[1], "eff": [row.copy() for row in tiny[1]["eff"]]}
    true_partner = int(texts["eff"][1][3])
    wrong = next(other for other in range(2, 7) if other != true_partner)
    texts["eff"][1][3] = str(wrong)
    with pytest.raises(
        DatasetError, match=rf"_eff.txt, line 2: trait 1, QTL 1: its partner is QTL {wrong}, whose partner is QTL \d; partners must"
    ):
        import_texts(write_texts(texts, tmp_path / "texts"), TINY, tmp_path / "D.h5", h2=TINY_H2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_individuals": 201}, "_g.txt: n_individuals is 200, expected 201 as set"),
        ({"n_loci": 11}, "_eff.txt: n_loci is 10, expected 11 as set"),
        ({"n_qtl": 8}, "_eff.txt: n_qtl is 6, expected 8 as set"),
        ({"rel_aa": (0.0, 0.5, 1.0)}, "_eff.txt: has 2 traits, but rel_aa is set to 3 values; one per trait is needed"),
        ({"h2": 0.5}, "h2 0.5 means 1 ± 0.6: h2 is set too low; if the effects are right, it is near 0.9"),
        ({"h2": 0.99}, "h2 is set too high, or the effects do not explain the phenotypes; if they are right, it is near 0.9"),
    ],
)
def test_settings_that_the_files_contradict(settings: dict[str, Any], message: str, tiny: tuple[Path, Texts], tmp_path: Path) -> None:
    folder = write_texts(tiny[1], tmp_path / "texts")
    with pytest.raises(DatasetError, match=message):
        import_texts(folder, TINY, tmp_path / "D.h5", **{"h2": TINY_H2, **settings})
    import_texts(folder, TINY, tmp_path / "D.h5", n_individuals=200, n_loci=10, n_qtl=6, rel_aa=(0.0, 1.0), h2=TINY_H2)


def test_unexplained_phenotypes_are_kept_on_request(tmp_path: Path) -> None:
    """The real dilution data, trait 2 dealt to other individuals: refused; with allow_unexplained all but the genetic values is there."""
    folder = unpacked(DILUTION, tmp_path / "texts")
    path = folder / f"{DILUTION}_p.txt"
    table = pd.read_csv(path, sep=" ")
    table["Trait2"] = table["Trait2"].to_numpy()[::-1]
    table.to_csv(path, sep=" ", index=False)
    with pytest.raises(DatasetError, match=r"Trait2: .*these correlate -?0\.0\d+ .*n_qtl < n_loci .*allow_unexplained"):
        import_texts(folder, DILUTION, tmp_path / "D.h5", h2=0.9999)
    _, _, genetic_values, pairs = read_independently(folder, DILUTION)
    with Dataset(import_texts(folder, DILUTION, tmp_path / "D.h5", h2=0.9999, allow_unexplained=True)) as data:
        assert data.genetic_values() is None
        assert np.array_equal(data.phenotypes()[:, 1], table["Trait2"])
        effects = data.effects()
        assert {frozenset(pair) for pair in effects.pairs[1].tolist()} == set(pairs[1])
        np.testing.assert_allclose(effects.intercept + sum(effects.parts(data.genotypes().packed)), genetic_values, atol=1e-12)
        assert data.facts()[1]["v_a"] == pytest.approx(0.30335, abs=1e-5)


@pytest.mark.parametrize("scenario", REAL)
def test_h2_that_is_not_given_is_estimated(scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Within 4 standard errors: the residual variance of n individuals and T traits has the relative one sqrt(2/(n·T))."""
    archive, h2 = REAL[scenario]
    with Dataset(import_texts(DATA / archive, scenario, tmp_path / "D.h5")) as data:
        found, values = data.attributes["h2"], data.n_individuals * data.n_traits
        assert data.attributes["h2_source"] == "estimated"
    assert 1 / found - 1 == pytest.approx(1 / h2 - 1, rel=4 * np.sqrt(2 / values))
    facts = [json.loads(line).get("facts") for line in capsys.readouterr().err.splitlines()]
    assert {"h2": found, "h2_source": "estimated"} in facts
    with Dataset(import_texts(DATA / archive, scenario, tmp_path / "D.h5", h2=h2)) as data:
        assert (data.attributes["h2"], data.attributes["h2_source"]) == (h2, "given")


def explained_texts(tiny: tuple[Path, Texts], folder: Path, weights: tuple[float, float], h2s: tuple[float, float]) -> Path:
    """The tiny scenario; a trait's phenotype has this share of its genetic value in another individual's, and the heritability h2."""
    rng = np.random.default_rng(1)
    with Dataset(tiny[0]) as data:
        values = data.genetic_values()
    assert values is not None
    mixed = [weight * one + np.sqrt(1 - weight**2) * np.roll(one, 1) for one, weight in zip(values.T, weights, strict=True)]
    columns = [one + np.sqrt(1 / h2 - 1) * rng.standard_normal(200) for one, h2 in zip(mixed, h2s, strict=True)]
    p = [tiny[1]["p"][0], *([str(i + 1), *(f"{y:.15g}" for y in row)] for i, row in enumerate(np.column_stack(columns)))]
    return write_texts({**tiny[1], "p": p}, folder)


@pytest.mark.parametrize(
    ("weights", "h2s", "message"),
    [
        ((1, 1), (0.9, 0.9), None),
        ((0.49, 0.49), (0.999, 0.999), "Trait1: the effects do not explain the phenotypes: .*AlphaSimR 2.0 and 2.1"),
        ((1, 0.22), (0.999, 0.999), "Trait2: the effects do not explain the phenotypes: .*AlphaSimR 2.0 and 2.1"),
        ((1, 1), (0.9, 0.3), "Trait1: residual variance is .* its h2 is near 0.9.* share one"),
        ((1, 1), (0.04, 0.04), "Trait1: residual variance is .* too much to estimate h2 from 200 individuals; set h2"),
    ],
)
def test_h2_is_estimated_only_where_the_effects_explain_the_phenotypes(
    weights: tuple[float, float], h2s: tuple[float, float], message: str | None, tiny: tuple[Path, Texts], tmp_path: Path
) -> None:
    """AlphaSimR 2.0 and 2.1 correlate 0.49 (additive trait) and 0.22 (epistatic) with what the effects of some loci give."""
    folder = explained_texts(tiny, tmp_path / "texts", weights, h2s)
    if message is None:
        import_texts(folder, TINY, tmp_path / "D.h5")
        return
    with pytest.raises(DatasetError, match=message):
        import_texts(folder, TINY, tmp_path / "D.h5")


def test_unexplained_phenotypes_tell_no_h2() -> None:
    with pytest.raises(SettingsError, match="h2: is required with allow_unexplained"):
        build(ImportSettings, {"scenario": TINY, "allow_unexplained": True})


@pytest.mark.parametrize("kept", [0, 10, 500, 60_000, 150_000])
def test_archives_cut_short(kept: int, tmp_path: Path) -> None:
    archive = tmp_path / "cut.tar.xz"
    archive.write_bytes((DATA / "alphasimr_scaling_input.tar.xz").read_bytes()[:kept])
    with pytest.raises(DatasetError, match=r"cut.tar.xz: (cut short, or not a tar archive|holds no)"):
        import_texts(archive, "qhaplo_90qtl_1000n_rep1", tmp_path / "D.h5")


def test_sources_without_the_scenario(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"golden.csv: cut short, or not a tar archive \(.tar, .tar.gz or .tar.xz\)"):
        import_texts(DATA / "golden.csv", DILUTION, tmp_path / "D.h5")
    with pytest.raises(
        DatasetError, match=r"holds no qhaplo_47.*_p.txt \(looked in all folders of the archive\); did you mean scenario qhaplo_46"
    ):
        import_texts(DATA / "alphasimr_scaling_input.tar.xz", "qhaplo_47qtl_1000n_rep1", tmp_path / "D.h5")


def test_command(tmp_path: Path) -> None:
    arguments = ["import-alphasimr", "--from", str(DATA / "alphasimr_scaling_input.tar.xz"), "--out", str(tmp_path / "D.h5")]
    failed = CliRunner().invoke(cli.command_line(), [*arguments, "--scenario", "qhaplo_46qtl_1000n_rep1", "--n-loci", "47"])
    assert failed.exit_code == 1
    assert "qhaplo_46qtl_1000n_rep1_eff.txt: n_loci is 46, expected 47 as set" in failed.output
    assert list(tmp_path.iterdir()) == []
    done = CliRunner().invoke(cli.command_line(), [*arguments, "--scenario", "qhaplo_46qtl_1000n_rep1", "--rel-aa", "0,0.1,0.5,1,3"])
    assert done.exit_code == 0, done.output
    with Dataset(tmp_path / "D.h5") as data:
        assert (data.n_individuals, data.n_loci, data.n_traits) == (1000, 46, 5)
        assert data.attributes["rel_aa"].tolist() == [0, 0.1, 0.5, 1, 3]
