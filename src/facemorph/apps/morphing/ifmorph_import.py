"""Experiments and landmarks of the authors' project (ifmorph), read into files of this one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.jobs.input_files import check_files_exist
from facemorph.jobs.options import Option

if TYPE_CHECKING:
    from facemorph.systems.ifmorph.published_experiments import ImportedExperiment


def import_ifmorph(
    experiment: str | Path,
    output: Annotated[str | Path, Option(("-o", "--output"), "OUT")],
    image: str | Path | None = None,
) -> ImportedExperiment:
    """Turn an experiment of the ifmorph project into one of ours, or its landmarks into ours.

    Args:
        experiment: Experiment (YAML), or landmarks (.dat), of the ifmorph project.
        output: Folder of the result; of a .dat, a landmark file.
        image: The picture that a .dat belongs to.

    Raises:
        FacemorphError: A file is missing or malformed, or the output cannot be written; see
            ``facemorph.systems.ifmorph.published_experiments``.
    """
    check_files_exist([experiment, image])
    from facemorph.systems.ifmorph import published_experiments as published

    if Path(experiment).suffix.lower() == ".dat":
        file = published.import_points(experiment, image, output)
        return published.ImportedExperiment(Path(experiment).stem, [file], [])
    return published.import_experiment(experiment, output)
