"""gpatlas: simulate genomes and traits with epistasis, fit linear and neural models, draw the comparison."""

__version__ = "0.1.0"
