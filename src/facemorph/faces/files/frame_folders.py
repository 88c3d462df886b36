"""Sequences as folders of PNG files, with a table of their times."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import Tensor

from facemorph.errors import ImageError, OutputError
from facemorph.faces.choices import FrameNames
from facemorph.faces.files.image_output import read_synthetic_tag, save_image
from facemorph.storage.files import write_whole

TIMES = "times.csv"

logger = logging.getLogger(__name__)


def write_folder(
    frames: Iterable[Tensor],
    folder: Path,
    frames_per_second: float,
    names: FrameNames = "index",
    shares: Sequence[float] | None = None,
) -> list[Path]:
    """Write a sequence as PNG files, and ``times.csv``: file, percent of the sequence, seconds.

    Args:
        frames: Pictures ``(3, H, W)``; consumed one at a time.
        folder: Made if it is not there.
        frames_per_second: Speed, for the seconds.
        names: ``frame_0012.png`` by ``index``, ``frame_050.00.png`` by ``percent`` or
            ``frame_0000.480.png`` by ``time`` in seconds.
        shares: How far each frame is, in [0, 1]; needed by ``percent``, in the table if given.

    Returns:
        The pictures.

    Raises:
        OutputError: There is no frame, ``percent`` has no shares, or a file cannot be written.
    """
    if names == "percent" and shares is None:
        raise OutputError(
            "these frames have no percent of a whole",
            where="names",
            expected="index or time",
            found=names,
        )
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    files, lines = [], ["file,percent,seconds"]
    for index, frame in enumerate(frames):
        percent = None if shares is None else 100 * shares[index]
        seconds = index / frames_per_second
        name = _name(names, index, percent, seconds)
        files.append(save_image(frame, folder / name, synthetic=True))
        lines.append(f"{name},{'' if percent is None else f'{percent:.4f}'},{seconds:.6f}")
    if not files:
        if new:
            folder.rmdir()
        raise OutputError("there is no frame to write", where=folder)
    write_whole(folder / TIMES, ("\n".join(lines) + "\n").encode())
    _remove_older(folder, files)
    return files


def _name(names: FrameNames, index: int, percent: float | None, seconds: float) -> str:
    if names == "percent" and percent is not None:
        return f"frame_{percent:06.2f}.png"
    return f"frame_{seconds:08.3f}.png" if names == "time" else f"frame_{index:04d}.png"


def _remove_older(folder: Path, new: Sequence[Path]) -> None:
    """Remove what an earlier, longer run left in a folder: frames of ours beyond the new ones.

    Frames that somebody else made stay, and are named.
    """
    others: list[Path] = []
    removed = 0
    for path in sorted(set(folder.glob("frame_*.png")) - set(new)):
        try:
            ours = read_synthetic_tag(path) is not None
        except ImageError:
            ours = False
        if ours:
            path.unlink()
            removed += 1
        else:
            others.append(path)
    if removed:
        logger.warning("%s: %d frames of an earlier run are removed.", folder, removed)
    if others:
        logger.warning(
            "%s: %d frames that are not of this run are there too, the first is %s.",
            folder,
            len(others),
            others[0].name,
        )
