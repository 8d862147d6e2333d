"""The configs that come with gpatlas: what each is, and copies of them to start from."""

import re
from pathlib import Path

from images import PROJECT

FOLDER = PROJECT / "configs"
DATA = "../tests/data/"  # from there, and where a copy has them
COPIED_DATA = "data/"


def descriptions() -> dict[str, str]:
    """The first line of every config, by its name."""
    return {path.stem: path.open(encoding="utf-8").readline().removeprefix("#").strip() for path in sorted(FOLDER.glob("*.yaml"))}


def copy_config(name: str, folder: Path) -> list[Path]:
    """Write the config, and into `data` beside it the files that it names; returns what is there then.

    Raises ValueError, and writes nothing, where another file is in the way.
    """
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    files = {folder / f"{name}.yaml": text.replace(DATA, COPIED_DATA).encode()}
    for named in sorted(set(re.findall(rf"{re.escape(DATA)}(\S+)", text))):
        place = FOLDER / DATA / named
        for path in sorted(place.parent.glob(f"{place.name.partition('.')[0]}.*")):  # a .bed has its .bim and .fam beside it
            files[folder / COPIED_DATA / Path(named).parent / path.name] = path.read_bytes()
    for path, content in files.items():
        if path.exists() and path.read_bytes() != content:
            raise ValueError(f"{path} exists already, and is another file: name another folder")
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return list(files)
