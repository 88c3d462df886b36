"""Moving pictures: H.264, GIF, folders; marked as synthetic; whole or not at all."""

import itertools
import math
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from facemorph.errors import OutputError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import read_synthetic_tag
from facemorph.faces.files.video_encoder import VideoEncoder
from facemorph.faces.files.video_io import SYNTHETIC_COMMENT, read_video, upright, write_frames

av = pytest.importorskip("av")


def frames(count=5, height=48, width=64):
    """A bright bar that wanders."""
    for index in range(count):
        image = torch.full((3, height, width), 0.2)
        image[0, :, index * 8 : index * 8 + 8] = 0.9
        yield image


def leftovers(folder):
    return [path for path in folder.rglob("*") if ".part" in path.name or path.name.startswith(".")]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "A.MP4", "two words.v2.mp4"])
def test_videos_round_trip(tmp_path, name):
    files = write_frames(frames(), tmp_path / name, 12.0)
    assert files == [tmp_path / name]
    decoded = list(read_video(files[0]))
    assert len(decoded) == 5
    for ours, array in zip(frames(), decoded, strict=True):
        assert array.shape == (48, 64, 3)
        difference = np.abs(array / 255 - ours.permute(1, 2, 0).numpy())
        assert difference.mean() < 0.03
    with av.open(str(files[0])) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert float(stream.average_rate) == 12.0
        tags = {key.lower(): value for key, value in container.metadata.items()}
        assert tags["comment"] == SYNTHETIC_COMMENT
        assert "synthetic" in SYNTHETIC_COMMENT
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("size", [(47, 63), (48, 63), (1, 1), (17, 200)])
def test_odd_sizes_are_padded(tmp_path, size):
    path = tmp_path / "a.mp4"
    write_frames((torch.full((3, *size), 0.5) for _ in range(3)), path)
    decoded = list(read_video(path))
    assert len(decoded) == 3
    assert decoded[0].shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    assert abs(float(decoded[0].mean()) - 127.5) < 4


@pytest.mark.parametrize("speed", [24.0, 29.97, 0.5, 120])
def test_speeds(tmp_path, speed):
    write_frames(frames(3), tmp_path / "a.mp4", speed)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(speed, rel=1e-3)


def test_gif(tmp_path):
    (path,) = write_frames(frames(), tmp_path / "a.gif", 10.0)
    with Image.open(path) as picture:
        assert picture.n_frames == 5
        assert picture.info["comment"].decode() == SYNTHETIC_COMMENT
        assert picture.info["duration"] == 100
        assert picture.info["loop"] == 0
        for index, ours in enumerate(frames()):
            picture.seek(index)
            array = np.asarray(picture.convert("RGB")) / 255
            assert np.abs(array - ours.permute(1, 2, 0).numpy()).mean() < 0.02
    assert not leftovers(tmp_path)


def test_a_still_gif_and_a_fast_one(tmp_path):
    write_frames(frames(1), tmp_path / "one.gif")
    with Image.open(tmp_path / "one.gif") as picture:
        assert picture.n_frames == 1
    write_frames(frames(2), tmp_path / "fast.gif", 1000)
    with Image.open(tmp_path / "fast.gif") as picture:
        assert picture.info["duration"] == 20


def test_folders_of_numbered_files(tmp_path):
    files = write_frames(frames(3), tmp_path / "deep" / "frames")
    assert [path.name for path in files] == ["frame_0000.png", "frame_0001.png", "frame_0002.png"]
    for path, ours in zip(files, frames(3), strict=True):
        assert read_synthetic_tag(path)["synthetic"] is True
        assert float((load_image(path) - ours).abs().max()) <= 0.5 / 255 + 1e-6


def test_values_are_clipped_and_rounded(tmp_path):
    wild = torch.full((3, 8, 8), 2.0)
    wild[:, :4] = -1
    (path,) = write_frames([wild], tmp_path / "a.gif")
    with Image.open(path) as picture:
        array = np.asarray(picture.convert("RGB"))
    assert set(np.unique(array)) == {0, 255}


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "folder"])
def test_frames_are_taken_one_at_a_time(tmp_path, name):
    alive = []

    def counted():
        for index, frame in enumerate(frames(4)):
            alive.append(index)
            yield frame

    write_frames(counted(), tmp_path / name)
    assert alive == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "folder"])
def test_no_frames(tmp_path, name):
    with pytest.raises(OutputError, match="no frame"):
        write_frames([], tmp_path / name)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["a.avi", "a.txt", "a.png"])
def test_unknown_kinds(tmp_path, name):
    with pytest.raises(OutputError, match=r"unknown kind of video.*\.mp4") as caught:
        write_frames(frames(), tmp_path / name)
    assert caught.value.remedy
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "folder"])
@pytest.mark.parametrize("speed", [0, -1, math.nan, math.inf])
def test_unusable_speeds(tmp_path, name, speed):
    with pytest.raises(OutputError, match="positive speed"):
        write_frames(frames(), tmp_path / name, speed)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_a_missing_folder(tmp_path, name):
    with pytest.raises(OutputError, match="cannot be written"):
        write_frames(frames(), tmp_path / "missing" / name)


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(OutputError, match="cannot be written"):
        write_frames(frames(), tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_a_failure_half_way_leaves_the_old_file(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"old")

    def broken():
        yield from itertools.islice(frames(), 2)
        raise RuntimeError("render")

    with pytest.raises(RuntimeError, match="render"):
        write_frames(broken(), path)
    assert path.read_bytes() == b"old"
    assert not leftovers(tmp_path)


def interrupted(count, how):
    """Frames until Ctrl-C comes while the next is made."""
    yield from itertools.islice(frames(), count)
    how()
    yield from frames()


def shown(folder, name):
    """Number of frames in an output."""
    if name == "folder":
        return len(list((folder / name).glob("*.png")))
    return len(list(read_video(folder / name)))


def press():
    signal.raise_signal(signal.SIGINT)


def raise_it():
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.gif", "folder"])
@pytest.mark.parametrize("how", [press, raise_it])
def test_an_interrupt_keeps_the_frames_so_far(tmp_path, capsys, name, how):
    handler = signal.getsignal(signal.SIGINT)
    if name != "folder":
        (tmp_path / name).write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_frames(interrupted(3, how), tmp_path / name)
    assert shown(tmp_path, name) == 3
    assert f"frames kept in {tmp_path / name}: 3" in capsys.readouterr().err
    assert not leftovers(tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.gif", "folder"])
def test_an_interrupt_before_the_first_frame_leaves_nothing(tmp_path, name):
    with pytest.raises(KeyboardInterrupt):
        write_frames(interrupted(0, press), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_interrupt_before_the_first_frame_leaves_the_old_file(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_frames(interrupted(0, press), tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == b"old"
    assert not leftovers(tmp_path)


def test_an_interrupt_in_the_encoder_waits_for_its_frame(tmp_path, monkeypatch):
    add = VideoEncoder.add

    def pressed(self, picture, time=None):
        if self.count == 2:
            press()
        add(self, picture, time)

    monkeypatch.setattr(VideoEncoder, "add", pressed)
    with pytest.raises(KeyboardInterrupt):
        write_frames(frames(), tmp_path / "a.mp4")
    decoded = list(read_video(tmp_path / "a.mp4"))
    assert len(decoded) == 3
    for ours, array in zip(frames(3), decoded, strict=True):
        assert np.abs(array / 255 - ours.permute(1, 2, 0).numpy()).mean() < 0.03


def test_an_interrupt_at_the_end_waits_for_the_whole(tmp_path, monkeypatch, capsys):
    leave = VideoEncoder.__exit__

    def pressed(self, *words):
        press()
        press()
        leave(self, *words)

    monkeypatch.setattr(VideoEncoder, "__exit__", pressed)
    with pytest.raises(KeyboardInterrupt):
        write_frames(frames(), tmp_path / "a.mp4")
    assert shown(tmp_path, "a.mp4") == 5
    assert f"frames kept in {tmp_path / 'a.mp4'}: 5" in capsys.readouterr().err


def test_files_that_are_no_video(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video at all" * 100)
    with pytest.raises(OutputError, match="not a readable video"):
        list(read_video(tmp_path / "a.mp4"))
    with pytest.raises(OutputError, match=r"missing\.mp4"):
        list(read_video(tmp_path / "missing.mp4"))


def test_a_sound_file_has_no_picture(tmp_path):
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), dtype=np.int16), format="s16", layout="mono"
        )
        frame.rate = 8000
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    with pytest.raises(OutputError, match="not a readable video"):
        list(read_video(path))


def test_a_shorter_run_leaves_no_frames_of_a_longer_one(tmp_path, caplog):
    folder = tmp_path / "frames"
    write_frames([torch.rand(3, 16, 16) for _ in range(5)], folder)
    Image.new("RGB", (16, 16)).save(folder / "frame_0007.png")  # somebody else's
    (folder / "frame_notes.txt").write_text("kept")
    caplog.clear()
    files = write_frames([torch.rand(3, 16, 16) for _ in range(2)], folder)
    assert sorted(path.name for path in folder.glob("*.png")) == [
        "frame_0000.png",
        "frame_0001.png",
        "frame_0007.png",
    ]
    assert files == [folder / "frame_0000.png", folder / "frame_0001.png"]
    assert "3 frames of an earlier run are removed" in caplog.text
    assert "frame_0007.png" in caplog.text
    assert (folder / "frame_notes.txt").is_file()


@pytest.mark.parametrize(("rotation", "first"), [(0, "red"), (-90, "blue"), (90, "green")])
def test_frames_are_shown_as_the_phone_was_held(rotation, first):
    """Corners of a coded frame: red, green / blue, white; players turn it counter-clockwise."""
    colours = {
        "red": (255, 0, 0),
        "green": (0, 255, 0),
        "blue": (0, 0, 255),
        "white": (255, 255, 255),
    }
    coded = np.array(list(colours.values()), np.uint8).reshape(2, 2, 3).repeat(3, 1)
    frame = SimpleNamespace(rotation=rotation, to_ndarray=lambda format: coded)
    shown = upright(frame)
    assert shown.shape == ((2, 6, 3) if rotation == 0 else (6, 2, 3))
    assert tuple(shown[0, 0]) == colours[first]
    assert (
        tuple(upright(SimpleNamespace(rotation=180, to_ndarray=frame.to_ndarray))[0, 0])
        == (colours["white"])
    )
