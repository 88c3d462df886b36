"""A 3-D morphable model (3DMM): one class for all families; a family is a function that reads its
files.

    vertices = skin(mean + identity @ identity_basis + expression @ expression_basis + pose
    correctives)

with linear blend skinning about the joints where the model has them (Blanz and Vetter 1999; FLAME,
Li et al. 2017). Everything is in millimetres, x right in the picture (the subject's left), y up, z
out of the face.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from facemorph.errors import GeometryError
from facemorph.ops.rotations import rotation_from_vector
from facemorph.ops.shapes import check_shape


@dataclass(frozen=True)
class SurfacePoints:
    """Points on a mesh, each between three of its vertices.

    Attributes:
        vertices: ``(P, 3)`` vertex indices; P may be several dimensions.
        weights: ``(P, 3)`` their barycentric weights; a vertex itself has 1, 0, 0.
    """

    vertices: Tensor
    weights: Tensor

    def of(self, values: Tensor) -> Tensor:
        """Values at the vertices ``(..., V, C)`` to values at the points ``(..., P, C)``."""
        return (values[..., self.vertices, :] * self.weights[..., None].to(values.dtype)).sum(-2)


@dataclass(frozen=True)
class Skeleton:
    """Joints that the skin follows.

    Attributes:
        names: The J joints, each after its parent.
        parents: Index of each joint's parent, -1 for the root.
        mean: ``(J, 3)`` places of the mean face, millimetres.
        identity: ``(K, J, 3)`` how the identity moves them.
        weights: ``(V, J)`` share of each joint in each vertex; what is missing to a sum of 1 stays
            where it is.
        expression: ``(E, J, 3)`` how the expression moves them, or None.
        correctives: ``(9 J, V, 3)`` offsets for the entries of the rotations minus 1 (FLAME, eq.
            3), or None.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    mean: Tensor
    identity: Tensor
    weights: Tensor
    expression: Tensor | None = None
    correctives: Tensor | None = None


@dataclass(frozen=True)
class FaceTopology:
    """What stays the same for all faces of a model.

    Attributes:
        faces: ``(F, 3)`` triangles, counter-clockwise as seen from outside.
        uv: ``(U, 2)`` texture coordinates in [0, 1], u right and v **down**, as the rows of a
            picture.
        faces_uv: ``(F, 3)`` rows of ``uv`` for each triangle.
        components: Name of each part, such as ``skin`` or ``eye_left``.
        face_component: ``(F,)`` index of the part each triangle belongs to.
        landmarks: The 68 iBUG landmarks.
        contour: ``(17, N)`` points, for each landmark of the jaw line those on its way over the
            cheek, from where it is in a frontal view towards the middle: where it goes as the head
            turns. None where unknown.
        masks: Regions of vertices by name, each ``(V,)`` bool; ``face`` is always there.
        mirror: ``(V,)`` the vertex on the other side, or None.
    """

    faces: Tensor
    uv: Tensor
    faces_uv: Tensor
    components: tuple[str, ...]
    face_component: Tensor
    landmarks: SurfacePoints
    contour: SurfacePoints | None = None
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    mirror: Tensor | None = None

    def triangles_in(self, *names: str) -> Tensor:
        """``(F,)`` bool: the triangles with all corners in the masks of these names; else of the
        components.

        A name that is both is the mask: ICT-FaceKit's component ``face`` has ears and forehead too,
        its mask not.

        Raises:
            GeometryError: There is no such mask or component.
        """
        chosen = torch.zeros(len(self.faces), dtype=torch.bool, device=self.faces.device)
        for name in names:
            if name not in self.masks and name not in self.components:
                raise GeometryError(
                    "this model has no such region",
                    where=name,
                    expected=", ".join(sorted({*self.masks, *self.components})),
                )
            if name in self.masks:
                chosen |= self.masks[name][self.faces].all(1)
            else:
                chosen |= self.face_component == self.components.index(name)
        return chosen


class MorphableModel(nn.Module):
    """A 3-D morphable model.

    Identity coefficients are in standard deviations. Expression coefficients are within
    ``expression_range``: [0, 1] for models with named units, standard deviations and no bounds for
    models with statistical ones.

    Args:
        name: ``makehuman``, ``gnm``, ``ict``, ``flame2020``, ``bfm2017``, ...
        mean: ``(V, 3)`` millimetres.
        identity_basis: ``(K, V, 3)`` one standard deviation each.
        expression_basis: ``(E, V, 3)`` one unit each.
        expression_names: The E expressions.
        expression_range: Lowest and highest coefficient.
        topology: Triangles, landmarks, regions.
        skeleton: Joints, or None.
        albedo_mean: ``(V, 3)`` colour in [0, 1], or None for a model without colour.
        albedo_basis: ``(A, V, 3)`` one standard deviation each, or None.
    """

    mean: Tensor
    identity_basis: Tensor
    expression_basis: Tensor
    albedo_mean: Tensor | None
    albedo_basis: Tensor | None

    def __init__(
        self,
        name: str,
        mean: Tensor,
        identity_basis: Tensor,
        expression_basis: Tensor,
        expression_names: Sequence[str],
        topology: FaceTopology,
        *,
        expression_range: tuple[float, float] = (0.0, 1.0),
        skeleton: Skeleton | None = None,
        albedo_mean: Tensor | None = None,
        albedo_basis: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.name, self.expression_names, self.expression_range = (
            name,
            tuple(expression_names),
            expression_range,
        )
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("identity_basis", identity_basis, persistent=False)
        self.register_buffer("expression_basis", expression_basis, persistent=False)
        self.register_buffer("albedo_mean", albedo_mean, persistent=False)
        self.register_buffer("albedo_basis", albedo_basis, persistent=False)
        self.topology, self.skeleton = topology, skeleton
        self._check()

    def _check(self) -> None:
        """Raise GeometryError where the parts do not fit together."""
        count = check_shape(self.mean, "V 3", "mean")["V"]
        faces = self.topology.faces
        if not bool(torch.isfinite(self.mean).all()):
            raise GeometryError("this model has vertices that are not numbers", where=self.name)
        if int(faces.min()) < 0 or int(faces.max()) >= count:
            raise GeometryError(
                "this model's triangles name vertices that it does not have",
                where=self.name,
                expected=f"0 to {count - 1}",
                found=f"{int(faces.min())} to {int(faces.max())}",
            )
        for basis, names in (
            (self.identity_basis, None),
            (self.expression_basis, self.expression_names),
        ):
            if basis.shape[1:] != self.mean.shape or (
                names is not None and len(names) != len(basis)
            ):
                raise GeometryError(
                    "this model's bases do not fit its vertices or names",
                    where=self.name,
                    expected=tuple(self.mean.shape),
                    found=tuple(basis.shape),
                )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Topology and skeleton follow ``to``, ``cuda`` and ``double`` too."""
        super()._apply(fn, recurse)
        self.topology = _map_tensors(self.topology, fn)
        self.skeleton = _map_tensors(self.skeleton, fn)
        return self

    @property
    def num_vertices(self) -> int:
        """V."""
        return len(self.mean)

    @property
    def num_identity(self) -> int:
        """K."""
        return len(self.identity_basis)

    @property
    def num_expression(self) -> int:
        """E."""
        return len(self.expression_basis)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Joints that can be turned; none for a model without a skeleton."""
        return self.skeleton.names if self.skeleton is not None else ()

    def vertices(
        self, identity: Tensor, expression: Tensor | None = None, joints: Tensor | None = None
    ) -> Tensor:
        """Faces ``(B, V, 3)`` in millimetres.

        Args:
            identity: ``(B, K')``, the first ``K' <= K`` coefficients.
            expression: ``(B, E)``; None is neutral.
            joints: ``(B, J, 3)`` axis times angle in radians for each of ``joint_names``; None
                turns none.

        Raises:
            DataError: A shape does not fit.
            GeometryError: ``joints`` for a model without a skeleton, or more coefficients than it
                has.
        """
        check_shape(identity, "B K", "identity")
        shape = self._linear(self.mean, self.identity_basis, identity, "identity")
        if expression is not None:
            check_shape(expression, f"{len(identity)} {self.num_expression}", "expression")
            shape = self._linear(shape, self.expression_basis, expression, "expression")
        return shape if joints is None else self.posed(shape, identity, expression, joints)

    def _linear(self, base: Tensor, basis: Tensor, coefficients: Tensor, name: str) -> Tensor:
        count = coefficients.shape[1]
        if count > len(basis):
            raise GeometryError(
                f"more {name} coefficients than the model has",
                where=self.name,
                expected=f"at most {len(basis)}",
                found=count,
            )
        offset = coefficients.to(basis.dtype) @ basis[:count].flatten(1)
        return base + offset.view(len(coefficients), *self.mean.shape)

    def posed(
        self, shape: Tensor, identity: Tensor, expression: Tensor | None, joints: Tensor
    ) -> Tensor:
        """Faces ``(B, V, 3)`` with their joints turned.

        Args:
            shape: ``(B, V, 3)`` with the joints at rest.
            identity: ``(B, K')``, which moves the joints' places.
            expression: ``(B, E)``, the same; None is neutral.
            joints: ``(B, J, 3)`` axis times angle.

        Raises:
            DataError: A shape does not fit.
            GeometryError: The model has no skeleton.
        """
        skeleton = self.skeleton
        if skeleton is None:
            raise GeometryError(
                "this model has no joints to turn",
                where=self.name,
                remedy="Leave joints out; its expressions open the jaw and turn the eyes.",
            )
        count = len(skeleton.names)
        check_shape(joints, f"{len(shape)} {count} 3", "joints")
        rotations = rotation_from_vector(joints.to(shape.dtype))
        if skeleton.correctives is not None:
            shape = shape + corrections(skeleton.correctives, rotations)
        places = skeleton.mean + torch.einsum(
            "bk,kjc->bjc", identity.to(shape.dtype), skeleton.identity[: identity.shape[1]]
        )
        if skeleton.expression is not None and expression is not None:
            places = places + torch.einsum(
                "be,ejc->bjc", expression.to(shape.dtype), skeleton.expression
            )
        return skin(skeleton.weights, skeleton.parents, shape, places, rotations)

    def landmarks(self, vertices: Tensor) -> Tensor:
        """The 68 iBUG landmarks ``(B, 68, 3)`` of faces ``(B, V, 3)``, the jaw line as in a frontal
        view.
        """
        return self.topology.landmarks.of(vertices)

    def albedo(self, coefficients: Tensor) -> Tensor:
        """Colours ``(B, V, 3)`` without light for coefficients ``(B, A')`` in standard deviations.

        Raises:
            GeometryError: The model has no colours.
        """
        if self.albedo_mean is None or self.albedo_basis is None:
            raise GeometryError(
                "this model has no colours",
                where=self.name,
                remedy="Take the colours of a photograph (facemorph fit), or the bfm or flame "
                "models.",
            )
        return self._linear(self.albedo_mean, self.albedo_basis, coefficients, "albedo")

    def sample(
        self, count: int, generator: torch.Generator, standard_deviation: float = 1.0
    ) -> Tensor:
        """Random identities ``(count, K)`` from the model's normal distribution."""
        return torch.randn(count, self.num_identity, generator=generator) * standard_deviation

    def expression_index(self, *stems: str) -> list[int]:
        """Indices of the expressions whose name starts with one of the stems."""
        return [index for index, name in enumerate(self.expression_names) if name.startswith(stems)]


def corrections(correctives: Tensor, rotations: Tensor) -> Tensor:
    """Pose correctives: offsets ``(B, V, 3)`` by ``(9 J, V, 3)`` for rotations ``(B, J, 3, 3)``
    (FLAME, eq. 3).
    """
    upright = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    offset = (rotations - upright).flatten(1) @ correctives.flatten(1)
    return offset.view(len(rotations), *correctives.shape[1:])


def skin(
    weights: Tensor, parents: Sequence[int], shape: Tensor, places: Tensor, rotations: Tensor
) -> Tensor:
    """Linear blend skinning: each vertex follows the weighted mean of the joints' rigid motions.

    Linear in shape and places together, so that it carries their derivatives along a coefficient
    too.

    Args:
        weights: ``(V, J)``; what is missing to a sum of 1 stays where it is.
        parents: Of each joint, -1 for a root; parents first.
        shape: ``(B, V, 3)``.
        places: ``(B, J, 3)`` of the joints.
        rotations: ``(B, J, 3, 3)``.

    Returns:
        ``(B, V, 3)``.
    """
    turns: list[Tensor] = []
    moves: list[Tensor] = []
    for joint, parent in enumerate(parents):
        turn, place = rotations[:, joint], places[:, joint]
        move = place - (turn @ place[..., None])[..., 0]  # x -> turn (x - place) + place
        if parent >= 0:
            move = (turns[parent] @ move[..., None])[..., 0] + moves[parent]
            turn = turns[parent] @ turn
        turns.append(turn)
        moves.append(move)
    result = (1 - weights.sum(1))[:, None] * shape
    for joint, (turn, move) in enumerate(zip(turns, moves, strict=True)):
        result = result + weights[:, joint, None] * (shape @ turn.transpose(1, 2) + move[:, None])
    return result


def _map_tensors(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """The same value with a function applied to the tensors in it."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {name: _map_tensors(item, function) for name, item in value.items()}
    if isinstance(value, (FaceTopology, Skeleton, SurfacePoints)):
        return replace(
            value,
            **{one.name: _map_tensors(getattr(value, one.name), function) for one in fields(value)},
        )
    return value
