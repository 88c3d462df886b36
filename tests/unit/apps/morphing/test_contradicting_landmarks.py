"""What a morph and a warped face say of landmarks that contradict each other."""

from __future__ import annotations

import json
import logging

import pytest
import torch

from facemorph.apps.morphing.averages import warp_face
from facemorph.apps.morphing.morph_result import assemble, write_morph
from facemorph.apps.morphing.warp_fitting import fit_warp
from facemorph.faces.pair import FacePair, PreparedFace

pytestmark = pytest.mark.usefixtures("short_reports", "coarse_flows")

SIZE = 96
TWO = (12, 13)


def points():
    """A grid of 25 landmarks, and the same with two neighbours in the other order."""
    axis = torch.linspace(24, 72, 5, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    grid = grid + torch.tensor([0.3, 0.4], dtype=torch.float64)
    other = grid.clone()
    other[list(TWO)] = grid[list(TWO[::-1])] + torch.tensor([0.0, 0.5], dtype=torch.float64)
    return grid, other


def picture(seed):
    return torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def pair():
    return FacePair(picture(0), picture(1), *points(), "points25")


def test_a_morph_names_them_and_writes_their_miss(pair, caplog, tmp_path):
    with caplog.at_level(logging.WARNING):
        result = assemble(fit_warp(pair, "thin_plate_flow"), pair, [0.5], {}, None, name="a to b")
    gave_way = result.metrics["gave_way_px"]
    assert set(gave_way) == set(TWO)
    assert result.metrics["fold_over_percent"] == 0
    said = [record.getMessage() for record in caplog.records if "contradict" in record.message]
    assert len(said) == 1
    assert said[0].startswith("a to b: ")
    for index in TWO:
        assert f"points25 {index} by {gave_way[index]:.1f} px" in said[0]
    write_morph(result, tmp_path / "m.png", report=False)
    stored = json.loads((tmp_path / "m.metrics.json").read_text())["gave_way_px"]
    assert stored == {str(index): miss for index, miss in gave_way.items()}


@pytest.mark.parametrize("warp", ["thin_plate_flow", "piecewise_affine"])
def test_nothing_is_said_of_landmarks_that_agree(pair, caplog, warp):
    agreed = FacePair(pair.image_a, pair.image_b, pair.points_a, pair.points_a + 1.0, pair.scheme)
    with caplog.at_level(logging.WARNING):
        result = assemble(fit_warp(agreed, warp), agreed, [0.5], {}, None)
    assert "gave_way_px" not in result.metrics
    assert "contradict" not in caplog.text


def test_a_face_that_is_warped_to_a_mean_names_them(caplog, monkeypatch):
    monkeypatch.setattr("facemorph.apps.morphing.averages.smoothing_of", lambda scheme: 0.0)
    grid, other = points()
    with caplog.at_level(logging.WARNING):
        warp_face(PreparedFace(picture(0), grid, "points25"), other)
    assert "points25 12 by" in caplog.text
