"""Textures of fitted faces: from one photograph of a person, or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.apps.fitting.face_fitting import FittedFaces, fit_faces
from facemorph.apps.fitting.located_face import locate
from facemorph.errors import DataError
from facemorph.faces.files.image_io import load_image
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.textures.texture_completion import complete_texture
from facemorph.geometry.textures.unprojection import blend_views, unproject

MARGIN = 0.12  # around the head, of its size
LEAST = 768  # pixels of the head below which its photograph is enlarged


def cut_around(image: Tensor, camera: Camera, vertices: Tensor, side: int) -> tuple[Tensor, Camera]:
    """The part of a photograph with the head, its longer side ``side`` pixels, and the camera of
    that part.
    """
    pixels = camera.project(vertices).pixels[0]
    margin = MARGIN * (pixels.amax(0) - pixels.amin(0)).amax()
    height, width = image.shape[1:]
    limit = pixels.new_tensor([width, height])
    low = torch.minimum((pixels.amin(0) - margin).floor().clamp(min=0), limit - 8)
    high = torch.maximum(torch.minimum((pixels.amax(0) + margin).ceil(), limit), low + 8)
    (left, top), (right, bottom) = low.int().tolist(), high.int().tolist()
    part = image[:, top:bottom, left:right]
    scale = side / max(part.shape[1:])
    size = [max(1, round(length * scale)) for length in part.shape[1:]]
    shifted = replace(
        camera,
        origin=camera.origin - low,
        centre=None if camera.centre is None else camera.centre - low,
    )
    return functional.interpolate(part[None], size, mode="bilinear", antialias=True)[
        0
    ], shifted.scaled(scale)


def texture_of(fits: Sequence[FittedFaces], images: Sequence[Tensor], size: int) -> Tensor:
    """The texture ``(3, S, S)`` of a person.

    Small faces are enlarged first: what is not believed at lids, lips and outline is at least a
    pixel wide, and would take all of an eye.

    Args:
        fits: One face each.
        images: Their photographs ``(3, H, W)``.
        size: Texels along each side.
    """
    model, views = fits[0].model, []
    for fitted, image in zip(fits, images, strict=True):
        vertices, camera = fitted.vertices(), fitted.camera()
        pixels = camera.project(vertices).pixels[0]
        small = float((pixels.amax(0) - pixels.amin(0)).amax()) < LEAST
        part, near = cut_around(image, camera, vertices, LEAST) if small else (image, camera)
        views.append(unproject(model, vertices[0], near, part, size))
    return complete_texture(model, views[0] if len(views) == 1 else blend_views(views))


def read_skin(path: Path, model: MorphableModel, size: int) -> Tensor:
    """The texture map ``(3, size, size)`` of a user's file: a map if its name holds ``texture``,
    else a photograph, whose light is taken out.

    Raises:
        FacemorphError: The file shows no face, or the map is not square.
    """
    if "texture" not in path.stem:
        # Not at the top: a fit needs no splines of SciPy.
        from facemorph.geometry.textures.delighting import bare_texture

        face = locate(path)
        fit = fit_faces([face], model)[0]
        vertices, camera = fit.vertices()[0], fit.camera()
        texture = unproject(model, vertices, camera, face.image, size)
        return complete_texture(model, bare_texture(model, vertices, camera, texture)[0])
    image = load_image(path)
    if image.shape[1] != image.shape[2]:
        raise DataError(
            "this texture map is not square",
            where=path,
            found=f"{image.shape[2]} x {image.shape[1]}",
        )
    return torch.nn.functional.interpolate(
        image[None], (size, size), mode="bilinear", antialias=True
    )[0].clamp(0, 1)
