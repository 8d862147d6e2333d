"""The program `gpatlas`: the stages, as `python -m gpatlas` has them, and the commands of the driver.

The driver is above this room and slow to import, so nothing is imported from it: its commands are handed on to `python -m pipeline`.
"""

import os
import sys

import click

from gpatlas.cli import command_line, main

DRIVER = {
    "run": "Run the study of a config: what of it is not done yet.",
    "plan": "Say what of a study is done and to do, and the disk it takes.",
    "configs": "List the configs that come with gpatlas, or copy one.",
    "scheduler": "Share this machine out among several runs, with a web view.",
}


def _handed_on(name: str, summary: str) -> click.Command:
    def callback(words: tuple[str, ...]) -> None:
        os.execv(sys.executable, [sys.executable, "-P", "-m", "pipeline", name, *words])

    words = click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)
    settings = {"ignore_unknown_options": True}
    return click.Command(name, callback=callback, params=[words], help=summary, add_help_option=False, context_settings=settings)


def run_gpatlas() -> None:
    """What the console script calls."""
    group = command_line()
    group.help = "Simulate genomes and traits with epistasis, fit models, collect, draw: single stages, or whole studies (run)."
    for name, summary in DRIVER.items():
        group.add_command(_handed_on(name, summary))
    main(group=group, name="gpatlas")
