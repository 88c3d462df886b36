"""Who is shown: a 128-d descriptor of an aligned face, differentiable in the image.

The network's training data is not documented (``facemorph/assets/README.md``): distances are a
measure for comparing methods, not a means to identify people.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facemorph.faces.alignment import crop, fit_similarity
from facemorph.faces.embedded_networks import FaceDescriptorNet, face_descriptor
from facemorph.ops.shapes import check_shape

# dlib's five-point template in the unit square: outer and inner corner of the right eye, the same
# of the left
# eye, base of the nose; as iBUG indices and coordinates.
_CHIP_INDICES = [45, 42, 36, 39, 33]
_CHIP_TEMPLATE = [
    [0.8595674595992, 0.2134981538014],
    [0.6460604764104, 0.2289674387677],
    [0.1205750620789, 0.2137274526848],
    [0.3340850613712, 0.2290642403242],
    [0.4901123135679, 0.6277975316475],
]
_CHIP_PADDING = 0.25


def chip_matrix(points: Tensor, size: int = FaceDescriptorNet.input_size) -> Tensor:
    """Matrix ``(2, 3)`` from pixels of the aligned face to pixels of the picture.

    Args:
        points: ``(68, 2)`` iBUG landmarks in pixels.
        size: Side of the aligned face in pixels.

    Raises:
        GeometryError: The landmarks do not determine it.

    Source: dlib's ``get_face_chip``, which counts pixels from 0 at the centre of the first.
    """
    check_shape(points, "68 2", "points")
    template = (points.new_tensor(_CHIP_TEMPLATE) + _CHIP_PADDING) / (
        2 * _CHIP_PADDING + 1
    ) * size + 0.5
    return fit_similarity(template, points[_CHIP_INDICES])


class IdentityEmbedding(nn.Module):
    """The embedded identity network, frozen, with its alignment.

    Args:
        device: Where it runs.
    """

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        self.network = face_descriptor(device)

    def forward(self, image: Tensor, points: Tensor) -> Tensor:
        """Descriptors ``(B, 128)``, differentiable in the image; the landmarks are constants.

        Args:
            image: ``(B, 3, H, W)`` or ``(3, H, W)`` in [0, 1].
            points: ``(B, 68, 2)`` or ``(68, 2)`` iBUG landmarks in pixels.

        Raises:
            DataError: The shapes do not fit.
            GeometryError: The landmarks of a face coincide.
        """
        image = image if image.ndim == 4 else image[None]
        points = points if points.ndim == 3 else points[None]
        sizes = check_shape(image, "B 3 H W", "image")
        check_shape(points, f"{sizes['B']} 68 2", "points")
        chips = [
            crop(one, chip_matrix(marks.detach().to(one)), FaceDescriptorNet.input_size)
            for one, marks in zip(image, points, strict=True)
        ]
        descriptor: Tensor = self.network(torch.stack(chips))
        return descriptor


def identity_distance(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distance of descriptors ``(..., 128)``; below 0.5 it is one
    person.
    """
    return (a - b).norm(dim=-1)
