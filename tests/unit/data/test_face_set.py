"""Sets of pictures and parameters as training data."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn

from facemorph.cli import run
from facemorph.data.face_set import FaceSet, SetIndex, decoded_pictures
from facemorph.errors import ConfigError, DataError
from facemorph.faces.files.image_io import load_image
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.training.checkpoints import RunCheckpoints
from facemorph.training.exact_resume import ExactResume


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory):
    """Twelve synthetic pictures of six people."""
    folder = tmp_path_factory.mktemp("synth")
    words = ["data", "synth", "-o", str(folder), "--count", "12", "--same-identity", "2"]
    assert (
        run([*words, "--size", "48", "--labels", "parameters", "--skins", "2", "--workers", "1"])
        == 0
    )
    return folder


@pytest.fixture
def prepared(synthetic, tmp_path):
    """The set in a folder of its own, with a validation split."""
    folder = tmp_path / "set"
    shutil.copytree(synthetic, folder)
    for path in folder.glob("pictures.*"):
        path.unlink()
    content = json.loads((folder / "index.json").read_text())
    people = sorted(set(content["people"]))
    content["split"] = [
        "validation" if one == people[-1] else "training" for one in content["people"]
    ]
    (folder / "index.json").write_text(json.dumps(content))
    return folder


def ready(folder, **options):
    data = FaceSet(folder, batch_size=4, **options)
    data.setup()
    return data


def test_batches(prepared):
    data = ready(prepared)
    batch = next(iter(data.train_dataloader()))
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "image": (4, 3, 48, 48),
        "parameters": (4, data.parameters.vector().shape[1]),
        "person": (4,),
        "index": (4,),
        "mirrored": (4,),
    }
    assert batch["image"].min() >= 0
    assert batch["image"].max() <= 1
    assert len(data.parts["training"]) == 20  # ten pictures, each with its mirror image
    assert len(data.parts["validation"]) == 2


def test_pictures_and_parameters_belong_together(prepared):
    data, index = ready(prepared), SetIndex.read(prepared)
    stored = FaceParameters.load(prepared / "parameters.npz")
    part = data.parts["training"]
    for place in (0, 3):
        item, row = part[place], int(part[place]["index"])
        expected = load_image(prepared / index.files[row])
        torch.testing.assert_close(item["image"], expected, rtol=0, atol=0.5 / 255)
        torch.testing.assert_close(item["parameters"], stored[row].vector()[0])
        turned = part[place + 10]
        assert bool(turned["mirrored"])
        assert torch.equal(turned["image"], item["image"].flip(-1))
        again = stored.from_vector(turned["parameters"][None])
        assert float(again.origin[0, 0]) == pytest.approx(48 - float(stored[row].origin[0, 0]))
        assert float(again.rotation[0, 1]) == pytest.approx(-float(stored[row].rotation[0, 1]))


def test_people_are_the_same_person_in_both_pictures(prepared):
    data, index = ready(prepared), SetIndex.read(prepared)
    numbers = {int(item["index"]): int(item["person"]) for item in data.parts["training"]}
    for one, person in numbers.items():
        for other, its_person in numbers.items():
            assert (index.people[one] == index.people[other]) == (person == its_person)
    held = {int(data.parts["validation"][place]["person"]) for place in range(2)}
    assert not held & set(numbers.values())


def test_another_size_scales_the_parameters(prepared):
    whole, half = ready(prepared, mirror=False), ready(prepared, mirror=False, size=24)
    model = load_makehuman()
    assert half.parts["training"].pictures.shape == (12, 3, 24, 24)
    torch.testing.assert_close(half.parameters.origin, whole.parameters.origin / 2)
    torch.testing.assert_close(half.parameters.log_size, whole.parameters.log_size - np.log(2))
    assert torch.equal(half.parameters.identity, whole.parameters.identity)
    assert half.parameters.model == model.name


def test_pictures_are_decoded_once_and_again_when_they_change(prepared, monkeypatch):
    ready(prepared)
    index = SetIndex.read(prepared)
    path = prepared / "pictures.48.npy"
    before = path.stat().st_mtime_ns
    pictures, _ = decoded_pictures(prepared, index, None)
    assert isinstance(pictures, np.memmap)
    assert path.stat().st_mtime_ns == before
    changed = prepared / index.files[0]
    changed.write_bytes((prepared / index.files[1]).read_bytes())
    pictures, _ = decoded_pictures(prepared, index, None)
    assert np.array_equal(pictures[0], pictures[1])
    assert not list(prepared.glob("*.part"))


class Regression(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def training_step(self, batch, batch_idx):
        return (
            (self.layer(batch["image"].mean((2, 3))) - batch["parameters"][:, :1]).square().mean()
        )

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.05)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader`:UserWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_stopped_run_goes_on_bit_for_bit(prepared, tmp_path, workers):
    def train(folder, steps, resume=None):
        torch.manual_seed(0)
        system = Regression()
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=4,
            max_steps=steps,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[ExactResume(), RunCheckpoints(folder)],
        )
        trainer.fit(system, FaceSet(prepared, batch_size=4, num_workers=workers), ckpt_path=resume)
        return system.state_dict()

    whole = train(tmp_path / "whole", 14)
    train(tmp_path / "part", 7)
    resumed = train(tmp_path / "more", 14, tmp_path / "part/last.ckpt")
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


def test_what_is_refused(prepared, tmp_path):
    with pytest.raises(DataError, match="no prepared training set"):
        ready(tmp_path)
    for options in ({"size": 2}, {"num_workers": -1}):
        with pytest.raises(ConfigError, match="out of range"):
            FaceSet(prepared, **options)
    content = json.loads((prepared / "index.json").read_text())
    short = {**content, "people": content["people"][:-1]}
    (prepared / "index.json").write_text(json.dumps(short))
    with pytest.raises(DataError, match="different lengths"):
        ready(prepared)
    outside = {**content, "files": ["../../x.png", *content["files"][1:]]}
    (prepared / "index.json").write_text(json.dumps(outside))
    with pytest.raises(DataError, match="outside of the set"):
        ready(prepared)
    (prepared / "index.json").write_text(json.dumps({**content, "split": ["test"] * 12}))
    with pytest.raises(DataError, match="no picture for training"):
        ready(prepared)
    (prepared / "index.json").write_text(json.dumps(content))
    FaceParameters.load(prepared / "parameters.npz")[:5].save(prepared / "parameters.npz")
    with pytest.raises(DataError, match="do not fit together"):
        ready(prepared)
    (prepared / content["files"][0]).unlink()
