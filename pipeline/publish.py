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
from pipeline.store import damage, describe, locked, read_json, write_json

RUN, FIGURES = "run.json", "figures"


def is_published(folder: Path, keys: Mapping[str, str]) -> bool:
    """Whether the folder holds the files with these keys, undamaged to the last byte."""
    published = read_json(folder / RUN).get("published", {})
    if published.keys() != keys.keys() or not all(isinstance(recorded, dict) for recorded in published.values()):
        return False
    return all(published[name]["key"] == keys[name] and not damage(folder / name, published[name], read=True) for name in keys)


def publish(folder: Path, sources: Mapping[str, Path], keys: Mapping[str, str], record: Mapping[str, Any]) -> None:
    """Copy `sources` (file in the folder: where it comes from) and say so in run.json, with their keys and the `record`.

    Files that an earlier run.json lists and this one does not are removed, others left alone.
    """
    with locked(folder):
        earlier = read_json(folder / RUN).get("published", {})
        names = {**earlier, **sources}
        write_json(folder / RUN, {**record, "published": dict.fromkeys(names)})
        (folder / FIGURES).mkdir(exist_ok=True)
        for name, source in sources.items():
            _copy(source, folder / name)
        for name in names.keys() - sources.keys():
            (folder / FIGURES / Path(name).name).unlink(missing_ok=True)  # whatever the list says, nothing elsewhere
        published = {name: {"key": keys[name], **describe(folder / name)} for name in sources}
        write_json(folder / RUN, {**record, "published": published})


def refuse_namesake(folder: Path, config: Path, content: Mapping[str, Any]) -> None:
    """Raise ConfigError where another config file, which is still there and has other content, is published in the folder."""
    earlier = read_json(folder / RUN)
    other = Path(earlier.get("config", config))
    if other.exists() and not other.samefile(config) and earlier.get("content") != content:
        raise ConfigError(f"{config}: {folder} holds what {other} published under the same name; rename one, or choose another --results")


def _copy(source: Path, target: Path) -> None:
    """Aside and renamed. The folder is locked: what else lies aside was left by a run that was killed."""
    for left in target.parent.glob(f".{target.name}.*"):
        left.unlink()
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, aside)
    aside.replace(target)
