"""Genotypes, the dataset file, simulators and importers."""
