"""The version of the package, which every output names."""

__version__ = "0.2.0"
