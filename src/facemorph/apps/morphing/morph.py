"""Two photographs in, a morph out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from facemorph.apps.morphing.morph_options import (
    CLOSED_FORMS,
    CurveOfTime,
    MatchSkin,
    MorphBlend,
    MorphMask,
    MorphWarp,
    RenderOptions,
    Style,
    check_options,
    frame_times,
)
from facemorph.apps.morphing.morph_styles import style_options
from facemorph.faces.choices import MASKS, check_form
from facemorph.faces.face_input import FaceInput
from facemorph.fields.warps.choices import Outside
from facemorph.jobs.options import (
    Aligned,
    Detected,
    Device,
    FrameSize,
    FramesPerSecond,
    Frontal,
    LargestGif,
    MinScore,
    Names,
    Output,
    checked,
)
from facemorph.jobs.outputs import check_output, torch_device
from facemorph.jobs.recipe import recorded
from facemorph.jobs.stopwatch import Stopwatch
from facemorph.storage.suffixes import holds_alpha

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from facemorph.apps.morphing.morph_result import MorphResult
    from facemorph.faces.pair import FacePair


@checked
@recorded(files=("a", "b", "points_a", "points_b", "mask", "warp", "blend"))
def morph(
    a: str | Path | Tensor,
    b: str | Path | Tensor,
    output: Output = None,
    *,
    size: FrameSize = 512,
    frames: int = 24,
    time: float | None = None,
    warp: MorphWarp = "thin_plate_flow",
    blend: MorphBlend = "multiband",
    outside: Outside = "source",
    mask: MorphMask = "face",
    style: Style | None = None,
    shape_time: CurveOfTime = None,
    texture_time: CurveOfTime = None,
    refine: bool = False,
    match_skin: MatchSkin = True,
    points_a: str | Path | None = None,
    points_b: str | Path | None = None,
    detector: Detected = "embedded",
    min_score: MinScore = None,
    align: Aligned = "portrait",
    frontal: Frontal = False,
    device: Device = "auto",
    frames_per_second: FramesPerSecond = 24.0,
    names: Names = "index",
    max_megabytes: LargestGif = None,
    report: bool = True,
) -> MorphResult:
    """Morph one face into another.

    Photographs are files or ``(3, H, W)`` tensors in [0, 1]. With ``output=None`` nothing is
    written. ``siren`` is not fitted twice: its ``heldout_landmark_error_px`` is None.

    Args:
        a: First photograph.
        b: Second photograph.
        output: A video (.mp4), .gif, picture (.png, .jpg, .webp) or folder of PNG files. Beside it,
            with the same stem: .metrics.json, .sheet.png, .report.html and .recipe.yaml for
            facemorph redo.
        frames: Number of frames of a sequence, times 0 and 1 included.
        time: Time of a still in [0, 1]; half-way when not given.
        outside: Whose hair and background is shown: ``source`` is A's, ``target`` B's; ``mix`` goes
            from A's to B's.
        style: A kind of morph of the literature on morphing attacks; it decides blend and shape.
        refine: Align hair, ears and clothes too, of use with outside mix or blend linear.
        points_a: Landmark file of the first photograph; found by the detector when not given.
        points_b: Landmark file of the second.
        report: Write the contact sheet and the HTML page too.

    Returns:
        The morph, its figures and files.

    Raises:
        FacemorphError: An input, option or output is at fault; see the class of the error.
    """
    options: RenderOptions = {
        **style_options(style, blend, outside, shape_time, texture_time),
        "mask": mask,
        "refine": refine,
        "match_skin": match_skin and style is None,
    }
    check_options(warp, options, frames_per_second)
    times = frame_times(output, frames, time)
    files = {"a": a, "b": b, "points_a": points_a, "points_b": points_b}
    files["mask"] = None if mask in MASKS else mask
    if output is not None:
        output = check_output(output, files.values())
        check_form(output, names, max_megabytes)
    look = {"frontal": frontal, "keep_alpha": holds_alpha(output)}
    given = FaceInput([a, b], [points_a, points_b], size, detector, min_score, align, **look)
    result = _made(given, times, warp, options, torch_device(device))
    from facemorph.apps.morphing.morph_result import described, write_morph

    result.metrics["inputs"] = described(files)
    if output is not None:
        write_morph(result, output, frames_per_second, report, names, max_megabytes)
    return result


def _made(
    given: FaceInput, times: list[float], warp: str, options: RenderOptions, device: torch.device
) -> MorphResult:
    """The morph with its figures, not yet written."""
    from facemorph.apps.morphing import morph_result as made
    from facemorph.apps.morphing.warp_fitting import fit_warp, smoothing_of
    from facemorph.faces.landmark_schemes import to_ibug68
    from facemorph.faces.masks import PARTS
    from facemorph.faces.pair import prepare_pair

    watch = Stopwatch()
    with watch.stage("faces"):
        pair = prepare_pair(given)
        if given.frontal:
            pair = _from_the_front(pair, given)
        if options["mask"] in PARTS:
            to_ibug68(pair.points_a, pair.scheme)  # says so now where it cannot be
    smoothing = smoothing_of(pair.scheme)
    fit = partial(fit_warp, name=warp, device=device, smoothing=smoothing)
    system = made.fitted(fit, pair, options["refine"], watch)
    refit = fit if warp in made.FITTED_TWICE else None
    result = made.assemble(system, pair, times, options, refit, watch)
    used = smoothing if warp in CLOSED_FORMS else None
    result.metrics["config"] = _config(given, pair.scheme, times, warp, used, str(device), options)
    return result


def _from_the_front(pair: FacePair, given: FaceInput) -> FacePair:
    """The pair with heads that are turned to the side turned to the front."""
    from facemorph.apps.morphing.poses.frontal import turned_to_front
    from facemorph.faces.pair import PreparedFace, pair_faces

    faces = [
        PreparedFace(pair.image_a, pair.points_a, pair.scheme, pair.alpha_a),
        PreparedFace(pair.image_b, pair.points_b, pair.scheme, pair.alpha_b),
    ]
    first, second = turned_to_front(faces, given)
    return pair_faces(first, second)


def _config(
    given: FaceInput,
    scheme: str,
    times: list[float],
    warp: str,
    smoothing: float | None,
    device: str,
    options: RenderOptions,
) -> dict[str, object]:
    """What ``metrics.json`` says of the settings."""
    return {
        "size": given.size,
        "frames": len(times),
        "times": times if len(times) == 1 else None,
        "warp": warp,
        "smoothing": smoothing,
        "detector": str(given.detector),
        "min_score": given.min_score,
        "scheme": scheme,
        "align": given.align,
        "frontal": given.frontal,
        "device": device,
        **options,
        "mask": str(options["mask"]),
    }
