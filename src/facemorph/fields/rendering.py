"""From a warp and two pictures to the frame of a morph at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from facemorph.errors import ConfigError
from facemorph.fields.image_fields import ImageField, render_field
from facemorph.fields.maps import dense_map
from facemorph.fields.warp import Warp
from facemorph.ops.blending import blend_linear, blend_multiband
from facemorph.ops.frames import Frame

BLENDS = ("multiband", "linear")
OUTSIDES = ("source", "target", "mix")


def warp_pair(
    warp: Warp, source: ImageField, target: ImageField, frame: Frame, time: float
) -> tuple[Tensor, Tensor]:
    """Both pictures carried to ``time``: two ``(3, H, W)``.

    At time 0 the first is the source picture exactly, at time 1 the second is the target picture.
    """
    return (render_field(source, dense_map(warp, frame, time, 0.0)),
            render_field(target, dense_map(warp, frame, time, 1.0)))


def target_share(mask: Tensor, time: float, outside: str = "source") -> Tensor:
    """Share of the target in each pixel: ``time`` inside the face, and outside it what ``outside`` says.

    Args:
        mask: Soft face mask ``(1, H, W)`` at ``time``.
        time: In [0, 1].
        outside: ``source`` or ``target``: hair, clothes and background of that picture; ``mix``: both,
            changing over around the middle of the morph.

    Returns:
        ``(1, H, W)`` in [0, 1].

    Raises:
        ConfigError: ``outside`` is none of the three.
    """
    if outside not in OUTSIDES:
        raise ConfigError("unknown choice for what lies outside the face", where="outside",
                          expected=" | ".join(OUTSIDES), found=outside)
    elsewhere = {"source": 0.0, "target": 1.0, "mix": time * time * (3 - 2 * time)}[outside]
    return mask * time + (1 - mask) * elsewhere


def blend_pair(first: Tensor, second: Tensor, share: Tensor, blend: str = "multiband") -> Tensor:
    """Blend two warped pictures ``(3, H, W)`` by the share ``(1, H, W)`` of the second.

    Returns:
        ``(3, H, W)`` in [0, 1]; where the share is 0 or 1 everywhere, that picture exactly.

    Raises:
        ConfigError: ``blend`` is neither multiband nor linear.
    """
    if blend not in BLENDS:
        raise ConfigError("unknown blending", where="blend", expected=" | ".join(BLENDS), found=blend)
    for whole, picture in ((0, first), (1, second)):
        if bool(torch.all(share == whole)):
            return picture.clamp(0, 1)
    function = blend_multiband if blend == "multiband" else blend_linear
    return function(first[None], second[None], share[None])[0].clamp(0, 1)
