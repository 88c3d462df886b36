"""Options of a morph, checked before any work is done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

from facemorph.errors import ConfigError, OutputError
from facemorph.faces.choices import MASKS
from facemorph.fields.warps.choices import BLENDS, OUTSIDES
from facemorph.fields.warps.time_curves import curve_value
from facemorph.storage.runs import latest_checkpoint, names_a_checkpoint
from facemorph.storage.suffixes import STILLS, VIDEO_SUFFIXES

ClosedForm = Literal["thin_plate_flow", "tps", "piecewise_affine"]
TrainedWarp = Literal["siren_residual", "siren", "neural_ode", "conjugate_flow"]
Style = Literal["complete", "combined", "splicing"]
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


def frame_times(output: str | Path | None, frames: int, time: float | None) -> list[float]:
    """Times of the frames of a morph: one for a still, else ``frames`` from 0 to 1.

    Raises:
        ConfigError: The time or the number of frames is none of the possible ones.
        OutputError: The output's suffix is unknown.
    """
    suffix = "" if output is None else Path(output).suffix.lower()
    if suffix and suffix not in (*STILLS, *VIDEO_SUFFIXES, ".gif"):
        raise OutputError(
            "unknown kind of output",
            where=output,
            found=suffix,
            remedy="Choose one of these.",
            expected=".mp4 .gif .png .jpg .webp, or a folder",
        )
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
    if not (math.isfinite(frames_per_second) and SPEEDS[0] <= frames_per_second <= SPEEDS[1]):
        raise ConfigError(
            "unusable speed",
            where="fps",
            found=frames_per_second,
            expected=f"{SPEEDS[0]:g} to {SPEEDS[1]:g} frames per second",
        )
