"""Landmark schemes and the checks of points."""

import pytest
import torch

from facemorph.errors import DataError, GeometryError
from facemorph.faces import landmark_schemes as schemes
from facemorph.faces.files.landmark_files import check_pair, check_points
from facemorph.ops.frames import Frame

FRAME = Frame(100, 200)


def face68():
    """A plain symmetric face about x = 100 in a frame 200 wide."""
    points = torch.zeros(68, 2, dtype=torch.float64)
    angle = torch.linspace(torch.pi, 0, 17, dtype=torch.float64)
    points[:17] = torch.stack([100 + 40 * torch.cos(angle), 40 + 50 * torch.sin(angle)], 1)
    left = torch.tensor([[70.0, 30], [75, 27], [80, 26], [85, 27], [90, 30]])
    points[17:22], points[22:27] = (
        left,
        (torch.tensor([200.0, 0]) - left * torch.tensor([1.0, -1])).flip(0),
    )
    points[27:31] = torch.tensor([[100.0, 38], [100, 44], [100, 50], [100, 56]])
    points[31:36] = torch.tensor([[94.0, 60], [97, 61], [100, 62], [103, 61], [106, 60]])
    eye = torch.tensor([[74.0, 40], [78, 38], [82, 38], [86, 40], [82, 42], [78, 42]])
    points[36:42] = eye
    points[42:48] = torch.tensor([200.0, 0]) - eye[[3, 2, 1, 0, 5, 4]] * torch.tensor([1.0, -1])
    points[48:60] = torch.tensor(
        [
            [86.0, 72],
            [91, 70],
            [96, 69],
            [100, 70],
            [104, 69],
            [109, 70],
            [114, 72],
            [109, 76],
            [104, 78],
            [100, 78],
            [96, 78],
            [91, 76],
        ]
    )
    points[60:] = torch.tensor(
        [[88.0, 72], [96, 72], [100, 72], [104, 72], [112, 72], [104, 74], [100, 74], [96, 74]]
    )
    return points


def test_regions_cover_all_68_points_once():
    assert sorted(sum(schemes.IBUG68_REGIONS.values(), ())) == list(range(68))


def test_mirror_is_an_involution_that_keeps_the_regions():
    mirror = schemes.MIRROR68
    assert [mirror[index] for index in mirror] == list(range(68))
    for name, indices in schemes.IBUG68_REGIONS.items():
        other = name.replace("left", "x").replace("right", "left").replace("x", "right")
        assert sorted(mirror[index] for index in indices) == sorted(schemes.IBUG68_REGIONS[other])


def test_mirror_of_a_symmetric_face_is_itself():
    torch.testing.assert_close(schemes.mirror_ibug68(face68(), 200.0), face68())


def test_named_points_of_ibug68():
    points = face68()
    torch.testing.assert_close(
        schemes.eye_centres(points, "ibug68"), torch.tensor([[80.0, 40], [120, 40]]).double()
    )
    assert schemes.chin(points, "ibug68").tolist() == pytest.approx([100, 90])
    assert schemes.mouth_centre(points, "ibug68").tolist() == [100, 72]
    assert schemes.jaw(points, "ibug68").shape == (17, 2)
    five = schemes.five_points(torch.stack([points, points + 1]), "ibug68")
    assert five.shape == (2, 5, 2)
    assert five[0].tolist() == [[80, 40], [120, 40], [100, 56], [86, 72], [114, 72]]


def test_frll189_conversion_is_affine_equivariant_off_the_jaw():
    points = torch.rand(189, 2, dtype=torch.float64)
    converted = schemes.to_ibug68(points, "frll189")
    assert converted.shape == (68, 2)
    linear = torch.rand(2, 2, dtype=torch.float64)
    moved = schemes.to_ibug68(points @ linear.T + 3, "frll189")
    torch.testing.assert_close(moved[17:], converted[17:] @ linear.T + 3)
    similar = schemes.to_ibug68(2 * points + 3, "frll189")
    torch.testing.assert_close(similar, 2 * converted + 3)
    torch.testing.assert_close(schemes.to_ibug68(points[None], "frll189")[0], converted)
    assert torch.equal(schemes.eye_centres(points, "frll189"), points[:2])


def test_frll189_jaw_has_equal_steps():
    points = torch.rand(189, 2, dtype=torch.float64)
    points[[109, 185, 110, 186, 111, 125, 126, 127, 128, 129], :] = torch.stack(
        [torch.tensor([0, 1, 2, 4, 5, 9, 11, 12, 15, 16.0]).double(), torch.zeros(10).double()], 1
    )
    converted = schemes.to_ibug68(points, "frll189")
    assert converted[:9, 0].tolist() == pytest.approx([0, 2, 4, 6, 8, 10, 12, 14, 16])
    assert torch.equal(converted[8], points[129])
    assert torch.equal(converted[0], points[109])


def test_frll189_with_a_collapsed_jaw_stays_finite():
    assert bool(torch.isfinite(schemes.to_ibug68(torch.ones(189, 2), "frll189")).all())


@pytest.mark.parametrize(("count", "name"), [(68, "ibug68"), (189, "frll189"), (5, "points5")])
def test_scheme_by_count(count, name):
    assert schemes.scheme_of(count) == name


def test_wrong_counts_and_schemes():
    with pytest.raises(DataError, match=r"\(\.\.\., 68, 2\)"):
        schemes.to_ibug68(torch.rand(67, 2), "ibug68")
    with pytest.raises(DataError, match="cannot be converted"):
        schemes.to_ibug68(torch.rand(5, 2), "points5")
    with pytest.raises(DataError):
        schemes.mirror_ibug68(torch.rand(68, 3), 100.0)


# ------------------------------------------------------------ checks
# (row 21)
def test_good_points_pass():
    check_points(face68() * torch.tensor([1, 0.9]), FRAME)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([[1, 1], [2, 2]], "at least 3"),
        ([[1, 1], [9, 2], [3, float("nan")]], "indices 2"),
        ([[1, 1], [9, 2], [3, float("inf")], [float("nan"), 0]], "indices 2, 3"),
        ([[1, 1], [9, 2], [-1, 5], [3, 101]], "indices 2, 3, the first at (-1.0, 5.0)"),
        ([[1, 1], [9, 2], [9, 2], [1, 1], [4, 4]], "(0, 3), (1, 2)"),
        ([[1, 1], [2, 2], [3, 3], [50, 50]], "one line"),
        ([[10, 50], [20, 50], [30, 50 + 1e-7]], "one line"),
    ],
)
def test_degenerate_points_are_named(points, said):
    with pytest.raises(GeometryError) as caught:
        check_points(torch.tensor(points, dtype=torch.float64), FRAME, "points of a.tem")
    assert said in str(caught.value)
    assert "points of a.tem" in str(caught.value)


def test_long_lists_are_shortened():
    points = torch.rand(50, 2) * 50
    points[:20, 0] = -1
    with pytest.raises(GeometryError, match="and 12 more"):
        check_points(points, FRAME)


def test_points_outside_may_be_allowed():
    points = torch.tensor([[-5.0, 1], [9, 2], [3, 150]])
    check_points(points, FRAME, inside=False)


def test_the_border_is_inside():
    check_points(torch.tensor([[0.0, 0], [200, 0], [200, 100]]), FRAME)


def test_pairs():
    a = face68()
    check_pair((a, "ibug68"), (a, "ibug68"))
    with pytest.raises(DataError, match="expected ibug68, found frll189"):
        check_pair((a, "ibug68"), (torch.rand(189, 2), "frll189"))
    with pytest.raises(DataError, match="expected 3, found 4"):
        check_pair((torch.rand(3, 2), "points3"), (torch.rand(4, 2), "points4"), schemes=False)


@pytest.mark.parametrize(("scheme", "count"), [("ibug68", 68), ("frll189", 189)])
def test_added_points_belong_to_no_scheme_but_hide_none(scheme, count):
    points = torch.rand(count + 2, 2, dtype=torch.float64) * 100
    own = points[:count]
    assert schemes.count_of(f"{scheme}+2") == count + 2
    assert torch.equal(schemes.to_ibug68(points, f"{scheme}+2"), schemes.to_ibug68(own, scheme))
    assert torch.equal(schemes.eye_centres(points, f"{scheme}+2"), schemes.eye_centres(own, scheme))
    with pytest.raises(DataError):
        schemes.to_ibug68(points, f"{scheme}+3")
    for wrong in ("points70", "ibug68+x", "ibug68+", "+2", "else+2"):
        assert schemes.count_of(wrong) is None
        with pytest.raises(DataError):
            schemes.to_ibug68(points, wrong)


# Vertices of MediaPipe's mesh that are mirror images of each other.
MIRRORED = """
127 356 234 454 93 323 132 361 58 288 172 397 136 365 150 379 149 378 176 400 148 377 70 300 63 293
105 334 66 296 107 336 75 305 97 326 33 263 160 387 158 385 133 362 153 380 144 373 61 291 39 269
37 267 91 321 181 405 84 314 78 308 81 311 82 312 178 402 87 317
"""


@pytest.mark.parametrize("count", [468, 478])
def test_mediapipe_points_keep_mirror_images(count):
    points = torch.rand(count, 2, dtype=torch.float64)
    numbers = [int(word) for word in MIRRORED.split()]
    others = torch.arange(count)
    for a, b in zip(numbers[::2], numbers[1::2], strict=True):
        others[a], others[b] = b, a
    mirrored = points[others] * torch.tensor([-1.0, 1]) + torch.tensor([7.0, 0])
    expected = schemes.mirror_ibug68(schemes.mediapipe_to_ibug68(points), 7.0)
    torch.testing.assert_close(schemes.mediapipe_to_ibug68(mirrored), expected)


def test_mediapipe_points_of_another_number():
    with pytest.raises(DataError, match="468"):
        schemes.mediapipe_to_ibug68(torch.rand(469, 2))
