"""GIF's data set, for people who have it: two LMDB files of pictures and a file of FLAME
parameters.

Ghosh et al., GIF: Generative Interpretable Faces (3DV 2020): ``multiscale.lmdb`` (FFHQ at several
sizes), ``deca_rendered_with_public_texture.lmdb`` (renders and normal maps of DECA's fits) and
``flame_params_public_texture_model.npy`` (read without unpickling).
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from facemorph.errors import DataError, MissingExtra
from facemorph.storage.pickled_arrays import read_pickle

RENDER_SIZE = 256
# Layout of the flat vector of 236 numbers.
PARAMETERS = {"shape": 100, "exp": 50, "pose": 6, "cam": 3, "tex": 50, "lit": 27}


class GIFFiles(Dataset[dict[str, Any]]):
    """Pictures with their renders, normal maps and FLAME parameters; only those that have
    parameters.

    Args:
        images: ``multiscale.lmdb``.
        renders: ``deca_rendered_with_public_texture.lmdb``.
        parameters: ``flame_params_public_texture_model.npy``.
        size: Size of the pictures, one that the first file holds.

    Raises:
        DataError: A file is missing or holds something else.
        MissingExtra: The package lmdb is not installed.
    """

    def __init__(
        self, images: str | Path, renders: str | Path, parameters: str | Path, size: int = 256
    ) -> None:
        self.images, self.renders, self.parameters, self.size = (
            Path(images),
            Path(renders),
            Path(parameters),
            size,
        )
        self.vectors = self._vectors()
        self.rows = sorted(self.vectors)
        for path in (self.images, self.renders):
            _open(path)

    def _vectors(self) -> dict[int, Tensor]:
        """The flat vector ``(236,)`` of each picture's number."""
        content = read_pickle(self.parameters)
        if isinstance(content, np.ndarray) and content.shape == ():
            content = content.item()
        if not isinstance(content, dict) or not content:
            raise DataError(
                "this file holds no table of parameters",
                where=self.parameters,
                expected="'00000.pkl' -> shape, exp, pose, cam, tex, lit",
                found=type(content).__name__,
            )
        found = {}
        for name, entry in content.items():
            number, known = str(name).split(".")[0], isinstance(entry, dict)
            pieces = [
                np.asarray(entry[key], np.float32).reshape(-1)
                for key in PARAMETERS
                if known and key in entry
            ]
            if not number.isdigit() or [piece.size for piece in pieces] != list(
                PARAMETERS.values()
            ):
                raise DataError(
                    "these parameters have another layout",
                    where=f"{self.parameters}: {name}",
                    expected=", ".join(f"{key} {size}" for key, size in PARAMETERS.items()),
                    found=", ".join(map(str, entry))[:120] if known else type(entry).__name__,
                )
            found[int(number)] = torch.from_numpy(np.concatenate(pieces))
        return found

    def __len__(self) -> int:
        """Pictures that have parameters."""
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One picture.

        Returns:
            ``image`` (3, S, S), ``render`` and ``normals`` (3, 256, 256), all in [0, 1] as stored
            (the normals' negative halves may have been lost when they were made); ``parameters``
            (236,): shape 100, expression 50, pose 6, camera 3, texture 50, light 27; ``number`` of
            the picture in FFHQ.

        Raises:
            DataError: A picture is missing or damaged.
        """
        number = self.rows[index]
        return {
            "image": self._picture(self.images, f"{self.size}-{number:05d}"),
            "render": self._picture(self.renders, f"{RENDER_SIZE}-{number:05d}"),
            "normals": self._picture(self.renders, f"norm_map_{RENDER_SIZE}-{number:05d}"),
            "parameters": self.vectors[number],
            "number": number,
        }

    def _picture(self, path: Path, key: str) -> Tensor:
        with _open(path).begin() as transaction:
            content = transaction.get(key.encode())
        if content is None:
            raise DataError("no such picture in this file", where=path, expected=key)
        try:
            with Image.open(io.BytesIO(content)) as picture:
                array = np.asarray(picture.convert("RGB"), np.float32) / 255
        except OSError as error:
            raise DataError(
                "this picture is damaged", where=f"{path}: {key}", found=str(error)[:120]
            ) from error
        return torch.from_numpy(array).permute(2, 0, 1)


@cache
def _open(path: Path) -> Any:
    """The open file. LMDB wants each opened once in a process, whoever reads it; without locks a
    fork may go on.
    """
    try:
        import lmdb
    except ImportError as error:
        raise MissingExtra(
            "GIF's files need the package lmdb",
            where=path,
            remedy="pip install 'facemorph-torch[datasets]'",
        ) from error
    try:
        return lmdb.open(
            str(path), readonly=True, lock=False, readahead=False, subdir=path.is_dir()
        )
    except lmdb.Error as error:
        raise DataError("this is no LMDB file", where=path, found=str(error)[:120]) from error
