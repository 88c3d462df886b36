"""Row 15, 16 and 21 of the fault table: odd, hostile and damaged pictures, and writing under
faults.
"""

import errno
import os
import struct
import sys
import types
import zlib

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms, features

from facemorph.errors import ImageError, OutputError
from facemorph.faces.files.image_io import load_image, readable_formats, resize_image
from facemorph.faces.files.image_output import read_synthetic_tag, save_image
from facemorph.jobs.input_files import picture_files


def gradient(height=8, width=12):
    """uint8 (H, W, 3), every pixel another colour."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x + 2 * y) * 5], -1).astype(
        np.uint8
    )


def values(path):
    return load_image(path).permute(1, 2, 0).numpy()


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header_only(width, height, depth=8, colour=2):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = (
        png_chunk(b"IHDR", head),
        png_chunk(b"IDAT", zlib.compress(b"\0")),
        png_chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# ------------------------------------------------------------
# what is read
@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_lossless_formats_give_the_exact_values(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(gradient()).save(path, **({"lossless": True} if suffix == "webp" else {}))
    image = load_image(path)
    assert image.dtype == torch.float32
    assert image.shape == (3, 8, 12)
    assert image.is_contiguous()
    np.testing.assert_allclose(values(path), gradient() / 255.0, atol=1e-7)


def test_jpeg_is_close_and_named_by_content_not_suffix(tmp_path):
    path = tmp_path / "really_a_jpeg.png"
    Image.new("RGB", (16, 16), (200, 100, 50)).save(path, "JPEG", quality=95)
    expected = np.broadcast_to(np.array([200, 100, 50]) / 255, (16, 16, 3))
    np.testing.assert_allclose(values(path), expected, atol=0.01)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    path = tmp_path / f"turned.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient()).save(
        path, exif=exif, **({"lossless": True} if suffix == "webp" else {})
    )
    upright = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, 1),
    }[orientation](gradient())
    np.testing.assert_allclose(values(path), upright / 255.0, atol=1e-7)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_gray_is_scaled_not_clipped(tmp_path, suffix):
    path = tmp_path / f"deep.{suffix}"
    gray = np.linspace(0, 65535, 96).astype(np.uint16).reshape(8, 12)
    cv2.imwrite(str(path), gray)
    np.testing.assert_allclose(values(path), np.repeat(gray[..., None] / 65535.0, 3, 2), atol=1e-6)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_colour_keeps_its_precision(tmp_path, suffix):
    path = tmp_path / f"deep.{suffix}"
    rgb = np.random.default_rng(0).integers(0, 65536, (8, 12, 3), np.uint16)
    cv2.imwrite(str(path), rgb[..., ::-1])
    np.testing.assert_allclose(values(path), rgb / 65535.0, atol=1e-6)


def test_16_bit_alpha_is_composited_on_white(tmp_path):
    path = tmp_path / "deep_alpha.png"
    bgra = np.zeros((4, 4, 4), np.uint16)
    bgra[..., 2], bgra[..., 3] = 65535, 16384
    cv2.imwrite(str(path), bgra)
    alpha = 16384 / 65535
    np.testing.assert_allclose(
        values(path), np.broadcast_to([1.0, 1 - alpha, 1 - alpha], (4, 4, 3)), atol=1e-6
    )


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_16_bit_colour_is_turned_upright_too(tmp_path, suffix, orientation, turns):
    path = tmp_path / f"deep_turned.{suffix}"
    picture = np.random.default_rng(0).integers(0, 65536, (8, 12, 3), np.uint16)
    if suffix == "tif":
        tifffile.imwrite(
            path, picture, photometric="rgb", extratags=[(274, 3, 1, orientation, True)]
        )
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
        path.write_bytes(content[:33] + png_chunk(b"eXIf", exif.tobytes()[6:]) + content[33:])
    np.testing.assert_allclose(values(path), np.rot90(picture, turns) / 65535.0, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (1, 1, 1)),
        ("L", 51, (0.2, 0.2, 0.2)),
        ("LA", (0, 51), (0.8, 0.8, 0.8)),
        ("RGBA", (255, 0, 0, 51), (1, 0.8, 0.8)),
        ("RGBA", (9, 9, 9, 0), (1, 1, 1)),
        ("P", 0, (0, 0, 0)),
    ],
)
def test_modes_become_rgb_on_white(tmp_path, mode, colour, expected):
    path = tmp_path / "mode.png"
    Image.new(mode, (5, 4), colour).save(path)
    np.testing.assert_allclose(
        values(path), np.broadcast_to(np.float32(expected), (4, 5, 3)), atol=1e-6
    )


def test_palette_with_a_transparent_entry(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putdata([0, 1])
    picture.save(tmp_path / "palette.png", transparency=0)
    np.testing.assert_allclose(
        values(tmp_path / "palette.png"), [[[1, 1, 1], [0, 0, 1]]], atol=1e-6
    )


def test_rgb_with_a_key_colour(tmp_path):
    picture = Image.fromarray(np.array([[[10, 20, 30], [40, 50, 60]]], np.uint8))
    picture.save(tmp_path / "key.png", transparency=(10, 20, 30))
    np.testing.assert_allclose(values(tmp_path / "key.png")[0, 0], [1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(
        values(tmp_path / "key.png")[0, 1], np.array([40, 50, 60]) / 255, atol=1e-6
    )


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg", quality=100)
    np.testing.assert_allclose(values(tmp_path / "cmyk.jpg").mean((0, 1)), [1, 0, 0], atol=0.02)


def gamma_one_profile():
    """sRGB with linear transfer curves: the profile of a linear-light picture."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", content[128:132])[0]
    curve = b"curv\0\0\0\0\0\0\0\0"  # zero entries: the identity
    for index in range(count):
        entry = 132 + 12 * index
        name, offset, _ = struct.unpack(">4sII", content[entry : entry + 12])
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            content[offset : offset + len(curve)] = curve
    for encoding in ("utf-16-be", "ascii"):  # its description must not say sRGB
        content = content.replace("sRGB".encode(encoding), "flat".encode(encoding))
    return bytes(content)


def test_foreign_icc_profile_is_converted_to_srgb(tmp_path):
    profile = gamma_one_profile()
    Image.new("RGB", (4, 4), (55, 55, 55)).save(tmp_path / "linear.png", icc_profile=profile)
    linear = 55 / 255
    expected = 1.055 * linear ** (1 / 2.4) - 0.055
    np.testing.assert_allclose(
        values(tmp_path / "linear.png"), np.full((4, 4, 3), expected), atol=0.006
    )


def test_srgb_and_broken_profiles_change_nothing(tmp_path):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, profile in (("srgb", srgb), ("broken", b"not a profile")):
        Image.fromarray(gradient()).save(tmp_path / f"{name}.png", icc_profile=profile)
        np.testing.assert_allclose(values(tmp_path / f"{name}.png"), gradient() / 255.0, atol=1e-7)


def test_first_page_of_several(tmp_path):
    pages = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    np.testing.assert_allclose(values(tmp_path / "pages.tif")[0, 0], [1, 0, 0], atol=1e-6)


def test_one_pixel(tmp_path):
    Image.new("RGB", (1, 1), "white").save(tmp_path / "dot.png")
    assert load_image(tmp_path / "dot.png").shape == (3, 1, 1)


# ------------------------------------------------------------ what
# is refused
def refused(path, **options):
    with pytest.raises(ImageError) as caught:
        load_image(path, **options)
    message = str(caught.value)
    assert os.path.basename(path) in message
    assert caught.value.remedy
    return message


def test_missing_folder_and_empty(tmp_path):
    assert "not found" in refused(tmp_path / "absent.png")
    assert "folder" in refused(tmp_path)
    (tmp_path / "empty.png").touch()
    assert "empty" in refused(tmp_path / "empty.png")
    with pytest.raises(ImageError):
        load_image("nul\0byte.png")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "git-lfs pointer"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "PostScript"),
        (b"\xc5\xd0\xd3\xc6" + b"\0" * 40, "EPS"),
        (b"%PDF-1.7\n", "PDF"),
        (b"GIF89a" + b"\0" * 30, "GIF"),
        (b"<svg xmlns=''/>", "SVG"),
        (b"<!DOCTYPE html><html>404", "web page"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 20, "HEIC"),
        (b"hello", "5 bytes"),
        (b"\x89PNG\r\n\x1a\n", "8 bytes"),
        (b"\xff\xd8\xff\xe0", "4 bytes"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path, content, said):
    path = tmp_path / "thing.png"
    path.write_bytes(content)
    assert said in refused(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tif"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_truncated_files_raise(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"part.{suffix}"
    Image.fromarray(noise).save(whole)
    content = whole.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path)


def test_headers_of_bombs_are_refused_before_decoding(tmp_path):
    for width, height in ((10_000, 9_000), (90_000, 90_000)):
        path = tmp_path / f"bomb{width}.png"
        path.write_bytes(png_header_only(width, height))
        assert "too large" in refused(path)


def test_small_file_that_decodes_to_much(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (10_000, 9_000)).save(path)
    assert path.stat().st_size < 30_000
    assert "at most 64 million" in refused(path)
    assert "too large" in refused(path, max_pixels=89_999_999)


def test_the_limit_is_the_callers(tmp_path):
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png", max_pixels=100).shape == (3, 10, 10)
    assert "10 x 10" in refused(tmp_path / "a.png", max_pixels=99)


def test_huge_text_chunk(tmp_path):
    body = b"k\0\0" + zlib.compress(b"a" * 80_000_000)
    content = png_header_only(4, 4)
    (tmp_path / "text.png").write_bytes(content[:33] + png_chunk(b"zTXt", body) + content[33:])
    refused(tmp_path / "text.png")


def test_32_bit_pictures_are_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    assert "32 bits" in refused(tmp_path / "float.tif")


def test_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"x")

    def denied(self):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", denied)
    assert "permission" in refused(path).lower()


# ------------------------------------------------------------
# writing
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("a.png", 1 / 509), ("a.PNG", 1 / 509), ("a.jpg", 0.03), ("a.webp", 0.05)],
)
def test_write_and_read_again(tmp_path, name, tolerance):
    y, x = torch.meshgrid(torch.linspace(0, 1, 48), torch.linspace(0, 1, 64), indexing="ij")
    image = torch.stack([x, y, (x + y) / 2])
    assert save_image(image, tmp_path / name) == tmp_path / name
    assert (load_image(tmp_path / name) - image).abs().max() < tolerance
    assert os.listdir(tmp_path) == [name]


def test_16_bit_png_round_trip(tmp_path):
    image = torch.rand(3, 7, 9)
    save_image(image, tmp_path / "deep.png", bits=16, synthetic=True, metadata={"note": "ä"})
    assert (load_image(tmp_path / "deep.png") - image).abs().max() <= 0.5001 / 65535
    assert read_synthetic_tag(tmp_path / "deep.png")["synthetic"] is True
    with Image.open(tmp_path / "deep.png") as picture:
        assert picture.text["note"] == "ä"


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_synthetic_tag(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    save_image(torch.rand(3, 16, 16), path)
    assert read_synthetic_tag(path) is None
    save_image(torch.rand(3, 16, 16), path, synthetic=True, metadata={"source": "Zoë + Bob"})
    tag = read_synthetic_tag(path)
    assert tag["synthetic"] is True
    assert tag["generator"].startswith("facemorph")


def test_tag_of_other_files(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0{broken"
    Image.new("RGB", (4, 4)).save(tmp_path / "other.jpg", exif=exif)
    assert read_synthetic_tag(tmp_path / "other.jpg") is None
    (tmp_path / "no.png").write_bytes(b"no")
    with pytest.raises(ImageError):
        read_synthetic_tag(tmp_path / "no.png")


def test_values_outside_are_clipped_and_not_finite_ones_refused(tmp_path):
    image = torch.tensor([-1.0, 0.5, 2.0]).view(3, 1, 1).repeat(1, 2, 2)
    save_image(image, tmp_path / "a.png")
    assert load_image(tmp_path / "a.png")[:, 0, 0].tolist() == pytest.approx([0, 128 / 255, 1])
    image[0, 0, 0] = float("nan")
    with pytest.raises(ImageError, match="1 others of 12"):
        save_image(image, tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize("name", ["a.gif", "a", "a.exe"])
def test_unknown_suffix(tmp_path, name):
    with pytest.raises(OutputError, match=r"expected \.png"):
        save_image(torch.rand(3, 4, 4), tmp_path / name)
    assert not os.listdir(tmp_path)


def test_16_bit_jpeg_is_refused(tmp_path):
    with pytest.raises(OutputError, match="16 for PNG"):
        save_image(torch.rand(3, 4, 4), tmp_path / "a.jpg", bits=16)


def test_no_surprise_folders(tmp_path):
    with pytest.raises(OutputError, match="Create the folder"):
        save_image(torch.rand(3, 4, 4), tmp_path / "new" / "a.png")
    assert not (tmp_path / "new").exists()


def test_target_is_a_folder(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match="folder"):
        save_image(torch.rand(3, 4, 4), tmp_path / "a.png")
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EROFS, "may write to"),
        (errno.EACCES, "may write to"),
    ],
)
@pytest.mark.parametrize("step", ["write", "replace"])
def test_the_old_file_survives(tmp_path, monkeypatch, number, said, step):
    path = tmp_path / "a.png"
    save_image(torch.zeros(3, 4, 4), path)
    before = path.read_bytes()

    def half(self, content):
        with open(self, "wb") as file:
            file.write(content[:10])
        raise OSError(number, os.strerror(number))

    def no_replace(source, target):
        raise OSError(number, os.strerror(number))

    if step == "write":
        monkeypatch.setattr("pathlib.Path.write_bytes", half)
    else:
        monkeypatch.setattr("facemorph.storage.files.os.replace", no_replace)
    with pytest.raises(OutputError, match=said):
        save_image(torch.ones(3, 4, 4), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]


# ------------------------------------------------------------
# resizing
def test_resize_refuses_empty_sizes():
    with pytest.raises(ImageError):
        resize_image(torch.rand(3, 4, 4), (0, 4))


def test_resize_keeps_constants_and_gradients():
    image = torch.full((3, 9, 7), 0.25, requires_grad=True)
    small = resize_image(image, (4, 5))
    torch.testing.assert_close(small, torch.full((3, 4, 5), 0.25))
    small.sum().backward()
    assert image.grad.abs().sum() > 0
    assert resize_image(torch.rand(2, 3, 8, 8), (3, 3)).shape == (2, 3, 3, 3)


@pytest.mark.skipif(not features.check("avif"), reason="needs Pillow with AVIF")
def test_avif_is_read_and_listed(tmp_path):
    values = np.random.default_rng(0).integers(60, 200, (4, 6, 3)).repeat(8, 0).repeat(8, 1)
    Image.fromarray(values.astype(np.uint8)).save(tmp_path / "a.avif", quality=95)
    found = load_image(tmp_path / "a.avif")
    assert found.shape == (3, 32, 48)
    assert float((found - torch.from_numpy(values / 255).permute(2, 0, 1)).abs().mean()) < 0.03
    assert picture_files([tmp_path]) == [tmp_path / "a.avif"]
    (tmp_path / "b.avif").write_bytes((tmp_path / "a.avif").read_bytes()[:120])
    with pytest.raises(ImageError, match="AVIF"):
        load_image(tmp_path / "b.avif")


def test_heic_is_read_where_its_package_is_there(tmp_path, monkeypatch):
    """The package's opener stands in the place of ours: it gives Pillow the format HEIF."""
    called = []
    stand_in = types.ModuleType("pillow_heif")
    stand_in.register_heif_opener = lambda: called.append(1)
    monkeypatch.setitem(sys.modules, "pillow_heif", stand_in)
    readable_formats.cache_clear()
    try:
        assert readable_formats()[-1] == "HEIF"
        assert called == [1]
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        readable_formats.cache_clear()
        assert "HEIF" not in readable_formats()
    finally:
        readable_formats.cache_clear()


@pytest.mark.parametrize(
    ("brand", "kind"), [(b"heic", "a HEIC file"), (b"mif1", "a HEIC file"), (b"isom", "a video")]
)
def test_files_of_phones_are_named_with_the_remedy(tmp_path, brand, kind):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0" * 40)
    with pytest.raises(ImageError, match=kind) as caught:
        load_image(tmp_path / "a.jpg")
    assert ("pip install pillow-heif" in str(caught.value)) == ("HEIC file" in kind)
