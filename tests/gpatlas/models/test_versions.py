"""A stored result is known by its model's version, so code that gives other results needs a higher one: this test reminds of that.

After a change that leaves all results as they are, record the code: python tests/gpatlas/models/test_versions.py
"""

import ast
import csv
import hashlib
from pathlib import Path

import pytest

from gpatlas.models.registry import MODELS

ROOT = Path(__file__).parents[3]
RECORDED = ROOT / "tests" / "data" / "model_versions.csv"


def files(model: str) -> list[Path]:
    """The modules that the model's fit, its splits and scores are made of: of the room models, and the genotypes."""
    found: set[Path] = set()
    waiting = [MODELS[model].fit.partition(":")[0], "gpatlas.models.evaluation"]
    while waiting:
        path = ROOT / (waiting.pop().replace(".", "/") + ".py")
        if path in found or not path.exists():
            continue
        found.add(path)
        imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom) and node.module]
        waiting += [node.module for node in imports if str(node.module).startswith(("gpatlas.data.genotypes", "gpatlas.models."))]
    return sorted(path for path in found if path.stem not in {"registry", "settings"})


def code(model: str) -> str:
    """Hash of these modules, without comments and docstrings."""
    digest = hashlib.sha256()
    for path in files(model):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
        digest.update(path.name.encode() + ast.dump(tree).encode())
    return digest.hexdigest()[:16]


def recorded() -> dict[str, dict[str, str]]:
    with RECORDED.open() as lines:
        return {row["model"]: row for row in csv.DictReader(lines)}


def test_every_model_is_recorded() -> None:
    assert set(recorded()) == set(MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_changed_code_has_a_higher_version(model: str) -> None:
    row = recorded()[model]
    same_code, version = row["code"] == code(model), int(row["version"])
    assert MODELS[model].version >= version
    assert same_code or MODELS[model].version > version, (
        f"the code of {model} has changed: raise its version in gpatlas/models/registry.py where results change, then, as where "
        "none does, record the code: python tests/gpatlas/models/test_versions.py"
    )
    assert same_code or MODELS[model].version == version, f"record the code of {model}: python tests/gpatlas/models/test_versions.py"


if __name__ == "__main__":
    with RECORDED.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [("model", "version", "code"), *((name, model.version, code(name)) for name, model in MODELS.items())]
        )
