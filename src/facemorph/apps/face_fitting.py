"""A morphable model fitted to faces: what ``fit``, ``animate`` and ``data prepare`` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from facemorph.errors import DataError
from facemorph.faces.detection import make_detector
from facemorph.faces.landmark_schemes import named_part, to_ibug68
from facemorph.faces.pair import locate_face
from facemorph.faces.types import LandmarkDetector
from facemorph.geometry.camera import Camera
from facemorph.geometry.landmark_calibration import detector_offsets
from facemorph.geometry.landmark_fit import FitOptions, LandmarkFit, LandmarkFitter
from facemorph.geometry.morphable_model import MorphableModel
from facemorph.geometry.parameters import FaceParameters
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_vector, vector_from_rotation

# Whose landmarks a file's scheme is: hand-made templates have offsets of their own, other files have none.
OF_SCHEME = {"frll189": "frll189"}


@dataclass(frozen=True)
class LocatedFace:
    """A photograph with the landmarks of its face.

    Attributes:
        image: ``(3, H, W)`` in [0, 1].
        landmarks: ``(68, 2)`` iBUG landmarks, float32 pixels.
        source: Whose they are: a detector's name, ``frll189`` for templates, or ``file``.
        name: What to call the photograph.
    """

    image: Tensor
    landmarks: Tensor
    source: str
    name: str

    @property
    def frame(self) -> Frame:
        """The photograph's frame."""
        return Frame.of(self.image)


@dataclass(frozen=True)
class FittedFaces:
    """Faces of a model that fit pictures.

    Attributes:
        model: The model.
        parameters: Of the B pictures, in their pixels.
        landmarks: ``(B, 68, 2)`` given landmarks.
        fitted: ``(B, 68, 2)`` landmarks of the model.
        error: ``(B,)`` mean distance of the two, as a share of the distance between the pupils.
        frame: Frame of all pictures.
    """

    model: MorphableModel
    parameters: FaceParameters
    landmarks: Tensor
    fitted: Tensor
    error: Tensor
    frame: Frame

    def vertices(self) -> Tensor:
        """``(B, V, 3)`` millimetres, in the head's frame."""
        return vertices_of(self.model, self.parameters)

    def camera(self) -> Camera:
        """Of the B pictures."""
        return camera_of(self.parameters, self.frame)


def vertices_of(model: MorphableModel, parameters: FaceParameters) -> Tensor:
    """Vertices ``(B, V, 3)`` of parameters.

    Raises:
        DataError: The parameters are those of another model.
    """
    if parameters.model != model.name:
        raise DataError("these parameters belong to another model", where="parameters", expected=model.name,
                        found=parameters.model, remedy=f"Give the model with --model {parameters.model}.")
    joints = parameters.joints if bool(parameters.joints.any()) else None
    return model.vertices(parameters.identity, parameters.expression, joints)


def camera_of(parameters: FaceParameters, frame: Frame) -> Camera:
    """The camera of parameters in the frame that they were fitted in.

    Raises:
        DataError: Some are seen through a pinhole and some are not.
    """
    rotation = rotation_from_vector(parameters.rotation)
    pinhole = parameters.focal > 0
    if bool(pinhole.any()) and not bool(pinhole.all()):
        raise DataError("these faces have different kinds of cameras", where="focal", expected="all 0, or none")
    camera = Camera(rotation, parameters.origin, parameters.log_size)
    if not bool(pinhole.any()):
        return camera
    middle = parameters.origin.new_tensor([frame.width / 2, frame.height / 2]).expand_as(parameters.origin)
    return replace(camera, focal=parameters.focal, centre=middle)


def locate(picture: str | Path | Tensor, points: str | Path | None = None,
           detector: str | LandmarkDetector = "embedded", name: str = "picture") -> LocatedFace:
    """A photograph and the landmarks of its face.

    Args:
        picture: A file, or ``(3, H, W)`` in [0, 1].
        points: Its landmark file; None lets the detector find them.
        detector: A detector or its name.
        name: What to call a picture that is no file.

    Raises:
        FacemorphError: The picture or its landmarks are at fault.
    """
    find = None if points is not None else make_detector(detector) if isinstance(detector, str) else detector
    image, found, scheme = locate_face(picture, points, find, name)
    source = detector if isinstance(detector, str) else "embedded"
    if points is not None:
        source = OF_SCHEME.get(named_part(scheme), "file")
    label = name if isinstance(picture, Tensor) else str(picture)
    return LocatedFace(image, to_ibug68(found, scheme).float(), source, label)


def fit_faces(faces: Sequence[LocatedFace], model: MorphableModel, *, options: FitOptions | None = None,
              same_person: bool = False) -> list[FittedFaces]:
    """Fit a model to photographs.

    Args:
        faces: The photographs, of any sizes.
        model: The model.
        options: How.
        same_person: Whether all show one person, who then has one identity.

    Returns:
        One fit for each photograph.

    Raises:
        DataError: No photograph, or landmarks of different sources for one person.
        GeometryError: The landmarks of one determine no pose; it is named.
    """
    if not faces:
        raise DataError("no photograph is given", expected="at least one")
    sources = {face.source for face in faces}
    if len(sources) > 1 and same_person:
        raise DataError("the photographs of one person have landmarks of different kinds", where="points",
                        found=" and ".join(sorted(sources)), remedy="Give landmark files for all of them, or none.")
    options = options or FitOptions()
    groups: dict[object, list[int]] = {}
    for index, face in enumerate(faces):
        pinhole = face.frame if options.field_of_view is not None else None
        groups.setdefault((face.source, pinhole), []).append(index)
    if same_person and len(groups) > 1:
        raise DataError("photographs of one person through a pinhole must have one size", where="field_of_view",
                        remedy="Cut them to one size, or use weak perspective.")
    fits: dict[int, FittedFaces] = {}
    for group in groups.values():
        chosen = [faces[index] for index in group]
        fitter = LandmarkFitter(model, options, detector_offsets(model, chosen[0].source))
        landmarks = torch.stack([face.landmarks for face in chosen])
        person = torch.zeros(len(chosen), dtype=torch.long) if same_person else None
        fit = fitter(landmarks, frame=chosen[0].frame, person=person)
        for row, index in enumerate(group):
            fits[index] = FittedFaces(model, parameters_of(fit, model)[row], landmarks[row:row + 1],
                                      fit.landmarks[row:row + 1], fit.error[row:row + 1], faces[index].frame)
    return [fits[index] for index in range(len(faces))]


def parameters_of(fit: LandmarkFit, model: MorphableModel) -> FaceParameters:
    """A landmark fit as named parameters."""
    camera = fit.camera
    start = FaceParameters.neutral(model, len(fit.identity))
    return replace(start, identity=fit.identity, expression=fit.expression,
                   joints=start.joints if fit.joints is None else fit.joints,
                   rotation=vector_from_rotation(camera.rotation), origin=camera.origin, log_size=camera.log_size,
                   focal=torch.zeros_like(camera.log_size) if camera.focal is None else camera.focal)
