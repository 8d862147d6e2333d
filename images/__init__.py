"""What the container images are made of, and what they are called. Building and listing them: `python -m images`.

No Docker is needed to know a name: it follows from the files.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_PACKAGES = Path(__file__).resolve().parents[1]
# The project as a folder: the checkout, or its copy without tests and documents that a wheel carries.
PROJECT = carried if (carried := _PACKAGES / "gpatlas_project").is_dir() else _PACKAGES


@dataclass(frozen=True)
class Image:
    """One stage of a Dockerfile; `locks` and `sources` are the files of the project, as glob patterns, that decide what is in it."""

    name: str
    dockerfile: str
    locks: tuple[str, ...]
    sources: tuple[str, ...]
    project: Path = PROJECT

    @property
    def repository(self) -> str:
        return f"gpatlas-{self.name}"

    @property
    def tag(self) -> str:
        """The full reference, `gpatlas-gpu:0a1b2c3d4e5f`."""
        return f"{self.repository}:{self.version}"

    def exported(self, format: str) -> str:
        """What the image is called where it is run without Docker: a folder for Charliecloud, a file for Apptainer."""
        return f"{self.repository}-{self.version}" + (".sif" if format == "apptainer" else "")

    @cached_property
    def version(self) -> str:
        """Hash of the whole definition: the same files, the same version, wherever and whenever."""
        return self._hash(self.dockerfile, *self.locks, *self.sources)

    @cached_property
    def environment(self) -> str:
        """Hash of what the sources run on: part of a result's key, where the version of its stage speaks for the sources."""
        return self._hash(self.dockerfile, *self.locks)

    def _hash(self, *patterns: str) -> str:
        """Raises FileNotFoundError where the project lacks its part of the definition."""
        digest = hashlib.sha256()
        for pattern in patterns:
            if not any(self.project.glob(pattern)):
                raise FileNotFoundError(f"{self.project} has no {pattern}: images are named by, and built from, these files")
        for path in sorted(path for pattern in patterns for path in self.project.glob(pattern)):
            digest.update(f"{path.relative_to(self.project).as_posix()} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
        return digest.hexdigest()[:12]


IMAGES: dict[str, Image] = {
    image.name: image
    for image in (
        Image(
            "gpu", "Dockerfile.gpu", ("images/gpu.lock", "images/cuda.lock"), ("gpatlas/**/*.py", "gpatlas/**/*.html", "gpatlas/**/*.csv")
        ),
        Image("r", "Dockerfile.r", ("images/r.lock",), ("r/*.R",)),
        Image("r-base", "Dockerfile.r", ("images/r.lock",), ("r/*.R",)),
    )
}
