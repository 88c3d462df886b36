"""Augmentation of what a discriminator sees: pictures and their conditions by the same transform.

After DiffAugment (Zhao et al. 2020) and ADA (Karras et al. 2020): a discriminator that never sees a
picture as it is cannot learn a small set by heart, and if the transforms lose nothing, the
generator does not learn them.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from facemorph.engine.step_noise import StepNoise
from facemorph.errors import ConfigError

SPEED = 500_000  # images in which the probability can go from 0 to 1 (ADA)
COLOURS = 3  # the first channels of the conditions are a render, which has the picture's colours


class JointAugmentation(nn.Module):
    """Moves, scales and cuts pictures with their conditions, and changes both's colours alike.

    No turns and no mirror images: normals and texture coordinates would have to turn too.

    Args:
        probability: Share of the pictures that each transform is done to; with ``target`` that to
            begin with.
        shift: Largest shift, in the side of a picture.
        scale: Largest change of size, as a share.
        cutout: Side of the square that is cut out, in that of a picture.
        brightness: Largest change.
        saturation: Largest change, as a share.
        contrast: Largest change, as a share.
        target: Share of real pictures that the discriminator should take for real, to which the
            probability is adapted (ADA takes 0.6); None leaves it as it is.

    Raises:
        ConfigError: A number is out of range.
    """

    level: Tensor

    def __init__(
        self,
        probability: float = 1.0,
        shift: float = 0.125,
        scale: float = 0.1,
        cutout: float = 0.0,
        brightness: float = 0.1,
        saturation: float = 0.2,
        contrast: float = 0.2,
        target: float | None = None,
    ) -> None:
        super().__init__()
        for name, value in (
            ("probability", probability),
            ("shift", shift),
            ("scale", scale),
            ("cutout", cutout),
            ("brightness", brightness),
            ("saturation", saturation),
            ("contrast", contrast),
            ("target", target),
        ):
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(
                    "out of range",
                    where=f"system.augmentation.{name}",
                    expected="0 to 1",
                    found=value,
                )
        self.shift, self.scale, self.cutout = shift, scale, cutout
        self.brightness, self.saturation, self.contrast = brightness, saturation, contrast
        self.target = target
        self.register_buffer("level", torch.tensor(float(probability)))
        self._noted, self._count = torch.zeros(()), 0

    def watch(self, scores: Tensor) -> None:
        """Take note of scores of real pictures ``(B, ...)``, one part of a batch."""
        if self.target is not None:
            signs = (scores.detach().float() > 0).float() * 2 - 1
            each = signs.flatten(1).mean(1) if signs.ndim > 1 else signs
            self._noted += each.sum().cpu()
            self._count += len(signs)

    def settle(self) -> None:
        """After a batch: move the probability towards the target (ADA, eq. 1: the mean sign of the
        real scores), alike in all processes.
        """
        if self.target is None or not self._count:
            return
        total = torch.stack([self._noted, torch.tensor(float(self._count))])
        if dist.is_available() and dist.is_initialized():
            total = total.to(self.level.device)
            dist.all_reduce(total)
        above, count = total.tolist()
        step = count / SPEED * (1 if above / count > self.target else -1)
        self.level.copy_((self.level + step).clamp(0, 1))
        self._noted, self._count = torch.zeros(()), 0

    def forward(
        self, images: Tensor, conditions: Tensor, noise: StepNoise, name: str
    ) -> tuple[Tensor, Tensor]:
        """Both, transformed row by row.

        Args:
            images: ``(B, 3, S, S)`` in [0, 1].
            conditions: ``(B, C, S, S)``, a render first.
            noise: The step's random numbers.
            name: For what; the same name gives the same transforms in a step.
        """
        if float(self.level) == 0:
            return images, conditions
        chosen = noise.uniform(f"{name} chosen", 6) < self.level
        drawn = 2 * noise.uniform(f"{name} drawn", 8) - 1
        both = torch.cat([images, conditions], 1)
        both = self._moved(both, chosen, drawn)
        channels = images.shape[1]
        coloured = self._coloured(both[:, : channels + COLOURS], chosen, drawn)
        both = torch.cat([coloured, both[:, channels + COLOURS :]], 1)
        both = self._cut(both, chosen, drawn)
        return both[:, :channels], both[:, channels:]

    def _moved(self, both: Tensor, chosen: Tensor, drawn: Tensor) -> Tensor:
        if not (self.shift or self.scale):
            return both
        size = 1 + self.scale * drawn[:, 0] * chosen[:, 0]
        shift = 2 * self.shift * drawn[:, 1:3] * chosen[:, 1:2]
        matrix = both.new_zeros(len(both), 2, 3)
        matrix[:, 0, 0] = matrix[:, 1, 1] = size
        matrix[:, :, 2] = shift
        grid = functional.affine_grid(matrix, list(both.shape), align_corners=False)
        return functional.grid_sample(
            both, grid.to(both.dtype), padding_mode="reflection", align_corners=False
        )

    def _coloured(self, both: Tensor, chosen: Tensor, drawn: Tensor) -> Tensor:
        """Picture and render ``(B, 6, S, S)``; black around a render stays black."""
        pairs = both.unflatten(1, (2, 3))
        there = (pairs.abs().sum(2, keepdim=True) > 0).to(both.dtype)

        def row(index: int, size: float) -> Tensor:
            return (size * drawn[:, index] * chosen[:, index - 1]).view(-1, 1, 1, 1, 1)

        pairs = pairs + row(4, self.brightness) * there
        grey = pairs.mean(2, keepdim=True)
        pairs = grey + (pairs - grey) * (1 + row(5, self.saturation))
        pairs = 0.5 * there + (pairs - 0.5 * there) * (1 + row(6, self.contrast))
        return pairs.flatten(1, 2)

    def _cut(self, both: Tensor, chosen: Tensor, drawn: Tensor) -> Tensor:
        if not self.cutout:
            return both
        side = both.shape[-1]
        place = (torch.arange(side, device=both.device) + 0.5) / side * 2 - 1
        across = (place[None] - drawn[:, 3:4]).abs() < self.cutout
        down = (place[None] - drawn[:, 7:8]).abs() < self.cutout
        inside = across[:, None, None, :] & down[:, None, :, None] & chosen[:, 2, None, None, None]
        return both * (~inside)
