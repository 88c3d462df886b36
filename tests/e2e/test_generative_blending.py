"""Generative blending: the protocol, the built-in autoencoder from training to morph, and wrong
files.
"""

from __future__ import annotations

import pytest
import torch

from facemorph import cli, load_image, morph
from facemorph.data.face_folder import FaceFolder
from facemorph.errors import CheckpointError, ConfigError, DataError
from facemorph.networks.autoencoder import ConvolutionalAutoencoder, padded_to
from facemorph.ops.blending import blend_generative, blend_linear
from facemorph.storage.runs import latest_checkpoint
from facemorph.systems.ifmorph.face_autoencoder import FaceAutoencoder

pytestmark = pytest.mark.usefixtures("short_reports", "coarse_lattices")


class Lookup:
    """A user's own adapter: its latents are no tensors, its decoder returns more than was asked
    for.
    """

    def __init__(self):
        self.asked = []

    def encode(self, image):
        return {"picture": image}

    def interpolate(self, first, second, time):
        self.asked.append(time)
        return {"picture": torch.lerp(first["picture"], second["picture"], time)}

    def decode(self, latent):
        return torch.nn.functional.pad(latent["picture"], (0, 5, 0, 3), value=9.0)


@pytest.fixture(scope="module")
def result(samples):
    return morph(*samples, size=64)


def test_any_object_with_the_three_methods(result):
    adapter = Lookup()
    system = result.system
    made = system.render(0.25, blend=adapter, mask="frame", outside="target")
    assert adapter.asked == [0.25]
    first, second = (picture.clamp(0, 1) for picture in system.warped(0.25))
    expected = blend_linear(first[None], second[None], torch.full((1, 1, 64, 64), 0.25))[0].clamp(
        0, 1
    )
    assert float((made - expected).abs().max()) < 1e-4
    inside = system.render(0.25, blend=adapter)  # around the face, the source
    mask = system.mask(0.25, system.frame)[0]
    assert float((inside - first)[:, mask == 0].abs().mean()) < 0.02
    assert float((inside - expected)[:, mask > 0.99].abs().mean()) < 0.05
    assert float((system.render(0.25, blend=adapter, texture_time=0.7) - inside).abs().max()) > 0.05
    assert adapter.asked[-1] == 0.7


def test_the_equation(result):
    torch.manual_seed(0)
    network = FaceAutoencoder(ConvolutionalAutoencoder(8, 4, 2))
    first, second = torch.rand(2, 1, 3, 30, 34)
    with torch.no_grad():
        made = blend_generative(first, second, 0.3, network)
        codes = [network.network.encoder(padded_to(image, 4)) for image in (first, second)]
        expected = network.network.decoder(0.7 * codes[0] + 0.3 * codes[1])[..., :30, :34].clamp(
            0, 1
        )
    assert made.shape == first.shape
    assert torch.allclose(made, expected, atol=1e-6)


@pytest.mark.parametrize(("width", "latent", "levels"), [(8, 4, 1), (8, 8, 2), (4, 16, 4)])
def test_shapes_and_gradients(width, latent, levels):
    network = ConvolutionalAutoencoder(width, latent, levels)
    images = torch.rand(2, 3, 32, 48)
    code = network.encode(images)
    assert code.shape == (2, latent, 32 // 2**levels, 48 // 2**levels)
    again = network(images)
    assert again.shape == images.shape
    again.square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.slow
def test_from_training_to_a_morph(root, samples, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(root)
    monkeypatch.setenv("FACEMORPH_OUTPUT", str(tmp_path / "outputs"))
    assert cli.run(["train", "experiment=ifmorph/autoencoder_tiny", "logger=none"]) == 0
    checkpoint = latest_checkpoint("@last:face_autoencoder")
    words = [
        "morph",
        *map(str, samples),
        "--size",
        "64",
        "--time",
        "0.5",
        "--blend",
        str(checkpoint),
        "-o",
    ]
    assert cli.run([*words, str(tmp_path / "half.png")]) == 0
    plain = morph(*samples, size=64).frame(0.5)
    half = load_image(tmp_path / "half.png")
    assert 0 < float((half - plain).abs().mean()) < 0.15
    recipe = (tmp_path / "half.recipe.yaml").read_text()
    assert checkpoint.name in recipe
    assert (
        cli.run(["redo", str(tmp_path / "half.recipe.yaml"), "-o", str(tmp_path / "again.png")])
        == 0
    )
    assert torch.equal(load_image(tmp_path / "again.png"), half)
    assert (
        cli.run(
            [
                "infer",
                f"checkpoint={checkpoint}",
                f"output={tmp_path}/there.png",
                f"+image={samples[0]}",
            ]
        )
        == 0
    )
    assert load_image(tmp_path / "there.png").shape == load_image(samples[0]).shape
    capfd.readouterr()


def test_training_reduces_the_error(samples):
    torch.manual_seed(0)
    data = FaceFolder(list(samples), size=32, piece=32, batch_size=4)
    data.setup()
    network = ConvolutionalAutoencoder(8, 8, 2)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    losses = []
    for step in range(40):
        images = data.make_batch(torch.Generator().manual_seed(step), step)["images"]
        loss = (network(images) - images).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_files_that_hold_no_autoencoder(result, samples, tmp_path, capfd):
    with pytest.raises(ConfigError, match="unknown blending"):
        result.system.render(0.5, blend="nothing")
    with pytest.raises(CheckpointError, match="no such file"):
        result.system.render(0.5, blend=str(tmp_path / "nothing.ckpt"))
    assert (
        cli.run(["morph", *map(str, samples), "-o", str(tmp_path / "m.png"), "--blend", "dist"])
        == 2
    )
    assert "multiband" in capfd.readouterr().err
    with pytest.raises(ConfigError, match="piece"):
        FaceFolder("x", size=32, piece=64)
    with pytest.raises(DataError, match="no picture"):
        FaceFolder(tmp_path).setup()
    with pytest.raises(ConfigError, match="autoencoder"):
        ConvolutionalAutoencoder(0)
