"""Readers of pictures and videos, and small files of each kind they read."""

from __future__ import annotations

import io
import tempfile
import wave
from collections import deque
from functools import cache
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from facemorph.apps.implicit.scan_inputs import read_depth
from facemorph.apps.sets.demo_photographs import PHOTOGRAPHS, sample_folder
from facemorph.bench.readers.reader import Reader
from facemorph.faces.files.image_io import (
    EXIF_ORIENTATION,
    load_alpha,
    load_image,
    readable_formats,
)
from facemorph.faces.files.image_output import read_synthetic_tag, save_image
from facemorph.faces.files.video_io import numbered_frames, read_video, video_rate, write_frames
from facemorph.faces.files.video_sound import open_sound

SIZE, FRAMES = 32, 6
BLOCKS = 100  # of sound that are read


@cache
def photograph() -> Image.Image:
    """A shipped photograph, small."""
    with Image.open(sample_folder() / PHOTOGRAPHS[0]) as picture:
        return picture.convert("RGB").resize((SIZE, SIZE))


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A picture's file."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def picture_files() -> dict[str, bytes]:
    """Pictures of all kinds that are read, odd ones among them."""
    picture = photograph()
    clear = picture.copy()
    clear.putalpha(picture.convert("L"))
    turned = Image.Exif()
    turned[EXIF_ORIENTATION] = 6
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    files = {
        "plain.png": saved(picture, "PNG"),
        "clear.png": saved(clear, "PNG"),
        "palette.png": saved(picture.convert("P"), "PNG", transparency=3),
        "deep.png": saved(deep, "PNG"),
        "deep_colour.png": _deep_colour(picture),
        "turned.jpg": saved(picture, "JPEG", exif=turned.tobytes()),
        "progressive.jpg": saved(picture, "JPEG", progressive=True),
        "print.jpg": saved(picture.convert("CMYK"), "JPEG"),
        "lossy.webp": saved(picture, "WEBP"),
        "lossless.webp": saved(clear, "WEBP", lossless=True),
        "moving.webp": saved(picture, "WEBP", save_all=True, append_images=[clear]),
        "plain.bmp": saved(picture, "BMP"),
        "packed.tif": saved(picture, "TIFF", compression="tiff_lzw"),
        "turned.tif": saved(deep, "TIFF", exif=turned.tobytes()),
        "ours.png": _ours(".png"),
        "ours.jpg": _ours(".jpg"),
    }
    return files | ({"small.avif": saved(picture, "AVIF")} if "AVIF" in readable_formats() else {})


def _deep_colour(picture: Image.Image) -> bytes:
    """16 bits for each channel, which Pillow does not write."""
    return bytes(cv2.imencode(".png", np.asarray(picture).astype(np.uint16) * 257)[1])


def _ours(suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"a{suffix}"
        save_image(torch.full((3, 8, 8), 0.5), path, synthetic=True)
        return path.read_bytes()


def _read_picture(path: Path) -> None:
    load_image(path)
    load_alpha(path)
    read_synthetic_tag(path)


@cache
def video_files() -> dict[str, bytes]:
    """A short video of each container that is read, with sound, and a GIF."""
    moving = [
        torch.from_numpy(np.roll(np.asarray(photograph()), shift, 1) / np.float32(255))
        .permute(2, 0, 1)
        .contiguous()
        for shift in range(FRAMES)
    ]
    files = {}
    with tempfile.TemporaryDirectory() as scratch:
        sound = Path(scratch) / "sound.wav"
        sound.write_bytes(_tone())
        for name in ("film.mp4", "film.mov", "film.mkv", "film.gif"):
            path = Path(scratch) / name
            write_frames(moving, path, 24, None if name == "film.gif" else sound)
            files[name] = path.read_bytes()
    return files


def _tone() -> bytes:
    stream = io.BytesIO()
    values = (8000 * np.sin(np.arange(4000) / 10)).astype("<i2")
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(values.tobytes())
    return stream.getvalue()


def _sound_files() -> dict[str, bytes]:
    videos = video_files()
    return {"film.mp4": videos["film.mp4"], "film.mkv": videos["film.mkv"], "tone.wav": _tone()}


def _read_film(path: Path) -> None:
    video_rate(path)
    deque(numbered_frames(path), maxlen=0)


def _read_every_frame(path: Path) -> None:
    deque(read_video(path), maxlen=0)


def _read_sound(path: Path) -> None:
    sound = open_sound(path)
    if sound is not None:
        with sound:  # silence in a gap may have no end; a video's end is what ends it
            deque(islice(sound.blocks, BLOCKS), maxlen=0)


def _depth_files() -> dict[str, bytes]:
    depth = np.asarray(photograph().convert("L")).astype(np.uint16) * 3
    stream = io.BytesIO()
    np.save(stream, depth.astype(np.float32))
    return {"depth.png": saved(Image.fromarray(depth), "PNG"), "depth.npy": stream.getvalue()}


PICTURES = (
    Reader("pictures", picture_files, _read_picture),
    Reader("videos", video_files, _read_film),
    Reader("videos for a digest", video_files, _read_every_frame),
    Reader("sounds", _sound_files, _read_sound),
    Reader("depth maps", _depth_files, read_depth),
)
