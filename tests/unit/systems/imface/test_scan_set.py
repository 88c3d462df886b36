"""Batches of prepared scans: what is drawn, in which order, and what never."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facemorph.errors import ConfigError, DataError
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.scans.scan_files import TREE, ListedScan, index_bytes, scan_bytes
from facemorph.geometry.scans.scan_sheets import PreparedScan
from facemorph.systems.imface.scan_set import ScanSet

PEOPLE, EXPRESSIONS = ("ann", "bob", "eve"), ("rest", "smile", "anger")


def height(identity, expression):
    """All points of a scan have it as their z."""
    return 0.1 + 0.01 * PEOPLE.index(identity) + 0.1 * EXPRESSIONS.index(expression)


@pytest.fixture
def folder(tmp_path):
    listed = []
    for identity in PEOPLE:
        (tmp_path / identity).mkdir()
        for expression in EXPRESSIONS:
            if (identity, expression) == ("bob", "smile"):
                continue  # a partial list
            z = height(identity, expression)
            up = torch.tensor([0.0, 0.0, 1.0])
            scan = PreparedScan(
                torch.tensor([[0.0, 0.0, z]]).repeat(94, 1),
                up.repeat(94, 1),
                torch.tensor([[0.5, 0.0, z]]).repeat(6, 1),
                torch.full((6,), 0.5),
                up.repeat(6, 1),
                torch.full((68, 3), z),
                Mesh(torch.eye(3), torch.tensor([[0, 1, 2]])),
            )
            path = tmp_path / identity / f"{expression}.npz"
            path.write_bytes(scan_bytes(scan))
            listed.append(
                ListedScan(path, identity, expression, "test" if identity == "eve" else "training")
            )
    (tmp_path / "index.json").write_bytes(index_bytes(tmp_path, listed, "rest"))
    return tmp_path


def test_numbers_and_order(folder):
    data = ScanSet(folder, batch_size=2, points=50)
    assert data.identities == ["ann", "bob"]
    assert data.expressions == ["rest", "anger", "smile"]  # the neutral one first
    assert (data.num_identities, data.num_expressions, data.steps_per_epoch) == (2, 3, 3)
    expected = (height("ann", "rest") + height("bob", "rest")) / 2
    assert torch.allclose(data.mean_landmarks(), torch.full((68, 3), expected))


def test_batches_hold_what_they_say(folder):
    data = ScanSet(folder, batch_size=5, points=2000)
    data.setup()
    batch = data.make_batch(torch.Generator().manual_seed(0), 0)
    z = torch.tensor(
        [
            height(data.identities[int(i)], data.expressions[int(e)])
            for i, e in zip(batch["identity"], batch["expression"], strict=True)
        ]
    )
    assert len(set(z.tolist())) == 5  # every scan once in a pass
    assert torch.allclose(batch["points"][..., 2], z[:, None].expand(-1, 2000), atol=2e-5)
    assert torch.allclose(batch["landmarks"], z[:, None, None].expand(-1, 68, 3))
    rest = torch.tensor([height(data.identities[int(i)], "rest") for i in batch["identity"]])
    assert torch.allclose(batch["neutral_landmarks"], rest[:, None, None].expand(-1, 68, 3))
    assert torch.equal(batch["neutral"], batch["expression"] == 0)
    off = batch["points"][..., 0] > 0.25
    assert torch.allclose(batch["distance"], torch.where(off, 0.5, 0.0), atol=4e-5)
    # as the files have them
    assert abs(float(off.float().mean()) - 0.06) < 4 * (0.06 * 0.94 / 10_000) ** 0.5
    again = data.make_batch(torch.Generator().manual_seed(0), 0)
    assert all(torch.equal(batch[name], again[name]) for name in batch)


def test_every_pass_takes_each_scan_once(folder):
    data = ScanSet(folder, batch_size=2, points=1)
    data.setup()
    drawn = []
    for step in range(5):  # two passes over five scans
        batch = data.make_batch(torch.Generator().manual_seed(step), step)
        drawn += zip(batch["identity"].tolist(), batch["expression"].tolist(), strict=True)
    assert len(set(drawn[:5])) == 5
    assert sorted(drawn[:5]) == sorted(drawn[5:])


def test_what_is_held_out_is_never_read(folder):
    for path in ((folder / "eve/rest.npz"), (folder / "ann/smile.npz")):
        path.write_bytes(b"broken")
    data = ScanSet(folder, held_expressions=["smile"])
    data.setup()
    assert data.expressions == ["rest", "anger"]
    assert len(data.scans) == 4
    only = ScanSet(folder, identities=["ann"], expressions=["rest"])
    assert (only.num_identities, only.num_expressions) == (1, 1)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"batch_size": 0}, ConfigError),
        ({"points": 0}, ConfigError),
        ({"identities": ["zoe"]}, ConfigError),
        ({"expressions": ["frown"]}, ConfigError),
        ({"held_identities": ["ann", "bob"]}, DataError),
        ({"held_expressions": ["rest"]}, DataError),
    ],
)
def test_refused(folder, options, error):
    with pytest.raises(error):
        ScanSet(folder, **options)


def test_missing_landmarks_are_refused(folder):
    with np.load(folder / "ann/rest.npz") as file:
        arrays = dict(file)
    arrays["landmarks"][3] = np.nan
    np.savez(folder / "ann/rest.npz", **arrays)
    with pytest.raises(DataError, match="all its landmarks"):
        ScanSet(folder).setup()


def test_facescape_trees_stay_on_disk(tmp_path):
    for identity in ("1", "2"):
        (tmp_path / identity).mkdir()
        for part, shape in zip(TREE, ((9, 3), (9, 3), (3, 3), (3,), (3, 3)), strict=True):
            np.save(tmp_path / identity / f"1_{part}.npy", np.full(shape, float(identity)))
        np.savetxt(tmp_path / identity / "1.bnd", np.full((68, 3), float(identity)))
    data = ScanSet(tmp_path, batch_size=2, points=8)
    data.setup()
    batch = data.make_batch(torch.Generator(), 0)
    assert isinstance(data.scans[0].arrays["surface"], np.memmap)
    assert torch.equal(batch["points"], (batch["identity"] + 1.0)[:, None, None].expand(2, 8, 3))
