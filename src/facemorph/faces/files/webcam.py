"""Pictures of a camera at this computer, one after the other or recorded to a video."""

from __future__ import annotations

import errno
import logging
import math
import platform
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facemorph import console
from facemorph.errors import ConfigError, DataError, OutputError
from facemorph.faces.files.video_encoder import VideoEncoder, cannot_write, through_part
from facemorph.storage.interrupts import HeldInterrupts
from facemorph.storage.suffixes import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer

# FFmpeg's name of the cameras of a system.
DEVICES = {"Linux": "v4l2", "Darwin": "avfoundation", "Windows": "dshow"}
USUAL_RATE = 30.0  # frames per second
PATIENCE = 10.0  # seconds that a camera may give nothing

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """What a camera gave.

    Attributes:
        frames: How many.
        seconds: Time from the first to the last.
        frames_per_second: As it was measured, which is seldom what the camera promises.
    """

    frames: int
    seconds: float
    frames_per_second: float


def webcam_number(name: str) -> int:
    """The number of the camera that ``webcam:N`` names, from 0.

    Raises:
        ConfigError: It is not that.
    """
    match = re.fullmatch(r"webcam:(\d{1,3})", name, re.ASCII)
    if match is None:
        raise ConfigError(
            "not a camera",
            where=name,
            expected="webcam:N, such as webcam:0 for the first",
            remedy="Give its number.",
        )
    return int(match[1])


def webcam_frames(name: str, seconds: float) -> Iterator[np.ndarray[Any, Any]]:
    """Frames ``(H, W, 3)`` uint8 of a camera, one after the other as they come.

    Args:
        name: ``webcam:N``.
        seconds: How long, from the first frame.

    Raises:
        ConfigError: The name or the length is unusable.
        DataError: The camera is not there, cannot be used, or gives no picture.
    """
    return (picture for _, picture in _frames(name, seconds))


def record_webcam(name: str, path: str | Path, seconds: float) -> Recording:
    """Record a camera to a video with the times at which its frames came, for what reads videos.

    Ctrl-C ends the recording early: what there is of it is kept, and nothing is raised.

    Args:
        name: ``webcam:N``.
        path: ``.mp4``, ``.mov`` or ``.mkv``; it appears whole or not at all.
        seconds: How long, from the first frame.

    Raises:
        ConfigError: The name or the length is unusable.
        DataError: The camera is not there, cannot be used, or gives fewer than two pictures.
        OutputError: The file cannot be written.
        KeyboardInterrupt: Ctrl-C came before the second picture.
    """
    import av

    path, times = Path(path), list[float]()
    suffix = path.suffix.lower()
    if suffix not in VIDEO_SUFFIXES:
        raise OutputError(
            "unknown kind of video",
            where=path,
            found=suffix or "a name without one",
            expected=" ".join(VIDEO_SUFFIXES),
            remedy="Choose one of these.",
        )

    def write(part: Path) -> None:
        # A slower preset would lose frames.
        with VideoEncoder(part, suffix, USUAL_RATE, preset="veryfast") as encoder:
            for moment, picture in held.items(_frames(name, seconds)):
                encoder.add(picture, moment)
                times.append(moment)
        if len(times) < 2:  # no speed can be told of one
            raise held.interrupt or DataError(
                "this camera gives no pictures", where=name, found=f"{len(times)} of two or more"
            )

    with HeldInterrupts() as held:
        try:
            through_part(path, write)
        except (OSError, av.FFmpegError) as error:
            raise cannot_write(path, error) from error
        if held.interrupted:
            console.err.print(f"stopped; frames kept in {path}: {len(times)}", markup=False)
    return Recording(len(times), times[-1], (len(times) - 1) / times[-1])


def _frames(name: str, seconds: float) -> Iterator[tuple[float, np.ndarray[Any, Any]]]:
    """Frames of a camera with their times in seconds from the first."""
    if not (math.isfinite(seconds) and seconds > 0):
        raise ConfigError("a recording needs a positive length", where="seconds", found=seconds)
    return _timed(name, _open_camera(name), seconds)


def _timed(
    name: str, container: InputContainer, seconds: float
) -> Iterator[tuple[float, np.ndarray[Any, Any]]]:
    import av

    start, last = None, -math.inf
    with container:
        try:
            for packet in _packets(container):
                try:
                    frames = packet.decode()
                except av.InvalidDataError:
                    continue  # the first of some cameras
                for frame in frames:
                    now = frame.time if frame.time is not None else time.monotonic()
                    start = now if start is None else start
                    if now - start >= seconds:
                        return
                    if now - start > last:
                        last = now - start
                        yield last, frame.to_ndarray(format="rgb24")
        except (av.FFmpegError, OSError) as error:
            if start is None:
                raise _unusable(name, error) from error
            logger.warning("%s: gives nothing after %.1f s (%s).", name, last, error)
    if start is None:
        raise DataError(
            "this camera gives no picture",
            where=name,
            remedy="Close other programs that use it, and plug it in again.",
        )


def _packets(container: InputContainer) -> Iterator[Packet]:
    """What a camera gives; some say that there is nothing yet instead of waiting."""
    heard = time.monotonic()
    while time.monotonic() - heard < PATIENCE:
        try:
            for packet in container.demux(video=0):
                yield packet
                heard = time.monotonic()
            return
        except BlockingIOError:
            time.sleep(0.005)


def _open_camera(name: str) -> InputContainer:
    import av

    number, system = webcam_number(name), platform.system()
    # Cameras of Macs refuse FFmpeg's own 29.97.
    options = {"framerate": "30"} if system == "Darwin" else {}
    try:
        return av.open(_address(name, number), format=DEVICES.get(system, "v4l2"), options=options)
    except (av.FFmpegError, OSError, ValueError) as error:  # ValueError: an FFmpeg without cameras
        raise _unusable(name, error) from error


def _address(name: str, number: int) -> str:
    """What FFmpeg calls a camera."""
    system = platform.system()
    if system == "Darwin":
        return f"{number}:none"  # and no microphone
    if system == "Windows":
        found = _cameras()
        if number >= len(found):
            raise FileNotFoundError(errno.ENOENT, f"there is no camera {number}", name)
        return f"video={found[number]}"
    return f"/dev/video{number}"


def _cameras() -> list[str]:
    """Names of the cameras that the system shows."""
    system = platform.system()
    if system not in ("Darwin", "Windows"):
        return sorted(str(path) for path in Path("/dev").glob("video[0-9]*"))
    try:
        from av.device import enumerate_input_devices

        devices = enumerate_input_devices(DEVICES[system])
    except (ImportError, OSError, ValueError):  # an older PyAV, or one without cameras
        return []
    # Windows opens them by name, a Mac by number.
    return [
        device.name if system == "Windows" else f"{device.name} {device.description}"
        for device in devices
        if "video" in device.media_types
    ]


def _unusable(name: str, error: Exception) -> DataError:
    number, found = webcam_number(name), ", ".join(_cameras())
    remedy = "Plug a camera in, or give the number of one that is there."
    if isinstance(error, PermissionError):
        remedy = "Allow it: on Linux, your user must be in the group 'video'."
    elif getattr(error, "errno", None) == errno.EBUSY:
        remedy = "Close the program that uses it."
    elif platform.system() == "Darwin":
        remedy = "Plug a camera in, and allow the terminal to use it in the system's settings."
    reason = getattr(error, "strerror", None) or str(error)
    where = f" at /dev/video{number}" if platform.system() == "Linux" else ""
    return DataError(
        "this camera cannot be used",
        where=name,
        expected=f"a camera{where}",
        found=f"{reason}; cameras: {found or 'none'}",
        remedy=remedy,
    )
