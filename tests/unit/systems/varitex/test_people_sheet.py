"""Random people from several sides."""

from __future__ import annotations

import torch

from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.systems.varitex.generator import VariTexGenerator
from facemorph.systems.varitex.people_sheet import YAWS, sheet_of, turned_people

SIDE = 32


def generator():
    torch.manual_seed(0)
    widths = {"encoder_widths": [4], "texture_widths": [4, 4], "additive_widths": [4, 4, 4, 4]}
    return VariTexGenerator(SIDE, 8, 3, 6, 4, renderer_width=4, renderer_levels=2, **widths).eval()


def cells(sheet):
    rows = sheet.split(SIDE, 1)
    return [row.split(SIDE, 2) for row in rows]


def test_each_person_has_one_texture_in_all_poses(monkeypatch):
    network, given = generator(), []
    original = network.show

    def watched(texture, code, uv, uv_mask):
        given.append((texture, code, uv, uv_mask))
        return original(texture, code, uv, uv_mask)

    monkeypatch.setattr(network, "show", watched)
    sheet = turned_people(network, load_makehuman(), 2, 5, 1.0)
    assert sheet.shape == (3, 2 * SIDE, len(YAWS) * SIDE)
    assert [len(texture) for texture, *_ in given] == [1, 1]
    assert not torch.equal(given[0][1], given[1][1])
    _, _, uv, mask = given[0]
    # u runs to the right: of a head turned to the right, the pixels in the middle show less of it
    middle = uv[:, 0, SIDE // 2, SIDE // 2]
    assert bool(mask[:, 0, SIDE // 2, SIDE // 2].all())
    assert bool((middle.diff() < 0).all())


def test_seeds_and_spread():
    network, model = generator(), load_makehuman()
    first = turned_people(network, model, 2, 5, 1.0)
    assert torch.equal(turned_people(network, model, 1, 5, 1.0), first[:, :SIDE])
    assert not torch.equal(turned_people(network, model, 2, 6, 1.0), first)
    mean = cells(turned_people(network, model, 2, 5, 0.0))
    assert all(torch.equal(a, b) for a, b in zip(*mean, strict=True))


def test_sheets_are_clamped_rows():
    one = torch.full((3, 2, 2), 2.0)
    sheet = sheet_of([[one, -one], [-one, one]])
    assert torch.equal(
        sheet[0],
        torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat_interleave(2, 0).repeat_interleave(2, 1),
    )
