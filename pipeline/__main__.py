"""The driver's own commands, as `gpatlas` hands them on: `gpatlas run --config X` is `luigi --module pipeline RunAll --config X`."""

from pathlib import Path
from typing import Any

import click
from luigi.cmdline import luigi_run, luigid

from gpatlas.cli import main as run_click
from pipeline.configs import copy_config, descriptions
from pipeline.driver import use_luigi_settings
from pipeline.registry import RUNNERS


@click.group()
def main() -> None:
    """Studies, each told by a config."""


def _of_a_study(name: str, task: str, summary: str, *more: click.Parameter) -> click.Command:
    """A command that lets Luigi run `task`; its flags are Luigi's, but that the scheduler is the run's own unless one is named."""

    def callback(scheduler_url: str | None = None, **values: Any) -> None:
        flags = [word for flag, value in values.items() if value is not None for word in (f"--{flag}", str(value))]
        luigi_run([task, *flags, *(["--scheduler-url", scheduler_url] if scheduler_url else ["--local-scheduler"])])

    params: list[click.Parameter] = [
        click.Option(["--config"], required=True, help="Config file (YAML)."),
        click.Option(["--experiments"], help="These experiments of it alone, separated by commas."),
        click.Option(["--results"], default="results", show_default=True, help="Folder of all results."),
        click.Option(["--runner"], type=click.Choice(list(RUNNERS)), help="What runs the stages, in place of the config's runner."),
        *more,
    ]
    return click.Command(name, callback=callback, params=params, help=summary)


main.add_command(
    _of_a_study(
        "run",
        "RunAll",
        "Run the study of a config, and publish it in the results: results.csv, figures, report.html. What is done is kept.",
        click.Option(["--workers"], type=int, default=1, show_default=True, help="Stages that run at the same time, where they fit."),
        click.Option(["--scheduler-url"], help="A scheduler to share with other runs, http://127.0.0.1:8082/ of `gpatlas scheduler`."),
    )
)
main.add_command(_of_a_study("plan", "Plan", "Say what of a study is done and to do, and the disk it takes."))


@main.command()
@click.option("--address", default="127.0.0.1", show_default=True, help="Where it listens; Luigi has no login.")
@click.option("--port", type=int, default=8082, show_default=True)
def scheduler(address: str, port: int) -> None:
    """Luigi's scheduler: shares out cores, memory and GPUs among all runs that name it; with a web view."""
    use_luigi_settings()
    Path("results").mkdir(exist_ok=True)  # it keeps its state there
    luigid(["--address", address, "--port", str(port)])


@main.group("configs", invoke_without_command=True)
@click.pass_context
def configs(context: click.Context) -> None:
    """List the configs that come with gpatlas, or copy one."""
    if context.invoked_subcommand is None:
        for name, description in descriptions().items():
            click.echo(f"{name:12}{description}")


@configs.command("copy")
@click.argument("name", type=click.Choice(list(descriptions())))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
def copy_to(name: str, folder: Path) -> None:
    """Write the config NAME, and the data that it names, into FOLDER (the current one)."""
    try:
        written = copy_config(name, folder)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(map(str, written)))


if __name__ == "__main__":
    run_click(group=main, name="gpatlas")
