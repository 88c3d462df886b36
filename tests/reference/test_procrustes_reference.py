"""Procrustes analysis against scipy and against the iteration of Gower."""

import math

import pytest
import torch
from scipy.spatial import procrustes

from facemorph.errors import GeometryError
from facemorph.faces.procrustes import mean_shape, procrustes_align


def shapes(count, points=30, noise=0.05, seed=0):
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(points, 2, generator=generator, dtype=torch.float64)
    result = []
    for _ in range(count):
        angle, scale = (torch.rand(2, generator=generator, dtype=torch.float64) - 0.5).tolist()
        turn = torch.tensor(
            [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        ).double()
        bent = base + noise * torch.randn(points, 2, generator=generator, dtype=torch.float64)
        result.append(
            100 * (1 + scale) * bent @ turn.T + 300 * torch.rand(2, generator=generator).double()
        )
    return result


def disparity(a, b):
    return procrustes(a.numpy(), b.numpy())[2]


def test_alignment_leaves_the_disparity_that_scipy_finds():
    target, points = shapes(2)
    aligned = procrustes_align(points, target)
    # scipy scales the target to unit size, and leaves the smallest sum of squares that a similarity
    # can reach.
    size = (target - target.mean(0)).square().sum()
    assert float((aligned - target).square().sum() / size) == pytest.approx(
        disparity(target, points), rel=1e-9
    )


def gower(sets, rounds=200):
    """Generalised Procrustes analysis as Gower wrote it: align all to the mean, and take the mean
    again.
    """
    unit = [(one - one.mean(0)) / (one - one.mean(0)).norm() for one in sets]
    mean = unit[0]
    for _ in range(rounds):
        aligned = []
        for one in unit:
            u, values, vt = torch.linalg.svd(one.T @ mean)
            aligned.append(values.sum() * one @ (u @ vt))
        mean = torch.stack(aligned).mean(0)
        mean = mean / mean.norm()
    return mean


def test_the_mean_shape_is_that_of_the_iteration():
    sets = shapes(9)
    assert disparity(mean_shape(sets), gower(sets)) < 1e-12


def test_pose_and_order():
    sets = shapes(6)
    mean = mean_shape(sets)
    assert torch.allclose(mean.mean(0), torch.stack(sets).mean((0, 1)))
    assert torch.allclose(mean_shape(sets[::-1]), mean, atol=1e-9)
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    assert torch.allclose(mean_shape([one @ turn.T for one in sets]), mean @ turn.T, atol=1e-9)
    assert torch.equal(mean_shape([sets[0]] * 3), sets[0])


@pytest.mark.parametrize(
    "sets",
    [
        [],
        [torch.ones(5, 2)],
        [torch.full((5, 2), math.nan)],
        [torch.rand(5, 2).double(), torch.rand(5, 2).double() * math.inf],
    ],
)
def test_shapes_without_a_mean(sets):
    with pytest.raises(GeometryError):
        mean_shape(sets)


def test_opposite_poses_have_no_mean():
    one = shapes(1)[0]
    with pytest.raises(GeometryError, match="no mean"):
        mean_shape([one, 2 * one.mean(0) - one])
