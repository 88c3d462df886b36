"""Figures and videos that show what a trained generator has learned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.apps.generation.choices import Checkpoint
from facemorph.apps.generation.figures.choices import (
    FRAMES,
    NEEDED,
    USUAL,
    FeatureName,
    FigureKind,
    FigureOptions,
    Usual,
)
from facemorph.apps.implicit.choices import check_number
from facemorph.apps.morphing.morph_options import SPEEDS
from facemorph.errors import ConfigError, OutputError
from facemorph.jobs.input_files import check_files_exist
from facemorph.jobs.options import File, Folder, FramesPerSecond, Option, checked
from facemorph.jobs.outputs import beside, check_writable

if TYPE_CHECKING:
    from facemorph.apps.generation.figures.figure_files import FigureReport


@checked
def figure(
    kind: Annotated[FigureKind, Option(metavar="KIND")],
    output: Annotated[str | Path, Option(("-o", "--output"), "OUT", kind=Path)],
    checkpoint: Checkpoint = "@last",
    *,
    count: int | None = None,
    columns: int | None = None,
    frames: int | None = None,
    seed: int = 0,
    spread: float = 1.0,
    start: Annotated[str | Path | None, Option(("--from",), "DIR")] = None,
    driving: File = None,
    faces: Folder = None,
    features: FeatureName = "efficientnet_lite",
    size: int | None = None,
    renders: bool = False,
    frames_per_second: FramesPerSecond = 24.0,
) -> FigureReport:
    """Draw one of the figures of the GIF paper for a trained generator.

    Args:
        kind: roles, a person who becomes another one, group of parameters by group; teaser, each
            parameter alone from one end to the other; grid, the same people in many poses,
            expressions and lights; mixing, styles of another person in some layers only;
            interpolation, a video from person to person; speech, people who move as a recording
            does; deviation, the distance to real pictures against the deviation of the parameters.
        output: A picture (.png .jpg .webp); a video (.mp4 .gif or a folder) for interpolation and
            speech; OUT.svg for deviation, with OUT.csv beside it. OUT.json says how it was made.
        count: People (pairs for roles and mixing, pictures at each point for deviation); 1 to 6, or
            500 for deviation, when not given.
        columns: Columns of teaser and grid; videos side by side for interpolation; people in a row
            for speech; points of the curve for deviation.
        frames: Of an interpolation, from one person to the next; 64 when not given.
        seed: Decides which people they are.
        spread: Factor of the training people's standard deviation; below 1 people are more like
            each other.
        start: Folder of an earlier sample or inversion, whose people are shown instead of random
            ones.
        driving: speech: face parameters over time, the .npz that facemorph fit makes of a video.
        faces: deviation: set with the people that were held out, as for evaluate-generator.
        features: Of the distance.
        size: Side of a picture in pixels; 160 on sheets, the generator's own in videos, when not
            given.
        renders: Show below each picture the render that it was made of (sheets).

    Returns:
        The content of ``OUT.json``.

    Raises:
        FacemorphError: An option, the checkpoint, the folder or the output is at fault.
    """
    path, usual = Path(output), USUAL[kind]
    _check_output(path, kind, usual)
    given = {"columns": columns, "frames": frames, "renders": renders or None, "from": start}
    _check_taken(kind, {**given, "driving": driving, "faces": faces})
    options = FigureOptions(
        usual.count if count is None else count,
        usual.columns if columns is None else columns,
        FRAMES if frames is None else frames,
        seed,
        spread,
        None if start is None else Path(start),
        size,
        renders,
        frames_per_second,
    )
    _check_numbers(options, usual)
    check_files_exist([driving])
    from facemorph.apps.generation.figures.figure_files import make_figure
    from facemorph.ops.threads import one_thread

    with one_thread():
        return make_figure(kind, path, str(checkpoint), options, driving, faces, features)


def _check_output(path: Path, kind: str, usual: Usual) -> None:
    if path.suffix.lower() not in usual.suffixes:
        raise OutputError(
            f"the figure {kind} is not written so",
            where=path,
            expected=" ".join(one or "a folder" for one in usual.suffixes),
            found=path.suffix or "no suffix",
        )
    check_writable(path)
    check_writable(beside(path, "json"))


def _check_taken(kind: str, given: Mapping[str, object]) -> None:
    """See that a figure has what it needs, and nothing that it would leave aside."""
    needed = NEEDED.get(kind)
    if needed is not None and given[needed] is None:
        raise ConfigError(f"the figure {kind} needs it", where=needed, expected=f"--{needed} PATH")
    for name, value in given.items():
        if value is not None and name not in USUAL[kind].takes:
            raise ConfigError(f"the figure {kind} has no such option", where=name, found=value)


def _check_numbers(options: FigureOptions, usual: Usual) -> None:
    check_number("count", options.count, usual.least, 100_000)
    check_number("columns", options.columns, 1, 100)
    check_number("frames", options.frames, 2, 10_000)
    check_number("spread", options.spread, 0, 3)
    check_number("size", options.size or 16, 16, 1024)
    check_number("fps", options.frames_per_second, *SPEEDS)
