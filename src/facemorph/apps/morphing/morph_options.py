"""Options of a morph, checked before any work is done."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypedDict, get_args, get_type_hints

from facemorph.errors import ConfigError
from facemorph.faces.choices import ALIGNS, DETECTORS, MASKS, Mask
from facemorph.fields.warps.choices import BLENDS, OUTSIDES, Blend
from facemorph.fields.warps.time_curves import curve_value
from facemorph.jobs.options import Option
from facemorph.jobs.outputs import check_kind
from facemorph.storage.runs import latest_checkpoint, names_a_checkpoint
from facemorph.storage.suffixes import STILLS, VIDEO_SUFFIXES

ClosedForm = Literal["thin_plate_flow", "tps", "piecewise_affine"]
TrainedWarp = Literal["siren_residual", "siren", "neural_ode", "conjugate_flow"]
Style = Literal["complete", "combined", "splicing"]
PictureKind = Literal["png", "jpg", "jpeg", "webp"]
MorphWarp = Annotated[
    ClosedForm | TrainedWarp | str,
    Option(
        help="What carries one face onto the other. At once: thin_plate_flow, tps, "
        "piecewise_affine; by training: siren_residual, neural_ode, conjugate_flow, siren (the "
        "paper's, for hours); or one that is trained already: a .ckpt file, release folder, @last, "
        "or .pth of the ifmorph project."
    ),
]
MorphBlend = Annotated[
    Blend | str,
    Option(
        help="How colours are mixed. Inside the mask: multiband, linear_masked, min, max, "
        "poisson_average, poisson_mix, poisson_source, poisson_target; in the whole frame: linear, "
        "source, target; or an autoencoder's checkpoint."
    ),
]
MorphMask = Annotated[
    Mask | str | Path,
    Option(
        help="What is blended: face, lower_face, left_half, right_half, frame, or a polygon's file "
        "(in pixels of the first frame)."
    ),
]
CurveOfTime = Annotated[
    float | str | None,
    Option(
        help="How far it is: a number from 0 to 1, or how it changes with time: linear, ease, "
        "early, late, hold. As far as the time when not given."
    ),
]
MatchSkin = Annotated[
    bool,
    Option(
        help="Give neck and ears of the picture that --outside names the tone of the face; with "
        "--blend multiband and --mask face, and without a style."
    ),
]
CLOSED_FORMS = get_args(ClosedForm)
WARPS = (*CLOSED_FORMS, *get_args(TrainedWarp))
SPEEDS = (0.1, 1000.0)  # frames per second


class RenderOptions(TypedDict, total=False):
    """How frames are drawn: options of ``NeuralWarp.render``, which explains them."""

    blend: str
    outside: str
    mask: str | Path
    shape_time: float | str | None
    texture_time: float | str | None
    refine: bool
    match_skin: bool


def frame_times(output: str | Path | None, frames: int, time: float | None) -> list[float]:
    """Times of the frames of a morph: one for a still, else ``frames`` from 0 to 1.

    Raises:
        ConfigError: The time or the number of frames is none of the possible ones.
        OutputError: The output's suffix is unknown.
    """
    suffix = "" if output is None else Path(output).suffix.lower()
    if output is not None:
        check_kind(output, (*VIDEO_SUFFIXES, ".gif", *STILLS))
    if time is not None and not 0 <= time <= 1:
        raise ConfigError("a morph has no such time", where="time", expected="0 to 1", found=time)
    if suffix in STILLS or time is not None:
        if suffix and suffix not in STILLS:
            raise ConfigError(
                "one time makes a still, not a video",
                where="time",
                found=suffix,
                remedy="Leave --time out, or give a .png as output.",
            )
        return [0.5 if time is None else float(time)]
    if frames < 2:
        raise ConfigError(
            "a sequence needs two frames",
            where="frames",
            found=frames,
            remedy="For a single picture give a .png as output and --time.",
        )
    return [index / (frames - 1) for index in range(frames)]


def check_options(warp: str, options: Mapping[str, Any], frames_per_second: float) -> None:
    """Check the choices of a morph.

    Args:
        warp: Name of the warp, or the file of a trained one.
        options: ``blend`` and ``outside``; ``mask``, ``shape_time`` and ``texture_time`` where they
            are given.
        frames_per_second: Speed of a video or GIF.

    Raises:
        ConfigError: One is none of the possible ones.
        CheckpointError: There is no run of that alias.
        DataError: The mask's file is missing or malformed.
        GeometryError: The mask's points span no area.
    """
    if options.get("mask", "face") not in MASKS:
        from facemorph.faces.masks import read_mask_shape

        read_mask_shape(options["mask"])
    for key, value, allowed in (
        ("warp", warp, WARPS),
        ("blend", options["blend"], BLENDS),
        ("outside", options["outside"], OUTSIDES),
    ):
        if value not in allowed and not (key in ("warp", "blend") and names_a_checkpoint(value)):
            raise ConfigError(
                "no such choice", where=key, expected=" | ".join(allowed), found=value
            )
    for value in (warp, options["blend"]):
        if isinstance(value, str) and value.startswith("@"):
            latest_checkpoint(value)  # says so now where there is none
    for key in ("shape_time", "texture_time"):
        curve_value(options.get(key), 0.0, key)
    check_speed(frames_per_second)


def check_speed(frames_per_second: float | None) -> None:
    """See that a video can have a speed; None is that of something else.

    Raises:
        ConfigError: It is none of the possible ones.
    """
    if frames_per_second is None:
        return
    if not (math.isfinite(frames_per_second) and SPEEDS[0] <= frames_per_second <= SPEEDS[1]):
        raise ConfigError(
            "unusable speed",
            where="fps",
            found=frames_per_second,
            expected=f"{SPEEDS[0]:g} to {SPEEDS[1]:g} frames per second",
        )


@dataclass(frozen=True)
class DatasetOptions:
    """What every pair of a data set has in common: see the arguments of ``morph_dataset``."""

    size: int = 512
    times: tuple[float, ...] = (0.5,)
    warp: str = "thin_plate_flow"
    smoothing: float | None = None
    blend: str = "multiband"
    outside: str = "source"
    mask: str = "face"
    points: str | None = None
    detector: str = "embedded"
    min_score: float | None = None
    align: str = "portrait"
    suffix: str = "png"
    quality: bool = False
    match_skin: bool = True
    frontal: bool = False


def file_name(name: str, time: float, options: DatasetOptions) -> str:
    """Name of a picture: the pair's, with the time where there are several."""
    return (
        f"{name}.{options.suffix}"
        if len(options.times) == 1
        else f"{name}_t{time:.3f}.{options.suffix}"
    )


def settings_of(options: DatasetOptions) -> dict[str, object]:
    """The options as plain values, for ``settings.json``."""
    points = None if options.points is None else str(Path(options.points).resolve())
    settings = {**vars(options), "times": list(options.times), "points": points}
    # As in folders from before there were these, which then go on.
    if not options.match_skin:
        del settings["match_skin"]
    if not options.frontal:
        del settings["frontal"]
    return settings


def checked_options(options: Mapping[str, object]) -> DatasetOptions:
    """Check the options of a data set before any work is done.

    Raises:
        ConfigError: One is unknown, or none of the possible ones.
    """
    known = DatasetOptions.__dataclass_fields__
    for key in options:
        if key not in known:
            raise ConfigError("no such option of a data set", where=key, expected=", ".join(known))
    given: dict[str, Any] = dict(options)
    try:
        times = tuple(float(time) for time in given.pop("times", (0.5,)))
        made = DatasetOptions(**given, times=times)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "not a list of times",
            where="times",
            expected="[0.5] or more numbers",
            found=options.get("times"),
        ) from error
    _check_kinds(made)
    if made.warp not in WARPS:
        raise ConfigError("no such warp", where="warp", expected=" | ".join(WARPS), found=made.warp)
    check_options(
        made.warp, {"blend": made.blend, "outside": made.outside, "mask": made.mask}, 24.0
    )
    if not made.times or not all(0 <= time <= 1 for time in made.times):
        raise ConfigError(
            "a morph has no such time", where="times", expected="0 to 1", found=list(made.times)
        )
    names = [file_name("", time, made) for time in made.times]
    if len(set(names)) < len(names):
        raise ConfigError(
            "two times are too close to each other", where="times", found=list(made.times)
        )
    for key, allowed in (
        ("align", ALIGNS),
        ("detector", DETECTORS),
        ("suffix", get_args(PictureKind)),
    ):
        if getattr(made, key) not in allowed:
            raise ConfigError(
                "no such choice", where=key, expected=" | ".join(allowed), found=getattr(made, key)
            )
    if made.smoothing is not None and not 0 <= made.smoothing < math.inf:
        raise ConfigError(
            "a warp has no such smoothing",
            where="smoothing",
            expected="0 or more",
            found=made.smoothing,
        )
    if made.min_score is not None and not 0 < made.min_score <= 1:
        raise ConfigError(
            "a face has no such score",
            where="min_score",
            expected="above 0, to 1",
            found=made.min_score,
        )
    if not 16 <= made.size <= 8192:
        raise ConfigError(
            "the frame has an unusable size",
            where="size",
            expected="16 to 8192 pixels",
            found=made.size,
        )
    if made.points is not None and not os.path.isdir(made.points):
        raise ConfigError(
            "there is no such folder of landmark files", where="points", found=made.points
        )
    return made


def _check_kinds(made: DatasetOptions) -> None:
    """See that each option has the type of its field: a Hydra config may hold anything."""
    for key, hint in get_type_hints(DatasetOptions).items():
        value, kinds = (
            getattr(made, key),
            get_args(hint) if isinstance(hint, UnionType) else (hint,),
        )
        fits = type(value) in kinds or (float in kinds and type(value) is int) or key == "times"
        if not fits and not (str in kinds and isinstance(value, Path)):
            raise ConfigError(
                "an option of another kind",
                where=key,
                found=repr(value),
                expected=" | ".join(getattr(kind, "__name__", str(kind)) for kind in kinds),
            )
