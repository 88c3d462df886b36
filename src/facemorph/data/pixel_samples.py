"""One picture as random samples of points and colours, on which an image field is trained."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from facemorph.data.resumable import SeededStepDataModule
from facemorph.errors import ConfigError
from facemorph.faces.pair import prepare_face
from facemorph.fields.image_fields import SplineImage
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
        sampling: ``pixels``: pixel centres drawn with replacement, as the paper does; ``continuous``: any
            points, with the colours of the spline through the pixels, so that the field is right between them
            too.
        batch_size: Points of one step.
        steps_per_epoch: Steps between two measurements of quality.
        seed: Seed of all batches.

    Raises:
        ConfigError: ``sampling`` is none of the two.
    """

    def __init__(self, image: str | Path, points: str | Path | None = None, size: int = 512,
                 detector: str = "embedded", align: str = "portrait", sampling: str = "pixels",
                 batch_size: int = 16384, steps_per_epoch: int = 100, seed: int = 0) -> None:
        super().__init__(steps_per_epoch, seed)
        if sampling not in SAMPLINGS:
            raise ConfigError(
                "unknown sampling", where="data.sampling", expected=" | ".join(SAMPLINGS), found=sampling
            )
        self.inputs = {"image": image, "points": points, "size": size, "detector": detector, "align": align}
        self.sampling, self.batch_size = sampling, batch_size
        self.image: Tensor | None = None

    def setup(self, stage: str | None = None) -> None:
        """Load and cut the picture, once."""
        if self.image is None:
            self.image = prepare_face(**self.inputs).image  # type: ignore[arg-type]
            self.spline = SplineImage(self.image)
            self.centres = Frame.of(self.image).pixel_centres().reshape(-1, 2)
            self.colours = self.image.flatten(1).t().contiguous()

    def make_batch(self, generator: torch.Generator, step: int) -> dict[str, Tensor]:
        """Samples of one step, see the class."""
        if self.sampling == "pixels":
            index = torch.randint(len(self.centres), (self.batch_size,), generator=generator)
            return {"xy": self.centres[index], "colour": self.colours[index]}
        half = self.centres.new_tensor([self.spline.frame.width, self.spline.frame.height]) / (
            2 * self.spline.frame.half_extent)
        xy = (torch.rand(self.batch_size, 2, generator=generator) * 2 - 1) * half
        return {"xy": xy, "colour": self.spline.sample(xy[None])[:, 0].t()}
