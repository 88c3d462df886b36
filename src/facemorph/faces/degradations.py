"""What happens to a photograph on its way into a passport: compression to a few kilobytes, printing
and scanning.

The print-scan model is a simulation of our own, in the order of the real process: the print's
resolution and dot gain, the colours of printer and scanner, the scanner's blur, noise and a slight
turn. It is made for comparing methods under the same loss, not for reproducing a certain device.
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from facemorph.errors import ConfigError, ImageError
from facemorph.faces.files.image_io import resize_image
from facemorph.faces.files.image_output import to_picture
from facemorph.ops.filters import gaussian_blur
from facemorph.ops.shapes import check_shape

PASSPORT_BYTES = 15_000  # ICAO Doc 9303, part 9: 15 to 20 kB for a face image
LARGEST_TURN = 0.4  # degrees
SMALLEST_PRINT = 64


def jpeg2000(image: Tensor, max_bytes: int = PASSPORT_BYTES) -> tuple[Tensor, bytes]:
    """Compress with JPEG 2000 to a size.

    Args:
        image: ``(3, H, W)`` in [0, 1].
        max_bytes: Largest size of the file.

    Returns:
        The picture as it is read back, ``(3, H, W)``, and the file's content.

    Raises:
        ConfigError: No compression makes it that small, or the size is none.
    """
    check_shape(image, "3 H W", "image")
    check_jpeg2000_bytes(max_bytes)
    picture = to_picture(image)
    raw = 3 * picture.width * picture.height
    rate = max(raw / max_bytes, 1.0)
    for _ in range(12):
        content = _encoded(
            picture, "JPEG2000", quality_mode="rates", quality_layers=[rate], irreversible=True
        )
        if len(content) <= max_bytes:
            return _decoded(content), content
        rate *= 1.02 * len(content) / max_bytes  # headers and rounding
    raise ConfigError(
        "no picture of this size is so small",
        where="jpeg2000",
        found=max_bytes,
        expected=f"more than {len(content)} bytes for {picture.width} x {picture.height}",
    )


def jpeg(image: Tensor, quality: int = 75) -> tuple[Tensor, bytes]:
    """Compress with JPEG: the picture ``(3, H, W)`` as it is read back, and the file's content.

    Args:
        image: ``(3, H, W)`` in [0, 1].
        quality: 1 to 95.

    Raises:
        ConfigError: ``quality`` is out of its range.
    """
    check_shape(image, "3 H W", "image")
    check_jpeg_quality(quality)
    content = _encoded(to_picture(image), "JPEG", quality=quality)
    return _decoded(content), content


def print_scan(
    image: Tensor, seed: int = 0, print_pixels: int = 420, strength: float = 1.0
) -> Tensor:
    """Simulate printing and scanning.

    Args:
        image: ``(3, H, W)`` in [0, 1].
        seed: Of noise, colours and turn: each seed is another pass through printer and scanner.
        print_pixels: Resolution of the print along its longer side; 420 is a passport photograph at
            240 dpi.
        strength: 0 changes nothing but the resolution; 1 is a usual office printer.

    Returns:
        ``(3, H, W)`` in [0, 1], the same for the same arguments.

    Raises:
        ConfigError: An argument is out of its range.
    """
    sizes = check_shape(image, "3 H W", "image")
    check_print(print_pixels, strength)
    height, width = sizes["H"], sizes["W"]
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(8, generator=generator) * strength
    scale = min(1.0, print_pixels / max(height, width))
    small = resize_image(image.cpu(), (max(1, round(height * scale)), max(1, round(width * scale))))
    small = gaussian_blur(small[None], 0.45 * strength)[0]  # dot gain
    small = small + 0.012 * strength * torch.randn(small.shape, generator=generator)  # halftone
    gain = 1 + 0.02 * drawn[:3, None, None]
    small = (
        0.03 * strength
        + (1 - 0.07 * strength) * (small.clamp(0, 1) ** (1 + 0.05 * drawn[3])) * gain
    )
    scanned = resize_image(small.clamp(0, 1), (height, width))
    scanned = _turned(scanned, math.radians(LARGEST_TURN) * float(drawn[4].clamp(-1, 1)))
    scanned = gaussian_blur(scanned[None], 0.5 * strength)[0]
    scanned = scanned + 0.006 * strength * torch.randn(scanned.shape, generator=generator)
    return scanned.clamp(0, 1)


def check_jpeg2000_bytes(max_bytes: int) -> None:
    """Raise a ConfigError where no file can have that size."""
    if max_bytes < 1:
        raise ConfigError(
            "unusable size of a file",
            where="jpeg2000",
            expected="bytes, such as 15000",
            found=max_bytes,
        )


def check_jpeg_quality(quality: int) -> None:
    """Raise a ConfigError where JPEG has no such quality."""
    if not 1 <= quality <= 95:
        raise ConfigError("unusable quality", where="jpeg", expected="1 to 95", found=quality)


def check_print(print_pixels: int = SMALLEST_PRINT, strength: float = 1.0) -> None:
    """Raise a ConfigError where ``print_scan`` knows no such print."""
    if print_pixels < SMALLEST_PRINT or not 0 <= strength <= 3:
        raise ConfigError(
            "unusable print",
            where="print_scan",
            found=f"{print_pixels} pixels, strength {strength}",
            expected=f"at least {SMALLEST_PRINT} pixels, strength 0 to 3",
        )


def _turned(image: Tensor, angle: float) -> Tensor:
    height, width = image.shape[1:]
    if angle == 0:
        return image
    cos, sin = math.cos(angle), math.sin(angle)
    theta = torch.tensor([[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]])
    grid = F.affine_grid(theta[None], [1, 3, height, width], align_corners=False)
    return F.grid_sample(
        image[None], grid, mode="bicubic", padding_mode="border", align_corners=False
    )[0]


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    try:
        picture.save(buffer, kind, **options)
    except OSError as error:
        raise ImageError(
            f"{kind} cannot be written by this Pillow",
            found=str(error),
            remedy="Install a Pillow with OpenJPEG.",
        ) from error
    return buffer.getvalue()


def _decoded(content: bytes) -> Tensor:
    with Image.open(io.BytesIO(content)) as picture:
        array = np.asarray(picture.convert("RGB"), np.float32) / 255
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()
