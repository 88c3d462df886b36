"""A small convolutional autoencoder of pictures."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError

MOST_LEVELS = 16


class _Residual(nn.Module):
    """``x + conv(silu(conv(silu(x))))``, the identity at the start of the training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(width, width, 3, padding=1),
            nn.Conv2d(width, width, 3, padding=1),
        )
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


class ConvolutionalAutoencoder(nn.Module):
    """Pictures to a latent grid and back.

    Space is folded into channels (pixel unshuffle) and unfolded again, so that no detail is thrown
    away before the narrowest layer.

    Args:
        width: Channels at half of the resolution; doubled at each level.
        latent_channels: Channels of the latent grid.
        levels: How often the resolution is halved.

    Raises:
        ConfigError: One of them is below 1, or there are more levels than pictures have.
    """

    def __init__(self, width: int = 32, latent_channels: int = 32, levels: int = 3) -> None:
        super().__init__()
        if min(width, latent_channels, levels) < 1 or levels > MOST_LEVELS:
            raise ConfigError(
                "this is no autoencoder",
                where="width, latent_channels, levels",
                expected=f"1 or more, and at most {MOST_LEVELS} levels",
                found=f"{width}, {latent_channels}, {levels}",
            )
        self.stride = 2**levels
        inward: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(12, width, 3, padding=1)]
        # from its end
        outward: list[nn.Module] = [nn.PixelShuffle(2), nn.Conv2d(width, 12, 3, padding=1)]
        for _ in range(levels - 1):
            inward += [_Residual(width), nn.PixelUnshuffle(2), nn.Conv2d(4 * width, 2 * width, 1)]
            outward += [_Residual(width), nn.PixelShuffle(2), nn.Conv2d(2 * width, 4 * width, 1)]
            width *= 2
        inward += [_Residual(width), nn.Conv2d(width, latent_channels, 1)]
        outward += [_Residual(width), nn.Conv2d(latent_channels, width, 1)]
        self.encoder, self.decoder = nn.Sequential(*inward), nn.Sequential(*reversed(outward))

    def encode(self, images: Tensor) -> Tensor:
        """Latent grids ``(B, C, h, w)`` of ``images`` (B, 3, H, W) in [0, 1], H and W multiples of
        ``stride``.
        """
        latent: Tensor = self.encoder(images)
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """Pictures ``(B, 3, H, W)``, in about [0, 1], of latent grids ``(B, C, h, w)``."""
        images: Tensor = self.decoder(latent)
        return images

    def forward(self, images: Tensor) -> Tensor:
        """Pictures there and back."""
        return self.decode(self.encode(images))


def padded_to(image: Tensor, multiple: int) -> Tensor:
    """``image`` (B, 3, H, W) continued at the bottom and right to sides that are multiples of
    ``multiple``.
    """
    height, width = image.shape[-2:]
    return (
        F.pad(image, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        if (height % multiple or width % multiple)
        else image
    )


def reconstruction_psnr(network: nn.Module, images: Tensor) -> float:
    """PSNR in dB of pictures ``(B, 3, H, W)`` there and back."""
    with torch.no_grad():
        error = (network(images).clamp(0, 1) - images).square().mean().clamp_min(1e-12)
    return float(-10 * error.log10())
