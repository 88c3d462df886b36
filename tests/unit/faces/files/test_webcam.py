"""Cameras: their names, what is said where there is none, and frames by way of a file."""

import errno
import platform
import signal

import numpy as np
import pytest
import torch

from facemorph.errors import ConfigError, DataError, OutputError
from facemorph.faces.files import webcam
from facemorph.faces.files.video_encoder import VideoEncoder
from facemorph.faces.files.video_io import numbered_frames, video_rate, write_frames
from facemorph.faces.files.webcam import record_webcam, webcam_frames, webcam_number

av = pytest.importorskip("av")

# Of a camera that gives about 20 frames in a second, and loses two of them.
TIMES = [0.0, 0.052, 0.1, 0.148, 0.201, 0.35, 0.4, 0.449, 0.503, 0.55]


def grey(value):
    return torch.full((3, 48, 64), value / 255)


def put_camera(monkeypatch, path, times):
    """A file in the place of a camera, whose clock does not begin at 0."""
    with VideoEncoder(path, ".mkv", 20) as encoder:
        for index, time in enumerate(times):
            picture = np.full((48, 64, 3), 20 * index + 10, np.uint8)
            encoder.add(picture, time + 3)
    monkeypatch.setattr(webcam, "_open_camera", lambda name: av.open(str(path)))


@pytest.fixture
def camera(tmp_path, monkeypatch):
    put_camera(monkeypatch, tmp_path / "camera.mkv", TIMES)
    return tmp_path / "camera.mkv"


@pytest.mark.parametrize(("name", "number"), [("webcam:0", 0), ("webcam:12", 12)])
def test_names(name, number):
    assert webcam_number(name) == number


@pytest.mark.parametrize(
    "name", ["webcam", "webcam:", "webcam:x", "webcam:-1", "cam:0", "webcam:٣"]
)
def test_names_that_are_none(name):
    with pytest.raises(ConfigError, match=r"not a camera.*webcam:0") as caught:
        webcam_number(name)
    assert caught.value.remedy


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_unusable_lengths(seconds):
    with pytest.raises(ConfigError, match="positive length"):
        webcam_frames("webcam:0", seconds)


def test_a_camera_that_is_not_there(monkeypatch):
    monkeypatch.setattr(webcam, "_cameras", lambda: ["/dev/video2", "/dev/video4"])
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    with pytest.raises(DataError, match="webcam:987: this camera cannot be used") as caught:
        webcam_frames("webcam:987", 1)
    assert "/dev/video987" in str(caught.value)
    assert "cameras: /dev/video2, /dev/video4" in str(caught.value)
    assert "Plug" in caught.value.remedy


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.EACCES, "group 'video'"), (errno.EBUSY, "Close the program")]
)
def test_a_camera_that_may_not_be_used(monkeypatch, number, remedy):
    def refuse(*_, **__):
        raise OSError(number, "refused")

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(DataError, match="refused") as caught:
        webcam_frames("webcam:0", 1)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("system", "file", "kind", "options"),
    [
        ("Linux", "/dev/video1", "v4l2", {}),
        ("Darwin", "1:none", "avfoundation", {"framerate": "30"}),
        ("Windows", "video=Second", "dshow", {}),
    ],
)
def test_what_each_system_opens(monkeypatch, system, file, kind, options):
    opened = []

    def note(file, **words):
        opened.append((file, words))
        raise OSError(errno.EIO, "enough")

    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(webcam, "_cameras", lambda: ["First", "Second"])
    monkeypatch.setattr(av, "open", note)
    with pytest.raises(DataError, match="enough"):
        webcam_frames("webcam:1", 1)
    assert opened == [(file, {"format": kind, "options": options})]


def test_a_number_beyond_those_of_windows(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(webcam, "_cameras", lambda: ["First"])
    with pytest.raises(DataError, match=r"no camera 3; cameras: First"):
        webcam_frames("webcam:3", 1)


def test_an_ffmpeg_without_cameras(monkeypatch):
    monkeypatch.setitem(webcam.DEVICES, platform.system(), "nosuchdevice")
    with pytest.raises(DataError, match="nosuchdevice"):
        webcam_frames("webcam:0", 1)


@pytest.mark.parametrize(("seconds", "count"), [(10, 10), (0.3, 5), (0.01, 1)])
def test_frames(camera, seconds, count):
    pictures = list(webcam_frames("webcam:0", seconds))
    assert [picture.shape for picture in pictures] == [(48, 64, 3)] * count
    assert [round(float(picture.mean())) for picture in pictures] == pytest.approx(
        [20 * index + 10 for index in range(count)], abs=3
    )
    assert pictures[0].dtype == np.uint8


class Waiting:
    """A camera like those of Macs, which say at first that there is nothing yet."""

    def __init__(self, path, refusals):
        self.container, self.refusals = av.open(str(path)), refusals

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.container.close()

    def demux(self, **words):
        if self.refusals:
            self.refusals -= 1
            raise BlockingIOError(errno.EAGAIN, "nothing yet")
        return self.container.demux(**words)


def test_a_camera_that_lets_wait(camera, monkeypatch):
    monkeypatch.setattr(webcam, "_open_camera", lambda name: Waiting(camera, 3))
    assert len(list(webcam_frames("webcam:0", 10))) == 10


def test_a_camera_that_never_gives_anything(camera, monkeypatch):
    monkeypatch.setattr(webcam, "PATIENCE", 0.02)
    monkeypatch.setattr(webcam, "_open_camera", lambda name: Waiting(camera, 10_000))
    with pytest.raises(DataError, match="webcam:0: this camera gives no picture") as caught:
        list(webcam_frames("webcam:0", 10))
    assert caught.value.remedy


class Unplugged(Waiting):
    """A camera that is gone after some pictures."""

    def demux(self, **words):
        for number, packet in enumerate(self.container.demux(**words)):
            if number == self.refusals:
                raise OSError(errno.ENODEV, "no such device")
            yield packet


def test_a_camera_that_is_unplugged(camera, monkeypatch, caplog):
    monkeypatch.setattr(webcam, "_open_camera", lambda name: Unplugged(camera, 6))
    count = len(list(webcam_frames("webcam:0", 10)))
    assert 0 < count <= 6
    assert "webcam:0: gives nothing after" in caplog.text
    monkeypatch.setattr(webcam, "_open_camera", lambda name: Unplugged(camera, 0))
    with pytest.raises(DataError, match="no such device"):
        list(webcam_frames("webcam:0", 10))


@pytest.mark.parametrize("name", ["take.mp4", "take.mov", "take.mkv"])
def test_a_recording_is_read_with_its_times(camera, tmp_path, name):
    recording = record_webcam("webcam:0", tmp_path / name, 10)
    assert recording.frames == 10
    assert recording.seconds == pytest.approx(0.55, abs=1e-3)
    assert recording.frames_per_second == pytest.approx(9 / 0.55, rel=2e-3)
    with av.open(str(tmp_path / name)) as container:
        assert [frame.time for frame in container.decode(video=0)] == pytest.approx(TIMES, abs=2e-3)
        assert "synthetic" not in str(container.metadata)
    rate = video_rate(tmp_path / name)
    found = [(n, round((a.mean() - 10) / 20)) for n, a in numbered_frames(tmp_path / name)]
    assert len(found) >= 8  # the even grid of the mean rate is coarser than the camera's
    for number, index in found:
        assert number / rate == pytest.approx(TIMES[index], abs=0.5 / rate + 2e-3)


def test_of_a_steady_camera_every_frame_is_read(tmp_path, monkeypatch):
    times = [index / 20 + (0, 0.006, -0.005, 0.002)[index % 4] for index in range(12)]
    put_camera(monkeypatch, tmp_path / "camera.mkv", times)
    recording = record_webcam("webcam:0", tmp_path / "take.mp4", 10)
    assert video_rate(tmp_path / "take.mp4") == pytest.approx(20, rel=0.03)
    assert recording.frames_per_second == pytest.approx(20, rel=0.03)
    assert [number for number, _ in numbered_frames(tmp_path / "take.mp4")] == list(range(12))


def test_ctrl_c_ends_a_recording(camera, tmp_path, monkeypatch, capsys):
    frames = webcam._frames

    def pressed(name, seconds):
        for index, item in enumerate(frames(name, seconds)):
            if index == 4:
                signal.raise_signal(signal.SIGINT)
            yield item

    monkeypatch.setattr(webcam, "_frames", pressed)
    recording = record_webcam("webcam:0", tmp_path / "take.mp4", 10)
    assert recording.frames == 4
    assert len(list(numbered_frames(tmp_path / "take.mp4"))) == 4
    assert f"frames kept in {tmp_path / 'take.mp4'}: 4" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["camera.mkv", "take.mp4"]


def test_ctrl_c_before_the_first_frame(tmp_path, monkeypatch):
    def pressed(name, seconds):
        signal.raise_signal(signal.SIGINT)
        yield 0.0, np.zeros((48, 64, 3), np.uint8)

    monkeypatch.setattr(webcam, "_frames", pressed)
    with pytest.raises(KeyboardInterrupt):
        record_webcam("webcam:0", tmp_path / "take.mp4", 10)
    assert not list(tmp_path.iterdir())


def test_a_camera_without_pictures(tmp_path, monkeypatch):
    write_frames([grey(90)], tmp_path / "one.mp4", 10)
    monkeypatch.setattr(webcam, "_open_camera", lambda name: av.open(str(tmp_path / "one.mp4")))
    with pytest.raises(DataError, match="webcam:0: this camera gives no pictures"):
        record_webcam("webcam:0", tmp_path / "take.mp4", 10)
    assert not (tmp_path / "take.mp4").exists()


@pytest.mark.parametrize("name", ["take.gif", "take", "take.avi"])
def test_unknown_kinds(camera, tmp_path, name):
    with pytest.raises(OutputError, match=r"unknown kind of video.*\.mp4"):
        record_webcam("webcam:0", tmp_path / name, 1)


def test_a_missing_folder(camera, tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        record_webcam("webcam:0", tmp_path / "missing" / "take.mp4", 1)
