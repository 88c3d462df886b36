"""Sound that goes along with a video: the first of a file, as AAC."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facemorph.errors import DataError
from facemorph.storage.files import regular

if TYPE_CHECKING:
    from av import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer

# Samples per second that AAC knows; others become the last of them.
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
SLOWEST, FASTEST = 1000, 1_000_000  # samples per second of a sound that is no mistake
GAP = 0.05  # seconds without sound in the source, from which silence is written
BITS = 96_000  # a second and channel, at most

logger = logging.getLogger(__name__)


class SoundTrack:
    """The first sound of a file, written beside the pictures of a video up to their end.

    It begins where the pictures of its own file begin, so that picture and sound stay together.
    Made by ``open_sound``; use as a context, which closes the file.
    """

    def __init__(self, path: Path, source: Any) -> None:
        self.path, self.source = path, source
        self.found = source.streams.audio[0]
        rate = self.found.rate
        self.rate = rate if rate in RATES else RATES[-1]
        self.layout = "mono" if self.found.channels == 1 else "stereo"
        self.blocks = self._blocks()
        self.rest = np.zeros((self._channels, 0), np.float32)
        self.written = 0
        self.container: OutputContainer | None = None
        self.stream: AudioStream | None = None

    def __enter__(self) -> SoundTrack:
        """The track itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file that it comes from."""
        self.source.close()

    def attach(self, container: OutputContainer) -> None:
        """Give a video its sound; before its first packet is written."""
        self.container = container
        self.stream = container.add_stream("aac", rate=self.rate, layout=self.layout)
        self.stream.bit_rate = self._channels * min(BITS, 4 * self.rate)

    def write_until(self, seconds: float) -> None:
        """Write what sounds up to a time from the start, or to the sound's end."""
        import av

        end = round(seconds * self.rate)
        while self.written < end:
            if not self.rest.shape[1]:
                block = next(self.blocks, None)
                if block is None:
                    return
                self.rest = block
            now, self.rest = np.split(self.rest, [end - self.written], axis=1)
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(now), format="fltp", layout=self.layout
            )
            frame.sample_rate, frame.pts = self.rate, self.written
            frame.time_base = Fraction(1, self.rate)
            self._encode(frame)
            self.written += now.shape[1]

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._encode(None)

    @property
    def _channels(self) -> int:
        return 1 if self.layout == "mono" else 2

    def _encode(self, frame: AudioFrame | None) -> None:
        if self.stream is not None and self.container is not None:
            self.container.mux(self.stream.encode(frame))

    def _blocks(self) -> Iterator[np.ndarray[Any, Any]]:
        """Samples ``(channels, n)``, one block after the other from the start of the pictures."""
        import av

        expected, skip, first = self._start(), 0, True
        resampler = av.AudioResampler("fltp", self.layout, self.rate)
        try:
            for frame in self._decoded():
                if not SLOWEST <= frame.sample_rate <= FASTEST:
                    raise ValueError(f"{frame.sample_rate} samples per second")
                time = frame.time if frame.time is not None else expected or 0.0
                late = 0.0 if expected is None else time - expected
                expected = time + frame.samples / frame.sample_rate
                if first:  # what sounds before the first picture is left out
                    skip = max(0, round(-late * self.rate))
                if late > (0 if first else GAP):
                    yield from self._silence(late)
                first = False
                frame.pts = None  # samples count from here on, not times
                for part in resampler.resample(frame):
                    block = part.to_ndarray()
                    skip, block = max(0, skip - block.shape[1]), block[:, skip:]
                    if block.shape[1]:
                        yield block
            for part in resampler.resample(None):
                yield part.to_ndarray()
        except (av.FFmpegError, ValueError) as error:  # ValueError: another kind of sound begins
            logger.warning(
                "%s: its sound cannot be read beyond %.1f s (%s).",
                self.path,
                expected or 0.0,
                error,
            )

    def _decoded(self) -> Iterator[AudioFrame]:
        import av

        for packet in self.source.demux(self.found):
            try:
                frames = packet.decode()
            except av.FFmpegError:  # AAC has errors of its own
                continue  # a gap
            yield from frames

    def _silence(self, seconds: float) -> Iterator[np.ndarray[Any, Any]]:
        rest = round(seconds * self.rate)
        while rest > 0:
            yield np.zeros((self._channels, min(rest, self.rate)), np.float32)
            rest -= self.rate

    def _start(self) -> float | None:
        """Time of the first picture in the file of the sound, None where there is no picture."""
        from av.stream import Disposition

        for stream in self.source.streams.video:
            cover = stream.disposition & Disposition.attached_pic
            if not cover and stream.start_time is not None:
                return float(stream.start_time * stream.time_base)
        return None


def open_media(path: str | Path) -> InputContainer:
    """A video or sound file, opened to be read, in whatever encoding its titles are.

    Raises:
        av.FFmpegError, OSError: The file is missing, or is neither.
    """
    import av

    # An absolute path: FFmpeg takes what stands before a colon, as in 10:30.mp4, for a protocol.
    return av.open(os.path.abspath(regular(Path(path))), metadata_errors="replace")


def open_sound(path: str | Path) -> SoundTrack | None:
    """The first sound of a video or sound file, to be written with a video.

    Returns:
        None where the file has no sound, or, with a warning, none that can be decoded.

    Raises:
        DataError: The file is missing, or neither a video nor a sound.
    """
    import av

    path = Path(path)
    try:
        source = open_media(path)
    except (av.FFmpegError, OSError) as error:
        raise DataError(
            "not a readable sound",
            where=path,
            expected="a video or sound file",
            found=error.strerror or str(error),
            remedy="Check that it plays elsewhere.",
        ) from error
    sounds = source.streams.audio
    if sounds and sounds[0].codec_context is not None:
        if SLOWEST <= (rate := sounds[0].rate) <= FASTEST:
            return SoundTrack(path, source)
        logger.warning(
            "%s: its sound says that it has %d samples per second, and is left out.", path, rate
        )
    elif sounds:
        logger.warning("%s: its sound is of a kind that cannot be decoded, and is left out.", path)
    source.close()
    return None
