"""The face alone: cut out of its picture along a soft outline."""

from __future__ import annotations

import torch
from torch import Tensor

from facemorph.errors import ConfigError
from facemorph.faces.choices import BACKGROUNDS, OUTLINES
from facemorph.faces.files.image_output import uncovered
from facemorph.faces.landmark_schemes import to_ibug68
from facemorph.faces.masks import face_mask, smooth_step
from facemorph.faces.pair import PreparedFace
from facemorph.ops.frames import Frame

COLOURS = {"white": 1.0, "gray": 0.5, "black": 0.0}
BELOW_HAIR, INSIDE_EARS = 0.8, 0.92  # of a third of the face; of half the jaw's width


def cut_out(
    face: PreparedFace, outline: str = "face", background: str = "gray", feather: float = 0.05
) -> Tensor:
    """The picture with everything but the face replaced.

    Args:
        face: Picture and landmarks.
        outline: ``face``: jaw and raised brows; ``oval``: the ellipse from chin to forehead and ear
            to ear.
        background: ``white``, ``gray``, ``black``, or ``transparent`` for an alpha channel.
        feather: Width of the soft border, in units of the face size (root of the mask's area).

    Returns:
        ``(3, H, W)``; with ``transparent`` ``(4, H, W)``, colours unchanged and alpha last,
        that of the picture counted in.

    Raises:
        ConfigError: An option is none of the possible ones.
        GeometryError: The landmarks do not span an area.
        DataError: The landmarks name neither jaw nor brows, for an oval.
    """
    for name, value, allowed in (
        ("outline", outline, OUTLINES),
        ("background", background, BACKGROUNDS),
    ):
        if value not in allowed:
            raise ConfigError(
                "no such choice", where=name, expected=" | ".join(allowed), found=value
            )
    if not 0 <= feather <= 1:
        raise ConfigError(
            "no border is that wide", where="feather", expected="0 to 1", found=feather
        )
    mask = (
        oval_mask(face.points, face.scheme, face.frame, feather)
        if outline == "oval"
        else face_mask(face.points, face.scheme, face.frame, feather=feather)
    ).to(face.image)
    if background == "transparent":
        if face.alpha is None:
            return torch.cat([face.image, mask])
        whole = uncovered(face.image, face.alpha)
        return torch.cat([whole[:3], mask * whole[3:]])
    return torch.lerp(torch.full_like(face.image, COLOURS[background]), face.image, mask)


def oval_mask(points: Tensor, scheme: str, frame: Frame, feather: float = 0.05) -> Tensor:
    """Soft ellipse ``(1, H, W)`` in [0, 1] from the chin to a little below the hair line, inside
    the ears.

    By the rule of thirds hair line, brows, base of the nose and chin are equally far apart.

    Args:
        points: ``(P, 2)`` pixels.
        scheme: Their scheme.
        frame: Frame of the mask.
        feather: Width of the rising border, inside the ellipse, in units of the geometric mean of
            its diameters.

    Raises:
        DataError: The scheme cannot be converted to ibug68.
    """
    marks = to_ibug68(points.double(), scheme)
    top = marks[17:27].mean(0) + BELOW_HAIR * (marks[17:27].mean(0) - marks[33])
    centre, up = (top + marks[8]) / 2, (top - marks[8]) / 2
    tall = float(up.norm())
    direction = up / tall
    across = torch.stack([-direction[1], direction[0]])
    wide = INSIDE_EARS * float(((marks[:17] - centre) @ across).abs().max())
    away = frame.to_pixels(frame.pixel_centres(torch.float64)) - centre
    radius = torch.stack([(away @ direction) / tall, (away @ across) / wide]).norm(dim=0)
    depth = (1 - radius) * (tall * wide) ** 0.5
    return smooth_step(depth / max(feather * 2 * (tall * wide) ** 0.5, 1e-9)).float()[None]
