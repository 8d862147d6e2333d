"""`python -m gpatlas`."""

from gpatlas.cli import main

main()
