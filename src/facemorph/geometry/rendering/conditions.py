"""Maps of heads that condition a generator: made from face parameters while it trains, so that no
database of renders is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facemorph.errors import ConfigError, DataError
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.lighting import CONSTANTS, shading
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.renders import MeshView
from facemorph.ops.frames import Frame

Kind = Literal["render", "normals", "mask", "uv", "depth"]
CHANNELS: dict[str, int] = {"render": 3, "normals": 3, "mask": 1, "uv": 2, "depth": 1}
DEPTH = 100.0  # millimetres that count as 1


class ConditionRenderer:
    """Renders maps of faces, all premultiplied with the share of a pixel that the head covers.

    ``render`` is the skin of the parameters' coefficients in their light, in [0, 1]; ``normals``
    are unit normals in the camera's frame; ``mask`` is that share; ``uv`` are texture coordinates
    in [0, 1]; ``depth`` is towards the viewer, in 100 mm. Always in float32.

    Args:
        model: Of the parameters.
        kinds: The maps, in the order of the channels.
        size: Side of the maps in pixels.
        supersample: Samples along each side of a pixel; more than 1 smooths outlines.
        skin: Colours of the vertices ``(V, 3)`` and what each coefficient adds ``(A, V, 3)``; the
            model's own, where it has them, when None.

    Raises:
        ConfigError: A kind is unknown, or a number is out of range.
    """

    def __init__(
        self,
        model: MorphableModel,
        kinds: Sequence[Kind] = ("render", "normals", "mask", "uv"),
        size: int = 128,
        supersample: int = 2,
        skin: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        for kind in kinds:
            if kind not in CHANNELS:
                raise ConfigError(
                    "no such map",
                    where="conditions.kinds",
                    expected=", ".join(get_args(Kind)),
                    found=kind,
                )
        for name, value, low, high in (("size", size, 8, 4096), ("supersample", supersample, 1, 4)):
            if not low <= value <= high:
                raise ConfigError(
                    "out of range",
                    where=f"conditions.{name}",
                    expected=f"{low} to {high}",
                    found=value,
                )
        self.model, self.kinds, self.size = model, tuple(kinds), size
        self.supersample, self.skin = supersample, skin

    @property
    def num_channels(self) -> int:
        """Channels of all maps together."""
        return sum(CHANNELS[kind] for kind in self.kinds)

    def colours(self, albedo: Tensor) -> Tensor:
        """Colours of the vertices ``(B, V, 3)`` in [0, 1] for coefficients ``(B, A)``.

        Raises:
            DataError: The coefficients are not those of this skin.
        """
        if self.skin is None:
            return self.model.albedo(albedo).clamp(0, 1)
        mean, basis = self.skin
        if albedo.shape[1] != len(basis):
            raise DataError(
                "the skin coefficients are of another skin than the renders",
                where="albedo",
                expected=f"{len(basis)} coefficients",
                found=albedo.shape[1],
                remedy="Make the set with `facemorph data prepare --refine`.",
            )
        added = (albedo @ basis.flatten(1)).view(len(albedo), *mean.shape)
        return (mean + added).clamp(0, 1)

    @torch.no_grad()
    def __call__(self, parameters: FaceParameters) -> Tensor:
        """Maps ``(B, channels, S, S)``.

        Args:
            parameters: In pixels of pictures of this renderer's size.

        Raises:
            DataError: The parameters are those of another model or skin.
            GeometryError: A camera is inside the head.
        """
        with torch.autocast(parameters.identity.device.type, enabled=False):
            return self._maps(parameters)

    def _view(self, parameters: FaceParameters) -> MeshView:
        """The heads, ``supersample`` times as large."""
        side, fine = self.size, self.size * self.supersample
        camera = camera_of(parameters, Frame(side, side)).scaled(self.supersample)
        vertices = vertices_of(self.model, parameters)
        faces = self.model.topology.faces
        return MeshView.of(vertices, faces, camera, (fine, fine), cull_back_faces=True)

    def _maps(self, parameters: FaceParameters) -> Tensor:
        view = self._view(parameters)
        if view.vertices.device.type == "cpu" and view.vertices.dtype == torch.float32:
            return self._fused(view, parameters)
        return self._plain(view, parameters)

    @torch.no_grad()
    def stepwise(self, parameters: FaceParameters) -> Tensor:
        """The same maps step by step: the plain twin of the compiled pass, on any device."""
        return self._plain(self._view(parameters), parameters)

    def _plain(self, view: MeshView, parameters: FaceParameters) -> Tensor:
        mask = view.mask.to(view.vertices.dtype)
        found: list[Tensor] = []
        for kind in self.kinds:
            if kind == "render":
                lit = shading(view.normals().movedim(1, -1), parameters.light[:, None, None])
                skin = view.attribute(self.colours(parameters.albedo))
                found.append((skin * lit.movedim(-1, 1)).clamp(0, 1))
            elif kind == "normals":
                found.append(view.normals())
            elif kind == "mask":
                found.append(mask)
            elif kind == "uv":
                found.append(view.uv(self.model.topology))
            else:
                found.append(view.depth / DEPTH)
        maps = torch.cat(found, 1) * mask
        return functional.avg_pool2d(maps, self.supersample) if self.supersample > 1 else maps

    def _fused(self, view: MeshView, parameters: FaceParameters) -> Tensor:
        """``stepwise`` in one compiled pass."""
        from facemorph.geometry.rendering.conditions_numba import fill_maps

        topology, fragments = self.model.topology, view.fragments
        corners_uv = topology.uv[topology.faces_uv].float().numpy()
        with_skin = "render" in self.kinds
        colours = self.colours(parameters.albedo) if with_skin else torch.zeros_like(view.vertices)
        constants = parameters.light.new_tensor(CONSTANTS)[:, None]
        lights = (parameters.light * constants).float().contiguous()
        places = np.array([self._place(kind) for kind in CHANNELS])
        maps = torch.zeros(len(view.vertices), self.num_channels, self.size, self.size)
        for row, result in enumerate(maps):
            fill_maps(
                fragments.mask[row].numpy(),
                fragments.face[row].numpy(),
                fragments.weights[row].numpy(),
                fragments.depth[row].numpy(),
                topology.faces.numpy(),
                view.vertex_normals[row].contiguous().numpy(),
                colours[row].contiguous().numpy(),
                corners_uv,
                lights[row].numpy(),
                places,
                DEPTH,
                self.supersample,
                result.numpy(),
            )
        return maps

    def _place(self, kind: str) -> int:
        """First channel of a map; -1 where it is not made."""
        if kind not in self.kinds:
            return -1
        return sum(CHANNELS[one] for one in self.kinds[: self.kinds.index(kind)])

    def light(self, conditions: Tensor, lights: Tensor) -> Tensor:
        """How bright each pixel is in lights ``(B, 9, 3)``: ``(B, 3, S, S)``, 0 off the head.

        Args:
            conditions: Maps of this renderer, with normals.
            lights: Of the pictures.

        Raises:
            ConfigError: This renderer makes no normals.
        """
        normals = functional.normalize(self.part(conditions, "normals"), dim=1)
        lit = shading(normals.movedim(1, -1), lights[:, None, None]).movedim(-1, 1)
        return lit * (self.part(conditions, "mask") > 0.5)

    def part(self, conditions: Tensor, kind: Kind) -> Tensor:
        """The channels ``(B, C, S, S)`` of one of the maps.

        Raises:
            ConfigError: This renderer does not make it.
        """
        if kind not in self.kinds:
            raise ConfigError(
                "this map is not among the conditions",
                where="conditions.kinds",
                expected=kind,
                found=", ".join(self.kinds),
            )
        begin = self._place(kind)
        return conditions[:, begin : begin + CHANNELS[kind]]
