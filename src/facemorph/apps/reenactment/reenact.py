"""Photographs that move: as somebody else does in a video, or by edits in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from facemorph.apps.fitting.choices import Smoothing
from facemorph.apps.heads.animate import Reference
from facemorph.apps.morphing.morph_options import check_speed
from facemorph.apps.reenactment.choices import Checkpoint, FrameSide, Keep, Preset, Reenacted
from facemorph.apps.reenactment.editing.edit_words import read_edits
from facemorph.errors import ConfigError, OutputError
from facemorph.faces.choices import check_form
from facemorph.jobs.options import (
    Detected,
    File,
    LargestGif,
    MinScore,
    Names,
    Option,
    Pictures,
    Points,
    checked,
)
from facemorph.jobs.outputs import check_kind, check_output, check_writable
from facemorph.jobs.recipe import recorded
from facemorph.storage.suffixes import PICTURES, STILLS, VIDEO_SUFFIXES

MOVING = (*VIDEO_SUFFIXES, ".gif")


@checked
@recorded(
    files=("sources", "driving", "edit_file", "points", "checkpoint"), photographs=("sources",)
)
def reenact(
    sources: Pictures,
    output: Annotated[str | Path, Option(("-o", "--output"), "OUT", kind=Path)],
    *,
    driving: Annotated[str | Path | None, Option(("--driving",), "FILE|DIR", kind=str)] = None,
    edit: Annotated[str | None, Option(metavar="WORDS")] = None,
    edit_file: File = None,
    preset: Preset | None = None,
    checkpoint: Checkpoint = "@open:gdpw",
    relative_to: Reference | None = None,
    keep: Keep | None = None,
    size: FrameSide = None,
    paste_back: bool = False,
    compare: bool = False,
    smoothing: Smoothing = "batch",
    first_segment: bool = False,
    frames_per_second: Annotated[float | None, Option(("--fps",))] = None,
    names: Names = "index",
    max_megabytes: LargestGif = None,
    points: Points = None,
    detector: Detected = "embedded",
    min_score: MinScore = None,
) -> Reenacted:
    """Move the head of a photograph, by a trained network that keeps its sharpness.

    Args:
        sources: Photographs, each with one face.
        output: A video (.mp4 .mov .mkv .gif) or a folder of frames; a picture for edits and for a
            driving photograph; a folder that gets STEM.mp4 or STEM.png of each for several
            photographs.
        driving: What they follow: a video, a folder of its frames, a photograph, a recording (Live
            Link Face .csv, ARKit .json, .bvh), the .npz that facemorph fit made, or webcam:0.
        edit: Edits in words: "exp jawOpen 0.6 global_pose yaw -10"; see docs/reenactment.md.
        edit_file: File of edits, a statement on each line.
        preset: ``sweep``: one axis after the other, there and back; ``talk``: a few seconds of
            made-up speech, with blinks.
        relative_to: What the driving face's motion is measured from: itself at ``rest`` (of a
            video), its ``first`` frame, or ``nothing`` (of a photograph), so that expression and
            rotation are taken as they are.
        keep: What stays that of the photograph: its ``pose`` or its ``expression``.
        paste_back: Show the whole photograph with the moved face in its place.
        compare: Show photograph, result and driving frame side by side.
        smoothing: How the motion of a video is smoothed: ``batch``, all of it at once;
            ``one-euro``, as if frames came in one by one; or ``none``.
        first_segment: Use only what comes before the first cut of the video.
        frames_per_second: Frames per second; those of the driving video, else 25, when not given.

    Raises:
        ConfigError: An option is none of the possible ones, or an edit is wrong.
        CheckpointError: The checkpoint cannot be loaded, or is of another system.
        DataError: An input cannot be read, or the parameters are those of another model.
        NoFaceFound: A photograph or the driver shows no face.
        OutputError: The output cannot be written.
    """
    output = Path(output)
    words = read_edits(edit, None if edit_file is None else Path(edit_file))
    _check_what_moves(driving, words or None, preset)
    check_speed(frames_per_second)
    still = bool(words) or (driving is not None and Path(driving).suffix.lower() in PICTURES)
    check_form(_checked_kind(output, still, len(sources)), names, max_megabytes)
    check_output(output, [*sources, driving])
    if not output.suffix:
        output.mkdir(parents=True, exist_ok=True)
    from facemorph.apps.reenactment import moving_pictures
    from facemorph.faces.detection import make_detector
    from facemorph.ops.threads import one_thread

    with one_thread():
        find = make_detector(detector, min_score=min_score)
        people = moving_pictures.load_people(sources, checkpoint, size, points, find, detector)
        if driving is not None:
            motion = moving_pictures.driven(
                people, Path(driving), find, detector, smoothing, first_segment, relative_to, keep
            )
        elif preset is not None:
            motion = moving_pictures.preset_of(preset, people, frames_per_second)
        else:
            motion = moving_pictures.edited(people, words)
        view = moving_pictures.View(paste_back, compare, frames_per_second, names, max_megabytes)
        return moving_pictures.write(people, motion, output, view, still)


def _check_what_moves(driving: object, words: str | None, preset: object) -> None:
    given = [
        name
        for name, value in (("driving", driving), ("edit", words), ("preset", preset))
        if value is not None
    ]
    if len(given) != 1:
        raise ConfigError(
            "nothing says how the photograph moves" if not given else "motion is given twice",
            where="driving",
            expected="one of --driving, --edit, --edit-file and --preset",
            found=" and ".join(given) or "none",
        )


def _checked_kind(output: Path, still: bool, count: int) -> Path:
    """What is written for each photograph, once it is known that the output is possible."""
    allowed = (*MOVING, *STILLS) if still else MOVING
    if count > 1 and output.suffix:
        raise OutputError(
            "several photographs need a folder",
            where=output,
            expected="a folder, that gets a file for each",
            found=output.suffix,
            remedy="Choose a path without an ending.",
        )
    check_kind(output, allowed)
    if not output.suffix and output.exists():
        check_writable(output / "frame_0000.png")
    one = output.suffix or (count == 1 and not still)
    return output if one else output / f"STEM{'.png' if still else '.mp4'}"
