"""`python -m gpatlas STAGE`: one command per stage, its flags made from the fields of its settings."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from gpatlas.data.settings import NewConfigSettings
from gpatlas.progress import Progress
from gpatlas.settings import S, SettingsError, build
from gpatlas.stages import STAGES, Stage
from gpatlas.version import __version__

SOURCE_HELP = {  # by stage, or by the name of its source
    "import-alphasimr": "Folder, or tar archive, that holds the scenario's three text files.",
    "import-plink": "PLINK's .bed file, its .bim and .fam beside it.",
    "import-vcf": "VCF or BCF file (.vcf, .vcf.gz, .bcf).",
    "import-table": "Table of genotypes, compressed or not, a row per individual or per locus.",
    "data": "Dataset file (HDF5).",
    "genotypes": "Dataset file (HDF5), imported or simulated.",
    "manifest": "List of the tables to collect (JSON).",
    "results": "Collected table (CSV).",
    "run": "What the run was: config, stages, figures (JSON).",
}


class NumberList(click.ParamType[tuple[float, ...]]):
    """Numbers separated by commas."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        try:
            return tuple(int(part) if part.strip().isdecimal() else float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers separated by commas", param, ctx)


class Words(click.ParamType[tuple[str, ...]]):
    """Words separated by commas."""

    name = "words"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        return tuple(filter(None, value.split(",")))


def _flag_type(annotation: Any) -> Any:
    """The click type of a settings field."""
    members = [member for member in get_args(annotation) if member is not NoneType]
    if annotation is Path:
        return click.Path(exists=True, dir_okay=False, path_type=Path)
    if get_origin(annotation) is Literal:
        return click.Choice(members)
    if get_origin(annotation) is tuple:
        return Words() if members[0] is str else NumberList()
    if NoneType in get_args(annotation):
        return _flag_type(members[0])
    if hasattr(annotation, "__metadata__"):
        return _flag_type(annotation.__origin__)
    return annotation


def _option(name: str, field: FieldInfo) -> click.Option:
    default = (
        ",".join(value if isinstance(value, str) else f"{value:g}" for value in field.default)
        if isinstance(field.default, tuple)
        else field.default
    )
    shown = "required" if field.is_required() else f"default {default}"
    help_text = f"{field.description or ''}" + (f"  [{shown}]" if field.is_required() or default not in (None, "") else "")
    flag = "--" + name.replace("_", "-")
    if field.annotation is bool:
        return click.Option([flag], is_flag=True, default=None, help=field.description)
    return click.Option([flag, name], type=_flag_type(field.annotation), help=help_text)


@contextmanager
def write_aside(out: Path, earlier: tuple[Path, ...] = (), overwrite: bool = False) -> Iterator[Path]:
    """A path to write in place of `out`: it, and what stands beside it, comes to `out`'s folder when the block ends well.

    `out` comes last, so that it is never there without the rest. `earlier`: what a run may have left beside an earlier `out`,
    which goes where it is not written anew. Raises ValueError where a file is there and `overwrite` is not set; then nothing is moved.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        aside = Path(folder) / out.name
        yield aside
        written = sorted(Path(folder).iterdir(), key=lambda path: path == aside)
        _refuse_existing([out.parent / path.name for path in written], overwrite)
        for path in earlier:
            path.unlink(missing_ok=True)
        for path in written:
            path.replace(out.parent / path.name)


def _refuse_existing(paths: Iterable[Path], overwrite: bool) -> None:
    if not overwrite and (there := next((path for path in paths if path.exists()), None)):
        raise ValueError(f"{there} exists already: name another --out, or add --overwrite")


@contextmanager
def _using(threads: int | None) -> Iterator[None]:
    """The numerical libraries read the variables when they are loaded; those that are, as in a forked process, are told."""
    with ExitStack() as told:
        if threads is not None:
            for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
                os.environ[variable] = str(threads)
            if "numpy" in sys.modules:
                from threadpoolctl import threadpool_limits

                told.enter_context(threadpool_limits(threads))
            if torch := sys.modules.get("torch"):
                told.callback(torch.set_num_threads, torch.get_num_threads())
                torch.set_num_threads(threads)
        yield


def _settings(cls: type[S], values: dict[str, Any]) -> S:
    try:
        return build(cls, {name: value for name, value in values.items() if value is not None})
    except SettingsError as error:
        faults = (f"--{key.split('.')[0].replace('_', '-')}: {message}" for key, message in error.faults)
        raise click.UsageError("\n".join(faults)) from None


@contextmanager
def _reporting(name: str) -> Iterator[Progress]:
    """The progress of a command; what it can't do is said without a traceback."""
    progress = Progress(name)
    try:
        yield progress
    except (ValueError, OSError) as error:
        if os.environ.get("GPATLAS_TRACEBACK"):
            raise
        raise click.ClickException(str(error)) from error
    finally:
        progress.close()


def _run(stage: Stage, source: Path | None, out: Path, overwrite: bool, values: dict[str, Any]) -> None:
    settings = _settings(stage.settings, values)
    from importlib.metadata import version  # a tenth of the time that a command's --help takes

    with _reporting(stage.name) as progress:
        earlier = stage.all_beside(out)
        _refuse_existing((out, *earlier), overwrite)
        progress.report(versions={"gpatlas": __version__, **{package: version(package) for package in stage.packages}})
        with _using(values.get("threads")), write_aside(out, earlier, overwrite) as aside:
            stage.load()(settings, source, aside, progress)
        progress.report(peak_memory_mb=_peak_memory_mb())


def _peak_memory_mb() -> float | None:
    """Largest resident memory of this process in MB, where the kernel tells (Linux); what a forked one shares with its driver too."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024, 1)


def _command(stage: Stage) -> click.Command:
    def callback(out: Path, overwrite: bool, **values: Any) -> None:
        _run(stage, values.pop("source", None), out, overwrite, values)

    params: list[click.Parameter] = []
    if stage.source:
        help_text = SOURCE_HELP.get(stage.name) or SOURCE_HELP[stage.source]
        params.append(
            click.Option([f"--{stage.source}", "source"], required=True, type=click.Path(exists=True, path_type=Path), help=help_text)
        )
    params.append(click.Option(["--out"], required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write."))
    replaced = "the file, and the tables beside it, where they exist" if stage.model or stage.tables else "the file where it exists"
    params.append(click.Option(["--overwrite"], is_flag=True, help=f"Replace {replaced}."))
    params += [_option(name, field) for name, field in stage.settings.model_fields.items()]
    return click.Command(stage.name, callback=callback, params=params, help=stage.settings.__doc__)


def _new_config() -> click.Command:
    """No stage: what it writes names the files by their place beside it."""

    def callback(genotypes: Path, out: Path, overwrite: bool, **values: Any) -> None:
        settings = _settings(NewConfigSettings, values)
        from gpatlas.new_config import ready_config

        with _reporting("new-config") as progress:
            _refuse_existing((out,), overwrite)
            with write_aside(out, overwrite=overwrite) as aside:
                aside.write_text(ready_config(settings, genotypes, out, progress), encoding="utf-8")

    path = click.Path(exists=True, dir_okay=False, path_type=Path)
    params: list[click.Parameter] = [
        click.Option(["--genotypes"], required=True, type=path, help="PLINK's .bed, a VCF or BCF file, or a table."),
        click.Option(["--out"], required=True, type=click.Path(dir_okay=False, path_type=Path), help="Config to write (YAML)."),
        click.Option(["--overwrite"], is_flag=True, help="Replace the file where it exists."),
        *(_option(name, field) for name, field in NewConfigSettings.model_fields.items()),
    ]
    return click.Command("new-config", callback=callback, params=params, help=NewConfigSettings.__doc__)


def command_line() -> click.Group:
    """All stages, and `new-config`."""
    group = click.Group("gpatlas", help="Simulate genomes and traits with epistasis, fit models, collect, draw. Each command is one stage.")
    group = click.version_option(__version__, prog_name="gpatlas")(group)
    for stage in STAGES.values():
        group.add_command(_command(stage))
    group.add_command(_new_config())
    return group


def main(arguments: list[str] | None = None, group: click.Group | None = None, name: str = "python -m gpatlas") -> None:
    """Run one command, of `group` or of `command_line()`, and exit. `name`: what was called.

    Exit codes: 0 done, 1 the stage failed, 2 wrong flags, 141 nobody reads what is printed.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that what is half-written is removed
    stdout = sys.stdout
    try:
        (group or command_line()).main(arguments, prog_name=name)
    finally:
        if sys.stdout is not stdout:  # click has replaced it: nobody reads any more, as behind `| head`
            sys.exit(128 + signal.SIGPIPE)
