"""Batches of one's own sets: places rendered where the moved pictures show them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from helpers.pairs import write_pairs
from PIL import Image

from facemorph.data.face_set import FaceSet
from facemorph.errors import ConfigError, DataError, ImageError
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.plane_moves import MoveRanges
from facemorph.geometry.rendering.renders import MeshView
from facemorph.ops.frames import Frame
from facemorph.systems.varitex.uv_faces import UVFaces

SIDE = 48


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uv_faces")
    write_pairs(folder, SIDE)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "set")


def ready(folder, **options):
    data = UVFaces(folder, **{"size": SIDE, "batch_size": 3, **options})
    data.setup()
    return data


def test_places_are_those_of_the_parameters(folder):
    data = ready(folder)
    batch = data.batch_of([1, 4], [1, 4])
    stored = FaceSet(folder, SIDE, mirror=False)
    stored.setup()
    model, frame = load_makehuman(), Frame(SIDE, SIDE)
    for place, row in enumerate((1, 4)):
        one = stored.parameters[row]
        view = MeshView.of(
            vertices_of(model, one),
            model.topology.faces,
            camera_of(one, frame),
            (SIDE, SIDE),
            cull_back_faces=True,
        )
        assert torch.equal(batch["uv"][place], view.uv(model.topology)[0])
        assert torch.equal(batch["uv_mask"][place], view.mask[0])
        assert torch.equal(batch["parameters"][place], one.vector()[0])
    assert data.names[4] == "face_4"
    # These pictures are drawn where the mesh is.
    drawn = ((batch["picture"] - 0.5).abs() > 0.01).any(1, keepdim=True)
    assert float((drawn ^ batch["mask"]).float().mean()) < 0.02


def test_moved_places_fit_the_moved_pictures(folder):
    """The pictures are coloured by the place on the skin: the same place has the same colour."""
    data = ready(folder, moves=MoveRanges(mirror=True))
    batch = data.make_batch(torch.Generator().manual_seed(3), 0)
    rows = batch["index"].tolist()
    clean = data.batch_of(rows, rows)
    assert torch.equal(batch["source"], clean["picture"])
    for place in range(len(rows)):
        uv, mask, picture = (batch[name][place] for name in ("uv", "uv_mask", "picture"))
        before, known = clean["uv"][place], clean["uv_mask"][place, 0]
        distances = torch.cdist(uv[:, mask[0]].T, before[:, known].T)
        nearest, where = distances.min(1)
        near = nearest < 0.01
        assert float(near.float().mean()) > 0.3
        expected = clean["picture"][place][:, known][:, where[near]]
        error = (picture[:, mask[0]][:, near] - expected).abs()
        assert float(error.median()) < 0.02
        assert bool((uv[:, ~mask[0]] == 0).all())


def test_nothing_is_said_beyond_the_edge_of_a_moved_picture(folder):
    data = ready(folder, moves=MoveRanges(0, 0.5, 1, mirror=False))
    for seed in range(3):
        batch = data.make_batch(torch.Generator().manual_seed(seed), 0)
        beyond = (batch["picture"] == 0).all(1, keepdim=True)
        rows = beyond.all(3)[:, 0]  # whole rows that came in from outside
        assert not bool(batch["mask"][:, 0][rows].any())
        assert not bool(batch["uv_mask"][:, 0][rows].any())


def test_masks_of_the_set_are_added_and_moved(folder):
    plain = ready(folder).batch_of([0], [0])["mask"]
    (folder / "masks").mkdir()
    hair = np.zeros((SIDE, SIDE), np.uint8)
    hair[:6, :10] = 255
    for row in range(5):
        Image.fromarray(hair).save(folder / f"masks/face_{row}.png")
    batch = ready(folder).batch_of([0], [0])
    assert torch.equal(batch["mask"], plain | (torch.from_numpy(hair)[None, None] > 0))
    assert torch.equal(batch["source_mask"], batch["mask"])
    data = ready(folder, moves=MoveRanges(0, 0, 1))
    moved = data.make_batch(torch.Generator().manual_seed(2), 0)["mask"]
    corners = {bool(one[0, 0, 0]) for one in moved}
    assert corners == {True, False}
    assert all(bool(one[0, 0, 0]) != bool(one[0, 0, -1]) for one in moved)
    (folder / "masks/face_0.png").unlink()
    with pytest.raises(ImageError, match="face_0"):
        ready(folder).batch_of([0], [0])


def test_cross_views_are_other_pictures_of_the_same_person(folder):
    data = ready(folder, cross_views=1.0)
    for seed in range(8):
        batch = data.make_batch(torch.Generator().manual_seed(seed), 0)
        for place, row in enumerate(batch["index"].tolist()):
            others = [one for one in (0, 1, 2) if one != row]
            found = [
                torch.equal(batch["source"][place], data.views([one]).pictures[0]) for one in others
            ]
            assert sum(found) == 1
    held = next(iter(data.val_dataloader()))
    assert held["index"].tolist() == [3, 4]
    assert torch.equal(held["source"], held["picture"].flip(0))
    assert torch.equal(held["source_mask"], held["mask"].flip(0))
    alone = ready(folder).val_dataloader()
    assert torch.equal(next(iter(alone))["source"], held["picture"])


def test_a_share_of_cross_views(folder):
    data, random = ready(folder, cross_views=0.25), np.random.default_rng(0)
    rows = [0, 1, 2] * 200
    others = sum(a != b for a, b in zip(data.sources_of(rows, random), rows, strict=True))
    assert 0.2 < others / len(rows) < 0.3


def test_people_with_one_picture_are_their_own_source(folder):
    index = json.loads((folder / "index.json").read_text())
    index["people"] = ["a", "b", "c", "d", "e"]
    (folder / "index.json").write_text(json.dumps(index))
    data = ready(folder, cross_views=1.0)
    assert data.sources_of([0, 1, 2], np.random.default_rng(0)) == [0, 1, 2]
    assert data.sources_of([3], None) == [3]


def test_what_cannot_be(folder):
    with pytest.raises(ConfigError, match="cross_views"):
        UVFaces(folder, cross_views=-0.1)
    with pytest.raises(ConfigError, match="set up"):
        UVFaces(folder).rows("training")
    with pytest.raises(DataError):
        ready(folder / "none")
