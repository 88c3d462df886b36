"""Landmarks of many photographs: one file for each, so that they are found once, looked at and
corrected.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from facemorph.faces.choices import Detector
from facemorph.jobs.input_files import check_some_exist
from facemorph.jobs.options import Option, OutputFolder, checked
from facemorph.jobs.outputs import torch_device

if TYPE_CHECKING:
    from facemorph.apps.heads.landmark_finder import LandmarkReport


@checked
def find_landmarks(
    files: Annotated[Sequence[str | Path], Option(metavar="PICTURES...")],
    output: OutputFolder,
    *,
    kind: Literal["json", "csv", "pts", "tem"] = "json",
    detector: Detector = "embedded",
    min_score: float | None = None,
    overlay: Annotated[bool, Option(("--overlay/--no-overlay",))] = False,
    again: Annotated[bool, Option(("--again/--no-again",))] = False,
    device: str = "auto",
    workers: int | None = 1,
) -> LandmarkReport:
    """Find the landmarks of photographs and write one file for each.

    Files that are there already are left alone, corrected ones above all; where a photograph has
    changed since, its landmarks are found anew if nobody has corrected them. A photograph that
    fails does not stop the others, and the same call goes on where it was stopped.

    Args:
        files: Photographs, or folders of them.
        output: Folder of the landmark files STEM.KIND, in pixels of the photographs; with them
            landmarks.json, which says for each photograph what was found.
        kind: Format of the landmark files.
        detector: What finds the landmarks.
        min_score: Lowest score of a face; the detector's own when not given.
        overlay: Write STEM.landmarks.jpg too, the photograph with its landmarks.
        again: Find them anew where a file is there already.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``: where the embedded detector runs.
        workers: Processes; 0: one for each core.

    Returns:
        The content of ``landmarks.json``.

    Raises:
        ConfigError: An option is none of the possible ones.
        DataError: There is no photograph, or two have one name.
        ImageError: No photograph is there.
        OutputError: A file cannot be written.
    """
    check_some_exist(files)
    from facemorph.apps.heads.landmark_finder import LandmarkOptions, find_all

    where = str(torch_device(device)) if detector == "embedded" else None
    options = LandmarkOptions(Path(output), kind, detector, min_score, overlay, again, where)
    return find_all(files, options, workers or None)
