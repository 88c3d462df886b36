"""Expression and pose of a driving video on somebody else's photograph, by a textured mesh."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from facemorph.apps.fitting.choices import Smoothing
from facemorph.apps.morphing.morph_options import check_speed
from facemorph.errors import ConfigError
from facemorph.faces.choices import check_form
from facemorph.jobs.options import (
    Detected,
    Device,
    LargestGif,
    MinScore,
    Names,
    Option,
    checked,
)
from facemorph.jobs.outputs import beside, check_kind, check_output, torch_device
from facemorph.jobs.recipe import recorded
from facemorph.storage.suffixes import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from torch import Tensor

Renderer = Literal["mesh"]
Reference = Literal["rest", "first", "nothing"]
SIZES = (64, 2048)
TEXTURE = 1024
SPEED = 25.0  # frames per second where nothing says another


@dataclass
class Animated:
    """What was written.

    Attributes:
        files: Paths: the video (or the pictures of a folder), then the sheet.
        frames: Number of frames.
    """

    files: list[Path]
    frames: int


@checked
@recorded(files=["source", "driving", "points", "model"])
def animate(
    source: str | Path,
    driving: Annotated[str | Path, Option(("--driving",), "VIDEO")],
    output: Annotated[str | Path, Option(("-o", "--output"), "OUT")],
    *,
    renderer: Renderer = "mesh",
    model: str = "makehuman",
    relative_to: Reference = "rest",
    size: int = 512,
    whole: bool = False,
    points: Annotated[str | Path | None, Option(metavar="FILE")] = None,
    detector: Detected = "embedded",
    min_score: MinScore = None,
    smoothing: Smoothing = "batch",
    first_segment: bool = False,
    frames_per_second: Annotated[float | None, Option(("--fps",))] = None,
    names: Names = "index",
    max_megabytes: LargestGif = None,
    device: Device = "auto",
) -> Animated:
    """Move a photograph as somebody else moves in a video.

    Args:
        source: The photograph.
        driving: Video, folder of its frames, recording (Live Link Face .csv, ARKit .json, .bvh,
            FLAME .npz), or the .npz that facemorph fit made of it.
        output: OUT.mp4, OUT.gif or a folder; beside it STEM.sheet.jpg.
        renderer: How frames are made: by a textured ``mesh``.
        model: ``makehuman`` (embedded), ``gnm`` (once downloaded), ``ict`` or ``flame`` (once
            imported), or a file of GNM (.npz), FLAME (.pkl .npz) or the Basel Face Model (.h5).
        relative_to: What the driving face's motion is measured from: itself at ``rest``, its
            ``first`` frame, or ``nothing``, so that expression and rotation are taken as they are.
        size: Longer side of the frames in pixels.
        whole: Show all of the photograph instead of head and shoulders.
        points: Landmark file of the photograph; found by the detector when not given.
        smoothing: How the motion of the driving video is smoothed: ``batch``, all of it at once;
            ``one-euro``, as if frames came in one by one; or ``none``.
        first_segment: Use only what comes before the first cut of the video.
        frames_per_second: Frames per second; those of the driving video, else 25, when not given.

    Raises:
        FacemorphError: An option, an input or the output is at fault; see the class of the error.
    """
    output = Path(output)
    _check(output, size, frames_per_second)
    check_output(output, [source, driving, points])
    check_form(output, names, max_megabytes)
    import torch

    from facemorph.apps.fitting.face_fitting import fit_faces
    from facemorph.apps.fitting.located_face import locate
    from facemorph.apps.heads import driven_portrait
    from facemorph.faces.detection import make_detector
    from facemorph.faces.files.image_output import save_image
    from facemorph.faces.files.video_io import write_frames
    from facemorph.geometry.models.model_files import load_model

    where = str(torch_device(device)) if detector == "embedded" else None
    loaded, find = load_model(model), make_detector(detector, device=where, min_score=min_score)
    with torch.no_grad():
        face = locate(source, points, find, source=detector)
        face = driven_portrait.resized(face if whole else driven_portrait.portrait_of(face), size)
        driver = driven_portrait.read_driver(
            Path(driving), loaded, find, detector, smoothing, first_segment
        )
        fitted = fit_faces([face], loaded)[0]
        warp = driven_portrait.portrait_warp(fitted, face.image, TEXTURE)
        moved = driven_portrait.transfer(fitted.parameters, driver.parameters, loaded, relative_to)
        moved = moved[driven_portrait.held_rows(driver)]
        shown: list[tuple[int, Tensor]] = []
        frames = driven_portrait.frames_of(warp, loaded, moved, face.frame, shown)
        speed = frames_per_second or driver.frames_per_second or SPEED
        sound = driven_portrait.sound_of(driver, speed)
        shares = [row / max(len(moved) - 1, 1) for row in range(len(moved))]
        files = write_frames(
            frames, output, speed, sound, names=names, shares=shares, max_megabytes=max_megabytes
        )
        sheet = driven_portrait.sheet_of(face.image, shown, driver)
        files.append(save_image(sheet, beside(output, "sheet.jpg"), synthetic=True, quality=90))
    return Animated(files, len(moved))


def _check(output: Path, size: int, speed: float | None) -> None:
    check_kind(output, (*VIDEO_SUFFIXES, ".gif"))
    if not SIZES[0] <= size <= SIZES[1]:
        raise ConfigError(
            "unusable size", where="size", expected=f"{SIZES[0]} to {SIZES[1]} pixels", found=size
        )
    check_speed(speed)
