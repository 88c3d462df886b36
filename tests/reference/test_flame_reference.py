"""FLAME and BFM against NumPy written from the papers, on files with the true keys, shapes and
dtypes.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import model_lookalikes as look
from scipy.spatial.transform import Rotation

from facemorph.geometry.models.bfm import load_bfm, standard_deviations
from facemorph.geometry.models.flame import load_flame, root_places
from facemorph.geometry.models.parameters import (
    FaceParameters,
    VariTexParameters,
    from_deca,
    to_deca,
    to_varitex,
    varitex_coefficients,
)
from facemorph.geometry.rendering.camera import Camera
from facemorph.ops.rotations import rotation_from_vector


@pytest.fixture(scope="module")
def flame(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flame")
    arrays = look.flame_arrays()
    look.chumpy_pickle(arrays, folder / "generic_model.pkl")
    look.npy_pickle(look.landmark_arrays(), folder / "landmark_embedding.npy")
    return folder / "generic_model.pkl", arrays, load_flame(folder / "generic_model.pkl")


def linear_blend_skinning(arrays, betas, pose):
    """FLAME's equations 1 to 4 for one face: shape and expression ``(400,)``, pose ``(5, 3)``;
    metres.
    """
    shaped = arrays["v_template"] + arrays["shapedirs"] @ betas
    joints = arrays["J_regressor"] @ shaped
    rotations = Rotation.from_rotvec(pose).as_matrix()
    posed = shaped + arrays["posedirs"] @ (rotations[1:] - np.eye(3)).ravel()
    world = []
    for joint, parent in enumerate((None, 0, 1, 1, 1)):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - (0 if parent is None else joints[parent])
        world.append(local if parent is None else world[parent] @ local)
    for joint, matrix in enumerate(world):
        matrix[:3, 3] -= matrix[:3, :3] @ joints[joint]
    blended = np.einsum("vj,jrc->vrc", arrays["weights"], np.array(world))
    return np.einsum("vrc,vc->vr", blended, np.concatenate([posed, np.ones((len(posed), 1))], 1))[
        :, :3
    ], joints[0]


def test_flame_is_linear_blend_skinning(flame):
    _, arrays, model = flame
    generator = np.random.default_rng(1)
    for _ in range(3):
        betas, pose = generator.normal(size=400), generator.normal(size=(5, 3)) * 0.4
        pose[0] = 0
        expected, _ = linear_blend_skinning(arrays, betas, pose)
        found = model.vertices(
            torch.tensor(betas[None, :300]).float(),
            torch.tensor(betas[None, 300:]).float(),
            torch.tensor(pose[None, 1:]).float(),
        )
        # Millimetres against metres: 1e-5 of the head's size of some 200 mm.
        np.testing.assert_allclose(found[0].numpy() / 200, expected * 5, atol=1e-5)


def test_flame_in_double_precision_is_exact(flame):
    path, arrays, _ = flame
    model = load_flame(path).double()
    generator = np.random.default_rng(2)
    betas, pose = generator.normal(size=400), generator.normal(size=(5, 3)) * 0.4
    pose[0] = 0
    rounded = {
        name: value.astype(np.float32).astype(np.float64) if value.dtype.kind == "f" else value
        for name, value in arrays.items()
    }
    expected, _ = linear_blend_skinning(rounded, betas, pose)
    found = model.vertices(
        torch.tensor(betas[None, :300]),
        torch.tensor(betas[None, 300:]),
        torch.tensor(pose[None, 1:]),
    )
    # The joints and the millimetres were rounded to float32 once more at reading.
    np.testing.assert_allclose(found[0].numpy() / 1000, expected, atol=2e-7)


def test_flame_landmarks(flame):
    _, arrays, model = flame
    table = look.landmark_arrays()
    vertices, faces = arrays["v_template"] * 1000, arrays["f"].astype(int)
    rows = np.concatenate([table["dynamic_lmk_faces_idx"][0], table["static_lmk_faces_idx"]])
    weights = np.concatenate([table["dynamic_lmk_bary_coords"][0], table["static_lmk_bary_coords"]])
    expected = np.einsum("pk,pkc->pc", weights, vertices[faces[rows]])
    found = model.landmarks(model.vertices(torch.zeros(1, 10)))
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-3)
    ways = model.topology.contour.of(model.mean).numpy()
    assert ways.shape == (17, 40, 3)
    at_angles = np.einsum(
        "apk,apkc->apc",
        table["dynamic_lmk_bary_coords"],
        vertices[faces[table["dynamic_lmk_faces_idx"]]],
    )
    np.testing.assert_allclose(ways[:, 0], at_angles[0], atol=1e-3)
    for number, way in enumerate(ways):
        one, other = (
            at_angles[:40, number],
            np.concatenate([at_angles[:1, number], at_angles[40:, number]]),
        )
        longer = max(
            one, other, key=lambda points: np.linalg.norm(points - points[0], axis=1).max()
        )
        np.testing.assert_allclose(way, longer, atol=1e-3)


def test_deca_vectors_show_the_same_picture(flame):
    """DECA's camera and global pose, by its own equations, against ours, for each vertex
    in pixels.
    """
    path, arrays, model = flame
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(2, 236, generator=generator) * 0.3
    vector[:, 156] = torch.tensor([7.0, 9.0])
    template = FaceParameters.neutral(model, 2, num_albedo=50)
    identity = torch.cat([vector[:, :100], torch.zeros(2, 200)], 1)
    expression = torch.cat([vector[:, 100:150], torch.zeros(2, 50)], 1)
    root = root_places(path, identity, expression)
    ours = from_deca(vector, template, root)
    camera = Camera(rotation_from_vector(ours.rotation), ours.origin, ours.log_size)
    found = camera.project(model.vertices(ours.identity, ours.expression, ours.joints)).pixels
    for row, values in enumerate(vector.double().numpy()):
        betas = np.concatenate([values[:100], np.zeros(200), values[100:150], np.zeros(50)])
        pose = np.zeros((5, 3))
        pose[0], pose[2] = values[150:153], values[153:156]
        posed, _ = linear_blend_skinning(arrays, betas, pose)
        flat = values[156] * (posed[:, :2] + values[157:159]) * [1, -1]
        np.testing.assert_allclose(found[row].numpy(), (flat + 1) / 2 * 224, atol=0.01)
    torch.testing.assert_close(to_deca(ours, root), vector, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def bfm(tmp_path_factory):
    path = tmp_path_factory.mktemp("bfm") / "model2017-1_face12_nomouth.h5"
    return path, look.write_bfm(path), load_bfm(path)


def test_bfm_is_its_equation(bfm):
    _, arrays, model = bfm
    generator = np.random.default_rng(3)
    sp, ep = generator.normal(size=199), generator.normal(size=100)
    expected = sum(
        arrays[f"{part}/model/mean"].astype(float)
        + arrays[f"{part}/model/pcaBasis"].astype(float)
        @ (np.sqrt(arrays[f"{part}/model/pcaVariance"].astype(float)) * values)
        for part, values in (("shape", sp), ("expression", ep))
    )
    found = model.vertices(torch.tensor(sp[None]).float(), torch.tensor(ep[None]).float())
    np.testing.assert_allclose(found[0].numpy().ravel() / 200, expected / 200, atol=1e-5)
    tint = generator.normal(size=199)
    colour = arrays["color/model/mean"] + arrays["color/model/pcaBasis"] @ (
        np.sqrt(arrays["color/model/pcaVariance"]) * tint
    )
    np.testing.assert_allclose(
        model.albedo(torch.tensor(tint[None]).float())[0].numpy().ravel(), colour, atol=1e-5
    )


def test_varitex_parameters_give_the_same_vertices(bfm):
    """VariTex's row-vector formula, with the expression mean that it leaves out."""
    path, arrays, model = bfm
    generator = torch.Generator().manual_seed(1)
    deviations = standard_deviations(path)
    sp, ep = torch.randn(1, 199, generator=generator) * 3, torch.randn(1, 100, generator=generator)
    R = torch.from_numpy(Rotation.from_euler("zyx", [[0.1, -0.4, 0.2]]).as_matrix()).float()
    theirs = VariTexParameters(sp, ep, R, torch.tensor([[0.0, -2.0, -57.0]]), torch.tensor([[0.1]]))
    identity, expression, rotation = varitex_coefficients(theirs, *deviations)
    vertices = model.vertices(identity, expression)
    plain = (
        arrays["shape/model/mean"]
        + arrays["shape/model/pcaBasis"] @ sp[0].numpy()
        + arrays["expression/model/pcaBasis"] @ ep[0].numpy()
    ).reshape(-1, 3)
    without = vertices[0].numpy() - arrays["expression/model/mean"].reshape(-1, 3)
    np.testing.assert_allclose(without, plain, atol=2e-3)
    middle = plain.mean(0)
    placed = 0.1 * ((plain - middle) @ R[0].numpy() + middle) + [0, -2, -57]
    np.testing.assert_allclose(
        theirs.place(torch.from_numpy(plain)[None])[0].numpy(), placed, atol=1e-4
    )
    turned = (vertices - vertices.mean(1, keepdim=True)) @ rotation_from_vector(rotation).transpose(
        1, 2
    )
    torch.testing.assert_close(
        turned, (vertices - vertices.mean(1, keepdim=True)) @ R, atol=1e-3, rtol=0
    )
    back = to_varitex(identity, expression, rotation, theirs.t, theirs.s, *deviations)
    for one in ("sp", "ep", "R", "t", "s"):
        torch.testing.assert_close(getattr(back, one), getattr(theirs, one), atol=1e-4, rtol=1e-5)
