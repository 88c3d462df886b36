"""Moving pictures: out as H.264 in MP4, GIF, or a folder of numbered PNG files; in from whatever
FFmpeg decodes.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from facemorph.errors import DataError, OutputError
from facemorph.faces.files.image_output import save_image, to_bytes
from facemorph.storage.suffixes import VIDEO_SUFFIXES

SYNTHETIC_COMMENT = "synthetic image: made by facemorph"
GIF_LONGEST = 655350  # milliseconds of one frame

logger = logging.getLogger(__name__)


def write_frames(
    frames: Iterable[Tensor], path: str | Path, frames_per_second: float = 24.0
) -> list[Path]:
    """Write a sequence as a video, a GIF, or PNG files, by the path's suffix; a path without one is
    a folder.

    A file appears whole or not at all.

    Args:
        frames: Pictures ``(3, H, W)`` in [0, 1], all of one size; consumed one at a time.
        path: ``.mp4``, ``.mov``, ``.mkv``, ``.gif`` or a folder.
        frames_per_second: Speed of the video or GIF.

    Returns:
        The files written.

    Raises:
        OutputError: The suffix or the speed is unusable, there is no frame, or the file cannot be
            written.
    """
    import av

    path = Path(path)
    if not (math.isfinite(frames_per_second) and frames_per_second > 0):
        raise OutputError(
            "a video needs a positive speed", where="frames_per_second", found=frames_per_second
        )
    suffix = path.suffix.lower()
    try:
        if suffix in VIDEO_SUFFIXES:
            return [_replace(path, lambda part: _write_video(frames, part, frames_per_second))]
        if suffix == ".gif":
            return [_replace(path, lambda part: _write_gif(frames, part, frames_per_second))]
        if suffix:
            raise OutputError(
                "unknown kind of video",
                where=path,
                found=suffix,
                expected=f"{' '.join(VIDEO_SUFFIXES)} .gif, or a folder",
                remedy="Choose one of these.",
            )
        path.mkdir(parents=True, exist_ok=True)
        files = [
            save_image(frame, path / f"frame_{index:04d}.png", synthetic=True)
            for index, frame in enumerate(frames)
        ]
        if not files:
            raise OutputError("there is no frame to write", where=path)
        return files
    except (OSError, av.FFmpegError) as error:
        raise OutputError(
            "cannot be written",
            where=path,
            found=error.strerror or str(error),
            remedy="Choose a folder that you may write to and that has room.",
        ) from error


def _replace(path: Path, write: object) -> Path:
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}.part")
    try:
        write(part)  # type: ignore[operator]
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _bytes(frames: Iterable[Tensor], path: Path) -> Iterator[np.ndarray]:
    empty = True
    for frame in frames:
        empty = False
        yield to_bytes(frame)
    if empty:
        raise OutputError("there is no frame to write", where=path)


def _write_video(frames: Iterable[Tensor], part: Path, frames_per_second: float) -> None:
    import av

    formats = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
    name = formats[Path(part.stem).suffix.lower()]
    rate = Fraction(frames_per_second).limit_denominator(1000)
    with av.open(str(part), "w", format=name) as container:
        container.metadata["comment"] = SYNTHETIC_COMMENT
        stream = None
        for array in _bytes(frames, part):
            # 4:2:0 chroma needs even sides: repeat the last row or column.
            padded = np.pad(
                array, ((0, array.shape[0] % 2), (0, array.shape[1] % 2), (0, 0)), mode="edge"
            )
            if stream is None:
                stream = container.add_stream(
                    "libx264", rate=rate, options={"crf": "17", "preset": "medium"}
                )
                stream.height, stream.width, stream.pix_fmt = (
                    padded.shape[0],
                    padded.shape[1],
                    "yuv420p",
                )
            for packet in stream.encode(av.VideoFrame.from_ndarray(padded, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode() if stream is not None else ():
            container.mux(packet)


def _write_gif(frames: Iterable[Tensor], part: Path, frames_per_second: float) -> None:
    pictures = [
        Image.fromarray(array).quantize(
            256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG
        )
        for array in _bytes(frames, part)
    ]
    with part.open("wb") as file:
        pictures[0].save(
            file,
            "GIF",
            save_all=True,
            append_images=pictures[1:],
            loop=0,
            duration=min(max(20, round(1000 / frames_per_second)), GIF_LONGEST),
            comment=SYNTHETIC_COMMENT.encode(),
        )


def read_video(path: str | Path) -> Iterator[np.ndarray]:
    """Frames ``(H, W, 3)`` uint8 of a video file, one after the other.

    Raises:
        OutputError: The file is no readable video.
    """
    import av

    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, IndexError) as error:  # IndexError: no picture in it
        raise OutputError("not a readable video", where=path, found=str(error)) from error


def video_rate(path: str | Path) -> float:
    """Mean frames per second of a video file.

    Raises:
        DataError: The file is no readable video.
    """
    import av

    try:
        with av.open(str(path)) as container:
            rate = container.streams.video[0].average_rate
    except (av.FFmpegError, IndexError, OSError) as error:
        raise _unreadable(path, error) from error
    if not rate:
        raise DataError(
            "this video does not say how fast it is", where=path, expected="frames per second"
        )
    return float(rate)


def numbered_frames(path: str | Path) -> Iterator[tuple[int, np.ndarray]]:
    """Frames ``(H, W, 3)`` uint8 of a video with their numbers on the even grid of its mean rate,
    from 0.

    Numbers are missing where frames are: dropped by the camera, or damaged in the file. A file that
    is cut off ends where it is cut.

    Raises:
        DataError: The file is no readable video, or nothing in it can be decoded.
    """
    import av

    rate, last, start, damaged = video_rate(path), -1, None, 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.InvalidDataError:
                    damaged += 1
                    continue
                for frame in frames:
                    time = frame.time if frame.time is not None else (last + 1) / rate
                    start = time if start is None else start
                    number = round((time - start) * rate)
                    if number > last:
                        yield number, frame.to_ndarray(format="rgb24")
                        last = number
    except (av.FFmpegError, IndexError, OSError) as error:
        if last < 0:
            raise _unreadable(path, error) from error
        logger.warning("%s: cannot be read beyond frame %d (%s).", path, last, error)
    if damaged:
        logger.warning("%s: %d damaged frames are left out.", path, damaged)
    if last < 0:
        raise DataError("no frame of this video can be decoded", where=path)


def _unreadable(path: str | Path, error: Exception) -> DataError:
    found = "no picture in it" if isinstance(error, IndexError) else str(error)
    return DataError(
        "not a readable video", where=path, found=found, remedy="Check that it plays elsewhere."
    )
