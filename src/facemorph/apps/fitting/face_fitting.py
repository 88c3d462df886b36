"""A morphable model fitted to faces: what ``fit``, ``animate`` and ``data prepare`` have
in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from facemorph.apps.fitting.choices import SMOOTHINGS
from facemorph.apps.fitting.face_tracking import FaceTrack
from facemorph.apps.fitting.located_face import LocatedFace
from facemorph.errors import ConfigError, DataError
from facemorph.geometry.fitting.landmark_calibration import detector_offsets
from facemorph.geometry.fitting.landmark_fit import LandmarkFitter
from facemorph.geometry.fitting.landmark_solver import (
    FitOptions,
    LandmarkFit,
    distance_between_pupils,
)
from facemorph.geometry.fitting.photometric_fit import PhotometricOptions, refine_by_picture
from facemorph.geometry.fitting.smoothing import OneEuroFilter, smooth, smooth_rotations
from facemorph.geometry.fitting.turned_landmarks import offsets_at
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.textures.texture_model import TextureModel
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_vector, vector_from_rotation

CUTOFF = 5.0  # hertz of ``batch``: keeps blinks and speech
LOWEST_CUTOFF, BETA = 1.0, 2.0  # of ``one-euro``: hertz, and hertz for each unit of speed
GUESS_SIGMA = 0.5  # how far an identity may be from what another method says, standard deviations
UNIT = 100.0  # millimetres that count as much as one radian


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

    @classmethod
    def known(cls, model: MorphableModel, parameters: FaceParameters, frame: Frame) -> FittedFaces:
        """Faces whose parameters are known, as those of a set: the landmarks are the model's."""
        vertices = vertices_of(model, parameters)
        points = camera_of(parameters, frame).project(model.landmarks(vertices)).pixels
        return cls(model, parameters, points, points, points.new_zeros(len(points)), frame)

    def vertices(self) -> Tensor:
        """``(B, V, 3)`` millimetres, in the head's frame."""
        return vertices_of(self.model, self.parameters)

    def camera(self) -> Camera:
        """Of the B pictures."""
        return camera_of(self.parameters, self.frame)


def fit_faces(
    faces: Sequence[LocatedFace],
    model: MorphableModel,
    *,
    options: FitOptions | None = None,
    same_person: bool = False,
    identity: Tensor | None = None,
) -> list[FittedFaces]:
    """Fit a model to photographs.

    Args:
        faces: The photographs, of any sizes.
        model: The model.
        options: How.
        same_person: Whether all show one person, who then has one identity.
        identity: ``(B, K)`` what another method says of each identity: the centre of its prior.

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
        raise DataError(
            "the photographs of one person have landmarks of different kinds",
            where="points",
            found=" and ".join(sorted(sources)),
            remedy="Give landmark files for all of them, or none.",
        )
    options = options or FitOptions()
    groups: dict[object, list[int]] = {}
    for index, face in enumerate(faces):
        pinhole = face.frame if options.field_of_view is not None else None
        groups.setdefault((face.source, pinhole), []).append(index)
    if same_person and len(groups) > 1:
        raise DataError(
            "photographs of one person through a pinhole must have one size",
            where="field_of_view",
            remedy="Cut them to one size, or use weak perspective.",
        )
    fits: dict[int, FittedFaces] = {}
    for group in groups.values():
        chosen = [faces[index] for index in group]
        fitter = LandmarkFitter(model, options, detector_offsets(model, chosen[0].source))
        landmarks = torch.stack([face.landmarks for face in chosen])
        person = torch.zeros(len(chosen), dtype=torch.long) if same_person else None
        centre = None if identity is None else identity[group]
        if centre is not None and same_person:
            centre = centre.mean(0, keepdim=True)
        fit = fitter(
            landmarks,
            frame=chosen[0].frame,
            person=person,
            identity=centre,
            identity_sigma=1.0 if centre is None else GUESS_SIGMA,
        )
        for row, index in enumerate(group):
            fits[index] = FittedFaces(
                model,
                parameters_of(fit, model)[row],
                landmarks[row : row + 1],
                fit.landmarks[row : row + 1],
                fit.error[row : row + 1],
                faces[index].frame,
            )
    return [fits[index] for index in range(len(faces))]


def refine_faces(
    faces: Sequence[LocatedFace],
    fits: Sequence[FittedFaces],
    *,
    same_person: bool = False,
    steps: int = 50,
    textures: TextureModel | None = None,
) -> list[FittedFaces]:
    """Refine fits by their photographs: shape, expression, pose, skin and light; half a
    second each.

    The skin is the model's own, or the procedural one for models without colours.

    Args:
        faces: The photographs.
        fits: What ``fit_faces`` gives for them.
        same_person: As for ``fit_faces``.
        steps: Steps of the optimizer.
        textures: Statistics of real skin in the place of these; ``albedo`` then holds this model's
            coefficients, which ``skin_basis`` cannot draw.

    Raises:
        GeometryError: A face is seen through a pinhole, or is not in its picture.
    """
    model = fits[0].model
    if textures is not None:
        mean, basis = textures.at_vertices(model.topology)
    elif model.albedo_mean is not None and model.albedo_basis is not None:
        mean, basis = model.albedo_mean, model.albedo_basis
    else:
        # Not at the top: a fit without refinement needs no splines of SciPy.
        from facemorph.geometry.synthetic.procedural_skin import skin_basis

        mean, basis = skin_basis(model)
    refined: list[FittedFaces] = []
    # People one after the other: together they would need their pictures' memory at once.
    for chosen in [range(len(faces))] if same_person else [[index] for index in range(len(faces))]:
        whole = FaceParameters.joined([fits[index].parameters for index in chosen])
        joints = whole.joints if bool(whole.joints.any()) else None
        found = refine_by_picture(
            model,
            [faces[index].image for index in chosen],
            torch.cat([fits[index].landmarks for index in chosen]),
            whole.identity,
            whole.expression,
            camera_of(whole, fits[0].frame),
            mean,
            basis,
            PhotometricOptions(steps=steps),
            offsets=detector_offsets(model, faces[chosen[0]].source),
            person=torch.zeros(len(chosen), dtype=torch.long),
            joints=joints,
        )
        better = replace(
            whole,
            identity=found.identity,
            expression=found.expression,
            origin=found.camera.origin,
            rotation=vector_from_rotation(found.camera.rotation),
            log_size=found.camera.log_size,
            light=found.light,
            albedo=found.albedo,
        )
        for row, index in enumerate(chosen):
            refined.append(_measured(fits[index], better[row], faces[index].source))
    return refined


def _measured(fit: FittedFaces, parameters: FaceParameters, source: str) -> FittedFaces:
    """A fit with other parameters, and its landmarks and error anew."""
    marks = fit.model.landmarks(vertices_of(fit.model, parameters))
    camera, offsets = camera_of(parameters, fit.frame), detector_offsets(fit.model, source)
    if offsets is not None:
        marks = marks + offsets_at(offsets, camera.rotation)
    fitted = camera.project(marks).pixels
    error = (fitted - fit.landmarks).norm(dim=-1).mean(1) / distance_between_pupils(fit.landmarks)
    return replace(fit, parameters=parameters, fitted=fitted, error=error)


def fit_track(
    track: FaceTrack,
    model: MorphableModel,
    *,
    options: FitOptions | None = None,
    smoothing: str = "batch",
) -> FittedFaces:
    """Fit a model to a video: one identity, and pose and expression smoothed within each segment.

    Args:
        track: Of ``track_face``.
        model: The model.
        options: How.
        smoothing: ``batch`` over the whole segment, ``one-euro`` as if frames came in one by one,
            or ``none``. Frames without a face are interpolated by the first and keep the last
            values with the others.

    Raises:
        ConfigError: There is no such smoothing.
        GeometryError: The landmarks of a frame determine no pose.
    """
    if smoothing not in SMOOTHINGS:
        raise ConfigError(
            "no such smoothing", where="smoothing", expected=" | ".join(SMOOTHINGS), found=smoothing
        )
    fitter = LandmarkFitter(model, options or FitOptions(), detector_offsets(model, track.source))
    seen = track.landmarks[track.seen]
    fit = fitter(seen, frame=track.frame, person=torch.zeros(len(seen), dtype=torch.long))
    row = (track.seen.cumsum(0) - 1).clamp(min=0)  # the last one seen
    parameters = parameters_of(fit, model)[row]
    pieces = [
        _smoothed(
            parameters[first:end],
            track.seen[first:end],
            track.frames_per_second,
            smoothing,
            model.expression_range,
        )
        for first, end in track.segments
    ]
    return FittedFaces(
        model,
        FaceParameters.joined(pieces),
        track.landmarks,
        fit.landmarks[row],
        fit.error[row],
        track.frame,
    )


def _smoothed(
    piece: FaceParameters, seen: Tensor, rate: float, smoothing: str, span: tuple[float, float]
) -> FaceParameters:
    if smoothing == "none" or len(piece) < 3:
        return piece
    names = ("expression", "joints", "origin", "log_size")
    unit = UNIT * piece.log_size.mean().exp()
    piece = replace(piece, origin=piece.origin / unit)
    flat = torch.cat([getattr(piece, name).reshape(len(piece), -1) for name in names], 1)
    rotation = rotation_from_vector(piece.rotation)
    if smoothing == "batch":
        flat = smooth(flat, rate, CUTOFF, seen.to(flat))
        turned = vector_from_rotation(smooth_rotations(rotation, rate, CUTOFF, seen.to(flat)))
    else:
        values, base = OneEuroFilter(rate, min_cutoff=LOWEST_CUTOFF, beta=BETA), rotation[0]
        away = vector_from_rotation(base.T @ rotation)
        both = torch.stack([values(one) for one in torch.cat([flat, away], 1)])
        flat, turned = both[:, :-3], vector_from_rotation(base @ rotation_from_vector(both[:, -3:]))
    parts = flat.split([getattr(piece, name)[0].numel() for name in names], 1)
    shaped = {
        name: part.reshape(getattr(piece, name).shape)
        for name, part in zip(names, parts, strict=True)
    }
    shaped["expression"] = shaped["expression"].clamp(*span)
    shaped["origin"] = shaped["origin"] * unit
    return replace(piece, rotation=turned, **shaped)


def parameters_of(fit: LandmarkFit, model: MorphableModel) -> FaceParameters:
    """A landmark fit as named parameters."""
    camera = fit.camera
    start = FaceParameters.neutral(model, len(fit.identity))
    return replace(
        start,
        identity=fit.identity,
        expression=fit.expression,
        joints=start.joints if fit.joints is None else fit.joints,
        rotation=vector_from_rotation(camera.rotation),
        origin=camera.origin,
        log_size=camera.log_size,
        focal=torch.zeros_like(camera.log_size) if camera.focal is None else camera.focal,
    )
