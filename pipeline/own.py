"""Populations of a user's own files, as a config's blocks `data` name them: what to import, and a fit for each trait and model."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from gpatlas.data.own_files import importer_of, phenotyped, size_at_most
from gpatlas.data.settings import OwnDataSettings
from gpatlas.data.sources import SourceError
from gpatlas.data.text_tables import files_of, open_individuals
from gpatlas.models.settings import FitSettings
from gpatlas.settings import Settings, Size, nearest
from gpatlas.stages import STAGES, Stage
from pipeline.data_spec import DataSpec, given
from pipeline.faults import LONGEST_NAME, Faults, fault_of_name
from pipeline.models import ChosenModel, FittedBlock, chosen_models, combined
from pipeline.published import Published, published_values
from pipeline.store import sha256

FILES = ("genotypes", "phenotypes", "covariates", "published")
OPTIONAL = {"covariates", "published"}
TraitSets = tuple[tuple[str, ...], ...]


class OwnExperiment(FittedBlock):
    """A block of the config on populations of a user's own files: what is fitted to them, and the figures of them."""

    usual_protocol = "cross_validation"

    data: Any


@dataclass(frozen=True)
class OwnScenario:
    """One population of a user's own: the file with its genotypes, how it is imported, the sets of traits that are fitted together.

    `size`: at most. `published`: of its traits, which decides no import and no fit.
    """

    experiment: str
    name: str
    stage: Stage
    genotypes: Path
    settings: OwnDataSettings
    size: Size
    trait_sets: TraitSets
    models: tuple[tuple[str, FitSettings], ...]
    published: Published = field(default_factory=dict)
    replicate: int = 1

    def files(self) -> dict[str, Path]:
        """All that decide the import."""
        first, *others = files_of(self.stage.name, self.genotypes)
        tables = {"phenotypes": self.settings.phenotypes, "covariates": self.settings.covariates}
        return {"genotypes": first, **{path.suffix[1:]: path for path in others}} | {name: path for name, path in tables.items() if path}

    def fingerprints(self) -> dict[str, str]:
        """Checksums of all files, by what they are: their names and places decide nothing."""
        return {name: sha256(path)[:16] for name, path in self.files().items()}

    @cached_property
    def data(self) -> DataSpec:
        """How its dataset file is made."""
        return DataSpec(self.stage.name, given(self.settings), tuple(map(str, self.files().values())), self.fingerprints(), self.size)

    def published_columns(self) -> list[set[str]]:
        """Of every trait that is fitted, the columns in which something is published of it."""
        rows = [self.published.get(trait, {}) for trait in chain(*self.trait_sets)]
        return [{column for column, value in row.items() if value is not None} for row in rows]

    def sizes(self) -> str:
        """Individuals and loci, at most, and traits, for a person."""
        return f"{self.size.n_individuals} {self.size.n_loci} - ({self.size.n_traits} traits)"

    def dataset_bytes(self) -> int:
        """Size on disk of its dataset file, at most and but for names."""
        return bytes_but_names(self.size)

    def fits(self) -> Iterator[tuple[str, Settings, str, Mapping[str, Settings]]]:
        """(model, its settings, a name for the traits, the settings of the fits that it combines) of every fit."""
        names = folders_of(self.trait_sets)
        for traits, name in zip(self.trait_sets, names, strict=True):
            models = {model: settings.model_copy(update={"traits": traits}) for model, settings in self.models}
            yield from ((model, settings, name, combined(settings, models)) for model, settings in models.items())


def bytes_but_names(size: Size) -> int:
    """Of the dataset file of a population without truth."""
    return size.n_individuals * (size.n_loci * size.bits // 8 + 8 * size.n_traits)


def folders_of(trait_sets: TraitSets) -> list[str]:
    """A name for each set of traits that can be a folder's, and is no other's."""
    names: list[str] = []
    for number, traits in enumerate(trait_sets, 1):
        name = re.sub(r"[^A-Za-z0-9_.+=-]", "_", "+".join(traits))
        fits = len(name) <= LONGEST_NAME and not fault_of_name(name) and name not in names
        names.append(name if fits else f"traits_{number}")
    return names


def expand_own(name: str, experiment: OwnExperiment, shared: Mapping[str, Any], folder: Path, faults: Faults) -> list[OwnScenario]:
    """The populations of one experiment. `shared`: settings given once for all its models; `folder`: where the config is."""
    where = f"experiments.{name}"
    models = chosen_models(experiment, shared, where, faults)
    several = isinstance(experiment.data, list)
    blocks = experiment.data if several else [experiment.data]
    keys = [f"{where}.data.{place}" if several else f"{where}.data" for place in range(len(blocks))]
    if not blocks:
        faults.add(f"{where}.data", "must have at least one block, got []")
    scenarios: list[OwnScenario] = []
    labels: set[str] = set()
    for key, block in zip(keys, blocks, strict=True):
        if not isinstance(block, dict):
            faults.add(key, f"must be a mapping with the keys genotypes, phenotypes, …, or a list of such mappings, got {block!r}")
            continue
        label = _label(block, name, several, labels, key, faults)
        labels.add(label)
        scenario = _Block(block, key, folder, faults).scenario(name, label, models, where)
        if scenario is not None:
            scenarios.append(scenario)
    return scenarios


def genotyped(name: str, block: Any, folder: Path, faults: Faults) -> OwnScenario | None:
    """The population whose genotypes an experiment simulates traits on, to which nothing is fitted. `folder`: where the config is."""
    key = f"experiments.{name}.genotypes"
    if not isinstance(block, dict):
        faults.add(key, f"must be a mapping with the keys genotypes, phenotypes, …, got {block!r}")
        return None
    return _Block(block, key, folder, faults).scenario(name, _label(block, "genotypes", False, set(), key, faults), {}, "")


def _label(block: dict[str, Any], experiment: str, several: bool, others: set[str], key: str, faults: Faults) -> str:
    """The population's name: that of the experiment where it is the only one and has none."""
    if several and "name" not in block:
        faults.add(f"{key}.name", "is required where there are several populations")
    label = str(block.get("name", experiment))
    if fault := fault_of_name(label):
        faults.add(f"{key}.name", fault)
    if label in others:
        faults.add(f"{key}.name", f"the population {label!r} is given twice")
    return label


@dataclass(frozen=True)
class _Block:
    """A block `data`, which stands at `key`. Every method notes the faults that it finds; None where it can't say."""

    given: dict[str, Any]
    key: str
    folder: Path
    faults: Faults

    def scenario(self, experiment: str, label: str, models: Mapping[str, ChosenModel], where: str) -> OwnScenario | None:
        paths = self._paths()
        stage = self._stage(paths)
        self._refuse_unknown_keys(stage)
        known = self._known_traits(paths)
        trait_sets = self._trait_sets(known)
        published = self._published(paths, known)
        settings = self._settings(stage, paths, trait_sets)
        if stage is None or settings is None or trait_sets is None or published is None or "genotypes" not in paths:
            return None
        try:
            n, n_groups = phenotyped(settings.phenotypes, settings.id_column, settings.group_column)
            size = size_at_most(stage.name, paths["genotypes"], n, len(list(chain(*trait_sets))))
        except SourceError as error:
            self.faults.add(self.key, str(error))
            return None
        fits = tuple((name, model.settings) for name, model in models.items() if model.takes(n, f"{where}.models.{name}", self.faults))
        for n_folds in {fit.n_folds for _, fit in fits if fit.protocol == "cross_validation" and n_groups is not None}:
            if n_folds > (n_groups or 0):
                groups = f"{n_groups} groups of the column {settings.group_column!r}"
                self.faults.add(f"{where}.n_folds", f"{n_folds} is more than the {groups}; a group is in one fold as a whole")
        return OwnScenario(experiment, label, stage, paths["genotypes"], settings, size, trait_sets, fits, published)

    def _paths(self) -> dict[str, Path]:
        """The files that are named and there."""
        found = {}
        for name in FILES:
            given, key = self.given.get(name), f"{self.key}.{name}"
            if given is None:
                if name not in OPTIONAL:
                    self.faults.add(key, "is required: a file, from the config's folder")
            elif not isinstance(given, str):
                self.faults.add(key, f"must be the name of a file, got {given!r}")
            else:
                path = self.folder / given
                path = path.parent.resolve() / path.name  # a link keeps its name, beside which PLINK's other files are
                if path.is_file():
                    found[name] = path
                else:
                    what = "is a folder, expected a file" if path.is_dir() else "does not exist"
                    self.faults.add(key, f"{given!r} {what} (looked for {path})")
        return found

    def _stage(self, paths: dict[str, Path]) -> Stage | None:
        """The importer of the genotypes, by their name, whether the file is there or not."""
        given = self.given.get("genotypes")
        try:
            stage = importer_of(Path(given)) if isinstance(given, str) else None
            if stage and "genotypes" in paths:
                files_of(stage, paths["genotypes"])
        except SourceError as error:
            self.faults.add(f"{self.key}.genotypes", str(error))
            return None
        return STAGES[stage] if stage else None

    def _refuse_unknown_keys(self, stage: Stage | None) -> None:
        of_stage = stage.settings if stage else OwnDataSettings
        allowed = ["name", "genotypes", "published", *of_stage.model_fields]
        for name in self.given.keys() - set(allowed):
            self.faults.add(f"{self.key}.{name}", "unknown key" + nearest(name, allowed))

    def _known_traits(self, paths: dict[str, Path]) -> list[str] | None:
        """The columns of the phenotypes beside ids and groups."""
        if "phenotypes" not in paths:
            return None
        id_column, group = (self._text(name) for name in ("id_column", "group_column"))
        try:
            columns = open_individuals(paths["phenotypes"], id_column)[1]
        except SourceError as error:
            self.faults.add(f"{self.key}.phenotypes", str(error))
            return None
        if group is not None and group not in columns.groups():
            why = f"{group!r} is no column of {paths['phenotypes']}" + nearest(group, list(columns.groups()))
            self.faults.add(f"{self.key}.group_column", why)
            return None
        known = [column for column in columns.values if column != group]
        if not known:
            self.faults.add(f"{self.key}.phenotypes", f"{paths['phenotypes']}: has no column beside ids and groups")
        return known or None

    def _published(self, paths: dict[str, Path], known: list[str] | None) -> Published | None:
        if self.given.get("published") is None:
            return {}
        if known is None or "published" not in paths:
            return None
        try:
            return published_values(paths["published"], known)
        except SourceError as error:
            self.faults.add(f"{self.key}.published", str(error))
            return None

    def _trait_sets(self, known: list[str] | None) -> TraitSets | None:
        if known is None:
            return None
        given = known if self.given.get("traits") is None else self.given["traits"]
        if not isinstance(given, list) or not given or not all(given):
            self.faults.add(f"{self.key}.traits", f"must be a list of names, or of lists of names that are fitted together, got {given!r}")
            return None
        sets = tuple(tuple(map(_name, each)) if isinstance(each, list) else (_name(each),) for each in given)
        return sets if self._traits_are_valid(sets, known) else None

    def _traits_are_valid(self, trait_sets: TraitSets, known: list[str]) -> bool:
        seen: set[str] = set()
        before = len(self.faults.lines)
        for trait in chain(*trait_sets):
            if trait not in known:
                self.faults.add(f"{self.key}.traits", f"{trait!r} is no trait of the phenotypes" + nearest(trait, known))
            elif "," in trait:
                self.faults.add(f"{self.key}.traits", f"{trait!r} holds a comma, which separates names; call the column otherwise")
            elif trait in seen:
                self.faults.add(f"{self.key}.traits", f"{trait!r} is given twice; a trait is fitted by itself, or in one set")
            seen.add(trait)
        return len(self.faults.lines) == before

    def _text(self, name: str) -> str | None:
        value = self.given.get(name)
        return value if isinstance(value, str) else None

    def _settings(self, stage: Stage | None, paths: dict[str, Path], trait_sets: TraitSets | None) -> OwnDataSettings | None:
        of_stage = stage.settings if stage else OwnDataSettings
        files = {"phenotypes": Path(), **{name: path for name, path in paths.items() if name in of_stage.model_fields}}
        values = {name: self.given[name] for name in of_stage.model_fields if name in self.given and name not in {*FILES, "traits"}}
        traits = {"traits": tuple(chain(*trait_sets))} if trait_sets else {}
        settings = self.faults.build(of_stage, {**values, **files, **traits}, self.key)
        return settings if isinstance(settings, OwnDataSettings) and "phenotypes" in paths else None


def _name(given: Any) -> str:
    """YAML takes a name of digits for a number."""
    return str(given)
