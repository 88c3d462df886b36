"""Views of a photograph that the portrait warp has moved: turned, with other expressions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from facemorph.apps.fitting.face_fitting import FittedFaces
from facemorph.apps.fitting.face_texture import texture_of
from facemorph.apps.sets.views.varied_pictures import turned_within
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.portrait_warp import HeadView, PortraitWarp
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.synthetic.random_faces import indices_of, random_expression
from facemorph.ops.frames import Frame

TURNS = (11.0, 6.0, 4.0)  # degrees, standard deviation to the side, up and down, and tilted
WIDEST = 30.0  # degrees that a head turns at most
MOST_YAW = 35.0  # degrees that it is turned in the end
STILL = 0.15  # share of the views that are not turned
DRAWN = 0.6  # share with a random expression; the others have that of another picture
BLINK, LIDS = 1 / 3, (0.6, 1.0)  # share with shut eyes, and how far
OPEN, JAW = 1 / 4, (0.2, 0.6)  # share with the jaw opened further, and how far
SHIFT, ZOOM = 0.012, 0.02  # standard deviations: share of the picture, logarithm of the size


def random_of(seed: int, name: str, view: int) -> np.random.Generator:
    """The random numbers of one view; they follow from the seed and the picture's name."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big"), view])


def draw_view(
    model: MorphableModel,
    own: FaceParameters,
    others: Sequence[Tensor],
    side: int,
    random: np.random.Generator,
) -> FaceParameters:
    """Parameters of a view: another pose and expression, the same identity.

    Args:
        model: The model.
        own: Of the photograph.
        others: Expressions ``(1, E)`` of other pictures of the person.
        side: Of the picture in pixels.
        random: What decides.
    """
    angles = random.normal(0, TURNS).clip(-WIDEST, WIDEST) * (random.random() >= STILL)
    return replace(
        own,
        expression=_expression(model, others, random),
        rotation=turned_within(own.rotation, np.radians(angles), MOST_YAW),
        origin=own.origin + torch.tensor(random.normal(0, SHIFT * side, (1, 2))).float(),
        log_size=own.log_size + float(random.normal(0, ZOOM)),
    )


def _expression(
    model: MorphableModel, others: Sequence[Tensor], random: np.random.Generator
) -> Tensor:
    """An expression ``(1, E)``; blinks and open jaws are added, which photographs lack."""
    drawn, chosen = random.random() < DRAWN, random.random()
    expression = random_expression(model, random)[None]
    if others and not drawn:
        expression = others[int(chosen * len(others))].clone()
    blinks, opens = random.random() < BLINK, random.random() < OPEN
    lids, jaw = random.uniform(*LIDS), random.uniform(*JAW)
    if blinks:
        expression[:, indices_of(model, "eyeBlink")] = lids
        expression[:, indices_of(model, "eyeWide")] = 0
    if opens:
        expression[:, indices_of(model, "jawOpen")] += jaw
        expression[:, indices_of(model, "mouthClose")] = 0
    return expression.clamp(*model.expression_range)


def moved_pictures(
    model: MorphableModel,
    image: Tensor,
    own: FaceParameters,
    views: Sequence[FaceParameters],
    texture: int,
) -> Iterator[Tensor]:
    """The photograph moved to each view.

    Args:
        model: The model.
        image: ``(3, S, S)`` the photograph.
        own: The face in it.
        views: The faces wanted, in its pixels.
        texture: Side of the texture map in texels.

    Yields:
        ``(3, S, S)``.
    """
    frame = Frame.of(image)
    fitted = FittedFaces.known(model, own, frame)
    head = HeadView(fitted.vertices(), fitted.camera())
    warp = PortraitWarp(model, image, head, texture_of([fitted], [image], texture))
    for view in views:
        yield warp(HeadView(vertices_of(model, view), camera_of(view, frame)))
