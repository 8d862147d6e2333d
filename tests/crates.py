"""Help for tests of run crates: a reader who has the metadata and what they describe, and nothing else of the run."""

import hashlib
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from drivers import ENVIRONMENT

Item = dict[str, Any]


class Crate:
    """The crate in `folder`, and `inputs`: the folder with a user's own files that it names."""

    def __init__(self, folder: Path, inputs: Path | None = None) -> None:
        self.folder, self.inputs = folder, inputs
        self.text = (folder / "ro-crate-metadata.json").read_text(encoding="utf-8")
        self.items: dict[str, Item] = {item["@id"]: item for item in json.loads(self.text)["@graph"]}
        self.actions = {item["name"]: item for item in self.items.values() if item["@type"] == "CreateAction"}
        self._makers = {made["@id"]: action for action in self.actions.values() for made in self.of(action, "result")}

    def of(self, item: Item, name: str) -> list[Item]:
        """What a property of the item names."""
        value = item.get(name, [])
        return [self.items[one["@id"]] for one in (value if isinstance(value, list) else [value])]

    def repeat(self, action: str, folder: Path) -> dict[str, Path]:
        """Run the action's command in the folder, after all that it needs; returns its results, by what the crate calls them."""
        item = self.actions[action]
        for read in self.of(item, "object"):
            self._bring(read, folder)
        program, *words = shlex.split(item["description"])
        assert program == "python"
        ended = subprocess.run([sys.executable, *words], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return {made["@id"]: folder / Path(made["alternateName"]).name for made in self.of(item, "result")}

    def _bring(self, item: Item, folder: Path) -> None:
        target = folder / item["alternateName"]
        target.parent.mkdir(parents=True, exist_ok=True)
        if {"@id": item["@id"]} in self.items["./"]["hasPart"]:
            shutil.copy(self.folder / item["@id"], target)
        elif "text" in item:
            target.write_text(item["text"], encoding="utf-8")
        elif item["@id"] in self._makers:
            if not target.exists():
                beside = folder / "made" / str(len(list(folder.glob("made/*"))))
                beside.mkdir(parents=True)
                made = self.repeat(self._makers[item["@id"]]["name"], beside)
                for name, path in made.items():
                    place = folder / self.items[name]["alternateName"]
                    place.parent.mkdir(parents=True, exist_ok=True)
                    path.rename(place)
            if target.suffix != ".h5":
                return  # a table has the seconds that it took
        else:
            assert self.inputs is not None
            shutil.copy(self.inputs / item["name"], target)
        assert hashlib.sha256(target.read_bytes()).hexdigest() == item["sha256"]
