"""A video of one generated person who becomes another one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.apps.generation.choices import Checkpoint
from facemorph.apps.implicit.choices import check_number
from facemorph.apps.morphing.morph_options import SPEEDS
from facemorph.errors import OutputError
from facemorph.fields.warps.choices import Easing
from facemorph.jobs.input_files import check_files_exist
from facemorph.jobs.options import FramesPerSecond, Option, checked
from facemorph.jobs.outputs import beside, check_writable
from facemorph.jobs.records import Header
from facemorph.storage.suffixes import VIDEO_SUFFIXES

if TYPE_CHECKING:

    class PathReport(Header):
        """The content of ``OUT.json``."""

        seconds: float
        seconds_per_frame: float
        files: list[str]


VIDEOS = (*VIDEO_SUFFIXES, ".gif", "")  # no suffix is a folder


@checked
def interpolate(
    first: Annotated[str | Path, Option(metavar="A")],
    second: Annotated[str | Path, Option(metavar="B")],
    output: Annotated[str | Path, Option(("-o", "--output"), "OUT")],
    checkpoint: Checkpoint = "@last",
    *,
    frames: int = 48,
    frames_per_second: FramesPerSecond = 24.0,
    easing: Easing = "ease",
    size: int = 512,
) -> PathReport:
    """A video between the first faces of two inversions or samples.

    Shape, expression, pose, skin, light and style all go the straight way, the head by the shortest
    turn; each frame is framed anew.

    Args:
        first: Folder of the first face, of facemorph invert or sample.
        second: The same of the second face.
        output: OUT.mp4, OUT.gif or a folder of PNG files; OUT.sheet.png and OUT.json beside it.
        frames: Pictures, A and B among them.
        easing: How time passes: even, slow at the faces, done or begun half-way, at rest there.
        size: Side of the frames in pixels.

    Returns:
        The content of ``OUT.json``.

    Raises:
        FacemorphError: An option, the checkpoint, a folder or the output is at fault.
    """
    path = Path(output)
    check_number("frames", frames, 2, 100_000)
    check_number("fps", frames_per_second, *SPEEDS)
    check_number("size", size, 16, 4096)
    if path.suffix.lower() not in VIDEOS:
        raise OutputError(
            "unknown kind of video",
            where=path,
            found=path.suffix,
            expected=f"{' '.join(VIDEO_SUFFIXES)} .gif, or a folder",
        )
    check_files_exist([first, second])
    for one in (path, beside(path, "json")):
        check_writable(one)
    from facemorph.apps.generation.figures.figure_faces import first_face
    from facemorph.apps.generation.figures.figure_files import write_video
    from facemorph.apps.generation.figures.figure_videos import path_between, tiled
    from facemorph.apps.generation.generated_faces import FaceGenerator
    from facemorph.fields.warps.time_curves import curve_value
    from facemorph.jobs.records import header, write_json
    from facemorph.ops.threads import one_thread

    begun = time.perf_counter()
    shares = [curve_value(easing, row / (frames - 1), "easing") for row in range(frames)]
    with one_thread():
        generator = FaceGenerator.load(checkpoint)
        begin, end = (first_face(Path(folder), generator) for folder in (first, second))
        pictures = path_between(generator, begin, end, shares)
        moving = (tiled([picture], 1, size) for picture in pictures)
        files = write_video(moving, frames, path, frames_per_second)
    seconds = time.perf_counter() - begun
    settings = {"checkpoint": str(checkpoint), "first": str(first), "second": str(second)}
    report: PathReport = {
        **header({**settings, "frames": frames, "easing": easing, "size": size}),
        "seconds": round(seconds, 2),
        "seconds_per_frame": round(seconds / frames, 3),
        "files": [str(one) for one in files],
    }
    write_json(beside(path, "json"), report)
    return report
