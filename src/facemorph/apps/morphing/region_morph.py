"""Region morphs: eyes of one face, mouth of the other, each region at a time of its own."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from facemorph.apps.morphing.averages import check_alike, warp_alpha, warp_face
from facemorph.errors import ConfigError, DataError
from facemorph.faces.landmark_schemes import COUNTS, IBUG68_REGIONS, to_ibug68
from facemorph.faces.masks import convex_hull_mask, face_mask
from facemorph.faces.pair import PreparedFace
from facemorph.faces.procrustes import procrustes_align
from facemorph.fields.warps.blended_pairs import target_share
from facemorph.ops.blending import blend_multiband

# Later regions lie over earlier ones; `face` is jaw, cheeks and forehead: all that no other region
# has.
REGIONS = {
    "face": ("jaw",),
    "brows": ("brow_left", "brow_right"),
    "nose": ("nose_bridge", "nose_base"),
    "eyes": ("eye_left", "eye_right"),
    "mouth": ("lips_outer", "lips_inner"),
}
GROWTH, FEATHER = 0.35, 0.5  # of a region's mask, in units of the root of its hull's area
REACH = 0.12  # of the face's height: landmarks farther from all regions belong to `face`


def region_morph(
    a: PreparedFace,
    b: PreparedFace,
    times: Mapping[str, float],
    time: float = 0.5,
    outside: str = "source",
) -> PreparedFace:
    """A still whose regions are at times of their own, in shape and in texture.

    The landmarks start where a morph at ``time`` has them. There both shapes, brought to that pose,
    give each region its own place: ``p + (t_region - time) (B - A)``. Both pictures are warped to
    these landmarks by one flow each, and blended in frequency bands by a soft mask of each region.

    Args:
        a: First face, time 0.
        b: Second face, time 1.
        times: Time in [0, 1] of each region of ``REGIONS`` that is not at ``time``.
        time: Time in [0, 1] of all other regions.
        outside: Hair, clothes and background: ``source``, ``target`` or ``mix``.

    Returns:
        Picture and landmarks.

    Raises:
        ConfigError: A region or time is none of the possible ones.
        DataError: Frames or schemes differ, or the scheme does not name the regions.
        GeometryError: No warp without folds leads to these landmarks.
    """
    check_alike([a, b])
    for name, value in {"time": time, **times}.items():
        if name not in ("time", *REGIONS) or not 0 <= value <= 1:
            raise ConfigError(
                "no such region, or a time that a morph does not have",
                where=name,
                found=value,
                expected=f"0 to 1, for {' | '.join(REGIONS)}",
            )
    middle = (1 - time) * a.points + time * b.points
    difference = procrustes_align(b.points, middle) - procrustes_align(a.points, middle)
    own = torch.tensor([times.get(name, time) for name in REGIONS], dtype=torch.float64)
    points = middle + (own[region_of_points(middle, a.scheme)] - time)[:, None] * difference
    around = times.get("face", time)
    share = target_share(face_mask(points, a.scheme, a.frame), around, outside)
    for name in REGIONS:
        value = times.get(name, time)
        if name != "face" and value != around:
            share = torch.lerp(share, torch.full_like(share, value), region_mask(points, a, name))
    first, second = warp_face(a, points), warp_face(b, points)
    image = blend_multiband(first[None], second[None], share[None])[0]
    alpha = None
    if a.alpha is not None or b.alpha is not None:
        # By the same bands as the colours, which are shown on white until then.
        layers = [warp_alpha(face, points).expand(3, -1, -1)[None] for face in (a, b)]
        alpha = blend_multiband(layers[0], layers[1], share[None])[0, :1].clamp(0, 1)
    return PreparedFace(image, points, a.scheme, alpha)


def region_mask(points: Tensor, face: PreparedFace, name: str) -> Tensor:
    """Soft mask ``(1, H, W)`` of a region at ``points``, inside the mask of the face.

    Both eyes, and both brows, have a hull of their own.

    Raises:
        DataError: The scheme does not name the regions.
    """
    marks = to_ibug68(points, face.scheme)
    groups = [IBUG68_REGIONS[part] for part in REGIONS[name]]
    if name in ("nose", "mouth"):
        groups = [tuple(index for group in groups for index in group)]
    masks = [
        convex_hull_mask(marks[list(group)], face.frame, erosion=-GROWTH, feather=FEATHER)
        for group in groups
    ]
    return torch.stack(masks).amax(0) * face_mask(points, face.scheme, face.frame)


def region_of_points(points: Tensor, scheme: str) -> Tensor:
    """Index into ``REGIONS`` of each landmark ``(P,)``: that of the nearest ibug68 landmark.

    Raises:
        DataError: The scheme does not name the regions.
    """
    if scheme not in COUNTS:
        raise DataError(
            "these landmarks name no eyes, nose or mouth",
            where="scheme",
            found=scheme,
            expected=" or ".join(COUNTS),
        )
    marks = to_ibug68(points, scheme)
    names = list(REGIONS)
    labels = torch.zeros(len(marks), dtype=torch.long)
    for name, parts in REGIONS.items():
        for part in parts:
            labels[list(IBUG68_REGIONS[part])] = names.index(name)
    distance, nearest = torch.cdist(points.double(), marks.double()).min(1)
    height = float((marks[8] - marks[27]).norm())
    return torch.where(distance <= REACH * height, labels[nearest], names.index("face"))
