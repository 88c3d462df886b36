"""Moving pictures: out as H.264 in MP4, GIF, or a folder of numbered PNG files; in from whatever
FFmpeg decodes.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from facemorph import console
from facemorph.errors import DataError, OutputError
from facemorph.faces.choices import FrameNames, check_form
from facemorph.faces.files.frame_folders import write_folder
from facemorph.faces.files.gif_frames import gif_bytes
from facemorph.faces.files.image_io import HDR
from facemorph.faces.files.image_output import to_bytes
from facemorph.faces.files.video_encoder import VideoEncoder, cannot_write, through_part
from facemorph.faces.files.video_sound import SoundTrack, open_media, open_sound
from facemorph.storage.interrupts import HeldInterrupts
from facemorph.storage.suffixes import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.stream import VideoStream

MOST_ASPECT = 4.0  # width of a pixel in its height, or the other way round
SYNTHETIC_COMMENT = "synthetic image: made by facemorph"

logger = logging.getLogger(__name__)


def write_frames(
    frames: Iterable[Tensor],
    path: str | Path,
    frames_per_second: float = 24.0,
    sound: str | Path | None = None,
    *,
    names: FrameNames = "index",
    shares: Sequence[float] | None = None,
    max_megabytes: float | None = None,
) -> list[Path]:
    """Write a sequence as a video, a GIF, or PNG files, by the path's suffix; a path without one is
    a folder.

    A file appears whole or not at all. Ctrl-C while a frame is made ends the sequence there: what
    there is of it is written and kept, and the KeyboardInterrupt goes on.

    Args:
        frames: Pictures ``(3, H, W)`` in [0, 1], all of one size; consumed one at a time.
        path: ``.mp4``, ``.mov``, ``.mkv``, ``.gif`` or a folder.
        frames_per_second: Speed of the video or GIF.
        sound: A video or sound file whose first sound goes along, cut to the length of the frames.
            It is left out with a warning where it has none, or for a GIF or folder.
        names: What the files of a folder are named by, see ``frame_folders.write_folder``.
        shares: How far each frame is, in [0, 1], for the names and the table of a folder.
        max_megabytes: Largest size of a GIF, see ``gif_frames.gif_bytes``.

    Returns:
        The files written; beside those of a folder lies ``times.csv``.

    Raises:
        DataError: The file of the sound cannot be read.
        OutputError: The suffix or the speed is unusable, there is no frame, or the file cannot be
            written.
    """
    import av

    path = Path(path)
    if not (math.isfinite(frames_per_second) and frames_per_second > 0):
        raise OutputError(
            "a video needs a positive speed", where="frames_per_second", found=frames_per_second
        )
    if path.suffix and path.suffix.lower() not in (*VIDEO_SUFFIXES, ".gif"):
        raise OutputError(
            "unknown kind of video",
            where=path,
            found=path.suffix.lower(),
            expected=f"{' '.join(VIDEO_SUFFIXES)} .gif, or a folder",
            remedy="Choose one of these.",
        )
    check_form(path, names, max_megabytes)
    with _sound_for(path, sound) as track, HeldInterrupts() as held:
        shown = held.items(frames)
        try:
            if not path.suffix:
                files = write_folder(shown, path, frames_per_second, names, shares)
            elif path.suffix.lower() == ".gif":
                arrays = list(_bytes(shown, path))
                content = gif_bytes(
                    arrays, path, frames_per_second, SYNTHETIC_COMMENT, max_megabytes
                )
                files = [through_part(path, lambda part: part.write_bytes(content))]
            else:
                files = _write(shown, path, frames_per_second, track)
        except (OSError, av.FFmpegError) as error:
            raise cannot_write(path, error) from error
        finally:
            if held.interrupt is not None and not held.count:
                raise held.interrupt
        if held.interrupted:
            console.err.print(f"interrupted; frames kept in {path}: {held.count}", markup=False)
        if held.interrupt is not None:
            raise held.interrupt
    return files


def _sound_for(path: Path, sound: str | Path | None) -> SoundTrack | AbstractContextManager[None]:
    track = None if sound is None else open_sound(sound)
    if track is not None and path.suffix.lower() not in VIDEO_SUFFIXES:
        logger.warning("%s: cannot carry sound; that of %s is left out.", path, sound)
        track.source.close()
        track = None
    return track or nullcontext()


def _write(
    frames: Iterable[Tensor], path: Path, frames_per_second: float, sound: SoundTrack | None
) -> list[Path]:
    def write(part: Path) -> None:
        suffix = path.suffix.lower()
        with VideoEncoder(
            part, suffix, frames_per_second, comment=SYNTHETIC_COMMENT, sound=sound
        ) as encoder:
            for array in _bytes(frames, path):
                encoder.add(array)

    return [through_part(path, write)]


def _bytes(frames: Iterable[Tensor], path: Path) -> Iterator[np.ndarray]:
    empty = True
    for frame in frames:
        empty = False
        yield to_bytes(frame)
    if empty:
        raise OutputError("there is no frame to write", where=path)


def read_video(path: str | Path) -> Iterator[np.ndarray]:
    """Frames ``(H, W, 3)`` uint8 of a video file, one after the other.

    Raises:
        OutputError: The file is no readable video.
    """
    import av

    try:
        with open_media(path) as container:
            aspect = _aspect(container.streams.video[0])
            for frame in container.decode(video=0):
                yield upright(frame, aspect)
    except (av.FFmpegError, IndexError) as error:  # IndexError: no picture in it
        raise OutputError("not a readable video", where=path, found=str(error)) from error


def upright(frame: VideoFrame, aspect: float = 1.0) -> np.ndarray:
    """A decoded frame ``(H, W, 3)`` uint8 as players show it: phones note how they were held,
    cameras that their pixels are no squares.

    Args:
        frame: Of PyAV; ``rotation`` is counter-clockwise in degrees.
        aspect: Width of a pixel in its height.
    """
    if aspect == 1:
        array = frame.to_ndarray(format="rgb24")
    else:
        array = frame.to_ndarray(format="rgb24", width=round(frame.width * aspect))
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(array, quarters)) if quarters else array


def _aspect(stream: VideoStream) -> float:
    """Width of a pixel in its height; 1 where the file says nothing or nonsense."""
    found = float(stream.sample_aspect_ratio or 1)
    return found if 1 / MOST_ASPECT <= found <= MOST_ASPECT else 1.0


def _say_tones(stream: VideoStream, path: str | Path) -> None:
    """Warn of tones that are not converted."""
    context = stream.codec_context
    transfer = None if context is None else HDR.get(int(context.color_trc))
    if transfer is not None:
        logger.warning(
            "%s: its tones are of high dynamic range (%s), which is not converted: the pictures "
            "are too dull. Export it in SDR (BT.709).",
            path,
            transfer,
        )


def video_rate(path: str | Path) -> float:
    """Mean frames per second of a video file.

    Raises:
        DataError: The file is no readable video.
    """
    import av

    try:
        with open_media(path) as container:
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
        DataError: The file is no readable video, nothing in it can be decoded, or its pictures
            change their size.
    """
    import av

    rate, last, start, damaged = video_rate(path), -1, None, 0
    try:
        with open_media(path) as container:
            stream = container.streams.video[0]
            aspect = _aspect(stream)
            _say_tones(stream, path)
            size: tuple[int, ...] | None = None
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
                        picture = upright(frame, aspect)
                        size = picture.shape if size is None else size
                        if picture.shape != size:
                            raise _another_size(path, number, size, picture.shape)
                        yield number, picture
                        last = number
    except (av.FFmpegError, IndexError, OSError) as error:
        if last < 0:
            raise _unreadable(path, error) from error
        logger.warning("%s: cannot be read beyond frame %d (%s).", path, last, error)
    if damaged:
        logger.warning("%s: %d damaged frames are left out.", path, damaged)
    if last < 0:
        raise DataError("no frame of this video can be decoded", where=path)


def _another_size(
    path: str | Path, number: int, first: tuple[int, ...], size: tuple[int, ...]
) -> DataError:
    return DataError(
        "the pictures of this video change their size",
        where=f"{path}, frame {number}",
        expected=f"{first[1]}x{first[0]}",
        found=f"{size[1]}x{size[0]}",
        remedy="Cut it there, or convert it to one size.",
    )


def _unreadable(path: str | Path, error: Exception) -> DataError:
    found = "no picture in it" if isinstance(error, IndexError) else str(error)
    return DataError(
        "not a readable video", where=path, found=found, remedy="Check that it plays elsewhere."
    )
