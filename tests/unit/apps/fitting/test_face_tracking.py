"""Following one person: the nearest face, gaps, cuts and other people, with a detector that sees
coloured squares.
"""

from __future__ import annotations

import itertools
import logging

import pytest
import torch

from facemorph.apps.fitting import face_tracking
from facemorph.apps.fitting.face_tracking import read_pictures, track_face
from facemorph.errors import DataError, NoFaceFound
from facemorph.faces.checks.mean_face import MEAN_FACE
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.video_io import numbered_frames, video_rate, write_frames
from facemorph.faces.types import Face

SIDE, SQUARE = 64, 16
RED, GREEN = (1.0, 0.2, 0.2), (0.2, 1.0, 0.2)


def frame(*squares, background=0.0):
    """A picture with coloured squares at (x, y)."""
    image = torch.full((3, SIDE, SIDE), background)
    for x, y, colour, *side in squares:
        size = side[0] if side else SQUARE
        image[:, y : y + size, x : x + size] = torch.tensor(colour)[:, None, None]
    return image


class Squares:
    """A detector: each red or green square is a face with 68 points in it."""

    def __call__(self, image):
        found = []
        for channel in (0, 1):
            rows, columns = (image[channel] > 0.9).nonzero(as_tuple=True)
            if len(rows) and image[1 - channel, rows, columns].max() < 0.5:
                low = torch.stack([columns.min(), rows.min()]).float()
                high = torch.stack([columns.max(), rows.max()]).float() + 1
                marks = torch.tensor(MEAN_FACE)[:, :2].float()
                shape = (marks - marks.amin(0)) / (marks.amax(0) - marks.amin(0))
                points = low + shape * (high - low)
                found.append(Face(torch.cat([low, high]), 0.9, points, "ibug68"))
        return found


@pytest.fixture
def video(tmp_path, monkeypatch):
    monkeypatch.setattr(
        face_tracking._Tracker,
        "_describe",
        lambda self, image, face: image[:2, int(face.points[0, 1]), int(face.points[0, 0])],
    )

    def write(frames):
        for number, image in enumerate(frames):
            save_image(image, tmp_path / f"{number:03d}.png")
        return tmp_path

    return write


def test_the_nearest_face_is_followed_and_the_largest_at_the_start(video, caplog):
    path = video([frame((4 + t, 10, RED, 20), (40 - t, 40, GREEN)) for t in range(8)])
    with caplog.at_level(logging.WARNING):
        track = track_face(path, Squares(), frames_per_second=10)
    assert track.segments == ((0, 8),)
    assert track.seen.all()
    assert (track.landmarks[:, :, 1] < 31).all()  # the red one, which is larger
    assert "2 faces" in caplog.text
    torch.testing.assert_close(
        track.landmarks[5] - track.landmarks[2], torch.tensor([[3.0, 0.0]]).expand(68, 2)
    )


def test_a_short_gap_is_bridged_and_a_long_one_left_out(video):
    there, empty = frame((10, 10, RED)), frame()
    track = track_face(
        video([there] * 3 + [empty] * 2 + [there] * 3 + [empty] * 9 + [there] * 2),
        Squares(),
        frames_per_second=10,
    )
    assert track.segments == ((0, 8), (8, 10))
    assert track.seen.tolist() == [True] * 3 + [False] * 2 + [True] * 5
    assert track.numbers.tolist() == [*range(8), 17, 18]


def test_a_cut_begins_a_segment_of_the_same_person(video):
    track = track_face(
        video([frame((10, 10, RED))] * 3 + [frame((12, 10, RED), background=0.5)] * 3), Squares()
    )
    assert track.segments == ((0, 3), (3, 6))
    assert track.frames_per_second == 25


def test_another_person_after_a_cut_is_an_error_that_names_the_frame(video, caplog):
    path = video([frame((10, 10, RED))] * 3 + [frame((12, 10, GREEN), background=0.5)] * 3)
    with pytest.raises(DataError, match=r"frame 3: .*another person"):
        track_face(path, Squares())
    with caplog.at_level(logging.WARNING):
        track = track_face(path, Squares(), first_segment=True)
    assert len(track.numbers) == 3
    assert "cut at frame 3" in caplog.text


def test_after_a_cut_the_same_person_is_chosen_among_several(video):
    cut = frame((40, 40, RED), (8, 8, GREEN, 24), background=0.5)
    track = track_face(video([frame((10, 10, RED))] * 3 + [cut] * 2), Squares())
    assert (track.landmarks[3:] >= 40).all()


def test_a_face_that_leaves_while_another_stays_is_not_followed_to_the_other(video):
    path = video([frame((6, 6, RED, 20), (40, 40, GREEN))] * 3 + [frame((40, 40, GREEN))] * 3)
    with pytest.raises(DataError, match="another person"):
        track_face(path, Squares())


def test_no_face_no_video_and_pictures_of_two_sizes(video, tmp_path):
    with pytest.raises(NoFaceFound, match="no frame of this video"):
        track_face(video([frame()] * 2), Squares())
    with pytest.raises(DataError, match="no such video"):
        track_face(tmp_path / "missing.mp4", Squares())
    save_image(torch.zeros(3, 10, 10), tmp_path / "999.png")
    with pytest.raises(DataError, match="one size"):
        list(read_pictures(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no picture"):
        list(read_pictures(tmp_path / "empty"))


def test_numbers_of_frames_skip_what_the_video_lacks(tmp_path):
    import av

    path = tmp_path / "a.mp4"
    write_frames([frame((4 * t, 10, RED)) for t in range(10)], path, 10)
    assert video_rate(path) == 10
    assert [number for number, _ in numbered_frames(path)] == list(range(10))
    gappy = tmp_path / "b.mkv"
    with av.open(str(gappy), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height = stream.width = SIDE
        stream.pix_fmt = "yuv420p"
        for number in (0, 1, 2, 5, 6, 7, 8, 9):
            picture = av.VideoFrame.from_ndarray(
                (frame().permute(1, 2, 0).numpy() * 255).astype("uint8"), "rgb24"
            )
            picture.pts = number
            for packet in stream.encode(picture):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    numbers = [number for number, _ in numbered_frames(gappy)]
    rate = video_rate(gappy)
    expected = [round(number / 10 * rate) for number in (0, 1, 2, 5, 6, 7, 8, 9)]
    assert numbers == expected
    assert max(b - a for a, b in itertools.pairwise(numbers)) > 1


def test_unreadable_and_damaged_videos(tmp_path, caplog):
    broken = tmp_path / "a.mp4"
    broken.write_bytes(b"no video at all")
    with pytest.raises(DataError, match="not a readable video"):
        list(numbered_frames(broken))
    path = tmp_path / "b.mkv"
    generator = torch.Generator().manual_seed(0)
    write_frames([torch.rand(3, 64, 64, generator=generator) for _ in range(60)], path, 10)
    content = path.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    numbers = [number for number, _ in numbered_frames(tmp_path / "cut.mkv")]
    assert 5 < len(numbers) < 60
    assert numbers == sorted(numbers)
