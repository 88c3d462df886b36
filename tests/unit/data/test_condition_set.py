"""Sets with rendered conditions."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from facemorph.cli import run
from facemorph.data.condition_set import ConditionedFaces, held_out
from facemorph.errors import DataError
from facemorph.geometry.models.parameters import FaceParameters


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conditions")
    words = ["data", "synth", "-o", str(folder), "--count", "6", "--size", "32", "--skins", "2"]
    words += ["--labels", "parameters", "--texture", "64", "--camera", "weak", "--workers", "1"]
    assert run(words) == 0
    return folder


@pytest.fixture
def folder(synthetic, tmp_path):
    shutil.copytree(synthetic, tmp_path / "set")
    index = json.loads((tmp_path / "set" / "index.json").read_text())
    index["split"] = ["training"] * 4 + ["validation"] * 2
    (tmp_path / "set" / "index.json").write_text(json.dumps(index))
    return tmp_path / "set"


def ready(folder, **options):
    data = ConditionedFaces(folder, size=16, batch_size=2, **options)
    data.setup("fit")
    return data


def test_stored_maps_are_the_rendered_ones(folder):
    stored, rendered = ready(folder), ready(folder, stored=False)
    assert (folder / "conditions.16.npy").is_file()
    for split in ("training", "validation"):
        for row in range(len(stored.conditioned[split])):
            first, second = stored.conditioned[split][row], rendered.conditioned[split][row]
            torch.testing.assert_close(first["conditions"], second["conditions"], atol=1e-3, rtol=0)
            assert torch.equal(first["image"], second["image"])
            assert torch.equal(first["light"], stored.parameters.light[int(first["index"])])


def test_maps_are_made_once_and_anew_when_the_parameters_change(folder):
    ready(folder)
    made = (folder / "conditions.16.npy").stat().st_mtime_ns
    ready(folder)
    assert (folder / "conditions.16.npy").stat().st_mtime_ns == made
    parameters = FaceParameters.load(folder / "parameters.npz")
    replace(parameters, light=parameters.light * 0.5).save(folder / "parameters.npz")
    darker = ready(folder).conditioned["training"][0]["conditions"][:3]
    assert (folder / "conditions.16.npy").stat().st_mtime_ns != made
    again = ready(folder, stored=False).conditioned["training"][0]["conditions"][:3]
    torch.testing.assert_close(darker, again, atol=1e-3, rtol=0)


def test_maps_are_made_anew_when_the_skin_of_the_model_changes(folder, monkeypatch):
    from facemorph.data import condition_set

    before = ready(folder).conditioned["training"][0]["conditions"]
    mean, basis = condition_set.skin_basis(ready(folder).renderer(16).model)
    monkeypatch.setattr(condition_set, "skin_basis", lambda model: (mean * 0.5, basis))
    after = ready(folder).conditioned["training"][0]["conditions"]
    assert float(after[:3].mean()) < 0.9 * float(before[:3].mean())
    assert torch.equal(after[3:], before[3:])


def test_batches_have_their_maps(folder):
    batch = next(iter(ready(folder).train_dataloader()))
    assert batch["conditions"].shape == (2, 9, 16, 16)
    assert batch["image"].shape == (2, 3, 16, 16)
    assert not batch["mirrored"].any()
    mask = batch["conditions"][:, 6:7]
    assert 0.1 < float(mask.mean()) < 1
    assert not (batch["conditions"] * (mask == 0)).any()


def test_held_out_pictures_are_those_of_the_validation(folder):
    data = ready(folder)
    found = held_out(data, 10, 8, "image")
    assert found.shape == (2, 3, 8, 8)
    expected = torch.stack([data.conditioned["validation"][row]["image"] for row in range(2)])
    torch.testing.assert_close(found, torch.nn.functional.avg_pool2d(expected, 2))
    assert held_out(data, 1, 16, "conditions").shape == (1, 9, 16, 16)


def test_sets_without_skin_or_room_are_named(folder, monkeypatch):
    parameters = FaceParameters.load(folder / "parameters.npz")
    replace(parameters, albedo=torch.zeros(6, 0)).save(folder / "parameters.npz")
    with pytest.raises(DataError, match="no skin and light"):
        ready(folder)
    parameters.save(folder / "parameters.npz")

    original = np.lib.format.open_memmap

    def full(*arguments, mode="r", **options):
        if "w" in (arguments[1] if len(arguments) > 1 else mode):
            raise OSError(28, "No space left on device")
        return original(*arguments, mode=mode, **options)

    ready(folder, stored=False)  # decodes the pictures
    monkeypatch.setattr(np.lib.format, "open_memmap", full)
    with pytest.raises(DataError, match=r"data\.stored=false"):
        ready(folder)
