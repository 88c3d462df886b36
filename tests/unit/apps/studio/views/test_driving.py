"""A webcam that moves a photograph: what is followed, recorded and refused."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import torch

from facemorph.apps.studio.drivers import Drivers
from facemorph.apps.studio.library import jpeg
from facemorph.apps.studio.messages import Request
from facemorph.apps.studio.views.driving import Performer
from facemorph.apps.studio.views.head import HeadPanel
from facemorph.errors import DataError
from facemorph.ops.rotations import rotation_from_vector, yaw_of

NAME, DRIVER = "sample_hopper", "sample_collins"


@pytest.fixture(scope="module")
def panel(library, exports):
    return HeadPanel(library, exports, Drivers(library))


@pytest.fixture(scope="module")
def frames(panel):
    """Frames of a driver who opens the mouth and turns."""
    head = panel.head(DRIVER)

    def frame(mouth, yaw):
        moved = head.edited({"exp jawOpen": mouth, "global_pose yaw": yaw})
        return jpeg(head.sharp(moved), 92)

    return [frame(0.05 * step, 2.0 * step) for step in range(8)]


def test_the_photograph_follows(panel, frames):
    source, performer = panel.head(NAME).parameters, Performer(panel.library.model)
    found = [performer.follow(frame, source) for frame in frames]
    assert torch.allclose(found[0].expression, source.expression, atol=1e-6)
    assert torch.allclose(found[0].rotation, source.rotation, atol=1e-5)
    jaw = panel.library.model.expression_names.index("jawOpen")
    assert float(found[-1].expression[0, jaw] - source.expression[0, jaw]) > 0.15
    turned = yaw_of(found[-1].rotation) - yaw_of(source.rotation)
    assert 5 < abs(float(turned)) < 18
    assert torch.equal(found[-1].identity, source.identity)
    assert rotation_from_vector(found[-1].rotation).det().item() == pytest.approx(1, abs=1e-4)


def test_a_frame_without_a_face_and_the_next_one(panel, frames):
    source, performer = panel.head(NAME).parameters, Performer(panel.library.model)
    assert performer.follow(jpeg(torch.full((3, 96, 128), 0.4)), source) is None
    assert performer.follow(frames[0], source) is not None
    assert performer.follow(jpeg(torch.full((3, 384, 384), 0.4)), source) is None
    assert performer.follow(frames[3], source) is not None


def test_frames_that_are_none(panel):
    source, performer = panel.head(NAME).parameters, Performer(panel.library.model)
    for content in (
        b"",
        b"no picture",
        b"\xff\xd8\xff\xe0" + bytes(50),
        jpeg(torch.zeros(3, 8, 8)),
    ):
        with pytest.raises(DataError, match="frame"):
            performer.follow(content, source)
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (4000, 4000)).save(buffer, "PNG")
    with pytest.raises(DataError, match="size"):
        performer.follow(buffer.getvalue(), source)


def test_recordings(panel, frames):
    source, performer = panel.head(NAME).parameters, Performer(panel.library.model)
    with pytest.raises(DataError, match="nothing was recorded"):
        performer.end()
    performer.follow(frames[0], source)
    performer.begin()
    for frame in frames[1:4]:
        performer.follow(frame, source)
    assert performer.recorded == 4  # with how the person looked at first
    rows, rate = performer.end()
    assert len(rows) == 4
    assert 1 <= rate <= 60
    assert performer.recorded == 0


def test_windows_have_performers_of_their_own(panel, frames):
    drive = panel.handlers()["head.drive"]

    def frame(window, number):
        content = {"photograph": NAME, "detail": "draft"}
        return drive(Request(1, "head.drive", content, frames[number], window))[0]

    assert frame(1, 0)["found"]
    assert frame(2, 4)["found"]
    assert panel._performers.keys() >= {1, 2}
    panel.window_closed(1)
    assert 1 not in panel._performers
    with pytest.raises(DataError, match="no webcam"):
        panel.handlers()["head.record"](
            Request(1, "head.record", {"photograph": NAME, "begin": True}, b"", 1)
        )


def test_the_face_before_is_near_the_face_found_anew(panel, frames):
    """Following agrees with a search of the whole frame."""
    from facemorph.apps.studio.views.driving import _frame
    from facemorph.faces.detection import EmbeddedDetector

    detector = EmbeddedDetector(tile=False)
    before = detector(_frame(frames[2]))[0]
    followed, anew = (
        detector.follow(_frame(frames[3]), before),
        detector(_frame(frames[3]))[0],
    )
    extent = float((anew.points.amax(0) - anew.points.amin(0)).max())
    assert float((followed.points - anew.points).norm(dim=1).mean()) < 0.01 * extent
    assert replace(followed, box=anew.box).scheme == "ibug68"
