"""Faces of a set with the maps that condition a generator."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from facemorph import console
from facemorph.data.face_set import FaceBatch, FaceRows, FaceSet
from facemorph.errors import ConfigError, DataError
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.conditions import ConditionRenderer
from facemorph.geometry.synthetic.procedural_skin import skin_basis
from facemorph.ops.seeds import evenly
from facemorph.storage.array_files import read_npy
from facemorph.storage.files import write_whole

BLOCK = 16  # faces rendered at a time


class ConditionedBatch(FaceBatch):
    """A batch of B faces with their conditions.

    Attributes:
        conditions: ``(B, 9, S, S)``: render, normals, mask, texture coordinates.
        light: ``(B, 9, 3)``.
    """

    conditions: Tensor
    light: Tensor


class ConditionedFaces(FaceSet):
    """A set of faces with rendered conditions.

    The maps follow from the parameters. They are rendered once, into a file of 16-bit numbers in
    the set's folder, or anew for every batch, which needs no room.

    Args:
        folder: As of `FaceSet`; the fits need skin and light (``prepare --refine``).
        size: Side of pictures and maps in pixels.
        batch_size: Pictures of a step, over all processes.
        num_workers: Processes that load.
        model: Morphable model of the parameters.
        seed: Of the order.
        stored: Whether the maps are kept in a file.
        supersample: Samples along each side of a pixel of the maps.
    """

    maps_name = "conditions"  # of the file

    def __init__(
        self,
        folder: str | Path,
        size: int = 128,
        batch_size: int = 16,
        num_workers: int = 0,
        model: str = "makehuman",
        seed: int = 0,
        stored: bool = True,
        supersample: int = 2,
    ) -> None:
        super().__init__(
            folder, size, batch_size, mirror=False, num_workers=num_workers, model=model, seed=seed
        )
        self.stored, self.supersample = stored, supersample

    def renderer(self, size: int) -> ConditionRenderer:
        """What renders the maps of this set's model."""
        model = load_model(self.model)
        return ConditionRenderer(
            model, size=size, supersample=self.supersample, skin=skin_basis(model)
        )

    def setup(self, stage: str | None = None) -> None:
        """Read the set and render its maps, once.

        Raises:
            DataError: The set is no prepared one, or its fits are without skin.
        """
        if self.parts:
            return
        super().setup(stage)
        if not self.parameters.albedo.shape[1]:
            raise DataError(
                "the fits of this set have no skin and light",
                where=Path(self.folder) / "parameters.npz",
                remedy="Make the set with `facemorph data prepare --refine`.",
            )
        side = next(iter(self.parts.values())).pictures.shape[-1]
        renderer = self.renderer(side)
        maps = self._stored_maps(renderer, side) if self.stored else None
        self.conditioned = {
            name: ConditionedRows(rows, self.parameters, maps, renderer)
            for name, rows in self.parts.items()
        }

    def _stored_maps(self, render: ConditionRenderer, side: int) -> np.ndarray[Any, Any]:
        """Maps of all faces ``(N, 9, S, S)``, float16, mapped into memory."""
        folder = Path(self.folder)
        source = (folder / "parameters.npz").stat()
        stamp = f"{source.st_size} {source.st_mtime_ns} {self.supersample} {self.model}"
        stamp += f" {digest_of(render)}"
        path, note = (folder / f"{self.maps_name}.{side}.{kind}" for kind in ("npy", "txt"))
        if path.is_file() and note.is_file() and note.read_text() == stamp:
            return read_npy(path, remedy="Remove it: it is made again.", mapped=True)
        count = len(self.parameters)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        shape = (count, render.num_channels, side, side)
        try:
            kept = np.lib.format.open_memmap(part, "w+", np.float16, shape)
        except OSError as error:
            raise DataError(
                "the maps of this set cannot be written",
                where=path,
                found=error.strerror,
                remedy="Make room, or set data.stored=false to render them while training.",
            ) from error
        try:
            for start in console.track(range(0, count, BLOCK), "rendering"):
                rows = slice(start, start + BLOCK)
                kept[rows] = render(self.parameters[rows]).half().numpy()
            kept.flush()
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        write_whole(note, stamp.encode())
        return read_npy(path, remedy="Remove it: it is made again.", mapped=True)

    @property
    def samples(self) -> Mapping[str, Dataset[Any]]:
        """What batches are made of, by split."""
        return self.conditioned

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled batches of the training split."""
        return self.training_loader(
            self.samples["training"],
            self.batch_size,
            seed=self.seed,
            num_workers=self.num_workers,
        )

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Batches of the validation split in order; none without one."""
        part = self.samples.get("validation")
        return [] if part is None else DataLoader(part, self.batch_size)


class ConditionedRows(Dataset[ConditionedBatch]):
    """Some rows of a set with their maps.

    Args:
        rows: The rows.
        parameters: Of all faces of the set.
        maps: Maps of all faces; None renders each when it is asked for.
        renderer: What renders them.
    """

    def __init__(
        self,
        rows: FaceRows,
        parameters: FaceParameters,
        maps: np.ndarray[Any, Any] | None,
        renderer: ConditionRenderer,
    ) -> None:
        self.rows, self.parameters, self.maps, self.renderer = rows, parameters, maps, renderer

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> ConditionedBatch:
        """One face."""
        face = self.rows[index]
        row = int(face["index"])
        if self.maps is None:
            maps = self.renderer(self.parameters[row])[0]
        else:
            maps = torch.from_numpy(np.array(self.maps[row])).float()
        return {**face, "conditions": maps, "light": self.parameters.light[row]}


def checked_data(data: object, model: str) -> ConditionedFaces:
    """The data of a training, where it is faces with conditions of the system's model.

    Args:
        data: What the trainer has.
        model: Morphable model of the system.

    Raises:
        ConfigError: It is something else, or of another model.
    """
    if not isinstance(data, ConditionedFaces):
        raise ConfigError(
            "this system needs faces with conditions",
            where="data",
            expected="data=conditioned_faces",
            found=type(data).__name__,
        )
    if data.model != model:
        raise ConfigError(
            "system and data have different models",
            where="system.model",
            expected=data.model,
            found=model,
        )
    return data


def at_size(batch: ConditionedBatch, side: int) -> ConditionedBatch:
    """A batch of a generator's size: the set's may be larger, so that codes are told of all that
    its pictures show.

    Args:
        batch: The batch.
        side: Of the generator's pictures.

    Raises:
        ConfigError: The set's size is no multiple of it.
    """
    factor, rest = divmod(batch["image"].shape[-1], side)
    if rest or not factor:
        raise ConfigError(
            "the pictures do not fit the generator",
            where="data.size",
            expected=f"a multiple of {side}",
            found=batch["image"].shape[-1],
        )
    if factor == 1:
        return batch
    image, conditions = (
        functional.avg_pool2d(one, factor) for one in (batch["image"], batch["conditions"])
    )
    return {**batch, "image": image, "conditions": conditions}


def digest_of(render: ConditionRenderer) -> str:
    """Of what maps follow from beside the parameters: another skin makes other renders."""
    skin = render.skin or ()
    digest = hashlib.sha256()
    for tensor in skin:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def held_out(data: ConditionedFaces, count: int, side: int, key: str) -> Tensor:
    """Pictures or maps ``(N, C, side, side)`` of at most ``count`` faces of the validation split,
    evenly among them; of the training split where there is none.

    Args:
        data: The set, set up.
        count: At most so many.
        side: Their side in pixels, which divides that of the set's.
        key: ``image`` or ``conditions``.
    """
    rows = data.conditioned.get("validation", data.conditioned["training"])
    chosen = evenly(len(rows), count)
    found = torch.stack([rows[row][key] for row in chosen])  # type: ignore[literal-required]
    return functional.adaptive_avg_pool2d(found, side)
