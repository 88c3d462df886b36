"""VariTex's preprocessed data set, for people who have it: memory-mapped ``.npy`` files beside
FFHQ's pictures.

Buehler et al., VariTex (ICCV 2021), ``preprocessed_dataset/``: fits of the Basel Face Model 2017,
UV maps and CelebAMask-HQ labels of 69,991 pictures. Departures: validity of a UV pixel is a mask
here, where the original compares with -1 in two different ways; nothing is quantised to 8 bits;
names are read without unpickling.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from facemorph.errors import ConfigError, DataError
from facemorph.faces.files.image_io import load_image, resize_image
from facemorph.storage.array_files import read_npy, read_npz
from facemorph.storage.pickled_arrays import read_pickle

# File, shape of one row; H and W are those of the UV map.
ARRAYS = {
    "R": (3, 3),
    "t": (3,),
    "s": (1,),
    "sp": (199,),
    "ep": (100,),
    "segmentation": (0, 0),
    "uv": (0, 0, 2),
}
SPLITS = ("train", "val", "all")


class VariTexFiles(Dataset[dict[str, Any]]):
    """Pictures with their fits, UV maps and labels.

    Args:
        folder: ``preprocessed_dataset``.
        images: Folder of the pictures that ``filename.npy`` names.
        split: ``train``, ``val`` or ``all``.

    Raises:
        DataError: A file is missing, or arrays do not fit together.
        ConfigError: There is no such split.
    """

    def __init__(self, folder: str | Path, images: str | Path, split: str = "train") -> None:
        self.folder, self.images = Path(folder), Path(images)
        if split not in SPLITS:
            raise ConfigError(
                "no such split", where="split", expected=" | ".join(SPLITS), found=split
            )
        self.arrays = {name: self._array(name, row) for name, row in ARRAYS.items()}
        names = read_pickle(self.folder / "filename.npy")
        self.names = [str(name) for name in np.asarray(names, dtype=object).reshape(-1)]
        counts = {name: len(array) for name, array in self.arrays.items()} | {
            "filename": len(self.names)
        }
        if len(set(counts.values())) != 1:
            raise DataError(
                "these arrays have different lengths",
                where=self.folder,
                found=", ".join(f"{name} {count}" for name, count in counts.items()),
            )
        self.rows = np.arange(len(self.names)) if split == "all" else self._split(split)

    def _array(self, name: str, row: tuple[int, ...]) -> np.ndarray[Any, Any]:
        path = self.folder / f"{name}.npy"
        array = read_npy(path, expected="preprocessed_dataset of VariTex", mapped=True)
        if array.ndim != len(row) + 1 or any(
            want not in (0, size) for want, size in zip(row, array.shape[1:], strict=False)
        ):
            raise DataError(
                "this array has another shape",
                where=path,
                found=array.shape,
                expected=("N", *(want or "any" for want in row)),
            )
        return array

    def _split(self, split: str) -> np.ndarray[Any, Any]:
        path = self.folder / "dataset_splits.npz"
        what, expected = "the splits cannot be read", "arrays train and val"
        arrays = read_npz(path, what, expected=expected, remedy="Use split=all.")
        if split not in arrays or arrays[split].dtype.kind not in "iu":
            raise DataError(
                what,
                where=path,
                found=", ".join(arrays) or "nothing",
                expected=expected,
                remedy="Use split=all.",
            )
        rows = arrays[split]
        if rows.size and (rows.min() < 0 or rows.max() >= len(self.names)):
            raise DataError(
                "the splits name rows that are not there",
                where=path,
                expected=f"0 to {len(self.names) - 1}",
                found=f"{rows.min()} to {rows.max()}",
            )
        return rows

    def __len__(self) -> int:
        """Pictures of the split."""
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One picture.

        Returns:
            ``image`` (3, H, W) in [0, 1] at the UV map's size; ``uv`` (2, H, W) in [0, 1], u right
            and v down; ``uv_mask`` (1, H, W) bool; ``segmentation`` (H, W) label numbers;
            ``rotation`` (3, 3), ``translation`` (3,), ``scale`` (1,), ``identity`` (199,) and
            ``expression`` (100,) as stored; ``name``.

        Raises:
            ImageError: The picture is missing or cannot be read.
        """
        row = int(self.rows[index])
        stored = torch.from_numpy(np.array(self.arrays["uv"][row], np.float32)).permute(2, 0, 1)
        mask = (stored != -1).any(0, keepdim=True)  # background is exactly -1 in both
        image = load_image(self.images / self.names[row])
        if image.shape[1:] != stored.shape[1:]:
            image = resize_image(image, (stored.shape[1], stored.shape[2]))
        values = {
            key: self._row(name, row)
            for key, name in (
                ("rotation", "R"),
                ("translation", "t"),
                ("scale", "s"),
                ("identity", "sp"),
                ("expression", "ep"),
            )
        }
        return {
            "image": image,
            "uv": (stored + 1) / 2 * mask,
            "uv_mask": mask,
            "segmentation": torch.from_numpy(np.array(self.arrays["segmentation"][row])).long(),
            **values,
            "name": self.names[row],
        }

    def _row(self, name: str, row: int) -> Tensor:
        return torch.from_numpy(np.array(self.arrays[name][row], np.float32))
