"""Where scans lie: there and back, without a nose, mirrored, of no face, in a wrong unit."""

from __future__ import annotations

import pytest
import torch

from facemorph.errors import GeometryError
from facemorph.geometry.scans.scan_placement import NOSE, mean_landmarks, place_scan
from facemorph.ops.rotations import rotation_from_euler


def turned(landmarks, size=1.0):
    rotation = rotation_from_euler(*torch.tensor([2.0, -1.0, 0.6]))
    return landmarks @ rotation.T * size + torch.tensor([30.0, -7.0, 250.0]) * size


@pytest.mark.parametrize("size", [1.0, 0.1, 0.001])
def test_there_and_back(size):
    placement = place_scan(turned(mean_landmarks(), size))
    points = turned(torch.randn(500, 3, generator=torch.Generator().manual_seed(1)) * 80, size)
    assert placement.unit == size
    assert float((placement.back(placement.into(points)) - points).abs().max()) < 1e-4 * size * 100
    assert float(torch.det(placement.rotation)) == pytest.approx(1, abs=1e-5)


def test_a_missing_nose_is_where_the_others_say():
    """A wider face: its nose is found to within what the mean face differs from it."""
    face = mean_landmarks() * torch.tensor([1.08, 1.0, 1.0])
    marks = turned(face)
    without = marks.clone()
    without[NOSE] = torch.nan
    without[[31, 32, 28, 29, 42, 43, 44, 45, 46, 47]] = torch.nan
    one, other = place_scan(marks), place_scan(without)
    nose = other.into(marks[NOSE][None])[0]
    assert one.into(marks[NOSE][None])[0].tolist() == pytest.approx([0, 0, 0.4], abs=1e-5)
    assert float((nose - torch.tensor([0, 0, 0.4])).norm()) < 0.05


@pytest.mark.parametrize("flip", [(-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1)])
def test_mirrored_scans_are_named(flip):
    with pytest.raises(GeometryError, match="mirrored"):
        place_scan(mean_landmarks() * torch.tensor(flip))


@pytest.mark.parametrize("flip", [(-1, -1, 1), (1, -1, -1), (-1, 1, -1)])
def test_two_flipped_axes_are_a_turn(flip):
    """z away and y down, as computer vision has it, and so on."""
    marks = mean_landmarks() * torch.tensor(flip)
    assert (
        float(
            (place_scan(marks).into(marks) - place_scan(mean_landmarks()).into(mean_landmarks()))
            .abs()
            .max()
        )
        < 1e-4
    )


def test_a_list_of_another_topology_is_named():
    """Vertices by the numbers of FaceScape's other mesh are anywhere on the head."""
    elsewhere = torch.randn(68, 3, generator=torch.Generator().manual_seed(0)) * 60
    with pytest.raises(GeometryError, match="not those of a face") as caught:
        place_scan(elsewhere)
    assert "v10 is that of the TU models" in str(caught.value)


def test_landmarks_of_no_face():
    order = torch.randperm(68, generator=torch.Generator().manual_seed(0))
    with pytest.raises(GeometryError, match="not those of a face"):
        place_scan(mean_landmarks()[order])
    with pytest.raises(GeometryError, match="too few"):
        place_scan(mean_landmarks().index_fill(0, torch.arange(65), torch.nan))


@pytest.mark.parametrize(("size", "unit", "shown"), [(0.1, 1.0, "15"), (1.0, 0.1, "15")])
def test_a_wrong_unit_shows_both_sizes(size, unit, shown):
    extent = float(torch.pdist(mean_landmarks()).max())
    with pytest.raises(GeometryError, match="given unit") as caught:
        place_scan(mean_landmarks() * size, unit)
    assert f"{extent:.0f} mm" in str(caught.value)
    assert f"{extent * size / unit:.4g} mm" in str(caught.value)
    place_scan(mean_landmarks() * 0.7, 1.0)  # a small child's face in millimetres
