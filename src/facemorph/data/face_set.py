"""Sets that ``facemorph data prepare`` and ``data synth`` make: pictures with the parameters of
the face, the person, and the split.
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from facemorph import console
from facemorph.data.resumable import ResumableDataModule
from facemorph.errors import ConfigError, DataError
from facemorph.faces.files.image_io import load_image
from facemorph.geometry.models.mirroring import MirroredParameters
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.storage.array_files import read_npy
from facemorph.storage.files import read_json, write_whole

INDEX, PARAMETERS = "index.json", "parameters.npz"
READERS = 4  # threads that decode pictures, which releases Python's lock


class FaceBatch(TypedDict):
    """A batch of B faces.

    Attributes:
        image: ``(B, 3, S, S)`` in [0, 1].
        parameters: ``(B, P)``, the flat vectors of ``FaceParameters``, in pixels of these images.
        person: ``(B,)`` number of the person, the same in all splits.
        index: ``(B,)`` row of the set; its mirror image has the same.
        mirrored: ``(B,)`` whether it is the mirror image.
    """

    image: Tensor
    parameters: Tensor
    person: Tensor
    index: Tensor
    mirrored: Tensor


@dataclass(frozen=True)
class SetIndex:
    """``index.json`` of a set.

    Attributes:
        names: Name of each of the N pictures.
        people: Whom it shows.
        split: ``training``, ``validation`` or ``test``.
        files: The picture, below the set's folder.
    """

    names: tuple[str, ...]
    people: tuple[str, ...]
    split: tuple[str, ...]
    files: tuple[str, ...]

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read the index of a set.

        Raises:
            DataError: It is missing or damaged.
        """
        path = Path(folder) / INDEX
        try:
            content = read_json(path)
            columns = [
                tuple(str(one) for one in content[key])
                for key in ("names", "people", "split", "files")
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                "this is no prepared training set",
                where=path,
                found=type(error).__name__,
                expected="what `facemorph data prepare` or `data synth` writes",
            ) from error
        if len({len(column) for column in columns}) != 1:
            raise DataError(
                "the columns of this index have different lengths",
                where=path,
                found=", ".join(str(len(column)) for column in columns),
                remedy="Make the set again with the same command.",
            )
        return cls(*columns)

    def rows(self, split: str) -> list[int]:
        """Rows of a split."""
        return [row for row, one in enumerate(self.split) if one == split]


class FaceSet(ResumableDataModule):
    """Batches of pictures and face parameters of a set, see `FaceBatch`.

    Pictures are decoded once, into one file of bytes in the set's folder
    (``pictures.SIZE.npy``), which all workers and processes map into memory together. A run that
    was stopped continues bit for bit, with any number of workers.

    Args:
        folder: What ``facemorph data prepare`` or ``data synth`` made.
        size: Side of the pictures in pixels; None: as they are in the set.
        batch_size: Pictures of a step, over all processes.
        mirror: Have every picture of the training split twice, as it is and mirrored, with the
            parameters of the mirror image.
        num_workers: Processes that load.
        model: Morphable model of the parameters, to mirror them: ``makehuman``, ``ict``, or a file.
        seed: Of the order.

    Raises:
        ConfigError: A number is out of its range.
    """

    def __init__(
        self,
        folder: str | Path,
        size: int | None = None,
        batch_size: int = 16,
        mirror: bool = True,
        num_workers: int = 0,
        model: str = "makehuman",
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("size", size, 8),
            ("batch_size", batch_size, 1),
            ("num_workers", num_workers, 0),
        ):
            if value is not None and value < least:
                raise ConfigError(
                    "out of range", where=f"data.{name}", expected=f"{least} or more", found=value
                )
        self.folder, self.size, self.batch_size, self.mirror = folder, size, batch_size, mirror
        self.num_workers, self.model, self.seed = num_workers, model, seed
        self.parts: dict[str, FaceRows] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read index and parameters and decode the pictures, once.

        Raises:
            DataError: The folder holds no set, its files do not fit together, or a picture cannot
                be read or is not square.
        """
        if self.parts:
            return
        folder = Path(self.folder)
        index, parameters = SetIndex.read(folder), FaceParameters.load(folder / PARAMETERS)
        if len(index.names) != len(parameters):
            raise DataError(
                "index and parameters of this set do not fit together",
                where=folder / PARAMETERS,
                expected=f"{len(index.names)} faces, as in {INDEX}",
                found=len(parameters),
                remedy="Make the set again with the same command.",
            )
        if not index.rows("training"):
            raise DataError(
                "this set has no picture for training",
                where=folder / INDEX,
                expected="some rows with split training",
                found=", ".join(sorted(set(index.split))) or "no rows",
            )
        pictures, scale = decoded_pictures(folder, index, self.size)
        parameters = scaled(parameters, scale)
        numbers = {name: number for number, name in enumerate(sorted(set(index.people)))}
        person = torch.tensor([numbers[name] for name in index.people])
        mirrored = None
        if self.mirror:
            turn = MirroredParameters.of(load_model(self.model))
            mirrored = turn(parameters, pictures.shape[-1]).vector()
        for split in sorted(set(index.split)):
            rows = torch.tensor(index.rows(split))
            self.parts[split] = FaceRows(
                pictures,
                parameters.vector(),
                person,
                rows,
                mirrored if split == "training" else None,
            )
        self.parameters = parameters

    def train_dataloader(self) -> DataLoader[FaceBatch]:
        """Shuffled batches of the training split; the last, smaller one is left out."""
        return self.training_loader(
            self.parts["training"], self.batch_size, seed=self.seed, num_workers=self.num_workers
        )

    def val_dataloader(self) -> DataLoader[FaceBatch] | list[Any]:
        """Batches of the validation split in order; none without one."""
        part = self.parts.get("validation")
        if part is None:
            return []
        return DataLoader(part, self.batch_size, num_workers=self.num_workers)


class FaceRows(Dataset[FaceBatch]):
    """Some rows of a set, and after them their mirror images.

    Args:
        pictures: ``(N, 3, S, S)`` bytes.
        vectors: ``(N, P)`` parameters.
        person: ``(N,)``.
        rows: ``(R,)`` the rows.
        mirrored: ``(N, P)`` parameters of the mirror images; None leaves these out.
    """

    def __init__(
        self,
        pictures: np.ndarray[Any, Any],
        vectors: Tensor,
        person: Tensor,
        rows: Tensor,
        mirrored: Tensor | None = None,
    ) -> None:
        self.pictures, self.vectors, self.person = pictures, vectors, person
        self.rows, self.mirrored = rows, mirrored

    def __len__(self) -> int:
        """R, or twice as many."""
        return len(self.rows) * (1 if self.mirrored is None else 2)

    def __getitem__(self, index: int) -> FaceBatch:
        """One face of a `FaceBatch`."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        row = int(self.rows[index % len(self.rows)])
        turned = index >= len(self.rows)
        picture = torch.from_numpy(np.array(self.pictures[row])).float() / 255
        vectors = self.vectors if self.mirrored is None or not turned else self.mirrored
        return {
            "image": picture.flip(-1) if turned else picture,
            "parameters": vectors[row],
            "person": self.person[row],
            "index": torch.tensor(row),
            "mirrored": torch.tensor(turned),
        }


def scaled(parameters: FaceParameters, scale: float) -> FaceParameters:
    """Parameters in pixels of a picture that is ``scale`` times as large."""
    return replace(
        parameters,
        origin=parameters.origin * scale,
        log_size=parameters.log_size + float(np.log(scale)),
        focal=parameters.focal * scale,
    )


def decoded_pictures(
    folder: Path, index: SetIndex, size: int | None
) -> tuple[np.ndarray[Any, Any], float]:
    """All pictures of a set as bytes ``(N, 3, S, S)``, mapped into memory, and S over their own
    side.

    The file is made where it is missing or older than what the index names; where the set's folder
    cannot be written, the pictures stay in this process's memory.

    Raises:
        DataError: A picture is missing, is not square, or has another size than the others.
    """
    first = _read_picture(folder, index.files[0], None, None)
    own = first.shape[-1]
    side = size or own
    stamp = _stamp(folder, index)
    path, note = folder / f"pictures.{side}.npy", folder / f"pictures.{side}.json"
    if path.is_file() and _says(note, stamp):
        return read_npy(path, remedy="Remove it: it is made again.", mapped=True), side / own
    shape = (len(index.files), 3, side, side)
    new = path.with_name(f"{path.name}.{os.getpid()}.part")
    part: Path | None = new
    pictures: np.ndarray[Any, Any]
    try:
        pictures = kept = np.lib.format.open_memmap(new, "w+", np.uint8, shape)
    except OSError as error:
        console.err.print(
            f"[yellow]{folder} cannot be written[/yellow] ({error.strerror}): the pictures stay "
            "in this process's memory"
        )
        pictures, part = np.empty(shape, np.uint8), None
    try:
        read = partial(_read_picture, folder, side=side, own=own)
        with ThreadPoolExecutor(READERS) as pool:
            found = console.track(pool.map(read, index.files), "decoding", total=len(pictures))
            for row, picture in enumerate(found):
                pictures[row] = picture
        if part is None:
            return pictures, side / own
        kept.flush()
        os.replace(part, path)
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    write_whole(note, json.dumps({"stamp": stamp}).encode())
    return read_npy(path, remedy="Remove it: it is made again.", mapped=True), side / own


def _read_picture(
    folder: Path, file: str, side: int | None, own: int | None
) -> np.ndarray[Any, Any]:
    path = (folder / file).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise DataError("this picture lies outside of the set", where=path, expected=folder)
    image = load_image(path)
    height, width = image.shape[-2:]
    if height != width or (own is not None and width != own):
        raise DataError(
            "the pictures of a set are squares of one size",
            where=path,
            expected=f"{own or height}x{own or height}",
            found=f"{height}x{width}",
            remedy="Make the set with `facemorph data prepare`.",
        )
    if side is not None and side != width:
        image = functional.interpolate(
            image[None], (side, side), mode="bilinear", align_corners=False, antialias=True
        )[0]
    return (image.clamp(0, 1) * 255).round().byte().numpy()


def _stamp(folder: Path, index: SetIndex) -> str:
    """Digest of the pictures' names, sizes and dates."""
    digest = hashlib.sha256()
    for file in index.files:
        path = folder / file
        if not path.is_file():
            raise DataError(
                "a picture of this set is missing",
                where=path,
                remedy="Make the set again with the same command.",
            )
        status = path.stat()
        digest.update(f"{file} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _says(note: Path, stamp: str) -> bool:
    try:
        content = read_json(note)
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("stamp") == stamp
