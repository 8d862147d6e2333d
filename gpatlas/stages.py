"""The stages: what the command line offers and the driver runs.

A stage is a function `run(settings, source, out, progress)`: it reads the file `source`, writes the file `out`, and
knows no other path. It is named here by module and name, so that nothing is imported before it is needed.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from gpatlas import settings
from gpatlas.settings import Settings


@dataclass(frozen=True)
class Stage:
    """One line of the registry. `version` is raised when the results of `function` change."""

    name: str
    version: int
    settings: type[Settings]
    function: str
    source: str | None
    output: str
    packages: tuple[str, ...]
    image: str = "gpu"

    @property
    def command(self) -> str:
        """The word that starts it; both simulators answer to `simulate`, each in its own image."""
        return "simulate" if self.image == "r" else self.name

    def load(self) -> Callable[..., None]:
        module, _, name = self.function.partition(":")
        function: Callable[..., None] = getattr(importlib.import_module(module), name)
        return function

    def flags(self, values: Settings) -> list[str]:
        """The command-line flags that say `values`; the inverse of what `gpatlas.cli` parses."""
        flags: list[str] = []
        for name, value in values.model_dump(mode="json").items():
            flag = "--" + name.replace("_", "-")
            if value is True:
                flags.append(flag)
            elif isinstance(value, list):
                flags += [flag, ",".join(map(str, value))]
            elif value is not None and value is not False:
                flags += [flag, str(value)]
        return flags


DATA, TABLE, FIGURE, REPORT = "data.h5", "table.csv", "figure.png", "report.html"
ARRAYS = ("h5py", "numpy")
NETWORKS = (*ARRAYS, "torch")
TUNED = (*NETWORKS, "optuna", "pandas")

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("simulate", 1, settings.SimulateSettings, "gpatlas.simulate:run", None, DATA, ARRAYS),
        Stage("import-alphasimr", 1, settings.ImportSettings, "gpatlas.alphasimr:run", "from", DATA, ARRAYS),
        Stage("fit-ridge", 2, settings.RidgeSettings, "gpatlas.ridge:run", "data", TABLE, ARRAYS),
        Stage("fit-egblup", 1, settings.EgblupSettings, "gpatlas.egblup:run", "data", TABLE, ARRAYS),
        Stage("fit-pairwise", 1, settings.PairwiseSettings, "gpatlas.pairwise:run", "data", TABLE, (*ARRAYS, "pandas")),
        Stage("fit-linear-sgd", 2, settings.LinearSgdSettings, "gpatlas.networks:run_linear_sgd", "data", TABLE, NETWORKS),
        Stage("fit-mlp", 2, settings.MlpSettings, "gpatlas.networks:run_mlp", "data", TABLE, TUNED),
        Stage("fit-pruned", 2, settings.PrunedSettings, "gpatlas.pruned:run", "data", TABLE, TUNED),
        Stage("collect", 1, settings.CollectSettings, "gpatlas.collect:run", "manifest", TABLE, ("pandas",)),
        Stage("figure", 1, settings.FigureSettings, "gpatlas.figures:run", "results", FIGURE, ("matplotlib", "numpy", "pandas", "scipy")),
        Stage("report", 1, settings.ReportSettings, "gpatlas.report:run", "run", REPORT, ("jinja2", "matplotlib", "numpy", "pandas")),
    )
}

# Not a function of ours: r/simulate.R, with the flags of `simulate`.
SIMULATE_ALPHASIMR = Stage(
    "simulate-alphasimr", 1, settings.SimulateSettings, "r/simulate.R", None, DATA, ("R", "AlphaSimR", "hdf5r"), image="r"
)

# Every figure: the experiment it draws, and the models it needs of it. The functions are gpatlas.figures.FIGURES.
FIGURES: dict[str, tuple[str, tuple[str, ...]]] = {
    "1a": ("scaling", ("mlp", "linear_sgd")),
    "1b": ("scaling", ("mlp",)),
    "accessory_mlp": ("scaling", ("mlp",)),
    "accessory_linear": ("scaling", ("linear_sgd",)),
    "s1": ("scaling", ("linear_sgd", "ridge")),
    "2": ("dilution", ("ridge", "mlp", "pruned")),
    "3": ("pleiotropy", ("ridge", "mlp")),
    "4": ("limits", ("ridge", "egblup", "pairwise", "mlp")),
    "5": ("limits", ("pairwise",)),
}
DRAW_FURTHER_MODELS = ("1a", "1b", "2", "3")

FIT_PREFIX = "fit-"
MODELS: dict[str, Stage] = {
    name.removeprefix(FIT_PREFIX).replace("-", "_"): stage for name, stage in STAGES.items() if name.startswith(FIT_PREFIX)
}
