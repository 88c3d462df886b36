"""Refinement of a landmark fit by the picture itself: shape, expression, pose, skin colours and
light.

The picture is looked up where each vertex of the face lands and compared with albedo times
spherical-harmonic light, in the manner of Blanz and Vetter (1999). A bright picture could be that
of fair skin or of strong light: lights are expected to have the level of photographs that are
exposed for faces, so that skin takes the rest. Derivatives reach the shape through the place in the
picture and through the normals: no differentiable rasteriser is needed, only which vertices are
seen, which is renewed every 20 steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.geometry.fitting.expression_prior import expression_precision
from facemorph.geometry.fitting.landmark_solver import distance_between_pupils
from facemorph.geometry.fitting.turned_landmarks import constant_offsets, offsets_at
from facemorph.geometry.models.model_part import around, part_of
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.lighting import (
    LEVEL,
    LEVEL_SIGMA,
    fit_light,
    light_level,
    shading,
)
from facemorph.geometry.rendering.renders import MeshView
from facemorph.ops.meshes import vertex_normals
from facemorph.ops.rotations import rotation_from_vector
from facemorph.ops.shapes import check_shape
from facemorph.ops.threads import one_thread

SIDE = 192  # pixels of the cut-out faces
MARGIN = 1.1  # of their frame around the face
RENEWED = 20  # steps after which visibility is looked at again
FACING = 0.2  # cosine to the camera below which a vertex does not count
INDEPENDENT = 136.0  # what all colours together count as: neighbours say the same
TINT_SIGMA = 0.04  # how far the level of a light's channels is from their mean
FIRST_SIGMA = 0.15  # as ``sigma``, for the first skin: light and shape are not known yet
TURNS = 3  # in which the first skin and light are found
RATES = {
    "identity": 0.03,
    "expression": 0.01,
    "turn": 0.003,
    "origin": 0.2,
    "log_size": 0.002,
    "albedo": 0.05,
    "light": 0.02,
}


@dataclass(frozen=True)
class PhotometricOptions:
    """How the picture is taken into account.

    Args:
        steps: Steps of Adam.
        sigma: Colour difference, of 1, that the model cannot explain.
        landmark_noise: As ``FitOptions.noise``.
        expression_sigma: As ``FitOptions.expression_sigma``.
    """

    steps: int = 50
    sigma: float = 0.05
    landmark_noise: float = 0.02
    expression_sigma: float = 0.3


@dataclass(frozen=True)
class PhotometricFit:
    """Refined faces.

    Attributes:
        identity: ``(B, K)``.
        expression: ``(B, E)``.
        camera: Of the B pictures.
        albedo: ``(B, A)`` coefficients.
        light: ``(B, 9, 3)``.
        residual: ``(B,)`` mean robust colour difference per seen vertex, in sigmas, at the end.
    """

    identity: Tensor
    expression: Tensor
    camera: Camera
    albedo: Tensor
    light: Tensor
    residual: Tensor


def cut_faces(
    images: list[Tensor], vertices: Tensor, camera: Camera
) -> tuple[Tensor, Camera, Tensor, Tensor]:
    """Squares around faces, and the same cameras for them.

    Args:
        images: B pictures ``(3, H, W)``.
        vertices: ``(B, V, 3)``.
        camera: Of the B pictures, weak perspective.

    Returns:
        ``(B, 3, 192, 192)``, cameras of the squares, their left/top corner ``(B, 2)`` in the
        pictures and pixels of the square for a pixel of the picture ``(B,)``.
    """
    pixels = camera.project(vertices).pixels
    low, high = pixels.amin(1), pixels.amax(1)
    side = (high - low).amax(1) * MARGIN
    corner, scale = (low + high) / 2 - side[:, None] / 2, SIDE / side
    centres = (torch.arange(SIDE) + 0.5) / SIDE
    squares = []
    for image, where, length in zip(images, corner, side, strict=True):
        size = where.new_tensor([image.shape[2], image.shape[1]])
        grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1) * length + where
        small = image[None]
        if (ratio := float(length) / SIDE) > 1:  # mean of the pixels that fall into one
            small = torch.nn.functional.interpolate(
                small, scale_factor=1 / ratio, mode="bilinear", antialias=True
            )
        squares.append(
            torch.nn.functional.grid_sample(
                small, (grid / size * 2 - 1)[None], padding_mode="border", align_corners=False
            )[0]
        )
    moved = replace(
        camera,
        origin=(camera.origin - corner) * scale[:, None],
        log_size=camera.log_size + scale.log(),
    )
    return torch.stack(squares), moved, corner, scale


def refine_by_picture(
    model: MorphableModel,
    images: list[Tensor],
    landmarks: Tensor,
    identity: Tensor,
    expression: Tensor,
    camera: Camera,
    albedo_mean: Tensor,
    albedo_basis: Tensor,
    options: PhotometricOptions | None = None,
    *,
    offsets: Tensor | None = None,
    person: Tensor | None = None,
    joints: Tensor | None = None,
) -> PhotometricFit:
    """Refine landmark fits by their pictures.

    Args:
        model: The model.
        images: B pictures ``(3, H, W)`` in [0, 1].
        landmarks: ``(B, 68, 2)`` pixels.
        identity: ``(B, K)`` to begin with.
        expression: ``(B, E)``.
        camera: Weak perspective.
        albedo_mean: ``(V, 3)`` in [0, 1].
        albedo_basis: ``(A, V, 3)``, one standard deviation each.
        options: How.
        offsets: ``(2, 85, 2)`` of the landmarks' detector, see ``LandmarkFitter``.
        person: ``(B,)`` number of the person in each picture, from 0: one identity and skin for all
            of each.
        joints: ``(B, J, 3)`` of the fit, which stay as they are.

    Raises:
        DataError: A shape does not fit.
        GeometryError: The camera is a pinhole, or a face is not in its picture.
    """
    count = check_shape(landmarks, "B 68 2", "landmarks")["B"]
    check_shape(albedo_mean, f"{model.num_vertices} 3", "albedo_mean")
    check_shape(albedo_basis, f"A {model.num_vertices} 3", "albedo_basis")
    if camera.focal is not None:
        raise GeometryError(
            "the refinement is for weak perspective only",
            where="field_of_view",
            remedy="Leave out the field of view.",
        )
    if len(images) != count:
        raise GeometryError("not as many pictures as landmarks", expected=count, found=len(images))
    with one_thread(), torch.enable_grad():
        return _Refinement(
            model,
            images,
            landmarks,
            identity,
            expression,
            camera,
            albedo_mean,
            albedo_basis,
            options or PhotometricOptions(),
            offsets,
            torch.arange(count) if person is None else person,
            joints,
        ).run()


class _Refinement:
    """One call of ``refine_by_picture``."""

    def __init__(
        self,
        model: MorphableModel,
        images: list[Tensor],
        landmarks: Tensor,
        identity: Tensor,
        expression: Tensor,
        camera: Camera,
        albedo_mean: Tensor,
        albedo_basis: Tensor,
        options: PhotometricOptions,
        offsets: Tensor | None,
        person: Tensor,
        joints: Tensor | None,
    ) -> None:
        self.model, self.options, self.person, self.joints = model, options, person, joints
        mask = model.topology.masks["face"]
        self.face = mask.nonzero()[:, 0]
        near = around(model, mask)
        self.part, self.face_in_part = part_of(model, near), mask[near].nonzero()[:, 0]
        self.mean, self.basis = albedo_mean[self.face], albedo_basis[:, self.face]
        self.offsets = constant_offsets(torch.zeros(68, 2)) if offsets is None else offsets
        self.expression_precision = expression_precision(model, options.expression_sigma)
        with torch.no_grad():
            vertices = model.vertices(identity, expression, joints)
            self.pictures, self.camera, self.corner, self.scale = cut_faces(
                images, vertices, camera
            )
            self.landmarks = (landmarks - self.corner[:, None]) * self.scale[:, None, None]
            # Half of the detail of a pixel's neighbours: the derivative of a look-up is less ragged
            # so.
            padded = torch.nn.functional.pad(self.pictures, [1] * 4, mode="replicate")
            self.blurred = torch.nn.functional.avg_pool2d(padded, 3, 1)
            self.seen = self._visible(vertices, self.camera)
            light, albedo = self._first_light(vertices)
        people = int(person.max()) + 1
        first = torch.stack([(person == index).int().argmax() for index in range(people)])
        start = {
            "identity": identity[first],
            "expression": expression,
            "turn": torch.zeros(len(identity), 3),
            "origin": self.camera.origin,
            "log_size": self.camera.log_size,
            "albedo": albedo,
            "light": light,
        }
        self.values = {
            name: value.detach().clone().requires_grad_() for name, value in start.items()
        }

    def _visible(self, vertices: Tensor, camera: Camera) -> Tensor:
        view = MeshView.of(vertices, self.model.topology.faces, camera, (SIDE, SIDE))
        return view.visible_vertices()[:, self.face].float()

    def _first_light(self, vertices: Tensor) -> tuple[Tensor, Tensor]:
        """Light ``(B, 9, 3)`` of the expected level and skins ``(people, A)`` that explain the
        pictures together, found in turns.
        """
        normals = vertex_normals(self.camera.view(vertices), self.model.topology.faces)[
            :, self.face
        ]
        colours = self._look_up(vertices[:, self.face], self.camera)
        for index, seen in enumerate(self.seen):
            if int((seen > 0).sum()) < 50:
                raise GeometryError(
                    "the face is not in its picture",
                    where=f"picture {index + 1}",
                    found=f"{int(seen.sum())} vertices",
                )
        skins = self.mean.new_zeros(int(self.person.max()) + 1, len(self.basis))
        for _ in range(TURNS):
            albedo = self._albedo(skins).clamp(min=0.02)
            light = torch.stack(
                [fit_light(*one) for one in zip(normals, albedo, colours, self.seen, strict=True)]
            )
            light = light * (LEVEL / light_level(light).clamp(min=0.1))[:, None]
            skins = self._first_skins(colours, shading(normals, light[:, None]))
        return light, skins

    def _first_skins(self, colours: Tensor, lit: Tensor) -> Tensor:
        """The most probable skins ``(people, A)`` of colours ``(B, P, 3)`` under a shading
        ``(B, P, 3)``.
        """
        found = []
        for one in range(int(self.person.max()) + 1):
            matrix = torch.eye(len(self.basis))
            target = self.mean.new_zeros(len(self.basis))
            for index in (self.person == one).nonzero()[:, 0]:
                seen = self.seen[index]
                share = INDEPENDENT / FIRST_SIGMA**2 / 2 / float(seen.sum())
                rows = (self.basis * lit[index]).flatten(1)
                weighted = rows * (seen * share).repeat_interleave(3)
                matrix = matrix + weighted @ rows.T
                target = target + weighted @ (colours[index] - self.mean * lit[index]).flatten()
            found.append(torch.linalg.solve(matrix, target))
        return torch.stack(found)

    def _albedo(self, skins: Tensor) -> Tensor:
        """Colours ``(B, P, 3)`` of the face's vertices of skins ``(people, A)``."""
        offset = (skins @ self.basis.flatten(1)).view(-1, *self.mean.shape)
        return (self.mean + offset)[self.person]

    def _look_up(self, points: Tensor, camera: Camera) -> Tensor:
        grid = camera.project(points).pixels / SIDE * 2 - 1
        found = torch.nn.functional.grid_sample(
            self.blurred, grid[:, None], padding_mode="border", align_corners=False
        )
        return found[:, :, 0].transpose(1, 2)

    def camera_now(self) -> Camera:
        """The camera of the squares."""
        rotation = rotation_from_vector(self.values["turn"]) @ self.camera.rotation
        return Camera(rotation, self.values["origin"], self.values["log_size"])

    def vertices_now(self, model: MorphableModel) -> Tensor:
        """``(B, V, 3)`` of the model or of its part."""
        return model.vertices(
            self.values["identity"][self.person], self.values["expression"], self.joints
        )

    def terms(self) -> tuple[Tensor, Tensor]:
        """The whole cost, and each picture's part that the colours make ``(B,)``."""
        values, options = self.values, self.options
        camera, vertices, face = self.camera_now(), self.vertices_now(self.part), self.face_in_part
        normals = vertex_normals(camera.view(vertices), self.part.topology.faces)[:, face]
        seen = self.seen * (normals[..., 2].detach() > FACING)
        expected = self._albedo(values["albedo"]) * shading(normals, values["light"][:, None])
        error = (
            ((self._look_up(vertices[:, face], camera) - expected) / options.sigma).square().sum(-1)
        )
        # pseudo-Huber
        robust = (2 * ((1 + error / 2).sqrt() - 1) * seen).sum(1) / seen.sum(1).clamp(min=1)
        shift = offsets_at(self.offsets, camera.rotation)
        marks = camera.project(self.part.landmarks(vertices) + shift).pixels
        scale = options.landmark_noise * distance_between_pupils(self.landmarks)
        missed = ((marks - self.landmarks) / scale[:, None, None]).square().sum((1, 2))
        expression = values["expression"]
        prior = (
            values["identity"].square().sum()
            + values["albedo"].square().sum()
            + ((expression @ self.expression_precision) * expression).sum()
            + _unlikely_level(values["light"]).sum()
        )
        return (INDEPENDENT * robust + missed).sum() + prior, robust

    def run(self) -> PhotometricFit:
        """All steps."""
        groups = [{"params": [value], "lr": RATES[name]} for name, value in self.values.items()]
        optimizer = torch.optim.Adam(groups, betas=(0.9, 0.95))
        low, high = self.model.expression_range
        for step in range(self.options.steps):
            if step and step % RENEWED == 0:
                with torch.no_grad():
                    self.seen = self._visible(self.vertices_now(self.model), self.camera_now())
            optimizer.zero_grad()
            self.terms()[0].backward()
            optimizer.step()
            with torch.no_grad():
                self.values["expression"].clamp_(low, high)
        with torch.no_grad():
            _, residual = self.terms()
            now, values = (
                self.camera_now(),
                {name: value.detach() for name, value in self.values.items()},
            )
        camera = Camera(
            now.rotation.detach(),
            values["origin"] / self.scale[:, None] + self.corner,
            values["log_size"] - self.scale.log(),
        )
        return PhotometricFit(
            values["identity"][self.person],
            values["expression"],
            camera,
            values["albedo"][self.person],
            values["light"],
            residual,
        )


def _unlikely_level(light: Tensor) -> Tensor:
    """How unlikely the level and tint of lights ``(B, 9, 3)`` are, ``(B,)`` squared deviations."""
    level = light_level(light)
    grey = level.mean(1)
    tint = ((level - grey[:, None]) / TINT_SIGMA).square().sum(1)
    return ((grey - LEVEL) / LEVEL_SIGMA).square() + tint
