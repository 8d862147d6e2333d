"""Containers of the Slurm runner: the command in a job's script, what decides a key, what is refused. Apptainer's is only read."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from gpatlas.needs import Needs
from gpatlas.stages import SIMULATE_ALPHASIMR, STAGES
from images import IMAGES
from pipeline.docker_runner import DockerRunner
from pipeline.runners import Job, LocalRunner, RunnerError
from pipeline.slurm_containers import check_images, contained, image_path
from pipeline.slurm_options import SlurmOptions
from pipeline.slurm_runner import SlurmRunner

IMAGE = "/images/" + IMAGES["gpu"].exported("charliecloud")


def job(results: Path, *files: Path, gpu: int = 0) -> Job:
    folder = results / "store" / "it's a.part"
    arguments = ("fit-ridge", "--data", "a b.h5", "--out", str(folder / "table.csv"))
    return Job(STAGES["fit-ridge"], arguments, folder, (results, *files), Needs(1, 1, gpu, 10), {})


def words(command: str, **environment: str) -> list[list[str]]:
    """The commands that bash makes of it, each by its words."""
    shown = "".join(f'function {name} {{ printf "%s\\n" {name} "$@" ""; }}; ' for name in ("mkdir", "touch", "env", "ch-run"))
    text = subprocess.run(
        ["bash", "-c", shown + command], env={"USER": "me", **environment}, capture_output=True, text=True, check=True
    ).stdout
    return [part.split("\n") for part in text.removesuffix("\n\n").split("\n\n")]


def test_charliecloud_gets_a_mount_point_for_all_that_the_stage_reads(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "source.bed").touch()
    todo = job(tmp_path / "results", tmp_path / "source.bed")
    command = contained(todo, SlurmOptions(container="charliecloud", images="/images"))
    assert words(command) == [
        ["mkdir", "-p", f"{IMAGE}{tmp_path}", f"{IMAGE}{tmp_path}/results"],
        ["touch", f"{IMAGE}{tmp_path}/source.bed"],
        [
            *("ch-run", "--private-tmp", "--unset-env=*", "--set-env", f"--cd={todo.folder}"),
            *(f"--bind={path}:{path}" for path in (tmp_path / "results", tmp_path / "source.bed")),
            *(IMAGE, "--", "/ch/entrypoint", *todo.arguments),
        ],
    ]
    assert "--set-env=CUDA_VISIBLE_DEVICES=0 1" in words(command, CUDA_VISIBLE_DEVICES="0 1")[-1]


def test_apptainer_sees_what_the_stage_reads_and_writes_to_its_folder_alone(tmp_path: Path) -> None:
    todo = job(tmp_path, gpu=1)
    command = contained(todo, SlurmOptions(container="apptainer", images="/images"))
    assert words(command, CUDA_VISIBLE_DEVICES="0 1") == [
        [
            *(
                "env",
                "APPTAINERENV_CUDA_VISIBLE_DEVICES=0 1",
                "apptainer",
                "run",
                "--containall",
                "--no-eval",
                f"--pwd={todo.folder}",
                "--nv",
            ),
            f"--mount=type=bind,source={tmp_path},destination={tmp_path},ro",
            f"--mount=type=bind,source={todo.folder},destination={todo.folder}",
            *(f"{IMAGE}.sif", *todo.arguments),
        ]
    ]
    assert "--nv" not in contained(job(tmp_path), SlurmOptions(container="apptainer", images="/images"))


def test_in_a_container_the_image_decides_the_result_as_with_docker() -> None:
    runner, stage = SlurmRunner(), STAGES["fit-ridge"]
    assert runner.environment(stage) == LocalRunner().environment(stage)
    runner.options = SlurmOptions(container="apptainer", images="/images")
    assert runner.environment(stage) == DockerRunner().environment(stage)
    assert image_path(SIMULATE_ALPHASIMR, runner.options) == Path("/images") / IMAGES["r"].exported("apptainer")


def test_a_missing_image_is_refused_and_the_command_that_makes_it_said(tmp_path: Path) -> None:
    options = SlurmOptions(container="apptainer", images=tmp_path)
    missing = tmp_path / IMAGES["gpu"].exported("apptainer")
    said = f"image {missing} is not there: where Docker is, make it with: python -m images export --format apptainer --to {tmp_path} gpu"
    with pytest.raises(RunnerError, match=f"^{re.escape(said)}$"):
        check_images([STAGES["fit-ridge"], STAGES["simulate"]], options)
    missing.touch()
    check_images([STAGES["fit-ridge"], STAGES["simulate"]], options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"container": "podman", "images": "/images"}, "'charliecloud' or 'apptainer'"),
        ({"container": "apptainer"}, "container and images: both are needed"),
        ({"images": "/images"}, "container and images: both are needed"),
        ({"container": "apptainer", "images": "images"}, "images: a folder that all nodes see is named by its whole path, got 'images'"),
    ],
)
def test_wrong_options_are_said(options: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        SlurmOptions.model_validate(options)


def test_the_command_to_repeat_a_stage_has_its_container(tmp_path: Path) -> None:
    runner = SlurmRunner()
    runner.options = SlurmOptions(container="charliecloud", images="/images")
    repeat = shlex.split(runner.command(job(tmp_path)))
    assert (repeat[0], repeat[-3:-1]) == ("srun", ["bash", "-c"])
    assert repeat[-1].count("ch-run") == 1
    assert sys.executable not in repeat
