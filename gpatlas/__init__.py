"""gpatlas: simulate genomes and traits with epistasis, fit linear and neural models, draw the comparison."""

from gpatlas.version import __version__

__all__ = ["__version__"]
