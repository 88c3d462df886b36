"""Odd pictures, names and words of the command line: the right result, or it is said what is
wrong. Landmark files, meshes and videos: ``test_odd_files.py``.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from facemorph import cli, load_image
from facemorph.config.explained import compose
from facemorph.config.overrides import quote_texts
from facemorph.errors import ConfigError, ImageError
from facemorph.faces.files.image_io import EXIF_ORIENTATION, load_alpha
from facemorph.faces.files.landmark_files import read_points

COLOUR = (200, 100, 50)


# ------------------------------------------------------------
# pictures of one colour
def plain(colour=COLOUR, mode="RGB"):
    return Image.new(mode, (8, 8), colour)


def saved(picture, kind, **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(kind, body):
    """A PNG with one more chunk before its pixels."""
    content = saved(plain(), "PNG")
    return content[:33] + chunk(kind, body) + content[33:]


def deep_png(colour_type, pixel):
    """A PNG of 16 bits with equal pixels."""
    head = struct.pack(">IIBBBBB", 8, 8, 16, colour_type, 0, 0, 0)
    rows = (b"\0" + struct.pack(f">{len(pixel)}H", *pixel) * 8) * 8
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def bmp(alpha):
    """A BMP of 32 bits that has an alpha channel."""
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 108, 8, 8, 1, 32, 3, 256, 2835, 2835, 0, 0)
    head += masks + b"BGRs" + bytes(48)
    pixels = bytes([*COLOUR[::-1], alpha]) * 64
    return b"BM" + struct.pack("<IHHI", 14 + 364, 0, 0, 14 + len(head)) + head + pixels


def linear_profile():
    """A profile of linear light that has sRGB in its name."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack(">I", content[128:132])
    for entry in range(132, 132 + 12 * count, 12):
        name, offset, _ = struct.unpack(">4sII", content[entry : entry + 12])
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            content[offset : offset + 12] = b"curv" + bytes(8)
    return bytes(content)


def to_srgb(value):
    return 1.055 * value ** (1 / 2.4) - 0.055


USUAL = np.array(COLOUR) / 255
GREY16 = Image.fromarray(np.full((8, 8), 13107, np.uint16))  # 0.2
PICTURES = {
    "BMP whose alpha is 0 everywhere": (bmp(0), USUAL),
    "BMP whose alpha is 255": (bmp(255), USUAL),
    "16-bit grey with alpha": (deep_png(4, (13107, 32768)), [0.2 * 0.5 + 0.5] * 3),
    "16-bit RGB with alpha 0": (deep_png(6, (9, 9, 9, 0)), [1.0] * 3),
    "PNG of gamma 1": (png_with(b"gAMA", struct.pack(">I", 100_000)), USUAL ** (1 / 2.2)),
    "PNG of gamma 1/2.2": (png_with(b"gAMA", struct.pack(">I", 45_455)), USUAL),
    "PNG of gamma 0": (png_with(b"gAMA", struct.pack(">I", 0)), USUAL),
    "linear profile that is called sRGB": (
        saved(plain(), "PNG", icc_profile=linear_profile()),
        to_srgb(USUAL),
    ),
    "16-bit grey with a linear profile": (
        saved(GREY16, "PNG", icc_profile=linear_profile()),
        to_srgb(np.full(3, 0.2)),
    ),
    "JPEG with more behind its end": (saved(plain(), "JPEG", quality=98) + b"junk" * 99, USUAL),
    "JPEG with a map of depth": (
        saved(plain(), "MPO", save_all=True, append_images=[plain("blue")], quality=98),
        USUAL,
    ),
    "CMYK JPEG": (saved(plain().convert("CMYK"), "JPEG", quality=98), USUAL),
    "grey TIFF": (saved(plain(51, "L"), "TIFF"), [0.2] * 3),
}


@pytest.mark.parametrize("name", PICTURES)
def test_odd_pictures_have_the_colours_that_are_seen(tmp_path, caplog, name):
    content, expected = PICTURES[name]
    path = tmp_path / "odd.picture"
    path.write_bytes(content)
    found = load_image(path).mean((1, 2)).numpy()
    np.testing.assert_allclose(found, expected, atol=0.015)
    assert not caplog.messages
    if name.startswith("BMP"):
        assert load_alpha(path) is None


FRAMES = {"save_all": True, "append_images": [plain("blue")]}
SAID = {
    "TIFF of two pages": (saved(plain(), "TIFF", **FRAMES), "2 pictures in one file"),
    "moving PNG": (saved(plain(), "PNG", **FRAMES), "the first is taken"),
    "moving WEBP": (saved(plain(), "WEBP", quality=100, **FRAMES), "the first is taken"),
    "PNG in PQ": (png_with(b"cICP", bytes([9, 16, 0, 1])), "(PQ)"),
    "PNG in HLG": (png_with(b"cICP", bytes([9, 18, 0, 1])), "(HLG)"),
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_lost_is_said(tmp_path, caplog, name):
    content, text = SAID[name]
    path = tmp_path / "odd.png"
    path.write_bytes(content)
    np.testing.assert_allclose(load_image(path).mean((1, 2)).numpy(), USUAL, atol=0.015)
    assert any(str(path) in one and text in one for one in caplog.messages), caplog.messages


@pytest.mark.parametrize("kind", ["pipe", "loop", "long name", "device"])
def test_names_that_are_no_files(tmp_path, kind):
    path = tmp_path / ("x" * 300 if kind == "long name" else "a.png")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")  # which never ends
    with pytest.raises(ImageError, match=r"cannot be read|not found") as caught:
        load_image(path)
    assert str(path) in str(caught.value)


# ------------------------------------------------------------
# the command line
@pytest.fixture(scope="module")
def photograph(samples):
    return Image.open(samples[1]).convert("RGB").resize((170, 200))


@pytest.fixture
def run(capfd, monkeypatch, tmp_path):
    """Run a command in an empty folder; gives the exit code and what was printed as errors."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = cli.run(list(map(str, words)))
        return code, re.sub(r"\s+", " ", capfd.readouterr().err)

    return call


@pytest.mark.parametrize("orientation", [2, 3, 5, 8])
def test_turned_and_mirrored_photographs_are_marked_as_they_are_seen(
    run, photograph, tmp_path, orientation
):
    turn = {
        2: ImageOps.mirror,
        3: lambda one: one.rotate(180),
        5: lambda one: one.transpose(Image.Transpose.TRANSPOSE),
        8: lambda one: one.rotate(-90, expand=True),
    }[orientation]
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    turn(photograph).save("turned.png", exif=exif.tobytes())
    photograph.save("plain.png")
    code, _ = run("landmarks", "turned.png", "plain.png", "-o", "points")
    assert code == 0
    turned, usual = (read_points(f"points/{name}.json")[0] for name in ("turned", "plain"))
    np.testing.assert_allclose(turned.numpy(), usual.numpy(), atol=0.01)


NAMES = [
    "two\nlines.png",
    "emoji 😀.png",
    "a%d.png",
    "-dash.png",
    "[1].png",
    "a'b\".png",
    "$HOME.png",
    "*.png",
    "a;b,c.png",
    "\u202eright to left.png",
    "~.png",
    "@last.png",
    "CON.png",
    "x" * 245 + ".png",
    "Ü" * 120 + ".png",
]


def test_odd_names_of_photographs(run, photograph):
    for name in NAMES:
        photograph.save(name)
    code, errors = run("landmarks", "-o", "points", "--", *NAMES)
    assert code == 0, errors
    for name in NAMES:
        assert len(read_points(f"points/{name.removesuffix('.png')}.json")[0]) == 68


LONG = "z" * 300


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("morph", LONG + ".jpg", "b.jpg", "-o", "m.png"), 2),
        (("average", LONG, "-o", "m.png"), 2),
        (("landmarks", LONG + ".jpg", "-o", "points"), 2),
        (("fit", LONG + ".obj", "-o", "fitted"), 2),
        (("redo", LONG + ".yaml"), 2),
        (("average", "a.png", "b.png", "-o", "m.png", "--weights", ",".join(["0.125"] * 99)), 2),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_words_that_are_too_long_for_a_name(run, words, code):
    found, errors = run(*words)
    assert found == code
    assert "no such" in errors or "not" in errors
    assert "bug" not in errors


def test_an_empty_word_is_not_this_folder(run, photograph):
    photograph.save("a.png")
    code, errors = run("landmarks", "", "-o", "points")
    assert code == 2
    assert "word 2: an empty word" in errors
    assert "variable of the shell" in errors


def test_a_folder_that_is_called_as_a_picture(run, photograph, tmp_path):
    (tmp_path / "a.png").mkdir()
    photograph.save("b.png")
    code, errors = run("morph", "a.png", "b.png", "-o", "m.png", "--time", "0.5")
    assert code == 2
    assert "a.png: a folder, not a picture. Give one of its files" in errors


@pytest.mark.parametrize("kind", ["transparent", "negative", "line"])
def test_photographs_that_show_nothing(run, photograph, kind):
    if kind == "transparent":
        photograph.putalpha(0)
    picture = {
        "transparent": photograph,
        "negative": ImageOps.invert(photograph.convert("RGB")),
        "line": Image.new("RGB", (3000, 1)),
    }[kind]
    picture.save("odd.png")
    code, errors = run("landmarks", "odd.png", "-o", "points")
    assert code == 3
    assert "odd.png: no face found" in errors


# ------------------------------------------------------------
# overrides
TEXTS = [
    "a=b=c.jpg",
    "[x].jpg",
    "{x}.jpg",
    "x\ny.jpg",
    "C:\\pictures\\a.jpg",
    "a\\",
    "$HOME.jpg",
    "a~b.jpg",
    "@a.jpg",
    "!a.jpg",
    "a;b",
    "a|b.jpg",
    "a'b\"c.jpg",
    "a:b.jpg",
    "x#1.jpg",
    "a\tb.jpg",
    "007",
    "&",
    "*",
    "0x1F",
    "+a.jpg",
    "Ülle 😀.jpg",
]


def test_values_that_are_text():
    """One composition for all: each is a key of its own."""
    words = [f"++data.text_{number}={text}" for number, text in enumerate(TEXTS)]
    found = compose("train", ["experiment=ifmorph/tiny", *quote_texts(words)]).data
    assert [found[f"text_{number}"] for number in range(len(TEXTS))] == TEXTS


@pytest.mark.parametrize("value", ["2026", "1e5", "true", "null", "-1", "[a.jpg]"])
def test_values_that_are_no_text_where_a_file_is_meant(run, value):
    words = (f"data.a={value}", "data.b=b.jpg", "dry_run=true")
    code, errors = run("train", "experiment=ifmorph/tiny", *words)
    assert code == 2
    assert "data.a: not the name of a file or folder" in errors
    assert "\"data.a='NAME'\"" in errors


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a: b: c", r"mine\.yaml, line 1: this is not YAML"),
        (b"# \xfcber\n", r"mine\.yaml: this is not YAML"),
        (b"[" * 5000, "this is not YAML"),
        (b"defaults:\n  - " + b"n" * 5000 + b"\n", "File name too long: nnnn"),
        (b"# @package _global_\nseed: ${b\n", r"mine\.yaml: a value .*\$\{a\.b\} is the value"),
        (b"defaults: 3", "not as Hydra reads it|defaults"),
        (b"# @package\n", "not as Hydra reads it"),
    ],
)
def test_config_files_that_are_damaged(tmp_path, content, says):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        compose("train", ["experiment=mine"], folder=tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate-scans", "NAME", "-o", "out"),
        ("reconstruct", "NAME.ply", "-o", "out", "--checkpoint", "@open:imface"),
        ("morph", "NAME.png", "b.png", "-o", "out.png"),
    ],
)
def test_names_that_no_file_can_have(run, words):
    code, errors = run(*(word.replace("NAME", "\N{LATIN SMALL LETTER O}" * 300) for word in words))
    assert code in (2, 3)
    assert "long" in errors or "no such file" in errors.lower()
