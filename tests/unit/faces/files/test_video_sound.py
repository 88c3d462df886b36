"""Sound that goes along with a video: its pitch, its length, and that it keeps with the picture."""

import logging
from fractions import Fraction

import numpy as np
import pytest
import torch

from facemorph.errors import DataError
from facemorph.faces.files.video_io import write_frames

av = pytest.importorskip("av")

RATE = 25


def tone(seconds, rate, hertz=440.0, channels=1, silent=0.0):
    """A sine ``(channels, n)`` that begins after some silence."""
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * hertz * (time - silent)) * (time >= silent)
    return np.repeat(wave[None].astype(np.float32), channels, 0)


def write_sound(path, samples, rate, codec="pcm_s16le", begin=0.0):
    with av.open(str(path), "w") as container:
        _add_sound(container, _sound_stream(container, samples, rate, codec), samples, rate, begin)
    return path


def _sound_stream(container, samples, rate, codec):
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
    return container.add_stream(codec, rate=rate, layout=layout)


def _add_sound(container, stream, samples, rate, begin):
    packed = np.ascontiguousarray((samples.T * 32767).astype(np.int16).reshape(1, -1))
    frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=stream.layout.name)
    frame.sample_rate, frame.pts = rate, round(begin * rate)
    for packet in (*stream.encode(frame), *stream.encode()):
        container.mux(packet)


def write_talk(path, samples, rate, pictures_begin=0.0, sound_begins=0.0):
    """A video with a sound, of which either may begin later."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        sound = _sound_stream(container, samples, rate, "pcm_s16le")
        for index in range(2 * RATE):
            frame = av.VideoFrame(32, 32, "yuv420p")
            frame.pts, frame.time_base = index + round(pictures_begin * RATE), Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        _add_sound(container, sound, samples, rate, sound_begins)
    return path


def flashing(seconds, flash=None):
    for index in range(round(seconds * RATE)):
        yield torch.full((3, 32, 32), 0.9 if flash is not None and index >= flash * RATE else 0.1)


def heard(path):
    """Samples of the first channel on the clock of the video, and samples per second."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.name == "aac"
        rate, parts = stream.rate, {}
        for frame in container.decode(stream):
            parts[round(frame.time * rate)] = frame.to_ndarray()[0]
    whole = np.zeros(max(at + len(part) for at, part in parts.items()), np.float32)
    for at, part in parts.items():
        whole[max(at, 0) : at + len(part)] = part[max(-at, 0) :]
    return whole, rate


def pitch(samples, rate):
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / rate)[power.argmax()])


def onset(samples, rate):
    return float(np.argmax(np.abs(samples) > 0.1)) / rate


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
@pytest.mark.parametrize(
    ("rate", "channels", "expected"), [(44100, 1, 44100), (48000, 2, 48000), (96000, 6, 48000)]
)
def test_pitch_and_length_come_back(tmp_path, name, rate, channels, expected):
    source = write_sound(tmp_path / "tone.wav", tone(3, rate, channels=channels), rate)
    write_frames(flashing(2), tmp_path / name, RATE, sound=source)
    samples, found = heard(tmp_path / name)
    assert found == expected
    assert len(samples) / found == pytest.approx(2, abs=1024 / found)  # whole blocks of AAC
    assert pitch(samples, found) == pytest.approx(440, abs=0.6)
    assert onset(samples, found) < 0.01
    with av.open(str(tmp_path / name)) as container:
        assert len(list(container.decode(video=0))) == 50
        assert container.streams.audio[0].channels == min(channels, 2)


def test_a_short_sound_ends_before_the_pictures(tmp_path):
    source = write_sound(tmp_path / "tone.wav", tone(0.5, 8000), 8000)
    write_frames(flashing(2), tmp_path / "a.mp4", RATE, sound=source)
    samples, rate = heard(tmp_path / "a.mp4")
    assert rate == 8000
    assert len(samples) / rate == pytest.approx(0.5, abs=1024 / 8000)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert len(list(container.decode(video=0))) == 50


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_picture_and_sound_start_together(tmp_path, name):
    """A flash and a tone at one second, written twice: the second time from the first video."""
    source = write_sound(tmp_path / "tone.wav", tone(2, 48000, 1000, silent=1), 48000)
    for path in (tmp_path / name, tmp_path / f"again_{name}"):
        write_frames(flashing(2, flash=1), path, RATE, sound=source)
        with av.open(str(path)) as container:
            light = [
                (f.time, f.to_ndarray(format="gray").mean()) for f in container.decode(video=0)
            ]
        assert light[0][0] == pytest.approx(0, abs=1e-3)
        assert next(time for time, mean in light if mean > 120) == pytest.approx(1, abs=1e-3)
        assert onset(*heard(path)) == pytest.approx(1, abs=0.004)
        source = path


@pytest.mark.parametrize(
    ("pictures", "sound", "expected"), [(0.0, 0.4, 0.9), (0.4, 0.0, 0.1), (0.2, 0.2, 0.5)]
)
def test_what_begins_later_stays_later(tmp_path, pictures, sound, expected):
    samples = tone(1.5, 48000, 1000, silent=0.5)
    talk = write_talk(tmp_path / "talk.mkv", samples, 48000, pictures, sound)
    write_frames(flashing(2), tmp_path / "a.mp4", RATE, sound=talk)
    assert onset(*heard(tmp_path / "a.mp4")) == pytest.approx(expected, abs=0.004)


def test_a_gap_in_the_sound_stays(tmp_path):
    with av.open(str(tmp_path / "gap.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for begin in (0, 8000):
            frame = av.AudioFrame.from_ndarray(
                (tone(0.5, 8000, 500) * 32767).astype(np.int16), format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = 8000, begin
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    write_frames(flashing(1.5), tmp_path / "a.mp4", RATE, sound=tmp_path / "gap.mkv")
    samples, rate = heard(tmp_path / "a.mp4")
    assert np.abs(samples[round(0.6 * rate) : round(0.9 * rate)]).max() < 0.02
    for begin in (0.1, 1.1):
        assert np.abs(samples[round(begin * rate) : round((begin + 0.3) * rate)]).max() > 0.4


def test_a_damaged_piece_of_the_sound_is_left_out(tmp_path):
    path = tmp_path / "talk.mkv"
    write_frames(
        flashing(3),
        path,
        RATE,
        sound=write_sound(tmp_path / "tone.wav", tone(3, 48000), 48000),
    )
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        content = path.read_bytes()
        for packet in packets:
            if 1 <= packet.pts * packet.time_base < 1.5:
                content = content.replace(bytes(packet), b"\xff" * packet.size)
    path.write_bytes(content)
    write_frames(flashing(3), tmp_path / "a.mp4", RATE, sound=path)
    samples, rate = heard(tmp_path / "a.mp4")
    assert len(samples) / rate == pytest.approx(3, abs=1024 / rate)
    for begin in (0.2, 2):
        piece = samples[round(begin * rate) : round((begin + 0.7) * rate)]
        assert pitch(piece, rate) == pytest.approx(440, abs=2)


def test_an_interrupt_cuts_the_sound_with_the_pictures(tmp_path):
    def stopped():
        yield from flashing(1)
        raise KeyboardInterrupt

    source = write_sound(tmp_path / "tone.wav", tone(3, 48000), 48000)
    with pytest.raises(KeyboardInterrupt):
        write_frames(stopped(), tmp_path / "a.mp4", RATE, sound=source)
    samples, rate = heard(tmp_path / "a.mp4")
    assert len(samples) / rate == pytest.approx(1, abs=1024 / rate)
    assert pitch(samples, rate) == pytest.approx(440, abs=1)


def test_a_file_without_sound_gives_none(tmp_path, caplog):
    write_frames(flashing(0.2), tmp_path / "mute.mp4", RATE)
    with caplog.at_level(logging.WARNING):
        write_frames(flashing(0.2), tmp_path / "a.mp4", RATE, sound=tmp_path / "mute.mp4")
    assert not caplog.text  # nothing is lost
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert not container.streams.audio
        assert len(list(container.decode(video=0))) == 5


@pytest.mark.parametrize("rate", [2_063_564_862, 1])
def test_a_sound_whose_samples_per_second_are_a_mistake(tmp_path, caplog, rate):
    from facemorph.faces.files.video_sound import open_sound

    path = write_sound(tmp_path / "tone.wav", tone(0.5, 16_000), 16_000)
    content = path.read_bytes()
    place = content.index(b"fmt ") + 12
    assert int.from_bytes(content[place : place + 4], "little") == 16_000
    path.write_bytes(content[:place] + rate.to_bytes(4, "little") + content[place + 4 :])
    assert open_sound(path) is None
    assert f"{rate} samples per second" in caplog.text


@pytest.mark.parametrize(
    ("name", "made"), [("a.gif", "a.gif"), ("frames", "frames/frame_0000.png")]
)
def test_an_output_that_cannot_sound_is_said(tmp_path, caplog, name, made):
    source = write_sound(tmp_path / "tone.wav", tone(1, 8000), 8000)
    with caplog.at_level(logging.WARNING):
        write_frames(flashing(0.2), tmp_path / name, RATE, sound=source)
    assert f"{name}: cannot carry sound" in caplog.text
    assert (tmp_path / made).is_file()


@pytest.mark.parametrize("content", [None, b"no sound at all" * 100])
def test_a_sound_that_cannot_be_read(tmp_path, content):
    if content is not None:
        (tmp_path / "talk.mp3").write_bytes(content)
    with pytest.raises(DataError, match=r"talk\.mp3: not a readable sound") as caught:
        write_frames(flashing(0.2), tmp_path / "a.mp4", RATE, sound=tmp_path / "talk.mp3")
    assert caught.value.remedy
    assert not (tmp_path / "a.mp4").exists()
