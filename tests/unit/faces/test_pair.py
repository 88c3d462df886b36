"""Two photographs made ready: alignments, landmark files good and bad, sizes, frames that are not
square.
"""

import json
import logging
import math

import pytest
import torch

from facemorph.errors import ConfigError, DataError, GeometryError, ImageError, NoFaceFound
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.landmark_files import write_points
from facemorph.faces.landmark_schemes import eye_centres
from facemorph.faces.pair import FacePair, prepare_face, prepare_pair
from facemorph.ops.frames import Frame


def picture(height=60, width=80, seed=0):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def points(count=40, height=60, width=80, seed=1):
    size = torch.tensor([width, height], dtype=torch.float64)
    return (
        torch.rand(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        * (size - 2)
        + 1
    )


def write(folder, values, name="a.json"):
    path = folder / name
    path.write_text(json.dumps(values.tolist() if isinstance(values, torch.Tensor) else values))
    return path


def pair_of(tmp_path, first, second=None, **options):
    options = {"align": "none", "size": 80} | options
    one = write(tmp_path, first, "a.json")
    two = write(tmp_path, first if second is None else second, "b.json")
    return prepare_pair(picture(), picture(seed=9), points_a=one, points_b=two, **options)


# ------------------------------------------------------------ with
# the detector
@pytest.fixture(scope="module")
def detected(samples):
    return {
        align: prepare_pair(*samples, size=96, align=align)
        for align in ("portrait", "ffhq", "ffhq_upright")
    }


@pytest.mark.parametrize("align", ["portrait", "ffhq", "ffhq_upright"])
def test_alignments_of_the_sample_photographs(detected, align):
    pair = detected[align]
    assert pair.image_a.shape == pair.image_b.shape == (3, 96, 96)
    assert pair.scheme == "ibug68"
    assert pair.points_a.shape == pair.points_b.shape == (68, 2)
    assert pair.points_a.dtype == torch.float64
    for image in (pair.image_a, pair.image_b):
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
        assert float(image.std()) > 0.05
    for marks in (pair.points_a, pair.points_b):
        assert bool(((marks > 0) & (marks < 96)).all())
    assert float(pair.source.abs().max()) < 1


def test_ffhq_levels_the_eyes(detected):
    for marks in (detected["ffhq"].points_a, detected["ffhq"].points_b):
        left, right = eye_centres(marks, "ibug68")
        assert abs(float(right[1] - left[1])) < 2.5


def test_field_coordinates_are_those_of_the_frame(detected):
    pair = detected["portrait"]
    assert pair.frame == Frame(96, 96)
    torch.testing.assert_close(pair.source, pair.points_a / 48 - 1)
    torch.testing.assert_close(pair.target, pair.points_b / 48 - 1)


def test_points_follow_the_crop(samples):
    """The same features at the same place: a crop of other size is the same picture."""
    small, large = (prepare_pair(*samples, size=size) for size in (64, 128))
    torch.testing.assert_close(small.points_a * 2, large.points_a, rtol=0, atol=1e-6)
    halved = torch.nn.functional.avg_pool2d(large.image_a[None], 2)[0]
    assert float((halved - small.image_a).abs().mean()) < 0.02


def test_a_picture_without_a_face_is_named(tmp_path, samples):
    path = tmp_path / "wall.png"
    save_image(torch.full((3, 200, 200), 0.5), path)
    with pytest.raises(NoFaceFound, match=r"wall\.png"):
        prepare_pair(samples[0], path)
    with pytest.raises(NoFaceFound, match="picture 2"):
        prepare_pair(samples[0], torch.full((3, 200, 200), 0.5))


@pytest.mark.slow
def test_too_high_a_score_finds_nothing(samples):
    with pytest.raises(NoFaceFound):
        prepare_pair(*samples, min_score=1.0)
    with pytest.raises(ConfigError, match="min_score"):
        prepare_pair(*samples, min_score=1.01)


def test_missing_pictures(tmp_path, samples):
    with pytest.raises(ImageError, match=r"missing\.png"):
        prepare_pair(samples[0], tmp_path / "missing.png")


# ------------------------------------------------------------ whole
# pictures
@pytest.mark.parametrize("size", [80, 40, 160, 33])
def test_whole_pictures_keep_their_shape(tmp_path, size):
    marks = points()
    pair = pair_of(tmp_path, marks, size=size)
    height = round(60 * size / 80)
    assert pair.image_a.shape == (3, height, size)
    assert pair.scheme == "points40"
    scale = torch.tensor([size / 80, height / 60], dtype=torch.float64)
    torch.testing.assert_close(pair.points_a, marks * scale, rtol=0, atol=1e-9)
    assert pair.frame == Frame(height, size)


def test_whole_pictures_of_their_own_size_are_untouched(tmp_path):
    pair = pair_of(tmp_path, points())
    assert torch.equal(pair.image_a, picture())
    assert torch.equal(pair.image_b, picture(seed=9))


def test_field_coordinates_of_a_wide_picture_are_isotropic(tmp_path):
    pair = pair_of(tmp_path, points())
    torch.testing.assert_close(pair.source, (pair.points_a - torch.tensor([40.0, 30.0])) / 40)


def test_whole_pictures_of_different_shapes(tmp_path):
    one, two = (
        write(tmp_path, points(), "a.json"),
        write(tmp_path, points(height=50, width=50), "b.json"),
    )
    with pytest.raises(ConfigError, match="different shapes") as caught:
        prepare_pair(picture(), picture(60, 60), points_a=one, points_b=two, align="none", size=64)
    assert "portrait" in caught.value.remedy


def test_a_whole_picture_needs_no_face():
    face = prepare_face(picture(), size=40, align="none")
    assert face.image.shape == (3, 30, 40)
    assert face.points.shape == (0, 2)


def test_one_face_is_cut_as_in_a_pair(samples, detected):
    face = prepare_face(samples[0], size=96)
    assert torch.equal(face.image, detected["portrait"].image_a)
    assert torch.equal(face.points, detected["portrait"].points_a)


# ------------------------------------------------------------
# landmark files
def test_a_few_coincident_points_only_warn(tmp_path, caplog):
    marks = points(40)
    marks[7] = marks[3]
    with caplog.at_level(logging.WARNING):
        pair = pair_of(tmp_path, marks)
    assert pair.points_a.shape == (40, 2)
    assert "1 points coincide" in caplog.text
    assert "a.json" in caplog.text


@pytest.mark.parametrize("seed", range(8))
def test_many_coincident_points_are_refused(tmp_path, seed):
    marks = points(68, seed=seed)
    marks[20:30] = marks[5]
    with pytest.raises(GeometryError, match=r"a\.json coincide.*\(5, 20\)"):
        pair_of(tmp_path, marks)


def test_messages_name_the_right_index_beside_duplicates(tmp_path):
    marks = points(40)
    marks[0] = marks[39]
    marks[17] = torch.tensor([200.0, 10.0])
    with pytest.raises(GeometryError, match=r"outside of the picture of 80 x 60.*\[?17\]?"):
        pair_of(tmp_path, marks)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_points_that_are_no_numbers(tmp_path, bad):
    marks = points(10)
    marks[4, 0] = bad
    with pytest.raises((DataError, GeometryError), match=r"a\.json") as caught:
        pair_of(tmp_path, marks)
    assert caught.value.exit_code == 2


def test_points_on_one_line(tmp_path):
    line = torch.stack([torch.linspace(5, 70, 12), torch.linspace(5, 50, 12)], 1)
    with pytest.raises(GeometryError, match="one line") as caught:
        pair_of(tmp_path, line)
    assert caught.value.remedy


def test_too_few_points(tmp_path):
    with pytest.raises(GeometryError, match="at least 3"):
        pair_of(tmp_path, points(2))


def test_other_numbers_of_points(tmp_path):
    with pytest.raises(DataError, match=r"different.*(40|points40).*(39|points39)") as caught:
        pair_of(tmp_path, points(40), points(39))
    assert caught.value.remedy


def test_other_schemes(tmp_path, samples):
    """68 points of the detector against a file of 40."""
    path = write(tmp_path, points(40, 100, 100))
    with pytest.raises(DataError, match="schemes") as caught:
        prepare_pair(samples[0], samples[1], points_b=path)
    assert caught.value.remedy


def test_files_of_all_kinds_are_taken(tmp_path):
    marks = points(40)
    for suffix in (".pts", ".csv", ".tem", ".json"):
        path = tmp_path / f"a{suffix}"
        write_points(marks, path, "points40")
        pair = prepare_pair(
            picture(), picture(seed=9), points_a=path, points_b=path, align="none", size=80
        )
        torch.testing.assert_close(pair.points_a, marks, rtol=0, atol=1e-6)


def test_missing_landmark_files(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.pts"):
        prepare_pair(
            picture(),
            picture(),
            points_a=tmp_path / "nothing.pts",
            points_b=tmp_path / "nothing.pts",
        )


# ------------------------------------------------------------
# options
@pytest.mark.parametrize("size", [0, -5, 15, 8193])
def test_unusable_sizes(tmp_path, size):
    with pytest.raises(ConfigError, match="unusable size"):
        pair_of(tmp_path, points(), size=size)


def test_unknown_alignment(tmp_path):
    with pytest.raises(ConfigError, match=r"portrait \| ffhq.*centre"):
        pair_of(tmp_path, points(), align="centre")


def test_unknown_detector(samples):
    with pytest.raises((ConfigError, DataError), match="mediapipe"):
        prepare_pair(*samples, detector="mediapipe")


def test_pairs_are_immutable():
    pair = FacePair(picture(), picture(), points(), points(), "points40")
    with pytest.raises(AttributeError):
        pair.scheme = "other"
