"""One photograph that moves: cut, fitted and encoded once, then a frame for any pose and
expression.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.apps.fitting.face_fitting import fit_faces
from facemorph.apps.fitting.located_face import LocatedFace, locate
from facemorph.apps.reenactment.choices import SIZES
from facemorph.errors import CheckpointError, ConfigError, DataError
from facemorph.faces.alignment import (
    apply_affine,
    cut_square,
    invert_affine,
    reenactment_box,
)
from facemorph.faces.types import LandmarkDetector
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.ops.filters import smoothstep
from facemorph.ops.rotations import yaw_of
from facemorph.storage.checkpoint import load_system
from facemorph.systems.gdpw.moved_portrait import MovedPortrait
from facemorph.systems.gdpw.small_system import SmallGDPW

SMALLEST, SMALL = 32.0, 100.0  # pixels of a square that cannot be used, and that is coarse
MOST_TURNED = 50.0  # degrees of yaw
MOST_ERROR = 0.06  # of the fit, as a share of the distance between the pupils
FEATHER = 0.06  # of a crop's side, in which it becomes the photograph

logger = logging.getLogger(__name__)


class Reenactor:
    """A photograph whose head takes other poses and expressions.

    ``reenactor(parameters)`` is a frame; ``reenactor.parameters`` are those of the photograph, in
    pixels of the frame, to be changed: ``reenactor.parameters.with_expression(jawOpen=0.5)``.

    Args:
        source: A file, or ``(3, H, W)`` in [0, 1].
        checkpoint: A trained small GDPW.
        size: Side of the frames in pixels; that of the face's square in the photograph, at most
            2048, when None.
        points: Landmark file of the photograph; None lets the detector find them.
        detector: A detector or its name.
        detector_name: Of a detector that is given as an object; ``embedded`` when None.

    Attributes:
        photograph: ``(3, H, W)`` the whole one.
        portrait: The square around the face, that moves.

    Raises:
        ConfigError: The size is out of range.
        CheckpointError: The checkpoint cannot be loaded, or is of another system.
        NoFaceFound: The photograph shows no face.
        DataError: The face is smaller than 32 pixels.
        FacemorphError: The photograph or its landmarks are at fault.
    """

    def __init__(
        self,
        source: str | Path | Tensor,
        checkpoint: str | Path | SmallGDPW = "@open:gdpw",
        *,
        size: int | None = None,
        points: str | Path | None = None,
        detector: str | LandmarkDetector = "embedded",
        detector_name: str | None = None,
    ) -> None:
        if size is not None and not SIZES[0] <= size <= SIZES[1]:
            raise ConfigError(
                "unusable size",
                where="size",
                expected=f"{SIZES[0]} to {SIZES[1]} pixels",
                found=size,
            )
        system = checkpoint if isinstance(checkpoint, SmallGDPW) else load_reenactment(checkpoint)
        face = locate(source, points, detector, source=detector_name)
        self.name, self.photograph = face.name, face.image
        image, marks, self.matrix, self.side = square_around(face, size)
        model = load_model(system.model_name)
        fitted = fit_faces([replace(face, image=image, landmarks=marks)], model)[0]
        self.error = float(fitted.error)
        self._say_what_is_doubtful(yaw_of(fitted.parameters.rotation))
        self.portrait = MovedPortrait(system.generator, model, image, fitted.parameters)
        self.model, self.parameters = model, fitted.parameters
        self.frame = self.portrait.frame

    def __call__(self, parameters: FaceParameters) -> Tensor:
        """The square ``(3, S, S)`` in [0, 1] with the head of one row of parameters."""
        return self.portrait(parameters)

    def paste(self, picture: Tensor) -> Tensor:
        """The whole photograph ``(3, H, W)`` with a frame in its place, softly at its borders."""
        height, width = self.photograph.shape[1:]
        corners = apply_affine(
            torch.tensor([[0.0, 0.0], [1.0, 1.0]]).double() * picture.shape[-1], self.matrix
        )
        left, top = (max(0, math.floor(one)) for one in corners[0].tolist())
        right = min(width, math.ceil(float(corners[1, 0])))
        bottom = min(height, math.ceil(float(corners[1, 1])))
        y, x = torch.meshgrid(
            torch.arange(top, bottom) + 0.5, torch.arange(left, right) + 0.5, indexing="ij"
        )
        back = invert_affine(self.matrix).float()
        places = apply_affine(torch.stack([x, y], -1), back) / picture.shape[-1]
        small = picture[None]
        if round(self.side) < picture.shape[-1]:  # antialiased before it is put in its place
            small = functional.interpolate(
                small, (round(self.side),) * 2, mode="bilinear", antialias=True
            )
        drawn = functional.grid_sample(
            small, (places * 2 - 1)[None], padding_mode="border", align_corners=False
        )[0]
        share = smoothstep(torch.minimum(places, 1 - places).amin(-1) / FEATHER)
        whole = self.photograph.clone()
        part = whole[:, top:bottom, left:right]
        whole[:, top:bottom, left:right] = part + share * (drawn - part)
        return whole

    def _say_what_is_doubtful(self, yaw: float) -> None:
        """Warn of photographs that will not move well."""
        if abs(yaw) > MOST_TURNED:
            logger.warning(
                "%s: the head is turned by %.0f degrees; half of the face is not seen and will be "
                "wrong when it turns back. Take a photograph from the front.",
                self.name,
                abs(yaw),
            )
        if self.error > MOST_ERROR:
            logger.warning(
                "%s: the 3-D head fits the landmarks badly (%.1f %% of the distance between the "
                "pupils); look at `facemorph fit` before you trust the result.",
                self.name,
                100 * self.error,
            )
        if self.side < SMALL:
            logger.warning(
                "%s: the face is small (a square of %.0f pixels); the result is as coarse.",
                self.name,
                self.side,
            )


def square_of(source: str | Path, size: int | None = None) -> Tensor:
    """The square of a photograph that a `Reenactor` would move, ``(3, S, S)``."""
    return square_around(locate(source), size)[0]


def square_around(face: LocatedFace, size: int | None) -> tuple[Tensor, Tensor, Tensor, float]:
    """The square around a face that a `Reenactor` moves.

    Args:
        face: The face.
        size: Side in pixels; that in the photograph, at most 2048, when None.

    Returns:
        Its picture ``(3, S, S)``, the landmarks in it, the matrix from it to the photograph, and
        its side in the photograph.

    Raises:
        DataError: The face is smaller than 32 pixels.
    """
    center, side = reenactment_box(face.landmarks.double())
    if side < SMALLEST:
        raise DataError(
            "the face is too small to be moved",
            where=face.name,
            expected=f"a square of {SMALLEST:g} pixels at least",
            found=f"{side:.0f} pixels",
            remedy="Take a larger photograph.",
        )
    pixels = size or min(max(2 * round(side / 2), SIZES[0]), SIZES[1])
    return *cut_square(face.image, face.landmarks, center, side, pixels), side


def load_reenactment(checkpoint: str | Path) -> SmallGDPW:
    """A trained small GDPW.

    Raises:
        CheckpointError: The checkpoint cannot be loaded, or is of another system.
    """
    system = load_system(checkpoint)
    if not isinstance(system, SmallGDPW):
        raise CheckpointError(
            "this checkpoint is of another system",
            where=checkpoint,
            expected=SmallGDPW.__name__,
            found=type(system).__name__,
            remedy="Take --checkpoint @open:gdpw, or train experiment=gdpw/small.",
        )
    return system
