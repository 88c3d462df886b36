"""GDPW's clips, for people who have them: frames of videos with the projected vertices of FLAME.

Zhong, Amjadi and Zharkov, Geometry Driven Progressive Warping (BMVC 2022):
``ROOT/PERSON/VIDEO/START#END/NNNNNNN_img.jpg`` and ``NNNNNNN_posed_vertx.lz4`` (an LZ4 frame of:
NumPy's number of the type, number of dimensions and sizes as int32, then the values).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from facemorph.errors import DataError, MissingExtra
from facemorph.faces.files.image_io import load_image

PICTURE, VERTICES = "_img.jpg", "_posed_vertx.lz4"
TYPES = {11: "<f4", 12: "<f8", 23: "<f2"}  # NumPy's numbers of floating types
LARGEST = 64 * 2**20  # bytes of one array


@dataclass(frozen=True)
class Clip:
    """Frames of one piece of a video.

    Attributes:
        person: Who it shows.
        folder: Where it is.
        frames: Stems of its frames, in order of time; at least two.
    """

    person: str
    folder: Path
    frames: tuple[str, ...]


def read_posed_vertices(path: str | Path) -> Tensor:
    """Vertices ``(V, 3)`` float32 as stored: x and y in [-1, 1] of the crop, y down; small z is
    near.

    Raises:
        DataError: The file is damaged or holds something else.
        MissingExtra: The package lz4 is not installed.
    """
    try:
        import lz4.frame
    except ImportError as error:
        raise MissingExtra(
            "GDPW's clips need the package lz4",
            where=path,
            remedy="pip install 'facemorph-torch[datasets]'",
        ) from error
    try:
        with lz4.frame.open(str(path), "rb") as file:
            content: bytes = file.read(LARGEST + 1)
        kind, dimensions = (int(value) for value in np.frombuffer(content, "<i4", 2))
        shape = (
            np.frombuffer(content, "<i4", dimensions, 8)
            if 0 <= dimensions <= 4
            else np.zeros(0, np.int32)
        )
        if kind not in TYPES or dimensions != 2 or shape[1] != 3 or len(content) > LARGEST:
            raise ValueError(f"type {kind}, shape {tuple(shape.tolist())}")
        values = np.frombuffer(content, TYPES[kind], offset=8 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, RuntimeError, ValueError) as error:
        raise DataError(
            "this file holds no vertices",
            where=path,
            expected="an LZ4 frame with an array (V, 3)",
            found=str(error)[:120],
        ) from error
    return torch.from_numpy(values.astype(np.float32))


def find_clips(folder: str | Path) -> list[Clip]:
    """All clips of a folder with at least two complete frames, in order of their paths.

    Raises:
        DataError: There are none.
    """
    clips = []
    for piece in sorted(path for path in Path(folder).glob("*/*/*") if path.is_dir()):
        names = {path.name for path in piece.iterdir()}
        frames = sorted(name.removesuffix(PICTURE) for name in names if name.endswith(PICTURE))
        frames = [frame for frame in frames if frame + VERTICES in names]
        if len(frames) >= 2:
            clips.append(Clip(piece.parts[-3], piece, tuple(frames)))
    if not clips:
        raise DataError(
            "no clips are here",
            where=folder,
            expected=f"PERSON/VIDEO/START#END/NNNNNNN{PICTURE} with NNNNNNN{VERTICES}, two frames "
            "at least",
        )
    return clips


class GDPWClips(Dataset[dict[str, Any]]):
    """Pairs of frames of one clip, the earlier one first: what one-shot reenactment trains on.

    One item for each person and epoch, as the original streams them; the choice depends on seed,
    epoch and index alone, so that a resumed run goes on with the same pairs.

    Args:
        folder: ``ROOT``.
        seed: Of the choice.

    Raises:
        DataError: There are no clips.
    """

    def __init__(self, folder: str | Path, seed: int = 0) -> None:
        self.seed, self.epoch = seed, 0
        self.people: dict[str, list[Clip]] = {}
        for clip in find_clips(folder):
            self.people.setdefault(clip.person, []).append(clip)
        self.names = sorted(self.people)

    def set_epoch(self, epoch: int) -> None:
        """Choose other pairs, as Lightning's samplers do at the start of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """People."""
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One pair.

        Returns:
            ``source`` and ``target`` (3, H, W) in [0, 1]; ``source_vertices`` and
            ``target_vertices`` (V, 3), see ``read_posed_vertices``; ``person``.

        Raises:
            DataError: A file is missing or damaged.
        """
        return self.pair(self.epoch, index)

    def pair(self, epoch: int, index: int) -> dict[str, Any]:
        """The pair of one person in one epoch, as an item is.

        Raises:
            DataError: A file is missing or damaged.
        """
        choose = np.random.default_rng([self.seed, epoch, index])
        clips = self.people[self.names[index]]
        clip = clips[int(choose.integers(len(clips)))]
        first, second = sorted(choose.choice(len(clip.frames), 2, replace=False).tolist())
        item: dict[str, Any] = {"person": clip.person}
        for key, number in (("source", first), ("target", second)):
            stem = clip.folder / clip.frames[number]
            item[key] = load_image(f"{stem}{PICTURE}")
            item[f"{key}_vertices"] = read_posed_vertices(f"{stem}{VERTICES}")
        return item
