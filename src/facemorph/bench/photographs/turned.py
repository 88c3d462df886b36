"""The picture of ``docs/morphing.md`` of a turned head that is morphed with one from the front."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from facemorph.apps.fitting.face_fitting import fit_faces
from facemorph.apps.fitting.located_face import locate
from facemorph.apps.heads.driven_portrait import portrait_of, portrait_warp, resized
from facemorph.apps.morphing.morph import morph
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.apps.sets.demo_photographs import PHOTOGRAPHS, sample_folder
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.portraits.portrait_motion import HeadView
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.rotations import (
    rotation_from_euler,
    rotation_from_vector,
    vector_from_rotation,
)

YAW, SIZE, TEXELS = 32.0, 512, 1024


@torch.no_grad()
def turned_photograph(photograph: Path, yaw: float) -> Tensor:
    """A photograph ``(3, H, W)`` whose head is turned by some degrees, as ``animate`` does it."""
    face = resized(portrait_of(locate(photograph)), SIZE)
    (fitted,) = fit_faces([face], load_makehuman())
    turn = rotation_from_euler(*torch.deg2rad(torch.tensor([[yaw], [0.0], [0.0]])))
    head = fitted.parameters
    moved = replace(head, rotation=vector_from_rotation(turn @ rotation_from_vector(head.rotation)))
    view = HeadView(vertices_of(fitted.model, moved), camera_of(moved, face.frame))
    return portrait_warp(fitted, face.image, TEXELS)(view)


def frontal_sheet(output: str | Path) -> Path:
    """Both photographs, and their morph half-way without and with ``--frontal``.

    ``python -c "from facemorph.bench.photographs.turned import *;
    frontal_sheet('docs/images/frontal.jpg')"``
    """
    first, second = (sample_folder() / name for name in PHOTOGRAPHS[:2])
    with tempfile.TemporaryDirectory() as folder:
        turned = save_image(turned_photograph(first, YAW), Path(folder) / "turned.png")
        results = [
            morph(turned, second, size=SIZE, time=0.5, frontal=frontal, report=False)
            for frontal in (False, True)
        ]
    row = [
        (f"turned by {YAW:.0f} degrees", results[0].frame(0.0)),
        ("another", results[0].system.render(1.0, outside="target")),
        ("half-way", results[0].frame(0.5)),
        ("half-way with --frontal", results[1].frame(0.5)),
    ]
    return save_image(contact_sheet([row]), Path(output), synthetic=True, quality=88)
