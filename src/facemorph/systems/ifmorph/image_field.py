"""A picture learnt by a coordinate network: the "initial states" of ifmorph, and its Poisson
blends.

Source: Schardong et al., Neural Implicit Morphing of Face Images (CVPR 2024), section 3.1, and the
authors' ``create-initial-states``: least squares on random pixels with Adam.

| equation | here |
|---|---|
| I(x): R^2 -> RGB | ``field`` (``facemorph.fields.image_fields``) |
| E |I(x) - colour(x)|^2, summed over channels | ``training_step`` |
| Poisson blending (section 3.3) | ``loss`` (``facemorph.systems.ifmorph.poisson_losses``) |

Departures: samples may lie between pixels (``data.sampling=continuous``); the best epoch is chosen
by the measured PSNR at all pixel centres instead of the noisy sum of step losses; every image
starts from fresh weights *and* biases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from facemorph.engine.optimizers import adam_with_schedule
from facemorph.faces.files.image_output import save_image
from facemorph.fields.image_fields import SplineImage, render_field
from facemorph.fields.lazy_buffers import LazyBuffers
from facemorph.fields.multiresolution_siren import MultiresolutionSiren
from facemorph.ops.frames import Frame


class PixelBatch(TypedDict):
    """Points ``(N, 2)`` in field coordinates and their colours ``(N, 3)``."""

    xy: Tensor
    colour: Tensor


class ImageField(LazyBuffers, LightningModule):
    """Trains one image field on one picture.

    Args:
        field: The network to train.
        learning_rate: Step size of Adam.
        schedule: ``constant``, or ``cosine`` down to a hundredth over the whole run.
        loss: From the field and a batch to named terms and their ``total``; least squares on the
            colours when None.
    """

    def __init__(
        self,
        field: nn.Module,
        learning_rate: float = 1e-4,
        schedule: str = "constant",
        loss: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.field, self.learning_rate, self.schedule = field, learning_rate, schedule
        self.declare_buffers("frame_size")

    def setup(self, stage: str) -> None:
        """Note the picture's size."""
        image = self.trainer.datamodule.image  # type: ignore[attr-defined]
        self.frame_size = torch.tensor(image.shape[1:])

    def on_train_epoch_start(self) -> None:
        """Begin the field's next stage, if it has stages and the data have come to the
        next level.
        """
        if isinstance(self.field, MultiresolutionSiren):
            data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
            self.field.begin_stage(data.level(self.current_epoch))

    def training_step(self, batch: PixelBatch, batch_idx: int) -> Tensor:
        """The loss of a batch of points."""
        if self.loss is not None:
            terms = self.loss(self.field, batch)
            self.log_dict({f"train/{name}": value for name, value in terms.items()})
            total: Tensor = terms["total"]
            return total
        loss = (self.field(batch["xy"]).value - batch["colour"]).square().sum(1).mean()
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self) -> None:
        """Measure it at all pixel centres, and between them against the spline through
        the pixels.
        """
        image = self.trainer.datamodule.image.to(self.device)  # type: ignore[attr-defined]
        for name, value in reconstruction_psnr(self.field, image).items():
            self.log(f"quality/{name}", value, prog_bar=name == "psnr", sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Adam on the field."""
        return adam_with_schedule(
            self.field.parameters(),
            self.learning_rate,
            self.schedule,
            int(self.trainer.estimated_stepping_batches),
        )

    @torch.no_grad()
    def infer(self, output: Path, *, size: int | None = None) -> list[Path]:
        """Write the picture as PNG.

        Args:
            output: A PNG file, or a folder that gets ``reconstruction.png``.
            size: Longer side in pixels; that of training when None.

        Raises:
            OutputError: It cannot be written.
            ConfigError: The size is not usable.
        """
        output = Path(output)
        if not output.suffix:
            output.mkdir(parents=True, exist_ok=True)
            output = output / "reconstruction.png"
        height, width = (int(side) for side in self.frame_size)
        frame = Frame(height, width) if size is None else Frame(height, width).scaled_to(size)
        positions = frame.pixel_centres(device=self.device)
        return [save_image(render_field(self.field, positions), output, synthetic=True)]


@torch.no_grad()
def reconstruction_psnr(field: nn.Module, image: Tensor) -> dict[str, float]:
    """PSNR in dB of ``field`` against ``image`` (3, H, W) in [0, 1].

    Returns:
        ``psnr`` at the pixel centres, ``psnr_between`` at the corners between pixels, against the
        cubic spline.
    """
    spline, frame = SplineImage(image), Frame.of(image)
    centres = frame.pixel_centres(device=image.device)
    corners = centres[:-1, :-1] + 1 / (2 * frame.half_extent)
    pairs = {
        "psnr": (render_field(field, centres), image),
        "psnr_between": (render_field(field, corners), spline.sample(corners)),
    }
    return {
        name: float(
            -10
            * torch.log10((ours.clamp(0, 1) - theirs.clamp(0, 1)).square().mean().clamp_min(1e-15))
        )
        for name, (ours, theirs) in pairs.items()
    }
