"""A photograph of the studio whose head takes what the sliders say: drafts while a hand moves,
sharp pictures when it rests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from facemorph.apps.fitting.face_fitting import FittedFaces, fit_faces
from facemorph.apps.fitting.face_texture import texture_of
from facemorph.apps.fitting.located_face import LocatedFace
from facemorph.apps.heads.rendered_head import LARGEST_IDENTITY, expressions_called
from facemorph.apps.reenactment.editing.edit_targets import (
    JOINTS,
    carrier_of,
    expression_limits,
)
from facemorph.apps.reenactment.editing.edit_words import AXES, LARGEST_TURN, VIEWS
from facemorph.apps.reenactment.editing.edits import Edits
from facemorph.apps.reenactment.reenactor import square_around
from facemorph.errors import ConfigError, DataError
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.portrait_motion import HeadView
from facemorph.geometry.portraits.portrait_warp import PortraitWarp
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame
from facemorph.ops.meshes import vertex_normals
from facemorph.ops.rotations import rotation_from_vector
from facemorph.systems.gdpw.moved_portrait import MovedPortrait
from facemorph.systems.gdpw.small_system import SmallGDPW

SIDE = 384  # pixels of the moved square while it is looked at
TEXELS = 512
JOINT_TURN = 30.0  # degrees of a model's own joints
# Expressions of whole faces; the names of the embedded head, as everywhere.
PRESETS: dict[str, dict[str, float]] = {
    "Smile": {"mouthSmile": 0.7, "cheekSquint": 0.3},
    "Laugh": {"mouthSmile": 0.8, "jawOpen": 0.25, "cheekSquint": 0.5, "mouthUpperUp": 0.3},
    "Surprise": {"browInnerUp": 0.8, "browOuterUp": 0.7, "eyeWide": 0.6, "jawOpen": 0.35},
    "Anger": {"browDown": 0.8, "eyeSquint": 0.4, "noseSneer": 0.4, "mouthPress": 0.4},
    "Sadness": {"browInnerUp": 0.7, "mouthFrown": 0.6, "mouthShrugLower": 0.3},
    "Disgust": {"noseSneer": 0.8, "mouthUpperUp": 0.4, "browDown": 0.4, "mouthFrown": 0.3},
    "Fear": {"browInnerUp": 0.8, "eyeWide": 0.8, "mouthStretch": 0.6, "jawOpen": 0.15},
    "Kiss": {"mouthPucker": 0.8},
    "Eyes closed": {"eyeBlink": 1.0},
}


@dataclass(frozen=True)
class Slider:
    """A control of the page.

    Attributes:
        name: Words of an edit before its value: ``exp jawOpen``.
        label: What the page shows.
        low: Least value.
        high: Largest value.
        value: Where it stands in the photograph.
    """

    name: str
    label: str
    low: float
    high: float
    value: float


class MovingHead:
    """A photograph that follows sliders.

    Args:
        face: The photograph with its landmarks.
        model: The head model.
        system: The trained one that draws the sharp pictures.

    Raises:
        DataError: The face is too small.
        GeometryError: Its landmarks determine no pose.
    """

    def __init__(self, face: LocatedFace, model: MorphableModel, system: SmallGDPW) -> None:
        self.model, self._system = model, system
        image, marks, _, _ = square_around(face, SIDE)
        self.image, self.frame = image, Frame.of(image)
        self.fitted: FittedFaces = fit_faces([replace(face, image=image, landmarks=marks)], model)[
            0
        ]
        self.parameters = self.fitted.parameters

    @cached_property
    def texture(self) -> Tensor:
        """``(3, S, S)`` of the head."""
        return texture_of([self.fitted], [self.image], TEXELS)

    @cached_property
    def warp(self) -> PortraitWarp:
        """What draws drafts."""
        return PortraitWarp(self.model, self.image, self._look(self.parameters), self.texture)

    @cached_property
    def portrait(self) -> MovedPortrait:
        """What draws sharp pictures."""
        return MovedPortrait(self._system.generator, self.model, self.image, self.parameters)

    def edited(self, edits: Mapping[str, float]) -> FaceParameters:
        """The head with some sliders moved.

        Args:
            edits: Values of the sliders by name.

        Raises:
            ConfigError: There is no such slider, or a value is out of range.
        """
        text = edit_text(edits)
        return copy(self._unedited).apply(text) if text else self.parameters

    @cached_property
    def _unedited(self) -> Edits:
        return Edits(self.model, self.parameters, self.frame.width)

    def draft(self, parameters: FaceParameters) -> Tensor:
        """The photograph ``(3, S, S)``, in some hundredths of a second."""
        return self.warp.draft(self._look(parameters))

    def warped(self, parameters: FaceParameters) -> Tensor:
        """The same with care."""
        return self.warp(self._look(parameters))

    def sharp(self, parameters: FaceParameters) -> Tensor:
        """The photograph ``(3, S, S)`` by the trained network."""
        return self.portrait(parameters)

    def sliders(self) -> dict[str, list[Slider]]:
        """All controls, by group."""
        labels = {"scale": "Size", "tx": "Across", "ty": "Down"}
        view = [
            Slider(f"cam {name}", labels[name], least, most, 1.0 if name == "scale" else 0.0)
            for name, (least, most) in VIEWS.items()
        ]
        return sliders_of(self.model, self.parameters, view)

    def _look(self, parameters: FaceParameters) -> HeadView:
        return HeadView(vertices_of(self.model, parameters), camera_of(parameters, self.frame))


def sliders_of(
    model: MorphableModel, start: FaceParameters, view: Sequence[Slider] = ()
) -> dict[str, list[Slider]]:
    """Controls of a head, by group.

    Args:
        model: The head model.
        start: The head as it is before any is moved, one row.
        view: More controls beside those of the pose.
    """
    low, high = expression_limits(model)
    pose = [
        Slider(f"global_pose {axis}", axis.capitalize(), -most, most, 0.0)
        for axis, most in LARGEST_TURN.items()
    ]
    expressions = [
        Slider(f"exp {name}", name, low, high, float(start.expression[0, index]))
        for index, name in enumerate(model.expression_names)
    ]
    most = LARGEST_IDENTITY
    identity = [
        Slider(f"shape {number}", f"Shape {number}", -most, most, float(start.identity[0, number]))
        for number in range(model.num_identity)
    ]
    groups = {
        "Pose": [*pose, *view],
        "Jaw and eyes": list(_turned_parts(model)),
        "Expression": expressions,
        "Identity": identity,
    }
    return {name: sliders for name, sliders in groups.items() if sliders}


def _turned_parts(model: MorphableModel) -> Iterator[Slider]:
    """Controls of jaw and eyes, by joints or by the expressions that turn them."""
    names = {"jaw_pose": "Jaw", "leye_pose": "Left eye", "reye_pose": "Right eye"}
    for part, joint in JOINTS.items():
        for axis in AXES:
            low, high = -JOINT_TURN, JOINT_TURN
            if joint not in model.joint_names:
                carrier = carrier_of(part, axis, model)
                if carrier is None:
                    continue
                low, high = carrier.limits(model)
            yield Slider(f"{part} {axis}", f"{names[part]} {axis}", low, high, 0.0)


def edit_text(edits: Mapping[str, float]) -> str:
    """Values of sliders in the language of ``facemorph reenact --edit``."""
    return ", ".join(f"{name} {value:.4g}" for name, value in edits.items())


def presets_of(model: MorphableModel) -> dict[str, dict[str, float]]:
    """Values of sliders for whole expressions, as far as a model has them."""
    found: dict[str, dict[str, float]] = {}
    for label, values in PRESETS.items():
        try:
            found[label] = {
                f"exp {one}": value
                for name, value in values.items()
                for one in expressions_called(name, model)
            }
        except ConfigError:  # a model without such names has no such preset
            continue
    return found


@dataclass(frozen=True)
class PageMesh:
    """A head model as the page draws it: a vertex for each pair of place and texture coordinate.

    Attributes:
        order: ``(W,)`` the model's vertex of each.
        faces: ``(F, 3)`` uint32 rows of ``order``.
        uv: ``(W, 2)`` float32, v up as WebGL has it.
    """

    order: Tensor
    faces: np.ndarray
    uv: np.ndarray

    @classmethod
    def of(cls, model: MorphableModel) -> PageMesh:
        """The mesh of a model."""
        topology = model.topology
        corners = torch.stack([topology.faces.reshape(-1), topology.faces_uv.reshape(-1)], 1)
        pairs, index = corners.unique(dim=0, return_inverse=True)
        uv = topology.uv[pairs[:, 1]].float() * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])
        faces = index.reshape(-1, 3).numpy().astype(np.uint32)
        return cls(pairs[:, 0], faces, uv.numpy())

    def content(self) -> bytes:
        """Triangles, then texture coordinates, little-endian."""
        return self.faces.tobytes() + self.uv.tobytes()

    def places(self, model: MorphableModel, parameters: FaceParameters) -> bytes:
        """Places and normals ``(W, 6)`` float32 of one head, turned as it is, in millimetres from
        its middle.
        """
        if len(parameters) != 1:
            raise DataError("one head is drawn", expected=1, found=len(parameters))
        vertices = vertices_of(model, parameters)[0]
        middle = (model.mean.amax(0) + model.mean.amin(0)) / 2
        turned = (vertices - middle) @ rotation_from_vector(parameters.rotation)[0].T
        normals = vertex_normals(turned[None], model.topology.faces)[0]
        return torch.cat([turned, normals], 1)[self.order].float().numpy().tobytes()
