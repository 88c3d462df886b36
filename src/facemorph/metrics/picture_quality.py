"""How far a picture is from a reference: PSNR, SSIM, LPIPS."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from facemorph.errors import DataError


class PictureQuality:
    """Compares pictures with references.

    Args:
        lpips: The LPIPS network with its weights; without it that distance is left out.
    """

    def __init__(self, lpips: nn.Module | None = None) -> None:
        self.lpips = lpips

    def __call__(
        self, picture: Tensor, reference: Tensor, name: str | Path = "picture"
    ) -> dict[str, float]:
        """``psnr`` in dB (infinite for equal pictures: left out), ``ssim`` and ``lpips``.

        Args:
            picture: ``(3, H, W)`` in [0, 1].
            reference: The same shape.
            name: What to call the picture in messages.

        Raises:
            DataError: The shapes differ.
        """
        if picture.shape != reference.shape:
            raise DataError(
                "the picture and its reference differ in shape",
                where=name,
                expected=tuple(reference.shape),
                found=tuple(picture.shape),
            )
        error = float((picture.double() - reference.double()).square().mean())
        found = {} if error == 0 else {"psnr": float(-10 * torch.tensor(error).log10())}
        similarity = structural_similarity_index_measure(
            picture[None], reference[None], data_range=1.0
        )
        found["ssim"] = float(torch.as_tensor(similarity))
        if self.lpips is not None:
            device = next(self.lpips.parameters()).device
            found["lpips"] = float(self.lpips(picture[None].to(device), reference[None].to(device)))
        return found
