"""A file with the keys, shapes in proportion and dtypes of GNM Head, filled with made-up numbers
on a coarse face.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RBFInterpolator

from facemorph.geometry.models.makehuman import load_makehuman

JOINTS = ("neck", "head", "left_eye", "right_eye")
GROUPS = (
    "skin_exterior",
    "upper_lip",
    "lower_lip",
    "eye_sockets",
    "teeth",
    "upper_teeth_and_gums",
    "lower_teeth_and_gums",
    "tongue",
    "ears",
)
BLOCKS = {
    "left_eye_region": 12,
    "right_eye_region": 12,
    "lower_face_region": 60,
    "tongue": 6,
    "pupils": 1,
}
IDENTITIES = {"head": 12, "eyes": 2, "teeth": 4}
COLUMNS, LIPS = 21, (-20.0, 20.0)
STRETCH = np.array([1.06, 0.97, 1.03])  # against the embedded head
OFFSET = np.array([0.0, 1.62, 0.04])  # metres: the file's origin is elsewhere


class _Mesh:
    """Vertices in millimetres and triangles, part by part."""

    def __init__(self):
        self.points, self.faces, self.parts = np.zeros((0, 3)), np.zeros((0, 3), int), {}

    def add(self, name, points, faces):
        start = len(self.points)
        self.points = np.concatenate([self.points, points])
        self.faces = np.concatenate([self.faces, faces + start])
        self.parts[name] = np.arange(start, len(self.points))


def _grid(x, y):
    """Rows from above, counter-clockwise triangles as seen from the front."""
    columns = len(x)
    corner = np.array(
        [[r * columns + c for c in range(columns - 1)] for r in range(len(y) - 1)]
    ).ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + columns, corner + 1], 1),
            np.stack([corner + 1, corner + columns, corner + columns + 1], 1),
        ]
    )
    return np.stack(np.meshgrid(x, y), 2).reshape(-1, 2), faces


def _ball(radius):
    """A small sphere of 26 vertices."""
    along = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    rings = [
        [radius * np.cos(a) * np.cos(b), radius * np.sin(b), radius * np.sin(a) * np.cos(b)]
        for b in (-np.pi / 4, 0, np.pi / 4)
        for a in along
    ]
    points = np.array([[0, -radius, 0], *rings, [0, radius, 0]])
    faces = []
    for a in range(8):
        b = (a + 1) % 8
        faces += [[0, 1 + a, 1 + b], [25, 17 + b, 17 + a]]
        for row in (1, 9):
            faces += [[row + a, row + 8 + a, row + b], [row + b, row + 8 + a, row + 8 + b]]
    return points, np.array(faces)


def _skin(marks):
    """A sheet through the embedded head's landmarks with a slit between the lips."""
    middle = marks[[62, 66], 1].mean()
    y = np.concatenate([np.linspace(75, middle, 15), np.linspace(middle, -125, 8)[1:]])
    flat, faces = _grid(np.linspace(-80, 80, COLUMNS), y)
    depth = RBFInterpolator(marks[:, :2], marks[:, 2], kernel="linear", smoothing=5.0)
    points = np.concatenate([flat, depth(flat)[:, None]], 1)
    slit = np.flatnonzero((flat[:, 1] == middle) & (flat[:, 0] > LIPS[0]) & (flat[:, 0] < LIPS[1]))
    below = points[faces].mean(1)[:, 1] < middle
    lower = np.arange(len(points))
    lower[slit] = len(points) + np.arange(len(slit))
    faces[below] = lower[faces[below]]
    return np.concatenate([points, points[slit]]), faces, middle, slit, below


def _on_sheet(points, faces, allowed, places):
    """Vertices and weights of the places ``(N, 2)`` among triangles, as seen from the front."""
    chosen = faces[allowed]
    corners = points[chosen][:, :, :2]
    vertices, weights = [], []
    for place in places:
        matrix = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], 2)
        inner = np.linalg.solve(matrix, (place - corners[:, 0])[..., None])[..., 0]
        shares = np.concatenate([1 - inner.sum(1, keepdims=True), inner], 1)
        best = shares.min(1).argmax()
        share = shares[best].clip(0)
        vertices.append(chosen[best])
        weights.append(share / share.sum())
    return np.array(vertices), np.array(weights)


def gnm_arrays(seed=0):
    """The content of ``gnm_head.npz``, and the landmarks' vertices and weights in iBUG's order."""
    generator = np.random.default_rng(seed)
    head = load_makehuman()
    marks = head.landmarks(head.mean[None])[0].double().numpy()
    skin, faces, middle, slit, below = _skin(marks)
    mesh = _Mesh()
    mesh.add("skin", skin, faces)
    for side, name in ((1, "left_eye"), (-1, "right_eye")):
        points, triangles = _ball(12.0)
        mesh.add(name, points + np.array([30 * side, -1, 2]), triangles)
    strip, triangles = _grid(np.linspace(-15, 15, 7), np.linspace(4, -4, 3))
    for name, height, depth in (("upper", 5, 18), ("lower", -5, 18), ("tongue", 0, 8)):
        points = np.concatenate(
            [strip + np.array([0, middle + height]), np.full((len(strip), 1), depth)], 1
        )
        mesh.add(name, points, triangles)
    places = np.array([[0, -139, -110], [0, -41, -74], [30, -1, 2], [-30, -1, 2]], float)
    count, points = len(mesh.points), mesh.points
    vertices, weights = np.zeros((68, 3), int), np.zeros((68, 3))
    for rows, allowed in (
        (sorted({*range(68)} - {*range(55, 60), 65, 66, 67}), ~below),
        ([*range(55, 60), 65, 66, 67], below),
    ):
        everywhere = allowed if len(rows) == 8 else np.ones_like(allowed)
        vertices[rows], weights[rows] = _on_sheet(skin, faces, everywhere, marks[rows, :2])
    upper = [49, 50, 51, 52, 53, 61, 62, 63]
    vertices[upper], weights[upper] = _on_sheet(skin, faces, ~below, marks[upper, :2])
    groups = _groups(mesh, middle, slit)
    skinning = np.zeros((4, count))
    skinning[0] = np.clip((-60 - points[:, 1]) / 80, 0, 1)
    skinning[1] = 1 - skinning[0]
    for joint, name in ((2, "left_eye"), (3, "right_eye")):
        skinning[:, mesh.parts[name]] = np.eye(4)[:, joint, None]
    mirrored = np.linalg.norm(points[:, None] * [-1, 1, 1] - points[None], axis=2)
    lower = np.concatenate([np.zeros(count - len(slit)), np.zeros(len(slit))])
    lower[len(skin) - len(slit) : len(skin)] = 1
    mirrored += 50 * (lower[:, None] != lower[None])
    identity = _bumps(points, sum(IDENTITIES.values()), [0, -30, 10], 45, generator) * 1e-3
    regressor = np.exp(-np.linalg.norm(points[None] - places[:, None], axis=2) / 20)
    regressor /= regressor.sum(1, keepdims=True)
    uvs = (points[:, :2] - [-90, -140]) / [180, 230]
    single = np.float32
    arrays = {
        "version": np.array("3.0"),
        "variant": np.array("head"),
        "template_vertex_positions": (points * STRETCH / 1000 + OFFSET).astype(single),
        "template_joint_positions": (places * STRETCH / 1000 + OFFSET).astype(single),
        "vertex_identity_basis": identity.astype(single),
        "joint_identity_basis": np.einsum("jv,ivc->ijc", regressor, identity).astype(single),
        "identity_names": np.array(_names(IDENTITIES)),
        "expression_basis": _expressions(mesh, middle, slit, generator).astype(single),
        "expression_names": np.array(_names(BLOCKS)),
        "joint_names": np.array(JOINTS),
        "joint_parent_indices": np.array([-1, 0, 1, 1], np.int32),
        "skinning_weights": skinning.astype(single),
        "pose_correctives_regressor": (generator.normal(size=(36, 3 * count)) * 1e-4).astype(
            single
        ),
        "joint_regressor": regressor.astype(single),
        "mirror_indices": mirrored.argmin(1).astype(np.int32),
        "vertex_groups": np.stack([groups[name] for name in GROUPS]).astype(single),
        "vertex_group_names": np.array(GROUPS),
        "mesh_component_names": np.array(list(mesh.parts)),
        "bone_aligned_template_joint_orientations": np.tile(np.eye(3, dtype=single), (4, 1, 1)),
        "quads": mesh.faces[:, [0, 1, 2, 2]].astype(np.int32),
        "quad_uvs": uvs[mesh.faces[:, [0, 1, 2, 2]]].astype(single),
        "triangles": mesh.faces.astype(np.int32),
        "triangle_uvs": uvs[mesh.faces].astype(single),
    }
    return arrays, vertices, weights


def _names(counts):
    return [f"{part}_{number:03}" for part, count in counts.items() for number in range(count)]


def _groups(mesh, middle, slit):
    points, skin = mesh.points, np.zeros(len(mesh.points), bool)
    skin[mesh.parts["skin"]] = True
    lips = skin & (np.abs(points[:, 0]) < 24) & (np.abs(points[:, 1] - middle) < 12)
    under = points[:, 1] < middle - 1e-6
    under[mesh.parts["skin"][-len(slit) :]] = True
    groups = {name: np.zeros(len(points), bool) for name in GROUPS}
    groups |= {"skin_exterior": skin, "upper_lip": lips & ~under, "lower_lip": lips & under}
    groups["ears"] = skin & (np.abs(points[:, 0]) > 75) & (np.abs(points[:, 1]) < 30)
    for name, part in (("upper", "upper"), ("lower", "lower")):
        groups[f"{name}_teeth_and_gums"][mesh.parts[part]] = True
    groups["teeth"] = groups["upper_teeth_and_gums"] | groups["lower_teeth_and_gums"]
    groups["tongue"][mesh.parts["tongue"]] = True
    return groups


def _bumps(points, count, middle, width, generator):
    """Smooth offsets in millimetres around random places near a middle."""
    centres = np.asarray(middle) + generator.normal(size=(count, 3)) * [width, width, width / 3]
    near = np.exp(-((points[None] - centres[:, None]) ** 2).sum(2) / (2 * (width / 2) ** 2))
    return near[..., None] * generator.normal(size=(count, 1, 3)) * 3


def _expressions(mesh, middle, slit, generator):
    points = mesh.points
    basis = np.zeros((sum(BLOCKS.values()), len(points), 3))
    skin = np.isin(np.arange(len(points)), mesh.parts["skin"])[:, None]
    below = points[:, 1] < middle - 1e-6
    below[mesh.parts["skin"][-len(slit) :]] = True
    eye = BLOCKS["left_eye_region"]
    basis[:eye] = _bumps(points, eye, [32, 8, 10], 18, generator) * skin
    basis[eye : 2 * eye] = _bumps(points, eye, [-32, 8, 10], 18, generator) * skin
    lower = _bumps(points, BLOCKS["lower_face_region"], [0, -65, 20], 36, generator) * skin
    half = len(lower) // 2
    lower[:half] *= below[:, None]  # the lower jaw's own
    end = 2 * eye + len(lower)
    basis[2 * eye : end] = lower
    tongue = np.isin(np.arange(len(points)), mesh.parts["tongue"])[:, None]
    basis[end : end + BLOCKS["tongue"]] = (
        _bumps(points, BLOCKS["tongue"], [0, middle, 8], 20, generator) * tongue
    )
    return basis * 1e-3


def write_gnm(folder, seed=0, change=None):
    """Write ``gnm_head.npz`` and ``head_sparse_68.txt``, whose rows are in another order than
    iBUG's.

    Args:
        folder: Where.
        seed: Of the numbers.
        change: Arrays instead of those of the same keys; None leaves a key out.

    Returns:
        Path of the model, its arrays, and the landmarks' vertices and weights in iBUG's order.
    """
    arrays, vertices, weights = gnm_arrays(seed)
    arrays = {key: value for key, value in (arrays | (change or {})).items() if value is not None}
    path = folder / "gnm_head.npz"
    np.savez(path, **arrays)
    rows = [
        " ".join(f"{vertex} {weight:.6f}" for vertex, weight in zip(*row, strict=True))
        for row in zip(vertices, weights, strict=True)
    ]
    order = np.random.default_rng(seed + 1).permutation(68)
    (folder / "head_sparse_68.txt").write_text("\n".join(rows[index] for index in order) + "\n")
    return path, arrays, vertices, weights
