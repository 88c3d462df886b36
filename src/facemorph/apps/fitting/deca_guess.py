"""DECA's look at photographs as a first guess of FLAME's identity, where the user has its
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from facemorph.apps.fitting.located_face import LocatedFace
from facemorph.errors import ConfigError
from facemorph.faces.alignment import crop, square_crop_matrix
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.networks.deca import SIDE, DECAEncoder, deca_box


class DECAGuess:
    """The identities that DECA gives photographs.

    Args:
        weights: ``deca_model.tar``.
        model: FLAME.
        device: Where the encoder runs.

    Raises:
        ConfigError: The model is not FLAME.
        CheckpointError: The weights cannot be read.
    """

    def __init__(self, weights: str | Path, model: MorphableModel, device: str = "cpu") -> None:
        if not model.name.startswith("flame"):
            raise ConfigError(
                "DECA knows FLAME only",
                where="deca",
                expected="--model with a file of FLAME",
                found=model.name,
                remedy="Leave --deca out.",
            )
        self.encoder, self.device, self.num_identity = (
            DECAEncoder.load(weights).to(device),
            device,
            model.num_identity,
        )

    @torch.no_grad()
    def __call__(self, faces: Sequence[LocatedFace]) -> Tensor:
        """Identities ``(B, K)``, zero beyond DECA's 100."""
        crops = []
        for face in faces:
            middle, side = deca_box(face.landmarks[None])
            matrix = square_crop_matrix(middle[0], float(side[0]), 0.0, SIDE)
            crops.append(crop(face.image, matrix, SIDE))
        shape = self.encoder(torch.stack(crops).to(self.device)).shape.cpu()
        identity = shape.new_zeros(len(shape), self.num_identity)
        count = min(shape.shape[1], self.num_identity)
        identity[:, :count] = shape[:, :count]
        return identity
