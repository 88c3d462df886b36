"""Where on a head lips, brows, beard, hair line and the like are: fields over points of its mean
face.

All follow from the 68 landmarks and the model's masks, so that any model has them; lengths are for
outer eye corners that are 82 mm apart and scale with them. Fields are 0 to 1 and the same on both
sides of the face.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy.interpolate import splev, splprep
from scipy.spatial import cKDTree

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.textures.atlas import EYES, atlas_of
from facemorph.ops.rotations import rotation_from_euler

Array = np.ndarray[Any, Any]
EYE_CORNERS = 82.0  # millimetres between the outer ones, which the lengths are for
SKIN, EYE, TEETH, TONGUE = range(4)
EYES_FORWARD, EYEBALL = 14.0, 14.5  # of the embedded head: height over its middle, and radius
DIRECTIONS = 64  # from which the head is looked at for the ambient occlusion
# Angle around the vertical axis, 0 at the nose and 180 at the nape, and height of the hair line
# there, millimetres.
HAIRLINE = (
    (0, 71),
    (20, 73),
    (34, 66),
    (46, 44),
    (56, 24),
    (64, 12),
    (70, -10),
    (78, -16),
    (82, 4),
    (100, 4),
    (112, -38),
    (130, -70),
    (180, -78),
)
# Distance from the middle and height of the upper border of a beard, from the nose to the
# sideburns.
BEARD = ((0, -50), (14, -50), (24, -60), (36, -64), (50, -48), (60, -22), (66, -6), (100, -6))


@dataclass(frozen=True)
class SkinFields:
    """Fields at P points of a head.

    Attributes:
        place: ``(P, 3)`` millimetres on the mean face, for outer eye corners ``EYE_CORNERS`` apart,
            y from the eyes.
        part: ``(P,)`` ``SKIN``, ``EYE``, ``TEETH`` or ``TONGUE``.
        values: Fields by name, each ``(P,)`` in [0, 1].
        iris: ``(P, 2)`` x and y from the middle of the eye, millimetres; only meant where ``part``
            is ``EYE``.
    """

    place: Array
    part: Array
    values: dict[str, Array]
    iris: Array

    def __getitem__(self, name: str) -> Array:
        """A field by name."""
        return self.values[name]


def smooth_step(low: float, high: float, value: Array) -> Array:
    """0 below ``low``, 1 above ``high``, smooth between; ``low`` may be the larger one."""
    share = np.clip((value - low) / (high - low), 0, 1)
    result: Array = (share * share * (3 - 2 * share)).astype(np.float32)
    return result


def vertex_fields(model: MorphableModel) -> SkinFields:
    """The fields at the vertices of a model."""
    masks = model.topology.masks
    part = np.full(model.num_vertices, SKIN)
    for code, names in (
        (EYE, ("eye_left", "eye_right")),
        (TEETH, ("teeth",)),
        (TONGUE, ("tongue",)),
    ):
        for name in names:
            if name in masks:
                part[masks[name].numpy()] = code
    return _fields(
        model,
        model.mean.numpy(),
        part,
        {name: masks[name].float().numpy() for name in masks},
        _occlusion(model),
    )


@lru_cache(maxsize=4)
def texel_fields(model: MorphableModel, size: int) -> SkinFields:
    """The fields at the texels of a ``size`` x ``size`` map, rows first; those of the nearest used
    texel elsewhere.
    """
    topology, atlas = model.topology, atlas_of(model, size)
    names = [*topology.masks]
    columns = [
        model.mean,
        *(topology.masks[name].float()[:, None] for name in names),
        torch.from_numpy(_occlusion(model))[:, None],
    ]
    maps = atlas.at_texels(torch.cat(columns, 1), topology.faces).flatten(1).numpy()
    part = np.full(size * size, SKIN)
    for code, stems in ((EYE, EYES), (TEETH, ("teeth",)), (TONGUE, ("tongue", "gums"))):
        part[atlas.part(topology, *stems).flatten().numpy()] = code
    used = np.flatnonzero(atlas.mask.flatten().numpy())
    rows, column = np.divmod(np.arange(size * size), size)
    grid = np.stack([rows, column], 1)
    nearest = used[cKDTree(grid[used]).query(grid)[1]]
    maps, part = maps[:, nearest], part[nearest]
    return _fields(model, maps[:3].T, part, dict(zip(names, maps[3:-1], strict=True)), maps[-1])


def _occlusion(model: MorphableModel) -> Array:
    """Share ``(V,)`` of the directions above each vertex of the mean face from which it is seen."""
    mean, faces = model.mean.numpy(), model.topology.faces.long().numpy()
    return _seen_share(mean.tobytes(), mean.dtype.str, faces.tobytes())


@lru_cache(maxsize=4)
def _seen_share(mean_bytes: bytes, kind: str, faces_bytes: bytes) -> Array:
    """`_occlusion` by content: a model is read anew for every set and every training."""
    mean = torch.from_numpy(np.frombuffer(mean_bytes, kind).reshape(-1, 3).copy())
    faces = torch.from_numpy(np.frombuffer(faces_bytes, np.int64).reshape(-1, 3).copy())
    index = torch.arange(DIRECTIONS) + 0.5
    height = 1 - 2 * index / DIRECTIONS
    yaw = index * torch.pi * (1 + 5**0.5)
    count, size = DIRECTIONS, 160
    span = (mean.amax(0) - mean.amin(0)).amax()
    rotation = rotation_from_euler(yaw, height.asin(), torch.zeros(count))
    middle = (mean.amax(0) + mean.amin(0)) / 2
    camera = Camera(
        rotation, torch.full((count, 2), size / 2), (size * 0.72 / span).log().expand(count)
    )
    seen = torch.zeros(len(mean))
    above = torch.zeros(len(mean))
    for one in range(count):
        view = MeshView.of(
            (mean - middle)[None],
            faces,
            Camera(
                camera.rotation[one : one + 1],
                camera.origin[one : one + 1],
                camera.log_size[one : one + 1],
            ),
            (size, size),
        )
        facing = view.facing()[0].clamp(min=0)
        seen += facing * view.visible_vertices()[0]
        above += facing
    result: Array = (seen / above.clamp(min=1e-6)).clamp(0, 1).numpy()
    return result


def _fields(
    model: MorphableModel, place: Array, part: Array, masks: dict[str, Array], occlusion: Array
) -> SkinFields:
    landmarks = model.topology.landmarks.of(model.mean).numpy()
    scale = EYE_CORNERS / np.linalg.norm(landmarks[45] - landmarks[36])
    points, place = landmarks * scale, (place * scale).astype(np.float32)
    middle = (points[36:42].mean(0) + points[42:48].mean(0)) / 2
    middle = middle * [0, 1, 1] - [0, 0, EYES_FORWARD]
    points, place = points - middle, place - middle.astype(np.float32)
    none = np.zeros(len(place), np.float32)
    side = place * np.array([1, 1, 1], np.float32)
    side[:, 0] = np.abs(side[:, 0])  # left points only: both sides alike
    hidden = np.maximum(masks.get("socket", none), masks.get("inside_mouth", none))
    values = {
        "inside_mouth": masks.get("inside_mouth", none),
        "socket": masks.get("socket", none),
        "ears": masks.get("ears", none),
        "occlusion": 1 - occlusion.astype(np.float32),
    }
    values |= (
        _mouth(points, side, masks)
        | _brow(points, side)
        | _spots(points, side)
        | _regions(side, values)
    )
    values["lashes"] = _lashes(points, side) * smooth_step(0.9, 0.3, hidden)
    return SkinFields(place, part, values, _iris(model, place, float(scale), middle))


def _iris(model: MorphableModel, place: Array, scale: float, middle: Array) -> Array:
    """Place of points from the middle of the eye on their side, for eyeballs of one size."""
    masks, found, radius = model.topology.masks, [], EYEBALL
    for name in ("eye_left", "eye_right"):
        if name in masks and bool(masks[name].any()):
            eye = model.mean[masks[name]].numpy() * scale - middle
            found.append((eye.max(0) + eye.min(0)) / 2)
            radius = float(eye.max(0)[1] - eye.min(0)[1]) / 2
    if len(found) < 2:
        points = model.topology.landmarks.of(model.mean).numpy() * scale - middle
        found = [points[42:48].mean(0), points[36:42].mean(0)]
    left, right = found
    centre = np.where(place[:, :1] > 0, left[None], right[None])
    result: Array = ((place - centre)[:, :2] * (EYEBALL / radius)).astype(np.float32)
    return result


def _outline(points: Array, steps: int = 96) -> Array:
    """A smooth closed curve ``(steps, 2)`` through points ``(N, 2)``."""
    curve, _ = splprep([*np.vstack([points, points[:1]]).T], s=0, per=True)
    return np.stack(splev(np.linspace(0, 1, steps, endpoint=False), curve), 1)


def signed_distance(points: Array, polygon: Array) -> Array:
    """Distance ``(P,)`` of points ``(P, 2)`` to a polygon's outline, negative inside."""
    inside = np.zeros(len(points), bool)
    nearest = np.full(len(points), np.inf)
    for start, end in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        along = end - start
        share = np.clip(((points - start) @ along) / max(along @ along, 1e-12), 0, 1)
        nearest = np.minimum(nearest, ((points - start - share[:, None] * along) ** 2).sum(1))
        crosses = (start[1] > points[:, 1]) != (end[1] > points[:, 1])
        slope = along[0] / (along[1] if along[1] != 0 else 1e-12)
        inside ^= crosses & (points[:, 0] < start[0] + (points[:, 1] - start[1]) * slope)
    return np.where(inside, -1, 1) * np.sqrt(nearest)


def _mouth(points: Array, side: Array, masks: dict[str, Array]) -> dict[str, Array]:
    front = smooth_step(points[48, 2] - 16, points[48, 2] - 8, side[:, 2])
    near = (np.abs(side[:, 1] - points[48, 1]) < 30) & (side[:, 0] < 40)
    distance = np.full(len(side), 99.0)
    distance[near] = signed_distance(side[near, :2], _outline(points[48:60, :2]))
    lips = smooth_step(0.9, -1.1, distance) * front
    rim = np.exp(-(((distance - 1.2) / 1.2) ** 2)) * front
    seam = smooth_step(0.9, 0.1, masks["inside_mouth"]) if "inside_mouth" in masks else 1.0
    line = np.interp(
        side[:, 0],
        [0, 9, 20, 23.5],
        [points[62, 1], points[64 - 1, 1], points[64, 1], points[54, 1]],
    )
    upper = smooth_step(-1.0, 1.0, side[:, 1] - line)
    return {
        "lips": (lips * seam).astype(np.float32),
        "lip_rim": rim.astype(np.float32),
        "upper_lip": (lips * upper).astype(np.float32),
    }


def _brow(points: Array, side: Array) -> dict[str, Array]:
    """How far along the brow from the nose, how far across, and where it is."""
    curve, _ = splprep([*points[22:27, :2].T], s=0, k=3)
    steps = np.linspace(-0.02, 1.04, 120)
    path = np.stack(splev(steps, curve), 1)
    near = (np.abs(side[:, 1] - points[24, 1]) < 25) & (side[:, 2] > points[26, 2] - 12)
    along, across = np.zeros(len(side)), np.full(len(side), 99.0)
    distance, index = cKDTree(path).query(side[near, :2])
    along[near] = np.clip(steps[index], 0, 1)
    across[near] = distance * np.sign(side[near, 1] - path[index, 1])
    width = np.interp(along, [0, 0.15, 0.45, 0.8, 1.0], [3.2, 4.2, 3.9, 2.4, 1.0])
    ends = smooth_step(0.0, 0.06, along) * smooth_step(1.04, 0.9, along)
    brow = smooth_step(1.35, 0.55, np.abs(across) / width) * ends
    return {
        "brow": brow.astype(np.float32),
        "brow_along": along.astype(np.float32),
        "brow_across": np.clip(across / width / 4 + 0.5, 0, 1).astype(np.float32),
    }


def _spots(points: Array, side: Array) -> dict[str, Array]:
    """Soft spots: cheeks, nose, sockets, forehead, chin."""

    def spot(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Array:
        offset = (side - np.array(centre)) / np.array(radii)
        return np.exp(-(offset**2).sum(1)).astype(np.float32)

    eye, nose, corner = points[42:48].mean(0), points[30], points[54]
    cheek = (1.5 * eye[0], (nose[1] + corner[1]) / 2 + 12, eye[2] - 5)
    return {
        "cheek": spot(cheek, (18, 15, 40)),
        "nose": spot((0, nose[1] - 1, nose[2] - 5), (14, 10, 16)),
        "wing": spot((points[35, 0] + 2, points[35, 1] + 3, points[35, 2] - 4), (5, 6, 10)),
        "under_eye": spot((eye[0] - 3, eye[1] - 11, eye[2]), (13, 5, 14)),
        "eyelid": spot((eye[0], eye[1] + 5, eye[2]), (17, 6, 14)),
        "forehead": spot((0, points[24, 1] + 30, eye[2]), (50, 22, 60)),
        "chin": spot((0, points[8, 1] + 10, points[57, 2]), (14, 10, 20)),
        "crease": spot((points[54, 0] + 7, corner[1] + 10, corner[2]), (4, 14, 14)),
    }


def _regions(side: Array, values: dict[str, Array]) -> dict[str, Array]:
    """Beard, hair and clothes, with soft borders."""
    x, y, z = side.T
    border = np.interp(x, *np.array(BEARD, float).T)
    beard = smooth_step(-6, 16, border - y) * smooth_step(-132, -112, y) * smooth_step(-78, -58, z)
    angle = np.degrees(np.arctan2(x, z + 62))
    line = np.interp(angle, *np.array(HAIRLINE, float).T)
    inner = 1 - values["inside_mouth"]
    return {
        "beard": (beard * inner).astype(np.float32),
        "front": smooth_step(75, 25, angle),
        "hair": (
            np.clip((y - line) / 60 + 0.5, 0, 1) * (1 - smooth_step(0.2, 0.7, values["ears"]))
        ).astype(np.float32),
        "clothes": np.clip((-122 - 0.28 * (z + 20) - y) / 60 + 0.5, 0, 1).astype(np.float32),
    }


def _lashes(points: Array, side: Array) -> Array:
    """The rims of the lids."""
    eye = points[42:48, :2]
    near = (
        (np.abs(side[:, 1] - eye[:, 1].mean()) < 14)
        & (np.abs(side[:, 0] - eye[:, 0].mean()) < 22)
        & (side[:, 2] > points[45, 2] - 12)
    )
    distance = np.full(len(side), 99.0)
    distance[near] = signed_distance(side[near, :2], _outline(eye))
    upper = smooth_step(
        -3, 2, side[:, 1] - np.interp(side[:, 0], [eye[0, 0], eye[3, 0]], [eye[0, 1], eye[3, 1]])
    )
    return (
        np.exp(-(((distance - 0.3) / np.where(upper > 0.5, 1.0, 0.6)) ** 2)) * (0.35 + 0.65 * upper)
    ).astype(np.float32)
