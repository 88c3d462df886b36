"""Random faces of a trained generator, with their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.apps.generation.choices import (
    Checkpoint,
    PictureFormat,
    Strengths,
    Varied,
    poses_of,
)
from facemorph.apps.heads.render import Light, values_by_name
from facemorph.apps.implicit.choices import check_number
from facemorph.jobs.options import Option, OutputFolder, checked
from facemorph.jobs.outputs import check_writable

if TYPE_CHECKING:
    from facemorph.apps.generation.face_files import GeneratedReport

SHEET, REPORT = "faces.png", "report.json"


@checked
def sample_faces(
    output: OutputFolder,
    checkpoint: Checkpoint = "@last",
    *,
    count: int = 12,
    seed: int = 0,
    spread: float = 1.0,
    vary: Varied = "all",
    sliders: Strengths = None,
    yaw: float | None = None,
    pitch: float | None = None,
    light: Light | None = None,
    poses: Annotated[Sequence[str] | None, Option(metavar="POSES", kind=list[str])] = None,
    expressions: Annotated[
        Sequence[str] | None, Option(metavar="NAMES=VALUES", kind=list[str])
    ] = None,
    start: Annotated[str | Path | None, Option(("--from",), "DIR")] = None,
    picture_format: Annotated[PictureFormat, Option(("--format",))] = "png",
) -> GeneratedReport:
    """Pictures of random people, or of one person in many ways.

    Args:
        output: Folder that gets the pictures face_001.png and so on, codes.npz and parameters.npz
            of all of them, faces.png and report.json.
        count: How many faces.
        seed: Decides who they are.
        spread: Factor of the training people's standard deviation; 0 repeats the mean, below 1
            people are more like each other (truncation).
        vary: What differs from face to face; the rest is that of the first.
        sliders: Strength of an expression of all, such as jawOpen=0.6; mouthSmile=0.5 sets both
            sides.
        yaw: Degrees that all heads turn to the right of the picture; random when not given.
        pitch: Degrees that all bend down; random when not given.
        light: Where a lamp stands for all; random light when not given.
        poses: Angles that every person is shown at, may be repeated: -45:45:15 (first:last:step)
            for yaw, pitch=-20:20:10, both=-30:30:15.
        expressions: What every person shows, may be repeated: neutral, jawOpen=0.2,mouthSmile=0.6.
        start: Folder of an earlier sample or inversion, whose faces are taken.
        picture_format: Of the pictures of the faces; the sheet is a PNG.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option, the checkpoint or the folder is at fault.
    """
    check_number("count", count, 1, 100_000)
    check_number("spread", spread, 0, 3)
    for name, angle, limit in (("yaw", yaw, 60), ("pitch", pitch, 40)):
        check_number(name, angle or 0, -limit, limit)
    strengths = values_by_name(sliders, "set")
    turns, shown = poses_of(poses), _expressions_of(expressions)
    folder = Path(output)
    check_writable(folder / REPORT)
    from facemorph.apps.generation.face_files import read_faces, write_faces
    from facemorph.apps.generation.generated_faces import FaceGenerator, changed, drawn_faces
    from facemorph.apps.generation.pose_sweeps import swept
    from facemorph.ops.threads import one_thread

    settings: dict[str, object] = {"checkpoint": str(checkpoint), "count": count, "seed": seed}
    settings |= {"spread": spread, "vary": vary, "set": strengths, "yaw": yaw, "pitch": pitch}
    settings |= {"light": light, "poses": poses, "expressions": expressions}
    settings["from"] = None if start is None else str(start)
    with one_thread():
        generator = FaceGenerator.load(checkpoint)
        if start is None:
            faces = drawn_faces(generator, count, seed, spread, vary)
        else:
            faces = read_faces(Path(start), generator)
        faces = changed(generator, faces, strengths, yaw, pitch, light)
        faces, labels = swept(generator, faces, turns, shown)
        return write_faces(generator, faces, folder, settings, labels, picture_format)


def _expressions_of(words: Sequence[str] | None) -> list[tuple[str, Mapping[str, float]]]:
    """Label and sliders of words such as ``neutral`` and ``mouthSmile=0.6,jawOpen=0.2``."""
    return [
        (word, {} if word == "neutral" else values_by_name(word.split(","), "expressions"))
        for word in words or ()
    ]
