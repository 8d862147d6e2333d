"""The result store: a folder per stage output, named by its key, complete once it is there, never changed after that."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROVENANCE, LOG = "provenance.json", "log.txt"


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


class Entry:
    """The output folder of one stage: `<name>-<key>/` with the output, provenance.json and log.txt.

    While the stage runs the folder is `<name>-<key>.part`, locked by whoever fills it; after a failure it is
    `<name>-<key>.failed`. Only a finished, checked folder is renamed to its final name.
    """

    def __init__(self, folder: Path, name: str, key: str, output: str) -> None:
        self.name = name
        self.path = folder / f"{name}-{key}"
        self.output = self.path / output
        self.part = self.path.with_name(f"{self.path.name}.part")
        self.failed = self.path.with_name(f"{self.path.name}.failed")

    def exists(self) -> bool:
        return self.output.exists() and (self.path / PROVENANCE).exists()

    def provenance(self) -> dict[str, Any]:
        return read_json(self.path / PROVENANCE)

    @contextmanager
    def claimed(self, evict: Callable[[Path], None] = lambda folder: None) -> Iterator[bool]:
        """Hold the `.part` folder, empty, for this process alone; False where the result is there already.

        The lock is the kernel's, on the folder itself: it ends with its holder, whatever ends that. What that left
        writing there is no more than an orphan, which `evict` stops.
        """
        while not self.exists():
            descriptor = self._lock_part()
            try:
                if self._is_part(descriptor):
                    evict(self.part)
                    _clear(self.part)
                    yield True
                    return
            finally:
                os.close(descriptor)
        yield False

    def _lock_part(self) -> int:
        while True:
            self.part.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(self.part, os.O_RDONLY)
            except FileNotFoundError:
                continue
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return descriptor

    def _is_part(self, descriptor: int) -> bool:
        """Whether the locked folder still is `.part`: whoever held it before may have renamed it."""
        try:
            return os.path.samestat(os.fstat(descriptor), self.part.stat())
        except FileNotFoundError:
            return False

    def commit(self) -> None:
        """The part becomes the result. What stands in its place is damaged (`exists` was false) and is removed."""
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.rmtree(self.failed, ignore_errors=True)
        self.part.rename(self.path)

    def fail(self) -> None:
        """The part is kept aside, for its log."""
        shutil.rmtree(self.failed, ignore_errors=True)
        self.part.rename(self.failed)

    def why_not(self, ingredients: Mapping[str, Any]) -> str:
        """Why an earlier result of the same stage does not serve: what differs from the newest one. '' where there is none."""
        earlier = [path for path in self.path.parent.glob(f"{self.name}-*/{PROVENANCE}") if path.parent.suffix not in {".part", ".failed"}]
        if not earlier:
            return ""
        newest = max(earlier, key=lambda path: path.stat().st_mtime)
        if newest.parent == self.path:
            return f"{self.output.name} is gone"
        return "; ".join(differences(read_json(newest).get("ingredients", {}), ingredients))


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
