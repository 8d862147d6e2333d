"""Every figure: its title, the experiment it usually draws, the models it needs, where it is drawn. The one place that lists the figures.

Everything else follows from an entry: what a config and a command may name, the picture, the sentence and the table of the
report. Pure Python on purpose: the driver and the command line read it at start-up, without numpy.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from gpatlas.models.registry import MODELS

# Of the column `model`: a sum of one effect per locus. What all others predict beyond the best of these is not additive.
ADDITIVE = ("ridge", "elastic_net", "linear_sgd", "lasso", "pruned_linear")
WITH_EFFECTS = ("ridge", "pairwise", "elastic_net")  # models that give every locus an additive effect
GAIN_OF = tuple(
    tuple(model.name for model in MODELS.values() if any((result in ADDITIVE) == additive for result in model.titles))
    for additive in (True, False)
)  # models that give additive results, and others
Populations = Literal["simulated", "imported", "any"]


@dataclass(frozen=True)
class FigureEntry:
    """One figure. `chart`: "module:object" of its `gpatlas.figures.chart.Chart`, loaded when it is drawn.

    `experiment`: what it draws where no experiment is named. `models`: names of `gpatlas.models.registry.MODELS` without which it cannot
    be drawn, `any_of`: groups, one of each at least. `further_models`: whether it draws others beside them. `populations`: what it can
    draw; 'simulated' ones alone have truth, 'imported' ones alone named loci and published values. `protocol`: the one that it needs.
    `beside`: tables collected with the results that its points are made of. `published`: columns of what is published of a trait.
    `measured`: whether it draws traits as measured beside those simulated on the same genotypes; others of simulated populations leave
    them out.
    """

    name: str
    title: str
    experiment: str
    models: tuple[str, ...]
    chart: str
    further_models: bool = False
    any_of: tuple[tuple[str, ...], ...] = ()
    populations: Populations = "simulated"
    protocol: str | None = None
    beside: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    measured: bool = False

    def fault(
        self,
        models: Collection[str],
        populations: Populations,
        protocols: Collection[str],
        published: Collection[Collection[str]] | None = (),
    ) -> str | None:
        """Why it cannot be drawn of an experiment with these models and populations, fitted under these protocols.

        `published`: of every trait the columns in which something is published of it; None where that is not known.
        """
        if self.populations not in ("any", populations):
            return f"is of {self.populations} populations, and this experiment's are {populations}"
        if missing := [model for model in self.models if model not in models]:
            return f"needs the model {', '.join(missing)}, which is not among this experiment's models"
        for group in self.any_of:
            if not set(group) & set(models):
                return f"needs one of the models {', '.join(group)}, and none is among this experiment's models"
        if self.protocol and (others := sorted(set(protocols) - {self.protocol})):
            return f"needs the protocol {self.protocol!r}, and this experiment has {', '.join(map(repr, others))}"
        if self.published and published is not None and not any(set(self.published) <= set(columns) for columns in published):
            columns = " and ".join(self.published)
            return f"needs a trait with values in the columns {columns} of the table 'published' of the block 'data', and there is none"
        return None

    def name_for(self, experiment: str) -> str:
        """The name, with the experiment where that is not the usual one: no two figures of a run have the same."""
        return self.name if experiment == self.experiment else f"{self.name}_{experiment}"

    def title_for(self, experiment: str) -> str:
        """The title, with the experiment where that is not the usual one."""
        if experiment == self.experiment:
            return self.title
        head, colon, rest = self.title.partition(":")
        return f"{head}, experiment {experiment}{colon}{rest}"


FIGURES: dict[str, FigureEntry] = {
    entry.name: entry
    for entry in (
        FigureEntry(
            "1a",
            "Figure 1A: relative gain over the linear model",
            "scaling",
            ("mlp", "linear_sgd"),
            "gpatlas.figures.scaling:GAIN_OVER_LINEAR",
            further_models=True,
        ),
        FigureEntry(
            "1b",
            "Figure 1B: accuracy by pairs of QTL per individual",
            "scaling",
            ("mlp",),
            "gpatlas.figures.scaling:ACCURACY_BY_PAIRS",
            further_models=True,
        ),
        FigureEntry(
            "accessory_mlp", "Accuracy of the MLP (accessory figure)", "scaling", ("mlp",), "gpatlas.figures.scaling:ACCURACY_OF_MLP"
        ),
        FigureEntry(
            "accessory_linear",
            "Accuracy of the linear model (accessory figure)",
            "scaling",
            ("linear_sgd",),
            "gpatlas.figures.scaling:ACCURACY_OF_LINEAR",
        ),
        FigureEntry(
            "s1",
            "Figure S1: the linear model by SGD against ridge regression",
            "scaling",
            ("linear_sgd", "ridge"),
            "gpatlas.figures.scaling:SGD_AGAINST_RIDGE",
        ),
        FigureEntry(
            "2",
            "Figure 2: gain over ridge regression by number of loci",
            "dilution",
            ("ridge", "mlp", "pruned"),
            "gpatlas.figures.dilution:GAIN_BY_LOCI",
            further_models=True,
        ),
        FigureEntry(
            "3",
            "Figure 3: relative gain over ridge regression by genetic correlation",
            "pleiotropy",
            ("ridge", "mlp"),
            "gpatlas.figures.pleiotropy:GAIN_BY_CORRELATION",
            further_models=True,
        ),
        FigureEntry(
            "4", "Figure 4: accuracy by heritability and by pairs of QTL per individual", "limits", (), "gpatlas.figures.limits:ACCURACY"
        ),
        FigureEntry(
            "5",
            "Figure 5: precision and recall of the pairs found by pairwise screening",
            "limits",
            ("pairwise",),
            "gpatlas.figures.limits:SHARES_OF_PAIRS",
        ),
        FigureEntry(
            "linkage",
            "Linkage: accuracy by population, heritability, pairs of QTL and distance of markers",
            "linkage",
            (),
            "gpatlas.figures.linkage:ACCURACY_BY_POPULATION",
        ),
        FigureEntry(
            "linkage_pairs",
            "Linkage, pairs: precision and recall of the pairs found within 1, 5 and 10 cM",
            "linkage",
            ("pairwise",),
            "gpatlas.figures.linkage:PAIRS_WITHIN",
        ),
        FigureEntry(
            "plan",
            "Plan: how many individuals it takes to beat an additive model",
            "plan",
            ("ridge",),
            "gpatlas.figures.planning:PLANNED",
            any_of=GAIN_OF[1:],
            measured=True,
        ),
        FigureEntry(
            "prediction",
            "Prediction: r and R² of every model and trait",
            "own",
            (),
            "gpatlas.figures.prediction:PREDICTION",
            populations="any",
            protocol="cross_validation",
            beside=("predictions",),
        ),
        FigureEntry(
            "observed",
            "Observed against predicted: individuals that the fit never saw",
            "own",
            (),
            "gpatlas.figures.observed:OBSERVED",
            populations="any",
            protocol="cross_validation",
            beside=("predictions",),
        ),
        FigureEntry(
            "heritability",
            "Heritability: what the kernels explain, beside what is predicted",
            "own",
            (),
            "gpatlas.figures.heritability:HERITABILITY",
            any_of=(("ridge", "egblup"),),
            populations="any",
            protocol="cross_validation",
            beside=("predictions",),
        ),
        FigureEntry(
            "gain",
            "Gain over the best additive model: by the heritability that is not additive",
            "own",
            (),
            "gpatlas.figures.gain:GAIN",
            any_of=GAIN_OF,
            populations="imported",
            protocol="cross_validation",
            beside=("predictions",),
            published=("broad_h2", "narrow_h2"),
        ),
        FigureEntry(
            "loci",
            "Loci: additive effects and interacting pairs along the genome",
            "own",
            (),
            "gpatlas.figures.loci:EFFECTS",
            any_of=(WITH_EFFECTS,),
            populations="imported",
            protocol="cross_validation",
            beside=("predictions", "loci", "pairs"),
        ),
    )
}
