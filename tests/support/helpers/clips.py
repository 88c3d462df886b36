"""Clips as GDPW's authors lay them out, of the embedded head without a photograph."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from facemorph.geometry.models.makehuman import load_makehuman

PEOPLE = ("ann", "bob", "cleo")


def write_clips(folder, side):
    """Three people with three frames each; the red of a picture is its person, the green its frame;
    the head goes to the lower right.
    """
    mean = load_makehuman().mean.numpy() / 150 * np.array([1, -1, -1], np.float32)
    for number, person in enumerate(PEOPLE):
        clip = folder / person / "v1" / "10#20"
        clip.mkdir(parents=True)
        for time in range(3):
            colour = np.full((side, side, 3), (80 * number, 60 * time, 128), np.uint8)
            Image.fromarray(colour).save(clip / f"{time:07d}_img.jpg", quality=98)
            write_vertices(clip / f"{time:07d}_posed_vertx.lz4", (mean + 0.1 * time).astype("<f4"))


def write_vertices(path, values):
    """A file of the published layout: NumPy's number of the type, sizes, values."""
    frame = pytest.importorskip("lz4.frame", reason="the extra `datasets` is not installed")
    header = np.array([11, values.ndim, *values.shape], "<i4").tobytes()
    path.write_bytes(frame.compress(header + values.tobytes()))
