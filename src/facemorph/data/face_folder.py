"""Pieces of the photographs of a folder, drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from facemorph.data.resumable import SeededStepDataModule
from facemorph.errors import ConfigError, DataError
from facemorph.faces.pair import prepare_faces
from facemorph.storage.folders import listed
from facemorph.storage.suffixes import PICTURES

EXAMPLES = 4


class FaceFolder(SeededStepDataModule):
    """Batches ``{"images": (B, 3, h, w)}``: squares of the cut faces, half of them mirrored.

    All faces are kept in memory as bytes: 0.8 MB each at 512 pixels.

    Args:
        folder: Folder of photographs, or a list of files.
        size: Longer side of the cut faces in pixels.
        detector: Landmark detector.
        align: How the faces are cut, see ``facemorph.faces.pair.prepare_pair``.
        piece: Side of a piece in pixels.
        batch_size: Pieces of one step.
        steps_per_epoch: Steps between two measurements of quality.
        seed: Seed of all batches.

    Raises:
        ConfigError: ``piece`` is larger than the faces or below 8.
    """

    def __init__(
        self,
        folder: str | Path | Sequence[str | Path],
        size: int = 256,
        detector: str = "embedded",
        align: str = "portrait",
        piece: int = 64,
        batch_size: int = 8,
        steps_per_epoch: int = 100,
        seed: int = 0,
    ) -> None:
        super().__init__(steps_per_epoch, seed)
        if not 8 <= piece <= size:
            raise ConfigError(
                "unusable piece", where="data.piece", expected=f"8 to {size} pixels", found=piece
            )
        self.folder, self.size, self.detector, self.align = folder, size, detector, align
        self.piece, self.batch_size = piece, batch_size
        self.images = torch.empty(0, dtype=torch.uint8)

    def setup(self, stage: str | None = None) -> None:
        """Find and cut all faces, once.

        Raises:
            DataError: The folder holds no photograph.
        """
        if len(self.images):
            return
        if isinstance(self.folder, (str, Path)):
            folder = Path(self.folder)
            files: list[str | Path] = [*listed(folder, PICTURES)] if folder.is_dir() else []
        else:
            files = list(self.folder)
        if not files:
            raise DataError(
                "this folder holds no picture", where=str(self.folder), expected=" ".join(PICTURES)
            )
        faces = prepare_faces(files, size=self.size, detector=self.detector, align=self.align)
        self.images = torch.stack([(face.image * 255).round().byte() for face in faces])

    def examples(self) -> Tensor:
        """The first photographs, ``(B, 3, H, W)`` in [0, 1]."""
        return self.images[:EXAMPLES].float() / 255

    def make_batch(self, generator: torch.Generator, step: int) -> dict[str, Tensor]:
        """Pieces of one step."""
        height, width = self.images.shape[-2:]
        pieces = []
        for _ in range(self.batch_size):
            index = int(torch.randint(len(self.images), (), generator=generator))
            top, left = (
                int(torch.randint(side - self.piece + 1, (), generator=generator))
                for side in (height, width)
            )
            piece = self.images[index, :, top : top + self.piece, left : left + self.piece]
            pieces.append(
                piece.flip(-1) if bool(torch.rand((), generator=generator) < 0.5) else piece
            )
        return {"images": torch.stack(pieces).float() / 255}
