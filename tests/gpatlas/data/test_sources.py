"""gpatlas.data.sources: the three texts of a scenario, wherever they lie; what is in them does not matter here."""

import hashlib
import os
import subprocess
import sys
import tarfile
import tracemalloc
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from gpatlas.data import sources
from gpatlas.data.sources import KINDS, SourceError

SCENARIO = "qhaplo_46qtl_1000n_rep1"
CONTENT = {kind: f"what {kind} says\n".encode() * 5000 for kind in KINDS}


def write_texts(folder: Path, scenario: str = SCENARIO) -> Path:
    folder.mkdir(parents=True)
    for kind, content in CONTENT.items():
        (folder / f"{scenario}_{kind}.txt").write_bytes(content)
    return folder


def write_archive(path: Path, texts: Path, members: list[str], mode: Any = "w") -> Path:
    """Each member is in a folder of its own, after a folder and a file with a similar name."""
    with tarfile.open(path, mode) as archive:
        archive.add(texts, "data", recursive=False)
        archive.add(texts / f"{SCENARIO}_p.txt", f"data/{SCENARIO}_p.txt.bak")
        for index, kind in enumerate(members):
            archive.add(texts / f"{SCENARIO}_{kind}.txt", f"./data/{index}/{SCENARIO}_{kind}.txt")
    return path


def read_all(source: Path, spool: Path, scenario: str = SCENARIO) -> list[tuple[str, bytes]]:
    with sources.open_texts(source, scenario, spool) as texts:
        return [(text.name, text.stream.read()) for text in texts]


def test_folder_is_searched_to_any_depth(tmp_path: Path) -> None:
    folder = write_texts(tmp_path / "texts" / "deep" / "deeper")
    write_texts(tmp_path / "texts" / "other", "qhaplo_46qtl_1000n_rep2")
    expected = [(str(folder / f"{SCENARIO}_{kind}.txt"), CONTENT[kind]) for kind in KINDS]
    assert read_all(tmp_path / "texts", tmp_path) == expected
    assert [str(path) for path in sources.find_files(tmp_path, SCENARIO).values()] == [name for name, _ in expected]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("order", list(permutations(KINDS)))
def test_archive_members_in_any_order(order: tuple[str, ...], mode: str, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "texts.tar", write_texts(tmp_path / "texts"), list(order), mode)
    assert read_all(archive, tmp_path) == [
        (f"{archive}: ./data/{order.index(kind)}/{SCENARIO}_{kind}.txt", CONTENT[kind]) for kind in KINDS
    ]
    assert sorted(os.listdir(tmp_path)) == ["texts", "texts.tar"]


def test_reading_stops_after_the_third_text(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "texts.tar", write_texts(tmp_path / "texts"), ["eff", "g", "p", "p"])
    archive.write_bytes(archive.read_bytes()[: -len(CONTENT["p"])])
    assert [content for _, content in read_all(archive, tmp_path)] == [CONTENT[kind] for kind in KINDS]


def test_texts_there_twice(tmp_path: Path) -> None:
    first, second = write_texts(tmp_path / "texts" / "a"), write_texts(tmp_path / "texts" / "b")
    name = f"{SCENARIO}_eff.txt"
    with pytest.raises(SourceError) as error:
        read_all(tmp_path / "texts", tmp_path)
    assert f"{tmp_path / 'texts'}: holds {name} twice, {first / name} and {second / name}" in str(error.value)
    archive = write_archive(tmp_path / "texts.tar", first, ["eff", "eff", "g", "p"])
    with pytest.raises(SourceError, match=rf"texts.tar: holds {name} twice, ./data/0/{name} and ./data/1/{name}"):
        read_all(archive, tmp_path)


def test_missing_texts_are_named(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts")
    archive = write_archive(tmp_path / "texts.tar", texts, ["p", "g"])
    with pytest.raises(SourceError, match=rf"texts.tar: holds no {SCENARIO}_eff.txt \(looked in all folders of the archive\)$"):
        read_all(archive, tmp_path)
    with pytest.raises(SourceError, match=r"texts: holds no x_eff.txt, x_g.txt, x_p.txt \(looked in all folders below it\)$"):
        read_all(texts, tmp_path, "x")
    with pytest.raises(SourceError, match=rf"_p.txt \(looked in all folders below it\); did you mean scenario {SCENARIO}\?"):
        read_all(texts, tmp_path, "qhaplo_46qtl_1000n_rep3")
    with pytest.raises(SourceError, match="nowhere: no such folder or archive"):
        read_all(tmp_path / "nowhere", tmp_path)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("kept", [0.0, 0.2, 0.5, 0.8])
def test_archives_cut_short(kept: float, mode: str, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "texts.tar", write_texts(tmp_path / "texts"), list(KINDS), mode)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(SourceError, match=r"texts.tar: (cut short, or not a tar archive|holds no)"):
        read_all(archive, tmp_path)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_small_archive_of_much_is_read_in_pieces(mode: Any, tmp_path: Path) -> None:
    """60 MB of zeros in some ten kB, passed over. tarfile's own reading keeps what a block of the file expands to."""
    texts = write_texts(tmp_path / "texts")
    with tarfile.open(tmp_path / "texts.tar", mode) as archive:
        large = tarfile.TarInfo("zeros")
        large.size = 60_000_000
        with Path("/dev/zero").open("rb") as zeros:
            archive.addfile(large, zeros)
        for kind in KINDS:
            archive.add(texts / f"{SCENARIO}_{kind}.txt", f"{SCENARIO}_{kind}.txt")
    assert (tmp_path / "texts.tar").stat().st_size < 100_000
    tracemalloc.start()
    try:
        assert [content for _, content in read_all(tmp_path / "texts.tar", tmp_path)] == [CONTENT[kind] for kind in KINDS]
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def write_links(path: Path, texts: Path, kind_of_link: bytes, first: bool, mode: Any = "w") -> Path:
    """The files lie in `files` under other names; the scenario's names are links, over one more link, before or after them."""
    with tarfile.open(path, mode) as archive:
        for place in ("links", "files") if first else ("files", "links"):
            for kind in KINDS:
                if place == "files":
                    archive.add(texts / f"{SCENARIO}_{kind}.txt", f"./files/{kind}")
                    continue
                for name, target in ((f"over_{kind}", f"files/{kind}"), (f"{SCENARIO}_{kind}.txt", f"links/over_{kind}")):
                    link = tarfile.TarInfo(f"links/{name}")
                    link.type, link.linkname = kind_of_link, target if kind_of_link == tarfile.LNKTYPE else f"../{target}"
                    archive.addfile(link)
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize(
    ("kind_of_link", "first"),
    [(tarfile.LNKTYPE, False), (tarfile.SYMTYPE, False), (tarfile.SYMTYPE, True)],
    ids=["hard", "symbolic", "before"],
)
def test_links_in_an_archive_are_followed(kind_of_link: bytes, first: bool, mode: str, tmp_path: Path) -> None:
    archive = write_links(tmp_path / "texts.tar", write_texts(tmp_path / "texts"), kind_of_link, first, mode)
    assert read_all(archive, tmp_path) == [(f"{archive}: links/{SCENARIO}_{kind}.txt", CONTENT[kind]) for kind in KINDS]
    assert sorted(os.listdir(tmp_path)) == ["texts", "texts.tar"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("gone", "is a link to links/gone, which the archive does not hold"),
        ("/etc/passwd", "is a link to /etc/passwd, which the archive does not hold"),
        (f"{SCENARIO}_eff.txt", "is a link that leads to no file"),
        ("../folder", "is a link to folder, which is not a file"),
    ],
)
def test_a_link_to_nothing_is_named(target: str, said: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "texts.tar", "w") as archive:
        folder, link = tarfile.TarInfo("folder"), tarfile.TarInfo(f"links/{SCENARIO}_eff.txt")
        folder.type, link.type, link.linkname = tarfile.DIRTYPE, tarfile.SYMTYPE, target
        archive.addfile(folder)
        archive.addfile(link)
    with pytest.raises(SourceError, match=rf"texts.tar: links/{SCENARIO}_eff.txt {said}"):
        read_all(tmp_path / "texts.tar", tmp_path)


def test_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    first, second = write_texts(tmp_path / "first"), write_texts(tmp_path / "second" / "deeper")
    assert sources.fingerprint(first, SCENARIO) == sources.fingerprint(tmp_path / "second", SCENARIO)
    texts = [second / f"{SCENARIO}_{kind}.txt" for kind in ("eff", "g")]
    texts[0].write_bytes(CONTENT["eff"] + b"w")
    texts[1].write_bytes(CONTENT["g"][1:])
    assert sources.fingerprint(first, SCENARIO) != sources.fingerprint(second, SCENARIO)
    archive = write_archive(tmp_path / "texts.tar", first, list(KINDS))
    assert sources.fingerprint(archive, SCENARIO) == hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(SourceError, match=r"holds no y_eff\.txt"):
        sources.fingerprint(first, "y")
    with pytest.raises(SourceError, match="no such folder"):
        sources.fingerprint(tmp_path / "gone", SCENARIO)


def test_no_arrays_are_imported() -> None:
    code = "import gpatlas.data.sources, sys; sys.exit(sorted({'numpy', 'h5py', 'pandas'} & set(sys.modules)) or 0)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2].parent, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
