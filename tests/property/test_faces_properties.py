"""Properties of similarity fits, landmark files, masks and suppression."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facemorph.errors import GeometryError
from facemorph.faces.alignment import (
    apply_affine,
    fit_similarity,
    invert_affine,
    square_crop_matrix,
)
from facemorph.faces.box_detection import box_iou, suppress
from facemorph.faces.files.landmark_files import read_points, write_points
from facemorph.faces.landmark_schemes import scheme_of
from facemorph.faces.masks import convex_hull_mask
from facemorph.ops.frames import Frame

coordinate = st.floats(-1e4, 1e4, allow_nan=False).map(lambda value: round(value, 6))
point_lists = st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=40)
quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("suffix", [".tem", ".pts", ".json", ".csv"])
@quick
@given(rows=point_lists)
def test_files_round_trip(tmp_path, suffix, rows):
    points = torch.tensor(rows, dtype=torch.float64)
    path = tmp_path / f"points{suffix}"
    write_points(points, path, scheme_of(len(points)))
    again, scheme = read_points(path)
    torch.testing.assert_close(again, points, rtol=0, atol=1e-9)
    assert scheme == scheme_of(len(points))


@quick
@given(
    angle=st.floats(-math.pi, math.pi),
    scale=st.floats(0.05, 20),
    x=coordinate,
    y=coordinate,
    seed=st.integers(0, 1000),
    count=st.integers(2, 30),
)
def test_similarity_is_recovered(angle, scale, x, y, seed, count):
    source = (
        torch.randn(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        * 100
    )
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    matrix = torch.tensor([[cos, -sin, x], [sin, cos, y]], dtype=torch.float64)
    found = fit_similarity(source, apply_affine(source, matrix))
    torch.testing.assert_close(found, matrix, rtol=1e-6, atol=1e-6)
    there = apply_affine(source, matrix)
    torch.testing.assert_close(
        apply_affine(there, invert_affine(matrix)), source, rtol=1e-6, atol=1e-5
    )


@quick
@given(seed=st.integers(0, 1000))
def test_similarity_is_the_least_squares_one(seed):
    generator = torch.Generator().manual_seed(seed)
    source, target = torch.randn(2, 9, 2, generator=generator, dtype=torch.float64)
    best = fit_similarity(source, target)
    error = (apply_affine(source, best) - target).square().sum()
    for delta in 1e-3 * torch.randn(8, 4, generator=generator, dtype=torch.float64):
        a, b = best[0, 0] + delta[0], best[1, 0] + delta[1]
        other = torch.stack(
            [
                torch.stack([a, -b, best[0, 2] + delta[2]]),
                torch.stack([b, a, best[1, 2] + delta[3]]),
            ]
        )
        assert (apply_affine(source, other) - target).square().sum() >= error


@given(x=coordinate, y=coordinate, count=st.integers(1, 5))
def test_coinciding_points_have_no_similarity(x, y, count):
    with pytest.raises(GeometryError):
        fit_similarity(torch.tensor([[x, y]]).repeat(count, 1), torch.rand(count, 2))


@quick
@given(
    side=st.floats(1, 1e4),
    angle=st.floats(-4, 4),
    size=st.integers(1, 1024),
    x=coordinate,
    y=coordinate,
)
def test_square_crop_matrix(side, angle, size, x, y):
    matrix = square_crop_matrix(torch.tensor([x, y], dtype=torch.float64), side, angle, size)
    centre = apply_affine(torch.tensor([size / 2, size / 2], dtype=torch.float64), matrix)
    assert centre.tolist() == pytest.approx([x, y], abs=1e-6)
    assert float(torch.det(matrix[:, :2])) == pytest.approx((side / size) ** 2, rel=1e-9)


@quick
@given(seed=st.integers(0, 10_000), erosion=st.floats(-0.2, 0.2), feather=st.floats(0, 0.5))
def test_masks_are_between_0_and_1_and_0_outside(seed, erosion, feather):
    points = torch.rand(12, 2, generator=torch.Generator().manual_seed(seed)) * 20 + 20
    mask = convex_hull_mask(points, Frame(60, 50), erosion=erosion, feather=feather)
    assert mask.shape == (1, 60, 50)
    assert float(mask.min()) == 0
    assert float(mask.max()) <= 1
    grown = convex_hull_mask(points, Frame(60, 50), erosion=erosion - 0.1, feather=feather)
    assert bool((grown >= mask - 1e-6).all())


@quick
@given(seed=st.integers(0, 10_000), count=st.integers(0, 30))
def test_suppressed_boxes_do_not_overlap(seed, count):
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * 100
    boxes = torch.cat([low, low + 1 + torch.rand(count, 2, generator=generator) * 40], 1)
    scores = torch.rand(count, generator=generator)
    values, kept = suppress(boxes, scores, boxes)
    assert len(values) == len(kept) <= count
    assert bool((kept[1:] <= kept[:-1]).all())
    if count:
        assert float(kept[0]) == float(scores.max())
        assert float(box_iou(values[0], boxes).max()) > 0
