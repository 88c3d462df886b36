"""What is checked before a morph begins: options, device and output, so that no work is done in vain."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from facemorph.apps.morphing.warp_fitting import WARPS
from facemorph.errors import ConfigError, OutputError
from facemorph.faces.files.video_io import VIDEO_SUFFIXES
from facemorph.faces.masks import read_mask_shape
from facemorph.fields.warps.blended_pairs import BLENDS, OUTSIDES
from facemorph.fields.warps.time_curves import curve_value
from facemorph.storage.runs import latest_checkpoint, names_a_checkpoint

STILLS = (".png", ".jpg", ".jpeg", ".webp")
SPEEDS = (0.1, 1000.0)                                       # frames per second
COMPANIONS = ("metrics.json", "sheet.png", "report.html", "recipe.yaml")


def beside(output: Path, ending: str) -> Path:
    """Path of a companion of ``output``: ``dir/stem.ending``."""
    return output.with_name(f"{output.stem}.{ending}")


def frame_times(output: str | Path | None, frames: int, time: float | None) -> list[float]:
    """Times of the frames of a morph: one for a still, else ``frames`` from 0 to 1.

    Raises:
        ConfigError: The time or the number of frames is none of the possible ones.
        OutputError: The output's suffix is unknown.
    """
    suffix = "" if output is None else Path(output).suffix.lower()
    if suffix and suffix not in (*STILLS, *VIDEO_SUFFIXES, ".gif"):
        raise OutputError("unknown kind of output", where=output, found=suffix, remedy="Choose one of these.",
                          expected=".mp4 .gif .png .jpg .webp, or a folder")
    if time is not None and not 0 <= time <= 1:
        raise ConfigError("a morph has no such time", where="time", expected="0 to 1", found=time)
    if suffix in STILLS or time is not None:
        if suffix and suffix not in STILLS:
            raise ConfigError("one time makes a still, not a video", where="time", found=suffix,
                              remedy="Leave --time out, or give a .png as output.")
        return [0.5 if time is None else float(time)]
    if frames < 2:
        raise ConfigError("a sequence needs two frames", where="frames", found=frames,
                          remedy="For a single picture give a .png as output and --time.")
    return [index / (frames - 1) for index in range(frames)]


def check_options(warp: str, options: Mapping[str, Any], frames_per_second: float) -> None:
    """Check the choices of a morph.

    Args:
        warp: Name of the warp, or the file of a trained one.
        options: ``blend`` and ``outside``; ``mask``, ``shape_time`` and ``texture_time`` where they are given.
        frames_per_second: Speed of a video or GIF.

    Raises:
        ConfigError: One is none of the possible ones.
        CheckpointError: There is no run of that alias.
        DataError: The mask's file is missing or malformed.
        GeometryError: The mask's points span no area.
    """
    read_mask_shape(options.get("mask", "face"))
    for key, value, allowed in (("warp", warp, WARPS), ("blend", options["blend"], BLENDS),
                                ("outside", options["outside"], OUTSIDES)):
        if value not in allowed and not (key in ("warp", "blend") and names_a_checkpoint(value)):
            raise ConfigError("no such choice", where=key, expected=" | ".join(allowed), found=value)
    for value in (warp, options["blend"]):
        if isinstance(value, str) and value.startswith("@"):
            latest_checkpoint(value)                                # says so now where there is none
    for key in ("shape_time", "texture_time"):
        curve_value(options.get(key), 0.0, key)
    if not (math.isfinite(frames_per_second) and SPEEDS[0] <= frames_per_second <= SPEEDS[1]):
        raise ConfigError("unusable speed", where="fps", found=frames_per_second,
                          expected=f"{SPEEDS[0]:g} to {SPEEDS[1]:g} frames per second")


def torch_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one.

    Raises:
        ConfigError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(
            "no such device", where="device", expected="auto, cpu or cuda", found=name
        ) from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError("no such device", where="device", expected="auto, cpu or cuda", found=name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError("no such CUDA device here", where="device", found=name,
                          expected=f"one of {torch.cuda.device_count()}", remedy="Use --device cpu.")
    return device


def check_output(output: str | Path, inputs: Iterable[object]) -> Path:
    """Check that a morph and its companions can be written and overwrite none of its inputs.

    Args:
        output: The morph's path.
        inputs: Files that it is made of; whatever is no path is left aside.

    Returns:
        The path, with a name even for ``.``.

    Raises:
        OutputError: It cannot be written, or an input would be lost.
    """
    output = Path(output)
    if output.name in ("", ".."):
        output = Path(os.path.abspath(output))                 # companions are named after it
    paths = (output, *(beside(output, ending) for ending in COMPANIONS))
    written = {os.path.realpath(path) for path in paths}
    folder = None if output.suffix else os.path.realpath(output)
    for item in inputs:
        if not isinstance(item, (str, Path)):
            continue
        real = Path(os.path.realpath(item))
        if str(real) in written or (str(real.parent) == folder and real.match("frame_*.png")):
            raise OutputError("the output would overwrite this input", where=item,
                              remedy="Choose another path with -o.")
    check_writable(output)
    return output


def check_writable(output: Path) -> None:
    """Make the output's folder and see that it can be written, before any work is done.

    Raises:
        OutputError: It cannot be.
    """
    folder = output.parent
    probe = folder / f".facemorph.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        if output.exists() and output.is_dir() == bool(output.suffix):
            raise OSError(errno.EEXIST, "a folder has the name of a file, or a file that of a folder")
    except OSError as error:
        raise OutputError("the output cannot be written", where=output, found=error.strerror or str(error),
                          remedy="Choose another path with -o.") from error
