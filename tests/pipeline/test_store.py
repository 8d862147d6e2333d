"""The result store: one holder at a time, nothing half-written taken for done, and reasons for a rerun."""

import json
import multiprocessing
import os
import re
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from damage import DAMAGES, flip_a_bit

from pipeline.store import Entry, differences, read_json, short_hash, write_json


def entry(folder: Path, key: str = "k1") -> Entry:
    return Entry(folder, "mlp", key, "table.csv")


def fill(entry: Entry, ingredients: dict[str, object] | None = None) -> None:
    with entry.claimed() as mine:
        assert mine
        (entry.part / "table.csv").write_text("r\n1\n")
        (entry.part / "table.pairs.csv").write_text("first,second\n1,2\n")
        write_json(entry.part / "provenance.json", {"key": entry.key, "ingredients": ingredients or {}})
        entry.commit()


def test_an_entry_exists_once_it_is_committed(tmp_path: Path) -> None:
    result = entry(tmp_path)
    with result.claimed() as mine:
        assert mine
        (result.part / "table.csv").write_text("r\n1\n")
        write_json(result.part / "provenance.json", {"key": "k1"})
        assert not result.exists()
        result.commit()
    assert result.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["mlp-k1"]
    with result.claimed() as mine:
        assert not mine


def test_what_a_killed_stage_left_is_cleared(tmp_path: Path) -> None:
    result = entry(tmp_path)
    (result.part / "inner").mkdir(parents=True)
    (result.part / "table.csv").write_text("half")
    with result.claimed() as mine:
        assert mine
        assert list(result.part.iterdir()) == []


def test_a_failure_keeps_its_log_until_a_success(tmp_path: Path) -> None:
    result = entry(tmp_path)
    with result.claimed():
        (result.part / "log.txt").write_text("boom")
        result.fail()
    assert (result.failed / "log.txt").read_text() == "boom"
    assert not result.exists()
    fill(result)
    assert [path.name for path in tmp_path.iterdir()] == ["mlp-k1"]


def _hold(folder: Path, held: Event, release: Event) -> None:
    result = entry(folder)
    with result.claimed() as mine:
        assert mine
        held.set()
        release.wait(30)
        (result.part / "table.csv").write_text("from the first")
        write_json(result.part / "provenance.json", {"key": "k1"})
        result.commit()


def _come_second(folder: Path, answers: "multiprocessing.Queue[bool]") -> None:
    with entry(folder).claimed() as mine:
        answers.put(mine)


@pytest.mark.parametrize("dies", [False, True])
def test_one_holder_at_a_time(tmp_path: Path, dies: bool) -> None:
    """The second waits; it gets the entry where the first dies, and is told that there is nothing to do where it ends well."""
    context = multiprocessing.get_context("fork")
    held, release, answers = context.Event(), context.Event(), context.Queue()
    first = context.Process(target=_hold, args=(tmp_path, held, release))
    first.start()
    assert held.wait(30)
    second = context.Process(target=_come_second, args=(tmp_path, answers))
    second.start()
    second.join(0.3)
    assert second.is_alive()
    if dies:
        first.kill()
    else:
        release.set()
    assert answers.get(timeout=600) is dies
    first.join(30)
    second.join(30)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"settings": {"learning_rate": 0.01}}, {"settings": {"learning_rate": 0.02}}, ["learning_rate 0.01 → 0.02"]),
        ({"version": 1}, {"version": 2}, ["version 1 → 2"]),
        ({"environment": {"torch": "2.12"}}, {"environment": {"torch": "2.13"}}, ["torch 2.12 → 2.13"]),
        ({"inputs": {"data": "a"}}, {"inputs": {"data": "b"}}, ["data a → b"]),
        ({"inputs": {"x": "a", "y": "a"}}, {"inputs": {"x": "b", "y": "b"}}, ["inputs changed (2)"]),
        ({"settings": {"epochs": 5}}, {"settings": {"epochs": 5, "penalty": 1}}, ["penalty None → 1"]),
        ({"version": 1}, {"version": 1}, []),
    ],
)
def test_differences_name_what_changed(old: dict[str, object], new: dict[str, object], expected: list[str]) -> None:
    assert differences(old, new) == expected


def test_why_a_stage_runs_again(tmp_path: Path) -> None:
    assert entry(tmp_path).why_not({"version": 1}) == ""
    fill(entry(tmp_path), {"version": 1})
    assert entry(tmp_path, "k2").why_not({"version": 2}) == "version 1 → 2"
    (tmp_path / "mlp-k1" / "table.csv").unlink()
    assert entry(tmp_path).why_not({"version": 1}) == "table.csv is gone"


def test_keys_depend_on_every_ingredient_and_not_on_their_order() -> None:
    assert short_hash({"a": 1, "b": {"c": 2, "d": 3}}) == short_hash({"b": {"d": 3, "c": 2}, "a": 1})
    assert short_hash({"a": 1}) != short_hash({"a": 2})
    assert len(short_hash({"a": 1})) == 12


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_damaged_json_reads_as_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "provenance.json"
    path.write_text(text)
    assert read_json(path) == {}
    write_json(path, {"a": 1})
    assert json.loads(path.read_text()) == {"a": 1}


@pytest.mark.parametrize("name", ["table.csv", "table.pairs.csv", "provenance.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_found_and_said_and_made_again(tmp_path: Path, damage: Callable[[Path], None], name: str) -> None:
    result = entry(tmp_path)
    fill(result)
    assert result.verified()
    damage(result.path / name)
    assert not result.verified()
    assert not result.exists()
    assert re.fullmatch(rf"{re.escape(name)} is (gone|damaged.*)", result.why_not({}))
    fill(result)
    assert result.verified()


def test_what_keeps_size_and_time_is_found_by_a_reader_alone(tmp_path: Path) -> None:
    result = entry(tmp_path)
    fill(result)
    flip_a_bit(result.output)
    assert result.exists()
    assert not result.verified()
    assert not result.exists()
    assert result.fault() == "table.csv is damaged (checksum)"


def test_a_copy_with_new_times_is_whole(tmp_path: Path) -> None:
    result = entry(tmp_path)
    fill(result)
    os.utime(result.output, (1, 1))
    assert result.exists()
    assert result.verified()


def test_an_entry_of_before_the_checksums_is_whole_where_it_is_there(tmp_path: Path) -> None:
    result = entry(tmp_path)
    result.path.mkdir()
    result.output.write_text("r\n1\n")
    write_json(result.path / "provenance.json", {"key": "k1"})
    assert result.verified()
    result.output.unlink()
    assert result.fault() == "table.csv is gone"


def test_a_folder_of_another_key_is_damaged(tmp_path: Path) -> None:
    fill(entry(tmp_path, "k1"))
    entry(tmp_path, "k1").path.rename(entry(tmp_path, "k2").path)
    assert not entry(tmp_path, "k2").exists()
