"""Pairs with vertices: projected as pictures show them, mirrored to the pixel, streams of clips."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from helpers.clips import write_clips, write_vertices
from helpers.pairs import write_pairs

from facemorph.errors import ConfigError, DataError
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.rasterizer import rasterize_torch
from facemorph.systems.gdpw.guidance import MeshGuidance, projected_vertices
from facemorph.systems.gdpw.vertex_pairs import ClipPairs, PairedVertices, augmented
from facemorph.systems.gdpw.warping import warp

SIZE = 48


@pytest.fixture(scope="module")
def pairs_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vertex_pairs")
    write_pairs(folder, SIZE)
    return folder


@pytest.fixture(scope="module")
def data(pairs_folder):
    found = PairedVertices(pairs_folder, SIZE, batch_size=2, colours=0.0)
    found.setup()
    return found


def guide(data):
    return MeshGuidance(data.faces.topology.faces, rasterize_torch)


def test_projection_by_hand():
    camera = Camera(torch.eye(3)[None], torch.tensor([[6.0, 5.0]]), torch.tensor([2.0]).log())
    points = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]])
    found = projected_vertices(points, camera, (10, 16))
    # pixels (6, 5) and (8, 1) of 16 x 10; 3 mm nearer are 6 pixels, of halves of 8
    expected = torch.tensor([[[-0.25, 0.0, 0.0], [0.0, -0.8, -0.75]]])
    torch.testing.assert_close(found, expected)


def test_flows_of_the_vertices_warp_the_source_onto_the_target(data):
    """The pictures show the places on the skin: seen on both, they must agree."""
    batch = data.batch_of(data.pairs["training"])
    vertices = batch["source_vertices"], batch["target_vertices"]
    flow = guide(data)(*vertices, (SIZE, SIZE)).flow
    warped = warp(batch["source"], flow)
    seen = (batch["target"] > 0).all(1, keepdim=True) & (warped > 0.1).all(1, keepdim=True)
    mesh = (flow != 0).any(1, keepdim=True)
    before = (batch["source"] - batch["target"]).abs()[(seen & mesh).expand(-1, 3, -1, -1)]
    after = (warped - batch["target"]).abs()[(seen & mesh).expand(-1, 3, -1, -1)]
    assert float(after.median()) < 0.25 * float(before.median())
    assert float(after.median()) < 0.01


def test_mirrored_pictures_and_renders_agree_to_the_pixel(data):
    """x of a mirrored vertex is -x, and left and right vertices change places."""
    pair = data.batch_of(data.pairs["training"])
    sides = data.faces.topology.mirror
    turned = augmented(pair, np.random.default_rng(0), sides, 0.0)
    which = [
        torch.equal(a, b.flip(-1)) for a, b in zip(turned["source"], pair["source"], strict=True)
    ]
    assert 0 < sum(which) < 4
    codes = torch.rand(len(sides), 3)
    renders = []
    for batch, numbers in ((pair, codes), (turned, codes)):
        vertices = batch["source_vertices"], batch["target_vertices"]
        renders.append(guide(data)(*vertices, (SIZE, SIZE), numbers))
    plain, mirrored = renders
    swapped = guide(data)(
        pair["source_vertices"], pair["target_vertices"], (SIZE, SIZE), codes[sides]
    )
    for row, was_turned in enumerate(which):
        if not was_turned:
            assert torch.equal(plain.flow[row], mirrored.flow[row])
            continue
        assert torch.equal(turned["target"][row], pair["target"][row].flip(-1))
        sign = torch.tensor([-1.0, 1.0])[:, None, None]
        expected = plain.flow[row].flip(-1) * sign
        torch.testing.assert_close(mirrored.flow[row], expected, atol=1e-6, rtol=0)
        for name in ("source_codes", "target_codes"):
            found, wanted = (getattr(one, name)[row] for one in (mirrored, swapped))
            # Of two triangles that meet in a pixel's centre, either may be drawn.
            same = (found - wanted.flip(-1)).abs().amax(0) < 1e-3
            assert float(same.float().mean()) > 0.99


def test_both_pictures_of_a_pair_change_their_colours_alike(data):
    pair = data.batch_of(data.pairs["training"][:1])
    same = {**pair, "target": pair["source"].clone()}
    found = augmented(same, np.random.default_rng(3), None, 0.1)
    assert torch.equal(found["source"], found["target"])
    assert not torch.equal(found["source"], pair["source"])
    assert torch.equal(found["target_vertices"], pair["target_vertices"])


def test_batches_follow_from_their_number(data):
    first, again, other = (
        data.make_batch(torch.Generator().manual_seed(seed), 0) for seed in (1, 1, 2)
    )
    for name, value in first.items():
        assert torch.equal(again[name], value), name
    assert not torch.equal(first["source"], other["source"])
    assert len(data.shown(8)["source"]) == 2  # the held-out pairs


def test_options_out_of_range(pairs_folder, tmp_path):
    for name, value in (("colours", 0.6), ("size", 4), ("batch_size", 0)):
        with pytest.raises(ConfigError, match=f"data.{name}"):
            PairedVertices(pairs_folder, **{name: value})
        with pytest.raises(ConfigError, match=f"data.{name}"):
            ClipPairs(tmp_path, "makehuman", **{name: value})


# ------------------------------------------------------------
# the authors' clips
@pytest.fixture
def clips(tmp_path):
    write_clips(tmp_path, 40)
    return tmp_path


def clip_pairs(folder, **options):
    given = {"size": 40, "batch_size": 2, "mirror": False, "colours": 0.0, **options}
    data = ClipPairs(folder, "makehuman", **given)
    data.setup()
    return data


def who(batch):
    return (batch["source"][:, 0].mean((1, 2)) * 255 / 80).round().long().tolist()


def when(batch, key):
    return (batch[key][:, 1].mean((1, 2)) * 255 / 60).round().long().tolist()


def test_every_round_of_the_stream_has_each_person_once_in_a_new_order(clips):
    data = clip_pairs(clips)
    batches = [data.make_batch(torch.Generator().manual_seed(step), step) for step in range(30)]
    people = [person for batch in batches for person in who(batch)]
    rounds = [tuple(people[start : start + 3]) for start in range(0, 60, 3)]
    assert all(sorted(one) == [0, 1, 2] for one in rounds)
    assert len(set(rounds)) == 6
    seen = Counter()
    for batch in batches:
        assert who(batch) == (batch["target"][:, 0].mean((1, 2)) * 255 / 80).round().tolist()
        times = list(zip(when(batch, "source"), when(batch, "target"), strict=True))
        seen.update(times)
        for row, (first, second) in enumerate(times):
            assert first < second  # the earlier one is the source
            shift = batch["target_vertices"][row] - batch["source_vertices"][row]
            torch.testing.assert_close(shift, torch.full_like(shift, 0.1 * (second - first)))
    assert set(seen) == {(0, 1), (0, 2), (1, 2)}


def test_pictures_of_another_size_are_scaled_and_workers_change_nothing(clips):
    alone = list(clip_pairs(clips, size=24, steps_per_epoch=3).train_dataloader())
    many = list(clip_pairs(clips, size=24, steps_per_epoch=3, num_workers=1).train_dataloader())
    assert alone[0]["source"].shape == (2, 3, 24, 24)
    for one, other in zip(alone, many, strict=True):
        for name, value in one.items():
            assert torch.equal(other[name], value), name


def test_vertices_of_another_model(clips):
    for path in clips.rglob("*.lz4"):
        write_vertices(path, np.zeros((7, 3), "<f4"))
    with pytest.raises(DataError, match=r"data\.model"):
        clip_pairs(clips).shown(1)
