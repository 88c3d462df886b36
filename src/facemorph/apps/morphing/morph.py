"""Two photographs in, a morph out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from facemorph.apps.morphing.morph_options import (
    CLOSED_FORMS,
    ClosedForm,
    RenderOptions,
    Style,
    TrainedWarp,
    check_options,
    frame_times,
)
from facemorph.apps.morphing.morph_styles import style_options
from facemorph.faces.choices import MASKS, Detector, Mask
from facemorph.faces.face_input import FaceInput
from facemorph.fields.warps.choices import Blend, Outside
from facemorph.jobs.options import Aligned, FramesPerSecond, Output, checked
from facemorph.jobs.outputs import check_output, torch_device
from facemorph.jobs.recipe import recorded
from facemorph.jobs.stopwatch import Stopwatch

if TYPE_CHECKING:
    from torch import Tensor

    from facemorph.apps.morphing.morph_result import MorphResult


@checked
@recorded(files=("a", "b", "points_a", "points_b", "mask", "warp", "blend"))
def morph(
    a: str | Path | Tensor,
    b: str | Path | Tensor,
    output: Output = None,
    *,
    size: int = 512,
    frames: int = 24,
    time: float | None = None,
    warp: ClosedForm | TrainedWarp | str = "thin_plate_flow",
    blend: Blend | str = "multiband",
    outside: Outside = "source",
    mask: Mask | str | Path = "face",
    style: Style | None = None,
    shape_time: float | str | None = None,
    texture_time: float | str | None = None,
    refine: bool = False,
    points_a: str | Path | None = None,
    points_b: str | Path | None = None,
    detector: Detector = "embedded",
    min_score: float | None = None,
    align: Aligned = "portrait",
    device: str = "auto",
    frames_per_second: FramesPerSecond = 24.0,
    report: bool = True,
) -> MorphResult:
    """Morph one face into another.

    Photographs are files or ``(3, H, W)`` tensors in [0, 1]. With ``output=None`` nothing is
    written. The paper's own warp, ``siren``, is not fitted twice: its
    ``heldout_landmark_error_px`` is None.

    Args:
        a: First photograph.
        b: Second photograph.
        output: A video (.mp4), .gif, picture (.png, .jpg, .webp) or folder of PNG files. Beside it,
            with the same stem: .metrics.json, .sheet.png, .report.html and .recipe.yaml for
            facemorph redo.
        size: Longer side of the frame in pixels.
        frames: Number of frames of a sequence, times 0 and 1 included.
        time: Time of a still in [0, 1]; half-way when not given.
        warp: What carries one face onto the other. At once: ``thin_plate_flow``, ``tps``,
            ``piecewise_affine``; by training: ``siren_residual``, ``neural_ode``,
            ``conjugate_flow``, ``siren`` (the paper's, for hours); or one that is trained already:
            a .ckpt file, release folder, @last, or .pth of the ifmorph project.
        blend: How colours are mixed. Inside the mask: ``multiband``, ``linear_masked``, ``min``,
            ``max``, ``poisson_average``, ``poisson_mix``, ``poisson_source``, ``poisson_target``;
            in the whole frame: ``linear``, ``source``, ``target``; or an autoencoder's checkpoint.
        outside: Whose hair and background is shown: ``source`` is A's, ``target`` B's; ``mix`` goes
            from A's to B's.
        mask: What is blended: ``face``, ``lower_face``, ``left_half``, ``right_half``, ``frame``,
            or a polygon's file (in pixels of the first frame).
        style: A kind of morph of the literature on morphing attacks; it decides blend and shape.
        shape_time: How far the shape is: a number from 0 to 1, or how it changes with time:
            linear, ease, early, late, hold. As far as the time when not given.
        texture_time: The same for the colours.
        refine: Align hair, ears and clothes too, of use with outside mix or blend linear.
        points_a: Landmark file of the first photograph; found by the detector when not given.
        points_b: Landmark file of the second.
        detector: What finds the landmarks.
        min_score: Lowest score of a face; the detector's own when not given.
        align: How faces are cut out of their pictures.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``.
        frames_per_second: Frames per second of a video or GIF.
        report: Write the contact sheet and the HTML page too.

    Returns:
        The morph, its figures and files.

    Raises:
        FacemorphError: An input, option or output is at fault; see the class of the error.

    Example:
        ``morph("a.jpg", "b.jpg", "out.mp4")``; or ``for frame in morph("a.jpg", "b.jpg").frames:
        ...``
    """
    options: RenderOptions = {
        **style_options(style, blend, outside, shape_time, texture_time),
        "mask": mask,
        "refine": refine,
    }
    check_options(warp, options, frames_per_second)
    times = frame_times(output, frames, time)
    files = {
        "a": a,
        "b": b,
        "points_a": points_a,
        "points_b": points_b,
        "mask": None if mask in MASKS else mask,
    }
    if output is not None:
        output = check_output(output, files.values())
    from facemorph.apps.morphing import morph_result as made
    from facemorph.apps.morphing.warp_fitting import fit_warp, smoothing_of
    from facemorph.faces.landmark_schemes import to_ibug68
    from facemorph.faces.masks import PARTS
    from facemorph.faces.pair import prepare_pair

    where, watch = torch_device(device), Stopwatch()
    with watch.stage("faces"):
        given = FaceInput([a, b], [points_a, points_b], size, detector, min_score, align)
        pair = prepare_pair(given)
        if mask in PARTS:
            to_ibug68(pair.points_a, pair.scheme)  # says so now where it cannot be
    smoothing = smoothing_of(pair.scheme)
    fit = partial(fit_warp, name=warp, device=where, smoothing=smoothing)
    system = made.fitted(fit, pair, refine, watch)
    refit = fit if warp in made.FITTED_TWICE else None
    result = made.assemble(system, pair, times, options, refit, watch)
    result.metrics["inputs"] = {
        name: made.describe_input(item) for name, item in files.items() if item is not None
    }
    result.metrics["config"] = {
        "size": size,
        "frames": len(times),
        "times": times if len(times) == 1 else None,
        "warp": warp,
        "smoothing": smoothing if warp in CLOSED_FORMS else None,
        "detector": detector,
        "min_score": min_score,
        "scheme": pair.scheme,
        "align": align,
        "device": str(where),
        **options,
        "mask": str(mask),
    }
    if output is not None:
        made.write_morph(result, output, frames_per_second=frames_per_second, report=report)
    return result
