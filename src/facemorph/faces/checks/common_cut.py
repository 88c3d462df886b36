"""One share of the frame for all faces of a morph: the photograph with the least room decides."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from facemorph.faces.alignment import PORTRAIT_SIDE, PortraitCut, portrait_middle
from facemorph.ops.frames import Frame

LEAST_SHARE = 0.42  # of head and shoulders: what the face itself takes
ALIKE = 0.97  # of the largest share, from which faces are of one size to the eye
FARTHEST = 0.3  # of the distance from eyes to chin: how far a face off the middle moves the others
SAID = 0.9  # of the largest share, below which the cut is worth a word

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FacePlace:
    """Where a face is in its photograph.

    Attributes:
        frame: Of the photograph.
        points: ``(K, 2)`` landmarks in its pixels.
        scheme: Their scheme, ``ibug68`` or ``frll189``.
    """

    frame: Frame
    points: Tensor
    scheme: str

    @property
    def share(self) -> float:
        """Side of the largest square in the photograph, as a share of that with head and
        shoulders.

        Raises:
            GeometryError: Eyes and chin coincide.
            DataError: The scheme has no eyes and chin.
        """
        _, reach = portrait_middle(self.points.double(), self.scheme)
        return min(self.frame.width, self.frame.height) / (PORTRAIT_SIDE * reach)


def common_cut(faces: Sequence[FacePlace]) -> PortraitCut | None:
    """How portraits are cut so that all faces have one size in the frame, and about one place if
    their photographs have room for that.

    Where a photograph is cut too tightly for head and shoulders, all follow it; cut more tightly
    than the whole face, its missing surroundings are made instead.

    Args:
        faces: At least one.

    Returns:
        What all have in common; None where the usual portraits show all in one size, to 3 %.

    Raises:
        GeometryError: Eyes and chin of one coincide.
        DataError: A scheme has no eyes and chin.
    """
    shares = [min(face.share, 1.0) for face in faces]
    if min(shares) >= ALIKE * max(shares):
        return None
    share = max(LEAST_SHARE, min(shares))
    low, high = [], []
    for face in faces:
        middle, reach = portrait_middle(face.points.double(), face.scheme)
        side = PORTRAIT_SIDE * reach * share
        room = middle.new_tensor([face.frame.width - side, face.frame.height - side])
        at = middle - side / 2
        # What does not fit is centred in any case.
        low.append((room.clamp(max=0) / 2 - at) / reach)
        high.append((torch.where(room < 0, room / 2, room) - at) / reach)
    least, most = torch.stack(low).amax(0), torch.stack(high).amin(0)
    # The nearest to the usual place that all can give; half-way where there is none.
    nearest = torch.minimum(least.clamp(min=0), most)
    shift = torch.where(least <= most, nearest, (least + most) / 2).clamp(-FARTHEST, FARTHEST)
    return PortraitCut(share, (float(shift[0]), float(shift[1])))


def say_tight_cut(faces: Sequence[FacePlace], labels: Sequence[str]) -> None:
    """Warn of the photograph that decides how tightly all are cut.

    Args:
        faces: As for ``common_cut``.
        labels: What to call each.
    """
    shares = [min(face.share, 1.0) for face in faces]
    least = min(range(len(shares)), key=shares.__getitem__)
    if shares[least] >= SAID * max(shares):
        return
    made = " Its borders are repeated for the rest." if shares[least] < LEAST_SHARE else ""
    logger.warning(
        "%s is cut too tightly for head and shoulders: all faces are cut as tightly, to %.0f %% of "
        "the usual frame.%s Take a photograph with more around the face.",
        labels[least],
        100 * max(shares[least], LEAST_SHARE),
        made,
    )
