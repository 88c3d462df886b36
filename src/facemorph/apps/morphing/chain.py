"""A chain of morphs: from each of several photographs to the next, and round again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph import console
from facemorph.apps.morphing.morph_options import (
    CLOSED_FORMS,
    ClosedForm,
    RenderOptions,
    TrainedWarp,
    check_options,
    frame_times,
)
from facemorph.errors import ConfigError, DataError
from facemorph.faces.choices import check_form
from facemorph.faces.face_input import FaceInput, say_repeated
from facemorph.fields.warps.choices import ChainBlend, Easing
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
    Option,
    Output,
    Photograph,
    Points,
    checked,
)
from facemorph.jobs.outputs import check_output, torch_device
from facemorph.jobs.recipe import recorded
from facemorph.jobs.stopwatch import Stopwatch
from facemorph.storage.suffixes import STILLS, holds_alpha

if TYPE_CHECKING:
    import torch

    from facemorph.apps.morphing.chain_result import ChainResult
    from facemorph.apps.morphing.morph_result import MorphResult
    from facemorph.faces.pair import PreparedFace


@checked
@recorded(files=("pictures", "points"), photographs=("pictures",))
def chain(
    pictures: Annotated[Sequence[Photograph], Option(metavar="A B C")],
    output: Output = None,
    *,
    loop: bool = False,
    frames: int = 24,
    easing: Easing = "linear",
    size: FrameSize = 512,
    warp: ClosedForm | TrainedWarp = "thin_plate_flow",
    blend: ChainBlend = "multiband",
    refine: bool = False,
    points: Points = None,
    detector: Detected = "embedded",
    min_score: MinScore = None,
    align: Aligned = "portrait",
    frontal: Frontal = False,
    device: Device = "auto",
    frames_per_second: FramesPerSecond = 24.0,
    names: Names = "index",
    max_megabytes: LargestGif = None,
    report: bool = True,
) -> ChainResult:
    """Morph from each photograph to the next.

    Hair and background change over with the face (``outside="mix"``), so that each morph ends at
    the whole picture with which the next begins.

    Args:
        pictures: Two photographs or more, in their order, or folders of them.
        output: OUT.mp4, OUT.gif or a folder of PNG files. Beside it: .metrics.json, .recipe.yaml
            and a report.
        loop: Go back to the first photograph, without showing it twice.
        frames: Frames of each morph, up to the next photograph.
        easing: How time passes in each morph: ``linear`` goes through photographs at once, ``ease``
            slows down at them, ``early`` is done half-way, ``late`` begins half-way, ``hold`` rests
            at both ends.
        warp: What carries one face onto the other: the first three at once, others by training.
        blend: How colours are mixed; those that end at the whole of the next photograph.
        refine: Align hair, ears and clothes too.
        report: Write the HTML page.

    Returns:
        The chain, its figures and files.

    Raises:
        FacemorphError: An input, option or output is at fault; see the class of the error.
    """
    options: RenderOptions = {"blend": blend, "outside": "mix", "refine": refine}
    look = {"frontal": frontal, "keep_alpha": holds_alpha(output)}
    given = FaceInput(pictures, points, size, detector, min_score, align, **look)
    check_options(warp, options, frames_per_second)
    output = _checked(given, output, frames, names, max_megabytes)
    from facemorph.apps.morphing import chain_result as made
    from facemorph.apps.morphing.morph_result import describe_input
    from facemorph.apps.morphing.warp_fitting import smoothing_of

    where, watch = torch_device(device), Stopwatch()
    with watch.stage("faces"):
        faces = _faces(given)
    smoothing = smoothing_of(faces[0].scheme)
    segments = _segments(faces, pictures, loop, frames, warp, where, smoothing, options)
    used = smoothing if warp in CLOSED_FORMS else None
    config: dict[str, object] = {"loop": loop, "frames": frames, "easing": easing, "size": size}
    config |= {"warp": warp, "smoothing": used, "scheme": faces[0].scheme, "align": align}
    config |= {"frontal": frontal, "detector": detector, "min_score": min_score}
    config |= {"device": str(where), **options}
    metrics: made.ChainMetrics = {
        "segments": [one.metrics for one in segments],
        "seconds": watch.seconds,
        "inputs": [describe_input(one) for one in pictures],
        "config": config,
    }
    result = made.ChainResult(segments, easing, frames, loop, metrics)
    if output is not None:
        form = made.SequenceForm(frames_per_second, names, max_megabytes)
        made.write_chain(result, output, form, report, watch)
    return result


def _faces(given: FaceInput) -> list[PreparedFace]:
    """The faces of all photographs, from the front where that is wanted."""
    from facemorph.faces.pair import prepare_faces

    faces = prepare_faces(given)
    if given.frontal:
        from facemorph.apps.morphing.poses.frontal import turned_to_front

        faces = turned_to_front(faces, given)
    return faces


def _segments(
    faces: Sequence[PreparedFace],
    pictures: Sequence[Photograph],
    loop: bool,
    frames: int,
    warp: str,
    device: torch.device,
    smoothing: float,
    options: RenderOptions,
) -> list[MorphResult]:
    """The morphs, from each face to the next."""
    from facemorph.apps.morphing.morph_result import FITTED_TWICE, assemble
    from facemorph.apps.morphing.warp_fitting import fit_warp
    from facemorph.faces.pair import pair_faces

    names = [
        Path(one).stem if isinstance(one, (str, Path)) else f"picture {index}"
        for index, one in enumerate(pictures, 1)
    ]
    fit = partial(fit_warp, name=warp, device=device, smoothing=smoothing)
    order = [*range(len(faces)), 0] if loop else list(range(len(faces)))
    times = [index / frames for index in range(frames + 1)]
    segments = []
    for a, b in console.track(list(pairwise(order)), "fitting"):
        pair, own = pair_faces(faces[a], faces[b], names[a], names[b]), Stopwatch()
        with own.stage("fit"):
            system = fit(pair)
        refit, name = fit if warp in FITTED_TWICE else None, f"{names[a]} to {names[b]}"
        segment = assemble(system, pair, times, options, refit, own, name)
        segment.metrics["from_to"] = [names[a], names[b]]
        segments.append(segment)
    return segments


def _checked(
    given: FaceInput,
    output: str | Path | None,
    frames: int,
    names: Names,
    max_megabytes: LargestGif,
) -> Path | None:
    """The output, once it is known that a chain can be made and written."""
    if output is not None and Path(output).suffix.lower() in STILLS:
        raise ConfigError(
            "a chain is no still",
            where="output",
            found=Path(output).suffix,
            expected=".mp4 .gif, or a folder",
        )
    if not isinstance(given.pictures, (list, tuple)) or len(given.pictures) < 2:
        raise DataError(
            "a chain needs two pictures or more", where="pictures", expected="a list of them"
        )
    if frames < 1:
        raise ConfigError(
            "a morph of a chain needs a frame", where="frames", expected="at least 1", found=frames
        )
    frame_times(output, max(frames, 2), None)
    say_repeated(given.pictures)
    if output is None:
        return None
    path = check_output(output, given.inputs)
    check_form(path, names, max_megabytes)
    return path
