"""The structure of the project, read from its imports: arrows between the rooms run one way, and no circle joins two files."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A room imports itself and the rooms before it.
ROOMS = ["base", "gpatlas.data", "gpatlas.models", "gpatlas.figures", "gpatlas.report", "gpatlas", "images", "pipeline"]
BASE = {"gpatlas.settings", "gpatlas.progress", "gpatlas.version"}
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 300, 50
# What a room never imports, and why.
NEVER = {
    "pipeline": {"torch", "numpy", "sklearn", "scipy", "pandas"},  # it starts quickly, and knows no formula
    "gpatlas.models": {"luigi", "docker", "yaml"},
    "gpatlas.data": {"luigi", "docker", "yaml"},
    "gpatlas.figures": {"luigi", "docker", "yaml", "torch", "h5py"},  # it reads the collected table alone
    "gpatlas.report": {"luigi", "docker", "yaml", "torch", "h5py"},
    "gpatlas": {"luigi", "docker", "yaml"},
}


@cache
def files() -> dict[str, Path]:
    """Every module of the project, by name."""
    found = [path for room in ("gpatlas", "images", "pipeline") for path in sorted((ROOT / room).rglob("*.py"))]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in found}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(module: str) -> Iterator[str]:
    """The modules that a module's import statements name, wherever they stand."""
    for node in ast.walk(tree(files()[module])):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in files() else node.module


def room(module: str) -> str:
    if module in BASE:
        return "base"
    return next(name for name in sorted(ROOMS, key=len, reverse=True) if module == name or module.startswith(name + "."))


@cache
def arrows() -> set[tuple[str, str]]:
    """(importing module, imported module), of the project's own."""
    return {(module, other) for module in files() for other in imported(module) if other in files() and other != module}


def test_arrows_between_rooms_run_one_way() -> None:
    between = {(room(module), room(other)): (module, other) for module, other in arrows()}
    assert ("gpatlas.models", "gpatlas.data") in between
    upward = {pair: example for pair, example in between.items() if ROOMS.index(pair[0]) < ROOMS.index(pair[1])}
    assert not upward


def test_no_circle_joins_files() -> None:
    graph: dict[str, set[str]] = {module: set() for module in files()}
    for module, other in arrows():
        graph[module].add(other)
    assert len(list(TopologicalSorter(graph).static_order())) == len(files())  # raises CycleError, which names the circle


@pytest.mark.parametrize("name", NEVER)
def test_a_room_keeps_to_its_packages(name: str) -> None:
    of_room = [module for module in files() if room(module) == name]
    assert of_room
    found = {(module, other) for module in of_room for other in imported(module) if other.partition(".")[0] in NEVER[name]}
    assert not found


def test_no_file_and_no_function_is_long() -> None:
    long = {module: n for module, path in files().items() if (n := len(path.read_text().splitlines())) > MOST_LINES_OF_A_FILE}
    for module, path in files().items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef) and (n := (node.end_lineno or 0) - node.lineno + 1) > MOST_LINES_OF_A_FUNCTION:
                long[f"{module}.{node.name}"] = n
    assert not long


def test_classes_and_functions_for_others_have_names_of_their_own() -> None:
    """But for the words that every module of a kind has: a stage's `run`, a model's `fit` and `judge`."""
    places: dict[str, list[str]] = {}
    for module, path in files().items():
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module)
    shared = {name: modules for name, modules in places.items() if len(modules) > 1}
    assert not shared.keys() - {"run", "fit", "judge", "main"}, shared


def test_every_public_function_and_class_says_what_it_is() -> None:
    silent = []
    for module, path in files().items():
        if not ast.get_docstring(tree(path)):
            silent.append(module)
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_") and not ast.get_docstring(node):
                silent.append(f"{module}.{node.name}")
    assert not silent
