"""Training batches of VariTex's preprocessed data set, for people who have it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.faces.files.image_io import resize_image
from facemorph.geometry.rendering.plane_moves import MoveRanges, PlaneMoves
from facemorph.systems.varitex.face_batches import TRAINING, FaceViews, UVBatches
from facemorph.systems.varitex.published_set import VariTexFiles

# CelebAMask-HQ's labels in their order.
REGIONS = (
    "background",
    "skin",
    "nose",
    "glasses",
    "left_eye",
    "right_eye",
    "left_brow",
    "right_brow",
    "left_ear",
    "right_ear",
    "mouth",
    "upper_lip",
    "lower_lip",
    "hair",
    "hat",
    "earring",
    "necklace",
    "neck",
    "cloth",
)
PERSON = REGIONS[1:16]  # as published: no neck, necklace and clothes
COEFFICIENTS = ("identity", "expression", "rotation", "translation", "scale")


class UVFiles(UVBatches):
    """The authors' pictures, with their UV maps and labels.

    UV maps are as stored: they are moved by taking the nearest pixel, in full precision. The
    published 8 bits are the system's, see ``parity``.

    Args:
        folder: ``preprocessed_dataset``, see `VariTexFiles`.
        images: Folder of FFHQ's pictures.
        size: As of `UVBatches`; pictures and maps of another size are scaled.
        batch_size: Likewise.
        steps_per_epoch: Likewise; 10,000 are nearly one round of the whole set.
        seed: Likewise.
        num_workers: Likewise.
        moves: Likewise.
        regions: Labels that are the person beside the mesh, see `REGIONS`.
        split: ``train``, held-out pictures being ``val``, or ``all`` without any.
        model: Morphable model of the UV maps, such as the file of the Basel Face Model 2017: not
            needed to train, but to show other poses.

    Raises:
        ConfigError: A number is out of range, or there is no such region.
    """

    def __init__(
        self,
        folder: str | Path,
        images: str | Path,
        size: int = 256,
        batch_size: int = 7,
        steps_per_epoch: int = 10_000,
        seed: int = 0,
        num_workers: int = 0,
        moves: MoveRanges | None = None,
        regions: Sequence[str] = PERSON,
        split: str = "train",
        model: str | None = None,
    ) -> None:
        super().__init__(size, batch_size, steps_per_epoch, seed, num_workers, moves)
        unknown = [name for name in regions if name not in REGIONS]
        if unknown:
            raise ConfigError(
                "there is no such region",
                where="data.regions",
                expected=", ".join(REGIONS),
                found=", ".join(map(str, unknown)),
            )
        if split not in ("train", "all"):
            raise ConfigError(
                "there is no such split to train on",
                where="data.split",
                expected="train or all",
                found=split,
            )
        self.folder, self.images, self.split, self.model = folder, images, split, model
        self.regions = tuple(regions)
        self.files: VariTexFiles | None = None

    def setup(self, stage: str | None = None) -> None:
        """Open the files, once.

        Raises:
            DataError: A file is missing, or arrays do not fit together.
        """
        if self.files is not None:
            return
        self.files = VariTexFiles(self.folder, self.images, "all")
        self.names = self.files.names
        self._rows = {TRAINING: self.files.rows.tolist()}
        if self.split == "train":
            parts = (VariTexFiles(self.folder, self.images, name) for name in ("train", "val"))
            training, validation = (part.rows.tolist() for part in parts)
            self._rows = {TRAINING: training, "validation": validation}

    def rows(self, split: str) -> list[int]:
        """Rows of a split."""
        return self._rows.get(split, [])

    def views(self, rows: Sequence[int]) -> FaceViews:
        """Some faces as they are.

        Raises:
            ConfigError: The data have not been set up.
            ImageError: A picture is missing or cannot be read.
        """
        if self.files is None:
            raise ConfigError("the data have not been set up", where="data")
        items = [self.files[row] for row in rows]
        numbers = torch.tensor([REGIONS.index(name) for name in self.regions])
        people = torch.stack([torch.isin(one["segmentation"], numbers)[None] for one in items])
        uv, uv_mask = (torch.stack([one[name] for one in items]) for name in ("uv", "uv_mask"))
        pictures = torch.stack([one["image"] for one in items])
        parameters = [torch.cat([one[name].flatten() for name in COEFFICIENTS]) for one in items]
        if pictures.shape[-1] != self.size:
            pictures = resize_image(pictures, (self.size, self.size))
            people, uv_mask = (self._nearest(one.float()) > 0 for one in (people, uv_mask))
            uv = self._nearest(uv)
        return FaceViews(pictures, people, uv, uv_mask, torch.stack(parameters))

    def _nearest(self, maps: Tensor) -> Tensor:
        return F.interpolate(maps, (self.size, self.size), mode="nearest-exact")

    def moved_places(
        self, rows: Sequence[int], views: FaceViews, moves: PlaneMoves
    ) -> tuple[Tensor, Tensor]:
        """The stored maps moved: their meshes need a model that most people do not have."""
        mask = moves.pictures(views.uv_mask.float(), whole=True) > 0
        return moves.pictures(views.uv, whole=True), mask
