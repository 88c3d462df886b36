"""Everything a fit says about faces, as named tensors: in files, as one flat vector, and in the
peers' layouts.

The flat vector is, in this order: identity, expression, joints (3 each), rotation (3), origin (2),
log_size (1), focal (1, 0 is weak perspective), light (9 x 3), albedo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import DataError, GeometryError
from facemorph.geometry.models.attribution import notice_of
from facemorph.geometry.models.model_arrays import read_npz
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.ops.rotations import rotation_from_vector, vector_from_rotation
from facemorph.ops.shapes import check_shape
from facemorph.storage.files import write_atomic

LIGHT = (9, 3)
DECA = {"shape": 100, "expression": 50, "pose": 6, "camera": 3, "texture": 50, "light": 27}


@dataclass(frozen=True)
class FaceParameters:
    """Parameters of B faces.

    Attributes:
        model: Name of the morphable model they belong to.
        expression_names: Its E expressions.
        identity: ``(B, K)`` standard deviations.
        expression: ``(B, E)``.
        joints: ``(B, J, 3)`` axis times angle, radians; J may be 0.
        rotation: ``(B, 3)`` of the head, axis times angle, radians.
        origin: ``(B, 2)`` pixel where the head's origin lands.
        log_size: ``(B,)`` natural logarithm of the pixels for a millimetre.
        focal: ``(B,)`` focal length in pixels; 0 is weak perspective.
        light: ``(B, 9, 3)`` spherical harmonics by colour.
        albedo: ``(B, A)`` standard deviations; A may be 0.
    """

    model: str
    expression_names: tuple[str, ...]
    identity: Tensor
    expression: Tensor
    joints: Tensor
    rotation: Tensor
    origin: Tensor
    log_size: Tensor
    focal: Tensor
    light: Tensor
    albedo: Tensor

    def __post_init__(self) -> None:
        count = len(self.identity)
        patterns = {
            "identity": f"{count} K",
            "expression": f"{count} {len(self.expression_names)}",
            "joints": f"{count} J 3",
            "rotation": f"{count} 3",
            "origin": f"{count} 2",
            "log_size": f"{count}",
            "focal": f"{count}",
            "light": f"{count} 9 3",
            "albedo": f"{count} A",
        }
        for name, pattern in patterns.items():
            check_shape(getattr(self, name), pattern, name)

    @classmethod
    def neutral(cls, model: MorphableModel, count: int = 1, num_albedo: int = 0) -> Self:
        """The mean face, from the front, one pixel for a millimetre, under even white light."""
        light = torch.zeros(count, *LIGHT)
        light[:, 0] = 1
        return cls(
            model.name,
            model.expression_names,
            torch.zeros(count, model.num_identity),
            torch.zeros(count, model.num_expression),
            torch.zeros(count, len(model.joint_names), 3),
            torch.zeros(count, 3),
            torch.zeros(count, 2),
            torch.zeros(count),
            torch.zeros(count),
            light,
            torch.zeros(count, num_albedo),
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Faces of several parameters of one model, one after the other.

        Raises:
            DataError: They belong to different models.
        """
        if len({part.model for part in parts}) != 1:
            raise DataError(
                "these parameters belong to different models",
                where="parameters",
                found=", ".join(sorted({part.model for part in parts})) or "none",
            )
        tensors: dict[str, Any] = {
            name: torch.cat([part.tensors()[name] for part in parts]) for name in parts[0].tensors()
        }
        return replace(parts[0], **tensors)

    def __len__(self) -> int:
        """B."""
        return len(self.identity)

    def __getitem__(self, rows: int | slice | Tensor) -> Self:
        """Some of the faces; one number keeps the batch dimension."""
        chosen = slice(rows, rows + 1 or None) if isinstance(rows, int) else rows
        kept: dict[str, Any] = {name: value[chosen] for name, value in self.tensors().items()}
        return replace(self, **kept)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, in the order of the flat vector."""
        return {one.name: getattr(self, one.name) for one in fields(self)[2:]}

    def with_expression(self, **values: float) -> Self:
        """The same faces with some expressions set by name.

        Raises:
            GeometryError: The model has no such expression.
        """
        expression = self.expression.clone()
        for name, value in values.items():
            if name not in self.expression_names:
                raise GeometryError(
                    "this model has no such expression",
                    where=name,
                    expected=", ".join(self.expression_names)[:200],
                )
            expression[:, self.expression_names.index(name)] = value
        return replace(self, expression=expression)

    def vector(self) -> Tensor:
        """All numbers ``(B, N)``, in the order that the module's text gives."""
        return torch.cat([value.reshape(len(self), -1) for value in self.tensors().values()], 1)

    def from_vector(self, vector: Tensor) -> Self:
        """Parameters of the same model and sizes from flat vectors ``(B', N)``.

        Raises:
            DataError: N is another number.
        """
        sizes = {name: value.shape[1:] for name, value in self.tensors().items()}
        check_shape(vector, f"B {sum(size.numel() for size in sizes.values())}", "vector")
        pieces = vector.split([size.numel() for size in sizes.values()], 1)
        read: dict[str, Any] = {
            name: piece.reshape(len(vector), *size)
            for (name, size), piece in zip(sizes.items(), pieces, strict=True)
        }
        return replace(self, **read)

    def save(self, path: str | Path) -> None:
        """Write them as ``.npz``, whole or not at all.

        Raises:
            CheckpointError: The file cannot be written.
        """
        arrays: dict[str, Any] = {
            name: value.detach().cpu().numpy() for name, value in self.tensors().items()
        }
        arrays |= {
            "model": np.array(self.model),
            "expression_names": np.array(self.expression_names, dtype=np.str_),
            "notice": np.array(notice_of(self.model)),
        }
        write_atomic(path, lambda target: np.savez_compressed(target, **arrays))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            DataError: The file cannot be read, or its arrays do not fit together.
            GeometryError: An array is missing or holds no finite numbers.
        """
        path = Path(path)
        arrays = read_npz(path, "face parameters")
        tensors = {one.name: arrays.tensor(one.name) for one in fields(cls)[2:]}
        names = [np.asarray(arrays.values.get(name, ())) for name in ("model", "expression_names")]
        if names[0].dtype.kind != "U" or (names[1].size and names[1].dtype.kind != "U"):
            raise DataError(
                "this is no file of face parameters",
                where=path,
                expected="model and expression_names",
            )
        try:
            return cls(str(names[0]), tuple(names[1].tolist()), **tensors)
        except DataError as error:
            raise DataError(
                error.what, where=path, expected=error.expected, found=error.found
            ) from error


def to_deca(parameters: FaceParameters, root: Tensor, size: int = 224) -> Tensor:
    """FLAME parameters as the flat vectors ``(B, 236)`` of DECA and GIF.

    Shape 100, expression 50, pose 6 (head and jaw, axis times angle), camera 3 (s, tx, ty), texture
    50, light 9 x 3. Their camera puts a turned point x, in metres, at ``s (x + t)`` from -1 to 1, y
    up, and their head turns about its root joint, ours about the origin. What they have no place
    for (more modes, neck, eyes, focal length) is left out.

    Args:
        parameters: Of FLAME.
        root: ``(B, 3)`` the root joints in millimetres, of ``flame.root_places``.
        size: Pixels along a side of the square picture.

    Raises:
        GeometryError: The parameters are not those of FLAME.
    """
    _expect_flame(parameters)
    scale = parameters.log_size.exp()[:, None] * 1000 * 2 / size
    place = (parameters.origin * 2 / size - 1) * parameters.origin.new_tensor([1, -1])
    camera = torch.cat([scale, place / scale - _root_shift(parameters.rotation, root)], 1)
    pose = torch.cat([parameters.rotation, parameters.joints[:, 1]], 1)
    pieces = {
        "shape": parameters.identity,
        "expression": parameters.expression,
        "pose": pose,
        "camera": camera,
        "texture": parameters.albedo,
        "light": parameters.light.flatten(1),
    }
    return torch.cat([_fitted(pieces[name], count) for name, count in DECA.items()], 1)


def from_deca(
    vector: Tensor, template: FaceParameters, root: Tensor, size: int = 224
) -> FaceParameters:
    """Flat vectors ``(B, 236)`` of DECA and GIF as FLAME parameters; see ``to_deca``.

    Args:
        vector: The vectors.
        template: Parameters of FLAME that give the sizes, such as ``FaceParameters.neutral(model,
            num_albedo=50)``.
        root: ``(B, 3)`` the root joints in millimetres, of ``flame.root_places``.
        size: Pixels along a side of the square picture.

    Raises:
        DataError: The vectors have another length.
        GeometryError: The template is not that of FLAME, or a camera has no size.
    """
    _expect_flame(template)
    check_shape(vector, f"B {sum(DECA.values())}", "vector")
    shape, expression, pose, camera, texture, light = vector.split(list(DECA.values()), 1)
    if bool((camera[:, 0] <= 0).any()):
        raise GeometryError(
            "a DECA camera has no size",
            where="camera",
            expected="a positive scale",
            found=float(camera[:, 0].min()),
        )
    joints = torch.zeros(len(vector), template.joints.shape[1], 3, dtype=vector.dtype)
    joints[:, 1] = pose[:, 3:]
    place = camera[:, :1] * (camera[:, 1:] + _root_shift(pose[:, :3], root))
    return replace(
        template,
        identity=_fitted(shape, template.identity.shape[1]),
        expression=_fitted(expression, template.expression.shape[1]),
        joints=joints,
        rotation=pose[:, :3],
        log_size=(camera[:, 0] / 1000 * size / 2).log(),
        origin=(place * place.new_tensor([1, -1]) + 1) * size / 2,
        focal=torch.zeros(len(vector), dtype=vector.dtype),
        light=light.reshape(-1, *LIGHT),
        albedo=_fitted(texture, template.albedo.shape[1]),
    )


def _root_shift(rotation: Tensor, root: Tensor) -> Tensor:
    """How far ``(B, 2)`` metres a turn about the root joint moves the head more than one about the
    origin.
    """
    turned = (rotation_from_vector(rotation) @ root.to(rotation.dtype)[..., None])[..., 0]
    return (root - turned)[:, :2] / 1000


def _expect_flame(parameters: FaceParameters) -> None:
    if not parameters.model.startswith("flame"):
        raise GeometryError(
            "only FLAME has DECA's parameters",
            where="model",
            expected="flame2020, flame2023 or flame2023_open",
            found=parameters.model,
        )


def _fitted(values: Tensor, count: int) -> Tensor:
    """Columns cut or filled with zeros to a number."""
    kept = values[:, :count]
    return torch.cat([kept, kept.new_zeros(len(kept), count - kept.shape[1])], 1)


@dataclass(frozen=True)
class VariTexParameters:
    """Faces as the files of VariTex have them.

    Attributes:
        sp: ``(B, 199)`` BFM shape coefficients, not divided by their standard deviations.
        ep: ``(B, 100)`` BFM expression coefficients, the same.
        R: ``(B, 3, 3)`` rotation of row vectors.
        t: ``(B, 3)``.
        s: ``(B, 1)``.
    """

    sp: Tensor
    ep: Tensor
    R: Tensor
    t: Tensor
    s: Tensor

    def place(self, vertices: Tensor) -> Tensor:
        """Vertices ``(B, V, 3)`` where VariTex's camera sees them: ``s ((v - c) R + c) + t``, c
        their middle.
        """
        middle = vertices.mean(1, keepdim=True)
        return self.s[:, None] * ((vertices - middle) @ self.R + middle) + self.t[:, None]


def varitex_coefficients(
    parameters: VariTexParameters, identity_deviation: Tensor, expression_deviation: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Identity, expression and head rotation (axis times angle) as ours have them.

    Args:
        parameters: Of VariTex.
        identity_deviation: ``(199,)`` of ``bfm.standard_deviations``.
        expression_deviation: ``(100,)``.
    """
    return (
        parameters.sp / identity_deviation,
        parameters.ep / expression_deviation,
        vector_from_rotation(parameters.R.transpose(1, 2)),
    )


def to_varitex(
    identity: Tensor,
    expression: Tensor,
    rotation: Tensor,
    translation: Tensor,
    scale: Tensor,
    identity_deviation: Tensor,
    expression_deviation: Tensor,
) -> VariTexParameters:
    """Our coefficients as VariTex has them; the inverse of ``varitex_coefficients``.

    Args:
        identity: ``(B, 199)`` standard deviations.
        expression: ``(B, 100)`` standard deviations.
        rotation: ``(B, 3)`` axis times angle.
        translation: ``(B, 3)``.
        scale: ``(B, 1)``.
        identity_deviation: ``(199,)`` of ``bfm.standard_deviations``.
        expression_deviation: ``(100,)``.
    """
    return VariTexParameters(
        identity * identity_deviation,
        expression * expression_deviation,
        rotation_from_vector(rotation).transpose(1, 2),
        translation,
        scale,
    )
