"""The part of a face model that some of its vertices make: what asks for these costs no more."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.geometry.models.morphable_model import MorphableModel, SurfacePoints


def part_of(model: MorphableModel, chosen: Tensor) -> MorphableModel:
    """A model of some vertices of another one, with the triangles between them.

    Args:
        model: The whole model.
        chosen: ``(P,)`` numbers of vertices, each once; the landmarks' must be among them.

    Returns:
        A model of P vertices in this order, with the whole one's identities, expressions and
        joints, and without the way of the jaw line's landmarks and the mirror.

    Raises:
        GeometryError: A landmark is elsewhere.
    """
    topology, skeleton = model.topology, model.skeleton
    number = torch.full((model.num_vertices,), -1, device=chosen.device)
    number[chosen] = torch.arange(len(chosen), device=chosen.device)
    landmarks = number[topology.landmarks.vertices]
    if bool((landmarks < 0).any()):
        raise GeometryError("a part of a face model needs its landmarks", where=model.name)
    faces = number[topology.faces]
    whole = (faces >= 0).all(1)
    if skeleton is not None:
        correctives = skeleton.correctives
        skeleton = replace(
            skeleton,
            weights=skeleton.weights[chosen],
            correctives=None if correctives is None else correctives[:, chosen],
        )
    albedo_mean, albedo_basis = model.albedo_mean, model.albedo_basis
    return MorphableModel(
        model.name,
        model.mean[chosen],
        model.identity_basis[:, chosen],
        model.expression_basis[:, chosen],
        model.expression_names,
        replace(
            topology,
            faces=faces[whole],
            faces_uv=topology.faces_uv[whole],
            face_component=topology.face_component[whole],
            landmarks=SurfacePoints(landmarks, topology.landmarks.weights),
            contour=None,
            masks={name: mask[chosen] for name, mask in topology.masks.items()},
            mirror=None,
        ),
        expression_range=model.expression_range,
        skeleton=skeleton,
        albedo_mean=None if albedo_mean is None else albedo_mean[chosen],
        albedo_basis=None if albedo_basis is None else albedo_basis[:, chosen],
    )


def around(model: MorphableModel, chosen: Tensor) -> Tensor:
    """Numbers ``(P,)`` of the vertices of all triangles that touch those of a mask ``(V,)``, and of
    the landmarks: enough to know the normals of the chosen ones.
    """
    faces = model.topology.faces
    needed = chosen.clone()
    needed[faces[chosen[faces].any(1)]] = True
    needed[model.topology.landmarks.vertices] = True
    return needed.nonzero()[:, 0]
