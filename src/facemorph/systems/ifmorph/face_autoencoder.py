"""An autoencoder of faces, for generative blending: encode both warped pictures, interpolate,
decode.

Source: Schardong et al., Neural Implicit Morphing of Face Images (CVPR 2024), section 3.3 and
poster: ``D((1 - t) C_0 + t C_1)`` with the diffusion autoencoder of Preechakul et al. (2022). That
network and its weights are not part of facemorph; any object with the three methods of
``facemorph.ops.blending.FaceAutoencoder`` can stand in its place (docs/blending.md). This one is
small, trained on the user's own photographs, and knows nothing beyond them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from facemorph.engine.optimizers import adam_with_schedule
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.networks.autoencoder import ConvolutionalAutoencoder, padded_to, reconstruction_psnr


class PictureBatch(TypedDict):
    """Pieces of pictures ``(B, 3, h, w)``."""

    images: Tensor


class FaceAutoencoder(LightningModule):
    """Trains a ``ConvolutionalAutoencoder`` on pieces of photographs, by the mean absolute error.

    Args:
        network: The autoencoder; the default one when None.
        learning_rate: Step size of Adam.
        schedule: ``constant``, or ``cosine`` down to a hundredth over the whole run.
    """

    def __init__(
        self,
        network: ConvolutionalAutoencoder | None = None,
        learning_rate: float = 2e-3,
        schedule: str = "cosine",
    ) -> None:
        super().__init__()
        self.network = ConvolutionalAutoencoder() if network is None else network
        self.learning_rate, self.schedule = learning_rate, schedule

    def training_step(self, batch: PictureBatch, batch_idx: int) -> Tensor:
        """Mean absolute error there and back."""
        loss = (self.network(batch["images"]) - batch["images"]).abs().mean()
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self) -> None:
        """PSNR of the first photographs."""
        images = self.trainer.datamodule.examples()  # type: ignore[attr-defined]
        value = reconstruction_psnr(
            self.network, padded_to(images.to(self.device), self.network.stride)
        )
        self.log("quality/psnr", value, prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Adam on the network."""
        return adam_with_schedule(
            self.network.parameters(),
            self.learning_rate,
            self.schedule,
            int(self.trainer.estimated_stepping_batches),
        )

    # ------------------------------------------------------------
    # FaceAutoencoder
    def encode(self, image: Tensor) -> Tensor:
        """Latent grid of ``image`` (1, 3, H, W) in [0, 1]."""
        return self.network.encode(padded_to(image, self.network.stride))

    def interpolate(self, first: Tensor, second: Tensor, time: float) -> Tensor:
        """``(1 - time) first + time second``."""
        return torch.lerp(first, second, time)

    def decode(self, latent: Tensor) -> Tensor:
        """Picture of a latent grid; its sides are multiples of the network's stride."""
        return self.network.decode(latent)

    @torch.no_grad()
    def infer(self, output: Path, *, image: str | Path) -> list[Path]:
        """Write a photograph there and back.

        Args:
            output: A picture's file.
            image: The photograph.

        Raises:
            ImageError: It cannot be read.
            OutputError: The result cannot be written.
        """
        picture = load_image(image).to(self.device)
        height, width = picture.shape[1:]
        again = self.decode(self.encode(picture[None]))[0, :, :height, :width]
        return [save_image(again.clamp(0, 1), Path(output), synthetic=True)]
