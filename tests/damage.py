"""Ways in which a file comes to harm. Where the clock tells nothing (`zeroed`, `flipped`), the time of change is kept."""

import os
from collections.abc import Callable
from pathlib import Path

PAGE = 4096


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zero_a_page(path: Path) -> None:
    content = path.read_bytes()
    _rewrite(path, bytes(min(PAGE, len(content))) + content[PAGE:])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    _rewrite(path, bytes(content))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_an_older_one(path: Path) -> None:
    path.write_bytes(b"older" + path.read_bytes())
    os.utime(path, (1, 1))


def cut_to_the_first_line(path: Path) -> None:
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])


def _rewrite(path: Path, content: bytes) -> None:
    times = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


DAMAGES: list[Callable[[Path], None]] = [
    truncate,
    zero_a_page,
    flip_a_bit,
    empty,
    replace_by_an_older_one,
    cut_to_the_first_line,
    Path.unlink,
]
