"""Joined sets: what each had, splits of one's own, and what does not go together."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from facemorph.apps.sets.views.join import join_sets
from facemorph.cli import run
from facemorph.data.face_set import FaceSet, SetIndex
from facemorph.errors import ConfigError, DataError
from facemorph.geometry.models.parameters import FaceParameters


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    for seed in ("0", "1"):
        words = ["data", "synth", "-o", str(folder / seed), "--count", "4", "--size", "32"]
        words += ["--labels", "parameters", "--skins", "4", "--texture", "64", "--seed", seed]
        assert run([*words, "--same-identity", "2", "--workers", "1"]) == 0
        index = json.loads((folder / seed / "index.json").read_text())
        for key in ("names", "people"):
            index[key] = [f"{seed}-{one}" for one in index[key]]
        (folder / seed / "index.json").write_text(json.dumps(index))
    return folder / "0", folder / "1"


def test_a_joined_set_has_the_rows_of_all(sets, tmp_path):
    report = join_sets(sets, tmp_path / "both")
    index = SetIndex.read(tmp_path / "both")
    own = [SetIndex.read(one) for one in sets]
    assert index.names == own[0].names + own[1].names
    assert index.split == own[0].split + own[1].split
    assert report["pictures"] == 8
    assert report["people"] == 4
    found = FaceParameters.load(tmp_path / "both" / "parameters.npz").vector()
    parts = [FaceParameters.load(one / "parameters.npz").vector() for one in sets]
    assert torch.equal(found, torch.cat(parts))
    joined = FaceSet(tmp_path / "both", mirror=False)
    joined.setup()
    second = FaceSet(sets[1], mirror=False)
    second.setup()
    picture = joined.parts["training"].pictures[4 + 1]
    assert (picture == second.parts["training"].pictures[1]).all()


def test_a_table_says_who_is_held_out(sets, tmp_path):
    who = SetIndex.read(sets[1]).people[-1]
    table = tmp_path / "splits.csv"
    table.write_text(f"person,split\n{who},test\n")
    words = ["data", "join", *map(str, sets), "-o", str(tmp_path / "both")]
    assert run([*words, "--splits", str(table)]) == 0
    index = SetIndex.read(tmp_path / "both")
    held = {
        person for person, split in zip(index.people, index.split, strict=True) if split == "test"
    }
    assert held == {who}


def test_one_name_in_two_sets_is_refused(sets, tmp_path):
    shutil.copytree(sets[0], tmp_path / "again")
    with pytest.raises(DataError, match="same name"):
        join_sets([sets[0], tmp_path / "again"], tmp_path / "both")
    assert not (tmp_path / "both" / "index.json").exists()


def test_a_person_in_two_splits_is_refused(sets, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(sets[1], other)
    index = json.loads((other / "index.json").read_text())
    index["people"][0] = SetIndex.read(sets[0]).people[0]
    index["split"][0] = "validation"
    (other / "index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match="two splits"):
        join_sets([sets[0], other], tmp_path / "both")


def test_a_single_set_is_nothing_to_join(sets, tmp_path):
    with pytest.raises(ConfigError, match="nothing to join"):
        join_sets([sets[0]], tmp_path / "both")
