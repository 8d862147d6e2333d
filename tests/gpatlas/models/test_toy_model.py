"""A model is added to a copy of the project by the recipe of CONTRIBUTING.md: one module, one entry; a line of YAML then uses it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from drivers import run

ROOT = Path(__file__).parents[3]

MODULE = '''"""The mean of the training individuals, whatever the genotypes."""

import numpy as np

from gpatlas.models.contract import Fitted


def fit(train, validation, settings, progress):
    """Predicts by the number of alleles 1, so that an r is defined."""
    progress(1, 1)
    return {"toy": Fitted(lambda genotypes: settings.weight * genotypes.counts().sum(axis=1, keepdims=True) + 0 * train.phenotypes[:1])}
'''
ENTRY = '''

class ToySettings(FitSettings):
    """Counts alleles."""

    weight: Float = Field(2.0, description="of an allele")

    def memory(self, size: Size) -> float:
        return 1e6 * size.n_individuals


TOY = Model("toy", "toy model", 1, ToySettings, "gpatlas.models.toy:fit", ARRAYS)
MODELS[TOY.name] = TOY
'''
STUDY: dict[str, Any] = {
    "protocol": "holdout",
    "experiments": {
        "scaling": {
            "scenario": "qhaplo_{n_qtl}qtl_{n_individuals}n_rep{replicate}",
            "simulation": {"rel_aa": [0, 1]},
            "grid": [{"n_individuals": 100, "n_qtl": [6, 10]}],
            "models": {
                "mlp": {"hidden_size": 8, "epochs": 2},
                "toy": {"weight": 3.0},
            },
            "figures": ["1b"],
            "further_models": ["toy"],
        }
    },
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("project")
    for name in ("gpatlas", "images", "pipeline"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "luigi.cfg", copy)
    (copy / "gpatlas" / "models" / "toy.py").write_text(MODULE)
    registry = copy / "gpatlas" / "models" / "registry.py"
    head, separator, rest = registry.read_text().partition("\n\ndef titles")
    registry.write_text(head + ENTRY + separator + rest)
    return copy


def python(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(project)}
    return subprocess.run([sys.executable, *words], cwd=project, env=environment, capture_output=True, text=True)


def test_it_is_a_command_with_its_flags(project: Path) -> None:
    assert "fit-toy" in python(project, "-m", "gpatlas", "--help").stdout
    words = " ".join(python(project, "-m", "gpatlas", "fit-toy", "--help").stdout.split())
    assert "--weight FLOAT of an allele [default 2.0]" in words
    assert "--protocol" in words


def test_it_is_an_estimator_and_can_be_compared(project: Path) -> None:
    code = "import gpatlas; gpatlas.Toy(weight=1.0); print(gpatlas.compare(gpatlas.simulate(n_individuals=50), ['toy']))"
    ended = python(project, "-c", code)
    assert ended.stdout.splitlines()[1].split()[1:3] == ["toy", "1"], ended.stderr


def test_the_driver_runs_draws_and_reports_it(project: Path, tmp_path: Path) -> None:
    config = tmp_path / "toys.yaml"
    config.write_text(yaml.safe_dump(STUDY))
    code, output = run(config, tmp_path / "results", project=project)
    assert code == 0, output
    table = pd.read_csv(tmp_path / "results" / "toys" / "results.csv")
    assert len(table[table["model"] == "toy"]) == 4
    assert table.loc[table["model"] == "toy", "pearson_r"].notna().all()
    assert (tmp_path / "results" / "toys" / "figures" / "figure_1b.png").exists()
    assert "toy model" in (tmp_path / "results" / "toys" / "report.html").read_text()


def test_a_config_says_what_it_may_be_told(project: Path, tmp_path: Path) -> None:
    config = tmp_path / "toys.yaml"
    config.write_text(yaml.safe_dump(STUDY).replace("weight: 3.0", "weigth: 3.0"))
    code, output = run(config, tmp_path / "results", project=project)
    assert code == 2
    assert "models.toy.weigth: unknown key, did you mean 'weight'?" in output


def test_its_memory_is_checked(project: Path, tmp_path: Path) -> None:
    made = python(
        project,
        "-m",
        "gpatlas",
        "simulate",
        "--n-individuals",
        "200000",
        "--n-loci",
        "2",
        "--n-qtl",
        "2",
        "--rel-aa",
        "0",
        "--out",
        str(tmp_path / "d.h5"),
    )
    assert made.returncode == 0, made.stderr
    ended = python(project, "-m", "gpatlas", "fit-toy", "--data", str(tmp_path / "d.h5"), "--out", str(tmp_path / "toy.csv"))
    assert ended.returncode == 1
    assert "fit-toy of 200000 individuals and 2 loci needs 200.3 GB of memory" in ended.stderr
