"""Rotations of 3-D points: axis-angle vectors, Euler angles and matrices.

Frame: x right in the picture (the subject's left), y up, z out of the face. Positive yaw turns the
face to the right of the picture, positive pitch bends it down, positive roll turns it against the
clock as one sees it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def cross_matrix(vector: Tensor) -> Tensor:
    """Matrix of the cross product: ``(..., 3)`` to ``(..., 3, 3)`` with ``cross_matrix(a) @ b == a
    x b``.
    """
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(*vector.shape[:-1], 3, 3)


def rotation_from_vector(vector: Tensor) -> Tensor:
    """Rodrigues' formula: axis times angle in radians ``(..., 3)`` to matrices ``(..., 3, 3)``.

    Smooth and differentiable at zero: the two ratios are their Taylor series for small angles.
    """
    square = vector.square().sum(-1)[..., None, None]
    small = square < 1e-6
    safe = torch.where(small, torch.ones_like(square), square)
    angle = safe.sqrt()
    first = torch.where(small, 1 - square / 6, angle.sin() / angle)
    second = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / safe)
    cross = cross_matrix(vector)
    return (
        torch.eye(3, dtype=vector.dtype, device=vector.device)
        + first * cross
        + second * (cross @ cross)
    )


def vector_from_rotation(rotation: Tensor) -> Tensor:
    """Axis times angle in radians ``(..., 3)``, angle in [0, pi], of matrices ``(..., 3, 3)``."""
    skew = (
        torch.stack(
            [
                rotation[..., 2, 1] - rotation[..., 1, 2],
                rotation[..., 0, 2] - rotation[..., 2, 0],
                rotation[..., 1, 0] - rotation[..., 0, 1],
            ],
            -1,
        )
        / 2
    )
    sine = skew.norm(dim=-1)
    cosine = (rotation.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    angle = torch.atan2(sine, cosine)
    usual = (
        skew
        * torch.where(sine < 1e-6, torch.ones_like(sine), angle / sine.clamp(min=1e-12))[..., None]
    )
    # Near half a turn the skew part vanishes; the symmetric part is cos + (1 - cos) a a^T.
    identity = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
    outer = (rotation + rotation.transpose(-1, -2)) / 2 - cosine[..., None, None] * identity
    column = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    axis = outer.gather(-1, column[..., None, None].expand(*column.shape, 3, 1))[..., 0]
    axis = torch.nn.functional.normalize(axis, dim=-1)
    axis = torch.where(((axis * skew).sum(-1, keepdim=True)) < 0, -axis, axis)
    return torch.where((cosine < -0.999)[..., None], axis * angle[..., None], usual)


def nearest_rotation(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations nearest to matrices ``(..., 3, 3)``, never mirrored (Kabsch 1976, Umeyama 1991).

    Returns:
        Rotations ``(..., 3, 3)``, and the singular values ``(..., 3)``, falling, the last one
        negative where only a mirrored one would be nearer: their sum is the trace of ``rotation^T
        matrix``.
    """
    left, sizes, right = torch.linalg.svd(matrix)
    turned = torch.det(left @ right)[..., None].sign()
    sign = torch.cat([torch.ones_like(sizes[..., :2]), turned], -1)
    return (left * sign[..., None, :]) @ right, sizes * sign


def rotation_from_euler(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Angles in radians ``(...)`` to ``Rz(roll) Ry(yaw) Rx(pitch)`` ``(..., 3, 3)``."""
    zero = torch.zeros_like(yaw)
    vectors = torch.stack([zero, zero, roll, zero, yaw, zero, pitch, zero, zero], -1)
    about_z, about_y, about_x = rotation_from_vector(vectors.view(*yaw.shape, 3, 3)).unbind(-3)
    return about_z @ about_y @ about_x


def euler_from_rotation(rotation: Tensor) -> Tensor:
    """Yaw, pitch and roll in radians ``(..., 3)``, yaw in [-pi/2, pi/2]: inverse of
    ``rotation_from_euler``.
    """
    yaw = torch.asin((-rotation[..., 2, 0]).clamp(-1, 1))
    pitch = torch.atan2(rotation[..., 2, 1], rotation[..., 2, 2])
    roll = torch.atan2(rotation[..., 1, 0], rotation[..., 0, 0])
    return torch.stack([yaw, pitch, roll], -1)


def yaw_of(rotation: Tensor) -> float:
    """Turn to the side of a rotation vector ``(1, 3)`` in degrees."""
    return float(torch.rad2deg(euler_from_rotation(rotation_from_vector(rotation))[0, 0]))


def angle_between(first: Tensor, second: Tensor) -> Tensor:
    """Geodesic distance in radians ``(...)`` of rotations ``(..., 3, 3)``."""
    return vector_from_rotation(first.transpose(-1, -2) @ second).norm(dim=-1)
