"""A small set of pairs without a photograph: heads coloured by the places on their skin."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import torch
from PIL import Image

from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.head_flow import HeadMaps
from facemorph.geometry.portraits.portrait_motion import HeadView, PortraitMotion
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame


def write_pairs(folder, side):
    """Three pictures of one person and two of another, coloured by the places on their skin."""
    model = load_makehuman()
    neutral = FaceParameters.neutral(model, 5)
    turns = torch.tensor([0.0, 0.3, -0.3, 0.0, 0.2])
    identity = neutral.identity.clone()
    identity[3:, 0] = 1.5
    rotation = torch.stack([torch.zeros(5), turns, torch.zeros(5)], 1)
    parameters = replace(
        neutral,
        identity=identity,
        rotation=rotation,
        origin=torch.full((5, 2), side / 2),
        log_size=torch.full((5,), math.log(side / 330)),
    )
    rows = [parameters[row] for row in range(len(parameters))]
    draw, frame = HeadMaps(model, side), Frame(side, side)
    views = [HeadView(vertices_of(model, one), camera_of(one, frame)) for one in rows]
    looks = [PortraitMotion(model, view, (side, side)).view for view in views]
    drawn = [draw(*one, None)[0] for one in zip(views, looks, strict=True)]
    maps = torch.cat(drawn)[:, 3:6] * 0.6 + 0.5
    (folder / "images").mkdir()
    names = [f"face_{row}" for row in range(5)]
    for name, picture in zip(names, maps, strict=True):
        data = (picture.clamp(0, 1).permute(1, 2, 0) * 255).round().byte().numpy()
        Image.fromarray(data).save(folder / f"images/{name}.png")
    parameters.save(folder / "parameters.npz")
    index = {
        "names": names,
        "people": ["a", "a", "a", "b", "b"],
        "split": ["training"] * 3 + ["validation"] * 2,
        "files": [f"images/{name}.png" for name in names],
    }
    (folder / "index.json").write_text(json.dumps(index))
    pairs = {"source": [0, 1, 0, 2, 3, 4], "target": [1, 0, 2, 0, 4, 3]}
    pairs["kind"] = ["genuine", "genuine", "reversed", "rendered", "genuine", "genuine"]
    (folder / "pairs.json").write_text(json.dumps({**pairs, "size": side}))
