"""What is published: all of one run or known not to be, damage found, nothing of a user's removed, one config per folder."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from damage import DAMAGES

from pipeline.faults import ConfigError
from pipeline.publish import is_published, publish, published_fault, refuse_namesake

A = {"results.csv": "a", "figures/one.png": "a", "figures/two.png": "a", "report.html": "a", "told.json": "a"}
B = {"results.csv": "b", "figures/one.png": "b", "report.html": "b", "told.json": "b"}


class Killed(BaseException):
    """Stands for the end of the process."""


def publish_run(store: Path, folder: Path, keys: dict[str, str]) -> None:
    """Files of the store, and one that is a text."""
    sources = {name: store / f"{key}-{Path(name).name}" for name, key in keys.items()}
    store.mkdir(exist_ok=True)
    for name, source in sources.items():
        source.write_text(f"{name}\nof {keys[name]}\n")
    told = {name: source.read_text() for name, source in sources.items() if name.endswith(".json")}
    publish(folder, {**sources, **told}, keys, {"config": "study.yaml"})


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file() and path.name != "run.json"}


@contextmanager
def killed_at(step: int) -> Iterator[None]:
    """End at the file operation of that number; a copy is left half done."""
    steps = count()

    def wrapped(operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            if next(steps) == step:
                if operation is copy:
                    arguments[1].write_bytes(b"half")
                raise Killed
            return operation(*arguments, **options)

        return run

    copy = shutil.copyfile
    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "unlink", "mkdir", "write_text"):
            patch.setattr(Path, name, wrapped(getattr(Path, name)))
        patch.setattr(shutil, "copyfile", wrapped(copy))
        yield


@pytest.mark.parametrize("keys", [A, B], ids=["the same", "another"])
def test_a_run_killed_between_any_two_operations_is_mended_by_the_next(tmp_path: Path, keys: dict[str, str]) -> None:
    store, mine = tmp_path / "store", {"figures/mine.png": "a user's"}
    for step in range(100):
        folder = tmp_path / str(step)
        publish_run(store, folder, A)
        (folder / "figures" / "mine.png").write_text("a user's")
        try:
            with killed_at(step + len(B)):  # the first ones write the sources
                publish_run(store, folder, B)
            break
        except Killed:
            pass
        assert not is_published(folder, A) or whole(A) | mine == visible(folder)
        assert not is_published(folder, B) or whole(B) | mine == visible(folder)
        publish_run(store, folder, keys)
        assert is_published(folder, keys)
        assert files(folder) == whole(keys) | mine
    assert 10 < step < 99


def whole(keys: dict[str, str]) -> dict[str, str]:
    return {name: f"{name}\nof {key}\n" for name, key in keys.items()}


def visible(folder: Path) -> dict[str, str]:
    return {name: text for name, text in files(folder).items() if not Path(name).name.startswith(".")}


def test_what_is_published_no_longer_is_removed_and_nothing_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    publish_run(tmp_path / "store", folder, A)
    for outside in (tmp_path / "report.html", tmp_path / "one.png"):
        outside.write_text("another's")
    run = json.loads((folder / "run.json").read_text())
    elsewhere = {"../report.html": None, "figures/../../one.png": None, str(tmp_path / "report.html"): None}
    (folder / "run.json").write_text(json.dumps({**run, "published": run["published"] | elsewhere}))
    publish_run(tmp_path / "store", folder, {"results.csv": "c"})
    assert files(folder) == whole({"results.csv": "c"})
    assert {(tmp_path / name).read_text() for name in ("report.html", "one.png")} == {"another's"}


@pytest.mark.parametrize("name", ["results.csv", "figures/one.png", "told.json", "run.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_published_again(tmp_path: Path, damage: Callable[[Path], None], name: str) -> None:
    folder = tmp_path / "study"
    publish_run(tmp_path / "store", folder, A)
    damage(folder / name)
    assert not is_published(folder, A)
    assert name == "run.json" or published_fault(folder).startswith(f"{Path(name).name} is ")
    publish_run(tmp_path / "store", folder, A)
    assert is_published(folder, A)


def test_another_config_of_the_same_name_is_refused_while_the_first_is_there(tmp_path: Path) -> None:
    first, second, folder = tmp_path / "a" / "study.yaml", tmp_path / "b" / "study.yaml", tmp_path / "study"
    for config in (first, second):
        config.parent.mkdir()
        config.write_text("")
    refuse_namesake(folder, second, {})
    publish(folder, {}, {}, {"config": os.path.relpath(first, folder), "content": {"protocol": "paper"}})
    refuse_namesake(folder, first, {"protocol": "holdout"})
    refuse_namesake(folder, second, {"protocol": "paper"})
    with pytest.raises(ConfigError, match=f"{second}: .* {first} "):
        refuse_namesake(folder, second, {"protocol": "holdout"})
    first.unlink()
    refuse_namesake(folder, second, {"protocol": "holdout"})
