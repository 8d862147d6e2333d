"""Populations of a user's own files: what their configs may say, what their results are known by, and a run from end to end."""

import json
import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from crates import Crate
from drivers import PROJECT, changed, entries, run, write_study
from explained import unexplained
from luigi.task_register import Register

from gpatlas.data.settings import ImportPlinkSettings
from gpatlas.needs import Needs
from gpatlas.settings import Size
from pipeline import Data, Fit, RunAll
from pipeline.config import load_config
from pipeline.docker_runner import container_options
from pipeline.faults import ConfigError
from pipeline.own import OwnScenario
from pipeline.tasks import Collect, load_once

FILES = PROJECT / "tests" / "data" / "own"
D = "experiments.trial.data"
VALID: dict[str, Any] = {
    "protocol": "cross_validation",
    "n_folds": 5,
    "experiments": {
        "trial": {
            "data": {
                "genotypes": "own.bed",
                "phenotypes": "own.pheno.tsv",
                "covariates": "own.covariates.tsv",
                "group_column": "family",
                "traits": ["height", ["yield", "protein"]],
                "min_maf": 0.05,
            },
            "models": {"ridge": None, "pairwise": None},
            "figures": ["prediction", "observed"],
        }
    },
}


def study(folder: Path, key: str = "", value: Any = None) -> Path:
    """VALID as a file, with one value replaced, as `changed` does it."""
    return write_study(folder / "study.yaml", changed(VALID, key, value) if key else VALID)


def own(path: Path) -> OwnScenario:
    (scenario,) = load_config(path).own
    return scenario


def test_a_population_is_a_block_of_files(folder: Path) -> None:
    scenario = own(study(folder))
    assert (scenario.experiment, scenario.name, scenario.replicate, scenario.stage.name) == ("trial", "trial", 1, "import-plink")
    assert scenario.settings == ImportPlinkSettings(
        phenotypes=folder / "own.pheno.tsv",
        covariates=folder / "own.covariates.tsv",
        group_column="family",
        traits=("height", "yield", "protein"),
        min_maf=0.05,
    )
    assert scenario.size == Size(288, 390, 3, bits=2)
    assert {(settings.protocol, settings.n_folds, settings.seed) for _, settings in scenario.models} == {("cross_validation", 5, 1)}


def test_every_trait_and_model_is_a_fit(folder: Path) -> None:
    fits = [(model, settings.model_dump()["traits"], name) for model, settings, name, _ in own(study(folder)).fits()]
    height, both = ("height",), ("yield", "protein")
    assert fits == [
        ("ridge", height, "height"),
        ("pairwise", height, "height"),
        ("ridge", both, "yield+protein"),
        ("pairwise", both, "yield+protein"),
    ]


def test_traits_left_out_are_all_of_the_table(folder: Path) -> None:
    assert own(study(folder, f"{D}.traits", ...)).trait_sets == (("height",), ("yield",), ("protein",))


def test_the_usual_protocol_is_cross_validation(folder: Path) -> None:
    assert {settings.protocol for _, settings in own(study(folder, "protocol", ...)).models} == {"cross_validation"}


def test_traits_of_any_name_have_folders_of_their_own(folder: Path) -> None:
    table = (folder / "own.pheno.tsv").read_text().replace("height\tyield\tprotein", "a/b\ta b\t-x", 1)
    (folder / "own.pheno.tsv").write_text(table)
    names = [name for _, _, name, _ in own(study(folder, f"{D}.traits", ["a/b", "a b", "-x"])).fits()]
    assert names == ["a_b", "a_b", "traits_2", "traits_2", "traits_3", "traits_3"]


def test_several_populations_have_names(folder: Path) -> None:
    block = VALID["experiments"]["trial"]["data"]
    config = load_config(study(folder, D, [{**block, "name": "all"}, {**block, "name": "common", "min_maf": 0.2}]))
    assert [(scenario.name, scenario.settings.min_maf) for scenario in config.own] == [("all", 0.05), ("common", 0.2)]


def test_simulated_and_own_populations_stand_in_one_config(folder: Path) -> None:
    grid = {"scenario": "rep{replicate}", "grid": [{"n_individuals": 200, "n_qtl": 10}], "models": {"ridge": None}, "protocol": "holdout"}
    config = load_config(study(folder, "experiments.simulated", grid))
    assert [population.experiment for population in config.populations] == ["simulated", "trial"]
    assert [settings.protocol for _, settings in config.scenarios[0].models] == ["holdout"]
    assert load_config(config.path, ("trial",)).populations == config.own


@pytest.mark.parametrize(
    ("name", "stage"),
    [("x.BED", "plink"), ("x.vcf", "vcf"), ("x.vcf.gz", "vcf"), ("x.bcf", "vcf"), ("x.csv", "table"), ("x.tsv.gz", "table")],
)
def test_the_file_s_name_tells_the_importer(folder: Path, name: str, stage: str) -> None:
    with pytest.raises(ConfigError) as fault:
        load_config(study(folder, f"{D}.genotypes", name))
    assert "ends with none of" not in str(fault.value)
    assert f"{name!r} does not exist" in str(fault.value)


FAULTS = [
    (f"{D}.genotypes", "absent.bed", f"{D}.genotypes: 'absent.bed' does not exist (looked for "),
    (f"{D}.genotypes", ".", f"{D}.genotypes: '.' is a folder, expected a file"),
    (f"{D}.genotypes", ..., f"{D}.genotypes: is required: a file, from the config's folder"),
    (f"{D}.genotypes", 3, f"{D}.genotypes: must be the name of a file, got 3"),
    (f"{D}.genotypes", "own.bim", f"{D}.genotypes: 'own.bim' ends with none of .bed, .vcf, .vcf.gz, .bcf, .csv, "),
    (f"{D}.phenotypes", "absent.tsv", f"{D}.phenotypes: 'absent.tsv' does not exist (looked for "),
    (f"{D}.phenotypes", ..., f"{D}.phenotypes: is required: a file, from the config's folder"),
    (f"{D}.covariates", "absent.tsv", f"{D}.covariates: 'absent.tsv' does not exist (looked for "),
    (f"{D}.group_column", "famly", f"{D}.group_column: 'famly' is no column of "),
    (f"{D}.id_column", "ID", f"{D}.phenotypes: "),
    (f"{D}.traits", ["hight"], f"{D}.traits: 'hight' is no trait of the phenotypes, did you mean 'height'? (allowed: height, "),
    (f"{D}.traits", ["family"], f"{D}.traits: 'family' is no trait of the phenotypes"),
    (f"{D}.traits", ["height", ["yield", "height"]], f"{D}.traits: 'height' is given twice; a trait is fitted by itself, or in one set"),
    (f"{D}.traits", [], f"{D}.traits: must be a list of names, or of lists of names that are fitted together, got []"),
    (f"{D}.traits", "height", f"{D}.traits: must be a list of names, or of lists of names that are fitted together, got 'height'"),
    (f"{D}.trait", ["height"], f"{D}.trait: unknown key, did you mean 'traits'? (allowed: covariates, genotypes, "),
    (f"{D}.orientation", "loci", f"{D}.orientation: unknown key (allowed: "),
    (f"{D}.min_maf", 0.7, f"{D}.min_maf: must be less than or equal to 0.5, got 0.7"),
    (f"{D}.name", "a b", f"{D}.name: the name 'a b' holds ' '"),
    (D, [], f"{D}: must have at least one block, got []"),
    (D, "own.bed", f"{D}: must be a mapping with the keys genotypes, phenotypes, …, or a list of such mappings, got 'own.bed'"),
    (D, [{"genotypes": "own.bed"}], f"{D}.0.name: is required where there are several populations"),
    (D, [{"name": "a"}, {"name": "a"}], f"{D}.1.name: the population 'a' is given twice"),
    ("experiments.trial.grid", [{}], "experiments.trial.grid: goes with simulated populations; 'data' is given as well, leave one"),
    ("experiments.trial.modells", {}, "experiments.trial.modells: unknown key, did you mean 'models'?"),
    (
        "experiments.trial.figures",
        ["1a"],
        "experiments.trial.figures.0: figure '1a' is of simulated populations, and this experiment's are",
    ),
    ("experiments.trial.models.ridge", {"traits": ["height"]}, "experiments.trial.models.ridge.traits: are chosen for all models: in the"),
    ("experiments.trial.models.stack", {"fits": "a.json"}, "experiments.trial.models.stack.fits: are those of the experiment, which the"),
    ("experiments.trial.n_folds", 1, "experiments.trial.n_folds: must be greater than or equal to 2, got 1"),
    ("n_folds", 25, "experiments.trial.n_folds: 25 is more than the 24 groups of the column 'family'; a group is in one fold as a whole"),
    ("n_folds", 200, "experiments.trial.models.ridge: n_individuals 288 leaves less than 2 for each of n_folds 200"),
    ("protocol", "holdout", "experiments.trial.figures.1: figure 'observed' needs the protocol 'cross_validation'"),
    ("protocol", "holdout", "n_folds: goes with protocol 'cross_validation', which no experiment has"),
]


@pytest.mark.parametrize(("key", "value", "message"), FAULTS, ids=[f"{key}={value}"[:60] for key, value, _ in FAULTS])
def test_faults_are_named(folder: Path, key: str, value: Any, message: str) -> None:
    path = study(folder, key, value)
    with pytest.raises(ConfigError) as fault:
        load_config(path)
    assert any(line.startswith(f"{path}: {message}") for line in str(fault.value).splitlines()), fault.value


def test_all_faults_are_told_at_once(folder: Path) -> None:
    (folder / "own.bim").unlink()
    block = {"phenotypes": "own.pheno.tsv", "genotypes": "own.bed", "covariates": "none.tsv", "traits": ["hight"], "min_maf": -1, "x": 1}
    with pytest.raises(ConfigError) as fault:
        load_config(study(folder, D, block))
    found = str(fault.value)
    assert all(f"{D}.{name}: " in found for name in ("genotypes", "covariates", "traits", "min_maf", "x"))
    assert "own.bim: no such file; a .bed needs its .bim and .fam beside it" in found


PUBLISHED = "trait,broad_h2,narrow_h2,svm_r_squared,method\nheight,0.8,0.5,0.4,SVM\nprotein,NA,0.3,-0.1,\n"
PUBLISHED_VALUES = {
    "height": {"broad_h2": 0.8, "narrow_h2": 0.5, "svm_r_squared": 0.4, "method": "SVM"},
    "protein": {"broad_h2": None, "narrow_h2": 0.3, "svm_r_squared": -0.1, "method": None},
}


def with_published(folder: Path, text: str = PUBLISHED, **more: Any) -> Path:
    """VALID with a table of published values; `more`: of the experiment."""
    (folder / "published.csv").write_text(text)
    trial = VALID["experiments"]["trial"]
    return study(folder, "experiments.trial", {**trial, "data": {**trial["data"], "published": "published.csv"}, **more})


def test_published_values_are_numbers_or_words(folder: Path) -> None:
    scenario = own(with_published(folder))
    assert scenario.published == PUBLISHED_VALUES
    assert scenario.published_columns() == [{"broad_h2", "narrow_h2", "svm_r_squared", "method"}, set(), {"narrow_h2", "svm_r_squared"}]
    assert own(study(folder)).published == {}


PUBLISHED_FAULTS = [
    (PUBLISHED.replace("height", "hight"), ", line 2: 'hight' is no trait of the phenotypes, did you mean 'height'? (allowed: height, "),
    (PUBLISHED.replace("protein", "height"), ", line 3: trait 'height' is there twice; a trait has one row"),
    (PUBLISHED.replace("0.5", "half"), ", line 2, column 'narrow_h2': 'half' is no share of a variance, which is a number up to 1"),
    (PUBLISHED.replace("-0.1", "40"), ", line 3, column 'svm_r_squared': '40' is no share of a variance, which is a number up to 1"),
    (PUBLISHED.replace("0.8", "inf"), ", line 2, column 'broad_h2': 'inf' is no share of a variance"),
    (PUBLISHED.replace(",SVM", ""), ", line 2: has 4 fields, the header has 5"),
    (PUBLISHED.splitlines()[0], ": has no row beside its column names; it has a row per trait"),
    ("", ": is empty, or its first line is; a table starts with a line of column names"),
]


@pytest.mark.parametrize(("text", "message"), PUBLISHED_FAULTS, ids=[message[:30] for _, message in PUBLISHED_FAULTS])
def test_faults_of_published_values_are_named_before_any_work(folder: Path, text: str, message: str) -> None:
    """And no figure says that it lacks them."""
    path = with_published(folder, text, figures=["gain"])
    with pytest.raises(ConfigError) as fault:
        load_config(path)
    assert str(fault.value).startswith(f"{path}: {D}.published: {folder / 'published.csv'}{message}")
    assert len(str(fault.value).splitlines()) == 1


def test_a_published_table_that_is_not_there_is_a_fault(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.published: 'absent\.csv' does not exist \(looked for "):
        load_config(study(folder, f"{D}.published", "absent.csv"))


def test_the_figure_gain_needs_published_values_of_a_trait_that_is_fitted(folder: Path) -> None:
    assert load_config(with_published(folder, figures=["gain"])).figures == (("trial", "gain"),)
    lacks = r"figures\.0: figure 'gain' needs a trait with values in the columns broad_h2 and narrow_h2 of the table 'published'"
    with pytest.raises(ConfigError, match=lacks):
        load_config(with_published(folder, PUBLISHED.replace("height", "yield").replace("0.8", "NA"), figures=["gain"]))
    with pytest.raises(ConfigError, match=lacks):
        load_config(study(folder, "experiments.trial.figures", ["gain"]))
    with pytest.raises(ConfigError, match=r"figure 'gain' needs one of the models egblup, rkhs, pairwise, "):
        load_config(with_published(folder, figures=["gain"], models={"ridge": None}))


def test_a_simulated_experiment_draws_no_figure_of_imported_ones(folder: Path) -> None:
    grid = {"scenario": "rep{replicate}", "grid": [{"n_individuals": 200, "n_qtl": 10}], "models": {"ridge": None}, "figures": ["loci"]}
    with pytest.raises(ConfigError, match=r"figures.0: figure 'loci' is of imported populations, and this experiment's are simulated"):
        load_config(study(folder, "experiments.simulated", grid))


def stages(path: Path) -> list[Any]:
    load_once.cache_clear()
    Register.clear_instance_cache()
    return RunAll(config=path, results=path.parent / "results").stages()


def with_stack(folder: Path, **models: Any) -> Path:
    """The study with a stack of ridge regression and elastic net, and these models' settings."""
    quick = {"l1_ratios": [1.0], "n_penalties": 20}
    told = {"stack": {"models": ["ridge", "elastic_net"]}, "ridge": None, "elastic_net": quick, **models}
    return study(folder, "experiments.trial.models", {name: value for name, value in told.items() if value is not ...})


def bases_of(path: Path) -> list[list[str]]:
    return [sorted(task.base_fits) for task in stages(path) if isinstance(task, Fit) and task.model == "stack"]


def test_a_stack_combines_the_fits_of_its_experiment(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path, results = with_stack(folder), folder / "results"
    assert bases_of(path) == [["elastic_net", "ridge"]] * 2
    order = [task.model for task in stages(path) if isinstance(task, Fit)]
    assert order.index("stack") == len(order) - 2, "inputs come first"
    small = changed(changed(yaml.safe_load(path.read_text()), f"{D}.traits", ["height"]), "experiments.trial.figures", ...)
    code, output = run(write_study(path, {**small, "n_folds": 2}), results)
    assert code == 0, output
    table = pd.read_csv(results / "study" / "results.csv")
    assert set(table["model"]) == {"stack", "ridge", "elastic_net"}
    (provenance,) = (results / "store" / "trial" / "trial" / "height").glob("stack-*/provenance.json")
    told = json.loads(provenance.read_text())
    assert set(told["ingredients"]["inputs"]) == {"data", "ridge", "elastic_net"}
    assert f"--fits {provenance.parent / 'base_fits.json'}" in told["command"]

    crate = Crate(results / "study", inputs=folder)
    assert str(folder) not in crate.text + (crate.folder / "config.yaml").read_text()
    read = {f"own.{end}" for end in ("bed", "bim", "fam", "pheno.tsv", "covariates.tsv")}
    assert {item["alternateName"] for item in crate.of(crate.actions["Run of the study study"], "object")} == {
        f"inputs/{name}" for name in read
    }
    data = yaml.safe_load((crate.folder / "config.yaml").read_text())["experiments"]["trial"]["data"]
    assert (data["genotypes"], data["phenotypes"]) == ("inputs/own.bed", "inputs/own.pheno.tsv")
    made = crate.repeat("trial/trial/height stack", tmp_path_factory.mktemp("empty"))
    (again,) = (pd.read_csv(path) for path in made.values() if path.name == "table.csv")
    original = pd.read_csv(provenance.parent / "table.csv")
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), original.drop(columns="seconds"))


@pytest.mark.parametrize(
    ("model", "settings"), [("elastic_net", ...), ("elastic_net", {"n_folds": 6}), ("stack", {"models": ["ridge", "linear_sgd"]})]
)
def test_a_stack_fits_models_that_are_not_at_hand(folder: Path, model: str, settings: Any) -> None:
    assert bases_of(with_stack(folder, linear_sgd=None, **{model: settings})) == [[]] * 2


def test_another_base_makes_another_stack(folder: Path) -> None:
    def key(path: Path) -> str:
        return next(task.key for task in stages(path) if isinstance(task, Fit) and task.model == "stack")

    assert key(with_stack(folder)) != key(with_stack(folder, ridge={"n_penalties": 50}))


def test_moved_and_renamed_files_are_the_same_population(folder: Path, tmp_path: Path) -> None:
    before = [task.key for task in stages(study(folder)) if isinstance(task, Data | Fit)]
    (folder / "elsewhere").mkdir()
    for path in folder.glob("own.*"):
        path.rename(folder / "elsewhere" / path.name.replace("own", "other", 1))
    block = VALID["experiments"]["trial"]["data"]
    moved = {name: value.replace("own.", "elsewhere/other.") if isinstance(value, str) else value for name, value in block.items()}
    assert [task.key for task in stages(study(folder, D, moved)) if isinstance(task, Data | Fit)] == before


@pytest.mark.parametrize("name", ["own.bed", "own.bim", "own.fam", "own.pheno.tsv", "own.covariates.tsv"])
def test_a_byte_of_any_file_makes_it_another(folder: Path, name: str) -> None:
    before = {task.label: task.key for task in stages(study(folder)) if isinstance(task, Data | Fit)}
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(content)
    after = {task.label: task.key for task in stages(study(folder)) if isinstance(task, Data | Fit)}
    assert before.keys() == after.keys()
    assert all(before[label] != after[label] for label in before)


def test_published_values_change_the_key_of_what_collects_them_alone(folder: Path) -> None:
    before = {task.label: task.key for task in stages(study(folder))}
    assert "published" not in next(task for task in stages(study(folder)) if isinstance(task, Collect)).ingredients["inputs"]
    found = {task.label: task.key for task in stages(with_published(folder))}
    other = {task.label: task.key for task in stages(with_published(folder, PUBLISHED.replace("0.8", "0.9")))}
    assert {task.label for task in stages(study(folder)) if isinstance(task, Data | Fit)} == {
        label for label in before if before[label] == found[label]
    }
    assert {label for label in before if found[label] == other[label]} == {label for label in before if before[label] == found[label]}
    assert found["collected/study results"] != before["collected/study results"]


def test_the_manifest_lists_published_values(folder: Path) -> None:
    for write, expected in ((study, None), (with_published, PUBLISHED_VALUES)):
        collect = next(task for task in stages(write(folder)) if isinstance(task, Collect))
        collect.prepare(folder)
        listed = json.loads((folder / "manifest.json").read_text())
        assert len(listed) == 4
        assert all(entry.get("published") == expected for entry in listed)


def test_an_import_s_container_sees_its_files_and_no_others(folder: Path) -> None:
    data = next(task for task in stages(study(folder)) if isinstance(task, Data))
    job = data.job(folder / "part", folder / "part" / "data.h5")
    mounts = {mount["Source"]: (mount["Target"], mount["ReadOnly"]) for mount in container_options(job, "1:1")["mounts"]}
    files = [folder / f"own.{end}" for end in ("bed", "bim", "fam", "pheno.tsv", "covariates.tsv")]
    results = folder / "results"
    assert mounts == {str(path): (str(path), path != folder / "part") for path in (*files, results, folder / "part")}
    assert job.arguments[:3] == ("import-plink", "--from", str(folder / "own.bed"))
    told = dict(zip(job.arguments[3::2], job.arguments[4::2], strict=True))
    assert (told["--phenotypes"], told["--covariates"]) == (str(folder / "own.pheno.tsv"), str(folder / "own.covariates.tsv"))


def test_files_that_are_links_keep_the_name_beside_which_the_others_are(folder: Path) -> None:
    (folder / "kept").mkdir()
    for number, end in enumerate(("bed", "bim", "fam")):
        (folder / f"own.{end}").rename(folder / "kept" / str(number))
        (folder / f"own.{end}").symlink_to(folder / "kept" / str(number))
    assert own(study(folder)).files()["bim"] == folder / "own.bim"


def test_a_fit_needs_what_its_sizes_tell(folder: Path) -> None:
    assert {task.needs for task in stages(study(folder)) if isinstance(task, Data | Fit)} == {Needs(1, 1, 0)}


def test_the_population_is_what_its_script_makes(tmp_path: Path) -> None:
    runpy.run_path(str(FILES / "make.py"))["main"](tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in FILES.glob("own.*")}


def test_a_run_from_end_to_end(folder: Path) -> None:
    path, results = study(folder), folder / "results"
    code, output = run(path, results)
    assert code == 0, output
    table = pd.read_csv(results / "study" / "results.csv")
    assert list(table.columns[:3]) == ["experiment", "scenario", "replicate"]
    assert sorted(zip(table["model"], table["trait"], table["trait_name"], strict=True)) == [
        (model, trait, name) for model in ("pairwise", "ridge") for trait, name in enumerate(("height", "yield", "protein"), 1)
    ]
    predictions = pd.read_csv(results / "study" / "predictions.csv")
    wanted = ["experiment", "scenario", "model", "trait", "trait_name", "repeat", "fold", "id", "observed", "predicted"]
    assert list(predictions.columns[: len(wanted)]) == wanted
    n_measured = predictions.groupby(["model", "trait_name"])["id"].nunique()
    assert dict(n_measured["ridge"]) == dict(n_measured["pairwise"]) == {"height": 288, "yield": 288, "protein": 235}
    loci = pd.read_csv(results / "study" / "loci.csv")
    assert set(loci["trait_name"]) == {"height", "yield", "protein"}
    assert {"id_1", "chromosome_1", "position_2"} <= set(pd.read_csv(results / "study" / "pairs.csv"))
    assert not unexplained("results", results / "study" / "results.csv")
    published = json.loads((results / "study" / "run.json").read_text())["published"]
    assert {"results.csv", "predictions.csv", "loci.csv", "pairs.csv", "report.html", "figures/figure_observed_trial.png"} <= set(published)
    before = entries(results)
    assert run(path, results)[1].startswith("nothing to do: ")
    (results / "study" / "predictions.csv").write_text("damaged")
    assert run(path, results)[0] == 0
    assert len(pd.read_csv(results / "study" / "predictions.csv")) == len(predictions)
    assert entries(results) == before
