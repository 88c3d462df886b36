"""Whether a generator obeys: landmarks, identity over pose and style, light."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from facemorph.apps.generation.evaluation.held_out_faces import (
    SIDE,
    Held,
    descriptors,
    enlarged,
    landmarks_of,
)
from facemorph.apps.generation.generated_faces import FaceGenerator, GeneratedFaces
from facemorph.engine.portrait_frames import framed
from facemorph.faces.detection import EmbeddedDetector
from facemorph.geometry.rendering.lighting import random_light
from facemorph.metrics.generator_control import light_response, separation
from facemorph.ops.filters import dilated
from facemorph.ops.rotations import rotation_from_euler, vector_from_rotation

DETECTED = 100  # pictures whose landmarks are found again
PEOPLE = 60  # random people whose identity is compared over poses
TURN = 30.0  # degrees to either side, of these


def control(
    generator: FaceGenerator,
    held: Held,
    generated: Tensor,
    made: GeneratedFaces,
    draw: torch.Generator,
) -> dict[str, float]:
    """Landmarks, identity over pose and style, and light."""
    detector = EmbeddedDetector(tile=False)
    real_error, real_found = _landmark_error(
        detector, held.images, landmarks_of(generator, held.parameters)
    )
    error, found = _landmark_error(detector, generated, landmarks_of(generator, made.parameters))
    count = min(PEOPLE, len(made))
    people = GeneratedFaces(made.codes[:count], made.parameters[:count])
    left, front, right = (
        _described(generator, _turned(generator, people, angle)) for angle in (-TURN, 0.0, TURN)
    )
    between = torch.cdist(left, right)
    moved = torch.stack([(side - front).norm(dim=1) for side in (left, right)])
    other_style = GeneratedFaces(people.codes.roll(1, 0), people.parameters)
    first = descriptors(generated[:count], landmarks_of(generator, people.parameters))
    second = _described(generator, other_style)
    correlation, slope = _light(generator, people, generated[:count], draw)
    return {
        "landmark_error_real": real_error,
        "landmark_error": error,
        "landmarks_found_real": real_found,
        "landmarks_found": found,
        "identity_over_pose": separation(
            between.diagonal(), between[~torch.eye(count, dtype=torch.bool)]
        ),
        "identity_to_the_front": float(moved.mean()),
        "style_moves_identity": float((first - second).norm(dim=1).mean()),
        "light_correlation": correlation,
        "light_slope": slope,
    }


def _described(generator: FaceGenerator, faces: GeneratedFaces) -> Tensor:
    pictures = torch.stack(list(generator.pictures(faces)))
    return descriptors(pictures, landmarks_of(generator, faces.parameters))


def _landmark_error(
    detector: EmbeddedDetector, pictures: Tensor, landmarks: Tensor
) -> tuple[float, float]:
    """Median error of found landmarks in percent of the distance between the pupils, and the share
    of faces that are found.
    """
    scale, errors = SIDE / pictures.shape[-1], []
    shown = enlarged(pictures[:DETECTED])
    for picture, expected in zip(shown, landmarks * scale, strict=False):
        faces = detector(picture)
        if faces:
            pupils = (expected[36:42].mean(0) - expected[42:48].mean(0)).norm()
            missed = (faces[0].points - expected).norm(dim=-1).mean()
            errors.append(float(100 * missed / pupils))
    median = sorted(errors)[len(errors) // 2] if errors else math.nan
    return median, len(errors) / len(shown)


def _turned(generator: FaceGenerator, faces: GeneratedFaces, yaw: float) -> GeneratedFaces:
    turn = rotation_from_euler(torch.tensor([math.radians(yaw)]), torch.zeros(1), torch.zeros(1))
    vector = vector_from_rotation(turn).expand(len(faces), -1).clone()
    parameters = replace(faces.parameters, rotation=vector)
    return replace(faces, parameters=framed(generator.model, parameters, generator.size))


def _light(
    generator: FaceGenerator, faces: GeneratedFaces, before: Tensor, draw: torch.Generator
) -> tuple[float, float]:
    """Correlation and slope of the answer to other light, on the skin of faces."""
    new = random_light(len(faces), draw)
    other = replace(faces, parameters=replace(faces.parameters, light=new))
    after = torch.stack(list(generator.pictures(other)))
    conditions = generator.render(faces.parameters)
    dark, bright = (
        generator.render.light(conditions, light) for light in (faces.parameters.light, new)
    )
    return light_response(before, after, dark, bright, _skin(generator, faces))


def _skin(generator: FaceGenerator, faces: GeneratedFaces) -> Tensor:
    """Pixels of the face's skin ``(N, 1, S, S)``, hair and outline left out."""
    landmarks = landmarks_of(generator, faces.parameters)
    side = generator.size
    place = torch.arange(side) + 0.5
    low, high = landmarks.amin(1), landmarks.amax(1)
    across = (place[None] > low[:, :1]) & (place[None] < high[:, :1])
    down = (place[None] > low[:, 1:]) & (place[None] < high[:, 1:])
    mask = generator.render(faces.parameters)[:, 6:7]
    inside = dilated(1 - mask, 2) < 0.01
    return inside & (across[:, None, None, :] & down[:, None, :, None])
