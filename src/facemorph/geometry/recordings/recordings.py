"""Recordings of other tools that drive a head, told apart by what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from facemorph.errors import DataError
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.recordings.arkit_json import is_arkit_json, read_arkit_json
from facemorph.geometry.recordings.bvh import BEGIN, read_bvh
from facemorph.geometry.recordings.flame_sequences import (
    holds_flame,
    is_flame_folder,
    read_flame_sequence,
)
from facemorph.geometry.recordings.live_link import TIME, read_live_link
from facemorph.storage.array_files import names_of
from facemorph.storage.files import regular
from facemorph.storage.suffixes import RECORDINGS

Kind = Literal["live link", "json", "bvh", "flame", "parameters"]
BYTES = 200  # that tell formats apart
ZIP, BOM = b"PK\x03\x04", b"\xef\xbb\xbf"
NEEDED = (
    "a recording of Live Link Face (.csv), ARKit's coefficients in .json, a .bvh whose joints are "
    "coefficients, a sequence of FLAME (.npz), or the .npz of facemorph fit"
)
READERS = {
    "live link": read_live_link,
    "json": read_arkit_json,
    "bvh": read_bvh,
    "flame": read_flame_sequence,
}


def kind_of(path: Path) -> Kind | None:
    """What kind of recording a file or folder is, by its content; None of a picture, a video, or
    something else.

    Raises:
        DataError: It is an archive that cannot be read.
    """
    if path.is_dir():
        return "flame" if is_flame_folder(path) else None
    try:
        with regular(path).open("rb") as file:
            begin = file.read(BYTES)
    except OSError:
        return None
    text = begin.removeprefix(BOM).lstrip()
    if begin.startswith(ZIP):
        names = names_of(path)
        own = "expression_names" in names
        return "parameters" if own else "flame" if holds_flame(names) else None
    if text.startswith((b"{", b"[")):
        return "json" if is_arkit_json(path) else None
    if text[: len(BEGIN)].upper() == BEGIN.encode():
        return "bvh"
    return "live link" if text.lstrip(b'"').startswith(TIME.encode()) else None


def read_recording(path: Path, model: MorphableModel) -> tuple[FaceParameters, float | None] | None:
    """Parameters of each frame of a recording, and its frames per second, where it says them; None
    of what is no recording.

    Args:
        path: The file, or a folder.
        model: Of the parameters.

    Raises:
        DataError: It is damaged, of another model, or not what its suffix says.
        GeometryError: An array of parameters is missing or damaged.
    """
    kind = kind_of(path)
    if kind == "parameters":
        return FaceParameters.load(path), None
    if kind is not None:
        return READERS[kind](path, model)
    if path.suffix.lower() in RECORDINGS and not path.is_dir():
        if not path.is_file():
            raise DataError("there is no such file", where=path)
        raise DataError("this is no recording that drives a head", where=path, expected=NEEDED)
    return None
