"""Pictures into a video file, one at a time: H.264 with the right colours, that plays while it
loads.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facemorph.errors import OutputError
from facemorph.faces.files.video_sound import SoundTrack

if TYPE_CHECKING:
    from av import FFmpegError
    from av.video.stream import VideoStream

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
HIGH_DEFINITION = 720  # rows, from which players take BT.709 where a file does not say
# Numbers of ITU-T H.273. Pictures are sRGB, whose primaries are those of BT.709.
BT709, BT601, SRGB = 1, 6, 13
LIMITED = 1  # FFmpeg's number of the range 16 to 235
CLOCK = 90_000  # ticks in a second, for frames with times of their own


def through_part(path: Path, write: Callable[[Path], object]) -> Path:
    """Have a file written to a part beside it, and put it in its place when it is whole."""
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}.part")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def cannot_write(path: Path, error: OSError | FFmpegError) -> OutputError:
    """The error of a file that cannot be written, with what the system or FFmpeg says."""
    return OutputError(
        "cannot be written",
        where=path,
        found=error.strerror or str(error),
        remedy="Choose a folder that you may write to and that has room.",
    )


class VideoEncoder:
    """Context that writes a video frame by frame, so that no more than one must be in memory.

    Colours are converted with BT.709 from 720 rows on and with BT.601 below, as players guess, and
    the file says which. An error inside leaves a file that is not whole.

    Args:
        file: Where to write.
        suffix: Kind of the video: a key of ``FORMATS``.
        frames_per_second: Speed of frames without a time, else about what is expected.
        comment: What the file says about itself.
        sound: What sounds along, up to the end of the last frame.
        preset: How much time the encoder takes, in x264's words.

    Raises:
        av.FFmpegError, OSError: The file cannot be written.
    """

    def __init__(
        self,
        file: Path,
        suffix: str,
        frames_per_second: float,
        *,
        comment: str | None = None,
        sound: SoundTrack | None = None,
        preset: str = "medium",
    ) -> None:
        import av

        # The index first: a page shows the video before all of it has come.
        options = {} if suffix == ".mkv" else {"movflags": "+faststart"}
        self.container = av.open(
            os.path.abspath(file), "w", format=FORMATS[suffix], options=options
        )
        if comment is not None:
            self.container.metadata["comment"] = comment
        self.rate = Fraction(frames_per_second).limit_denominator(1000)
        self.sound, self.preset = sound, preset
        self.stream: VideoStream | None = None
        self.count = 0

    def __enter__(self) -> VideoEncoder:
        """The encoder itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what the encoder still holds, and the file's end."""
        try:
            if kind is None and self.stream is not None:
                self.container.mux(self.stream.encode())
                if self.sound is not None:
                    self.sound.finish()
        finally:
            self.container.close()

    def add(self, picture: np.ndarray[Any, Any], time: float | None = None) -> None:
        """Write a frame.

        Args:
            picture: ``(H, W, 3)`` uint8 sRGB, all of one size; an odd side is extended by one.
            time: Seconds from the start, later than those before; by the speed when not given.
        """
        import av
        from av.video.reformatter import ColorRange, Colorspace

        # 4:2:0 chroma needs even sides: repeat the last row or column.
        rows, columns = picture.shape[:2]
        picture = np.pad(picture, ((0, rows % 2), (0, columns % 2), (0, 0)), mode="edge")
        high = picture.shape[0] >= HIGH_DEFINITION
        if self.stream is None:
            self.stream = self._begin(picture, high, timed=time is not None)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709 if high else Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
        )
        if time is None:
            frame.pts, frame.time_base = self.count, 1 / self.rate
        else:
            frame.pts, frame.time_base = round(time * CLOCK), Fraction(1, CLOCK)
        self.container.mux(self.stream.encode(frame))
        self.count += 1
        if self.sound is not None:
            self.sound.write_until(float(self.count / self.rate))

    def _begin(self, picture: np.ndarray[Any, Any], high: bool, *, timed: bool) -> VideoStream:
        stream: VideoStream = self.container.add_stream(
            "libx264", rate=self.rate, options={"crf": "17", "preset": self.preset}
        )
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_primaries = BT709 if high else BT601, BT709
        context.color_trc, context.color_range = SRGB, LIMITED
        if timed:
            context.time_base = Fraction(1, CLOCK)
        if self.sound is not None:  # before the first packet, which closes the list of streams
            self.sound.attach(self.container)
        return stream
