"""One picture as random samples of points and colours, on which an image field is trained."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from facemorph.data.resumable import SeededStepDataModule
from facemorph.errors import ConfigError
from facemorph.faces.checks.face_cut import say_on_white
from facemorph.faces.pair import prepare_face
from facemorph.fields.image_fields import SplineImage
from facemorph.ops.blending import pyramid_down, pyramid_up
from facemorph.ops.frames import Frame

SAMPLINGS = ("pixels", "continuous")


class PixelSamples(SeededStepDataModule):
    """Batches ``{"xy": (N, 2), "colour": (N, 3)}`` of one picture.

    Args:
        image: The picture.
        points: Landmark file; found by the detector when None and ``align`` needs them.
        size: Longer side of the frame in pixels.
        detector: Landmark detector.
        align: How the face is cut; ``none`` takes the whole picture and needs no face.
        sampling: ``pixels``: pixel centres drawn with replacement, as the paper does;
            ``continuous``: any points, with the colours of the spline through the pixels, so that
            the field is right between them too.
        batch_size: Points of one step.
        steps_per_epoch: Steps between two measurements of quality.
        seed: Seed of all batches.
        level_epochs: Epochs on each coarser level of the picture's Gaussian pyramid, the coarsest
            first, before the picture itself; none when empty. For a field with stages, see
            ``level``.

    Raises:
        ConfigError: ``sampling`` is none of the two, or an epoch is below 1.
    """

    def __init__(
        self,
        image: str | Path,
        points: str | Path | None = None,
        size: int = 512,
        detector: str = "embedded",
        align: str = "portrait",
        sampling: str = "pixels",
        batch_size: int = 16384,
        steps_per_epoch: int = 100,
        seed: int = 0,
        level_epochs: Sequence[int] = (),
    ) -> None:
        super().__init__(steps_per_epoch, seed)
        if sampling not in SAMPLINGS:
            raise ConfigError(
                "unknown sampling",
                where="data.sampling",
                expected=" | ".join(SAMPLINGS),
                found=sampling,
            )
        self.inputs = {
            "image": image,
            "points": points,
            "size": size,
            "detector": detector,
            "align": align,
        }
        if any(epochs < 1 for epochs in level_epochs):
            raise ConfigError(
                "a level needs an epoch",
                where="data.level_epochs",
                expected="1 or more each",
                found=list(level_epochs),
            )
        self.sampling, self.batch_size, self.level_epochs = (
            sampling,
            batch_size,
            tuple(level_epochs),
        )
        self.image: Tensor | None = None

    def setup(self, stage: str | None = None) -> None:
        """Load and cut the picture, once."""
        if self.image is None:
            self.image = prepare_face(**self.inputs).image  # type: ignore[arg-type]
            say_on_white(self.inputs["image"])  # type: ignore[arg-type]
            self.frame = Frame.of(self.image)
            levels = [
                smoothed(self.image, halvings) for halvings in range(len(self.level_epochs), -1, -1)
            ]
            self.splines = [SplineImage(level) for level in levels]
            self.centres = self.frame.pixel_centres().reshape(-1, 2)
            self.colours = [level.flatten(1).t().contiguous() for level in levels]

    def level(self, epoch: int) -> int:
        """Level of the pyramid that an epoch is trained on: 0 the coarsest, ``len(level_epochs)``
        the picture.
        """
        return sum(epoch >= end for end in accumulate(self.level_epochs))

    def make_batch(self, generator: torch.Generator, step: int) -> dict[str, Tensor]:
        """Samples of one step, see the class."""
        level = self.level(step // self.steps_per_epoch)
        if self.sampling == "pixels":
            index = torch.randint(len(self.centres), (self.batch_size,), generator=generator)
            return {"xy": self.centres[index], "colour": self.colours[level][index]}
        half = self.centres.new_tensor([self.frame.width, self.frame.height]) / (
            2 * self.frame.half_extent
        )
        xy = (torch.rand(self.batch_size, 2, generator=generator) * 2 - 1) * half
        return {"xy": xy, "colour": self.splines[level].sample(xy[None])[:, 0].t()}


def smoothed(image: Tensor, halvings: int) -> Tensor:
    """``image`` (3, H, W) reduced and expanded again ``halvings`` times: a level of its Gaussian
    pyramid.
    """
    sizes, level = [], image[None]
    for _ in range(halvings):
        if min(level.shape[-2:]) < 8:
            break
        sizes.append(level.shape[-2:])
        level = pyramid_down(level)
    for size in reversed(sizes):
        level = pyramid_up(level, size)
    return level[0]
