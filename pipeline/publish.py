"""The folder that a study is published in: its files, and run.json, which says what they are.

run.json is written first without a single checksum, and last with all of them: whatever ends a run in between, no file
of another run is taken for one of this.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.faults import ConfigError
from pipeline.locks import locked
from pipeline.store import damage, file_facts, read_json, sealed, write_json

RUN, FIGURES = "run.json", "figures"
CRATE, CONFIG = "ro-crate-metadata.json", "config.yaml"


def is_published(folder: Path, keys: Mapping[str, str]) -> bool:
    """Whether the folder holds the files with these keys, undamaged to the last byte."""
    return {name: recorded["key"] for name, recorded in _published(folder).items()} == keys and not published_fault(folder)


def published_fault(folder: Path) -> str:
    """How a published file differs from what run.json says of it; '' where none does."""
    faults = (damage(folder / name, recorded, read=True) for name, recorded in _published(folder).items())
    return next(filter(None, faults), "")


def _published(folder: Path) -> dict[str, dict[str, Any]]:
    """Key, size, time and checksum by file; {} where publishing was not finished."""
    run = read_json(folder / RUN)
    return run.get("published", {}) if run == sealed(run) else {}


def publish(folder: Path, sources: Mapping[str, Path | str], keys: Mapping[str, str], record: Mapping[str, Any]) -> None:
    """Copy `sources` (file in the folder: where it comes from, or its text) and say so in run.json, with their keys and the `record`.

    Files that an earlier run.json lists and this one does not are removed, others left alone.
    """
    with locked(folder):
        folder.mkdir(exist_ok=True)
        earlier = read_json(folder / RUN).get("published", {})
        names = {**earlier, **sources}
        write_json(folder / RUN, {**record, "published": dict.fromkeys(names)})
        (folder / FIGURES).mkdir(exist_ok=True)
        for name, source in sources.items():
            _put(source, folder / name)
        for name in names.keys() - sources.keys():
            (folder / (FIGURES if "/" in name else "") / Path(name).name).unlink(
                missing_ok=True
            )  # whatever the list says, nothing elsewhere
        published = {name: {"key": keys[name], **file_facts(folder / name)} for name in sources}
        write_json(folder / RUN, sealed({**record, "published": published}))


def refuse_namesake(folder: Path, config: Path, content: Mapping[str, Any]) -> None:
    """Raise ConfigError where another config file, which is still there and had other content, is published in the folder.

    run.json names the config from the folder's own place: a study that is copied with its results is no other.
    """
    earlier = read_json(folder / RUN)
    other = (folder / earlier.get("config", config)).resolve()
    if other.exists() and not other.samefile(config) and earlier.get("content") != content:
        raise ConfigError(f"{config}: {folder} holds what {other} published under the same name; rename one, or choose another --results")


def _put(source: Path | str, target: Path) -> None:
    """Aside and renamed. The folder is locked: what else lies aside was left by a run that was killed."""
    for left in target.parent.glob(f".{target.name}.*"):
        left.unlink()
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    if isinstance(source, str):
        aside.write_text(source, encoding="utf-8")
    else:
        shutil.copyfile(source, aside)
    aside.replace(target)
