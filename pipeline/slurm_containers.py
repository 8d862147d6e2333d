"""A stage's command in a container of its image, by a tool that needs no daemon and no rights: Charliecloud or Apptainer.

The image lies on the shared file system, as `python -m images export` makes it.
"""

import shlex
from collections.abc import Iterable
from pathlib import Path

from gpatlas.stages import Stage
from images import IMAGES
from pipeline.runners import Job, RunnerError, csv_fields, shown_read_only
from pipeline.slurm_options import SlurmOptions


def image_path(stage: Stage, options: SlurmOptions) -> Path:
    """Where the image of a stage is: a folder for Charliecloud, a file for Apptainer."""
    assert options.images is not None
    return options.images / IMAGES[stage.image].exported(str(options.container))


def check_images(stages: Iterable[Stage], options: SlurmOptions) -> None:
    """Raises RunnerError where the image of a stage is not there."""
    for name, path in sorted({(stage.image, image_path(stage, options)) for stage in stages}):
        if not path.exists():
            how = f"python -m images export --format {options.container} --to {options.images} {name}"
            raise RunnerError(f"image {path} is not there: where Docker is, make it with: {how}")


def contained(job: Job, options: SlurmOptions) -> str:
    """What bash runs instead of the command itself."""
    return (_in_charliecloud if options.container == "charliecloud" else _in_apptainer)(job, image_path(job.stage, options))


def _in_charliecloud(job: Job, image: Path) -> str:
    """Its binds are all writable, and it makes no mount point in an image that it does not write to."""
    binds = shown_read_only(job)
    points = [f"{image}{there}" for _, there in binds]
    folders = [point if Path(path).is_dir() else str(Path(point).parent) for (path, _), point in zip(binds, points, strict=True)]
    files = [point for (path, _), point in zip(binds, points, strict=True) if not Path(path).is_dir()]
    made = [shlex.join(["mkdir", "-p", *sorted(set(folders))]), *([shlex.join(["touch", *files])] if files else [])]
    visible = [f"--bind={path}:{there}" for path, there in binds]
    gpu = '${CUDA_VISIBLE_DEVICES+--set-env=CUDA_VISIBLE_DEVICES="$CUDA_VISIBLE_DEVICES"}'
    run = "USER=${USER:-$(id -un)} " + shlex.join(["ch-run", "--private-tmp", "--unset-env=*", "--set-env", f"--cd={job.folder}", *visible])
    return " && ".join([*made, f"{run} {gpu} {shlex.join([str(image), '--', '/ch/entrypoint', *job.arguments])}"])


def _in_apptainer(job: Job, image: Path) -> str:
    binds = [(path, there, ["ro"]) for path, there in shown_read_only(job)] + [(str(job.folder), str(job.folder), [])]
    mounts = [f"--mount={csv_fields('type=bind', f'source={path}', f'destination={there}', *how)}" for path, there, how in binds]
    gpu = 'env ${CUDA_VISIBLE_DEVICES+APPTAINERENV_CUDA_VISIBLE_DEVICES="$CUDA_VISIBLE_DEVICES"}'
    flags = ["--containall", "--no-eval", f"--pwd={job.folder}", *(["--nv"] if job.needs.gpu else []), *mounts]
    return f"{gpu} {shlex.join(['apptainer', 'run', *flags, str(image), *job.arguments])}"
