"""Cameras: from millimetres around the head to pixels of the picture, with their derivatives.

Two cameras share one set of numbers, so that one closed-form start serves both: a rotation of the
head, where its origin lands in the picture, and the size there in pixels for a millimetre
(``log_size``). *Weak perspective* has no more; the *pinhole* has a focal length too, and its
distance follows: ``focal / size``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.ops.frames import Frame


@dataclass(frozen=True)
class Projection:
    """Points in the picture.

    Attributes:
        pixels: ``(B, P, 2)``, x right and y down, 0 at the left/top edge.
        depth: ``(B, P)`` millimetres towards the viewer, larger is nearer; the head's origin is at
            0.
        inverse_distance: ``(B, P)`` one over the distance to the pinhole; all 1 in weak
            perspective.
    """

    pixels: Tensor
    depth: Tensor
    inverse_distance: Tensor


@dataclass(frozen=True)
class Camera:
    """How a batch of heads is seen.

    Attributes:
        rotation: ``(B, 3, 3)`` of the head.
        origin: ``(B, 2)`` pixel where the head's origin lands.
        log_size: ``(B,)`` natural logarithm of the pixels for a millimetre at the origin.
        focal: ``(B,)`` focal length of the pinhole in pixels; None is weak perspective.
        centre: ``(B, 2)`` pixel that the pinhole looks at; None is weak perspective.
    """

    rotation: Tensor
    origin: Tensor
    log_size: Tensor
    focal: Tensor | None = None
    centre: Tensor | None = None

    def __len__(self) -> int:
        """B."""
        return len(self.rotation)

    def as_pinhole(self, frame: Frame, field_of_view: float) -> Camera:
        """The pinhole of a field of view, degrees over the frame's longer side, that looks at the
        frame's middle.

        Raises:
            GeometryError: The field of view is not within 1 to 150 degrees.
        """
        if not 1 <= field_of_view <= 150:
            raise GeometryError(
                "a camera cannot have this field of view",
                where="field_of_view",
                expected="1 to 150 degrees",
                found=field_of_view,
            )
        half = torch.deg2rad(
            torch.tensor(field_of_view / 2, dtype=self.origin.dtype, device=self.origin.device)
        )
        focal = (frame.half_extent / half.tan()).expand(len(self))
        middle = self.origin.new_tensor([frame.width / 2, frame.height / 2]).expand(len(self), 2)
        return Camera(self.rotation, self.origin, self.log_size, focal, middle)

    def scaled(self, factor: float) -> Camera:
        """The same view in a picture ``factor`` times as large."""
        logarithm = torch.log(self.log_size.new_tensor(factor))
        return Camera(
            self.rotation,
            self.origin * factor,
            self.log_size + logarithm,
            None if self.focal is None else self.focal * factor,
            None if self.centre is None else self.centre * factor,
        )

    def turned(self, rotation: Tensor) -> Camera:
        """The same camera with the head rotated to ``(B, 3, 3)``."""
        return Camera(rotation, self.origin, self.log_size, self.focal, self.centre)

    def view(self, points: Tensor) -> Tensor:
        """Points of the head ``(B, P, 3)`` as the camera has them: turned, millimetres, z towards
        the viewer.
        """
        return points @ self.rotation.transpose(1, 2)

    def project(self, points: Tensor) -> Projection:
        """Where points of the head ``(B, P, 3)`` are seen."""
        return self._projection(self.view(points))

    def _projection(self, turned: Tensor) -> Projection:
        size = self.log_size.exp()[:, None]
        flat = torch.stack([turned[..., 0], -turned[..., 1]], -1)
        if self.focal is None or self.centre is None:
            return Projection(
                flat * size[..., None] + self.origin[:, None],
                turned[..., 2],
                torch.ones_like(turned[..., 2]),
            )
        inverse = 1 / (self.focal[:, None] / size - turned[..., 2])
        offset = (self.origin - self.centre)[:, None] / size[..., None]
        pixels = (flat + offset) * (self.focal[:, None] * inverse)[..., None] + self.centre[:, None]
        return Projection(pixels, turned[..., 2], inverse)

    def project_with_derivative(self, points: Tensor) -> tuple[Projection, Tensor, Tensor]:
        """``project``, with the derivatives of the pixels.

        Returns:
            The projection; its derivative along the turned points ``(B, P, 2, 3)``; and along the
            origin's x and y and the logarithm of the size ``(B, P, 2, 3)``.
        """
        turned = self.view(points)
        projection = self._projection(turned)
        size = self.log_size.exp()[:, None]
        along_point = turned.new_zeros(*turned.shape[:2], 2, 3)
        along_camera = turned.new_zeros(*turned.shape[:2], 2, 3)
        flat = torch.stack([turned[..., 0], -turned[..., 1]], -1)
        if self.focal is None or self.centre is None:
            along_point[..., 0, 0], along_point[..., 1, 1] = size, -size
            along_camera[..., 0, 0] = along_camera[..., 1, 1] = 1
            along_camera[..., 2] = flat * size[..., None]
            return projection, along_point, along_camera
        scale = self.focal[:, None] * projection.inverse_distance
        offset = (self.origin - self.centre)[:, None] / size[..., None]
        along_point[..., 0, 0], along_point[..., 1, 1] = scale, -scale
        along_point[..., 2] = (flat + offset) * (scale * projection.inverse_distance)[..., None]
        ratio = scale / size
        along_camera[..., 0, 0] = along_camera[..., 1, 1] = ratio
        # d/d log size of scale (flat + offset): the distance shrinks by itself, and so does the
        # offset.
        along_camera[..., 2] = (flat + offset) * (scale * ratio)[..., None] - offset * scale[
            ..., None
        ]
        return projection, along_point, along_camera

    def check_outside(self, points: Tensor) -> None:
        """Raise GeometryError where the pinhole is inside or behind points ``(B, P, 3)`` of the
        head.
        """
        if self.focal is None:
            return
        distance = (self.focal / self.log_size.exp())[:, None] - self.view(points)[..., 2]
        if bool((distance <= 1).any()):
            raise GeometryError(
                "the camera is inside the head",
                where="camera",
                expected="more than 1 mm in front of every point",
                found=f"{float(distance.min()):.1f} mm",
                remedy="Use a smaller field of view, or weak perspective.",
            )


def camera_from_landmarks(points: Tensor, pixels: Tensor, weights: Tensor | None = None) -> Camera:
    """Weak-perspective camera in closed form from points of the head and their pixels.

    The affine least-squares map, moved to the nearest scaled rotation by its singular values.

    Args:
        points: ``(B, P, 3)`` with P at least 4, not in one plane.
        pixels: ``(B, P, 2)``.
        weights: ``(B, P)`` of their squared errors, at least 4 of them above 0; None is 1.

    Raises:
        GeometryError: The points do not determine a pose: all in one place, or not numbers.
    """
    if not bool(torch.isfinite(pixels).all()):
        raise GeometryError("landmarks are not numbers", where="landmarks")
    share = torch.full_like(pixels[..., 0], 1 / pixels.shape[1]) if weights is None else weights
    share = (share / share.sum(1, keepdim=True))[..., None]
    mean_point, mean_pixel = ((share * values).sum(1, keepdim=True) for values in (points, pixels))
    flip = pixels.new_tensor([1.0, -1.0])
    picture = (pixels - mean_pixel) * flip
    if not float((share * picture.abs()).amax((1, 2)).min()) > 1e-9:
        raise GeometryError(
            "all landmarks are in one place",
            where="landmarks",
            remedy="Check the landmark file, or detect them anew.",
        )
    affine = torch.linalg.lstsq(
        share.sqrt() * (points - mean_point), share.sqrt() * picture
    ).solution.transpose(1, 2)
    left, sizes, right = torch.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    rotation = torch.cat([rows, torch.linalg.cross(rows[:, 0], rows[:, 1])[:, None]], 1)
    size = sizes.mean(1).clamp(min=1e-12)
    origin = mean_pixel[:, 0] - (rows @ mean_point.transpose(1, 2))[..., 0] * size[:, None] * flip
    return Camera(rotation, origin, size.log())
