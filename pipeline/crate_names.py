"""What the files of a run are called where nothing of the machine may be told.

One of the results is called by its place below their folder, one of a user's own `inputs/<file name>`: `inputs-2` where it is of
another folder.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from gpatlas.data.settings import ImportSettings
from gpatlas.data.sources import find_files
from pipeline.config import Config
from pipeline.own import FILES
from pipeline.stage_task import StageTask


class Names:
    """What files are called. `inputs`: files of a user's own that `stages` read, and further ones that the config names."""

    def __init__(self, study: Config, results: Path, stages: Sequence[StageTask]) -> None:
        self.study = study
        read = [path for task in stages for path in task.files]
        chosen = {
            name: block for name, block in study.content["experiments"].items() if name in (study.only or study.content["experiments"])
        }
        named, named_by_chosen = self._named(study.content), self._named(chosen)
        self.inputs = dict.fromkeys([*(path for task in stages for path in input_files(task)), *named_by_chosen])
        folders = dict.fromkeys(path.parent for path in (*named, *read))
        places = {f"{folder}/": f"inputs{f'-{number}' if number > 1 else ''}/" for number, folder in enumerate(folders, 1)}
        self.places = sorted({**places, f"{results}/": ""}.items(), key=lambda place: -len(place[0]))  # the innermost first

    def of(self, text: str) -> str:
        """The text with the names of files in place of their paths."""
        for place, name in self.places if "/" in text else ():
            text = re.sub(rf"(?<![\w./-]){re.escape(place)}", name, text)
        return text

    def of_message(self, text: str) -> str:
        """The same, and whatever other path a message holds shortened to its last part."""
        return re.sub(r"(?<![\w.-])/[^\s'\":;,]*/", "…/", self.of(text).replace(str(Path.home()), "~"))

    def config(self) -> str:
        """The config, as YAML, with the names of files and without what is about a cluster."""
        content = {name: value for name, value in self.study.content.items() if name != "slurm"}
        renamed = _with_files(content, lambda given: self.of(str(self._path(given))))
        return str(yaml.safe_dump(renamed, sort_keys=False, allow_unicode=True))

    def _path(self, given: str) -> Path:
        path = self.study.path.absolute().parent / given
        return path.parent.resolve() / path.name

    def _named(self, content: Mapping[str, Any]) -> list[Path]:
        found: list[Path] = []
        _with_files(content, lambda given: found.append(self._path(given)))
        return found


def _with_files(value: Any, change: Callable[[str], Any], key: str = "") -> Any:
    """What a config says, every name of a file changed."""
    if isinstance(value, dict):
        return {name: _with_files(inner, change, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_files(inner, change) for inner in value]
    return change(value) if key in (*FILES, "source") and isinstance(value, str) else value


def input_files(task: StageTask) -> Iterator[Path]:
    """The files of a user's own that the stage reads."""
    for path in task.files:
        if path.is_dir() and isinstance(task.settings, ImportSettings):
            yield from find_files(path, task.settings.scenario).values()
        else:
            yield path
