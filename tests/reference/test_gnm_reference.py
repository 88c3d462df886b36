"""GNM Head against NumPy written from its definition, on a file with the true keys and dtypes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.gnm_lookalike import JOINTS, write_gnm
from scipy.spatial.transform import Rotation

from facemorph.geometry.models.gnm import load_gnm


@pytest.fixture(scope="module")
def gnm(tmp_path_factory):
    path, arrays, _, _ = write_gnm(tmp_path_factory.mktemp("gnm"))
    return path, arrays


def mesh(arrays, identity, expression, pose):
    """One face ``(V, 3)`` in metres, in the file's frame, for a pose ``(J, 3)``."""
    points = arrays["template_vertex_positions"].astype(float)
    points = points + np.tensordot(identity, arrays["vertex_identity_basis"], 1)
    points = points + np.tensordot(expression, arrays["expression_basis"], 1)
    joints = arrays["template_joint_positions"].astype(float)
    joints = joints + np.tensordot(identity, arrays["joint_identity_basis"], 1)
    turns = Rotation.from_rotvec(pose).as_matrix()
    if "pose_correctives_regressor" in arrays:
        feature = np.concatenate([(turn - np.eye(3)).ravel() for turn in turns])
        points = points + (feature @ arrays["pose_correctives_regressor"]).reshape(-1, 3)
    world = []
    for joint, parent in enumerate(arrays["joint_parent_indices"]):
        local = np.eye(4)
        local[:3, :3] = turns[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        world.append(world[parent] @ local if parent >= 0 else local)
    result = np.zeros_like(points)
    for joint, matrix in enumerate(world):
        moved = (points - joints[joint]) @ matrix[:3, :3].T + matrix[:3, 3]
        result += arrays["skinning_weights"][joint][:, None] * moved
    return result


def ours(arrays, points):
    """Metres in the file's frame in millimetres from between the eyes' joints."""
    return (points - arrays["template_joint_positions"][2:].astype(float).mean(0)) * 1000


@pytest.mark.parametrize("correctives", [True, False])
def test_mesh(gnm, tmp_path, correctives):
    path, arrays = gnm
    if not correctives:
        path, arrays, _, _ = write_gnm(tmp_path, change={"pose_correctives_regressor": None})
    model = load_gnm(path, named=False)
    assert model.joint_names == ("neck", "head", "eye_left", "eye_right")
    assert model.expression_names == tuple(arrays["expression_names"])
    assert model.expression_range == (-np.inf, np.inf)
    generator = np.random.default_rng(1)
    for _ in range(3):
        identity = generator.normal(size=model.num_identity)
        expression = generator.normal(size=model.num_expression)
        pose = generator.normal(size=(len(JOINTS), 3)) * 0.4
        found = model.vertices(
            torch.tensor(identity[None]).float(),
            torch.tensor(expression[None]).float(),
            torch.tensor(pose[None]).float(),
        )
        expected = ours(arrays, mesh(arrays, identity, expression, pose))
        # 1e-5 of the head's size of some 200 mm
        np.testing.assert_allclose(found[0].numpy() / 200, expected / 200, atol=1e-5)


def test_named_units_are_modes_of_the_model(gnm):
    """Each unit but the eyes' turns is a mixture of the file's own modes, none beyond 3."""
    path, arrays = gnm
    model = load_gnm(path)
    skin = model.topology.masks["skin"].numpy() | model.topology.masks["tongue"].numpy()
    basis = arrays["expression_basis"].astype(float)[:, skin].reshape(len(model_modes(arrays)), -1)
    units = model.expression_basis.numpy()[:, skin].reshape(model.num_expression, -1) / 1000
    coefficients, *_ = np.linalg.lstsq(basis.T, units.T, rcond=1e-9)
    np.testing.assert_allclose(coefficients.T @ basis, units, atol=1e-6)
    assert np.abs(coefficients).max() < 3.01


def model_modes(arrays):
    return arrays["expression_names"]


def test_older_names_and_half_precision(gnm, tmp_path):
    path, arrays = gnm
    older = {"left_eye_region": "left_eye", "right_eye_region": "right_eye"}
    older |= {"lower_face_region": "mouth", "pupils": "eyeballs"}
    names = arrays["expression_names"].tolist()
    for new, old in older.items():
        names = [name.replace(new, old) for name in names]
    change = {"expression_names": np.array(names, dtype="S40")}
    change["expression_basis"] = arrays["expression_basis"].astype(np.float16)
    other, *_ = write_gnm(tmp_path, change=change)
    first, second = load_gnm(path), load_gnm(other)
    assert first.expression_names == second.expression_names
    moved = first.expression_basis.norm(dim=2).max()
    assert (first.expression_basis - second.expression_basis).norm(dim=2).max() < 0.1 * moved
