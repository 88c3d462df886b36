"""VariTex's preprocessed data set as its authors lay it out, of random numbers."""

from __future__ import annotations

import numpy as np
from PIL import Image

COUNT = 5
ROWS = {"R": (3, 3), "t": (3,), "s": (1,), "sp": (199,), "ep": (100,)}


def random_picture(seed, size):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def write_varitex_files(root, size):
    """Five pictures, two of them for validation: folder, images, and the stored UV maps, which have
    no mesh in the first four rows, and a legal u of -1 at (5, 5).
    """
    folder, images = root / "preprocessed_dataset", root / "images"
    draw = np.random.default_rng(0)
    folder.mkdir()
    images.mkdir()
    for name, shape in ROWS.items():
        np.save(folder / f"{name}.npy", draw.normal(size=(COUNT, *shape)).astype(np.float32))
    uv = draw.uniform(-0.9, 0.9, (COUNT, size, size, 2)).astype(np.float32)
    uv[:, :4] = -1
    uv[:, 5, 5] = (-1, 0.25)
    np.save(folder / "uv.npy", uv)
    labels = draw.integers(0, 19, (COUNT, size, size)).astype(np.uint8)
    np.save(folder / "segmentation.npy", labels)
    names = [f"{index:05d}.png" for index in range(COUNT)]
    np.save(folder / "filename.npy", np.array(names, dtype=object))
    np.savez(folder / "dataset_splits.npz", train=np.array([0, 1, 2]), val=np.array([3, 4]))
    for index, name in enumerate(names):
        Image.fromarray(random_picture(index, size)).save(images / name)
    return folder, images, uv
