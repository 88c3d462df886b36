"""The open model of textures: paint stays where it is on the skin, and the page's code runs."""

from __future__ import annotations

import re

import pytest
import torch
from helpers import ROOT

from facemorph.apps.generation.choices import Pose
from facemorph.apps.generation.generated_faces import FaceGenerator, drawn_faces
from facemorph.apps.generation.pose_sweeps import swept

YAWS = (-30.0, 0.0, 30.0)
# Places u, v on the cheeks, the forehead and the chin.
PLACES = ((0.34, 0.46), (0.66, 0.46), (0.5, 0.25), (0.5, 0.68))
GREEN = torch.tensor([0.1, 0.9, 0.2])


@pytest.fixture(scope="module")
def generator():
    return FaceGenerator.load("@open:varitex")


@pytest.mark.parametrize("place", PLACES)
def test_paint_sits_at_its_place_in_every_pose(generator, place):
    """Its middle is where the mesh has the texel, to 2 pixels of 256."""
    faces = drawn_faces(generator, 1, 5, 1.0, "all")
    poses = [Pose(f"{yaw:g}", yaw, 0.0) for yaw in YAWS]
    turned = swept(generator, faces, poses, []).faces
    network = generator.varitex.generator
    with torch.no_grad():
        conditions = generator.render(turned.parameters)
        plain = network.texture(turned.codes)
        side = plain.shape[-1]
        column, row = (round(one * side - 0.5) for one in place)
        painted = plain.clone()
        painted[:, :3, row - 2 : row + 3, column - 2 : column + 3] = GREEN[:, None, None]
        before, after = (
            network.show(one, turned.codes, conditions).clamp(0, 1) for one in (plain, painted)
        )
    change = (after - before).abs().sum(1)
    uv = conditions[:, 7:9] / conditions[:, 6:7].clamp(min=1e-3)
    centre = torch.tensor([(column + 0.5) / side, (row + 0.5) / side])
    apart = (uv - centre[:, None, None]).norm(dim=1) + (conditions[:, 6] < 0.9) * 9
    grid, judged = torch.arange(generator.size) + 0.5, 0
    for shown, distance in zip(change, apart, strict=True):
        near = distance < 2.5 / side
        if int(near.sum()) < 4:
            continue  # turned away
        judged += 1
        expected = torch.nonzero(near).float().mean(0) + 0.5
        strong = shown * (shown > 0.3 * shown.max())
        found = torch.stack([(strong.sum(1) * grid).sum(), (strong.sum(0) * grid).sum()])
        found = found / strong.sum()
        assert float((found - expected).norm()) * 256 / generator.size < 2.0
        assert float(shown.max()) > 0.3
    assert judged >= 2


def test_the_code_of_the_page(generator):
    page = (ROOT / "docs" / "varitex.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, torch.Tensor] = {}
    exec(code, names)
    change = (names["painted"] - names["before"])[0].abs().sum(0)
    assert names["painted"].shape == (1, 3, 128, 128)
    assert float(change.max()) > 0.3
    assert float((change > 0.1).float().mean()) < 0.05
