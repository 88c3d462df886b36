"""What a picture network learns a Poisson blend from: gradients inside a mask, colours outside of
it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from facemorph.data.resumable import SeededStepDataModule
from facemorph.errors import CheckpointError, ConfigError, GeometryError
from facemorph.faces.masks import carried_mask, read_mask_shape
from facemorph.faces.pair import prepare_pair
from facemorph.fields.image_fields import SplineImage
from facemorph.fields.warps.blended_pairs import blend_pair, hard_mask, target_share, warp_pair
from facemorph.fields.warps.choices import OUTSIDES
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.ops.frames import Frame
from facemorph.ops.poisson import GUIDANCES, erode, stronger
from facemorph.storage.checkpoint import load_system
from facemorph.systems.ifmorph.poisson_losses import PoissonBatch


class PoissonSamples(SeededStepDataModule):
    """Batches ``PoissonBatch`` of one frame of a morph; ``image`` is the direct solution, to
    measure against.

    The wanted gradients are those of the cubic splines through both *warped* pictures, at pixel
    centres in the mask: by the chain rule the warp's Jacobian is in them. Colours are known outside
    of the mask eroded, in two dimensions, by ``border`` pixels, so that the two overlap and the
    picture is held along the seam.

    Args:
        a: First photograph; the pair is warped by the closed form.
        b: Second photograph.
        checkpoint: Or a morph that is already fitted or trained, with its own pictures: a
            checkpoint of ``NeuralWarp``.
        time: Time of the frame in [0, 1].
        gradient: ``average``, ``mix``, ``source`` or ``target``, see
            ``facemorph.ops.poisson.guidance``.
        outside: Whose hair, clothes and background: ``source``, ``target`` or ``mix``.
        mask: See ``facemorph.faces.masks.read_mask_shape``.
        border: Width of the overlap in pixels, at least 1.
        size: Longer side of the frame in pixels; with a checkpoint, that of its pictures.
        batch_size: Points of one step, inside and outside each.
        steps_per_epoch: Steps between two measurements of quality.
        seed: Seed of all batches.

    Raises:
        ConfigError: An option is none of the possible ones.
    """

    image: Tensor

    def __init__(
        self,
        a: str | Path | None = None,
        b: str | Path | None = None,
        checkpoint: str | Path | None = None,
        time: float = 0.5,
        gradient: str = "average",
        outside: str = "source",
        mask: str | Path = "face",
        border: int = 2,
        size: int = 512,
        batch_size: int = 8192,
        steps_per_epoch: int = 100,
        seed: int = 0,
    ) -> None:
        super().__init__(steps_per_epoch, seed)
        if (checkpoint is None) == (a is None or b is None) or (
            checkpoint is not None and (a or b)
        ):
            raise ConfigError(
                "a blend is of two photographs, or of a morph's checkpoint",
                where="data",
                expected="data.a and data.b, or data.checkpoint",
                found=f"a={a}, b={b}, checkpoint={checkpoint}",
            )
        if gradient not in GUIDANCES:
            raise ConfigError(
                "unknown gradients",
                where="data.gradient",
                expected=" | ".join(GUIDANCES),
                found=gradient,
            )
        if outside not in OUTSIDES:
            raise ConfigError(
                "unknown background",
                where="data.outside",
                expected=" | ".join(OUTSIDES),
                found=outside,
            )
        if not 0 <= time <= 1:
            raise ConfigError(
                "a morph has no such time", where="data.time", expected="0 to 1", found=time
            )
        if border < 1 or batch_size < 1:
            raise ConfigError(
                "it must be at least 1",
                where="data.border, data.batch_size",
                found=f"{border}, {batch_size}",
            )
        self.inputs, self.checkpoint, self.size = (a, b), checkpoint, size
        self.time, self.gradient, self.outside, self.shape = (
            time,
            gradient,
            outside,
            read_mask_shape(mask),
        )
        self.border, self.batch_size = border, batch_size
        self.ready = False

    def setup(self, stage: str | None = None) -> None:
        """Warp both pictures and take their gradients, once.

        Raises:
            CheckpointError: The checkpoint holds no morph.
            GeometryError: The mask leaves nothing inside or nothing outside.
        """
        if self.ready:
            return
        with torch.no_grad():
            parts = (
                self._photographs()
                if self.checkpoint is None
                else self._checkpoint(self.checkpoint)
            )
            self._take(*(part.float().cpu() for part in parts))
        self.ready = True

    def _photographs(self) -> tuple[Tensor, Tensor, Tensor]:
        a, b = self.inputs
        pair = prepare_pair(a, b, size=self.size)  # type: ignore[arg-type]
        # Points of hand-made templates are exact, detected ones are not; here they are detected.
        warp = ThinPlateFlow(smoothing=1e-3).fit(pair.source, pair.target, pair.frame)
        first, second = warp_pair(
            warp, SplineImage(pair.image_a), SplineImage(pair.image_b), pair.frame, self.time
        )
        mask = carried_mask(
            self.shape,
            pair.source,
            lambda points: warp(points, 0.0, self.time),
            pair.frame,
            pair.frame,
        )
        return first, second, mask

    def _checkpoint(self, checkpoint: str | Path) -> tuple[Tensor, Tensor, Tensor]:
        system = load_system(checkpoint)
        if not hasattr(system, "warped"):
            raise CheckpointError(
                "this checkpoint holds no morph",
                where=checkpoint,
                found=type(system).__name__,
                expected="NeuralWarp",
                remedy="Give one of experiment=ifmorph/pair, say.",
            )
        return *system.warped(self.time), system.mask(self.time, system.frame, self.shape)

    def _take(self, first: Tensor, second: Tensor, soft: Tensor) -> None:
        """Points, gradients and colours of the frame from both warped pictures ``(3, H, W)`` and
        the mask.
        """
        frame, inner = Frame.of(first), hard_mask(soft)
        centres = frame.pixel_centres()
        outer = ~erode(inner, self.border)  # with an overlap along the seam
        if not bool(inner.any()) or not bool(outer.any()):
            raise GeometryError(
                "a Poisson blend needs pixels inside and outside of its mask",
                where="data.mask",
                found=f"{int(inner.sum())} inside, {int(outer.sum())} outside",
            )
        self.inside, self.outer = centres[inner[0]], centres[outer[0]]
        slopes = [
            SplineImage(picture)(self.inside, order=1).jacobian for picture in (first, second)
        ]
        self.slopes = self._wanted(*slopes)
        elsewhere = target_share(torch.zeros_like(soft), self.time, self.outside)
        self.colours = torch.lerp(first, second, elsewhere)[:, outer[0]].t().contiguous()
        self.image = blend_pair(
            first, second, soft, self.time, f"poisson_{self.gradient}", self.outside
        )

    def _wanted(self, first: Tensor, second: Tensor) -> Tensor:
        """Gradients ``(N, 3, 2)`` to be met, in field units."""
        if self.gradient == "average":
            return torch.lerp(first, second, self.time)
        if self.gradient == "mix":
            return stronger(first, second, self.time)
        return first if self.gradient == "source" else second

    def make_batch(self, generator: torch.Generator, step: int) -> PoissonBatch:
        """Random points of one step, see the class."""
        inside, outside = (
            torch.randint(len(points), (self.batch_size,), generator=generator)
            for points in (self.inside, self.outer)
        )
        return {
            "inside": self.inside[inside],
            "gradient": self.slopes[inside],
            "xy": self.outer[outside],
            "colour": self.colours[outside],
        }
