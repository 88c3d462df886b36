"""The texture model: its file, its coefficients, and what comes with facemorph."""

from __future__ import annotations

import pytest
import torch

from facemorph.errors import DataError
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.textures.texture_model import FILE, TextureModel, spread_over_head

SIZE, COUNT = 16, 4


@pytest.fixture(scope="module")
def small():
    """Four components, the last one odd, on the middle of a small map."""
    generator = torch.Generator().manual_seed(0)
    face = torch.zeros(SIZE, SIZE)
    face[4:12, 3:13] = 1
    odd = torch.tensor([False, False, False, True])
    basis = torch.randn(COUNT, 3, SIZE, SIZE, generator=generator) * face
    basis = basis + basis.flip(-1) * torch.where(odd, -1.0, 1.0)[:, None, None, None]
    basis, _ = torch.linalg.qr(basis.flatten(1).T)
    basis = basis.T.view(COUNT, 3, SIZE, SIZE)
    gain = torch.where(face > 0, 1.0, 0.5).expand(3, -1, -1)
    mean = torch.full((3, SIZE, SIZE), 0.5)
    std = torch.tensor([0.9, 0.6, 0.4, 0.3])
    spread = spread_over_head(basis, face, gain)
    return TextureModel(mean, spread, std, odd, face, gain, 0.02, "makehuman")


def test_a_file_holds_it_to_a_hundredth(small, tmp_path):
    small.save(tmp_path / "one.safetensors", {"people": 3})
    back = TextureModel.load(tmp_path / "one.safetensors")
    assert back.model == "makehuman"
    assert torch.equal(back.odd, small.odd)
    assert float((back.basis - small.basis).abs().max()) < 0.005
    coefficients = torch.randn(3, COUNT, generator=torch.Generator().manual_seed(1))
    assert float((back.decode(coefficients) - small.decode(coefficients)).abs().max()) < 0.01


def test_coefficients_come_back_from_what_is_seen(small):
    coefficients = torch.tensor([[0.5, -0.7, 0.3, 0.4], [-0.2, 0.1, 0.9, -0.5]])
    texture = small.decode(coefficients)
    seen = torch.ones(2, SIZE, SIZE)
    seen[1, :, : SIZE // 2] = 0
    texture[1, :, :, : SIZE // 2] = 0
    found = small.encode(texture, seen)
    assert float((found - coefficients).abs().max()) < 0.1
    nothing = small.encode(texture, torch.zeros(2, SIZE, SIZE))
    assert float(nothing.abs().max()) < 1e-5


def test_samples_are_the_same_on_both_sides(small):
    drawn = small.sample(5, torch.Generator().manual_seed(3))
    textures = small.decode(drawn)
    assert torch.allclose(textures, textures.flip(-1), atol=1e-5)
    assert torch.equal(drawn, small.sample(5, torch.Generator().manual_seed(3)))
    assert float(small.sample(5, torch.Generator().manual_seed(3), std=0.0).abs().max()) == 0


def test_what_is_no_texture_model_is_refused(small, tmp_path):
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    for path in (tmp_path / "no.safetensors", tmp_path / "missing.safetensors"):
        with pytest.raises(DataError, match="cannot be read"):
            TextureModel.load(path)
    with pytest.raises(DataError, match="coefficients"):
        small.decode(torch.zeros(1, 9))


def test_the_open_model():
    """Plausible, at most 8 MB, 80 components, and colours for the vertices."""
    assert FILE.stat().st_size < 8 << 20
    found, model = TextureModel.load("open"), load_makehuman()
    assert len(found) >= 80
    assert found.model == "makehuman"
    mean, basis = found.at_vertices(model.topology)
    face = model.topology.masks["face"]
    assert mean.shape == (model.num_vertices, 3)
    assert basis.shape == (len(found), model.num_vertices, 3)
    tone = mean[face].mean(0)
    assert tone[0] > tone[1] > tone[2]
    assert 0.4 < float(tone.mean()) < 0.75
    assert float((mean[face] - mean[model.topology.mirror][face]).abs().mean()) < 0.01
    samples = found.decode(found.sample(6, torch.Generator().manual_seed(0)))
    tones = samples[:, :, found.face > 0].mean(-1)
    assert bool((tones[:, 0] > tones[:, 2]).all())
