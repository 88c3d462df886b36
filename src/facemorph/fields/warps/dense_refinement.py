"""Dense refinement of a warp where it has no landmarks: hair, ears, neck, clothes.

Between the two half-way pictures A o Psi_{1/2 -> 0} and B o Psi_{1/2 -> 1} of a warp Psi, a
stationary velocity u is sought so that A o Psi_{1/2 -> 0} o exp(-u) and B o Psi_{1/2 -> 1} o exp(u)
agree. The refined warp carries it with the time:

    Phi_{s -> t} = Psi_{1/2 -> t} o exp(2 (t - s) u) o Psi_{s -> 1/2}

which is the identity at s = t, has Phi_{t -> s} as inverse and composes as Psi does; so a morph
begins with the source and ends with the target exactly, and half-way it is the pair of pictures
that was compared. One u serves all times.

Sources: symmetric log-domain demons of Vercauteren et al., Symmetric log-domain diffeomorphic
registration (2008); scaling and squaring of Arsigny et al., A log-Euclidean framework for
statistics on diffeomorphisms (2006). Departures: the pictures are locally normalised luminance, so
that skin tone and light do not count; the face is held, because there refinement makes held-out
landmarks *worse* although the pictures agree better (docs/warps.md).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import GeometryError
from facemorph.fields.warps.maps import dense_map
from facemorph.fields.warps.warp import Warp
from facemorph.ops.filters import gaussian_blur, luminance
from facemorph.ops.frames import Frame
from facemorph.ops.shapes import check_shape

LEVELS = ((64, 40), (128, 25), (256, 10))  # longer side in pixels, iterations
LARGEST_STEP = 0.5  # of one iteration, in pixels of the level
FIRST_STEP = 0.2  # of an exponential, in pixels: before it is squared
MARGIN = 16  # pixels of the velocity's grid by which it goes on beyond the frame


class RefinedWarp(nn.Module):
    """A warp with a stationary velocity half-way.

    Args:
        warp: The warp Psi.
        velocity: u at the pixel centres of ``frame``, ``(2, h, w)`` (x and y) in field units.

    Raises:
        DataError: ``velocity`` has another shape.
    """

    lattice_nodes: int | None = None
    velocity: Tensor

    def __init__(self, warp: Warp, velocity: Tensor) -> None:
        super().__init__()
        check_shape(velocity, "2 h w", "velocity")
        self.warp, self.grid = warp, Frame.of(velocity)
        self.register_buffer(
            "velocity", F.pad(velocity[None], (MARGIN,) * 4, mode="replicate")[0], persistent=False
        )

    def exponential(self, duration: float) -> Tensor:
        """exp(duration u) less the identity, in field units: ``(2, h + 2 m, w + 2 m)``, a margin of
        m around ``grid``.

        Without a margin what leaves the frame could not come back.
        """
        return (
            exponential(self.velocity[None] * (duration * self.grid.half_extent))[0]
            / self.grid.half_extent
        )

    def refined(self, xy: Tensor, duration: float) -> Tensor:
        """exp(duration u) at half-way positions ``(H, W, 2)``."""
        return xy + _read(self.exponential(duration), self.grid, xy)

    def forward(self, xy: Tensor, t0: float, t1: float) -> Tensor:
        """Points ``xy`` (N, 2) of time ``t0`` at time ``t1``; exactly ``xy`` where the two are
        equal.
        """
        if t0 == t1:
            return xy
        middle = self.warp(xy, t0, 0.5)
        return self.warp(self.refined(middle[None], 2 * (t1 - t0))[0], 0.5, t1)

    def dense_positions(self, frame: Frame, t0: float, t1: float) -> Tensor:
        """As ``facemorph.fields.warps.maps.dense_map``: ``(H, W, 2)``. Beyond the frame Psi goes on
        linearly.
        """
        middle = dense_map(self.warp, frame, t0, 0.5)
        if t0 == t1:
            return frame.pixel_centres(device=middle.device)
        middle = self.refined(middle, 2 * (t1 - t0))
        if t1 == 0.5:
            return middle
        onward = (
            dense_map(self.warp, frame, 0.5, t1) - frame.pixel_centres(device=middle.device)
        ).permute(2, 0, 1)
        return middle + _read(_extended(_extended(onward, -1), -2), frame, middle)


def refine_warp(warp: Warp, first: Tensor, second: Tensor, keep_fixed: Tensor) -> RefinedWarp:
    """Find u for two half-way pictures.

    Args:
        warp: The warp that carried them there.
        first: ``(3, H, W)`` in [0, 1], the source half-way.
        second: ``(3, H, W)``, the target.
        keep_fixed: ``(1, H, W)`` in [0, 1]: 1 where nothing may move.

    Raises:
        GeometryError: The three differ in size.
    """
    if second.shape != first.shape or keep_fixed.shape != (1, *first.shape[1:]):
        raise GeometryError(
            "pictures and mask must be of one size",
            expected=tuple(first.shape),
            found=f"{tuple(second.shape)}, mask {tuple(keep_fixed.shape)}",
        )
    with torch.no_grad():
        velocity = demons_velocity(first[None], second[None], keep_fixed[None])[0]
    return RefinedWarp(warp, velocity / Frame.of(velocity).half_extent)


def demons_velocity(
    first: Tensor,
    second: Tensor,
    keep_fixed: Tensor,
    *,
    smooth: float = 2.5,
    fluid: float = 1.5,
    trust: float = 1.0,
) -> Tensor:
    """Symmetric log-demons, from coarse to fine.

    Swapping the pictures negates the result.

    Args:
        first: ``(1, 3, H, W)`` in [0, 1].
        second: ``(1, 3, H, W)``.
        keep_fixed: ``(1, 1, H, W)``: the velocity is multiplied by what is left to 1.
        smooth: Blur of the velocity in each iteration, in pixels of the level.
        fluid: Blur of the update.
        trust: How much a large difference of grey shortens the step.

    Returns:
        ``(1, 2, h, w)``, x and y, in pixels of the finest level: 256 along the longer side, or the
        pictures' own size.
    """
    frame = Frame.of(first)
    longest = max(frame.height, frame.width)
    levels = [
        (min(side, longest), count)
        for side, count in LEVELS
        if side <= longest or side == LEVELS[0][0]
    ]
    finest = frame.scaled_to(levels[-1][0])
    contrast = local_contrast(_resized(torch.cat([first, second]), finest))
    velocity = first.new_zeros(1, 2, 1, 1)
    for side, iterations in levels:
        level = frame.scaled_to(side)
        blur = 0.5 * finest.height / level.height
        pair = _resized(gaussian_blur(contrast, blur) if side < levels[-1][0] else contrast, level)
        free = 1 - _resized(keep_fixed, level)
        growth = level.height / velocity.shape[-2] if velocity.shape[-2] > 1 else 1.0
        velocity = growth * F.interpolate(
            velocity, size=(level.height, level.width), mode="bilinear", align_corners=False
        )
        for _ in range(iterations):
            force = gaussian_blur(_force(pair, velocity, trust), fluid).clamp(
                -LARGEST_STEP, LARGEST_STEP
            )
            velocity = gaussian_blur(velocity + force, smooth) * free
    return velocity


def _force(pair: Tensor, velocity: Tensor, trust: float) -> Tensor:
    """Step ``(1, 2, h, w)`` that makes both pictures ``(2, 1, h, w)`` agree better where
    they meet.
    """
    both = exponential(torch.cat([-velocity, velocity]), first_step=LARGEST_STEP)
    first, second = pull(pair, both).split(1)
    difference = first - second
    mean = F.pad(0.5 * (first + second), (1, 1, 1, 1), mode="replicate")
    slope = 0.5 * torch.cat(
        [mean[..., 1:-1, 2:] - mean[..., 1:-1, :-2], mean[..., 2:, 1:-1] - mean[..., :-2, 1:-1]], 1
    )
    steepness = slope.square().sum(1, keepdim=True)
    return 0.5 * difference * slope / (steepness + trust * difference.square() + 1e-3)


def local_contrast(pictures: Tensor, centre: float = 3.0, spread: float = 5.0) -> Tensor:
    """Luminance less its local mean, over its local deviation: ``(B, 3, H, W)`` to ``(B, 1, H,
    W)``.
    """
    grey = luminance(pictures)
    centred = grey - gaussian_blur(grey, centre)
    return centred / (gaussian_blur(centred.square(), spread).sqrt() + 0.02)


def exponential(velocity: Tensor, first_step: float = FIRST_STEP) -> Tensor:
    """Displacement of the flow of a stationary velocity after one unit of time, by scaling and
    squaring.

    Args:
        velocity: ``(B, 2, H, W)``, x and y, in pixels.
        first_step: Largest displacement, in pixels, that is taken in one step.

    Returns:
        ``(B, 2, H, W)`` in pixels.
    """
    largest = float(velocity.abs().max())
    squarings = max(0, math.ceil(math.log2(largest / first_step))) if largest > 0 else 0
    step = velocity / 2**squarings
    shift = pull(step, 0.5 * step)  # midpoint rule: of second order in the step
    for _ in range(squarings):
        shift = shift + pull(shift, shift)
    return shift


def pull(values: Tensor, shift: Tensor) -> Tensor:
    """``values(x + shift(x))``, bilinear; beyond the frame the outermost values go on.

    Args:
        values: ``(B, C, H, W)``.
        shift: ``(B, 2, H, W)``, x and y, in pixels.
    """
    height, width = shift.shape[-2:]
    x = (torch.arange(width, device=shift.device) * 2 + 1) / width - 1
    y = (torch.arange(height, device=shift.device) * 2 + 1) / height - 1
    grid = torch.stack([x + shift[:, 0] * (2 / width), y[:, None] + shift[:, 1] * (2 / height)], -1)
    return F.grid_sample(values, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _resized(values: Tensor, frame: Frame) -> Tensor:
    size = (frame.height, frame.width)
    return values if values.shape[-2:] == size else F.interpolate(values, size=size, mode="area")


def _read(values: Tensor, frame: Frame, positions: Tensor) -> Tensor:
    """``values`` (C, h + 2 m, w + 2 m), at the pixel centres of ``frame`` and a margin, at field
    coordinates.

    Bilinear, and beyond the margin constant; ``positions`` are ``(H, W, 2)``, the result is ``(H,
    W, C)``.
    """
    size = positions.new_tensor([values.shape[-1], values.shape[-2]])
    grid = positions * (2 * frame.half_extent) / size
    found = F.grid_sample(
        values[None].to(grid),
        grid[None],
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    return found[0].permute(1, 2, 0)


def _extended(values: Tensor, axis: int, by: int = 2 * MARGIN) -> Tensor:
    """Let the values go on linearly at both ends of an axis."""
    count = values.shape[axis]
    first, last = values.narrow(axis, 0, 1), values.narrow(axis, count - 1, 1)
    inner = min(1, count - 1)
    slopes = first - values.narrow(axis, inner, 1), last - values.narrow(axis, count - 1 - inner, 1)
    steps = torch.arange(1, by + 1, device=values.device, dtype=values.dtype)
    steps = steps[:, None] if axis == -2 else steps
    return torch.cat([first + slopes[0] * steps.flip(0), values, last + slopes[1] * steps], axis)
