"""The stages: what the command line offers and the driver runs.

A stage is a function `run(settings, source, out, progress)`: it reads the file `source`, writes the file `out`, and
knows no other path. It is named here by module and name, so that nothing is imported before it is needed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gpatlas.data.settings import (
    SUBSAMPLE,
    ImportPlinkSettings,
    ImportSettings,
    ImportTableSettings,
    ImportVcfSettings,
    SimulateSettings,
    SimulateTraitsSettings,
    SubsampleSettings,
)
from gpatlas.figures.registry import FIGURES
from gpatlas.figures.settings import FigureSettings
from gpatlas.models.registry import ARRAYS, MODELS, Model, further_tables
from gpatlas.report.settings import COLLECTED_TABLES, CollectSettings, ReportSettings
from gpatlas.settings import Settings, beside, resolve

# What is imported of a package, where that is not the module of its name.
MODULES = {
    "matplotlib": "matplotlib.backends.backend_agg",
    "scikit-learn": "sklearn.linear_model",
    "scipy": "scipy.special",
    "xgboost-cpu": "xgboost",
}


@dataclass(frozen=True)
class Stage:
    """One line of the registry. `version` is raised when the results of `function` change.

    `model`: what a fit's function is told to fit, before its other arguments. `tables`: what other stages may write beside their output.
    `loads`: "module:object" of what the function chooses from when it runs.
    """

    name: str
    version: int
    settings: type[Settings]
    function: str
    source: str | None
    output: str
    packages: tuple[str, ...]
    image: str = "gpu"
    model: str | None = None
    tables: tuple[str, ...] = ()
    loads: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The word that starts it; both simulators answer to `simulate`, each in its own image."""
        return "simulate" if self.image == "r" else self.name

    def load(self) -> Callable[..., None]:
        function: Callable[..., None] = resolve(self.function)
        return partial(function, MODELS[self.model]) if self.model else function

    def modules(self) -> Iterator[str]:
        """Names of the modules that it imports when it runs, of whose start they take most."""
        model = MODELS.get(self.model or "")
        places = (self.function, *((model.fit, model.judge) if model else ()), *self.loads)
        yield from (place.partition(":")[0] for place in places if place)
        yield from (MODULES.get(package, package) for package in self.packages)

    beside = staticmethod(beside)

    def all_beside(self, out: Path) -> tuple[Path, ...]:
        """The further tables that it may write beside `out`, those of any model where it is a fit."""
        tables = sorted(further_tables()) if self.model else self.tables
        return tuple(self.beside(out, table) for table in tables)

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
DRAWN = ("matplotlib", "numpy", "pandas", "scipy")
CHARTS = tuple(entry.chart for entry in FIGURES.values())


def _fit(model: Model) -> Stage:
    name = "fit-" + model.name.replace("_", "-")
    return Stage(name, model.version, model.settings, "gpatlas.fit:run", "data", TABLE, model.packages, model=model.name)


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("simulate", 1, SimulateSettings, "gpatlas.data.simulate:run", None, DATA, (*ARRAYS, "scipy")),
        Stage("simulate-traits", 1, SimulateTraitsSettings, "gpatlas.data.simulate_traits:run", "genotypes", DATA, (*ARRAYS, "scipy")),
        Stage(SUBSAMPLE, 1, SubsampleSettings, "gpatlas.data.subsample:run", "data", DATA, ARRAYS),
        Stage("import-alphasimr", 2, ImportSettings, "gpatlas.data.alphasimr:run", "from", DATA, ARRAYS),
        Stage("import-plink", 1, ImportPlinkSettings, "gpatlas.data.plink:run", "from", DATA, ARRAYS),
        Stage("import-vcf", 1, ImportVcfSettings, "gpatlas.data.vcf:run", "from", DATA, (*ARRAYS, "cyvcf2")),
        Stage("import-table", 1, ImportTableSettings, "gpatlas.data.genotype_table:run", "from", DATA, ARRAYS),
        *map(_fit, MODELS.values()),
        Stage("collect", 1, CollectSettings, "gpatlas.report.collect:run", "manifest", TABLE, ("pandas",), tables=COLLECTED_TABLES),
        Stage("figure", 1, FigureSettings, "gpatlas.figures.draw:run", "results", FIGURE, DRAWN, loads=CHARTS),
        Stage("report", 1, ReportSettings, "gpatlas.report.page:run", "run", REPORT, ("jinja2", *DRAWN), loads=CHARTS),
    )
}

# Not a function of ours: r/simulate.R, with the flags of `simulate`.
SIMULATE_ALPHASIMR = Stage("simulate-alphasimr", 1, SimulateSettings, "r/simulate.R", None, DATA, ("R", "AlphaSimR", "hdf5r"), image="r")

# By model.
FITS: dict[str, Stage] = {stage.model: stage for stage in STAGES.values() if stage.model}
