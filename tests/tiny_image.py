"""A Docker image of bash alone, exported as ours are: what is in it stands in for a stage, and says what a stage would see."""

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import docker

from images import IMAGES
from images.export import export

FOLDERS = ("dev", "proc", "sys", "etc", "tmp", "usr/bin")
FILES = ("etc/passwd", "etc/group", "etc/hosts", "etc/resolv.conf")
STAND_IN = """#!/bin/bash
cd /; echo "sees $(echo *), of variables $(compgen -e | sort | tr "\\n" " ")"; cd "$OLDPWD"
: > /written
while [ "$1" != --out ]; do shift; done
echo stood in > "$2"
"""


def exported_tiny_image(client: docker.DockerClient, folder: Path) -> Path:
    """The folder, in which the image stands, for Charliecloud, in the place of ours."""
    client.api.import_image_from_data(
        _archive(), repository="gpatlas-tiny", changes=['ENTRYPOINT ["/bin/bash","/stand-in"]', "ENV A=1 PATH=/bin"]
    )
    present = client.images.get("gpatlas-tiny")
    try:
        assert export(client, present, IMAGES["gpu"], "charliecloud", folder) == []
    finally:
        client.images.remove("gpatlas-tiny")
    return folder


def _archive() -> bytes:
    """Bash with its libraries, and what Charliecloud wants of an image."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name in FOLDERS:
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
        programs = [str(shutil.which(program)) for program in ("bash", "sort", "tr")]
        needed = subprocess.run(["ldd", *programs], capture_output=True, text=True).stdout
        for path in sorted({*programs, *re.findall(r"/\S+(?= \(0x)", needed)}):
            tar.add(Path(path).resolve(), f"bin/{Path(path).name}" if path in programs else path.lstrip("/"))
        tar.add("/bin/bash", "bin/sh")
        for name, text in {**dict.fromkeys(FILES, ""), "stand-in": STAND_IN}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return file.getvalue()
