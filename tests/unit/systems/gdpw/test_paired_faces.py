"""Batches of pairs: right rows, flows that warp one onto the other, shares, mirrors, bad sets."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from helpers.pairs import write_pairs

from facemorph.errors import ConfigError, DataError
from facemorph.geometry.portraits.head_flow import MAPS
from facemorph.systems.gdpw.paired_faces import KINDS, PairedFaces, augmented, read_pairs
from facemorph.systems.gdpw.small_generator import warp_clamped

SIZE = 48


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory):
    """Three pictures of one person and two of another."""
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, SIZE)
    return folder


def inner(visible):
    """Well inside of the face: at the outline, pixels of the background come in; the neck is bent
    by the plate.
    """
    hidden = torch.nn.functional.max_pool2d(1 - visible, 7, 1, 3)
    hidden[..., 36:, :] = 1
    return (hidden == 0).expand(-1, 3, -1, -1)


def loaded(folder, **options):
    data = PairedFaces(folder, SIZE, **options)
    data.setup()
    return data


def test_pairs_are_read_with_their_splits(pairs_folder):
    data = loaded(pairs_folder)
    assert Counter(pair.kind for pair in data.pairs["training"]) == {
        "genuine": 2,
        "rendered": 1,
        "reversed": 1,
    }
    assert [(one.source, one.target) for one in data.held_out(8)] == [(3, 4), (4, 3)]
    assert len(data.held_out(1)) == 1
    assert data.held_out(0) == []


def test_the_flow_warps_the_source_onto_the_target(pairs_folder):
    data = loaded(pairs_folder)
    batch = data.batch_of(data.pairs["training"])
    assert batch["source_maps"].shape == batch["maps"].shape == (4, MAPS, SIZE, SIZE)
    seen = inner(batch["visible"])
    warped = warp_clamped(batch["source"], batch["flow"])
    after, before = (
        float((one - batch["target"]).abs()[seen].mean()) for one in (warped, batch["source"])
    )
    assert after < 0.3 * before


def test_batches_follow_from_the_step_alone(pairs_folder):
    first, second = (
        loaded(pairs_folder, batch_size=3, seed=5).make_batch(torch.Generator().manual_seed(9), 0)
        for _ in range(2)
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert len(first["source"]) == 3
    other = loaded(pairs_folder, batch_size=3).make_batch(torch.Generator().manual_seed(8), 0)
    assert not torch.equal(first["source"], other["source"])


def test_kinds_are_drawn_by_their_shares(pairs_folder):
    random = np.random.default_rng(0)
    only = loaded(pairs_folder, shares={"reversed": 1.0}).drawn(random)
    assert {pair.kind for pair in only} == {"reversed"}
    data = loaded(pairs_folder, batch_size=4000, shares={"genuine": 3.0, "rendered": 1.0})
    counts = Counter(pair.kind for pair in data.drawn(random))
    assert set(counts) == {"genuine", "rendered"}
    assert abs(counts["genuine"] / 4000 - 0.75) < 0.03  # four standard deviations


def test_a_mirrored_pair_is_a_pair(pairs_folder):
    data = loaded(pairs_folder)
    batch = data.batch_of(data.pairs["training"])
    for seed in range(20):  # until one is mirrored and one is not
        turned = np.random.default_rng(seed).random(4) < 0.5
        if 0 < turned.sum() < 4:
            break
    found = augmented(batch, np.random.default_rng(seed))
    for row, flipped in enumerate(turned):
        before, after = batch["maps"][row], found["maps"][row]
        back = after.flip(-1) if flipped else after
        sign = -1 if flipped else 1
        torch.testing.assert_close(back[0], sign * before[0])
        torch.testing.assert_close(back[1], before[1])
    warped = warp_clamped(found["source"], found["flow"])
    shown = inner(found["visible"])
    assert shown.sum() == inner(batch["visible"]).sum()
    after, before = (
        float((one - found["target"]).abs()[shown].mean()) for one in (warped, found["source"])
    )
    assert after < 0.3 * before


def test_several_sets_make_one(pairs_folder):
    data = loaded([pairs_folder, pairs_folder])
    assert len(data.pairs["training"]) == 8
    assert {pair.person for pair in data.pairs["training"]} == {"0/a", "1/a"}


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"size": 4}, "data.size"),
        ({"batch_size": 0}, "data.batch_size"),
        ({"shares": {"genuine": -1.0}}, "data.shares.genuine"),
        ({"shares": {"wrong": 1.0}}, "data.shares.wrong"),
    ],
)
def test_options_are_checked(pairs_folder, options, where):
    with pytest.raises(ConfigError) as caught:
        PairedFaces(pairs_folder, **options)
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no set of pairs"),
        ('{"source": [0], "target": [], "kind": []}', "no set of pairs"),
        ('{"source": [-1], "target": [0], "kind": ["genuine"]}', "unusable pair"),
        ('{"source": [0], "target": [1], "kind": ["half"]}', "unusable pair"),
    ],
)
def test_damaged_tables_of_pairs_are_named(tmp_path, content, message):
    (tmp_path / "pairs.json").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_pairs(tmp_path)
    assert caught.value.where == tmp_path / "pairs.json"


def test_sets_without_a_pair_for_training_are_named(pairs_folder):
    with pytest.raises(DataError, match="no pair for training"):
        loaded(pairs_folder, shares=dict.fromkeys(KINDS, 0.0))
