"""`python -m images build | export | tag | list | check`."""

import re
import shlex
import sys
from pathlib import Path

import click
from docker.models.images import Image as EngineImage

from images import IMAGES, Image
from images.engine import LABEL, Builder, engine, find
from images.export import Format, export

NEEDED = ("gpu", "r")


class SourceMissing(click.ClickException):
    """AlphaSimR cannot be compiled because its source is not to be had."""


@click.group()
def main() -> None:
    """Container images of the stages. An image's tag is a hash of its Dockerfile, its locks and its sources."""


@main.command("build")
@click.argument("names", nargs=-1, type=click.Choice(list(IMAGES)))
@click.option("--base", default="debian:bookworm-slim", envvar="GPATLAS_BASE", help="Image of Debian to build on.", show_default=True)
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    envvar=["PIP_CERT", "SSL_CERT_FILE"],
    show_envvar=True,
    help="Certificates (PEM) that downloads trust; they stay out of the image.",
)
@click.option("--rebuild", is_flag=True, help="Build again what is there, with Debian's present updates.")
def build_images(names: tuple[str, ...], base: str, ca: Path | None, rebuild: bool) -> None:
    """Build what is missing of the images NAMES; without names gpu and r.

    Without names r-base, r without AlphaSimR, stands in for r where AlphaSimR's source is not to be had.
    """
    with engine() as client:
        builder = Builder(client, base, ca, rebuild)
        for name in names or NEEDED:
            try:
                _ensure(builder, IMAGES[name])
            except SourceMissing as error:
                if names:
                    raise
                _ensure(builder, IMAGES["r-base"])
                click.echo(error.message)


def _ensure(builder: Builder, image: Image) -> None:
    if find(builder.client, image)[0] and not builder.afresh:
        click.echo(f"{image.tag} is up to date")
        return
    click.echo(f"building {image.tag}")
    if image.name == "r":
        _ensure_source(builder, image)
    if not builder.build(image):
        raise click.ClickException(f"{image.tag} could not be built, see above")
    click.echo(f"built {image.tag}")


def _ensure_source(builder: Builder, image: Image) -> None:
    """AlphaSimR's source in r-packages/, from CRAN where it is not there yet."""
    [version] = re.findall(r"^cran AlphaSimR=(\S+)", (image.project / "images" / "r.lock").read_text(), re.MULTILINE)
    archive = image.project / "r-packages" / f"AlphaSimR_{version}.tar.gz"
    if not archive.exists() and not builder.export(image, "source", archive.parent):
        raise SourceMissing(
            f"{image.tag} is missing: CRAN does not give AlphaSimR's source, see above. "
            f"Put {archive.name} into {archive.parent}, then: python -m images build r"
        )


@main.command("export")
@click.argument("names", nargs=-1, type=click.Choice(list(IMAGES)))
@click.option("--format", "format_", type=click.Choice(["charliecloud", "apptainer"]), required=True, help="What is to run them.")
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for them.",
)
def export_images(names: tuple[str, ...], format_: Format, folder: Path) -> None:
    """Write the images NAMES, which are built, for nodes without Docker; without names gpu."""
    folder.mkdir(parents=True, exist_ok=True)
    with engine() as client:
        for image in (IMAGES[name] for name in names or NEEDED[:1]):
            if (present := find(client, image)[0]) is None:
                raise click.ClickException(f"{image.tag} is not there: python -m images build {image.name}")
            left = export(client, present, image, format_, folder.absolute())
            click.echo(f"{folder / image.exported(format_)}" + (f": finish it where {left[0]} is: {shlex.join(left)}" if left else ""))


@main.command()
@click.argument("name", type=click.Choice(list(IMAGES)))
def tag(name: str) -> None:
    """Print the tag of an image, to run a stage by hand."""
    click.echo(IMAGES[name].tag)


@main.command("list")
def list_() -> None:
    """Every image of ours that the engine has; `old` ones are of an earlier definition."""
    rows: list[tuple[str, ...]] = [("NAME", "TAG", "IMAGE ID", "SIZE", "BASE", "CREATED")]
    with engine() as client:
        for name, image in IMAGES.items():
            present, older = find(client, image)
            rows += [_row(name, present)] if present else []
            rows += [_row(f"{name} old", one) for one in older]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(name: str, image: EngineImage) -> tuple[str, ...]:
    base = f"{image.labels.get(LABEL + 'base.name')} {image.labels.get(LABEL + 'base.digest', '')[:19]}"
    size = f"{image.attrs['Size'] / 1e6:.0f} MB"
    return name, ", ".join(image.tags) or "-", image.short_id.removeprefix("sha256:"), size, base, image.attrs["Created"][:16]


@main.command()
def check() -> None:
    """Say of each image whether it is present, stale (only an older one is there) or missing, and what gets it."""
    states = {}
    with engine() as client:
        for name, image in IMAGES.items():
            present, older = find(client, image)
            states[name] = "present" if present else "stale" if older else "missing"
            remedy = f"python -m images build {name}" + ("" if name in NEEDED else "  (only where r cannot be built)")
            click.echo(f"{name:6}  {states[name]:7}  {image.tag:27}  {'' if present else remedy}".rstrip())
    sys.exit(any(states[name] != "present" for name in NEEDED))


if __name__ == "__main__":
    try:
        main(prog_name="python -m images")
    except FileNotFoundError as error:
        sys.exit(f"Error: {error}")
