"""Reading, writing and resizing pictures: one loader for everything that facemorph reads.

An image is float32 ``(3, H, W)``, sRGB in [0, 1]. What odd files become:

* rotated by their EXIF orientation; of several frames or pages, the first, with a warning;
* 16 bits per channel: scaled by 65535 at full precision (Pillow alone clips gray and truncates
  RGB);
* gray, 1-bit and palette: RGB; CMYK: through its profile, without one by Pillow's plain formula;
* transparency (channel, palette entry or key colour): composited on white, on the sRGB values;
* an embedded ICC profile that is not sRGB: converted to sRGB, at 8 bits;
* a PNG that only says its gamma: brought to that of sRGB.

HEIC is read where ``pillow-heif`` is installed, AVIF where Pillow can (12 and newer).
"""

from __future__ import annotations

import io
import logging
import os
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageCms, features
from torch import Tensor
from torch.nn import functional

from facemorph.errors import ImageError
from facemorph.ops.shapes import check_shape
from facemorph.storage.files import regular
from facemorph.storage.png_files import check_parts

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
MAX_PIXELS = 64_000_000
EXIF_ORIENTATION, TIFF_BITS_PER_SAMPLE = 0x0112, 258
DISPLAY_GAMMA = 0.45455  # of sRGB, as PNG writes it
LEAST_GAMMA, SAME_GAMMA = 0.05, 0.03
SAME_LEVELS = 3  # of 255, by which a profile of sRGB may differ from ours
HDR = {16: "PQ", 18: "HLG"}  # transfer functions of ITU-T H.273

logger = logging.getLogger(__name__)

Array = np.ndarray[Any, np.dtype[Any]]

# First bytes of what people take for a readable picture, and what to say about it.
_KNOWN_OTHERS = (
    (
        b"version https://git-lfs",
        "a git-lfs pointer",
        "Fetch the picture itself with `git lfs pull`",
    ),
    (b"%!PS", "a PostScript file", "Export it as PNG"),
    (b"\xc5\xd0\xd3\xc6", "an EPS file", "Export it as PNG"),
    (b"%PDF", "a PDF file", "Export it as PNG"),
    (b"GIF8", "a GIF file", "Convert it to PNG"),
    (b"<svg", "an SVG file", "Export it as PNG"),
    (b"<?xml", "an XML file", "Export it as PNG"),
    (b"<!DOC", "a web page", "Download the picture itself"),
    (b"<html", "a web page", "Download the picture itself"),
)
# The same by the brand of an ISO media file.
_BRANDS = (
    (
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
        "a HEIC file",
        "Export it as JPEG or PNG, or pip install pillow-heif",
    ),
    (
        (b"avif", b"avis"),
        "an AVIF file",
        "Export it as JPEG or PNG, or pip install 'pillow>=12'; if it is new enough, the file is "
        "damaged",
    ),
)


@cache
def readable_formats() -> tuple[str, ...]:
    """Pillow's names of all formats that are read: ``FORMATS``, and what is installed besides."""
    found: tuple[str, ...] = FORMATS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an older Pillow knows no such feature
        if features.check("avif"):
            found += ("AVIF",)
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return found
    register_heif_opener()
    return (*found, "HEIF")


def load_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Read a PNG, JPEG, WEBP, BMP or TIFF picture; HEIC and AVIF where it can be.

    Args:
        path: The file.
        max_pixels: Refuse larger pictures by their header, before decoding. Pillow itself refuses
            above 178 million.

    Returns:
        ``(3, H, W)`` float32, sRGB in [0, 1]; see the module's text for odd files.

    Raises:
        ImageError: The file is missing, empty, a folder, unreadable, truncated, too large or of
            another kind.
    """
    path = Path(path)
    content = _read(path)
    try:
        with warnings.catch_warnings():
            # Our own limit follows at once; Pillow's warning would only come before it.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content), formats=readable_formats())
    except Image.DecompressionBombError as error:
        raise _too_large(path, max_pixels, "more than 178 million") from error
    except Exception as error:  # decoders raise whatever a damaged header leads them to
        raise _unreadable(path, content) from error
    if picture.width * picture.height > max_pixels:
        raise _too_large(path, max_pixels, f"{picture.width} x {picture.height}")
    try:
        _say_what_is_lost(picture, content, path)
        array = _decode(picture, content)
        # Pillow and OpenCV turn TIFF pictures upright themselves, and only these.
        orientation = (
            1 if picture.format == "TIFF" else int(picture.getexif().get(EXIF_ORIENTATION, 1))
        )
    except ImageError as error:
        raise ImageError(
            error.what, where=path, expected=error.expected, found=error.found, remedy=error.remedy
        ) from error
    except Exception as error:
        raise ImageError(
            "picture is truncated or damaged",
            where=path,
            expected="a complete file",
            found=f"{len(content)} bytes, {type(error).__name__}: {error}",
            remedy="Get the file again or export it anew",
        ) from error
    array = np.ascontiguousarray(_upright(array, orientation))
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def load_alpha(path: str | Path) -> Tensor | None:
    """How opaque the pixels of a picture are, which ``load_image`` shows on white.

    Returns:
        ``(1, H, W)`` float32 in [0, 1], 8 bits; None for a picture that is opaque.

    Raises:
        ImageError: As ``load_image``, which comes first.
    """
    path = Path(path)
    try:
        with Image.open(io.BytesIO(_read(path)), formats=readable_formats()) as picture:
            modes = ("P", "PA", "La", "LA", "RGBa", "RGBA")
            if picture.mode not in modes and "transparency" not in picture.info:
                return None
            alpha = _opacity(picture, picture.convert("RGBA"))
            tiff = picture.format == "TIFF"
            orientation = 1 if tiff else int(picture.getexif().get(EXIF_ORIENTATION, 1))
    except ImageError:
        raise
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        raise ImageError(
            "picture is truncated or damaged", where=path, found=type(error).__name__
        ) from error
    if bool((alpha == 1).all()):
        return None
    return torch.from_numpy(np.ascontiguousarray(_upright(alpha, orientation)))[None]


def _say_what_is_lost(picture: Image.Image, content: bytes, path: Path) -> None:
    """Warn of further pictures in the file, and of tones that are not converted."""
    count = getattr(picture, "n_frames", 1)
    if count > 1 and picture.format != "MPO":  # cameras add a map of brightness or depth
        logger.warning("%s: %d pictures in one file; the first is taken.", path, count)
    found = content.find(b"cICP", 0, content.find(b"IDAT")) if picture.format == "PNG" else -1
    transfer = HDR.get(content[found + 5]) if found > 0 else None
    if transfer is not None:
        logger.warning(
            "%s: its tones are of high dynamic range (%s), which is not converted: the picture is "
            "too dull. Export it as sRGB.",
            path,
            transfer,
        )


def _read(path: Path) -> bytes:
    remedy = "Check the path; it is relative to the folder where the command runs"
    if os.path.isdir(path):
        raise ImageError("a folder, not a picture", where=path, remedy="Give one of its files")
    try:
        content = regular(path).read_bytes()
    except FileNotFoundError as error:
        raise ImageError("file not found", where=path, remedy=remedy) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise ImageError(
            f"file cannot be read: {getattr(error, 'strerror', None) or error}",
            where=path,
            remedy="Check its permissions, and that it is a file",
        ) from error
    if not content:
        raise ImageError("file is empty", where=path, remedy="Get the file again")
    return content


def _too_large(path: Path, limit: int, found: str) -> ImageError:
    return ImageError(
        "picture is too large",
        where=path,
        expected=f"at most {limit / 1e6:g} million pixels",
        found=found,
        remedy="Make it smaller before, or raise max_pixels if the file can be trusted",
    )


def _unreadable(path: Path, content: bytes) -> ImageError:
    expected = "PNG, JPEG, WEBP, BMP or TIFF"
    start = content[:64].lstrip()
    for magic, kind, remedy in _KNOWN_OTHERS:
        if start.startswith(magic):
            return ImageError(
                "not a readable picture",
                where=path,
                expected=expected,
                found=f"{kind} of {len(content)} bytes",
                remedy=remedy,
            )
    if content[4:8] == b"ftyp":
        brand = content[8:12]
        kind, remedy = next(
            ((kind, remedy) for brands, kind, remedy in _BRANDS if brand in brands),
            ("a video or HEIC file", "Export it as JPEG or PNG"),
        )
        return ImageError(
            "not a readable picture", where=path, expected=expected, found=kind, remedy=remedy
        )
    return ImageError(
        "not a readable picture",
        where=path,
        expected=expected,
        found=f"{len(content)} bytes that begin with {content[:8]!r}",
        remedy="Convert it to PNG or JPEG; if it is one of these, get the file again",
    )


def _decode(picture: Image.Image, content: bytes) -> Array:
    """``(H, W, 3)`` float32 in [0, 1], not yet turned upright."""
    profile = _foreign_profile(picture)
    exponent = _png_exponent(picture)
    if profile is None and _has_deep_colour(picture, content):
        return _decode_deep(content, exponent)
    picture.load()
    if picture.mode.startswith("I;16"):
        grey = np.asarray(picture).astype(np.float32) / 65535
        if profile is None:
            return np.repeat(grey[..., None], 3, axis=2) ** exponent
        picture = Image.fromarray((grey * 255).round().astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ImageError(
            "picture has 32 bits per channel, whose range is not defined",
            expected="8 or 16 bits per channel",
            found=f"mode {picture.mode}",
            remedy="Convert it to 16 bits",
        )
    if picture.mode in ("P", "PA", "La", "LA", "RGBa", "RGBA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        alpha = _opacity(picture, rgba)[..., None]
        colour = _to_srgb(rgba.convert("RGB"), profile) ** exponent
        return colour * alpha + (1 - alpha)
    return _to_srgb(picture, profile) ** exponent


def _opacity(picture: Image.Image, rgba: Image.Image) -> Array:
    """Alpha ``(H, W)`` in [0, 1]; programs leave it at 0 in BMP files, whose readers ignore it."""
    alpha = np.asarray(rgba.getchannel("A"), np.float32) / 255
    return np.ones_like(alpha) if picture.format == "BMP" and not alpha.any() else alpha


def _png_exponent(picture: Image.Image) -> float:
    """The power that makes sRGB of values whose file only says their gamma (PNG's gAMA)."""
    gamma = picture.info.get("gamma")
    told = any(key in picture.info for key in ("srgb", "icc_profile"))
    if picture.format != "PNG" or told or not gamma or gamma < LEAST_GAMMA:
        return 1.0
    exponent = DISPLAY_GAMMA / float(gamma)
    return exponent if abs(exponent - 1) > SAME_GAMMA else 1.0


def _to_srgb(picture: Image.Image, profile: ImageCms.ImageCmsProfile | None) -> Array:
    if profile is not None:
        space = profile.profile.xcolor_space.strip()
        fitting = {"GRAY": "L", "CMYK": "CMYK"}.get(space, "RGB")
        # A profile of another colour space than the picture's belongs to another picture: it is
        # left aside.
        if fitting == picture.mode or (
            {fitting, picture.mode} <= {"RGB", "L"} and fitting == "RGB"
        ):
            source = picture if picture.mode == fitting else picture.convert(fitting)
            converted = ImageCms.profileToProfile(
                source, profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            picture = converted if converted is not None else source
    return np.asarray(picture.convert("RGB"), np.float32) / 255


def _foreign_profile(picture: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """The embedded profile, unless it is sRGB or unreadable (then the values are taken as sRGB)."""
    content = picture.info.get("icc_profile")
    if not content:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        name = ImageCms.getProfileDescription(profile)
        known = "srgb" in name.lower() and _is_srgb(profile)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return None if known else profile


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """Whether a profile that says so is sRGB: one of linear light has the name in its own too."""
    if profile.profile.xcolor_space.strip() != "RGB":
        return False
    ramp = Image.fromarray(np.arange(0, 256, 15).astype(np.uint8)[None].repeat(3, 0).T[None].copy())
    found = ImageCms.profileToProfile(ramp, profile, ImageCms.createProfile("sRGB"))
    change = np.abs(np.asarray(found, np.int16) - np.asarray(ramp, np.int16))
    return int(change.max()) <= SAME_LEVELS


def _has_deep_colour(picture: Image.Image, content: bytes) -> bool:
    """Whether the file holds 16-bit colour or alpha, which Pillow truncates to 8 bits."""
    if picture.format == "PNG":
        return content[24] == 16 and content[25] in (2, 4, 6)  # depth and colour type in IHDR
    if picture.format == "TIFF":
        bits = picture.tag_v2.get(TIFF_BITS_PER_SAMPLE, (8,))  # type: ignore[attr-defined]
        return len(bits) in (3, 4) and max(bits) == 16
    return False


def _decode_deep(content: bytes, exponent: float) -> Array:
    """16-bit colour, with OpenCV; a key colour (PNG tRNS) is ignored."""
    check_parts(content)
    array = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        raise ImageError(
            "16-bit picture is damaged, or of a kind that is not read",
            expected="16-bit RGB or RGBA",
            remedy="Export it as 8-bit PNG",
        )
    values = array.astype(np.float32) / 65535
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    colour = values[..., 2::-1] ** exponent  # BGR to RGB
    return colour * values[..., 3:] + (1 - values[..., 3:]) if values.shape[2] == 4 else colour


def _upright(array: Array, orientation: int) -> Array:
    """The picture as its EXIF orientation (1-8) wants it shown."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Antialiased cubic resize (Catmull-Rom a = -0.5, as Pillow's BICUBIC).

    Cubic and not Lanczos: it rings less at the strong edges of hair and clothes, works on tensors
    of every device and keeps the gradient.

    Args:
        image: ``(3, H, W)`` or ``(B, 3, H, W)`` in [0, 1].
        size: Height and width.

    Returns:
        The resized image, clipped to [0, 1].

    Raises:
        ImageError: A side is below 1.
    """
    check_shape(image, "... 3 H W", "image")
    if min(size) < 1:
        raise ImageError(
            "an image needs at least one pixel", expected="height and width >= 1", found=size
        )
    batch = image if image.ndim == 4 else image[None]
    resized = functional.interpolate(
        batch, size, mode="bicubic", antialias=True, align_corners=False
    ).clamp(0, 1)
    return resized if image.ndim == 4 else resized[0]
