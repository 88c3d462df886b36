"""Batches of look-alikes of the authors' files: their entries, and how they are moved."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.varitex_files import random_picture, write_varitex_files

from facemorph.errors import ConfigError
from facemorph.geometry.rendering.plane_moves import MoveRanges
from facemorph.systems.varitex.uv_files import PERSON, REGIONS, UVFiles

SIZE = 24


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_varitex_files(tmp_path_factory.mktemp("uv_files"), SIZE)


def ready(files, **options):
    data = UVFiles(files[0], files[1], **{"size": SIZE, "batch_size": 3, **options})
    data.setup()
    return data


def test_the_entries_of_the_authors(files):
    data = ready(files)
    batch = data.batch_of([3, 1], [3, 1])
    folder, _, uv = files
    stored = {name: np.load(folder / f"{name}.npy") for name in ("sp", "ep", "R", "t", "s")}
    for place, row in enumerate((3, 1)):
        picture = torch.from_numpy(random_picture(row, SIZE)).permute(2, 0, 1) / 255
        assert torch.equal(batch["source"][place], picture)
        assert torch.equal(batch["picture"][place], picture)
        expected = torch.from_numpy((uv[row] + 1) / 2).permute(2, 0, 1)
        torch.testing.assert_close(batch["uv"][place], expected)
        assert torch.equal(batch["uv_mask"][place, 0], torch.from_numpy((uv[row] != -1).any(-1)))
        numbers = np.concatenate([stored[name][row].ravel() for name in stored])
        assert torch.equal(batch["parameters"][place], torch.from_numpy(numbers))
    assert batch["parameters"].shape == (2, 199 + 100 + 9 + 3 + 1)
    assert [data.names[int(row)] for row in batch["index"]] == ["00003.png", "00001.png"]


def test_masks_are_mesh_and_regions_without_holes(files):
    labels = np.load(files[0] / "segmentation.npy")[0, :3]  # no mesh there
    for regions, numbers in ((PERSON, range(1, 16)), (["hair", "hat"], (13, 14)), ([], ())):
        mask = ready(files, regions=regions).batch_of([0], [0])["mask"][0, 0]
        assert bool(mask[4:].all())
        wanted = torch.from_numpy(np.isin(labels, list(numbers)))
        assert bool(mask[:3][wanted].all())
    assert not bool(mask[:3].any())
    assert len(REGIONS) == 19


def test_a_ring_is_filled(files):
    data = ready(files, regions=["hair"])
    stored = data.files.arrays["segmentation"][2].copy()
    stored[:] = 0
    stored[0:4, 2:7] = REGIONS.index("hair")
    stored[1:3, 3:6] = 0
    data.files.arrays = {**data.files.arrays, "segmentation": {2: stored}}
    mask = data.batch_of([2], [2])["mask"][0, 0]
    assert bool(mask[:4, 2:7].all())
    assert int(mask[:4].sum()) == 20


def test_moved_entries_belong_together(files):
    """What is said of a pixel moves with it; nothing is mixed or rounded."""
    data = ready(files, moves=MoveRanges())
    batch = data.make_batch(torch.Generator().manual_seed(1), 0)
    assert sorted(batch["index"].tolist()) == [0, 1, 2]
    clean = data.batch_of(batch["index"].tolist(), batch["index"].tolist())
    assert torch.equal(batch["source"], clean["source"])
    assert torch.equal(batch["source_mask"], clean["mask"])
    assert not torch.equal(batch["picture"], clean["picture"])
    for moved, mask, before in zip(batch["uv"], batch["uv_mask"], clean["uv"], strict=True):
        known = {tuple(one) for one in before.flatten(1).T.tolist()}
        assert {tuple(one) for one in moved.flatten(1).T.tolist()} <= known | {(0.0, 0.0)}
        assert bool((moved[:, ~mask[0]] == 0).all())
        assert 0 < float(mask.float().mean()) < 1


def test_mirrored_batches_are_mirrored_throughout(files):
    data = ready(files, moves=MoveRanges(0, 0, 1))
    batch = data.make_batch(torch.Generator().manual_seed(2), 0)
    rows = batch["index"].tolist()
    clean = data.batch_of(rows, rows)
    turned = [
        torch.allclose(a, b.flip(-1), atol=1e-5)
        for a, b in zip(batch["picture"], clean["picture"], strict=True)
    ]
    assert 0 < sum(turned) < 3
    for name in ("picture", "mask", "uv", "uv_mask"):
        for place, one in enumerate(turned):
            expected = clean[name][place].flip(-1) if one else clean[name][place]
            torch.testing.assert_close(batch[name][place], expected, atol=1e-5, rtol=0)


def test_every_round_has_every_picture_once(files):
    data = ready(files, batch_size=2)
    batches = [data.make_batch(torch.Generator().manual_seed(0), step) for step in range(6)]
    rows = [row for batch in batches for row in batch["index"].tolist()]
    assert all(sorted(rows[at : at + 3]) == [0, 1, 2] for at in range(0, 12, 3))
    assert len({tuple(rows[at : at + 3]) for at in range(0, 12, 3)}) > 1
    again = data.make_batch(torch.Generator().manual_seed(0), 1)
    assert all(torch.equal(again[name], value) for name, value in batches[1].items())


def test_splits_and_sizes(files):
    held = list(ready(files).val_dataloader())
    assert [batch["index"].tolist() for batch in held] == [[3, 4]]
    assert ready(files, split="all").val_dataloader() == []
    assert ready(files, split="all").rows("training") == [0, 1, 2, 3, 4]
    small = ready(files, size=12).batch_of([0], [0])
    assert small["picture"].shape == (1, 3, 12, 12)
    assert small["uv_mask"].dtype == torch.bool
    whole = {tuple(one) for one in ready(files).batch_of([0], [0])["uv"].flatten(2)[0].T.tolist()}
    assert {tuple(one) for one in small["uv"].flatten(2)[0].T.tolist()} <= whole


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"regions": ["beard"]}, "data.regions"),
        ({"split": "val"}, "data.split"),
        ({"size": 4}, "data.size"),
        ({"batch_size": 0}, "data.batch_size"),
    ],
)
def test_what_cannot_be(files, options, where):
    with pytest.raises(ConfigError, match=where.replace(".", r"\.")):
        ready(files, **options)


def test_data_that_are_not_set_up(files):
    with pytest.raises(ConfigError, match="set up"):
        UVFiles(files[0], files[1]).views([0])
