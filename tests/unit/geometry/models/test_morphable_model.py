"""The model's equation, joints, devices and dtypes, on a small made-up model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy.spatial.transform import Rotation

from facemorph.errors import DataError, GeometryError
from facemorph.geometry.models.morphable_model import (
    FaceTopology,
    MorphableModel,
    Skeleton,
    SurfacePoints,
)


def small(correctives=False, expression=False, **changes):
    generator = torch.Generator().manual_seed(0)

    def random(*size):
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    vertices, joints = 12, 3
    faces = torch.tensor([[0, 1, 2], [2, 3, 4], [5, 6, 7], [8, 9, 10], [9, 10, 11]])
    landmarks = SurfacePoints(
        torch.randint(0, vertices, (68, 3), generator=generator),
        torch.full((68, 3), 1 / 3, dtype=torch.float64),
    )
    masks = {"face": torch.arange(vertices) < 5, "neck": torch.arange(vertices) > 7}
    topology = FaceTopology(
        faces,
        random(vertices, 2),
        faces,
        ("skin", "eye"),
        torch.tensor([0, 0, 1, 0, 0]),
        landmarks,
        masks=masks,
    )
    weights = torch.rand(vertices, joints, generator=generator, dtype=torch.float64)
    skeleton = Skeleton(
        ("neck", "jaw", "tip"),
        (-1, 0, 1),
        random(joints, 3),
        random(4, joints, 3),
        weights / weights.sum(1, keepdim=True) * 0.8,
        random(2, joints, 3) if expression else None,
        random(9 * joints, vertices, 3) if correctives else None,
    )
    values = {
        "mean": random(vertices, 3),
        "identity_basis": random(4, vertices, 3),
        "expression_basis": random(2, vertices, 3),
        "expression_names": ["jawOpen", "smile"],
        "topology": topology,
        "skeleton": skeleton,
    } | changes
    return MorphableModel("small", **values)


@pytest.mark.parametrize("correctives", [False, True])
@pytest.mark.parametrize("expression", [False, True])
def test_skinning_is_the_loop_over_vertices(correctives, expression):
    model = small(correctives, expression)
    skeleton = model.skeleton
    identity, weights = torch.randn(2, 4).double(), torch.rand(2, 2).double()
    joints = torch.randn(2, 3, 3).double() * 0.5
    found = model.vertices(identity, weights, joints)
    for row in range(2):
        rotations = [
            torch.from_numpy(Rotation.from_rotvec(one.numpy()).as_matrix()) for one in joints[row]
        ]
        shape = model.mean.clone()
        places = skeleton.mean.clone()
        for number, value in enumerate(identity[row]):
            shape += value * model.identity_basis[number]
            places += value * skeleton.identity[number]
        for number, value in enumerate(weights[row]):
            shape += value * model.expression_basis[number]
            if expression:
                places += value * skeleton.expression[number]
        if correctives:
            entries = torch.cat([(one - torch.eye(3).double()).flatten() for one in rotations])
            for number, value in enumerate(entries):
                shape += value * skeleton.correctives[number]

        def moved(point, joint, rotations=rotations, places=places):
            while joint >= 0:
                point = rotations[joint] @ (point - places[joint]) + places[joint]
                joint = skeleton.parents[joint]
            return point

        for vertex, point in enumerate(shape):
            expected = sum(
                share * moved(point, joint) for joint, share in enumerate(skeleton.weights[vertex])
            )
            expected = expected + (1 - skeleton.weights[vertex].sum()) * point
            torch.testing.assert_close(found[row, vertex], expected)


def test_no_turn_changes_nothing():
    model = small(correctives=True)
    identity = torch.randn(3, 4).double()
    torch.testing.assert_close(
        model.vertices(identity, joints=torch.zeros(3, 3, 3).double()), model.vertices(identity)
    )


def test_gradients_pass_through_all_arguments():
    model = small(correctives=True, expression=True)
    arguments = [
        torch.randn(1, 4).double(),
        torch.rand(1, 2).double(),
        torch.randn(1, 3, 3).double(),
    ]
    for argument in arguments:
        argument.requires_grad_()
    assert torch.autograd.gradcheck(model.vertices, arguments)


def test_dtype_reaches_topology_and_skeleton():
    model = small(correctives=True).float()
    assert model.skeleton.weights.dtype == model.skeleton.correctives.dtype == torch.float32
    assert model.topology.uv.dtype == model.topology.landmarks.weights.dtype == torch.float32
    assert model.topology.faces.dtype == torch.long
    assert model.topology.masks["face"].dtype == torch.bool
    moved = model.to("meta")
    assert moved.topology.faces.device.type == moved.skeleton.mean.device.type == "meta"


def test_first_coefficients_and_samples():
    model = small()
    few = torch.randn(2, 2).double()
    torch.testing.assert_close(
        model.vertices(few), model.vertices(torch.cat([few, torch.zeros(2, 2)], 1))
    )
    draw = [model.sample(5, torch.Generator().manual_seed(3), 2.0) for _ in range(2)]
    assert draw[0].shape == (5, 4)
    assert torch.equal(*draw)
    assert model.expression_index("jaw", "sm") == [0, 1]
    assert model.landmarks(model.vertices(few)).shape == (2, 68, 3)


def test_triangles_in_regions():
    topology = small().topology
    assert topology.triangles_in("face").tolist() == [True, True, False, False, False]
    assert topology.triangles_in("neck", "eye").tolist() == [False, False, True, True, True]
    both = replace(topology, components=("face", "eye"))
    # the mask, not the component
    assert torch.equal(both.triangles_in("face"), topology.triangles_in("face"))
    with pytest.raises(GeometryError, match="region"):
        topology.triangles_in("beard")


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda m: m.vertices(torch.zeros(1, 5).double()), GeometryError, "more identity"),
        (lambda m: m.vertices(torch.zeros(4).double()), DataError, "identity"),
        (
            lambda m: m.vertices(torch.zeros(2, 4).double(), torch.zeros(1, 2).double()),
            DataError,
            "expression",
        ),
        (
            lambda m: m.vertices(torch.zeros(1, 4).double(), joints=torch.zeros(1, 2, 3).double()),
            DataError,
            "joints",
        ),
        (lambda m: m.albedo(torch.zeros(1, 1)), GeometryError, "no colours"),
        (
            lambda m: small(skeleton=None).vertices(
                torch.zeros(1, 4).double(), joints=torch.zeros(1, 0, 3)
            ),
            GeometryError,
            "no joints",
        ),
        (lambda m: small(mean=m.mean * torch.nan), GeometryError, "not numbers"),
        (lambda m: small(mean=m.mean[:8]), GeometryError, "does not have"),
        (lambda m: small(expression_names=["one"]), GeometryError, "bases"),
        (lambda m: small(identity_basis=m.identity_basis[:, :5]), GeometryError, "bases"),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        call(small())
