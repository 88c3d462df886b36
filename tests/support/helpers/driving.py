"""A short driving performance with known parameters, rendered from a photograph's own fit."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from facemorph.apps.fitting.face_fitting import fit_faces
from facemorph.apps.fitting.located_face import locate
from facemorph.apps.heads.driven_portrait import resized
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.shaded_pictures import render_picture
from facemorph.geometry.textures.texture_completion import complete_texture
from facemorph.geometry.textures.unprojection import unproject
from facemorph.ops.rotations import rotation_from_euler, rotation_from_vector, vector_from_rotation

FRAMES, SIZE, RATE = 16, 256, 20.0


def performance(photograph, model, frames=FRAMES, size=SIZE):
    """Pictures (frames, 3, H, W) and their FaceParameters: the head turns and the jaw opens and
    closes once.
    """
    with torch.no_grad():
        fitted = fit_faces([resized(locate(photograph), size)], model)[0]
        face = resized(locate(photograph), size)
        texture = complete_texture(
            model, unproject(model, fitted.vertices()[0], fitted.camera(), face.image, 256)
        )
        angle = torch.arange(frames) / frames * 2 * math.pi
        moved = fitted.parameters[torch.zeros(frames, dtype=torch.long)]
        moved = moved.with_expression(**dict.fromkeys(moved.expression_names, 0.0))
        expression = moved.expression.clone()
        expression[:, moved.expression_names.index("jawOpen")] = 0.5 * (1 - angle.cos()) / 2
        turn = rotation_from_euler(
            angle.sin() * math.radians(15), torch.zeros(frames), angle.sin() * math.radians(5)
        )
        moved = replace(
            moved,
            expression=expression,
            rotation=vector_from_rotation(turn @ rotation_from_vector(moved.rotation)),
        )
        pictures = render_picture(
            vertices_of(model, moved),
            model.topology,
            camera_of(moved, fitted.frame),
            (face.image.shape[1], face.image.shape[2]),
            texture[None],
            supersample=2,
        )
        return pictures.over(torch.full((3, 1, 1), 0.5)), moved
