"""From a warp and two pictures to the frame of a morph at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from facemorph.errors import ConfigError
from facemorph.fields.image_fields import ImageField, render_field
from facemorph.fields.warps.choices import BLENDS, OUTSIDES
from facemorph.fields.warps.maps import dense_map
from facemorph.fields.warps.warp import Warp
from facemorph.ops.blending import (
    FaceAutoencoder,
    blend_darker,
    blend_generative,
    blend_lighter,
    blend_linear,
    blend_multiband,
)
from facemorph.ops.frames import Frame
from facemorph.ops.poisson import guidance, solve_poisson

GUIDANCE_OF = {f"poisson_{kind}": kind for kind in ("average", "mix", "source", "target")}
WHOLE_FRAME = ("linear", "source", "target")  # neither mask nor background
WEIGHTED = (*WHOLE_FRAME, "multiband", "linear_masked")  # weighted means of both pictures
HARD = 0.5  # of the soft mask: where Poisson blending begins, well inside the skin


def warp_pair(
    warp: Warp, source: ImageField, target: ImageField, frame: Frame, time: float
) -> tuple[Tensor, Tensor]:
    """Both pictures carried to ``time``: two ``(3, H, W)``.

    At time 0 the first is the source picture exactly, at time 1 the second is the target picture.
    """
    return (
        render_field(source, dense_map(warp, frame, time, 0.0)),
        render_field(target, dense_map(warp, frame, time, 1.0)),
    )


def target_share(mask: Tensor, time: float, outside: str = "source") -> Tensor:
    """Share of the target in each pixel: ``time`` inside the face, and outside it what ``outside``
    says.

    Args:
        mask: Soft face mask ``(1, H, W)`` at ``time``.
        time: In [0, 1].
        outside: ``source`` or ``target``: hair, clothes and background of that picture; ``mix``:
            both, changing over around the middle of the morph.

    Returns:
        ``(1, H, W)`` in [0, 1].

    Raises:
        ConfigError: ``outside`` is none of the three.
    """
    if outside not in OUTSIDES:
        raise ConfigError(
            "unknown choice for what lies outside the face",
            where="outside",
            expected=" | ".join(OUTSIDES),
            found=outside,
        )
    elsewhere = {"source": 0.0, "target": 1.0, "mix": time * time * (3 - 2 * time)}[outside]
    return mask * time + (1 - mask) * elsewhere


def blend_pair(
    first: Tensor,
    second: Tensor,
    mask: Tensor | None,
    time: float,
    blend: str = "multiband",
    outside: str = "source",
) -> Tensor:
    """Blend two warped pictures at a time.

    | blend | inside the mask | ifmorph |
    |---|---|---|
    | ``multiband`` | bands of frequency, by the share of the second | |
    | ``linear_masked`` | by the share of the second | linear_masked |
    | ``min``, ``max`` | the darker or lighter of both half-way, linear around | min, max |
    | ``poisson_average`` | gradients (1 - t) grad A + t grad B | seamless_clone, avgclone |
    | ``poisson_mix`` | in each place the larger weighted gradient | seamless_mix, mixclone |
    | ``poisson_source`` | gradients of A at all times | source2target |
    | ``poisson_target`` | gradients of B at all times | target2source |

    Over the whole frame, with neither mask nor ``outside``: ``linear``, by the time; ``source`` and
    ``target``, one warped picture alone (ifmorph: linear, src, tgt). Brightness and tone of all
    Poisson blends come from what lies outside; ``outside`` stands for the suffixes ``_src`` and
    ``_tgt`` of ifmorph.

    Args:
        first: ``(3, H, W)``, carried to ``time``.
        second: ``(3, H, W)``, carried to ``time``.
        mask: Soft mask ``(1, H, W)`` at ``time``; those of the whole frame need none.
        time: In [0, 1].
        blend: One of ``BLENDS``.
        outside: See ``target_share``.

    Returns:
        ``(3, H, W)`` in [0, 1]; where the share is 0 or 1 everywhere, that picture exactly, unless
        the blend shows one picture at all times.

    Raises:
        ConfigError: ``blend`` or ``outside`` is none of the possible ones, or the mask is missing.
    """
    if blend not in BLENDS:
        raise ConfigError(
            "unknown blending", where="blend", expected=" | ".join(BLENDS), found=blend
        )
    if blend in ("source", "target"):
        return (first if blend == "source" else second).clamp(0, 1)
    if blend == "linear":
        share = torch.full_like(first[:1], time)
    elif mask is None:
        raise ConfigError(
            "this blending needs a mask of the face", where="mask", found=f"None, blend={blend}"
        )
    else:
        share = target_share(mask, time, outside)
    for whole, picture in ((0, first), (1, second)):
        if blend not in ("poisson_source", "poisson_target") and bool(torch.all(share == whole)):
            return picture.clamp(0, 1)
    if mask is not None and blend in GUIDANCE_OF:
        elsewhere = target_share(torch.zeros_like(mask), time, outside)
        return _blend_gradients(first, second, mask, time, elsewhere, GUIDANCE_OF[blend]).clamp(
            0, 1
        )
    functions = {"multiband": blend_multiband, "min": blend_darker, "max": blend_lighter}
    return functions.get(blend, blend_linear)(first[None], second[None], share[None])[0].clamp(0, 1)


def blend_by_autoencoder(
    first: Tensor,
    second: Tensor,
    mask: Tensor,
    time: float,
    autoencoder: FaceAutoencoder,
    outside: str = "source",
) -> Tensor:
    """Generative blending inside the mask; around it, what ``outside`` says, joined in bands of
    frequency.

    Args:
        first: ``(3, H, W)``, carried to ``time``.
        second: ``(3, H, W)``, carried to ``time``.
        mask: Soft mask ``(1, H, W)`` at ``time``; ones everywhere show the decoded picture alone.
        time: In [0, 1].
        autoencoder: See ``facemorph.ops.blending.FaceAutoencoder``.
        outside: See ``target_share``.

    Returns:
        ``(3, H, W)`` in [0, 1].
    """
    elsewhere = target_share(torch.zeros_like(mask), time, outside)
    background = torch.lerp(first, second, elsewhere)[None]
    made = blend_generative(first[None].clamp(0, 1), second[None].clamp(0, 1), time, autoencoder)
    return blend_multiband(background, made, mask[None])[0].clamp(0, 1)


def hard_mask(mask: Tensor) -> Tensor:
    """Where a Poisson blend is solved, boolean ``(1, H, W)``: the soft mask eroded to its middle.

    Where a mask fills the frame, the frame's border is left out: something must fix the brightness.
    """
    hard = mask > HARD
    if bool(hard.all()):
        hard = torch.zeros_like(hard)
        hard[:, 1:-1, 1:-1] = True
    return hard


def _blend_gradients(
    first: Tensor, second: Tensor, mask: Tensor, time: float, elsewhere: Tensor, kind: str
) -> Tensor:
    """Poisson blending inside the hard mask, with what lies ``elsewhere`` as background."""
    background = torch.lerp(first, second, elsewhere)
    right, down = guidance(first, second, time, kind)
    start = torch.lerp(first, second, {"source": 0.0, "target": 1.0}.get(kind, time))
    return solve_poisson(background, right, down, hard_mask(mask), start=start)
