"""What VariTex learns from: pictures with the places of a mesh, whatever they come from.

The released code's names for a batch, and what they are here:

| there | here |
|---|---|
| IMAGE_IN_ENCODE | ``source``, with ``source_mask`` |
| IMAGE_IN, MASK_FULL | ``picture``, ``mask`` |
| SEGMENTATION_MASK | in ``mask``; the labels are in the items of ``VariTexFiles`` |
| UV_RENDERED, MASK_UV | ``uv``, ``uv_mask`` |
| COEFF_SHAPE, COEFF_EXPRESSION, R, T, SCALE | ``parameters``, in this order |
| FILENAME | ``index``, a place among the ``names`` of the data |

The paper's trick: the encoder sees a picture as it is, and the generator is to show it turned,
shifted, zoomed or mirrored, so that a code cannot hold where the face was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from facemorph.data.resumable import SeededStepDataModule
from facemorph.errors import ConfigError
from facemorph.geometry.rendering.plane_moves import MoveRanges, PlaneMoves
from facemorph.ops.seeds import evenly, mix_seed

TRAINING, VALIDATION = "training", "validation"


class VariTexBatch(TypedDict):
    """A batch of B faces; pictures have their whole background.

    Attributes:
        source: ``(B, 3, S, S)`` in [0, 1], what the encoder sees.
        source_mask: ``(B, 1, S, S)`` bool, where it shows the person.
        picture: ``(B, 3, S, S)`` in [0, 1], what is to be shown; 0 beyond a moved picture's edge.
        mask: ``(B, 1, S, S)`` bool, where it shows the person: the mesh, and hair where it is
            known, without holes.
        uv: ``(B, 2, S, S)`` in [0, 1], u right and v down, 0 off ``uv_mask``.
        uv_mask: ``(B, 1, S, S)`` bool, where the picture shows the mesh.
        index: ``(B,)`` row of the set.
        parameters: ``(B, P)`` of the mesh, not moved.
    """

    source: Tensor
    source_mask: Tensor
    picture: Tensor
    mask: Tensor
    uv: Tensor
    uv_mask: Tensor
    index: Tensor
    parameters: Tensor


class FaceViews(NamedTuple):
    """Some faces as they are.

    Attributes:
        pictures: ``(B, 3, S, S)`` in [0, 1].
        people: ``(B, 1, S, S)`` bool, where a person is known to be beside the mesh.
        uv: ``(B, 2, S, S)``.
        uv_mask: ``(B, 1, S, S)`` bool.
        parameters: ``(B, P)``.
    """

    pictures: Tensor
    people: Tensor
    uv: Tensor
    uv_mask: Tensor
    parameters: Tensor


class UVBatches(SeededStepDataModule):
    """Batches of faces in a new random order in each round; a subclass reads them.

    Args:
        size: Side S of the pictures in pixels.
        batch_size: Pictures of a step, over all processes.
        steps_per_epoch: Steps between two validations.
        seed: Of all batches.
        num_workers: Processes that read.
        moves: How far pictures are moved that are to be shown; not at all when None.

    Raises:
        ConfigError: A number is out of range.
    """

    names: Sequence[str]
    model: str | None

    def __init__(
        self,
        size: int,
        batch_size: int,
        steps_per_epoch: int,
        seed: int,
        num_workers: int,
        moves: MoveRanges | None,
    ) -> None:
        super().__init__(steps_per_epoch, seed, num_workers)
        for name, value, least in (("size", size, 8), ("batch_size", batch_size, 1)):
            if value < least:
                raise ConfigError(
                    "out of range", where=f"data.{name}", expected=f"{least} or more", found=value
                )
        self.size, self.batch_size, self.moves = size, batch_size, moves
        self._order: tuple[int, list[int]] = (-1, [])

    def rows(self, split: str) -> list[int]:
        """Rows of ``training`` or ``validation``."""
        raise NotImplementedError

    def views(self, rows: Sequence[int]) -> FaceViews:
        """Some faces as they are."""
        raise NotImplementedError

    def moved_places(
        self, rows: Sequence[int], views: FaceViews, moves: PlaneMoves
    ) -> tuple[Tensor, Tensor]:
        """``uv`` and ``uv_mask`` of faces where moved pictures show them.

        Args:
            rows: Of the faces.
            views: The same faces as they are.
            moves: Of the pictures.
        """
        raise NotImplementedError

    def sources_of(self, rows: Sequence[int], random: np.random.Generator | None) -> list[int]:
        """Rows of what the encoder sees of each person: the same pictures.

        Args:
            rows: Of what is to be shown.
            random: What decides; None where nothing is to be by chance.
        """
        return list(rows)

    def make_batch(self, generator: torch.Generator, step: int) -> VariTexBatch:
        """The next faces of the training split, moved."""
        random = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        moves = None
        if self.moves is not None:
            moves = PlaneMoves.drawn(random, self.batch_size, self.moves)
        first = step * self.batch_size
        rows = [self._row(place) for place in range(first, first + self.batch_size)]
        return self.batch_of(rows, self.sources_of(rows, random), moves)

    def batch_of(
        self, rows: Sequence[int], sources: Sequence[int], moves: PlaneMoves | None = None
    ) -> VariTexBatch:
        """Some faces.

        Args:
            rows: Of what is to be shown.
            sources: Of what the encoder sees.
            moves: Of what is to be shown.
        """
        clean = self.views(rows)
        source = clean if list(sources) == list(rows) else self.views(sources)
        pictures, people, uv, uv_mask, parameters = clean
        if moves is not None:
            # What is known of the person as it is, and the mesh where it is now.
            pictures = moves.pictures(pictures).clamp(0, 1)
            people = moves.pictures((people | uv_mask).float(), whole=True) > 0
            uv, uv_mask = self.moved_places(rows, clean, moves)
            # Beyond the edge of a picture nobody knows what the mesh looks like.
            uv_mask = uv_mask & (moves.pictures(torch.ones_like(pictures[:, :1]), whole=True) > 0)
            uv = uv * uv_mask
        return {
            "source": source.pictures,
            "source_mask": without_holes(source.people | source.uv_mask),
            "picture": pictures,
            "mask": without_holes(people | uv_mask),
            "uv": uv,
            "uv_mask": uv_mask,
            "index": torch.tensor(list(rows)),
            "parameters": parameters,
        }

    def shown(self, count: int) -> VariTexBatch:
        """Some faces to look at, as they are: held-out ones, of those that are trained on where
        there are none.
        """
        rows = self.rows(VALIDATION) or self.rows(TRAINING)
        chosen = [rows[place] for place in evenly(len(rows), count)]
        return self.batch_of(chosen, self.sources_of(chosen, None))

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Batches of the validation split in order, not moved; none without one."""
        rows = self.rows(VALIDATION)
        if not rows:
            return []
        parts = [rows[at : at + self.batch_size] for at in range(0, len(rows), self.batch_size)]
        return DataLoader(_HeldOut(self, parts), batch_size=None, num_workers=self.num_workers)

    def _row(self, place: int) -> int:
        """Row at a place of the endless stream of rounds."""
        rows = self.rows(TRAINING)
        turn, number = divmod(place, len(rows))
        if self._order[0] != turn:
            random = np.random.default_rng(mix_seed(self.seed, turn))
            self._order = (turn, random.permutation(len(rows)).tolist())
        return rows[self._order[1][number]]


class _HeldOut(Dataset[VariTexBatch]):
    """Batches of given rows."""

    def __init__(self, data: UVBatches, parts: Sequence[Sequence[int]]) -> None:
        self.data, self.parts = data, parts

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> VariTexBatch:
        rows = self.parts[index]
        return self.data.batch_of(rows, self.data.sources_of(rows, None))


def without_holes(masks: Tensor) -> Tensor:
    """Masks ``(B, 1, H, W)`` bool with what they enclose."""
    found = [ndimage.binary_fill_holes(mask.numpy()) for mask in masks[:, 0]]
    return torch.from_numpy(np.stack(found))[:, None]
