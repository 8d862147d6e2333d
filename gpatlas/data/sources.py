"""Where the three text files of an AlphaSimR scenario are: in a folder, or in a tar archive read in one pass.

Standard library only on purpose: the driver fingerprints sources without numpy.
"""

import bz2
import difflib
import gzip
import hashlib
import lzma
import os
import posixpath
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

# In this order the texts are handed out; it is also the order inside the study's archives, which then need no spooling.
KINDS = ("eff", "g", "p")
CHUNK = 1 << 20
MOST_LINKS = 40  # in a row, as Linux has it
OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open, b"]\0\0": lzma.open}  # by first bytes
BROKEN = (tarfile.TarError, EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)


class SourceError(ValueError):
    """A source lacks the files of a scenario, has one twice, or cannot be read. The message names the source."""


@dataclass(frozen=True)
class Text:
    """One of the three files, open for reading; `name` is how messages call it."""

    name: str
    stream: IO[bytes]


def file_name(scenario: str, kind: str) -> str:
    """The study's name of one of a scenario's files; `kind` is one of KINDS."""
    return f"{scenario}_{kind}.txt"


def find_files(folder: Path, scenario: str) -> dict[str, Path]:
    """The scenario's files by kind, found by name anywhere below `folder`. SourceError where one is missing or there twice."""
    kinds = {file_name(scenario, kind): kind for kind in KINDS}
    found: dict[str, Path] = {}
    others: list[str] = []
    for path in sorted(Path(root) / name for root, _, names in os.walk(folder) for name in names):
        kind = kinds.get(path.name)
        if kind is None:
            others.append(path.name)
        elif kind in found:
            raise SourceError(f"{folder}: holds {path.name} twice, {found[kind]} and {path}; leave one, or name a folder that has only one")
        else:
            found[kind] = path
    if len(found) < len(KINDS):
        raise _missing(folder, scenario, found, others)
    return found


def decompressed(file: IO[bytes]) -> IO[bytes]:
    """The content of a file that is open at its start: the file itself where its first bytes are of no compression."""
    start = file.read(max(map(len, OPENERS)))
    file.seek(0)
    opener = next((opener for magic, opener in OPENERS.items() if start.startswith(magic)), None)
    content: IO[bytes] = opener(file) if opener else file
    return content


@contextmanager
def open_texts(source: Path, scenario: str, spool: Path) -> Iterator[Iterator[Text]]:
    """The scenario's three texts in the order of KINDS; each must be read before the next is asked for.

    An archive is read once, from start to end, as far as the last of the three; once more for each that is a link. A member that
    comes before its turn waits in an unnamed temporary file in the folder `spool`, which takes the member's size there.
    Raises SourceError where a text is missing or there twice and where the archive is broken, also while it is read.
    """
    if not source.exists():
        raise SourceError(f"{source}: no such folder or archive")
    texts = _from_folder(source, scenario) if source.is_dir() else _from_archive(source, scenario, spool)
    with closing(texts):
        try:
            yield texts
        except BROKEN as error:
            raise SourceError(f"{source}: cut short, or not a tar archive (.tar, .tar.gz or .tar.xz): {error}") from error


def fingerprint(source: Path, scenario: str) -> str:
    """sha256, in hex, of the content that decides an import: of the archive file, or of the scenario's files in a folder."""
    if not source.exists():
        raise SourceError(f"{source}: no such folder or archive")
    if not source.is_dir():
        return _sha256(source)
    files = find_files(source, scenario)
    return hashlib.sha256("".join(_sha256(files[kind]) for kind in KINDS).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _from_folder(folder: Path, scenario: str) -> Generator[Text, None, None]:
    files = find_files(folder, scenario)
    for kind in KINDS:
        with files[kind].open("rb", buffering=CHUNK) as stream:
            yield Text(str(files[kind]), stream)


def _from_archive(source: Path, scenario: str, spool: Path) -> Generator[Text, None, None]:
    kinds = {file_name(scenario, kind): kind for kind in KINDS}
    waiting = list(KINDS)
    seen: dict[str, str] = {}
    early: dict[str, Text] = {}
    others: list[str] = []
    with _archive(source) as archive, ExitStack() as spooled:
        for member in archive:
            name = PurePosixPath(member.name).name
            if name not in kinds or not (member.isfile() or _is_link(member)):
                others.append(name)
                continue
            kind = kinds[name]
            if kind in seen:
                raise SourceError(f"{source}: holds {name} twice, {seen[kind]} and {member.name}; an archive must hold one")
            seen[kind] = member.name
            if _is_link(member):
                stream = spooled.enter_context(_linked(source, member, spool))
            else:
                stream = _stream(archive, member)
                if kind != waiting[0]:
                    stream = spooled.enter_context(_spooled(stream, spool))
            early[kind] = Text(f"{source}: {member.name}", stream)
            while waiting and waiting[0] in early:
                yield early.pop(waiting.pop(0))
            if not waiting:
                return
    raise _missing(source, scenario, seen, others)


@contextmanager
def _archive(source: Path) -> Iterator[tarfile.TarFile]:
    """The archive, to be read from start to end. Decompressed a little at a time: tarfile itself copies all it has at every read."""
    with source.open("rb") as file, decompressed(file) as content, tarfile.open(fileobj=content, mode="r|") as archive:
        yield archive


def _is_link(member: tarfile.TarInfo) -> bool:
    return member.islnk() or member.issym()


def _stream(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    assert stream is not None
    return stream


def _spooled(stream: IO[bytes], spool: Path) -> IO[bytes]:
    """A copy, in an unnamed temporary file in the folder `spool`."""
    copy = tempfile.TemporaryFile(dir=spool)  # noqa: SIM115 (closed by who asked)
    shutil.copyfileobj(stream, copy, CHUNK)
    copy.seek(0)
    return copy


def _linked(source: Path, link: tarfile.TarInfo, spool: Path) -> IO[bytes]:
    """A copy of the file of the archive that a link leads to, over further links."""
    member = link
    for _ in range(MOST_LINKS):
        # A hard link is named from the archive's root, a symbolic one from its own folder.
        target = posixpath.normpath(posixpath.join("" if member.islnk() else posixpath.dirname(member.name), member.linkname))
        with _archive(source) as archive:
            found = next((one for one in archive if posixpath.normpath(one.name) == target), None)
            if found is None:
                raise SourceError(f"{source}: {link.name} is a link to {target}, which the archive does not hold")
            if found.isfile():
                return _spooled(_stream(archive, found), spool)
        if not _is_link(found):
            raise SourceError(f"{source}: {link.name} is a link to {target}, which is not a file")
        member = found
    raise SourceError(f"{source}: {link.name} is a link that leads to no file")


def _missing(source: Path, scenario: str, found: Iterable[str], others: list[str]) -> SourceError:
    names = ", ".join(file_name(scenario, kind) for kind in KINDS if kind not in found)
    scenarios = {other.removesuffix("_eff.txt") for other in others if other.endswith("_eff.txt")} - {scenario}
    close = difflib.get_close_matches(scenario, scenarios, n=1)
    hint = f"; did you mean scenario {close[0]}?" if close else ""
    place = "folders below it" if source.is_dir() else "folders of the archive"
    return SourceError(f"{source}: holds no {names} (looked in all {place}){hint}")
