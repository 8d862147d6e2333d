"""The result store: a folder per stage output, named by its key, complete once it is there, never changed after that.

Its provenance records size, time and checksum of every file, so that what changed nevertheless is found and made again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.locks import locked

PROVENANCE, LOG = "provenance.json", "log.txt"
FILES, SEAL, FAULT = "files", "seal", "fault"  # in provenance.json: what the files are, a checksum of the rest, what a reader found


def canonical(value: Any) -> str:
    """JSON with sorted keys: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def short_hash(ingredients: Mapping[str, Any]) -> str:
    """The key that names a result by everything that decides it."""
    return hashlib.sha256(canonical(ingredients).encode()).hexdigest()[:12]


def write_json(path: Path, value: Any) -> None:
    """Written aside and renamed, so that nobody reads half of it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    aside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in the file; {} where it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


@cache
def _sha256(path: Path, changed_ns: int) -> str:
    """Of a file whose inode changed last at `changed_ns`, so that a process reads each state of it once."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256(path: Path) -> str:
    """Of the file's content, in hex; computed once for each state of the file in this process."""
    return _sha256(path, path.stat().st_ctime_ns)


def file_facts(path: Path) -> dict[str, Any]:
    """What `damage` compares the file with later."""
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha256(path)}


def damage(path: Path, recorded: Mapping[str, Any], read: bool) -> str:
    """How the file differs from what `file_facts` said of it; '' where it does not.

    Where size and time are the same the checksum is taken to be, unless `read`.
    """
    try:
        stat = path.stat()
        if stat.st_size != recorded["size"]:
            return f"{path.name} is damaged (size)"
        if (read or stat.st_mtime_ns != recorded["mtime_ns"]) and sha256(path) != recorded["sha256"]:
            return f"{path.name} is damaged (checksum)"
    except FileNotFoundError:
        return f"{path.name} is gone"
    return ""


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """With a checksum of the rest."""
    rest = {name: part for name, part in value.items() if name != SEAL}
    return rest | {SEAL: short_hash(rest)}


class Entry:
    """The output folder of one stage: `<name>-<key>/` with the output, provenance.json and log.txt.

    While the stage runs the folder is `<name>-<key>.part`, locked by whoever fills it; after a failure it is
    `<name>-<key>.failed`. Only a finished, checked folder is renamed to its final name.
    """

    def __init__(self, folder: Path, name: str, key: str, output: str) -> None:
        self.name, self.key = name, key
        self.path = folder / f"{name}-{key}"
        self.output = self.path / output
        self.part = self.path.with_name(f"{self.path.name}.part")
        self.failed = self.path.with_name(f"{self.path.name}.failed")

    def exists(self) -> bool:
        return self.path.exists() and not self.fault()

    def provenance(self) -> dict[str, Any]:
        return read_json(self.path / PROVENANCE)

    def fault(self, read: bool = False) -> str:
        """What is wrong with the finished folder; '' where nothing is, or there is none. `read`: by every checksum."""
        if not self.path.exists():
            return ""
        provenance = self.provenance()
        if FAULT in provenance:
            return str(provenance[FAULT])
        if provenance.get("key") != self.key or (SEAL in provenance and provenance != sealed(provenance)):
            return f"{PROVENANCE} is {'damaged' if (self.path / PROVENANCE).exists() else 'gone'}"
        if SEAL not in provenance:  # made before files were recorded
            return "" if self.output.exists() else f"{self.output.name} is gone"
        faults = (damage(self.path / name, recorded, read) for name, recorded in provenance[FILES].items())
        return next(filter(None, faults), "")

    def verified(self) -> bool:
        """Whether every checksum is right. Where one is not this is noted in the folder, which from then on does not exist."""
        if self.exists() and (fault := self.fault(read=True)):
            write_json(self.path / PROVENANCE, self.provenance() | {FAULT: fault})
        return self.exists()

    @contextmanager
    def claimed(self, evict: Callable[[Path], bool] = lambda folder: False) -> Iterator[bool]:
        """Hold the `.part` folder, empty, for this process alone; False where the result is there already.

        What a dead holder left writing there is no more than an orphan, which `evict` stops, unless it says that it goes on.
        """
        if not self.exists():
            with locked(self.part):
                if not self.exists():
                    self.part.mkdir(exist_ok=True)
                    if not evict(self.part):
                        _clear(self.part)
                    yield True
                    return
        yield False

    def commit(self) -> None:
        """The part becomes the result. What stands in its place is damaged (`exists` was false) and is removed."""
        self._seal()
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.rmtree(self.failed, ignore_errors=True)
        self.part.rename(self.path)
        _sync(self.path.parent)

    def _seal(self) -> None:
        """Record what the files are, and have all of it on the disk, before the folder gets its final name."""
        files = [path for path in sorted(self.part.rglob("*")) if path.is_file() and path.name not in {PROVENANCE, LOG}]
        described = {str(path.relative_to(self.part)): file_facts(path) for path in files}
        write_json(self.part / PROVENANCE, sealed(read_json(self.part / PROVENANCE) | {FILES: described}))
        for path in [*self.part.rglob("*"), self.part]:
            _sync(path)

    def fail(self) -> None:
        """The part is kept aside, for its log."""
        shutil.rmtree(self.failed, ignore_errors=True)
        self.part.rename(self.failed)

    def why_not(self, ingredients: Mapping[str, Any]) -> str:
        """Why an earlier result of the same stage does not serve: what differs from the newest one. '' where there is none."""
        if self.path.exists():
            return self.fault()
        earlier = [path for path in self.path.parent.glob(f"{self.name}-*/{PROVENANCE}") if path.parent.suffix not in {".part", ".failed"}]
        if not earlier:
            return ""
        newest = max(earlier, key=lambda path: path.stat().st_mtime)
        return "; ".join(differences(read_json(newest).get("ingredients", {}), ingredients))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """'learning_rate 0.01 → 0.02' for every value that differs, however deep."""
    found = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            inner = differences(before, after)
            found += [f"{name} changed ({len(inner)})"] if name == "inputs" and len(inner) > 1 else inner
        elif before != after:
            found.append(f"{name} {before} → {after}")
    return found
