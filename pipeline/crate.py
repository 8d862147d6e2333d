"""The run crate of a published study: what was run, on what and by what, as a Provenance Run Crate 0.5.

No path of the machine is in it. A file is called by its place below the results folder, one of a user's own `inputs/<file name>`,
also in commands: these can be repeated in any folder that holds such files under such names.
"""

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rocrate.model.contextentity import ContextEntity
from rocrate.model.entity import Entity
from rocrate.model.file import File
from rocrate.rocrate import ROCrate

from gpatlas.stages import Stage
from gpatlas.version import __version__
from images import IMAGES
from pipeline.config import Config
from pipeline.crate_names import Names, input_files
from pipeline.publish import CONFIG
from pipeline.stage_task import StageTask
from pipeline.store import FILES, PROVENANCE, file_facts, read_json, short_hash
from pipeline.tasks import Data, Report

Facts = Mapping[str, Any]
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    WORKFLOW_CRATE: "Workflow RO-Crate",
}
WORKFLOW_PROFILE = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
RUN_TERMS = "https://w3id.org/ro/terms/workflow-run#"
STATUS = "http://schema.org/{}ActionStatus"
FORMATS = {
    ".csv": "text/csv",
    ".h5": "application/x-hdf5",
    ".html": "text/html",
    ".json": "application/json",
    ".png": "image/png",
    ".yaml": "application/yaml",
}
DESCRIPTION = (
    "What {n} stages of the study {name!r} made, and how. To repeat a stage, run the command that describes its action, with the versions "
    "of its instrument's softwareRequirements or in its containerImage, in a folder that holds the objects of the action, each under its "
    "alternateName. An object that has a text is a file of that text; one that is the result of another action is made by repeating that."
)


def _compact(properties: Facts) -> dict[str, Any]:
    """Without what is None or empty; what is a list of one thing is the thing."""
    given = {name: value for name, value in properties.items() if value not in (None, [])}
    return {name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in given.items()}


def _facts(path: Path) -> Facts:
    """Size and checksum of a file; none where it is gone."""
    try:
        return file_facts(path)
    except OSError:
        return {}


class RunCrate:
    """The crate of a study whose `stages`, inputs first, are done.

    `published`: names of the published files, by the files of the store that they are copies of.
    """

    def __init__(self, study: Config, results: Path, stages: Sequence[StageTask], published: Mapping[Path, str]) -> None:
        self.study, self.results, self.stages, self.published = study, results, stages, published
        self.names = Names(study, results, stages)
        self.config = self.names.config()
        self.entities: dict[str, Entity] = {}  # the crate's own look-up takes the longer, the more there are
        self.made: dict[Path, list[Entity]] = {}  # by the folder of the stage
        self.crate = ROCrate(version="1.1")
        self.crate.metadata.extra_terms.update({name: RUN_TERMS + name for name in ("ContainerImage", "containerImage", "sha256")})

    def metadata(self, finished: str, missing: Mapping[str, Facts], tasks: Mapping[str, StageTask]) -> str:
        """The text of ro-crate-metadata.json. `finished`: when it was; `missing`: why stages are, with their logs; `tasks`: by label."""
        failed = [label for label, facts in missing.items() if not facts["why"].startswith("reads from ")]
        actions = [*map(self._done, self.stages), *(self._failed(tasks[label], missing[label]) for label in failed)]
        workflow = self._workflow()
        run = self._run(workflow, finished, missing)
        self._steps(workflow, run, actions)
        self.crate.metadata["conformsTo"] = [{"@id": uri} for uri in (self.crate.metadata.profile, WORKFLOW_CRATE)]
        root = self.crate.root_dataset
        root["name"] = f"gpatlas study {self.study.name}"
        root["description"] = DESCRIPTION.format(n=len(self.stages), name=self.study.name)
        root["conformsTo"] = [self._add(uri, "CreativeWork", name=name, version=uri[-3:]) for uri, name in PROFILES.items()]
        root["datePublished"] = finished
        root["license"] = self._license()
        if self._agent:
            root["author"] = self._agent
        root["mainEntity"] = workflow
        root["mentions"] = [run, *actions]
        return json.dumps(self.crate.metadata.generate(), indent=1, ensure_ascii=False) + "\n"

    def _add(self, identifier: str, kind: str, **properties: Any) -> Entity:
        """The entity of that identifier, made where there is none."""
        if identifier not in self.entities:
            entity = ContextEntity(self.crate, identifier, {"@type": kind, **_compact(properties)})
            self.entities[identifier] = self.crate.add(entity)
        return self.entities[identifier]

    def _license(self) -> Entity | str:
        license = self.study.credits.license
        if license is None:
            return "None is given: ask who ran the study"
        known = license.startswith(("http://", "https://"))
        return self._add(license, "CreativeWork", name=license, description="Licence of the results") if known else license

    @cached_property
    def _agent(self) -> Entity | None:
        agent = self.study.credits.agent
        return agent and self._add(f"https://orcid.org/{agent.orcid}" if agent.orcid else "#agent", "Person", name=agent.name)

    # Files

    def _file(self, path: Path, name: str, facts: Facts) -> Entity:
        """A data entity where it is published, else one that is only described; `facts`: its size and sha256, as far as they are known."""
        properties = {"name": name, "alternateName": self.names.of(str(path)), "encodingFormat": FORMATS.get(path.suffix)}
        properties |= {"contentSize": str(facts["size"]), "sha256": facts["sha256"]} if facts else {}
        if path in self.published:
            return self._published(self.published[path], properties)
        return self._add("#" + quote(properties["alternateName"] or ""), "File", **properties)

    def _published(self, name: str, properties: Facts) -> Entity:
        if name not in self.entities:
            self.entities[name] = self.crate.add(File(self.crate, dest_path=name, properties=_compact(properties)))
        return self.entities[name]

    def _input(self, path: Path, known: tuple[str, ...] = ("",)) -> Entity:
        """A file of a user's own. `known`: how its checksum may begin, if it is as it was when the run began."""
        facts = _facts(path)
        return self._file(path, path.name, facts if facts and facts["sha256"].startswith(known) else {})

    def _inputs(self, task: StageTask) -> Iterator[Entity]:
        known: tuple[str, ...] = ("",)
        if isinstance(task, Data) and not any(path.is_dir() for path in task.files):  # a folder has one fingerprint for all its files
            known = tuple(task.spec.fingerprints.values())
        yield from (self._input(path, known) for path in input_files(task))
        for other in task.inputs().values():
            yield from self.made.get(other.entry.path) or [self._file(other.entry.output, f"{other.label}: {other.stage.output}", {})]

    def _told(self, task: StageTask, name: str, facts: Facts) -> Entity:
        """A file that the driver wrote for the stage: its text, if it names nothing but files."""
        path = task.entry.path / name
        file = self._file(path, f"{task.label}: {name}", facts)
        if not isinstance(task, Report):
            text = self.names.of(path.read_text(encoding="utf-8"))
            content = text.encode()
            file["text"], file["contentSize"], file["sha256"] = text, str(len(content)), hashlib.sha256(content).hexdigest()
        return file

    # What was run

    def _done(self, task: StageTask) -> Entity:
        provenance, job = task.entry.provenance(), task.job(task.entry.path, task.stage.output)
        files = provenance.get(FILES) or {task.stage.output: _facts(task.entry.output)}
        told = [name for name in files if str(task.entry.path / name) in job.arguments]
        made = [self._file(task.entry.path / name, f"{task.label}: {name}", facts) for name, facts in files.items() if name not in told]
        self.made[task.entry.path] = made
        program = ["Rscript", "--vanilla", "simulate.R"] if task.stage.image == "r" else ["python", "-m", "gpatlas"]
        return self._action(
            task,
            provenance,
            "Completed",
            description=shlex.join([*program, *map(self.names.of, job.arguments)]),
            object=[*self._inputs(task), *(self._told(task, name, files[name]) for name in told)],
            result=made,
        )

    def _failed(self, task: StageTask, facts: Facts) -> Entity:
        provenance = read_json((self.results / facts["log"]).with_name(PROVENANCE)) if facts["log"] else {}
        return self._action(task, provenance, "Failed", error=self.names.of_message(facts["why"]))

    def _action(self, task: StageTask, provenance: Facts, status: str, **more: Any) -> Entity:
        started, image = provenance.get("started"), provenance.get("image")
        ended = datetime.fromisoformat(started) + timedelta(seconds=provenance["wall_seconds"]) if started else None
        return self._add(
            "#" + quote(self.names.of(str(task.entry.path))),
            "CreateAction",
            name=task.label,
            instrument=self._tool(task.stage, provenance),
            agent=self._agent,
            containerImage=self._image(task.stage, image, provenance["ingredients"]["environment"]) if image else None,
            startTime=started,
            endTime=ended and ended.isoformat(timespec="milliseconds"),
            actionStatus=STATUS.format(status),
            **more,
        )

    def _tool(self, stage: Stage, provenance: Facts) -> Entity:
        """The stage's command, as provenance says that it was."""
        packages = dict(provenance.get("versions", {}))
        of_driver = {"commit": provenance.get("git_commit", "unknown"), "version": packages.pop("gpatlas", None)}
        if "python" in provenance and not provenance["image"]:
            packages["python"] = provenance["python"]
        kinds = {"python": "generic", "R": "generic"}
        index = "cran" if stage.image == "r" else "pypi"
        needed = [
            self._add(f"pkg:{kinds.get(name, index)}/{name}@{number}", "SoftwareApplication", name=name, softwareVersion=number)
            for name, number in packages.items()
        ]
        return self._add(
            f"#{stage.name}-{short_hash({**of_driver, **packages})}",
            "SoftwareApplication",
            name=f"gpatlas {stage.command}",
            description=f"Stage {stage.name} of gpatlas, git commit {of_driver['commit']}",
            softwareVersion=of_driver["version"] or of_driver["commit"],
            softwareRequirements=needed,
        )

    def _image(self, stage: Stage, image: str, environment: Facts) -> Entity:
        """`image`: the id of a Docker image, or the path of what was exported of it."""
        docker, path = image.startswith("sha256:"), Path(image)
        return self._add(
            f"#{path.name}",
            "ContainerImage",
            name=IMAGES[stage.image].repository if docker else path.name,
            additionalType={"@id": f"{RUN_TERMS}{'SIFImage' if path.suffix == '.sif' else 'DockerImage'}"},
            sha256=image.removeprefix("sha256:") if docker else None,
            description=f"Made by: python -m images build {stage.image}; hash of Dockerfile and lock files: {environment.get('image')}",
        )

    def _workflow(self) -> Entity:
        content = self.config.encode()
        language = self._add("#gpatlas-config", "ComputerLanguage", name="YAML of a gpatlas config", version=__version__)
        properties = {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": f"Config of the study {self.study.name}",
            "encodingFormat": FORMATS[".yaml"],
            "contentSize": str(len(content)),
            "sha256": hashlib.sha256(content).hexdigest(),
            "version": __version__,
            "programmingLanguage": language,
            "conformsTo": self._add(WORKFLOW_PROFILE, "CreativeWork", name="ComputationalWorkflow", version="1.0-RELEASE"),
        }
        return self._published(CONFIG, properties)

    def _run(self, workflow: Entity, finished: str, missing: Mapping[str, Facts]) -> Entity:
        without = "; ".join(f"{label}: {self.names.of_message(facts['why'])}" for label, facts in missing.items())
        return self._add(
            "#run",
            "CreateAction",
            name=f"Run of the study {self.study.name}",
            description=f"gpatlas run --config {CONFIG}",
            instrument=workflow,
            agent=self._agent,
            object=[self._input(path) for path in self.names.inputs],
            result=[self.entities[name] for name in self.published.values()],
            endTime=finished,
            actionStatus=STATUS.format("Failed" if missing else "Completed"),
            error=f"missing stages: {len(missing)}; {without}" if missing else None,
        )

    def _steps(self, workflow: Entity, run: Entity, actions: Sequence[Entity]) -> None:
        """Which actions are of which step of the workflow, and what saw to them."""
        by_tool: dict[str, list[Entity]] = {}
        for action in actions:
            by_tool.setdefault(action["instrument"].id, []).append(action)
        steps, controls = [], []
        for position, (tool, of_tool) in enumerate(by_tool.items(), 1):
            name = self.entities[tool]["name"]
            steps.append(self._add(f"{tool}-step", "HowToStep", name=name, position=str(position), workExample={"@id": tool}))
            controls.append(self._add(f"{tool}-control", "ControlAction", name=name, instrument=steps[-1], object=of_tool))
        workflow["hasPart"], workflow["step"] = [{"@id": tool} for tool in by_tool], steps
        number = version("luigi")
        engine = self._add(f"pkg:pypi/luigi@{number}", "SoftwareApplication", name="luigi", softwareVersion=number)
        self._add("#luigi", "OrganizeAction", name="Luigi's run of all stages", instrument=engine, object=controls, result=run)
