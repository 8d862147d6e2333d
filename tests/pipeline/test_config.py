"""Configs: every shipped one is valid, grids expand to the study's scenarios, and every fault is named before work starts."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from drivers import changed
from own_files import with_files

from gpatlas.data.settings import ImportSettings, SimulateSettings
from gpatlas.models.registry import MODELS
from gpatlas.settings import build
from pipeline.config import load_config
from pipeline.faults import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
S = "experiments.scaling"
VALID: dict[str, Any] = {
    "protocol": "holdout",
    "experiments": {
        "scaling": {
            "scenario": "qhaplo_{n_qtl}qtl_{n_individuals}n_rep{replicate}",
            "simulation": {"rel_aa": [0, 1], "h2": 0.999},
            "grid": [{"n_individuals": [100, 200], "qtl_pairs_per_individual": [0.5, 2], "replicates": 2}],
            "models": {"ridge": None, "linear_sgd": {"epochs": 5}, "mlp": {"hidden_size": 8}},
            "figures": ["1a", "s1"],
        }
    },
}


def write(folder: Path, content: Any) -> Path:
    path = folder / "study.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configs_are_valid(path: Path, tmp_path: Path) -> None:
    config = load_config(with_files(path, tmp_path))
    assert config.name == path.stem
    assert config.populations
    if config.own:
        published = {"gain"} if path.stem == "yeast" else set()
        assert {figure for _, figure in config.figures} == {"prediction", "observed", "heritability", "loci"} | published
        return
    if path.stem == "published":
        assert not config.figures
        return
    of_linked = {"linkage": {"linkage", "linkage_pairs"}, "plan": {"plan"}}
    if path.stem in of_linked:
        assert {figure for _, figure in config.figures} == of_linked[path.stem]
        return
    expected = {"1a", "1b", "accessory_mlp", "accessory_linear", "s1"} | (set() if path.stem == "alphasimr" else {"2", "3"})
    expected |= {"4", "5"} if path.stem in ("demo", "reduced", "test") else set()
    assert {figure for _, figure in config.figures} == expected


@pytest.mark.parametrize(
    ("name", "experiment", "scenarios", "ridge_fits"),
    [
        ("paper", "scaling", 280, 200),
        ("paper", "dilution", 40, 40),
        ("paper", "pleiotropy", 250, 250),
        ("reduced", "scaling", 200, 200),
        ("reduced", "pleiotropy", 300, 300),
        ("reduced", "limits", 130, 130),
        ("alphasimr", "scaling", 3, 3),
    ],
)
def test_size_of_the_study(name: str, experiment: str, scenarios: int, ridge_fits: int) -> None:
    config = load_config(CONFIGS / f"{name}.yaml", (experiment,))
    assert config.name == f"{name}-{experiment}"
    assert len({scenario.name for scenario in config.scenarios}) == scenarios
    assert sum("ridge" in dict(scenario.models) for scenario in config.scenarios) == ridge_fits
    protocols = {settings.identity()["protocol"] for scenario in config.scenarios for _, settings in scenario.models}
    assert protocols == {"holdout" if experiment == "limits" else "paper"}


def test_paper_has_the_published_qtl_counts() -> None:
    counts: dict[int, list[int]] = {}
    for scenario in load_config(CONFIGS / "paper.yaml", ("scaling",)).scenarios:
        counts.setdefault(scenario.simulation.n_individuals, []).append(scenario.simulation.n_qtl)
    assert sorted(set(counts[1000])) == [16, 22, 26, 32, 46, 64, 90, 120, 156, 202]
    assert sorted(set(counts[10_000])) == [46, 64, 78, 102, 142, 202, 284, 376, 490, 634]
    assert sorted(set(counts[1_000_000])) == [448, 634, 776, 1002, 1416, 2002, 2830, 3742, 4900, 6326]
    assert {n: len(of_size) for n, of_size in counts.items()} == {1000: 100, 10_000: 100, 100_000: 50, 1_000_000: 30}


def test_paper_is_570_scenarios_without_the_savings_that_the_study_lacks() -> None:
    config = load_config(CONFIGS / "paper.yaml")
    assert len({(scenario.experiment, scenario.name) for scenario in config.scenarios}) == 570
    tuned = [
        settings
        for scenario in config.scenarios
        for name, settings in scenario.models
        if scenario.experiment != "scaling" and name != "ridge"
    ]
    assert not any(settings.identity()["reuse_trials"] or settings.identity()["prune_trials"] for settings in tuned)
    assert all(settings.identity().get("tune", True) for settings in tuned)


def test_experiments_can_be_run_alone() -> None:
    config = load_config(CONFIGS / "demo.yaml", ("dilution", "pleiotropy"))
    assert config.name == "demo-dilution-pleiotropy"
    assert {scenario.experiment for scenario in config.scenarios} == {"dilution", "pleiotropy"}
    assert [figure for _, figure in config.figures] == ["2", "3"]
    with pytest.raises(ConfigError, match=r"experiments: 'dilutoin' is none of them, did you mean 'dilution'\?"):
        load_config(CONFIGS / "demo.yaml", ("dilutoin",))


def test_a_block_of_the_grid_can_name_its_scenarios_itself() -> None:
    control = [scenario for scenario in load_config(CONFIGS / "demo.yaml").scenarios if "shared" in scenario.name]
    assert control[0].name == "qhaplo_20qtl_1000n_0pleio_10trait_shared_rep1"
    assert all(scenario.simulation.trait_groups() == [(1, 10)] for scenario in control)
    assert all(scenario.simulation.genetic_correlation == 0 for scenario in control)


def test_a_block_of_the_grid_can_name_the_models_to_fit(tmp_path: Path) -> None:
    content = changed(VALID, f"{S}.grid", [{"n_individuals": 100, "n_qtl": 10, "models": ["mlp"]}, {"n_individuals": 200, "n_qtl": 10}])
    fitted = [[model for model, _ in scenario.models] for scenario in load_config(write(tmp_path, content)).scenarios]
    assert fitted == [["mlp"], ["ridge", "linear_sgd", "mlp"]]


@pytest.mark.parametrize(
    ("named", "fault"),
    [
        (["mpl", "ridge"], r"grid\.0\.models: 'mpl' is no model of the experiment, did you mean 'mlp'"),
        ("mlp", r"grid\.0\.models: must be a list of names of the experiment's models, got 'mlp'$"),
        ([], r"grid\.0\.models: must be a list of names of the experiment's models, got \[\]$"),
        ([3], r"grid\.0\.models: must be a list of names of the experiment's models, got \[3\]$"),
        (["ridge", "linear_sgd"], r"scaling\.models\.mlp: is fitted to nothing: no block of the grid names it and has a population small "),
    ],
)
def test_models_named_by_a_block_are_the_experiments_and_each_is_fitted(tmp_path: Path, named: object, fault: str) -> None:
    content = changed(VALID, f"{S}.grid", [{"n_individuals": 100, "n_qtl": 10, "models": named}])
    with pytest.raises(ConfigError, match=fault):
        load_config(write(tmp_path, content))


def test_a_named_model_with_a_fault_has_that_fault_alone(tmp_path: Path) -> None:
    content = changed(VALID, f"{S}.models.mlp", {"hidden_sise": 7})
    content["experiments"]["scaling"]["grid"] = [{"n_individuals": 100, "n_qtl": 10, "models": ["mlp", "ridge"]}]
    with pytest.raises(ConfigError, match=r"^[^\n]*models\.mlp\.hidden_sise: unknown key[^\n]*$"):
        load_config(write(tmp_path, content))


def test_grid_expands_to_every_combination(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, VALID))
    assert [scenario.name for scenario in config.scenarios] == [
        f"qhaplo_{n_qtl}qtl_{n}n_rep{replicate}" for n, n_qtl in ((100, 12), (100, 22), (200, 16), (200, 30)) for replicate in (1, 2)
    ]
    first = config.scenarios[0]
    assert first.simulation == SimulateSettings(n_individuals=100, n_loci=12, n_qtl=12, rel_aa=(0, 1), h2=0.999, seed=1)
    assert dict(first.models)["mlp"].identity()["hidden_size"] == 8
    assert [settings.identity()["seed"] for _, settings in config.scenarios[1].models] == [2, 2, 2]


def test_grids_of_the_other_experiments(tmp_path: Path) -> None:
    content = changed(VALID, "experiments.scaling.grid", [{"n_individuals": 300, "n_qtl": 10, "n_loci": [10, 25], "replicates": [3]}])
    content["experiments"]["scaling"]["scenario"] = "qhaplo_{n_qtl}qtl_{n_loci}marker_{n_individuals}n_rep{replicate}"
    content["experiments"]["pleiotropy"] = {
        "scenario": "qhaplo_{n_qtl}qtl_{n_individuals}n_{genetic_correlation:g}pleio_{n_traits}trait_rep{replicate}",
        "simulation": {"rel_aa": [1], "n_traits": 10},
        "grid": [
            {"n_individuals": 300, "n_qtl": 10, "genetic_correlation": [0.25, 0.95]},
            {"n_individuals": 300, "n_qtl": 10, "independent": True},
        ],
        "models": {"ridge": {}},
    }
    assert [scenario.name for scenario in load_config(write(tmp_path, content)).scenarios] == [
        "qhaplo_10qtl_10marker_300n_rep3",
        "qhaplo_10qtl_25marker_300n_rep3",
        "qhaplo_10qtl_300n_0.25pleio_10trait_rep1",
        "qhaplo_10qtl_300n_0.95pleio_10trait_rep1",
        "qhaplo_10qtl_300n_0pleio_10trait_rep1",
    ]


def test_an_experiment_may_have_a_protocol_of_its_own(tmp_path: Path) -> None:
    content = changed(VALID, "experiments.scaling.protocol", "paper")
    content["experiments"]["other"] = VALID["experiments"]["scaling"] | {"figures": []}
    content["experiments"]["scaling"]["models"]["ridge"] = {"protocol": "holdout"}
    found = {
        (scenario.experiment, model, settings.identity()["protocol"])
        for scenario in load_config(write(tmp_path, content)).scenarios
        for model, settings in scenario.models
    }
    assert found == {
        *(("other", model, "holdout") for model in ("ridge", "linear_sgd", "mlp")),
        *(("scaling", model, "paper") for model in ("linear_sgd", "mlp")),
        ("scaling", "ridge", "holdout"),
    }


def test_any_experiment_may_draw_a_figure_whose_models_it_has(tmp_path: Path) -> None:
    content = changed(VALID, f"{S}.models.pruned", None)
    content["experiments"]["linked"] = content["experiments"]["scaling"] | {"figures": ["1a", "2", "4"], "further_models": ["pruned_mlp"]}
    config = load_config(write(tmp_path, content))
    assert config.figures == (("scaling", "1a"), ("scaling", "s1"), ("linked", "1a"), ("linked", "2"), ("linked", "4"))
    assert config.further_models == {"scaling": (), "linked": ("pruned_mlp",)}


def test_import_checks_sizes_of_the_files() -> None:
    config = load_config(CONFIGS / "alphasimr.yaml")
    assert config.stage.name == "import-alphasimr"
    sizes = {"n_individuals": 1000, "n_loci": 90, "n_qtl": 90}
    expected = ImportSettings(scenario="qhaplo_90qtl_1000n_rep1", **sizes, rel_aa=(0, 0.1, 0.5, 1, 3), h2=0.999)
    assert build(ImportSettings, config.data(config.scenarios[2]).settings) == expected


def test_the_h2_of_imported_files_is_theirs_where_the_config_has_none(tmp_path: Path) -> None:
    (tmp_path / "data.tar").touch()
    content = {**changed(VALID, f"{S}.simulation", {"rel_aa": [0, 1]}), "simulator": "import", "source": "data.tar"}
    config = load_config(write(tmp_path, content))
    assert all("h2" not in config.data(scenario).settings for scenario in config.scenarios)


def test_numbers_in_exponent_form(tmp_path: Path) -> None:
    text = yaml.safe_dump(VALID).replace("hidden_size: 8", "learning_rate: 5e-4")
    assert dict(load_config(write(tmp_path, text)).scenarios[0].models)["mlp"].identity()["learning_rate"] == 5e-4


FAULTS = [
    ("protocl", "paper", "protocl: unknown key, did you mean 'protocol'? (allowed: agent, device, experiments, "),
    ("protocol", "both", "protocol: must be 'holdout', 'paper' or 'cross_validation', got 'both'"),
    ("device", "gpu", "device: must be 'auto', 'cpu' or 'cuda', got 'gpu'"),
    ("threads", 0, "threads: must be greater than or equal to 1, got 0"),
    ("threads", "two", "threads: must be a valid integer, got 'two'"),
    ("agent", {"name": "Ada", "orcid": "0000-0002-1825-0098"}, "agent.orcid: must be an ORCID, as 0000-0002-1825-0097 is one, got"),
    ("agent", {"orcid": "0000-0002-1694-233X"}, "agent.name: is required"),
    ("license", "", "license: String must have at least 1 character, got ''"),
    ("runner", "pbs", "runner: must be 'local', 'docker' or 'slurm', got 'pbs'"),
    ("slurm", "main", "slurm: must be a valid dictionary, got 'main'"),
    ("slurm", {"partitoin": "main"}, "slurm.partitoin: unknown key, did you mean 'partition'?"),
    ("slurm", {"partition": "two words"}, "slurm.partition: String must match pattern"),
    ("slurm", {"max_minutes": 0}, "slurm.max_minutes: must be greater than or equal to 1, got 0"),
    ("slurm", {"minutes_factor": -1.0}, "slurm.minutes_factor: must be greater than 0, got -1.0"),
    ("slurm", {"max_jobs": "many"}, "slurm.max_jobs: must be a valid integer, got 'many'"),
    ("slurm", {"flags": "--exclusive"}, "slurm.flags: must be a valid tuple, got '--exclusive'"),
    ("slurm", {"flags": ["-x node1"]}, "slurm.flags: a flag of sbatch is written --name or --name=value, got '-x node1'"),
    ("slurm", {"flags": ["--time=5"]}, "slurm.flags: --time is said by the driver, got '--time=5'; leave it out"),
    ("slurm", {"flags": ["--qos=low"]}, "slurm.flags: --qos has a key of its own, got '--qos=low'; write qos: …"),
    ("simulator", "msprime", "simulator: must be 'native', 'alphasimr' or 'import', got 'msprime'"),
    ("memory_gb", -1, "memory_gb: must be greater than or equal to 0, got -1"),
    ("simulator", "import", "source: is required with simulator 'import'"),
    ("source", "data", "source: goes with simulator 'import', not 'native'"),
    ("n_folds", 5, "n_folds: goes with protocol 'cross_validation', which no experiment has"),
    (f"{S}.n_repeats", 5, f"{S}.n_repeats: goes with protocol 'cross_validation', not 'holdout'"),
    ("experiments", {}, "experiments: Dictionary must have at least 1 item"),
    ("experiments", ..., "experiments: is required"),
    (
        S,
        None,
        "experiments.scaling: must be a mapping with the keys data, or scenario, genotypes, plan, measured, simulation, grid, models, "
        "protocol",
    ),
    ("experiments.collected", {}, "experiments.collected: 'collected' is the store's own name, give the experiment another"),
    ("memory_gb", 2**63, "memory_gb: must be a number between -2^63 and 2^63"),
    ("threads", math.nan, "threads: must be a finite number, got nan"),
    (f"{S}.grid", [], f"{S}.grid: List must have at least 1 item"),
    (f"{S}.protocol", "both", f"{S}.protocol: must be 'holdout', 'paper' or 'cross_validation', got 'both'"),
    (f"{S}.modells", {}, f"{S}.modells: unknown key, did you mean 'models'?"),
    (f"{S}.scenario", "rep{replicat}", f"{S}.scenario: unknown parameter 'replicat' in 'rep{{replicat}}', did you mean 'replicate'?"),
    (f"{S}.scenario", "rep{replicate", f"{S}.scenario: expected '}}' before end of string, got 'rep{{replicate'"),
    (f"{S}.scenario", "rep{replicate:x.y}", f"{S}.scenario: Invalid format specifier 'x.y'"),
    (f"{S}.scenario", "{n_qtl:q}{n_individuals}", f"{S}.scenario: Unknown format code 'q' for object of type 'int', got '{{n_qtl:q}}"),
    (f"{S}.scenario", "{h2!z}", f"{S}.scenario: Unknown conversion specifier z, got '{{h2!z}}'"),
    (f"{S}.scenario", "{n_qtl.x}", f"{S}.scenario: unknown parameter 'n_qtl.x' in '{{n_qtl.x}}'"),
    (f"{S}.scenario", "{n_qtl[0]}", f"{S}.scenario: unknown parameter 'n_qtl[0]' in '{{n_qtl[0]}}'"),
    (f"{S}.scenario", "{}", f"{S}.scenario: unknown parameter '' in '{{}}'"),
    (f"{S}.scenario", "{n_qtl:{width}}", f"{S}.scenario: the format '{{width}}' holds another parameter or a number of four digits"),
    (f"{S}.scenario", "{n_qtl:9999999999}{n_qtl}", f"{S}.scenario: the format '9999999999' holds another parameter or a number of four"),
    (f"{S}.scenario", "{n_traits:g}", f"{S}.scenario: unsupported format string passed to NoneType.__format__, got '{{n_traits:g}}'"),
    (f"{S}.scenario", {"n_qtl": None}, f"{S}.scenario: must be a valid string, got {{'n_qtl': None}}"),
    (f"{S}.grid.0.scenario", {"n_qtl": None}, f"{S}.grid.0.scenario: must be a text that names a scenario, in quotes where it begins"),
    (
        f"{S}.scenario",
        "rep{replicate}",
        f"{S}.scenario: two scenarios are named 'rep1', that of n_loci 12, n_qtl 12 and that of n_loci 22, n_qtl 22; "
        "the name lacks {n_loci} or {n_qtl}",
    ),
    (
        f"{S}.scenario",
        "{n_qtl}_{n_individuals}",
        f"{S}.scenario: two scenarios are named '12_100', that of replicate 1 and that of replicate 2; the name lacks {{replicate}}",
    ),
    (
        f"{S}.scenario",
        "x{n_qtl!s:.0}{n_loci!s:.0}_{n_individuals}_{replicate}",
        f"{S}.scenario: two scenarios are named 'x_100_1', that of n_loci 12, n_qtl 12 and that of n_loci 22, n_qtl 22; "
        "the name writes both the same",
    ),
    (f"{S}.grid.0.replicates", [1, 1], f"{S}.scenario: the scenario 'qhaplo_12qtl_100n_rep1' is given twice"),
    (f"{S}.grid.0.replicates", 2**32, f"{S}.grid.0.replicates: must be a number of replicates or a list of replicate numbers"),
    (
        f"{S}.grid.0.replicates",
        10**6,
        f"{S}.grid.0: 4,000,000 scenarios and their fits are 16,000,000 stages, and a run has at most 50,000;",
    ),
    (f"{S}.grid.0.n_individuals", 10**10, f"{S}.grid.0.n_individuals: must be at most 1,000,000,000, got 10000000000"),
    (f"{S}.grid.0.n_traits", 10**5, f"{S}.grid.0.n_traits: must be at most 10,000, got 100000"),
    (f"{S}.grid.0.qtl_pairs_per_individual", 1e300, f"{S}.grid.0.qtl_pairs_per_individual: takes more than 1,000,000,000 QTL, got 1e+300"),
    (f"{S}.grid.0.qtl_pairs_per_individual", [1, math.inf], f"{S}.grid.0.qtl_pairs_per_individual.1: must be a finite number, got inf"),
    (f"{S}.grid.0.qtl_pairs_per_individual", math.nan, f"{S}.grid.0.qtl_pairs_per_individual: must be a finite number, got nan"),
    (f"{S}.grid.0.qtl_pairs_per_individual", 10**400, f"{S}.grid.0.qtl_pairs_per_individual: must be a number between -2^63 and 2^63"),
    (f"{S}.models.mlp.learning_rate", -math.inf, f"{S}.models.mlp.learning_rate: must be a finite number, got -inf"),
    (f"{S}.grid.0.n_individual", 5, f"{S}.grid.0.n_individual: unknown key, did you mean 'n_individuals'?"),
    (f"{S}.grid.0.seed", 5, f"{S}.grid.0.seed: unknown key"),
    (f"{S}.grid.0.n_individuals", 1, f"{S}.grid.0.n_individuals: must be greater than or equal to 2, got 1"),
    (f"{S}.grid.0.n_individuals", [100, 1e5], f"{S}.grid.0.n_individuals: must be a valid integer, got 100000.0"),
    (f"{S}.grid.0.n_individuals", [], f"{S}.grid.0.n_individuals: must have at least one value, got []"),
    (f"{S}.grid.0.n_individuals", 8, f"{S}.models.ridge: n_individuals 8 leaves a validation part of 1 under protocol 'holdout'"),
    (f"{S}.grid.0.replicates", 0, f"{S}.grid.0.replicates: must be a number of replicates or a list of replicate numbers"),
    (f"{S}.grid.0.qtl_pairs_per_individual", -1, f"{S}.grid.0.qtl_pairs_per_individual: must be a number greater than 0, got -1"),
    (f"{S}.grid.0.n_qtl", 10, f"{S}.grid.0.qtl_pairs_per_individual: n_qtl is given as well; give one of the two"),
    (f"{S}.grid.0", {"n_qtl": 11}, f"{S}.grid.0.n_qtl: must be even where n_pairs is left out (loci are cut into pairs), got 11"),
    (f"{S}.grid.0", {"n_qtl": 12, "n_loci": 10}, f"{S}.grid.0.n_qtl: must be at most n_loci (10), got 12"),
    (f"{S}.grid.0.n_traits", 10, f"{S}.grid.0.n_traits: goes with a single rel_aa, got 10 with the rel_aa "),
    (f"{S}.simulation.h2", 1.5, f"{S}.grid.0.h2: must be less than or equal to 1, got 1.5"),
    (f"{S}.simulation.rel_aa", [0, -1], f"{S}.grid.0.rel_aa.1: must be greater than or equal to 0, got -1"),
    (
        f"{S}.simulation",
        {"rel_aa": [1], "n_traits": 10, "genetic_correlation": -0.5},
        f"{S}.grid.0.genetic_correlation: the correlation matrix of 10 traits must be positive definite, so between -0.1111 and 1,",
    ),
    (f"{S}.models.svm", None, f"{S}.models.svm: unknown model (allowed: {', '.join(sorted(MODELS))})"),
    (f"{S}.models.mlp", "tuned", f"{S}.models.mlp: must be a mapping of settings, got 'tuned'"),
    (f"{S}.models.mlp.hiden_size", 8, f"{S}.models.mlp.hiden_size: unknown key, did you mean 'hidden_size'?"),
    (f"{S}.models.mlp.learning_rate", -1, f"{S}.models.mlp.learning_rate: must be greater than 0, got -1"),
    (f"{S}.models.mlp.seed", 3, f"{S}.models.mlp.seed: is the replicate number; choose replicates in the grid"),
    (f"{S}.models.mlp.max_n_individuals", "many", f"{S}.models.mlp.max_n_individuals: must be a whole number, got 'many'"),
    (f"{S}.figures", ["1c"], f"{S}.figures.0: '1c' is no figure (allowed: 1a, 1b, 2, 3, 4, 5, accessory_linear, accessory_mlp, "),
    (f"{S}.figures", ["loci"], f"{S}.figures.0: figure 'loci' is of imported populations, and this experiment's are simulated"),
    (
        f"{S}.figures",
        ["observed"],
        f"{S}.figures.0: figure 'observed' needs the protocol 'cross_validation', and this experiment has 'holdout'",
    ),
    (f"{S}.figures", ["2"], f"{S}.figures.0: figure '2' needs the model pruned, which is not among this experiment's models"),
    (f"{S}.further_models", ["ridge", "lassso"], f"{S}.further_models.1: 'lassso' is no model, did you mean 'lasso'? (allowed: boosting, "),
    (
        f"{S}.further_models",
        ["lasso"],
        f"{S}.further_models.0: 'lasso' is a result of the model 'pruned', which is not among this experiment's models",
    ),
    (f"{S}.further_models", ["pruned"], f"{S}.further_models.0: 'pruned' is no model, did you mean 'pruned_mlp'? (allowed: "),
    (f"{S}.further_models", ["egblup"], f"{S}.further_models.0: 'egblup' is not among this experiment's models"),
    (f"{S}.models", {"mlp": None}, f"{S}.figures.0: figure '1a' needs the model linear_sgd, which is not among this experiment's models"),
]


@pytest.mark.parametrize(("key", "value", "message"), FAULTS, ids=[f"{key}={value}"[:60] for key, value, _ in FAULTS])
def test_faults_are_named(tmp_path: Path, key: str, value: Any, message: str) -> None:
    path = write(tmp_path, changed(VALID, key, value))
    with pytest.raises(ConfigError) as fault:
        load_config(path)
    assert any(line.startswith(f"{path}: {message}") for line in str(fault.value).splitlines()), fault.value


LETTERS = "a name starts with a letter or digit, and holds only those and '_', '-', '.', '+', '='"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "is empty"),
        (".", "starts with '.'"),
        ("..", "starts with '.'"),
        (".hidden", "starts with '.'"),
        ("~", "starts with '~'"),
        ("-a", "starts with '-'"),
        ("a/b", "holds '/'"),
        ("a b", "holds ' '"),
        ("a\n", "holds '\\n'"),
        ("a\x1b[2J", "holds '\\x1b'"),
        ("a:b", "holds ':'"),
        ("a<img src=x>", "holds '<'"),
        ("ä", "starts with 'ä'"),
        ("a" * 300, "has 300 characters, at most 100"),
    ],
)
def test_experiments_and_scenarios_have_plain_names(tmp_path: Path, name: str, fault: str) -> None:
    content = changed(VALID, f"{S}.scenario", name)
    content["experiments"]["scaling"]["grid"] = [{"n_individuals": 100, "n_qtl": 10}]
    content["experiments"][name] = content["experiments"]["scaling"] | {"scenario": "rep{replicate}"}
    path = write(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = f"the name {name!r} {fault}; {LETTERS}"
    assert str(caught.value) == f"{path}: {S}.scenario: {message}\n{path}: experiments.{repr(name)[1:-1]}: {message}"


@pytest.mark.parametrize("name", ["NA", "null", "nan", "True", "1e3", "007", "a.b_c-d+e=f", "a" * 100])
def test_any_plain_name_is_taken(tmp_path: Path, name: str) -> None:
    content = changed(VALID, f"{S}.scenario", name + "{n_qtl}_{n_individuals}_{replicate}"[: 100 - len(name)])
    content["experiments"]["scaling"]["grid"] = [{"n_individuals": 100, "n_qtl": 10}]
    content["experiments"] = {name: content["experiments"]["scaling"]}
    (scenario,) = load_config(write(tmp_path, content)).scenarios
    assert scenario.experiment == name
    assert scenario.name.startswith(name)


@pytest.mark.parametrize("name", ["NA", "null", "1", "True", "on", "1e3", "007", "0x10", "2024-01-01"])
def test_a_key_is_text_as_it_is_written(tmp_path: Path, name: str) -> None:
    text = yaml.safe_dump(VALID).replace("scaling:", f"{name}:")
    assert {scenario.experiment for scenario in load_config(write(tmp_path, text)).scenarios} == {name}


def test_the_rendered_name_is_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"grid\.0\.scenario: the name '\(0\.0, 1\.0\)' starts with '\('"):
        load_config(write(tmp_path, changed(VALID, f"{S}.grid.0.scenario", "{rel_aa}")))


def test_scenarios_of_two_blocks_have_two_names(tmp_path: Path) -> None:
    content = changed(
        VALID, f"{S}.grid", [{"n_individuals": 100, "n_qtl": 10}, {"n_individuals": 100, "n_qtl": 10, "h2": 0.5, "scenario": ""}]
    )
    content["experiments"]["scaling"]["grid"][1]["scenario"] = content["experiments"]["scaling"]["scenario"]
    with pytest.raises(
        ConfigError, match=r"grid\.1\.scenario: two scenarios are named .*, that of h2 0\.999 and that of h2 0\.5; .* lacks {h2}"
    ):
        load_config(write(tmp_path, content))


@pytest.mark.parametrize("stem", [".", "..", "store", "a" * 201])
def test_a_config_does_not_publish_elsewhere(tmp_path: Path, stem: str) -> None:
    path = write(tmp_path, VALID).rename(tmp_path / f"{stem}.yaml")
    with pytest.raises(ConfigError, match="experiments: are published in a folder of"):
        load_config(path)


def test_figures_need_a_size_that_their_models_are_fitted_to(tmp_path: Path) -> None:
    content = changed(VALID, f"{S}.models", {"ridge": None, "linear_sgd": None, "mlp": {"max_n_individuals": 99}})
    content["experiments"]["scaling"]["models"]["egblup"] = {"max_n_individuals": 50}
    content["experiments"]["scaling"] |= {"figures": ["s1", "1b"], "further_models": ["egblup"]}
    path = write(tmp_path, content)
    with pytest.raises(ConfigError) as fault:
        load_config(path)
    below = "is below every size of this experiment (100, 200)"
    assert str(fault.value).splitlines() == [
        f"{path}: {S}.figures.1: figure '1b' needs the model mlp, whose max_n_individuals 99 {below}",
        f"{path}: {S}.further_models.0: 'egblup' needs the model egblup, whose max_n_individuals 50 {below}",
    ]
    content["experiments"]["scaling"]["models"] |= {"mlp": {"max_n_individuals": 100}, "egblup": {"max_n_individuals": 150}}
    assert {model for scenario in load_config(write(tmp_path, content)).scenarios for model, _ in scenario.models} >= {"mlp", "egblup"}


def test_a_wrong_name_hides_no_size(tmp_path: Path) -> None:
    content = changed(VALID, f"{S}.models.mlp", {"max_n_individuals": 150})
    content["experiments"]["scaling"] |= {"scenario": "same", "grid": [{"n_individuals": [200, 100], "n_qtl": 10}]}
    with pytest.raises(ConfigError, match=r"^[^\n]* 'same', that of n_individuals 200 and that of n_individuals 100; [^\n]*$"):
        load_config(write(tmp_path, content))


def test_an_experiment_fits_something(tmp_path: Path) -> None:
    content = changed(VALID, f"{S}.models", {"ridge": {"max_n_individuals": 99}})
    content["experiments"]["scaling"]["figures"] = []
    with pytest.raises(ConfigError, match=r"scaling\.models: max_n_individuals of every model is below every size \(100, 200\)"):
        load_config(write(tmp_path, content))


def test_a_run_of_too_many_stages_is_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.config.MOST_STAGES", 50)
    content = changed(VALID, f"{S}.figures", [])
    content["experiments"]["other"] = content["experiments"]["scaling"]
    path = write(tmp_path, content)
    with pytest.raises(
        ConfigError,
        match=r"experiments: 16 scenarios and their fits are 64 stages, and .* split them between config files, or --experiments",
    ):
        load_config(path)
    assert len(load_config(path, ("other",)).scenarios) == 8


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    content = changed(VALID, f"{S}.models.mlp.hiden_size", 8)
    content["experiments"]["scaling"]["figures"] = ["1c"]
    content["experiments"]["scaling"]["grid"][0]["replicates"] = "ten"
    with pytest.raises(ConfigError) as fault:
        load_config(write(tmp_path, content))
    assert [line.split(": ")[1] for line in str(fault.value).splitlines()] == [
        f"{S}.models.mlp.hiden_size",
        f"{S}.grid.0.replicates",
        f"{S}.figures.0",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("protocol: paper\nprotocol: holdout\n", "is not valid YAML: key 'protocol' is given twice in"),
        ("experiments: [\n", "is not valid YAML: while parsing a flow node"),
        ("experiments: {a: {scenario: {{n_qtl}}}}\n", "is not valid YAML: a text that begins with a brace stands in quotes in"),
        ("experiments: &a [*a]\n", "is not valid YAML: maximum recursion depth exceeded"),
        (f"threads: {'9' * 5000}\n", "is not valid YAML: Exceeds the limit (4300 digits) for integer string conversion"),
        ("threads: 2024-13-01\n", "is not valid YAML: month must be in 1..12"),
        ("- protocol\n", "must be a mapping with the key 'experiments', got list"),
        ("", "must be a mapping with the key 'experiments', got NoneType"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as fault:
        load_config(path)
    assert str(fault.value).startswith(f"{path}: {message}")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file or directory"):
        load_config(tmp_path / "none.yaml")


def test_missing_source_and_missing_texts(tmp_path: Path) -> None:
    content = {**VALID, "simulator": "import", "source": "data"}
    with pytest.raises(ConfigError, match="source: 'data' does not exist"):
        load_config(write(tmp_path, content))
    (tmp_path / "data").mkdir()
    with pytest.raises(ConfigError, match=r"source: .*holds no qhaplo_\d+qtl_100n_rep1_eff.txt"):
        load_config(write(tmp_path, content))
