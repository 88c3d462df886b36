"""What drives a photograph, what stays, and what is written, with an untrained generator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.driving import RATE, performance

from facemorph.apps.heads import driven_portrait
from facemorph.apps.heads.driven_portrait import Driver, held_rows
from facemorph.apps.reenactment import moving_pictures
from facemorph.apps.reenactment.moving_pictures import driven, frames_of
from facemorph.apps.reenactment.reenact import reenact
from facemorph.apps.reenactment.reenactor import Reenactor
from facemorph.errors import ConfigError, DataError, NoFaceFound, OutputError
from facemorph.faces.detection import make_detector
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import read_synthetic_tag, save_image
from facemorph.faces.files.video_io import read_video, video_rate, write_frames
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.systems.gdpw.small_generator import SmallGenerator
from facemorph.systems.gdpw.small_system import SmallGDPW

SIDE, FRAMES = 96, 8


@pytest.fixture(scope="module")
def system():
    torch.manual_seed(0)
    return SmallGDPW(SmallGenerator((6, 8, 10), 64), perceptual=None)


@pytest.fixture
def checkpoint(system, monkeypatch, tmp_path):
    """A file that stands for the system."""
    monkeypatch.setattr(moving_pictures, "load_reenactment", lambda path: system)
    file = tmp_path / "trained.ckpt"
    file.write_bytes(b"x")
    return file


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture(scope="module")
def driving(samples, model, tmp_path_factory):
    """A video whose head turns and opens its mouth, and the parameters of each frame."""
    pictures, moved = performance(samples[1], model, frames=FRAMES)
    folder = tmp_path_factory.mktemp("driving")
    write_frames(pictures, folder / "clip.mp4", RATE)
    moved.save(folder / "clip.npz")
    return folder


@pytest.fixture(scope="module")
def person(samples, system):
    return Reenactor(samples[0], system, size=SIDE)


def motion(people, path, relative_to=None, keep=None):
    return driven(people, path, make_detector(), "embedded", "none", False, relative_to, keep)


def test_a_video_gives_as_many_frames_and_its_speed(samples, driving, checkpoint, tmp_path):
    found = reenact(
        [samples[0]],
        tmp_path / "moved.mp4",
        driving=driving / "clip.mp4",
        checkpoint=checkpoint,
        size=SIDE,
    )
    frames = list(read_video(tmp_path / "moved.mp4"))
    assert len(frames) == found.frames == FRAMES
    assert frames[0].shape == (SIDE, SIDE, 3)
    assert video_rate(tmp_path / "moved.mp4") == pytest.approx(RATE)
    names = [path.name for path in found.files]
    assert names == ["moved.mp4", "moved.sheet.jpg", "moved.recipe.yaml"]
    change = [abs(one.astype(int) - frames[0]).mean() for one in frames[1:]]
    assert min(change) > 3  # the head turns and the mouth opens


def test_parameters_move_as_the_video_they_are_of(person, driving):
    rows = FaceParameters.load(driving / "clip.npz")
    found = motion([person], driving / "clip.npz", "first").parameters[0]
    assert len(found) == len(rows) == FRAMES
    torch.testing.assert_close(
        found.expression[3] - found.expression[0],
        rows.expression[3] - rows.expression[0],
        atol=1e-5,
        rtol=0,
    )
    assert torch.equal(found.identity, person.parameters.identity.expand_as(found.identity))


def test_a_photograph_is_followed_as_it_is(person, samples):
    found = motion([person], samples[1])
    assert len(found.parameters[0]) == 1
    same = motion([person], samples[1], "rest")
    torch.testing.assert_close(
        same.parameters[0].expression, person.parameters.expression, atol=1e-5, rtol=0
    )
    assert not torch.allclose(found.parameters[0].expression, person.parameters.expression)


@pytest.mark.parametrize(
    ("keep", "still"),
    [("pose", ("rotation", "origin", "log_size")), ("expression", ("expression", "joints"))],
)
def test_what_is_kept_stays(person, driving, keep, still):
    found = motion([person], driving / "clip.npz", keep=keep).parameters[0]
    for name, value in found.tensors().items():
        own = person.parameters.tensors()[name].expand_as(value)
        moving = name in ("expression", "rotation") and name not in still
        assert torch.equal(value, own) != moving, name


def test_gaps_hold_the_last_frame_so_that_sound_fits(model):
    rows = FaceParameters.neutral(model, 3)
    driver = Driver(rows, torch.tensor([1, 2, 5]), 25.0, Path("video.mp4"))
    assert held_rows(driver).tolist() == [0, 0, 1, 1, 1, 2]


def test_several_photographs_get_a_file_each(samples, driving, checkpoint, tmp_path):
    words = {"driving": driving / "clip.npz", "checkpoint": checkpoint, "size": SIDE}
    found = reenact(list(samples), tmp_path / "both", **words)
    for sample in samples:
        assert len(list(read_video(tmp_path / f"both/{sample.stem}.mp4"))) == FRAMES
    assert found.files[2] == tmp_path / "both.sheet.jpg"
    with pytest.raises(OutputError, match="need a folder"):
        reenact(list(samples), tmp_path / "both.mp4", **words)


@pytest.mark.slow
def test_frames_are_named_and_gifs_are_small_as_wanted(samples, driving, checkpoint, tmp_path):
    words = {"driving": driving / "clip.npz", "checkpoint": checkpoint, "size": SIDE}
    found = reenact([samples[0]], tmp_path / "frames", names="percent", **words)
    assert found.files[0] == tmp_path / "frames/frame_000.00.png"
    assert found.files[FRAMES - 1] == tmp_path / "frames/frame_100.00.png"
    assert len((tmp_path / "frames/times.csv").read_text().splitlines()) == FRAMES + 1
    reenact([samples[0]], tmp_path / "moved.gif", **words)
    limit = 0.6e-6 * (tmp_path / "moved.gif").stat().st_size
    reenact([samples[0]], tmp_path / "small.gif", max_megabytes=limit, **words)
    assert (tmp_path / "small.gif").stat().st_size <= limit * 1e6
    # Several photographs get a video each, edits a picture: neither has frames to be named.
    for sources, more in ((list(samples), {}), ([samples[0]], {"edit": "exp jawOpen 0.5"})):
        given = {"checkpoint": checkpoint, "size": SIDE} if more else words
        with pytest.raises(ConfigError, match="names"):
            reenact(sources, tmp_path / "none", names="time", **given, **more)


def test_edits_are_a_picture(samples, checkpoint, tmp_path):
    words = {"checkpoint": checkpoint, "size": SIDE}
    found = reenact([samples[0]], tmp_path / "open.png", edit="exp jawOpen 0.8", **words)
    assert [path.name for path in found.files] == ["open.png", "open.recipe.yaml"]
    picture = load_image(tmp_path / "open.png")
    assert picture.shape == (3, SIDE, SIDE)
    assert read_synthetic_tag(tmp_path / "open.png") is not None
    file = tmp_path / "edits.txt"
    file.write_text("exp jawOpen 0.8  # wide\n")
    reenact([samples[0]], tmp_path / "again.png", edit_file=file, **words)
    assert float((load_image(tmp_path / "again.png") - picture).abs().mean()) < 1e-3
    reenact([samples[0]], tmp_path / "shut.png", edit="reset", **words)
    assert float((load_image(tmp_path / "shut.png") - picture).abs().mean()) > 0.002


@pytest.mark.slow
def test_pasted_back_and_compared(samples, driving, checkpoint, tmp_path, person):
    words = {"driving": driving / "clip.mp4", "checkpoint": checkpoint, "size": SIDE}
    reenact([samples[0]], tmp_path / "whole", paste_back=True, **words)
    whole = load_image(tmp_path / "whole/frame_0003.png")
    assert whole.shape == load_image(samples[0]).shape
    assert torch.equal(whole[:, :8, :8], load_image(samples[0])[:, :8, :8])
    found = motion([person], driving / "clip.mp4")
    view = moving_pictures.View(False, True, None)
    frames = list(frames_of(person, found.parameters[0], found, view, []))
    driver = next(iter(read_video(driving / "clip.mp4")))
    width = round(driver.shape[1] * SIDE / driver.shape[0])
    assert {one.shape for one in frames} == {(3, SIDE, 2 * SIDE + width)}
    torch.testing.assert_close(frames[5][:, :, :SIDE], person.portrait.image)
    small = frames[0][:, :, 2 * SIDE :].mean((1, 2)) * 255
    assert float((small - torch.tensor(driver.mean((0, 1)))).abs().max()) < 3


def test_the_driving_pictures_are_held_where_the_video_has_none():
    pictures = iter([(0, "a"), (1, "b"), (4, "c")])
    held = driven_portrait._held_pictures(pictures)
    assert [next(held) for _ in range(7)] == ["a", "b", "b", "b", "c", "c", "c"]


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ({}, "driving"),
        ({"edit": "exp jawOpen 1", "preset": "sweep"}, "driving"),
        ({"edit": "exp jawOpen 7"}, "exp jawOpen"),
        ({"preset": "tour"}, "preset"),
        ({"edit": "reset", "keep": "nose"}, "keep"),
        ({"preset": "sweep", "frames_per_second": 0.0}, "fps"),
        ({"preset": "sweep", "names": "percent"}, "names"),
        ({"preset": "sweep", "max_megabytes": 1.0}, "max_megabytes"),
    ],
)
def test_wrong_options_are_named(samples, checkpoint, tmp_path, words, where):
    with pytest.raises(ConfigError, match=where):
        reenact([samples[0]], tmp_path / "out.mp4", checkpoint=checkpoint, **words)
    assert not (tmp_path / "out.mp4").exists()


def test_nothing_is_lost_by_wrong_files(samples, checkpoint, tmp_path, model):
    words = {"checkpoint": checkpoint, "size": SIDE}
    empty = save_image(torch.zeros(3, 64, 64), tmp_path / "empty.png", synthetic=True)
    other = replace(FaceParameters.neutral(model, 2), model="flame")
    other.save(tmp_path / "other.npz")
    (tmp_path / "out.mp4").write_bytes(b"before")
    for driver, kind in (
        (empty, NoFaceFound),
        (tmp_path / "other.npz", DataError),
        (tmp_path / "none.mp4", DataError),
    ):
        with pytest.raises(kind):
            reenact([samples[0]], tmp_path / "out.mp4", driving=driver, **words)
    with pytest.raises(NoFaceFound):
        reenact([empty], tmp_path / "out.mp4", preset="sweep", **words)
    with pytest.raises(OutputError, match="overwrite"):
        reenact([samples[0]], samples[0], edit="reset", **words)
    assert (tmp_path / "out.mp4").read_bytes() == b"before"
