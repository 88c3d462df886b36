"""DECA's coarse encoder: FLAME parameters of a face by one look at it, where the user has its
weights.

Feng, Feng, Black and Bolkart, Learning an Animatable Detailed 3D Face Model from In-The-Wild Images
(SIGGRAPH 2021): ResNet-50, 2048 -> 1024 -> 236. The weights (``deca_model.tar``) are under a
licence of their own and are neither shipped nor downloaded; only their tensors are read, without
unpickling.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from facemorph.errors import CheckpointError
from facemorph.networks.resnet import ResNet50
from facemorph.ops.shapes import check_shape
from facemorph.storage.checkpoint import load_checkpoint

SIDE = 224  # of the picture it takes
PARTS = {"shape": 100, "texture": 50, "expression": 50, "pose": 6, "camera": 3, "light": 27}
LANDMARK_BOX, MARGIN = 1.1, 1.25  # of the landmarks' mean side: the detector's box, and the crop


@dataclass(frozen=True)
class DECACodes:
    """What the encoder says of faces.

    Attributes:
        shape: ``(B, 100)`` FLAME identity, standard deviations.
        texture: ``(B, 50)`` of FLAME's texture space.
        expression: ``(B, 50)``.
        pose: ``(B, 6)`` axis times angle of the head and of the jaw.
        camera: ``(B, 3)`` weak perspective: scale, x and y in units of half the crop.
        light: ``(B, 9, 3)`` spherical harmonics.
    """

    shape: Tensor
    texture: Tensor
    expression: Tensor
    pose: Tensor
    camera: Tensor
    light: Tensor


class DECAEncoder(nn.Module):
    """Crops of faces to FLAME parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ResNet50()
        self.layers = nn.Sequential(
            nn.Linear(ResNet50.features, 1024), nn.ReLU(), nn.Linear(1024, sum(PARTS.values()))
        )

    def forward(self, images: Tensor) -> DECACodes:
        """Codes of crops ``(B, 3, 224, 224)`` in [0, 1], as ``deca_box`` frames them."""
        check_shape(images, f"B 3 {SIDE} {SIDE}", "images")
        parts = dict(
            zip(
                PARTS, self.layers(self.encoder(images)).split(list(PARTS.values()), 1), strict=True
            )
        )
        return DECACodes(**{**parts, "light": parts["light"].view(-1, 9, 3)})

    @classmethod
    def load(cls, path: str | Path) -> DECAEncoder:
        """The encoder with the published weights.

        Args:
            path: ``deca_model.tar``.

        Raises:
            CheckpointError: The file cannot be read without unpickling, or holds other weights.
        """
        content = load_checkpoint(path)
        weights = content.get("E_flame")
        if not isinstance(weights, dict):
            raise CheckpointError(
                "this file holds no encoder of DECA",
                where=path,
                expected="E_flame",
                found=", ".join(map(str, list(content)[:5])) or "nothing",
            )
        network = cls()
        try:
            # Their ResNet keeps a layer of classes that nothing uses.
            network.load_state_dict(
                {key: value for key, value in weights.items() if ".fc." not in key}
            )
        except (RuntimeError, AttributeError) as error:
            raise CheckpointError(
                "these are not the weights of DECA's encoder",
                where=path,
                found=str(error).splitlines()[-1].strip(),
            ) from error
        return network.eval()


def deca_box(landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Centre ``(B, 2)`` and side ``(B,)`` in pixels of the square that DECA looks at, from
    landmarks ``(B, 68, 2)``.
    """
    low, high = landmarks.amin(1), landmarks.amax(1)
    side = (high - low).mean(1) * LANDMARK_BOX * MARGIN
    return (low + high) / 2, side
