"""Writing pictures: whole or not at all, and marked as synthetic where they are."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Mapping
from functools import cache
from importlib import metadata as package_metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from facemorph.errors import ImageError, OutputError
from facemorph.faces.files.image_io import readable_formats
from facemorph.ops.shapes import check_shape
from facemorph.storage.files import write_whole

SYNTHETIC_KEY = "facemorph:synthetic"
SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_EXIF_SOFTWARE, _EXIF_IFD, _EXIF_USER_COMMENT = 0x0131, 0x8769, 0x9286
_COMMENT_CODE = b"ASCII\0\0\0"
_PNG_HEADER_LENGTH = 33  # signature and IHDR chunk


@cache
def _software() -> str:
    try:
        return f"facemorph {package_metadata.version('facemorph-torch')}"
    except package_metadata.PackageNotFoundError:
        return "facemorph"


def to_bytes(image: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture ``(C, H, W)``, values clipped to [0, 1], as an 8-bit array ``(H, W, C)``."""
    array: np.ndarray[Any, np.dtype[np.uint8]]
    array = (
        (image.detach().clamp(0, 1) * 255)
        .round()
        .byte()
        .permute(1, 2, 0)
        .contiguous()
        .cpu()
        .numpy()
    )
    return array


def to_picture(image: Tensor) -> Image.Image:
    """A picture ``(3, H, W)`` for Pillow, 8 bits."""
    return Image.fromarray(to_bytes(image))


def save_image(
    image: Tensor,
    path: str | Path,
    *,
    synthetic: bool = False,
    metadata: Mapping[str, str] | None = None,
    bits: int = 8,
    quality: int = 95,
    compression: int = 6,
) -> Path:
    """Write a picture as PNG, JPEG or WEBP by its suffix.

    The file appears whole or not at all, and a file that was there survives every failure.

    Args:
        image: ``(3, H, W)``, sRGB, or ``(4, H, W)`` with alpha; values outside of [0, 1] are
            clipped.
        path: The file; its folder must exist.
        synthetic: Mark the file as made by facemorph, readable by :func:`read_synthetic_tag`.
        metadata: More texts to write into the file: PNG text chunks; in JPEG and WEBP one EXIF
            comment.
        bits: Per channel: 8, or 16 (PNG only).
        quality: Of JPEG and WEBP, 1 to 100; JPEG without chroma subsampling.
        compression: Effort of an 8-bit PNG, 0 to 9; 2 is twice as fast as 6 for a tenth more bytes.

    Returns:
        The path.

    Raises:
        OutputError: The suffix is unknown, or the file cannot be written; alpha in JPEG or with 16
            bits.
        ImageError: The image has values that are not finite.
    """
    path = Path(path)
    alpha = image.ndim == 3 and image.shape[0] == 4
    height_width = check_shape(image, "4 H W" if alpha else "3 H W", "image")
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise OutputError(
            "unknown kind of picture",
            where=path,
            expected=" ".join(SUFFIXES),
            found=path.suffix or "no suffix",
            remedy="Choose one of these suffixes",
        )
    if bits not in (8, 16) or (bits == 16 and kind != "PNG"):
        raise OutputError("unknown bit depth", where=path, expected="8, or 16 for PNG", found=bits)
    if alpha and (bits != 8 or kind == "JPEG"):
        raise OutputError("alpha cannot be written so", where=path, expected="8-bit .png or .webp")
    array = image.detach().float().permute(1, 2, 0).cpu().numpy()
    bad = int((~np.isfinite(array)).sum())
    if bad or not array.size:
        raise ImageError(
            "image cannot be written",
            where=path,
            expected="finite values",
            found=f"{bad} others of {array.size}" if bad else f"size {height_width}",
        )
    texts = {"Software": _software(), **(metadata or {})}
    if synthetic:
        texts[SYNTHETIC_KEY] = json.dumps({"synthetic": True, "generator": _software()})
    array = np.clip(array, 0, 1) * (2**bits - 1)
    if bits == 16:
        content = _encode_deep_png(np.round(array).astype(np.uint16), texts)
    else:
        picture = Image.fromarray(np.round(array).astype(np.uint8))
        content = _encode(picture, kind, texts, quality, compression)
    write_whole(path, content)
    return path


def uncovered(image: Tensor, alpha: Tensor | None) -> Tensor:
    """A picture that is shown on white, without the white.

    Args:
        image: ``(3, H, W)``.
        alpha: ``(1, H, W)`` in [0, 1]; None for an opaque picture.

    Returns:
        ``(4, H, W)`` with the colours behind the white; an opaque picture itself.
    """
    if alpha is None:
        return image
    alpha = alpha.clamp(0, 1)
    colour = (image - (1 - alpha)) / alpha.clamp(min=1 / 255)
    return torch.cat([torch.where(alpha > 0, colour, torch.ones_like(image)).clamp(0, 1), alpha])


def save_bytes(
    array: np.ndarray,
    path: str | Path,
    *,
    synthetic: bool = False,
    quality: int = 95,
    compression: int = 6,
) -> Path:
    """Write 8-bit values ``(H, W, 3)`` as ``save_image`` does a tensor, without a detour through
    numbers.

    Args:
        array: uint8, sRGB.
        path: The file; its folder must exist.
        synthetic: As of ``save_image``.
        quality: Of JPEG and WEBP.
        compression: Of PNG.

    Returns:
        The path.

    Raises:
        OutputError: The suffix is unknown, or the file cannot be written.
    """
    path = Path(path)
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise OutputError(
            "unknown kind of picture",
            where=path,
            expected=" ".join(SUFFIXES),
            found=path.suffix or "no suffix",
            remedy="Choose one of these suffixes",
        )
    texts = {"Software": _software()}
    if synthetic:
        texts[SYNTHETIC_KEY] = json.dumps({"synthetic": True, "generator": _software()})
    write_whole(path, _encode(Image.fromarray(array), kind, texts, quality, compression))
    return path


def _encode(
    picture: Image.Image, kind: str, texts: Mapping[str, str], quality: int, compression: int
) -> bytes:
    buffer = io.BytesIO()
    if kind == "PNG":
        info = PngInfo()
        for key, value in texts.items():
            info.add_text(key, value)
        picture.save(buffer, kind, pnginfo=info, compress_level=compression)
        return buffer.getvalue()
    exif = Image.Exif()
    exif[_EXIF_SOFTWARE] = texts["Software"]
    exif.get_ifd(_EXIF_IFD)[_EXIF_USER_COMMENT] = _COMMENT_CODE + json.dumps(dict(texts)).encode(
        "ascii"
    )
    options = {"subsampling": 0} if kind == "JPEG" else {"method": 4}
    picture.save(buffer, kind, quality=quality, exif=exif, **options)
    return buffer.getvalue()


def _encode_deep_png(array: np.ndarray, texts: Mapping[str, str]) -> bytes:
    """16-bit PNG by OpenCV, which writes no texts: they are put behind the header as
    iTXt chunks.
    """
    done, encoded = cv2.imencode(".png", array[..., ::-1])
    if not done:
        raise ImageError("16-bit PNG cannot be encoded", found=array.shape)
    content, chunks = encoded.tobytes(), b""
    for key, value in texts.items():
        body = b"iTXt" + key.encode("latin-1") + b"\0\0\0\0\0" + value.encode("utf-8")
        chunks += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return content[:_PNG_HEADER_LENGTH] + chunks + content[_PNG_HEADER_LENGTH:]


def read_synthetic_tag(path: str | Path) -> dict[str, object] | None:
    """What :func:`save_image` wrote about a synthetic picture, or None for a picture without that
    mark.

    Raises:
        ImageError: The file is no readable picture.
    """
    try:
        with Image.open(path, formats=readable_formats()) as picture:
            texts = dict(getattr(picture, "text", {}))
            comment = picture.getexif().get_ifd(_EXIF_IFD).get(_EXIF_USER_COMMENT, b"")
    except Exception as error:  # decoders raise whatever a damaged header leads them to
        raise ImageError(
            "not a readable picture", where=path, found=type(error).__name__
        ) from error
    try:
        if isinstance(comment, bytes) and comment.startswith(_COMMENT_CODE):
            texts |= json.loads(comment[len(_COMMENT_CODE) :])
        found = json.loads(texts.get(SYNTHETIC_KEY, "null"))
    except (ValueError, TypeError):  # somebody else's comment
        return None
    return found if isinstance(found, dict) else None
