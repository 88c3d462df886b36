"""A texture model made of a set: figures, determinism, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch

from facemorph.apps.fitting.face_texture import read_skin
from facemorph.apps.fitting.texture_sets import make_textures
from facemorph.apps.sets.synthetic_set import synthesize
from facemorph.errors import ConfigError, DataError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.textures.delighting import face_texels
from facemorph.geometry.textures.texture_model import TextureModel

PEOPLE = 14
learn = partial(make_textures, size=32, components=6, held_out=0.15)


@pytest.fixture(scope="module")
def made_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    look = {"size": 96, "texture": 64, "skins": 0, "supersample": 1, "max_yaw": 20.0}
    synthesize(folder, PEOPLE, labels="parameters", workers=1, **look)
    return folder


@pytest.mark.slow
def test_a_model_of_a_set(made_set, tmp_path):
    report = learn([made_set], tmp_path / "one.safetensors")
    assert sum(report["people"].values()) == PEOPLE
    assert report["people"]["training"] >= 6
    assert report["people"]["validation"] == 1
    assert 0.5 < report["explained"] <= 1
    assert report["held_out"]["validation"] > report["mean_alone"]["validation"]
    found = TextureModel.load(tmp_path / "one.safetensors")
    assert (found.size, len(found), found.model) == (32, 6, "makehuman")
    learn([made_set], tmp_path / "two.safetensors")
    content = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("one", "two")]
    assert json.loads(content[0][8 : 8 + int.from_bytes(content[0][:8], "little")])
    again = TextureModel.load(tmp_path / "two.safetensors")
    assert torch.equal(found.basis, again.basis)


def test_what_no_model_is_made_of(made_set, tmp_path):
    output = tmp_path / "no.safetensors"
    with pytest.raises(DataError, match="no prepared training set"):
        learn([tmp_path], output)
    with pytest.raises(DataError, match="too few people"):
        make_textures([made_set], output, size=32, components=80)
    for file in ("index.json", "parameters.npz"):
        shutil.copy(made_set / file, tmp_path / file)
    fits = FaceParameters.load(tmp_path / "parameters.npz")
    replace(fits, model="ict").save(tmp_path / "parameters.npz")
    with pytest.raises(DataError, match="another face model"):
        learn([tmp_path], output)
    with pytest.raises(ConfigError, match="size"):
        make_textures([made_set], output, size=33)
    with pytest.raises(ConfigError, match="held_out"):
        make_textures([made_set], output, held_out=1.5)
    with pytest.raises(ConfigError, match="output"):
        make_textures([made_set])
    assert not output.exists()


def test_skins_of_photographs_lose_the_photographs_light(samples, tmp_path):
    """A lamp from the side: both sides of the skin are as bright as each other."""
    model, size = load_makehuman(), 128
    texels = face_texels(model, size)
    column = texels.index % size
    image = load_image(samples[0])
    ramp = torch.linspace(0.45, 1.0, image.shape[2]).expand_as(image)
    ratios = []
    for name, picture in (("plain", image), ("lamp", image * ramp)):
        save_image(picture, tmp_path / f"{name}.png")
        skin = texels.of(read_skin(tmp_path / f"{name}.png", model, size))
        inside = texels.inner > 0.9
        left, right = (
            skin[:, inside & side].mean() for side in (column < size * 0.45, column > size * 0.55)
        )
        ratios.append(float((right / left).log()))
    assert max(map(abs, ratios)) < 0.06
